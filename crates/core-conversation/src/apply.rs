//! What events do: the fold that makes a conversation's state, and nothing else does.

use std::collections::BTreeMap;

use core_types::{EngagementId, MessageId, Timestamp, WhatsAppMessageId};

use crate::event::{Change, Event, SendOutcome};
use crate::message::{Direction, Message, MessageKind};
use crate::state::{
    AttemptState, Conversation, EARLY_FOR, EARLY_MOST, ENTRY_WINDOW, EarlyChange, Engagement,
    FlowRun, OutboxEntry, Stage,
};

/// Longest summary kept in the state, in characters.
const SUMMARY_MOST: usize = 200;

impl Conversation {
    /// The conversation a log's first entry makes; `None` when the entry is not a first one.
    pub fn born_of(event: &Event, at: Timestamp) -> Option<Self> {
        let Event::Started {
            id,
            tenant,
            number_id,
            contact,
        } = event
        else {
            return None;
        };
        Some(Self {
            id: id.clone(),
            tenant: tenant.clone(),
            number_id: number_id.clone(),
            contact: contact.clone(),
            keys: contact.keys().unwrap_or_default().into_iter().collect(),
            sequence: 1,
            messages: 0,
            engagements: 0,
            window_closes_at: None,
            entry_candidate: None,
            free_entry_point_until: None,
            engagement: None,
            outbox: Vec::new(),
            early: Vec::new(),
            last_activity_at: at,
            summary: String::new(),
        })
    }

    /// What `event`, recorded at `at`, does to the conversation.
    pub fn apply(&mut self, event: &Event, at: Timestamp) {
        self.sequence += 1;
        match event {
            Event::MessageReceived { .. }
            | Event::MessageQueued { .. }
            | Event::AttemptStarted { .. }
            | Event::AttemptEnded { .. }
            | Event::StatusChanged { .. } => self.apply_message(event, at),
            Event::ContactChanged { contact, dropped } => {
                self.contact = contact.clone();
                self.keys.retain(|key| !dropped.contains(key));
                self.keys.extend(contact.keys().unwrap_or_default());
            }
            Event::WindowOpened {
                closes_at,
                free_entry_point_until,
            } => {
                self.window_closes_at = self.window_closes_at.max(*closes_at);
                if free_entry_point_until.is_some() {
                    self.free_entry_point_until =
                        self.free_entry_point_until.max(*free_entry_point_until);
                    self.entry_candidate = None;
                }
            }
            engagement_event => self.apply_to_engagement(engagement_event, at),
        }
    }

