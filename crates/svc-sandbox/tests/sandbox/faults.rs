//! Faults by script.

use std::time::Duration;

use lib_proto::sandbox::fault_rule::Fault;
use lib_proto::sandbox::{self as pb, FaultRule, GraphError};
use lib_testkit::{at, within};
use serde_json::json;
use svc_sandbox::Config;

use crate::harness::{Receiver, Stand, text};

const SECOND: Duration = Duration::from_secs(1);

fn once(fault: Fault) -> Vec<FaultRule> {
    vec![FaultRule {
        times: 1,
        fault: Some(fault),
        ..Default::default()
    }]
}

fn error(http_status: u32, code: i64) -> GraphError {
    GraphError {
        http_status,
        code,
        message: "As scripted".into(),
        details: "why".into(),
    }
}

async fn stand(folder: &tempfile::TempDir, receiver: &Receiver) -> Stand {
    let mut stand = Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", receiver).await;
    stand.write("Hi").await;
    stand
}

#[tokio::test]
async fn errors_at_once_and_later() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = stand(&folder, &receiver).await;
    let mut rules = once(Fault::Error(error(500, 131_000)));
    rules[0].body_contains = "first".into();
    rules.extend(once(Fault::FailLater(error(0, 131_026))));
    stand.faults(rules).await;
    let later = stand.text("later").await;
    let (status, answer) = stand.post(&text("first")).await.unwrap();
    assert_eq!((status, &answer["error"]["code"]), (500, &json!(131_000)));
    assert_eq!(answer["error"]["error_data"]["details"], "why");
    assert!(!answer["error"]["fbtrace_id"].as_str().unwrap().is_empty());
    let fine = stand.text("first, once more").await;
    stand.advance(SECOND).await;
    let failed = receiver.statuses(&later, 1).await.remove(0);
    assert_eq!(
        (&failed["status"], &failed["errors"][0]["code"]),
        (&json!("failed"), &json!(131_026))
    );
    receiver.statuses(&fine, 2).await;
    let sends = stand.sends().await;
    let answered: Vec<u32> = sends.iter().map(|send| send.answered_status).collect();
    assert_eq!(answered, [200, 500, 200]);
    assert!(sends[1].whatsapp_message_id.is_empty() && sends[1].callback_data == "v1.first");
    stand.stop().await;
}

#[tokio::test]
async fn connections_are_really_closed() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = stand(&folder, &receiver).await;
    let mut rules = once(Fault::HangUp(true));
    rules.extend(once(Fault::AcceptAndHangUp(true)));
    stand.faults(rules).await;
    assert!(stand.post(&text("nothing")).await.is_none());
    assert!(stand.post(&text("accepted")).await.is_none());
    stand.advance(SECOND).await;
    let sends = stand.sends().await;
    assert!(
        sends
            .iter()
            .all(|send| send.answer_lost && send.answered_status == 0)
    );
    assert!(sends[0].whatsapp_message_id.is_empty());
    let statuses = receiver.statuses(&sends[1].whatsapp_message_id, 2).await;
    assert_eq!(statuses[0]["biz_opaque_callback_data"], "v1.accepted");
    stand.stop().await;
}

#[tokio::test]
async fn silence_and_reading_without_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = stand(&folder, &receiver).await;
    let mut rules = once(Fault::NoStatus(true));
    rules.extend(once(Fault::ReadWithoutDelivered(true)));
    stand.faults(rules).await;
    let silent = stand.text("silent").await;
    let read = stand.text("read").await;
    stand.advance(SECOND).await;
    let statuses = receiver.statuses(&read, 2).await;
    assert_eq!(
        (&statuses[0]["status"], &statuses[1]["status"]),
        (&json!("sent"), &json!("read"))
    );
    assert_eq!(statuses[1]["pricing"]["category"], "service");
    // One thread's webhooks leave in order: what there was to say of the first is said.
    assert!(receiver.statuses(&silent, 0).await.is_empty());
    stand.stop().await;
}

#[tokio::test]
async fn statuses_may_come_before_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = stand(&folder, &receiver).await;
    stand.faults(once(Fault::StatusBeforeAnswer(true))).await;
    let id = stand.text("slow answer").await;
    // No time has passed and nothing is waited for: they are here already.
    assert_eq!(receiver.statuses(&id, 0).await.len(), 2);
    stand.stop().await;
}

#[tokio::test]
async fn a_caller_who_does_not_wait_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = stand(&folder, &receiver).await;
    let delay = prost_types::Duration {
        seconds: 60,
        nanos: 0,
    };
    stand.faults(once(Fault::Delay(delay))).await;
    let patience = Duration::from_millis(200);
    assert!(
        tokio::time::timeout(patience, stand.post(&text("slow")))
            .await
            .is_err()
    );
    within(async {
        while !stand.sends().await[0].answer_lost {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stand.stop().await;
}

#[tokio::test]
async fn chances_are_the_same_in_every_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let receiver = Receiver::start().await;
        let mut stand = stand(&folder, &receiver).await;
        let rule = FaultRule {
            per_thousand: 300,
            fault: Some(Fault::Error(error(503, 2))),
            ..Default::default()
        };
        stand.faults(vec![rule]).await;
        let mut answers = Vec::new();
        for number in 0..100 {
            answers.push(stand.post(&text(&number.to_string())).await.unwrap().0);
        }
        runs.push(answers);
        stand.stop().await;
    }
    assert_eq!(runs[0], runs[1]);
    let refused = runs[0].iter().filter(|status| **status == 503).count();
    assert!((15..=45).contains(&refused), "{refused}");
}

#[tokio::test]
async fn scripts_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = stand(&folder, &receiver).await;
    let rules = [
        FaultRule::default(),
        FaultRule {
            fault: Some(Fault::HangUp(false)),
            ..Default::default()
        },
        FaultRule {
            fault: Some(Fault::HangUp(true)),
            per_thousand: 1_001,
            ..Default::default()
        },
        FaultRule {
            fault: Some(Fault::Error(error(200, 1))),
            ..Default::default()
        },
    ];
    for rule in rules {
        let request = pb::SetFaultsRequest {
            rules: vec![rule],
            ..Default::default()
        };
        let refused = stand.sandbox.set_faults(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        let refused = stand.as_agent.set_faults(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    }
    stand.stop().await;
}

#[tokio::test]
async fn rate_limits_answer_as_meta_does() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let clock = lib_platform::Clock::virtual_at(at("2026-11-22T12:00:00Z"));
    let config = Config {
        pair_limit: true,
        messages_per_second: Some(50),
        ..Config::default()
    };
    let mut stand = Stand::start(folder.path(), clock, config).await;
    stand.create_account(&receiver.url).await;
    for number in 0..45 {
        stand.text(&number.to_string()).await;
    }
    let (status, answer) = stand.post(&text("46")).await.unwrap();
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(131_056)));
    let mut other = text("x");
    for number in 0..5 {
        other["to"] = json!(format!("4917012345{number:03}"));
        assert_eq!(stand.post(&other).await.unwrap().0, 200);
    }
    let (status, answer) = stand.post(&other).await.unwrap();
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(130_429)));
    stand.stop().await;
}
