//! One rule at a time, in the cases that once went wrong.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use core_conversation::{
    AttemptOutcome, Called, Conversation, Effect, Event, FlowInput, FlowWait, History, Input,
    Message, Policy, Rejection, RoutingRecord, Seen, SendOutcome, SendState, Sender, Session,
    Stage, StepOutcome, StepResult, decide, invariants,
};
use core_types::{
    AgentId, ContactIdentity, ContactKey, Content, ConversationId, DeliveryStatus, Echo,
    EngagementId, FlowId, InboundMessage, MessageId, NumberId, OfferId, PlatformError, QueueId,
    Referral, StatusUpdate, TemplateSend, TenantId, Timestamp, UserId, WhatsAppMessageId,
};

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// A conversation with its log folded beside it.
struct Bench {
    conversation: Conversation,
    history: History,
    now: Timestamp,
    policy: Policy,
    count: u32,
}

fn text(body: &str) -> Content {
    Content::Text {
        body: body.to_owned(),
        preview_url: false,
    }
}

fn wamid(id: &str) -> WhatsAppMessageId {
    WhatsAppMessageId::new(id).unwrap()
}

fn template() -> Content {
    Content::Template(TemplateSend {
        name: "offer".to_owned(),
        ..TemplateSend::default()
    })
}

fn ambiguous() -> AttemptOutcome {
    AttemptOutcome::Ambiguous("cut".to_owned())
}

fn refused() -> AttemptOutcome {
    AttemptOutcome::Rejected(PlatformError {
        code: 131_026,
        ..PlatformError::default()
    })
}

fn agent(name: &str) -> Option<AgentId> {
    AgentId::new(name).ok()
}

fn queue(name: &str) -> QueueId {
    QueueId::new(name).unwrap()
}

impl Bench {
    fn new() -> Self {
        let now = Timestamp::from_seconds(1_795_000_000).unwrap();
        let started = Event::Started {
            id: ConversationId::new("cnv-1").unwrap(),
            tenant: TenantId::new("acme").unwrap(),
            number_id: NumberId::new("n1").unwrap(),
            contact: ContactIdentity {
                user_id: Some("US.1".to_owned()),
                ..ContactIdentity::from_phone("16505551111").unwrap()
            },
        };
        let mut history = History::default();
        history.apply(1, &started, now).unwrap();
        Self {
            conversation: Conversation::born_of(&started, now).unwrap(),
            history,
            now,
            policy: Policy {
                fallback_queue: queue("support"),
                attempt_deadline: MINUTE,
                quiet_window: 2 * MINUTE,
            },
            count: 0,
        }
    }

    /// Decides, folds and checks. A step of the flow is answered by `answer`, or fails the test.
    fn put_with(
        &mut self,
        input: &Input,
        target: Option<&MessageId>,
        answer: Option<StepOutcome>,
    ) -> Result<Vec<Event>, Rejection> {
        let message = target.map(|id| self.history.messages[id].clone());
        let (now, policy) = (self.now, self.policy.clone());
        let mut decision = decide(&self.conversation, input, message.as_ref(), &policy, now)?;
        if let Some(step) = decision.step.take() {
            let input = Input::Step(StepResult {
                input: step.input,
                message: step.message,
                outcome: answer.expect("the flow is away"),
            });
            let after = decide(&decision.conversation, &input, None, &policy, now)?;
            decision.events.extend(after.events);
            decision.conversation = after.conversation;
        }
        for (sequence, event) in (self.conversation.sequence + 1..).zip(&decision.events) {
            let before = self.history.conversation.clone();
            self.history.apply(sequence, event, now).unwrap();
            let folded = self.history.conversation.as_ref().unwrap();
            invariants::check(before.as_ref(), folded).unwrap();
        }
        assert_eq!(
            self.history.conversation.as_ref(),
            Some(&decision.conversation)
        );
        self.conversation = decision.conversation;
        Ok(decision.events)
    }

    fn put(&mut self, input: &Input, target: Option<&MessageId>) -> Vec<Event> {
        self.put_with(input, target, None).unwrap()
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now.plus(span);
    }

    fn inbound(&mut self, flow: Option<&str>, referral: bool, sent_at: Timestamp) -> Input {
        self.count += 1;
        Input::Message {
            message: Box::new(InboundMessage {
                id: wamid(&format!("in.{}", self.count)),
                from: self.conversation.contact.clone(),
                sent_at,
                content: text("hello"),
                context: None,
                referral: referral.then(Referral::default),
                group_id: None,
                errors: Vec::new(),
            }),
            admitted_at: self.now,
            flow: flow.map(|id| FlowId::new(id).unwrap()),
        }
    }

