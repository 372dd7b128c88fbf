//! Calls to other systems: made once, after the step that asks for them; their answer is the flow's
//! next step, and where there is none the flow's wait ends by itself.

use std::time::Duration;

use lib_proto::common::content::Content as Said;
use lib_proto::common::flow_called::Outcome;
use lib_proto::conversations as pb;
use lib_testkit::SERVICE;
use pb::flow_step::Told;
use pb::log_entry::Event;

use crate::peers::FLOW_WAIT;
use crate::world::{Follower, World};

/// Waits until the flow says `text`.
async fn until_said(log: &mut Follower, text: &str) {
    log.until(|event| match event {
        Event::MessageQueued(queued) => {
            let content = queued.message.as_ref()?.content.as_ref()?;
            let said = content.content.as_ref();
            matches!(said, Some(Said::Text(said)) if said.body == text).then_some(())
        }
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn a_call_is_made_once_and_its_answer_is_the_next_step() {
    let world = World::start().await;
    world.says("w1", "16505551111", "hi").await;
    let mut log = world.watch(SERVICE, "now").await;
    world.says("w2", "16505551111", "ask").await;
    until_said(&mut log, "200 59.90").await;
    let conversation = world.conversation("16505551111").await;
    let engagement = conversation.engagement_id;
    assert_eq!(world.flows.asked(), [format!("{engagement}.2")]);
    let request = pb::ListFlowStepsRequest {
        engagement_id: engagement,
    };
    let steps = world.people("root").list_flow_steps(request).await;
    let steps = steps.unwrap().into_inner().steps;
    let Some(Told::Called(called)) = &steps[2].told else {
        panic!("{:?}", steps[2]);
    };
    let Some(Outcome::Answer(answer)) = &called.outcome else {
        panic!("{called:?}");
    };
    assert_eq!(
        (called.wait, answer.status, &*answer.saved),
        (2, 200, &["59.90".to_owned()][..])
    );
    world.verify().await;
}

#[tokio::test]
async fn without_an_answer_the_wait_ends_by_itself() {
    let world = World::start().await;
    world.says("w1", "16505551111", "hi").await;
    let mut log = world.watch(SERVICE, "now").await;
    world.says("w2", "16505551111", "ask late").await;
    // Nothing comes of it; the customer may go on writing.
    world.says("w3", "16505551111", "hello?").await;
    until_said(&mut log, "1 or 2, please").await;
    world.clock.advance(Duration::from_secs(FLOW_WAIT));
    log.until(|event| match event {
        Event::EngagementQueued(queued) => (queued.queue_id == "support").then_some(()),
        _ => None,
    })
    .await;
    assert_eq!(world.flows.asked().len(), 1);
    world.verify().await;
}

/// The registry knows one template, `offer`.
#[tokio::test]
async fn a_flow_sends_approved_templates_and_is_told_of_others() {
    let world = World::start().await;
    world.says("w1", "16505551111", "hi").await;
    world.says("w2", "16505551111", "offer").await;
    let conversation = world.conversation("16505551111").await;
    let sent = world.messages(&conversation.id).await.pop().unwrap();
    let Some(Said::Template(template)) = sent.content.clone().unwrap().content else {
        panic!("{sent:?}");
    };
    assert_eq!(template.rendered, "An offer for you");
    assert_eq!(template.category, "marketing");
    assert_eq!(sent.send_state(), pb::SendState::Queued);
    let mut log = world.watch(SERVICE, "now").await;
    world.says("w3", "16505551111", "bargain").await;
    let cause = log
        .until(|event| match event {
            Event::AttemptEnded(ended) => Some(format!("{:?}", ended.errors)),
            _ => None,
        })
        .await;
    assert!(
        cause.contains("TEMPLATE_REFUSED: there is no such template"),
        "{cause}"
    );
    // Told of it, the scripted flow gives up.
    log.until(|event| match event {
        Event::EngagementQueued(queued) => (queued.queue_id == "support").then_some(()),
        _ => None,
    })
    .await;
    world.verify().await;
}