    fn apply_message(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::MessageReceived {
                message,
                outran,
                early,
                ..
            } => {
                self.received(message, at);
                if !early.is_empty() {
                    self.forget_early(message.wamid.as_ref());
                }
                if let Some((target, change)) = outran {
                    self.keep_early(target, change, at);
                }
            }
            Event::MessageQueued { message, .. } => {
                self.noted(message, at);
                self.outbox.push(OutboxEntry {
                    message_id: message.id.clone(),
                    engagement: message.engagement.clone(),
                    kind: MessageKind::of(&message.content),
                    flow_key: message.flow_key.clone(),
                    queued_at: at,
                    attempts: 0,
                    doubtful: 0,
                    state: AttemptState::Queued,
                });
            }
            Event::AttemptStarted {
                message_id,
                attempt,
                deadline,
                ..
            } => {
                if let Some(entry) = self.entry(message_id) {
                    entry.attempts = *attempt;
                    entry.state = AttemptState::InFlight {
                        deadline: *deadline,
                    };
                }
            }
            Event::AttemptEnded {
                message_id,
                outcome,
                early,
                ..
            } => {
                self.attempt_ended(message_id, outcome);
                if let (false, SendOutcome::Accepted { wamid }) = (early.is_empty(), outcome) {
                    self.forget_early(Some(wamid));
                }
            }
            Event::StatusChanged {
                failed_flow_key: Some(key),
                engagement,
                ..
            } => self.owe_failure(engagement.as_ref(), key, "failed"),
            _ => {}
        }
    }

    fn apply_to_engagement(&mut self, event: &Event, at: Timestamp) {
        if let Event::EngagementOpened {
            engagement,
            flow_id,
            ..
        } = event
        {
            self.engagements += 1;
            self.engagement = Some(Engagement {
                id: engagement.clone(),
                stage: Stage::InFlow,
                epoch: 0,
                queue: None,
                priority: 0,
                last_offer: 0,
                opened_at: at,
                queued_at: None,
                assigned_at: None,
                wrap_up_at: None,
                closed_at: None,
                wrap_up_seconds: 0,
                flow: flow_id.clone().map(|flow_id| FlowRun {
                    flow_id,
                    version: 0,
                    session: crate::session::Session::default(),
                    wait: None,
                    failed_sends: Vec::new(),
                    failures: 0,
                }),
                variables: BTreeMap::new(),
            });
        } else if let Some(engagement) = &mut self.engagement {
            engagement.apply(event, at);
        }
    }

    fn noted(&mut self, message: &Message, at: Timestamp) {
        self.messages += 1;
        self.last_activity_at = self.last_activity_at.max(at);
        self.summary = message
            .content
            .summary()
            .chars()
            .take(SUMMARY_MOST)
            .collect();
    }

    fn received(&mut self, message: &Message, at: Timestamp) {
        self.noted(message, at);
        // What comes late must not take the place of a newer visit, nor open a window again that
        // an answer after it has opened.
        let answered = self
            .free_entry_point_until
            .is_some_and(|until| message.sent_at.plus(ENTRY_WINDOW) <= until);
        if message.direction == Direction::Inbound && message.referral.is_some() && !answered {
            self.entry_candidate = self.entry_candidate.max(Some(message.sent_at));
        }
        if message.direction == Direction::Inbound
            && let Some(flow) = self.engagement.as_mut().and_then(|it| it.flow.as_mut())
        {
            flow.failures = 0;
        }
    }

    fn forget_early(&mut self, wamid: Option<&WhatsAppMessageId>) {
        self.early.retain(|change| Some(&change.target) != wamid);
    }

    /// Remembers a change whose message has not come; the oldest give way.
    fn keep_early(&mut self, target: &WhatsAppMessageId, change: &Change, at: Timestamp) {
        self.early.retain(|early| at < early.at.plus(EARLY_FOR));
        if self.early.len() >= EARLY_MOST {
            self.early.remove(0);
        }
        self.early.push(EarlyChange {
            target: target.clone(),
            change: change.clone(),
            at,
        });
    }

    fn entry(&mut self, id: &MessageId) -> Option<&mut OutboxEntry> {
        self.outbox.iter_mut().find(|entry| entry.message_id == *id)
    }

    fn attempt_ended(&mut self, id: &MessageId, outcome: &SendOutcome) {
        let Some(at) = self.outbox.iter().position(|entry| entry.message_id == *id) else {
            return;
        };
        let failed = match outcome {
            SendOutcome::NotSent { retry_at, .. } => {
                let entry = &mut self.outbox[at];
                // Certainty came late: there is nothing left to doubt about this attempt.
                if matches!(entry.state, AttemptState::Ambiguous { .. }) {
                    entry.doubtful = entry.doubtful.saturating_sub(1);
                }
                entry.state = AttemptState::RetryAt { at: *retry_at };
                return;
            }
            SendOutcome::Ambiguous { until, .. } => {
                self.outbox[at].doubtful += 1;
                self.outbox[at].state = AttemptState::Ambiguous { until: *until };
                return;
            }
            SendOutcome::Resend => {
                self.outbox[at].state = AttemptState::Queued;
                return;
            }
            SendOutcome::Accepted { .. } | SendOutcome::Unknown => None,
            SendOutcome::Rejected { error } => Some(format!("rejected: {}", error.code)),
            SendOutcome::Cancelled { cause } => Some(cause.clone()),
        };
        let entry = self.outbox.remove(at);
        if let (Some(reason), Some(key)) = (failed, entry.flow_key) {
            self.owe_failure(entry.engagement.as_ref(), &key, &reason);
        }
    }

    fn owe_failure(&mut self, engagement: Option<&EngagementId>, key: &str, reason: &str) {
        let Some(current) = &mut self.engagement else {
            return;
        };
        if current.stage == Stage::InFlow
            && engagement == Some(&current.id)
            && let Some(flow) = &mut current.flow
        {
            flow.failures += 1;
            flow.failed_sends.push((key.to_owned(), reason.to_owned()));
        }
    }
}