    /// The customer writes; without a flow the engagement is queued.
    fn says(&mut self) {
        let input = self.inbound(None, false, self.now);
        self.put(&input, None);
    }

    /// The customer writes to a flow that does `effects` and waits for ten minutes.
    fn says_to_flow(&mut self, effects: Vec<(String, Effect)>) {
        let input = self.inbound(Some("guide"), false, self.now);
        let until = Some(self.now.plus(10 * MINUTE));
        let answer = step(effects, Some(FlowWait { id: 1, until }));
        self.put_with(&input, None, Some(answer)).unwrap();
    }

    fn try_send(&mut self, content: Content) -> Result<MessageId, Rejection> {
        let input = Input::Send {
            sender: Sender::Api {
                user: UserId::new("sue").unwrap(),
                seen: None,
            },
            content,
            reply_to: None,
        };
        self.put_with(&input, None, None)?;
        Ok(self.conversation.outbox.last().unwrap().message_id.clone())
    }

    fn send(&mut self, content: Content) -> MessageId {
        self.try_send(content).unwrap()
    }

    fn start(&mut self, id: &MessageId, attempt: u32) {
        let input = Input::StartAttempt {
            message_id: id.clone(),
            attempt,
        };
        assert_eq!(self.put(&input, Some(id)).len(), 1, "attempt {attempt}");
    }

    fn finish(&mut self, id: &MessageId, attempt: u32, outcome: AttemptOutcome) -> Vec<Event> {
        let input = Input::FinishAttempt {
            message_id: id.clone(),
            attempt,
            outcome,
        };
        self.put(&input, Some(id))
    }

    fn not_sent(&mut self, id: &MessageId, attempt: u32, after: Duration) -> Vec<Event> {
        let outcome = AttemptOutcome::NotSent {
            retry_at: self.now.plus(after),
            cause: "stopped".to_owned(),
        };
        self.finish(id, attempt, outcome)
    }

    /// An attempt nobody knows the end of, and the decision to send once more.
    fn doubt(&mut self, id: &MessageId) {
        self.start(id, 1);
        self.finish(id, 1, ambiguous());
        self.wait(2 * MINUTE);
        self.put(&Input::Tick, None);
    }

    fn status(&mut self, id: &MessageId, meta: &str, status: DeliveryStatus, at: Timestamp) {
        let update = StatusUpdate {
            id: wamid(meta),
            status,
            occurred_at: at,
            recipient: ContactIdentity::default(),
            participant: None,
            callback_data: None,
            pricing: None,
            billing_conversation: None,
            billing_conversation_expires: None,
            billing_conversation_origin: None,
            errors: Vec::new(),
        };
        self.put(&Input::Status(Box::new(update)), Some(id));
    }

    fn message(&self, id: &MessageId) -> &Message {
        &self.history.messages[id]
    }

    fn engagement(&self) -> (EngagementId, u32) {
        let engagement = self.conversation.engagement.as_ref().unwrap();
        (engagement.id.clone(), engagement.epoch)
    }

    fn stage(&self) -> &Stage {
        &self.conversation.engagement.as_ref().unwrap().stage
    }

    fn seen(&self, agent: Option<AgentId>) -> Seen {
        let (engagement, epoch) = self.engagement();
        Seen {
            engagement,
            epoch,
            agent,
        }
    }

    fn offer(&self, number: u32) -> OfferId {
        let (engagement, epoch) = self.engagement();
        OfferId::new(format!("{engagement}.o{epoch}.{number}")).unwrap()
    }

    fn route(&mut self, record: RoutingRecord) -> Result<usize, Rejection> {
        let (engagement, epoch) = self.engagement();
        let input = Input::Routing {
            engagement,
            epoch,
            record,
        };
        self.put_with(&input, None, None).map(|events| events.len())
    }

    fn offered(&self, number: u32) -> RoutingRecord {
        RoutingRecord::Offered {
            offer: self.offer(number),
            agent: agent("ada").unwrap(),
            expires_at: None,
            reason: String::new(),
        }
    }

    fn offer_ended(&self, number: u32) -> RoutingRecord {
        RoutingRecord::OfferEnded {
            offer: self.offer(number),
            agent: agent("ada").unwrap(),
            outcome: "expired".to_owned(),
        }
    }

