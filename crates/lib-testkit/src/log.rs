//! A conversation log of the entries a test writes, to be followed as the real one is.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use lib_proto::conversations as pb;
use lib_proto::conversations::conversation_service_server::ConversationService;
use lib_proto::conversations::{LogEntry, WatchRequest, WatchResponse};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::within;

/// Most entries in one answer: few, so that a test's entries come in several.
const PAGE: usize = 7;

/// The log: entries at positions 1, 2, …; the position is the cursor. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<watch::Sender<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    entries: Vec<LogEntry>,
    /// How many entries followers get to see; all unless told otherwise.
    shown: Option<usize>,
    /// Cursors followers started from.
    asked: Vec<String>,
}

impl Kept {
    fn seen(&self) -> &[LogEntry] {
        let length = self.entries.len();
        &self.entries[..self.shown.map_or(length, |shown| shown.min(length))]
    }
}

impl Log {
    /// Appends entries and returns the cursor of the last one in the log.
    pub fn append(&self, entries: impl IntoIterator<Item = LogEntry>) -> String {
        self.0.send_modify(|kept| {
            for mut entry in entries {
                entry.cursor = (kept.entries.len() + 1).to_string();
                kept.entries.push(entry);
            }
        });
        self.0.borrow().entries.len().to_string()
    }

    /// Everything in it.
    pub fn entries(&self) -> Vec<LogEntry> {
        self.0.borrow().entries.clone()
    }

    /// Waits until `pick` finds something in it.
    ///
    /// # Panics
    /// When it finds nothing within 20 s of real time.
    pub async fn when<T>(&self, pick: impl Fn(&[LogEntry]) -> Option<T>) -> T {
        let mut changes = self.0.subscribe();
        within(async {
            loop {
                let found = pick(&changes.borrow_and_update().entries);
                if let Some(found) = found {
                    return found;
                }
                changes.changed().await.expect("we hold the sender");
            }
        })
        .await
    }

    /// Shows followers nothing new.
    pub fn hide(&self) {
        self.0
            .send_modify(|kept| kept.shown = Some(kept.entries.len()));
    }

    /// Shows everything again.
    pub fn show(&self) {
        self.0.send_modify(|kept| kept.shown = None);
    }

    /// Where followers asked to go on, in the order in which they came.
    pub fn asked(&self) -> Vec<String> {
        self.0.borrow().asked.clone()
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

/// `Watch`, and the methods that this log does not offer.
macro_rules! only_watched {
    ($($method:ident: $request:ident => $answer:ident),* $(,)?) => {
        #[tonic::async_trait]
        impl ConversationService for Log {
            type WatchStream = Answers;

            async fn watch(
                &self,
                request: Request<WatchRequest>,
            ) -> Result<Response<Answers>, Status> {
                lib_platform::caller(&request)?.require_service()?;
                let cursor = request.into_inner().cursor;
                let from = cursor.parse().unwrap_or(0);
                self.0.send_modify(|kept| kept.asked.push(cursor));
                Ok(Response::new(Box::pin(follow(self.0.subscribe(), from))))
            }

            $(async fn $method(
                &self,
                _: Request<pb::$request>,
            ) -> Result<Response<pb::$answer>, Status> {
                Err(Status::unimplemented("this log is only for following"))
            })*
        }
    };
}

only_watched! {
    get_conversation: GetConversationRequest => Conversation,
    list_conversations: ListConversationsRequest => ListConversationsResponse,
    get_engagement: GetEngagementRequest => Engagement,
    list_flow_steps: ListFlowStepsRequest => ListFlowStepsResponse,
    list_engagements: ListEngagementsRequest => ListEngagementsResponse,
    list_messages: ListMessagesRequest => ListMessagesResponse,
    get_message: GetMessageRequest => Message,
    search_messages: SearchMessagesRequest => SearchMessagesResponse,
    send_message: SendMessageRequest => Message,
    start_wrap_up: StartWrapUpRequest => Engagement,
    complete_wrap_up: CompleteWrapUpRequest => Engagement,
    transfer_to_queue: TransferToQueueRequest => Engagement,
}

/// The first answer comes at once, even without entries, as the contract says.
fn follow(
    log: watch::Receiver<Kept>,
    from: usize,
) -> impl Stream<Item = Result<WatchResponse, Status>> + Send {
    unfold((log, from, true), |(mut log, from, first)| async move {
        let answer = {
            let ready = |kept: &Kept| first || kept.seen().len() > from;
            let kept = log.wait_for(|kept| ready(kept)).await.ok()?;
            let seen = kept.seen();
            WatchResponse {
                entries: seen.iter().skip(from).take(PAGE).cloned().collect(),
                head: seen.len().to_string(),
            }
        };
        let next = from + answer.entries.len();
        Some((Ok(answer), (log, next, false)))
    })
}
