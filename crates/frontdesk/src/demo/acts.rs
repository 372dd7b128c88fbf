//! The story, act by act. Each act does something as a person would, waits for what must follow,
//! tells it, and checks it.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use core_types::{Content, Money};
use lib_platform::refusal::reason_of;
use lib_proto::billing::billing_service_client::BillingServiceClient;
use lib_proto::billing::{GetProgressRequest, GetStatementRequest, QuoteMessageRequest, Statement};
use lib_proto::common::{self, DeliveryStatus};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::log_entry::Event;
use lib_proto::conversations::{
    CompleteWrapUpRequest, SendMessageRequest, SendState, StartWrapUpRequest,
};
use lib_proto::ingress::GetInboxRequest;
use lib_proto::ingress::ingress_service_client::IngressServiceClient;
use lib_proto::routing::desk_command::Command;
use lib_proto::routing::{
    AcceptOffer, AgentPresence, DeskEngagement, Offer, SetPresence, desk_event,
};
use lib_proto::sandbox::ListGraphSendsRequest;
use lib_proto::sandbox::sandbox_service_client::SandboxServiceClient;
use tonic::Code;

use super::report::{Bill, BillLine, Report};
use super::stage::{Desk, Stage, maria, text};
use crate::seed;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Plays the whole story.
///
/// # Errors
/// When something that must follow does not.
pub(crate) async fn play(stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    let (mut ana, mut ben) = open_shop(stage, report).await?;
    greet(stage, report).await?;
    choose(stage, report).await?;
    let engagement = offer(stage, report, &mut ana, &mut ben).await?;
    talk(stage, report, &engagement).await?;
    close_window(stage, report, &engagement).await?;
    wrap_up(stage, report, &mut ben, &engagement).await?;
    bill(stage, report).await?;
    audit(stage, report).await
}

async fn open_shop(stage: &mut Stage, report: &mut Report) -> anyhow::Result<(Desk, Desk)> {
    let mut ana = stage.open_desk("ana").await?;
    go_ready(&mut ana).await?;
    report.tell(stage.now(), "Ana", "is ready.");
    stage.pass(5 * MINUTE);
    let mut ben = stage.open_desk("ben").await?;
    go_ready(&mut ben).await?;
    report.tell(stage.now(), "Ben", "is ready.");
    stage.pass(MINUTE);
    Ok((ana, ben))
}

async fn go_ready(desk: &mut Desk) -> anyhow::Result<()> {
    let presence = SetPresence {
        presence: AgentPresence::Ready.into(),
    };
    desk.send(Command::SetPresence(presence)).await?;
    desk.event("the agent to be ready", |event| match event {
        desk_event::Event::Presence(presence) => {
            (*presence == i32::from(AgentPresence::Ready)).then_some(())
        }
        _ => None,
    })
    .await
}

/// Waits until one message of ours is accepted and, a second later, on the phone.
async fn reaches_phone(stage: &mut Stage) -> anyhow::Result<String> {
    accepted(stage).await?;
    stage.pass(SECOND);
    let arrived = stage.arrived().await?;
    stage
        .logged("a delivered status", |event| match event {
            Event::StatusChanged(change) => {
                (change.status == i32::from(DeliveryStatus::Delivered)).then_some(())
            }
            _ => None,
        })
        .await?;
    summary(arrived)
}

async fn accepted(stage: &mut Stage) -> anyhow::Result<()> {
    stage
        .logged("an accepted send", |event| match event {
            Event::AttemptEnded(end) => {
                (end.send_state == i32::from(SendState::Accepted)).then_some(())
            }
            _ => None,
        })
        .await
}

fn summary(content: common::Content) -> anyhow::Result<String> {
    Ok(Content::try_from(content)
        .context("a message cannot be read")?
        .summary())
}

async fn customer_writes(stage: &mut Stage, report: &mut Report, body: &str) -> anyhow::Result<()> {
    report.tell(stage.now(), "Maria", body);
    stage.customer_sends(text(body)).await?;
    stage
        .logged("the customer's message", |event| match event {
            Event::MessageReceived(received) => received.message.as_ref().map(|_| ()),
            _ => None,
        })
        .await
}

