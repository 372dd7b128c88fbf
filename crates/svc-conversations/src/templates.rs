//! Templates, asked of their registry before they are sent: whether they are approved, how they read,
//! and which category they are.

use std::time::Duration;

use core_conversation::{Effect, StepOutcome};
use core_types::{Content, NumberId, TemplateSend};
use lib_platform::{AuthorizedChannel, Refusal};
use lib_proto::required;
use lib_proto::templates::PrepareTemplateRequest;
use lib_proto::templates::template_service_client::TemplateServiceClient;
use tonic::{Code, Status};

/// How long the registry may take for all templates of a round of steps: the writer waits for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// How the cause of a message that was not sent for its template begins.
const REFUSED: &str = "TEMPLATE_REFUSED";

/// Asks the registry. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Templates(TemplateServiceClient<AuthorizedChannel>);

impl Templates {
    /// The registry behind `channel`.
    pub(crate) fn new(channel: AuthorizedChannel) -> Self {
        Self(TemplateServiceClient::new(channel))
    }

    /// A template with its text and category filled in; other content as it is.
    ///
    /// # Errors
    /// What the registry says against it.
    pub(crate) async fn prepared(
        &self,
        number: &NumberId,
        content: Content,
    ) -> Result<Content, Status> {
        let Content::Template(template) = &content else {
            return Ok(content);
        };
        let request = PrepareTemplateRequest {
            number_id: number.to_string(),
            template: Some(template.into()),
        };
        let answer = self.0.clone().prepare_template(request).await?;
        let template = required("template", answer.into_inner().template)
            .and_then(TemplateSend::try_from)
            .map_err(|error| Refusal::internal(&error))?;
        Ok(Content::Template(template))
    }

    /// Prepares what the steps of a round send, all at once, each from its number. A template that may not
    /// be sent becomes a message that was refused, which the flow will be told of. One answer for each
    /// step: an error where the registry does not answer in time, and the step is to be taken again.
    pub(crate) async fn prepare_steps(
        &self,
        steps: impl Iterator<Item = (&NumberId, &mut StepOutcome)>,
    ) -> Vec<Result<(), Status>> {
        let until = tokio::time::Instant::now() + PATIENCE;
        let steps = steps.map(|(number, outcome)| async move {
            let all = self.prepare_step(number, outcome);
            let late = |_| Status::deadline_exceeded("the template registry takes too long");
            let answer = tokio::time::timeout_at(until, all).await;
            answer.map_err(late)?
        });
        futures_util::future::join_all(steps).await
    }

    async fn prepare_step(
        &self,
        number: &NumberId,
        outcome: &mut StepOutcome,
    ) -> Result<(), Status> {
        let StepOutcome::Done { effects, .. } = outcome else {
            return Ok(());
        };
        for (_, effect) in effects {
            let Effect::Send(content) = effect else {
                continue;
            };
            if !matches!(**content, Content::Template(_)) {
                continue;
            }
            match self.prepared(number, (**content).clone()).await {
                Ok(prepared) => **content = prepared,
                Err(status) if is_verdict(status.code()) => {
                    let cause = format!("{REFUSED}: {}", status.message());
                    let content = content.clone();
                    *effect = Effect::Refused { content, cause };
                }
                Err(status) => return Err(status),
            }
        }
        Ok(())
    }
}

/// Whether asking again would give the same answer.
fn is_verdict(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition | Code::PermissionDenied
    )
}
