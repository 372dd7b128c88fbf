//! Flows and engagements of a running installation, as the lab takes them.

use std::num::NonZeroU32;

use anyhow::{Context as _, anyhow, bail, ensure};
use core_flow::lab::Recorded;
use core_flow::{Called, CompiledFlow, Input};
use core_types::Content;
use lib_platform::AuthorizedChannel;
use lib_proto::accounts::ListConnectorsRequest;
use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::common::flow_called::Outcome;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::flow_step::Told;
use lib_proto::conversations::{FlowStep, ListEngagementsRequest, ListFlowStepsRequest};
use lib_proto::flow_runner::flow_service_client::FlowServiceClient;
use lib_proto::flow_runner::{
    CreateFlowRequest, FlowVersion, GetFlowRequest, GetFlowVersionRequest, ListCredentialsRequest,
    ListFlowVersionsRequest, PublishFlowRequest, RollBackFlowRequest, UpdateFlowRequest,
};
use lib_proto::routing::ListQueuesRequest;
use lib_proto::routing::routing_service_client::RoutingServiceClient;
use lib_proto::templates::template_service_client::TemplateServiceClient;
use lib_proto::templates::{ListTemplatesRequest, Template};
use lib_proto::timestamp_from_proto;

use crate::cli::ServerArgs;
use crate::client;
use crate::installation::dev_token;
use crate::terminal::{printable, sentence};
use tonic::Code;

/// Longest answer taken, in bytes: each step of a flow comes with its sessions.
const MAX_ANSWER: usize = 256 << 20;

/// An installation.
pub(super) struct Installation {
    conversations: ConversationServiceClient<AuthorizedChannel>,
    flows: FlowServiceClient<AuthorizedChannel>,
    routing: RoutingServiceClient<AuthorizedChannel>,
    accounts: AccountServiceClient<AuthorizedChannel>,
    templates: TemplateServiceClient<AuthorizedChannel>,
    server: String,
}

/// What the flow did in an engagement.
pub(super) struct Live {
    pub(super) engagement: String,
    pub(super) flow: String,
    /// The version its session ran on.
    pub(super) version: u32,
    /// Steps that were taken.
    pub(super) steps: Vec<Recorded>,
    /// Why the flow was given up, if it was.
    pub(super) failure: Option<String>,
}

impl Installation {
    pub(super) fn open(args: &ServerArgs) -> anyhow::Result<Self> {
        let token = client::token().unwrap_or_else(|| dev_token("admin"));
        let peers = client::peers(&args.server, &token)?;
        Ok(Self {
            conversations: ConversationServiceClient::new(peers.channel("conversations")?)
                .max_decoding_message_size(MAX_ANSWER),
            flows: FlowServiceClient::new(peers.channel("flow-runner")?),
            routing: RoutingServiceClient::new(peers.channel("routing")?),
            accounts: AccountServiceClient::new(peers.channel("accounts")?),
            templates: TemplateServiceClient::new(peers.channel("templates")?),
            server: args.server.clone(),
        })
    }

    fn said(&self, status: &tonic::Status) -> anyhow::Error {
        anyhow!("{} says: {}", self.server, sentence(status))
    }