async fn greet(stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    customer_writes(stage, report, "Hi").await?;
    // Both are sent at once: the second leaves as soon as the first is accepted.
    accepted(stage).await?;
    accepted(stage).await?;
    stage.pass(SECOND);
    let first = summary(stage.arrived().await?)?;
    let second = summary(stage.arrived().await?)?;
    for part in [&first, &second] {
        report.tell(stage.now(), "flow", part.clone());
    }
    report.check(
        "the flow greets, then asks, in this order",
        first.starts_with("Hey there!👋") && second.starts_with("• For Sales🧾"),
        "2 messages",
    );
    stage.pass(20 * SECOND);
    customer_writes(stage, report, "7").await?;
    let again = reaches_phone(stage).await?;
    report.tell(stage.now(), "flow", again.clone());
    report.check(
        "a wrong answer is asked again",
        !again.is_empty(),
        "1 message",
    );
    Ok(())
}

async fn choose(stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    stage.pass(10 * SECOND);
    customer_writes(stage, report, " 2️⃣").await?;
    let queue = stage
        .logged("the engagement to be queued", |event| match event {
            Event::EngagementQueued(queued) => Some(queued.queue_id.clone()),
            _ => None,
        })
        .await?;
    report.tell(
        stage.now(),
        "flow",
        format!("routes Maria to the queue `{queue}`."),
    );
    report.check_equal(
        "“ 2️⃣” means 2 and goes to Support",
        &queue,
        &"support".to_owned(),
    );
    Ok(())
}

async fn take_offer(desk: &mut Desk) -> anyhow::Result<Offer> {
    desk.event("an offer", |event| match event {
        desk_event::Event::Offered(offer) => Some(offer.clone()),
        _ => None,
    })
    .await
}

async fn offer(
    stage: &mut Stage,
    report: &mut Report,
    ana: &mut Desk,
    ben: &mut Desk,
) -> anyhow::Result<DeskEngagement> {
    let first = take_offer(ana).await?;
    report.tell(
        stage.now(),
        "routing",
        format!("offers Maria to Ana: {}.", first.reason),
    );
    report.check(
        "the longest idle agent is asked first",
        first.agent_id == "ana",
        &*first.reason,
    );
    stage.pass(30 * SECOND);
    let ended = ana
        .event("the offer to expire", |event| match event {
            desk_event::Event::OfferEnded(offer) => Some(offer.outcome.clone()),
            _ => None,
        })
        .await?;
    report.tell(stage.now(), "Ana", "does not answer; the offer expires.");
    report.check_equal(
        "an offer is a lease that ends",
        &ended,
        &"expired".to_owned(),
    );
    let second = take_offer(ben).await?;
    report.tell(
        stage.now(),
        "routing",
        format!("offers Maria to Ben: {}.", second.reason),
    );
    report.check(
        "a new offer keeps the customer's place in line",
        second.queued_at == first.queued_at && second.id != first.id,
        "same time of entry",
    );
    stage.pass(4 * SECOND);
    let accept = AcceptOffer {
        offer_id: second.id.clone(),
        epoch: second.epoch,
    };
    ben.send(Command::Accept(accept)).await?;
    let engagement = ben
        .event("the engagement", |event| match event {
            desk_event::Event::Assigned(engagement) => Some(engagement.clone()),
            _ => None,
        })
        .await?;
    let owner = stage
        .logged("the assignment", |event| match event {
            Event::EngagementAssigned(assigned) => Some(assigned.agent_id.clone()),
            _ => None,
        })
        .await?;
    report.tell(stage.now(), "Ben", "accepts.");
    report.check_equal(
        "the engagement has exactly one owner",
        &owner,
        &"ben".to_owned(),
    );
    Ok(engagement)
}

fn message(engagement: &DeskEngagement, key: &str, content: common::Content) -> SendMessageRequest {
    SendMessageRequest {
        conversation_id: engagement.conversation_id.clone(),
        content: Some(content),
        idempotency_key: key.to_owned(),
        engagement_id: engagement.engagement_id.clone(),
        epoch: engagement.epoch,
        ..Default::default()
    }
}

