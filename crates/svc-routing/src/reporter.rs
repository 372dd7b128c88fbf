//! Reports to the conversation log what routing did: offers, their ends, and the wish to make an
//! agent the owner. Reports leave in the order in which they were stored, one batch at a time, so
//! the log hears of an offer before it hears of its acceptance. A batch whose fate is not known is
//! sent again: the log takes the same report twice without harm.

use core_routing::Input;
use core_types::TenantId;
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{AuthorizedChannel, Lifecycle};
use lib_proto::conversations::conversation_log_service_client::ConversationLogServiceClient;
use lib_proto::conversations::{RecordRoutingRequest, RoutingRecord, RoutingRecordResult};
use prost::Message as _;
use tokio::sync::watch;
use tonic::{Code, Status};

use crate::backoff::Backoff;
use crate::facts::answer_to;
use crate::order::{Order, Orders};
use crate::store::Store;

/// Most reports in one call.
const TOGETHER: i64 = 500;

type Client = ConversationLogServiceClient<AuthorizedChannel>;

/// Sends reports until everything stops. `wake` carries the number of the last one stored.
pub(crate) async fn run(
    life: Lifecycle,
    channel: AuthorizedChannel,
    store: Store,
    orders: Orders,
    mut wake: watch::Receiver<i64>,
) -> anyhow::Result<()> {
    let client =
        ConversationLogServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let stopped = life.stopped();
    tokio::pin!(stopped);
    let work = async {
        let mut sent = 0;
        loop {
            wake.borrow_and_update();
            let rows = store.outgoing_after(sent, TOGETHER).await?;
            let Some(last) = rows.last().map(|row| row.number) else {
                if wake.changed().await.is_err() {
                    return Ok(());
                }
                continue;
            };
            let mut reports = Vec::with_capacity(rows.len());
            for row in rows {
                reports.push((row.tenant, RoutingRecord::decode(row.record.as_slice())?));
            }
            let answers = deliver(&life, &client, &reports).await;
            lib_platform::failpoint!("routing.answered", if !answers.is_empty());
            if life.is_stopping() {
                return Ok(());
            }
            let order = Order::Reported {
                answers,
                up_to: last,
            };
            if orders.send(order).await.is_err() {
                return Ok(());
            }
            sent = last;
        }
    };
    tokio::select! {
        outcome = work => outcome,
        () = &mut stopped => Ok(()),
    }
}

/// Sends reports until the log has answered each; what the answers mean for routing.
async fn deliver(
    life: &Lifecycle,
    client: &Client,
    reports: &[(TenantId, RoutingRecord)],
) -> Vec<(TenantId, Input)> {
    let mut backoff = Backoff::new();
    let mut answers = Vec::new();
    let mut left = reports;
    // After a refusal of a whole call, reports go one by one, so that one bad report is found.
    let mut together = reports.len();
    while !left.is_empty() && !life.is_stopping() {
        let (now, later) = left.split_at(together.min(left.len()));
        let outcome = send(client, now).await;
        let results = match outcome {
            Ok(results) => results,
            Err(status) if is_final(status.code()) && now.len() > 1 => {
                together = 1;
                continue;
            }
            Err(status) if is_final(status.code()) => {
                tracing::error!(%status, "the conversation log refuses a report");
                vec![RoutingRecordResult {
                    accepted: false,
                    reason: format!("{:?}", status.code()),
                    engagement: None,
                }]
            }
            Err(status) => {
                let cause = status.to_string();
                backoff.wait(life, "reporting to the log", &cause).await;
                continue;
            }
        };
        for ((tenant, report), result) in now.iter().zip(results) {
            if !result.accepted {
                let (engagement, reason) = (&report.engagement_id, &result.reason);
                tracing::debug!(%engagement, %reason, "the log did not take a report");
            }
            let answer = answer_to(report, result.accepted, &result.reason);
            answers.extend(answer.map(|answer| (tenant.clone(), answer)));
        }
        left = later;
        backoff.reset();
    }
    answers
}

async fn send(
    client: &Client,
    reports: &[(TenantId, RoutingRecord)],
) -> Result<Vec<RoutingRecordResult>, Status> {
    let records = reports.iter().map(|(_, report)| report.clone()).collect();
    let request = RecordRoutingRequest { records };
    let answer = client.clone().record_routing(request).await?.into_inner();
    if answer.results.len() == reports.len() {
        Ok(answer.results)
    } else {
        Err(Status::unavailable(format!(
            "{} results for {} reports",
            answer.results.len(),
            reports.len()
        )))
    }
}

/// Whether trying the same again cannot help.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::OutOfRange
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::AlreadyExists
    )
}