    fn assign(&self, number: u32) -> RoutingRecord {
        RoutingRecord::Assign {
            offer: self.offer(number),
            agent: agent("ada").unwrap(),
            wrap_up_seconds: 30,
        }
    }
}

fn step(effects: Vec<(String, Effect)>, wait: Option<FlowWait>) -> StepOutcome {
    StepOutcome::Done {
        version: 1,
        session: Session::new(b"s".to_vec()),
        effects,
        wait,
        finished: false,
        path: Vec::new(),
    }
}

fn say(key: &str) -> (String, Effect) {
    (key.to_owned(), Effect::Send(Box::new(text("flow"))))
}

#[test]
fn a_refused_second_copy_leaves_the_first_in_doubt() {
    let mut bench = Bench::new();
    bench.says_to_flow(vec![say("1.0")]);
    let id = bench.conversation.outbox[0].message_id.clone();
    bench.doubt(&id);
    bench.start(&id, 2);
    bench.finish(&id, 2, refused());
    assert_eq!(bench.message(&id).send_state, Some(SendState::Unknown));
    let flow = bench.conversation.engagement.clone().unwrap().flow.unwrap();
    assert!(flow.failed_sends.is_empty(), "nobody knows that it failed");
    let now = bench.now;
    bench.status(&id, "wamid.1", DeliveryStatus::Delivered, now);
    let message = bench.message(&id);
    assert_eq!(message.send_state, Some(SendState::Accepted));
    assert_eq!(message.wamid, Some(wamid("wamid.1")));
    assert_eq!(message.status, Some(DeliveryStatus::Delivered));
}

#[test]
fn a_refused_only_copy_is_refused() {
    let mut bench = Bench::new();
    bench.says();
    let id = bench.send(text("a"));
    bench.start(&id, 1);
    bench.finish(&id, 1, ambiguous());
    bench.finish(&id, 1, refused());
    assert_eq!(bench.message(&id).send_state, Some(SendState::Rejected));
}

#[test]
fn certainty_about_an_earlier_copy_is_taken() {
    let mut bench = Bench::new();
    bench.says();
    for in_flight in [false, true] {
        let id = bench.send(text("a"));
        bench.doubt(&id);
        if in_flight {
            bench.start(&id, 2);
        }
        let first = format!("wamid.{id}.1");
        bench.finish(&id, 1, AttemptOutcome::Accepted(wamid(&first)));
        assert!(bench.conversation.outbox.is_empty());
        for late in [
            refused(),
            AttemptOutcome::Accepted(wamid("wamid.second")),
            ambiguous(),
        ] {
            assert_eq!(bench.finish(&id, 2, late), []);
        }
        let message = bench.message(&id);
        assert_eq!(message.send_state, Some(SendState::Accepted));
        assert_eq!(message.wamid, Some(wamid(&first)));
    }
}

#[test]
fn a_late_not_sent_takes_the_doubt_back() {
    let mut bench = Bench::new();
    bench.says();
    let id = bench.send(text("a"));
    bench.start(&id, 1);
    bench.finish(&id, 1, ambiguous());
    bench.not_sent(&id, 1, MINUTE);
    assert_eq!(bench.conversation.outbox[0].doubtful, 0);
    bench.wait(MINUTE);
    bench.start(&id, 2);
    bench.finish(&id, 2, refused());
    assert_eq!(bench.message(&id).send_state, Some(SendState::Rejected));
}

#[test]
fn what_cannot_be_sent_for_a_day_is_withdrawn() {
    let mut bench = Bench::new();
    let (first, second) = (bench.send(template()), bench.send(template()));
    bench.start(&first, 1);
    bench.not_sent(&first, 1, 100 * HOUR);
    assert_eq!(
        bench.conversation.ready().unwrap().1,
        bench.now.plus(HOUR),
        "a retry is at most an hour ahead"
    );
    bench.wait(24 * HOUR);
    bench.put(&Input::Tick, None);
    let message = bench.message(&first);
    assert_eq!(message.send_state, Some(SendState::Cancelled));
    assert_eq!(message.errors[0].title, "SEND_EXPIRED");
    // What waited behind it is tried once, whatever its age.
    bench.start(&second, 1);
    bench.not_sent(&second, 1, MINUTE);
    assert_eq!(
        bench.message(&second).send_state,
        Some(SendState::Cancelled)
    );
}