async fn agent_writes(
    stage: &mut Stage,
    report: &mut Report,
    engagement: &DeskEngagement,
    (key, content): (&str, common::Content),
) -> anyhow::Result<()> {
    let mut conversations = ConversationServiceClient::new(stage.as_user("ben")?);
    let request = message(engagement, key, content);
    let sent = conversations
        .send_message(request.clone())
        .await?
        .into_inner();
    let again = conversations.send_message(request).await?.into_inner();
    let at = stage.now();
    let body = reaches_phone(stage).await?;
    report.tell(at, "Ben", body);
    if sent.id != again.id {
        report.check(
            "a repeated command sends once",
            false,
            format!("{} and {}", sent.id, again.id),
        );
    }
    Ok(())
}

async fn talk(
    stage: &mut Stage,
    report: &mut Report,
    engagement: &DeskEngagement,
) -> anyhow::Result<()> {
    stage.pass(15 * SECOND);
    let hello = text("Hello Maria, this is Ben. What can I do for you?");
    agent_writes(stage, report, engagement, ("hello", hello)).await?;
    stage.pass(40 * SECOND);
    customer_writes(stage, report, "My order FD-1042 has not come yet 😟").await?;
    stage.pass(MINUTE);
    let promise = text("I am asking the carrier and will write to you tomorrow.");
    agent_writes(stage, report, engagement, ("promise", promise)).await
}

async fn close_window(
    stage: &mut Stage,
    report: &mut Report,
    engagement: &DeskEngagement,
) -> anyhow::Result<()> {
    stage.pass(24 * HOUR);
    let mut conversations = ConversationServiceClient::new(stage.as_user("ben")?);
    let late = message(engagement, "late", text("Good news, Maria!"));
    let refused = conversations.send_message(late).await.err();
    let reason = refused
        .as_ref()
        .and_then(reason_of)
        .unwrap_or_else(|| "sent".to_owned());
    report.tell(
        stage.now(),
        "Ben",
        "writes freely, a day later; the 24-hour window has closed.",
    );
    let refused_so = refused.is_some_and(|status| status.code() == Code::FailedPrecondition);
    report.check(
        "outside the window free text is refused",
        refused_so && reason == "WINDOW_CLOSED",
        reason,
    );
    let template = common::TemplateSend {
        name: "conversation_follow_up".to_owned(),
        language: "en_US".to_owned(),
        body: ["Maria", "FD-1042"].map(template_text).to_vec(),
        ..Default::default()
    };
    let template = common::Content {
        content: Some(common::content::Content::Template(template)),
    };
    agent_writes(stage, report, engagement, ("template", template)).await?;
    report.check(
        "an approved template goes out all the same",
        true,
        "conversation_follow_up",
    );
    stage.pass(10 * MINUTE);
    customer_writes(stage, report, "Yes please").await?;
    let news = text("Your parcel arrives today before noon.");
    agent_writes(stage, report, engagement, ("news", news)).await?;
    report.check(
        "the customer's answer opens the window again",
        true,
        "free text delivered",
    );
    Ok(())
}

fn template_text(value: &str) -> common::TemplateText {
    common::TemplateText {
        name: String::new(),
        text: value.to_owned(),
    }
}

async fn wrap_up(
    stage: &mut Stage,
    report: &mut Report,
    ben: &mut Desk,
    engagement: &DeskEngagement,
) -> anyhow::Result<()> {
    stage.pass(2 * MINUTE);
    let mut conversations = ConversationServiceClient::new(stage.as_user("ben")?);
    let (engagement_id, epoch) = (engagement.engagement_id.clone(), engagement.epoch);
    let start = StartWrapUpRequest {
        engagement_id: engagement_id.clone(),
        epoch,
    };
    conversations.start_wrap_up(start).await?;
    stage.pass(20 * SECOND);
    let complete = CompleteWrapUpRequest {
        engagement_id,
        epoch,
        disposition: "solved".to_owned(),
        note: "Carrier had the wrong street".to_owned(),
    };
    conversations.complete_wrap_up(complete).await?;
    let disposition = stage
        .logged("the end", |event| match event {
            Event::EngagementClosed(closed) => Some(closed.disposition.clone()),
            _ => None,
        })
        .await?;
    ben.event("the desk to be free", |event| match event {
        desk_event::Event::Released(_) => Some(()),
        _ => None,
    })
    .await?;
    report.tell(stage.now(), "Ben", format!("wraps up as “{disposition}”."));
    report.check_equal(
        "the engagement is filed and closed",
        &disposition,
        &"solved".to_owned(),
    );
    Ok(())
}

