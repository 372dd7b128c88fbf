//! A conversation log that keeps its entries in memory and decides as the real one must: reports
//! of the present epoch are taken, the first assignment wins, repeats are harmless.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::Stream;
use lib_proto::conversations::conversation_log_service_server::ConversationLogService;
use lib_proto::conversations::conversation_service_server::ConversationService;
use lib_proto::conversations::{self as log, log_entry::Event, routing_record::Record};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

pub(crate) const TENANT: &str = "acme";

#[derive(Default)]
struct Kept {
    entries: Vec<log::LogEntry>,
    /// Epoch, offers known, owner with offer; by engagement.
    engagements: BTreeMap<String, Known>,
    /// Reasons of refused reports whose answers were not lost.
    refusals: Vec<String>,
}

#[derive(Default)]
struct Known {
    epoch: u32,
    offers: Vec<String>,
    owner: Option<(String, String)>,
}

/// The peer. Clones share the log.
#[derive(Clone)]
pub(crate) struct Peer {
    kept: Arc<Mutex<Kept>>,
    grown: Arc<watch::Sender<usize>>,
    /// Calls of `RecordRouting` still to be carried out without an answer.
    pub(crate) lost_answers: Arc<AtomicUsize>,
    /// How many entries those who watch get to see; all at first.
    visible: Arc<AtomicUsize>,
    /// Whether calls of `RecordRouting` fail without being carried out.
    pub(crate) unreachable: Arc<AtomicBool>,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self {
            kept: Arc::default(),
            grown: Arc::new(watch::Sender::new(0)),
            lost_answers: Arc::default(),
            visible: Arc::new(AtomicUsize::new(usize::MAX)),
            unreachable: Arc::default(),
        }
    }

    fn append(&self, kept: &mut Kept, engagement: &str, event: Event) {
        let (conversation, _) = engagement.rsplit_once('.').unwrap();
        kept.entries.push(log::LogEntry {
            cursor: format!("{:08}", kept.entries.len() + 1),
            tenant_id: TENANT.to_owned(),
            conversation_id: conversation.to_owned(),
            engagement_id: engagement.to_owned(),
            event: Some(event),
            ..log::LogEntry::default()
        });
        self.grown.send_replace(kept.entries.len());
    }

    /// A customer is put into a queue.
    pub(crate) fn queue(&self, engagement: &str, queue: &str, priority: i32, at: i64) {
        let mut kept = self.kept.lock().unwrap();
        let known = kept.engagements.entry(engagement.to_owned()).or_default();
        known.epoch += 1;
        known.owner = None;
        let event = Event::EngagementQueued(log::EngagementQueued {
            queue_id: queue.to_owned(),
            epoch: known.epoch,
            priority,
            queued_at: Some(prost_timestamp(at)),
            contact: None,
            last_message_summary: "hello".to_owned(),
        });
        self.append(&mut kept, engagement, event);
    }

    pub(crate) fn wrap_up(&self, engagement: &str) {
        let mut kept = self.kept.lock().unwrap();
        let known = &kept.engagements[engagement];
        let event = Event::WrapUpStarted(log::WrapUpStarted {
            agent_id: known.owner.clone().unwrap().0,
            epoch: known.epoch,
            until: None,
        });
        self.append(&mut kept, engagement, event);
    }

    /// The log ends an offer of its own accord.
    pub(crate) fn end_offer(&self, engagement: &str, offer: &str) {
        let mut kept = self.kept.lock().unwrap();
        let event = Event::OfferEnded(log::OfferEnded {
            offer_id: offer.to_owned(),
            outcome: "withdrawn".to_owned(),
            ..log::OfferEnded::default()
        });
        self.append(&mut kept, engagement, event);
    }

    pub(crate) fn close(&self, engagement: &str) {
        let mut kept = self.kept.lock().unwrap();
        kept.engagements.remove(engagement);
        let event = Event::EngagementClosed(log::EngagementClosed::default());
        self.append(&mut kept, engagement, event);
    }

    /// Every assignment in the log: engagement and agent.
    pub(crate) fn assignments(&self) -> Vec<(String, String)> {
        let kept = self.kept.lock().unwrap();
        kept.entries
            .iter()
            .filter_map(|entry| match entry.event.as_ref()? {
                Event::EngagementAssigned(assigned) => {
                    Some((entry.engagement_id.clone(), assigned.agent_id.clone()))
                }
                _ => None,
            })
            .collect()
    }

    /// Reports of an engagement in the order of the log, in short.
    pub(crate) fn story(&self, engagement: &str) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        kept.entries
            .iter()
            .filter(|entry| entry.engagement_id == engagement)
            .filter_map(|entry| match entry.event.as_ref()? {
                Event::EngagementQueued(queued) => Some(format!("queued {}", queued.epoch)),
                Event::EngagementOffered(offered) => Some(format!("offered {}", offered.agent_id)),
                Event::OfferEnded(ended) => Some(ended.outcome.clone()),
                Event::EngagementAssigned(assigned) => {
                    Some(format!("assigned {}", assigned.agent_id))
                }
                _ => None,
            })
            .collect()
    }

    /// Waits until the engagement's story is as long as this.
    pub(crate) async fn story_of(&self, engagement: &str, length: usize) -> Vec<String> {
        let mut grown = self.grown.subscribe();
        loop {
            grown.borrow_and_update();
            let story = self.story(engagement);
            if story.len() >= length {
                return story;
            }
            grown.changed().await.unwrap();
        }
    }

    /// Shows those who watch nothing new.
    pub(crate) fn hide(&self) {
        let length = self.kept.lock().unwrap().entries.len();
        self.visible.store(length, Ordering::SeqCst);
    }

    /// Shows everything again.
    pub(crate) fn show(&self) {
        self.visible.store(usize::MAX, Ordering::SeqCst);
        self.grown.send_modify(|_| {});
    }

    /// Waits until a report has been refused; why each was.
    pub(crate) async fn refusals(&self) -> Vec<String> {
        let mut grown = self.grown.subscribe();
        loop {
            grown.borrow_and_update();
            let refusals = self.kept.lock().unwrap().refusals.clone();
            if !refusals.is_empty() {
                return refusals;
            }
            grown.changed().await.unwrap();
        }
    }

    fn seen(&self) -> usize {
        self.visible.load(Ordering::SeqCst)
    }

    fn record(&self, record: log::RoutingRecord) -> log::RoutingRecordResult {
        let refused = |reason: &str| log::RoutingRecordResult {
            accepted: false,
            reason: reason.to_owned(),
            engagement: None,
        };
        let accepted = log::RoutingRecordResult {
            accepted: true,
            ..log::RoutingRecordResult::default()
        };
        let mut kept = self.kept.lock().unwrap();
        let id = record.engagement_id;
        let Some(known) = kept.engagements.get_mut(&id) else {
            return refused("NOT_FOUND");
        };
        if known.epoch != record.epoch {
            return refused("STALE_EPOCH");
        }
        let event = match record.record.unwrap() {
            Record::Offered(offered) => {
                if known.owner.is_some() {
                    return refused("ALREADY_ASSIGNED");
                }
                if known.offers.contains(&offered.offer_id) {
                    return accepted;
                }
                known.offers.push(offered.offer_id.clone());
                Event::EngagementOffered(offered)
            }
            Record::OfferEnded(ended) => Event::OfferEnded(ended),
            Record::Assign(assign) => {
                assert!(known.offers.contains(&assign.offer_id), "offered first");
                let owner = (assign.agent_id, assign.offer_id);
                match &known.owner {
                    Some(present) if *present == owner => return accepted,
                    Some(_) => return refused("ALREADY_ASSIGNED"),
                    None => known.owner = Some(owner.clone()),
                }
                Event::EngagementAssigned(log::EngagementAssigned {
                    offer_id: owner.1,
                    agent_id: owner.0,
                    epoch: record.epoch,
                    queue_id: "sales".to_owned(),
                })
            }
        };
        self.append(&mut kept, &id, event);
        accepted
    }
}

