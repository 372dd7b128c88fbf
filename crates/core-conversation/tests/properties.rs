//! Whatever comes, in whatever order: the invariants hold, and the log folds to the state.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use core_conversation::{
    AttemptOutcome, Conversation, Effect, Event, FlowInput, FlowWait, History, Input, Message,
    Policy, RoutingRecord, Seen, SendOutcome, SendState, Sender, Session, StepOutcome, StepResult,
    decide, invariants,
};
use core_types::{
    AgentId, ContactIdentity, Content, ConversationId, DeliveryStatus, EngagementId, FlowId,
    InboundMessage, MessageId, NumberId, OfferId, PlatformError, QueueId, Referral, StatusUpdate,
    SystemNotice, TemplateSend, TenantId, Timestamp, UserId, WhatsAppMessageId,
};
use proptest::prelude::*;

/// One thing that may happen; numbers pick among what there is.
#[derive(Clone, Debug)]
enum Act {
    Says {
        kind: u8,
        target: u8,
        late: u16,
        ad: bool,
    },
    Flow(u8),
    Sends {
        agent: u8,
        template: bool,
        stale: bool,
    },
    Start {
        skip: bool,
    },
    Finish {
        which: u8,
        how: u8,
        late: bool,
    },
    Status {
        which: u8,
        status: u8,
        by_us: bool,
    },
    Routing {
        what: u8,
        agent: u8,
        offer: u8,
        stale: bool,
    },
    Desk {
        what: u8,
        agent: u8,
        stale: bool,
        past: bool,
    },
    KeyTaken(bool),
    Tick,
    Wait(u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..8_u8, any::<u8>(), any::<u16>(), any::<bool>())
            .prop_map(|(kind, target, late, ad)| Act::Says { kind, target, late, ad }),
        1 => any::<u8>().prop_map(Act::Flow),
        2 => (0..2_u8, any::<bool>(), any::<bool>())
            .prop_map(|(agent, template, stale)| Act::Sends { agent, template, stale }),
        4 => any::<bool>().prop_map(|skip| Act::Start { skip }),
        4 => (any::<u8>(), 0..4_u8, any::<bool>())
            .prop_map(|(which, how, late)| Act::Finish { which, how, late }),
        3 => (any::<u8>(), 0..5_u8, any::<bool>())
            .prop_map(|(which, status, by_us)| Act::Status { which, status, by_us }),
        4 => (0..3_u8, 0..2_u8, 0..3_u8, any::<bool>())
            .prop_map(|(what, agent, offer, stale)| Act::Routing { what, agent, offer, stale }),
        2 => (0..3_u8, 0..3_u8, any::<bool>(), any::<bool>()).prop_map(
            |(what, agent, stale, past)| Act::Desk { what, agent, stale, past }),
        1 => any::<bool>().prop_map(Act::KeyTaken),
        3 => Just(Act::Tick),
        3 => (1..30_000_u32).prop_map(Act::Wait),
    ]
}

struct World {
    conversation: Conversation,
    messages: BTreeMap<MessageId, Message>,
    history: History,
    now: Timestamp,
    policy: Policy,
    wamids: u32,
    flow_answer: u8,
    reported: Vec<(EngagementId, u32, RoutingRecord)>,
}

fn text(body: &str) -> Content {
    Content::Text {
        body: body.to_owned(),
        preview_url: false,
    }
}