fn money(amount: Option<&common::Money>) -> anyhow::Result<Money> {
    let amount = amount.context("an amount is missing")?;
    Ok(Money {
        currency: amount.currency_code.parse()?,
        micros: amount.micros,
    })
}

async fn bill(stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    let statement = settled_statement(stage).await?;
    let mut bill = Bill {
        month: statement.month.clone(),
        ..Default::default()
    };
    let mut sum = 0;
    for line in &statement.lines {
        let amount = money(line.amount.as_ref())?;
        sum += amount.micros;
        bill.lines.push(BillLine {
            category: line.category.clone(),
            pricing_type: line.pricing_type.clone(),
            country: line.country.clone(),
            messages: line.messages,
            amount: amount.to_string(),
        });
    }
    let total = money(statement.totals.first())?;
    bill.total = total.to_string();
    report.tell(
        stage.now(),
        "billing",
        format!("{} messages: {total}.", delivered(&statement)),
    );
    report.set_bill(bill);
    report.check_equal("the lines add up to the total", &sum, &total.micros);
    report.check_equal(
        "no delivered message is unrated",
        &statement.unrated.len(),
        &0,
    );
    report.check_equal(
        "every delivered message is on the bill once",
        &delivered(&statement),
        &7,
    );
    let quote = QuoteMessageRequest {
        number_id: seed::NUMBER_ID.to_owned(),
        recipient: maria().phone,
        category: "utility".to_owned(),
        ..Default::default()
    };
    let mut billing = BillingServiceClient::new(stage.as_user("admin")?);
    let quote = billing.quote_message(quote).await?.into_inner();
    let quoted = money(quote.amount.as_ref())?;
    report.check(
        "the template cost what was quoted",
        quoted == total && total.micros > 0,
        quote.explanation,
    );
    Ok(())
}

fn delivered(statement: &Statement) -> u64 {
    statement.lines.iter().map(|line| line.messages).sum()
}

/// The statement once billing has read the log to where it stands now.
async fn settled_statement(stage: &mut Stage) -> anyhow::Result<Statement> {
    let mut billing = BillingServiceClient::new(stage.as_user("admin")?);
    let month = stage.now().to_string().chars().take(7).collect::<String>();
    let request = GetStatementRequest {
        month,
        number_id: seed::NUMBER_ID.to_owned(),
    };
    // Billing follows the log; its progress is only known by asking.
    for _ in 0..1_000 {
        billing.get_progress(GetProgressRequest {}).await?;
        let statement = billing.get_statement(request.clone()).await?.into_inner();
        if delivered(&statement) >= 7 {
            return Ok(statement);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    billing
        .get_statement(request)
        .await
        .map(tonic::Response::into_inner)
        .map_err(Into::into)
}

async fn audit(stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    let mut sandbox = SandboxServiceClient::new(stage.as_user("admin")?);
    let sends = sandbox
        .list_graph_sends(ListGraphSendsRequest {
            offset: 0,
            limit: 1_000,
        })
        .await?;
    let sends = sends.into_inner().sends;
    let mut keys: Vec<_> = sends
        .iter()
        .map(|send| send.callback_data.clone())
        .collect();
    keys.sort();
    keys.dedup();
    report.check_equal(
        "Meta got each message exactly once",
        &(sends.len(), keys.len()),
        &(7, 7),
    );
    let mut ingress = IngressServiceClient::new(stage.as_user("admin")?);
    let inbox = ingress.get_inbox(GetInboxRequest {}).await?.into_inner();
    report.check_equal(
        "no webhook is waiting, parked or refused",
        &(
            inbox.waiting_deliveries,
            inbox.parked_items,
            inbox.refused_signatures,
        ),
        &(0, 0, 0),
    );
    Ok(())
}

/// Checks G15 on what the instance left behind.
pub(crate) async fn check_replay(folder: &Path, report: &mut Report) {
    let name = "replaying the log gives the stored state, byte for byte";
    match svc_conversations::verify_replay_of(folder).await {
        Ok(outcome) => report.check(
            name,
            outcome.differences.is_empty(),
            format!(
                "{} events of {} conversation",
                outcome.events, outcome.conversations
            ),
        ),
        Err(error) => report.check(name, false, error.to_string()),
    }
}