    /// The templates of all its connectors.
    pub(super) async fn templates(&self) -> anyhow::Result<Vec<Template>> {
        let (mut accounts, mut registry) = (self.accounts.clone(), self.templates.clone());
        let request = ListConnectorsRequest {
            page_size: 200,
            page_token: String::new(),
        };
        let connectors = accounts.list_connectors(request).await;
        let connectors = connectors
            .map_err(|status| self.said(&status))?
            .into_inner();
        let mut all = Vec::new();
        for connector in connectors.connectors {
            let mut page_token = String::new();
            loop {
                let request = ListTemplatesRequest {
                    connector_id: connector.id.clone(),
                    page_size: 200,
                    page_token,
                    ..Default::default()
                };
                let page = registry.list_templates(request).await;
                let page = page.map_err(|status| self.said(&status))?.into_inner();
                all.extend(page.templates);
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
        }
        Ok(all)
    }

    /// The names of its credentials.
    pub(super) async fn credentials(&self) -> anyhow::Result<Vec<String>> {
        let mut flows = self.flows.clone();
        let answer = flows.list_credentials(ListCredentialsRequest {}).await;
        let all = answer.map_err(|status| self.said(&status))?.into_inner();
        Ok(all.credentials.into_iter().map(|one| one.name).collect())
    }

    /// The ids of its queues.
    pub(super) async fn queues(&self) -> anyhow::Result<Vec<String>> {
        let (mut ids, mut routing) = (Vec::new(), self.routing.clone());
        let mut page_token = String::new();
        loop {
            let request = ListQueuesRequest {
                page_size: 200,
                page_token,
            };
            let page = routing.list_queues(request).await;
            let page = page.map_err(|status| self.said(&status))?.into_inner();
            ids.extend(page.queues.into_iter().map(|queue| queue.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(ids);
            }
        }
    }

    /// The definition that `name` stands for: `FLOW@VERSION`, or `FLOW` for its draft.
    pub(super) async fn definition(&self, name: &str) -> anyhow::Result<String> {
        let mut flows = self.flows.clone();
        if let Some((flow, version)) = name.rsplit_once('@') {
            let version = version
                .parse()
                .with_context(|| format!("`{}`: a version is a number", printable(name)))?;
            let request = GetFlowVersionRequest {
                flow_id: flow.to_owned(),
                version,
            };
            let found = flows.get_flow_version(request).await;
            return Ok(found
                .map_err(|status| self.said(&status))?
                .into_inner()
                .definition);
        }
        let request = GetFlowRequest {
            id: name.to_owned(),
        };
        let found = flows.get_flow(request).await;
        Ok(found
            .map_err(|status| self.said(&status))?
            .into_inner()
            .draft)
    }

    /// The published versions of a flow, newest first.
    pub(super) async fn versions(&self, flow: &str) -> anyhow::Result<Vec<FlowVersion>> {
        let (mut all, mut flows) = (Vec::new(), self.flows.clone());
        let mut page_token = String::new();
        loop {
            let request = ListFlowVersionsRequest {
                flow_id: flow.to_owned(),
                page_size: 200,
                page_token,
            };
            let page = flows.list_flow_versions(request).await;
            let page = page.map_err(|status| self.said(&status))?.into_inner();
            all.extend(page.versions);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Makes `draft` the draft of a flow, which is created when there is none.
    pub(super) async fn import(&self, id: &str, name: &str, draft: &str) -> anyhow::Result<()> {
        let mut flows = self.flows.clone();
        let found = flows.get_flow(GetFlowRequest { id: id.to_owned() }).await;
        let stored = match found {
            Ok(_) => {
                let request = UpdateFlowRequest {
                    id: id.to_owned(),
                    name: name.to_owned(),
                    draft: draft.to_owned(),
                    etag: String::new(),
                };
                flows.update_flow(request).await
            }
            Err(status) if status.code() == Code::NotFound => {
                let request = CreateFlowRequest {
                    id: id.to_owned(),
                    name: name.to_owned(),
                    draft: draft.to_owned(),
                };
                flows.create_flow(request).await
            }
            Err(status) => Err(status),
        };
        stored.map(|_| ()).map_err(|status| self.said(&status))
    }

    /// Publishes the draft of a flow; the number of its version.
    pub(super) async fn publish(&self, id: &str, note: &str) -> anyhow::Result<u32> {
        let request = PublishFlowRequest {
            id: id.to_owned(),
            note: note.to_owned(),
            etag: String::new(),
        };
        let made = self.flows.clone().publish_flow(request).await;
        Ok(made
            .map_err(|status| self.said(&status))?
            .into_inner()
            .version)
    }

    /// Goes back to an earlier version; the number of the new one.
    pub(super) async fn roll_back(&self, id: &str, to: u32, note: &str) -> anyhow::Result<u32> {
        let request = RollBackFlowRequest {
            id: id.to_owned(),
            version: to,
            note: note.to_owned(),
        };
        let made = self.flows.clone().roll_back_flow(request).await;
        Ok(made
            .map_err(|status| self.said(&status))?
            .into_inner()
            .version)
    }

    /// The ids of every engagement, newest first.
    pub(super) async fn engagements(&self) -> anyhow::Result<Vec<String>> {
        let (mut ids, mut client) = (Vec::new(), self.conversations.clone());
        let mut page_token = String::new();
        loop {
            let request = ListEngagementsRequest {
                page_size: 200,
                page_token,
                ..Default::default()
            };
            let page = client.list_engagements(request).await;
            let page = page.map_err(|status| self.said(&status))?.into_inner();
            ids.extend(page.engagements.into_iter().map(|engagement| engagement.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(ids);
            }
        }
    }

    /// What the flow did in an engagement; `None` where no flow took a step in it.
    pub(super) async fn engagement(&self, id: &str) -> anyhow::Result<Option<Live>> {
        let request = ListFlowStepsRequest {
            engagement_id: id.to_owned(),
        };
        let answer = self.conversations.clone().list_flow_steps(request).await;
        let answer = answer.map_err(|status| self.said(&status))?.into_inner();
        let failure = answer.steps.iter().find(|step| !step.failure.is_empty());
        let failure = failure.map(|step| step.failure.clone());
        let taken = answer
            .steps
            .into_iter()
            .filter(|step| step.failure.is_empty());
        let taken: Vec<FlowStep> = taken.collect();
        let Some(first) = taken.first() else {
            return Ok(None);
        };
        let version = first.flow_version;
        let steps = taken.into_iter().map(recorded);
        let steps = steps
            .collect::<anyhow::Result<Vec<_>>>()
            .with_context(|| format!("engagement {id}"))?;
        ensure!(
            steps.first().is_some_and(|step| step.before.is_empty()),
            "engagement {id}: the beginning of its session is not among its steps"
        );
        Ok(Some(Live {
            engagement: id.to_owned(),
            flow: answer.flow_id,
            version,
            steps,
            failure,
        }))
    }

    /// A published version, ready to play.
    pub(super) async fn version(&self, flow: &str, version: u32) -> anyhow::Result<CompiledFlow> {
        let request = GetFlowVersionRequest {
            flow_id: flow.to_owned(),
            version,
        };
        let found = self.flows.clone().get_flow_version(request).await;
        let found = found.map_err(|status| self.said(&status))?.into_inner();
        let definition = core_flow::parse(&found.definition);
        let definition = definition.map_err(|problems| {
            let first = problems.first().map(ToString::to_string);
            anyhow!(
                "flow {flow}, version {version}: {}",
                first.unwrap_or_default()
            )
        })?;
        let number = NonZeroU32::new(found.version).context("a version begins at 1")?;
        let compiled = CompiledFlow::compile(&definition, number);
        compiled.map_err(|problem| anyhow!("flow {flow}, version {version}: {problem}"))
    }
}

fn recorded(step: FlowStep) -> anyhow::Result<Recorded> {
    let input = match step.told {
        Some(Told::Message(content)) => {
            let content = Content::try_from(content)?;
            if step.session_before.is_empty() {
                Input::Start(content)
            } else {
                Input::Message(content)
            }
        }
        Some(Told::TimedOut(wait)) => Input::TimedOut { wait },
        Some(Told::SendFailed(key)) => Input::SendFailed { key: key.parse()? },
        Some(Told::Called(called)) => Input::Called {
            wait: called.wait,
            called: match called.outcome {
                Some(Outcome::Answer(answer)) => Called::Answered {
                    status: u16::try_from(answer.status)?,
                    saved: answer.usable.then_some(answer.saved),
                },
                Some(Outcome::Failed(reason)) => Called::Failed(reason),
                None => bail!("entry {}: a call without an outcome", step.sequence),
            },
        },
        None => bail!(
            "entry {} was written by an older Frontdesk, which did not keep what a flow was told",
            step.sequence
        ),
    };
    let now = timestamp_from_proto("taken_at", step.taken_at)?;
    Ok(Recorded {
        before: step.session_before,
        input,
        facts: step.facts.into_iter().collect(),
        now: now.context("a step without a time")?,
        after: step.session,
        path: step.path,
    })
}
