//! Follows the conversation log over all tenants and hands what concerns routing to the hub, with
//! the place up to which it has read. The hub stores that place together with what followed.

use std::time::Duration;

use lib_platform::metrics::Followed;
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{AuthorizedChannel, Lifecycle};
use lib_proto::conversations::WatchRequest;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{LogEntry, WatchResponse};
use tonic::{Code, Status, Streaming};

use crate::backoff::Backoff;
use crate::facts::fact_of;
use crate::order::{Order, Orders};
use crate::store::Part;

/// A stream that stays silent for this long has told all it has. Only used until the end of the
/// log is reached for the first time, in case the log does not say where its end is.
const SILENCE: Duration = Duration::from_secs(2);

/// Field numbers of the events that concern routing, in the log's `LogEntry`: see [`fact_of`].
const EVENTS: [u32; 6] = [27, 28, 29, 30, 31, 32];

struct Follower {
    orders: Orders,
    part: Part,
    cursor: String,
    followed: Followed,
    /// Where the log ended when we started; the end is reached when this entry has been read.
    first_head: Option<String>,
    caught_up: bool,
}

/// Follows the log from `cursor` until everything stops.
pub(crate) async fn run(
    life: Lifecycle,
    channel: AuthorizedChannel,
    orders: Orders,
    (cursor, followed): (String, Followed),
    part: Part,
) -> anyhow::Result<()> {
    let mut client =
        ConversationServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let mut follower = Follower {
        orders,
        part,
        cursor,
        followed,
        first_head: None,
        caught_up: false,
    };
    follower.followed.reached(&follower.cursor);
    let mut backoff = Backoff::new();
    let stopped = life.stopped();
    tokio::pin!(stopped);
    loop {
        let request = WatchRequest {
            cursor: follower.cursor.clone(),
            shard: follower.part.shard(),
            events: EVENTS.to_vec(),
            ..WatchRequest::default()
        };
        let follow = async {
            let stream = client.watch(request).await?.into_inner();
            backoff.reset();
            follower.follow(stream).await
        };
        let outcome = tokio::select! {
            outcome = follow => outcome,
            () = &mut stopped => return Ok(()),
        };
        let cause = match outcome {
            Ok(()) => "the stream ended".to_owned(),
            Err(status) => cause(&status),
        };
        backoff
            .wait(&life, "following the conversation log", &cause)
            .await;
    }
}

/// Why the log is not to be had. What can be wrong with what we ask for is our place alone.
fn cause(status: &Status) -> String {
    if status.code() == Code::InvalidArgument {
        return format!(
            "{}; was the log restored from a backup? Then call RoutingService/RebuildRouting",
            status.message()
        );
    }
    status.to_string()
}

/// The place a cursor of the log stands for.
fn position(cursor: &str) -> u64 {
    cursor.parse().unwrap_or(0)
}

impl Follower {
    async fn follow(&mut self, mut stream: Streaming<WatchResponse>) -> Result<(), Status> {
        loop {
            let answer = if self.caught_up {
                stream.message().await?
            } else {
                match tokio::time::timeout(SILENCE, stream.message()).await {
                    Ok(answer) => answer?,
                    Err(_silent) => {
                        self.reached_end().await?;
                        continue;
                    }
                }
            };
            let Some(WatchResponse { entries, head }) = answer else {
                return Ok(());
            };
            let first_head = self.first_head.get_or_insert_with(|| head.clone()).clone();
            // An answer without entries says that nothing is stored behind our place.
            let mut at_end = true;
            if let Some(last) = entries.last() {
                // The entry at the end need not be one that we are told of.
                at_end = position(&last.cursor) >= position(&first_head);
                self.take(entries).await?;
            } else {
                self.followed.reached(&head);
            }
            if at_end && !self.caught_up {
                self.reached_end().await?;
            }
        }
    }

    async fn reached_end(&mut self) -> Result<(), Status> {
        self.caught_up = true;
        Ok(self.orders.send(Order::CaughtUp).await?)
    }

    async fn take(&mut self, entries: Vec<LogEntry>) -> Result<(), Status> {
        let count = entries.len();
        let mut cursor = self.cursor.clone();
        let mut facts = Vec::new();
        for mut entry in entries {
            cursor = std::mem::take(&mut entry.cursor);
            let engagement = entry.engagement_id.clone();
            match fact_of(entry) {
                // The log may tell of other parts' tenants too.
                Ok(fact) => facts.extend(fact.filter(|(tenant, _)| self.part.has(tenant))),
                // The log checks what it stores, so this is a fault of a program, not of a person.
                Err(error) => {
                    // Not the error's words: they may quote a phone number.
                    let field = &error.field;
                    tracing::error!(field, %cursor, %engagement, "a log entry cannot be read");
                }
            }
        }
        self.cursor.clone_from(&cursor);
        let order = Order::Log {
            facts,
            cursor,
            entries: count,
        };
        self.orders.send(order).await?;
        self.followed.reached(&self.cursor);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_behind_the_end_of_the_log_names_the_rebuild() {
        let told = cause(&Status::invalid_argument("cursor: is not one"));
        assert!(told.starts_with("cursor: is not one; was the log restored"));
        assert!(!cause(&Status::unavailable("away")).contains("restored"));
    }
}