#[test]
fn what_may_have_been_sent_is_not_called_withdrawn() {
    let mut bench = Bench::new();
    bench.says();
    let id = bench.send(text("a"));
    bench.doubt(&id);
    bench.start(&id, 2);
    bench.not_sent(&id, 2, MINUTE);
    bench.wait(20 * HOUR);
    bench.says();
    bench.wait(4 * HOUR);
    bench.put(&Input::Tick, None);
    assert_eq!(bench.message(&id).send_state, Some(SendState::Unknown));
}

#[test]
fn deadlines_of_messages_do_not_wait_for_the_flow() {
    let mut bench = Bench::new();
    bench.says_to_flow(vec![say("1.0")]);
    let id = bench.conversation.outbox[0].message_id.clone();
    bench.start(&id, 1);
    bench.wait(11 * MINUTE);
    // The flow is away: asked for a step, the bench would panic.
    bench.put(&Input::Tick, None);
    assert_eq!(bench.message(&id).send_state, Some(SendState::Ambiguous));
    let now = bench.now;
    let step = decide(&bench.conversation, &Input::Tick, None, &bench.policy, now);
    let step = step.unwrap().step.unwrap();
    assert_eq!(
        step.input,
        FlowInput::TimedOut(1),
        "the next round is the flow's"
    );
    bench.wait(2 * MINUTE);
    bench.put(&Input::Tick, None);
    assert_eq!(bench.message(&id).send_state, Some(SendState::Queued));
}

#[test]
fn an_outbox_has_an_end() {
    let mut bench = Bench::new();
    bench.says_to_flow(Vec::new());
    for _ in 0..200 {
        bench.send(text("a"));
    }
    let refused = bench.try_send(text("one more")).unwrap_err();
    assert_eq!(refused, Rejection::OutboxFull { most: 200 });
    let refused = bench.try_send(template()).unwrap_err();
    assert_eq!(refused, Rejection::OutboxFull { most: 200 });
    bench.says_to_flow(vec![say("2.0")]);
    assert_eq!(bench.conversation.outbox.len(), 200);
    let last = bench
        .history
        .messages
        .values()
        .find(|it| it.flow_key.is_some());
    let last = last.unwrap();
    assert_eq!(last.send_state, Some(SendState::Cancelled));
    assert_eq!(last.errors[0].title, "OUTBOX_FULL");
    let flow = bench.conversation.engagement.clone().unwrap().flow.unwrap();
    assert_eq!(
        flow.failed_sends,
        [("2.0".to_owned(), "OUTBOX_FULL".to_owned())]
    );
}

#[test]
fn those_above_the_agents_move_what_waits() {
    let mut bench = Bench::new();
    bench.says();
    let seen = bench.seen(agent("ada"));
    let other = Input::TransferToQueue {
        seen,
        queue: queue("other"),
    };
    assert_eq!(
        bench.put_with(&other, None, None),
        Err(Rejection::NotAssigned)
    );
    let supervisor = |bench: &Bench, name: &str| Input::TransferToQueue {
        seen: bench.seen(None),
        queue: queue(name),
    };
    let input = supervisor(&bench, "other");
    for _ in 0..2 {
        bench.put(&input, None);
        assert_eq!(*bench.stage(), Stage::Queued);
        assert_eq!(bench.engagement().1, 2);
        let engagement = bench.conversation.engagement.as_ref().unwrap();
        assert_eq!(engagement.queue, Some(queue("other")));
    }
    let offered = bench.offered(1);
    bench.route(offered).unwrap();
    let stale = supervisor(&bench, "third");
    let input = supervisor(&bench, "support");
    let events = bench.put(&input, None);
    assert!(matches!(&events[0], Event::OfferEnded { outcome, .. } if outcome == "withdrawn"));
    assert!(matches!(
        &events[1],
        Event::EngagementQueued { epoch: 3, .. }
    ));
    let refused = bench.put_with(&stale, None, None);
    assert!(matches!(refused, Err(Rejection::StaleEpoch { .. })));
}