pub(crate) fn prost_timestamp(seconds: i64) -> prost_types::Timestamp {
    lib_proto::timestamp_to_proto(core_types::Timestamp::from_seconds(seconds).unwrap())
}

type Answer<T> = Result<Response<T>, Status>;

fn absent<T>() -> Answer<T> {
    Err(Status::unimplemented("this log only knows routing"))
}

/// Methods nobody here calls, in the form `async_trait` gives them.
macro_rules! absent {
    ($($name:ident($request:ty) -> $answer:ty;)*) => {
        $(fn $name<'own, 'call>(
            &'own self,
            _: Request<$request>,
        ) -> Pin<Box<dyn Future<Output = Answer<$answer>> + Send + 'call>>
        where
            'own: 'call,
            Self: 'call,
        {
            Box::pin(async { absent() })
        })*
    };
}

#[tonic::async_trait]
impl ConversationService for Peer {
    absent! {
        get_conversation(log::GetConversationRequest) -> log::Conversation;
        list_conversations(log::ListConversationsRequest) -> log::ListConversationsResponse;
        get_engagement(log::GetEngagementRequest) -> log::Engagement;
        list_engagements(log::ListEngagementsRequest) -> log::ListEngagementsResponse;
        list_messages(log::ListMessagesRequest) -> log::ListMessagesResponse;
        search_messages(log::SearchMessagesRequest) -> log::SearchMessagesResponse;
        send_message(log::SendMessageRequest) -> log::Message;
        start_wrap_up(log::StartWrapUpRequest) -> log::Engagement;
        complete_wrap_up(log::CompleteWrapUpRequest) -> log::Engagement;
        transfer_to_queue(log::TransferToQueueRequest) -> log::Engagement;
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<log::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<log::WatchRequest>) -> Answer<Self::WatchStream> {
        lib_platform::caller(&request)?.require_service()?;
        let from: usize = request.get_ref().cursor.parse().unwrap_or(0);
        let state = (self.clone(), self.grown.subscribe(), from, true);
        let stream =
            futures_util::stream::unfold(state, |(peer, mut grown, at, first)| async move {
                if !first {
                    let seen = |length: &usize| *length.min(&peer.seen()) > at;
                    grown.wait_for(seen).await.ok()?;
                }
                let entries: Vec<log::LogEntry> = {
                    let kept = peer.kept.lock().unwrap();
                    kept.entries[at..kept.entries.len().min(peer.seen())].to_vec()
                };
                let end = at + entries.len();
                let answer = log::WatchResponse {
                    entries,
                    head: if end == 0 {
                        String::new()
                    } else {
                        format!("{end:08}")
                    },
                };
                Some((Ok(answer), (peer, grown, end, false)))
            });
        Ok(Response::new(Box::pin(stream)))
    }
}