fn wamid(text: impl AsRef<str>) -> WhatsAppMessageId {
    WhatsAppMessageId::new(text).unwrap()
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_seconds(1_795_000_000).unwrap();
        let started = Event::Started {
            id: ConversationId::new("cnv-1").unwrap(),
            tenant: TenantId::new("acme").unwrap(),
            number_id: NumberId::new("n1").unwrap(),
            contact: ContactIdentity::from_phone("16505551111").unwrap(),
        };
        let mut history = History::default();
        history.apply(1, &started, now).unwrap();
        Self {
            conversation: Conversation::born_of(&started, now).unwrap(),
            messages: BTreeMap::new(),
            history,
            now,
            policy: Policy {
                fallback_queue: QueueId::new("support").unwrap(),
                attempt_deadline: Duration::from_secs(60),
                quiet_window: Duration::from_secs(120),
            },
            wamids: 0,
            flow_answer: 0,
            reported: Vec::new(),
        }
    }

    fn engagement(&self) -> Option<(EngagementId, u32)> {
        let engagement = self.conversation.engagement.as_ref()?;
        Some((engagement.id.clone(), engagement.epoch))
    }

    fn outbound(&self, which: u8) -> Option<&Message> {
        let sent: Vec<&Message> = self
            .messages
            .values()
            .filter(|message| message.send_state.is_some())
            .collect();
        sent.get(usize::from(which) % sent.len().max(1)).copied()
    }

    /// Decides, checks, and folds the events as they would be read back from the log.
    fn put(&mut self, input: &Input, target: Option<&MessageId>) -> Result<(), TestCaseError> {
        let message = target.and_then(|id| self.messages.get(id)).cloned();
        let decided = decide(
            &self.conversation,
            input,
            message.as_ref(),
            &self.policy,
            self.now,
        );
        let again = decide(
            &self.conversation,
            input,
            message.as_ref(),
            &self.policy,
            self.now,
        );
        prop_assert_eq!(&decided, &again, "a decision is a pure function");
        let Ok(mut decision) = decided else {
            return Ok(());
        };
        if let Some(step) = decision.step.take() {
            let result = StepResult {
                outcome: self.answer(&step.input),
                input: step.input,
                message: step.message,
            };
            let input = Input::Step(result);
            let after = decide(&decision.conversation, &input, None, &self.policy, self.now);
            let after = after.unwrap();
            prop_assert!(after.step.is_none(), "a step asks for no other");
            decision.events.extend(after.events);
            decision.conversation = after.conversation;
        }
        let mut sequence = self.conversation.sequence;
        for event in &decision.events {
            sequence += 1;
            let stored = serde_json::to_string(event).unwrap();
            let read: Event = serde_json::from_str(&stored).unwrap();
            prop_assert_eq!(&read, event);
            self.note(event)?;
            let before = self.history.conversation.clone();
            self.history.apply(sequence, &read, self.now).unwrap();
            let folded = self.history.conversation.as_ref().unwrap();
            invariants::check(before.as_ref(), folded).map_err(TestCaseError::fail)?;
        }
        let folded = serde_json::to_string(self.history.conversation.as_ref().unwrap()).unwrap();
        prop_assert_eq!(
            &serde_json::to_string(&decision.conversation).unwrap(),
            &folded
        );
        let read: Conversation = serde_json::from_str(&folded).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), folded);
        prop_assert_eq!(&self.messages, &self.history.messages);
        self.conversation = decision.conversation;
        Ok(())
    }

    /// What an event does to messages, with what must hold of them.
    fn note(&mut self, event: &Event) -> Result<(), TestCaseError> {
        if let Some(id) = event.touched() {
            let message = self.messages.get_mut(id).unwrap();
            let before = message.clone();
            message.apply(event);
            prop_assert!(
                message.status == before.status
                    || message.status.unwrap().supersedes(before.status),
                "a status went back"
            );
            prop_assert!(
                before.send_state != Some(SendState::Accepted)
                    || message.send_state == before.send_state,
                "an accepted message was sent again"
            );
            prop_assert!(message.attempts >= before.attempts);
        }
        if let Event::AttemptEnded {
            message_id,
            outcome: SendOutcome::Resend,
            ..
        } = event
        {
            let message = &self.messages[message_id];
            prop_assert!(
                !matches!(message.content, Content::Template(_)),
                "a template again"
            );
        }
        if let Some(message) = Message::born_of(event) {
            prop_assert!(self.messages.insert(message.id.clone(), message).is_none());
        }
        Ok(())
    }

    fn answer(&mut self, input: &FlowInput) -> StepOutcome {
        self.flow_answer = self.flow_answer.wrapping_mul(31).wrapping_add(7);
        let send = |key: &str| (key.to_owned(), Effect::Send(Box::new(text("flow"))));
        let route = Effect::RouteTo {
            queue: QueueId::new("sales").unwrap(),
            priority: 1,
        };
        let variable = Effect::SetVariable {
            name: "v".to_owned(),
            value: "1".to_owned(),
        };
        let until = Some(self.now.plus(Duration::from_secs(600)));
        let (effects, wait, finished) = match self.flow_answer % 7 {
            0 => return StepOutcome::Failed("broken".to_owned()),
            1 => (vec![send("1.0"), ("1.1".to_owned(), route)], None, true),
            2 => (
                vec![(
                    "1.0".to_owned(),
                    Effect::End {
                        reason: String::new(),
                    },
                )],
                None,
                true,
            ),
            3 => (Vec::new(), None, false),
            4 => (
                vec![send("1.0")],
                Some(FlowWait { id: 1, until: None }),
                false,
            ),
            _ => {
                let effects = vec![("1.0".to_owned(), variable), send("1.1"), send("1.2")];
                (effects, Some(FlowWait { id: 2, until }), false)
            }
        };
        let session = Session::new(format!("{input:?}").into_bytes());
        let path = vec!["A/next".to_owned()];
        StepOutcome::Done {
            version: 1,
            session,
            effects,
            wait,
            finished,
            path,
        }
    }

    fn perform(&mut self, act: Act) -> Result<(), TestCaseError> {
        match act {
            Act::Says {
                kind,
                target,
                late,
                ad,
            } => self.says(kind, target, late, ad),
            Act::Flow(answer) => {
                self.flow_answer = answer;
                Ok(())
            }
            Act::Sends {
                agent,
                template,
                stale,
            } => self.sends(agent, template, stale),
            Act::Start { skip } => {
                let head = self.conversation.outbox.get(usize::from(skip)).cloned();
                let Some(head) = head else { return Ok(()) };
                let input = Input::StartAttempt {
                    message_id: head.message_id.clone(),
                    attempt: head.attempts + 1,
                };
                self.put(&input, Some(&head.message_id))
            }
            Act::Finish { which, how, late } => self.finish(which, how, late),
            Act::Status {
                which,
                status,
                by_us,
            } => self.status(which, status, by_us),
            Act::Routing {
                what,
                agent,
                offer,
                stale,
            } => self.routing(what, agent, offer, stale),
            Act::Desk {
                what,
                agent,
                stale,
                past,
            } => self.desk(what, agent, stale, past),
            Act::KeyTaken(first) => {
                let mut keys = self.conversation.keys.iter();
                let key = if first { keys.next() } else { keys.next_back() };
                let Some(key) = key.cloned() else {
                    return Ok(());
                };
                self.put(&Input::KeyTaken(key), None)?;
                prop_assert!(self.conversation.contact.keys().is_ok());
                Ok(())
            }
            Act::Tick => self.tick(),
            Act::Wait(seconds) => {
                self.now = self.now.plus(Duration::from_secs(u64::from(seconds)));
                Ok(())
            }
        }
    }

    /// A step of the flow ends a round, so it may take several; it never takes for ever.
    fn tick(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..100 {
            let due = self.conversation.next_deadline();
            if due.is_none_or(|(at, _)| at > self.now) {
                return Ok(());
            }
            let before = self.conversation.sequence;
            self.put(&Input::Tick, None)?;
            prop_assert!(
                self.conversation.sequence > before,
                "a deadline did nothing"
            );
        }
        Err(TestCaseError::fail("deadlines without end"))
    }

    fn says(&mut self, kind: u8, target: u8, late: u16, ad: bool) -> Result<(), TestCaseError> {
        self.wamids += 1;
        let number = u32::from(target) % (self.wamids + 2);
        let on = wamid(format!("w{number}"));
        let content = match kind {
            0 => Content::Reaction {
                target: on.clone(),
                emoji: late.is_multiple_of(2).then(|| "👍".into()),
            },
            1 => Content::Edit {
                target: on.clone(),
                replacement: Box::new(text("new")),
            },
            2 => Content::Revoke { target: on.clone() },
            3 => Content::System(SystemNotice::NumberChanged {
                text: "changed".to_owned(),
                new_identity: ContactIdentity::from_phone(&format!("1650555{late:05}")).unwrap(),
            }),
            _ => text("hello"),
        };
        let found = self
            .messages
            .values()
            .find(|it| it.wamid.as_ref() == Some(&on));
        let found = found.filter(|_| kind < 3).map(|it| it.id.clone());
        let input = Input::Message {
            message: Box::new(InboundMessage {
                id: wamid(format!("w{}", self.wamids)),
                from: self.conversation.contact.clone(),
                sent_at: self.now.minus(Duration::from_secs(u64::from(late))),
                content,
                context: None,
                referral: ad.then(Referral::default),
                group_id: None,
                errors: Vec::new(),
            }),
            admitted_at: self.now,
            flow: (!target.is_multiple_of(5)).then(|| FlowId::new("guide").unwrap()),
        };
        self.put(&input, found.as_ref())
    }

    fn sends(&mut self, agent: u8, template: bool, stale: bool) -> Result<(), TestCaseError> {
        let content = if template {
            Content::Template(TemplateSend {
                name: "offer".to_owned(),
                ..TemplateSend::default()
            })
        } else {
            text("answer")
        };
        let sender = match self.engagement() {
            Some((engagement, epoch)) if agent == 0 => Sender::Agent {
                agent: AgentId::new("ada").unwrap(),
                engagement,
                epoch: epoch + u32::from(stale),
            },
            _ => Sender::Api {
                user: UserId::new("sue").unwrap(),
                seen: None,
            },
        };
        let open = self.conversation.window_open(self.now);
        let before = self.conversation.messages;
        self.put(
            &Input::Send {
                sender,
                content,
                reply_to: None,
            },
            None,
        )?;
        prop_assert!(
            template || open || self.conversation.messages == before,
            "window"
        );
        Ok(())
    }

    fn finish(&mut self, which: u8, how: u8, late: bool) -> Result<(), TestCaseError> {
        let Some(message) = self.outbound(which).cloned() else {
            return Ok(());
        };
        self.wamids += 1;
        let outcome = match how {
            0 => AttemptOutcome::Accepted(wamid(format!("w{}", self.wamids))),
            1 => AttemptOutcome::Rejected(PlatformError {
                code: 1,
                ..PlatformError::default()
            }),
            2 => AttemptOutcome::NotSent {
                retry_at: self.now.plus(Duration::from_secs(3)),
                cause: "busy".to_owned(),
            },
            _ => AttemptOutcome::Ambiguous("cut".to_owned()),
        };
        let input = Input::FinishAttempt {
            message_id: message.id.clone(),
            attempt: message.attempts.saturating_sub(u32::from(late)),
            outcome,
        };
        self.put(&input, Some(&message.id))?;
        let after = self.conversation.sequence;
        self.put(&input, Some(&message.id))?;
        // Only a message that waits for a status may still learn from the same report.
        prop_assert_eq!(
            self.conversation.sequence,
            after,
            "a repeated report had an effect"
        );
        Ok(())
    }

    fn status(&mut self, which: u8, status: u8, by_us: bool) -> Result<(), TestCaseError> {
        let Some(message) = self.outbound(which).cloned() else {
            return Ok(());
        };
        self.wamids += 1;
        let id = match message.wamid.clone() {
            Some(wamid) => wamid,
            None if by_us => wamid(format!("w{}", self.wamids)),
            None => return Ok(()),
        };
        let status = [
            DeliveryStatus::Sent,
            DeliveryStatus::Delivered,
            DeliveryStatus::Read,
            DeliveryStatus::Played,
            DeliveryStatus::Failed,
        ][usize::from(status)];
        let update = StatusUpdate {
            id,
            status,
            occurred_at: self.now,
            recipient: ContactIdentity::default(),
            participant: None,
            callback_data: None,
            pricing: None,
            billing_conversation: None,
            billing_conversation_expires: None,
            billing_conversation_origin: None,
            errors: Vec::new(),
        };
        self.put(&Input::Status(Box::new(update)), Some(&message.id))
    }

    fn routing(
        &mut self,
        what: u8,
        agent: u8,
        offer: u8,
        stale: bool,
    ) -> Result<(), TestCaseError> {
        let Some((engagement, epoch)) = self.engagement() else {
            return Ok(());
        };
        let agent = AgentId::new(["ada", "bob"][usize::from(agent)]).unwrap();
        let offer = OfferId::new(format!("{engagement}.o{epoch}.{}", offer + 1)).unwrap();
        let record = match what {
            0 => RoutingRecord::Offered {
                offer,
                agent,
                expires_at: None,
                reason: String::new(),
            },
            1 => RoutingRecord::OfferEnded {
                offer,
                agent,
                outcome: "expired".to_owned(),
            },
            _ => RoutingRecord::Assign {
                offer,
                agent,
                wrap_up_seconds: 30,
            },
        };
        let report = (engagement.clone(), epoch, record.clone());
        let epoch = epoch + u32::from(stale);
        let before = self.conversation.sequence;
        self.put(
            &Input::Routing {
                engagement,
                epoch,
                record: record.clone(),
            },
            None,
        )?;
        prop_assert!(
            !stale || self.conversation.sequence == before,
            "a stale record counted"
        );
        let once = self.conversation.sequence;
        if let (false, Some((engagement, epoch))) = (stale, self.engagement()) {
            self.put(
                &Input::Routing {
                    engagement,
                    epoch,
                    record,
                },
                None,
            )?;
            prop_assert_eq!(
                self.conversation.sequence,
                once,
                "a repeated record had an effect"
            );
        }
        if !matches!(report.2, RoutingRecord::Assign { .. }) && !stale {
            self.reported.push(report);
        }
        self.resend_offers()
    }

    /// Whatever followed: what was reported of offers before has no effect any more.
    fn resend_offers(&mut self) -> Result<(), TestCaseError> {
        let before = self.conversation.sequence;
        for (engagement, epoch, record) in self.reported.clone() {
            let offered = matches!(record, RoutingRecord::Offered { .. });
            let input = Input::Routing {
                engagement,
                epoch,
                record,
            };
            if offered {
                self.put(&input, None)?;
            }
        }
        prop_assert_eq!(
            self.conversation.sequence,
            before,
            "a resent offer had an effect"
        );
        Ok(())
    }

    fn desk(&mut self, what: u8, agent: u8, stale: bool, past: bool) -> Result<(), TestCaseError> {
        let Some((mut engagement, mut epoch)) = self.engagement() else {
            return Ok(());
        };
        let first = self.history.engagements.values().next().cloned();
        let earlier = first.filter(|first| past && first.id != engagement);
        if let Some(earlier) = &earlier {
            (engagement, epoch) = (earlier.id.clone(), earlier.epoch);
        }
        let names = ["ada", "bob"];
        let agent = names.get(usize::from(agent));
        let mut seen = Seen {
            engagement,
            epoch: epoch + u32::from(stale),
            agent: agent.map(|name| AgentId::new(*name).unwrap()),
        };
        if seen.agent.is_none() && what < 2 {
            seen.agent = AgentId::new("ada").ok();
        }
        let input = match what {
            0 => Input::StartWrapUp(seen.clone()),
            1 => Input::CompleteWrapUp {
                seen: seen.clone(),
                disposition: "done".to_owned(),
                note: String::new(),
                earlier: earlier.clone().map(Box::new),
            },
            _ => Input::TransferToQueue {
                seen: seen.clone(),
                queue: QueueId::new("other").unwrap(),
            },
        };
        self.put(&input, None)?;
        let once = self.conversation.sequence;
        let input = match (input, earlier) {
            (Input::CompleteWrapUp { disposition, .. }, Some(earlier)) => Input::CompleteWrapUp {
                earlier: Some(Box::new(self.history.engagements[&earlier.id].clone())),
                seen,
                disposition,
                note: "again".to_owned(),
            },
            (input, _) => input,
        };
        self.put(&input, None)?;
        prop_assert_eq!(
            self.conversation.sequence,
            once,
            "a repeated command had an effect"
        );
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_the_state(acts in proptest::collection::vec(act(), 1..80)) {
        let mut world = World::new();
        for act in acts {
            world.perform(act)?;
        }
    }
}
