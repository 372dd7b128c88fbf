//! A conversation log that keeps its entries in memory and decides as the real one must: reports
//! of the present epoch are taken, the first assignment wins, repeats are harmless.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use core_types::Timestamp;
use lib_proto::conversations::conversation_log_service_server::ConversationLogService;
use lib_proto::conversations::{self as log, log_entry::Event, routing_record::Record};
use lib_proto::timestamp_to_proto;
use lib_testkit::{Log, within};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

pub(crate) const TENANT: &str = "acme";

#[derive(Default)]
struct Known {
    epoch: u32,
    offers: Vec<String>,
    owner: Option<(String, String)>,
}

/// The peer. Clones share the log.
#[derive(Clone, Default)]
pub(crate) struct Peer {
    /// The log as others follow it.
    pub(crate) log: Log,
    engagements: Arc<Mutex<BTreeMap<String, Known>>>,
    /// Reasons of refused reports whose answers were not lost.
    refusals: Arc<watch::Sender<Vec<String>>>,
    /// Calls of `RecordRouting` still to be carried out without an answer.
    pub(crate) lost_answers: Arc<AtomicUsize>,
    /// Whether calls of `RecordRouting` fail without being carried out.
    pub(crate) unreachable: Arc<AtomicBool>,
}

/// What an entry is in short, if it is part of a story.
fn part(entry: &log::LogEntry) -> Option<String> {
    match entry.event.as_ref()? {
        Event::EngagementQueued(queued) => Some(format!("queued {}", queued.epoch)),
        Event::EngagementOffered(offered) => Some(format!("offered {}", offered.agent_id)),
        Event::OfferEnded(ended) => Some(ended.outcome.clone()),
        Event::EngagementAssigned(assigned) => Some(format!("assigned {}", assigned.agent_id)),
        _ => None,
    }
}

fn story(entries: &[log::LogEntry], engagement: &str) -> Vec<String> {
    let own = entries
        .iter()
        .filter(|entry| entry.engagement_id == engagement);
    own.filter_map(part).collect()
}

impl Peer {
    fn append(&self, engagement: &str, event: Event) {
        let (conversation, _) = engagement.rsplit_once('.').unwrap();
        self.log.append([log::LogEntry {
            tenant_id: TENANT.to_owned(),
            conversation_id: conversation.to_owned(),
            engagement_id: engagement.to_owned(),
            event: Some(event),
            ..log::LogEntry::default()
        }]);
    }

    /// A customer is put into a queue.
    pub(crate) fn queue(&self, engagement: &str, queue: &str, priority: i32, at: i64) {
        let mut engagements = self.engagements.lock().unwrap();
        let known = engagements.entry(engagement.to_owned()).or_default();
        known.epoch += 1;
        known.owner = None;
        let event = Event::EngagementQueued(log::EngagementQueued {
            queue_id: queue.to_owned(),
            epoch: known.epoch,
            priority,
            queued_at: Some(timestamp_to_proto(Timestamp::from_seconds(at).unwrap())),
            contact: None,
            last_message_summary: "hello".to_owned(),
        });
        self.append(engagement, event);
    }

    pub(crate) fn wrap_up(&self, engagement: &str) {
        let engagements = self.engagements.lock().unwrap();
        let known = &engagements[engagement];
        let event = Event::WrapUpStarted(log::WrapUpStarted {
            agent_id: known.owner.clone().unwrap().0,
            epoch: known.epoch,
            until: None,
        });
        self.append(engagement, event);
    }

    /// The log ends an offer of its own accord.
    pub(crate) fn end_offer(&self, engagement: &str, offer: &str) {
        let event = Event::OfferEnded(log::OfferEnded {
            offer_id: offer.to_owned(),
            outcome: "withdrawn".to_owned(),
            ..log::OfferEnded::default()
        });
        self.append(engagement, event);
    }

    pub(crate) fn close(&self, engagement: &str) {
        let mut engagements = self.engagements.lock().unwrap();
        engagements.remove(engagement);
        let event = Event::EngagementClosed(log::EngagementClosed::default());
        self.append(engagement, event);
    }

    /// Every assignment in the log: engagement and agent.
    pub(crate) fn assignments(&self) -> Vec<(String, String)> {
        let entries = self.log.entries().into_iter();
        entries
            .filter_map(|entry| match entry.event? {
                Event::EngagementAssigned(assigned) => {
                    Some((entry.engagement_id, assigned.agent_id))
                }
                _ => None,
            })
            .collect()
    }

    /// Reports of an engagement in the order of the log, in short.
    pub(crate) fn story(&self, engagement: &str) -> Vec<String> {
        story(&self.log.entries(), engagement)
    }

    /// Waits until the engagement's story is as long as this.
    pub(crate) async fn story_of(&self, engagement: &str, length: usize) -> Vec<String> {
        let long = |entries: &[log::LogEntry]| {
            Some(story(entries, engagement)).filter(|story| story.len() >= length)
        };
        self.log.when(long).await
    }

    /// Waits until a report has been refused; why each was.
    pub(crate) async fn refusals(&self) -> Vec<String> {
        let mut refusals = self.refusals.subscribe();
        let some = within(refusals.wait_for(|refusals| !refusals.is_empty())).await;
        some.unwrap().clone()
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
        let mut engagements = self.engagements.lock().unwrap();
        let id = record.engagement_id;
        let Some(known) = engagements.get_mut(&id) else {
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
        self.append(&id, event);
        accepted
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn absent<T>() -> Answer<T> {
    Err(Status::unimplemented("this log only knows routing"))
}

#[tonic::async_trait]
impl ConversationLogService for Peer {
    type WatchOutboxStream = tokio_stream::Empty<Result<log::WatchOutboxResponse, Status>>;

    async fn receive(&self, _: Request<log::ReceiveRequest>) -> Answer<log::ReceiveResponse> {
        absent()
    }

    async fn watch_outbox(
        &self,
        _: Request<log::WatchOutboxRequest>,
    ) -> Answer<Self::WatchOutboxStream> {
        absent()
    }

    async fn start_attempts(
        &self,
        _: Request<log::StartAttemptsRequest>,
    ) -> Answer<log::StartAttemptsResponse> {
        absent()
    }

    async fn finish_attempts(
        &self,
        _: Request<log::FinishAttemptsRequest>,
    ) -> Answer<log::FinishAttemptsResponse> {
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
        let reasons: Vec<_> = refused.map(|result| result.reason.clone()).collect();
        self.refusals.send_modify(|all| all.extend(reasons));
        Ok(Response::new(answer))
    }
}