#[tonic::async_trait]
impl ConversationLogService for Peer {
    absent! {
        receive(log::ReceiveRequest) -> log::ReceiveResponse;
        start_attempts(log::StartAttemptsRequest) -> log::StartAttemptsResponse;
        finish_attempts(log::FinishAttemptsRequest) -> log::FinishAttemptsResponse;
    }

    type WatchOutboxStream =
        Pin<Box<dyn Stream<Item = Result<log::WatchOutboxResponse, Status>> + Send>>;

    async fn watch_outbox(
        &self,
        _: Request<log::WatchOutboxRequest>,
    ) -> Answer<Self::WatchOutboxStream> {
        absent()
    }

    async fn record_routing(
        &self,
        request: Request<log::RecordRoutingRequest>,
    ) -> Answer<log::RecordRoutingResponse> {
        lib_platform::caller(&request)?.require_service()?;
        if self.unreachable.load(Ordering::SeqCst) {
            return Err(Status::unavailable("nobody is there"));
        }
        let records = request.into_inner().records;
        let results = records.into_iter().map(|record| self.record(record));
        let answer = log::RecordRoutingResponse {
            results: results.collect(),
        };
        let lose = |left: usize| left.checked_sub(1);
        if self
            .lost_answers
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, lose)
            .is_ok()
        {
            return Err(Status::unavailable("the answer is lost"));
        }
        let refused = answer.results.iter().filter(|result| !result.accepted);
        let mut kept = self.kept.lock().unwrap();
        kept.refusals
            .extend(refused.map(|result| result.reason.clone()));
        self.grown.send_replace(kept.entries.len());
        drop(kept);
        Ok(Response::new(answer))
    }
}