#[test]
fn reports_of_offers_that_come_again_have_no_effect() {
    let mut bench = Bench::new();
    bench.says();
    let batch = [bench.offered(1), bench.offer_ended(1), bench.offered(2)];
    for record in &batch {
        assert_eq!(bench.route(record.clone()), Ok(1));
    }
    for record in &batch {
        assert_eq!(bench.route(record.clone()), Ok(0));
    }
    let assign = bench.assign(2);
    assert_eq!(bench.route(assign.clone()), Ok(1));
    let wrap_up = Input::StartWrapUp(bench.seen(agent("ada")));
    for _ in 0..2 {
        for record in batch.iter().chain([&assign]) {
            assert_eq!(bench.route(record.clone()), Ok(0));
        }
        bench.put(&wrap_up, None);
    }
    let next = bench.offered(3);
    assert_eq!(bench.route(next), Err(Rejection::AlreadyAssigned));
}

#[test]
fn the_free_window_counts_from_when_the_answer_was_given() {
    let mut bench = Bench::new();
    let came = bench.now;
    let visit = bench.inbound(None, true, came);
    bench.put(&visit, None);
    // What was said before the customer came is no answer, however late it is told.
    let echo = |sent_at: Timestamp, id: &str, now: Timestamp| Input::Echo {
        echo: Box::new(Echo {
            id: wamid(id),
            to: ContactIdentity::from_phone("16505551111").unwrap(),
            sent_at,
            content: text("from the phone"),
        }),
        admitted_at: now,
    };
    bench.wait(2 * HOUR);
    let now = bench.now;
    bench.put(&echo(came.minus(MINUTE), "e1", now), None);
    assert_eq!(bench.conversation.free_entry_point_until, None);
    // A message that failed answered nobody.
    let id = bench.send(text("a"));
    bench.start(&id, 1);
    bench.status(&id, "wamid.1", DeliveryStatus::Failed, now);
    assert_eq!(bench.conversation.free_entry_point_until, None);
    let answered = came.plus(HOUR);
    bench.put(&echo(answered, "e2", now), None);
    let until = Some(answered.plus(72 * HOUR));
    assert_eq!(bench.conversation.free_entry_point_until, until);
    // An older visit told late opens nothing again.
    let late = bench.inbound(None, true, came.minus(MINUTE));
    bench.put(&late, None);
    assert_eq!(bench.conversation.entry_candidate, None);
}

#[test]
fn a_late_older_visit_does_not_take_the_place_of_a_newer_one() {
    let mut bench = Bench::new();
    let came = bench.now;
    for sent_at in [came, came.minus(23 * HOUR)] {
        let visit = bench.inbound(None, true, sent_at);
        bench.put(&visit, None);
        assert_eq!(bench.conversation.entry_candidate, Some(came));
    }
    let id = bench.send(text("a"));
    bench.start(&id, 1);
    bench.wait(2 * HOUR);
    let sent = came.plus(MINUTE);
    bench.status(&id, "wamid.1", DeliveryStatus::Sent, sent);
    let until = Some(sent.plus(72 * HOUR));
    assert_eq!(bench.conversation.free_entry_point_until, until);
}

#[test]
fn an_engagement_is_filed_once_however_late() {
    let mut bench = Bench::new();
    bench.says();
    let assign = bench.assign(1);
    bench.route(assign).unwrap();
    let first = bench.seen(agent("ada"));
    bench.put(&Input::StartWrapUp(first.clone()), None);
    bench.wait(MINUTE);
    bench.put(&Input::Tick, None);
    bench.says();
    assert_ne!(bench.engagement().0, first.engagement);
    let file = |bench: &Bench, seen: &Seen, under: &str| Input::CompleteWrapUp {
        seen: seen.clone(),
        disposition: under.to_owned(),
        note: "called back".to_owned(),
        earlier: Some(Box::new(
            bench.history.engagements[&seen.engagement].clone(),
        )),
    };
    let input = file(&bench, &first, "sold");
    let events = bench.put(&input, None);
    assert!(matches!(&events[..], [Event::EngagementFiled { note, .. }] if note == "called back"));
    let input = file(&bench, &first, "sold");
    assert_eq!(bench.put(&input, None), []);
    let input = file(&bench, &first, "lost");
    assert_eq!(bench.put_with(&input, None, None), Err(Rejection::Closed));
    let theirs = Seen {
        agent: agent("bob"),
        ..first.clone()
    };
    let input = file(&bench, &theirs, "sold");
    assert_eq!(bench.put_with(&input, None, None), Err(Rejection::Closed));
    let Stage::Closed {
        disposition,
        reason,
        ..
    } = &bench.history.engagements[&first.engagement].stage
    else {
        panic!("it is closed");
    };
    assert_eq!(
        (disposition.as_str(), reason.as_str()),
        ("sold", "wrap_up_expired")
    );
    // One that was filed in time answers the same way.
    let assign = bench.assign(1);
    bench.route(assign).unwrap();
    let second = bench.seen(agent("ada"));
    let input = Input::CompleteWrapUp {
        seen: second.clone(),
        disposition: "sold".to_owned(),
        note: String::new(),
        earlier: None,
    };
    assert_eq!(bench.put(&input, None).len(), 1);
    assert_eq!(bench.put(&input, None), []);
    bench.says();
    let input = file(&bench, &second, "sold");
    assert_eq!(bench.put(&input, None), []);
}