impl Engagement {
    /// What `event`, recorded at `at`, does to this engagement. The event must be about it.
    pub fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::SessionAdvanced { .. } => self.advanced(event),
            Event::EngagementQueued {
                queue,
                epoch,
                priority,
                queued_at,
                ..
            } => {
                self.stage = Stage::Queued;
                self.queue = Some(queue.clone());
                self.enter(*epoch);
                self.priority = *priority;
                self.queued_at = Some(*queued_at);
                if let Some(flow) = &mut self.flow {
                    flow.wait = None;
                    flow.failed_sends.clear();
                }
            }
            Event::EngagementOffered { offer, agent, .. } => {
                self.saw_offer(offer);
                self.stage = Stage::Offered {
                    offer: offer.clone(),
                    agent: agent.clone(),
                };
            }
            Event::OfferEnded { .. } => self.stage = Stage::Queued,
            Event::EngagementAssigned {
                offer,
                agent,
                epoch,
                wrap_up_seconds,
                ..
            } => {
                self.stage = Stage::Assigned {
                    agent: agent.clone(),
                    offer: offer.clone(),
                };
                self.enter(*epoch);
                if let Some(offer) = offer {
                    self.saw_offer(offer);
                }
                self.wrap_up_seconds = *wrap_up_seconds;
                self.assigned_at = Some(at);
                self.wrap_up_at = None;
            }
            Event::WrapUpStarted { agent, until, .. } => {
                self.stage = Stage::WrapUp {
                    agent: agent.clone(),
                    until: *until,
                };
                self.wrap_up_at = Some(at);
            }
            Event::EngagementClosed { .. } | Event::EngagementFiled { .. } => {
                self.closed(event, at);
            }
            _ => {}
        }
    }

    fn closed(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::EngagementClosed {
                agent,
                disposition,
                reason,
                ..
            } => {
                self.stage = Stage::Closed {
                    agent: agent.clone(),
                    disposition: disposition.clone(),
                    reason: reason.clone(),
                    filed: false,
                };
                self.closed_at = Some(at);
            }
            Event::EngagementFiled {
                engagement,
                disposition: under,
                ..
            } if *engagement == self.id => {
                if let Stage::Closed {
                    disposition, filed, ..
                } = &mut self.stage
                {
                    disposition.clone_from(under);
                    *filed = true;
                }
            }
            _ => {}
        }
    }

    fn enter(&mut self, epoch: u32) {
        if self.epoch != epoch {
            self.last_offer = 0;
        }
        self.epoch = epoch;
    }

    fn saw_offer(&mut self, offer: &core_types::OfferId) {
        let number = self.offer_number(offer).unwrap_or(0);
        self.last_offer = self.last_offer.max(number);
    }

    fn advanced(&mut self, event: &Event) {
        let Event::SessionAdvanced {
            flow_version,
            variables,
            session,
            wait,
            settled,
            failure,
            ..
        } = event
        else {
            return;
        };
        self.variables.extend(variables.clone());
        if let Some(flow) = &mut self.flow {
            flow.failed_sends
                .retain(|(key, _)| Some(key) != settled.as_ref());
            if failure.is_none() {
                flow.version = *flow_version;
                flow.session = session.clone();
                flow.wait = *wait;
            }
        }
    }
}
