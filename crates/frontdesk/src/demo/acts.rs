//! The story, act by act. Each act does something as a person would, waits for what must follow,
//! tells it, and checks it.

use std::time::Duration;

use anyhow::Context as _;
use core_types::Content;
use lib_platform::refusal::reason_of;
use lib_proto::common::{self, DeliveryStatus};
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::log_entry::Event;
use lib_proto::conversations::{
    CompleteWrapUpRequest, SendMessageRequest, SendState, StartWrapUpRequest,
};
use lib_proto::routing::desk_command::Command;
use lib_proto::routing::{
    AcceptOffer, AgentPresence, DeskEngagement, Offer, SetPresence, desk_event,
};
use tonic::Code;

use super::books;
use super::report::Report;
use super::stage::{Desk, Stage, text};

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
    books::bill(stage, report).await?;
    books::audit(stage, report).await
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
        "tries free text, a day later, and is refused: the 24-hour window has closed.",
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