#[test]
fn a_key_that_names_another_is_forgotten_but_never_the_last_one() {
    let mut bench = Bench::new();
    let phone = Input::KeyTaken(ContactKey::Phone("16505551111".to_owned()));
    assert_eq!(bench.put(&phone, None).len(), 1);
    assert_eq!(bench.conversation.contact.phone, None);
    assert_eq!(bench.put(&phone, None), []);
    let user = Input::KeyTaken(ContactKey::UserId("US.1".to_owned()));
    assert_eq!(bench.put(&user, None), []);
    assert_eq!(bench.conversation.keys.len(), 1);
}

#[test]
fn a_word_in_a_group_opens_nothing() {
    let mut bench = Bench::new();
    for content in [
        text("to all"),
        Content::Reaction {
            target: wamid("x"),
            emoji: Some("👍".to_owned()),
        },
    ] {
        let mut input = bench.inbound(None, false, bench.now);
        if let Input::Message { message, .. } = &mut input {
            message.group_id = Some("g1".to_owned());
            message.content = content;
        }
        bench.put(&input, None);
    }
    assert_eq!(bench.conversation.window_closes_at, None);
    assert_eq!(bench.conversation.engagement, None);
    assert_eq!(bench.conversation.messages, 2);
}

#[test]
fn outcomes_are_stored_as_they_were() {
    // Words in the log are for ever.
    let unknown = serde_json::to_string(&SendOutcome::Unknown).unwrap();
    assert_eq!(unknown, r#"{"outcome":"unknown"}"#);
}

#[test]
fn only_the_call_a_flow_waits_for_is_told_to_it() {
    let mut bench = Bench::new();
    let engagement = |bench: &Bench| bench.conversation.engagement.clone().unwrap().id;
    let called = |bench: &Bench, engagement: &EngagementId, wait| {
        let input = Input::Called {
            engagement: engagement.clone(),
            wait,
            called: Called::Answered {
                status: 200,
                saved: None,
            },
        };
        let decision = decide(&bench.conversation, &input, None, &bench.policy, bench.now).unwrap();
        assert!(decision.events.is_empty());
        decision.step.map(|step| step.input)
    };
    bench.says_to_flow(Vec::new());
    let open = engagement(&bench);
    let told = called(&bench, &open, 1);
    assert!(
        matches!(told, Some(FlowInput::Called { wait: 1, .. })),
        "{told:?}"
    );
    assert_eq!(called(&bench, &open, 2), None);
    let other = EngagementId::new("eng-other").unwrap();
    assert_eq!(called(&bench, &other, 1), None);
    // Once people have it, the flow is told nothing.
    let mut queued = Bench::new();
    queued.says();
    let open = engagement(&queued);
    assert_eq!(called(&queued, &open, 1), None);
}

#[test]
fn a_call_is_asked_for_beside_the_events_and_only_with_a_wait() {
    let mut bench = Bench::new();
    let input = bench.inbound(Some("guide"), false, bench.now);
    let first = decide(&bench.conversation, &input, None, &bench.policy, bench.now).unwrap();
    let step_of = first.step.unwrap();
    let call = Effect::Call {
        request: b"GET".to_vec(),
        patience: MINUTE,
    };
    let after = |wait| {
        let result = Input::Step(StepResult {
            input: step_of.input.clone(),
            message: step_of.message.clone(),
            outcome: step(vec![("1.0".to_owned(), call.clone())], wait),
        });
        let decided = decide(&first.conversation, &result, None, &bench.policy, bench.now);
        decided.unwrap().calls
    };
    let asked = after(Some(FlowWait { id: 1, until: None }));
    assert_eq!(
        (asked.len(), asked[0].wait, asked[0].request.as_slice()),
        (1, 1, &b"GET"[..])
    );
    assert!(after(None).is_empty());
}
