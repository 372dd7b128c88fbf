//! The Graph API and the control API.

use std::time::Duration;

use lib_platform::Clock;
use serde_json::{Value, json};
use svc_sandbox::Config;

use crate::harness::{CUSTOMER, NUMBER, Receiver, Stand, TOKEN, WABA, template, text};

async fn stand(folder: &tempfile::TempDir, receiver: &Receiver) -> Stand {
    Stand::virtual_at(folder.path(), "2026-11-22T12:00:00Z", receiver).await
}

/// Bodies that are refused, with the HTTP status and code.
fn bad_requests() -> Vec<(Value, u16, i64)> {
    let without = |field: &str| {
        let mut body = text("x");
        body.as_object_mut().unwrap().remove(field);
        body
    };
    let with = |field: &str, value: Value| {
        let mut body = text("x");
        body[field] = value;
        body
    };
    vec![
        (without("messaging_product"), 400, 131_008),
        (without("to"), 400, 131_008),
        (without("text"), 400, 131_008),
        (with("to", json!("not a number")), 400, 131_009),
        (with("to", json!("15550783881")), 400, 131_021),
        (with("type", json!("hologram")), 400, 131_051),
        (
            with("text", json!({"body": "x".repeat(4_097)})),
            400,
            131_009,
        ),
        (
            with("biz_opaque_callback_data", json!("x".repeat(513))),
            400,
            131_009,
        ),
        (json!([]), 400, 100),
        (template("order_ready", &[]), 400, 132_000),
        (template("order_ready", &["a", "b"]), 400, 132_000),
        (template("no_such", &["a"]), 404, 132_001),
        (
            json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.x"}),
            400,
            131_009,
        ),
    ]
}

#[tokio::test]
async fn refusals_have_metas_shape_and_codes() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = stand(&folder, &receiver).await;
    stand.create_template("UTILITY", "order_ready").await;
    for (body, status, code) in bad_requests() {
        let (answered, answer) = stand.post(&body).await.unwrap();
        assert_eq!(
            (answered, &answer["error"]["code"]),
            (status, &json!(code)),
            "{body}"
        );
        assert_eq!(answer["error"]["type"], "OAuthException");
        assert!(
            answer["error"]["fbtrace_id"].is_string() && answer["error"]["message"].is_string()
        );
    }
    let (status, answer) = stand
        .call("POST", "v24.0/1/messages", &text("x"))
        .await
        .unwrap();
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(33)));
    let (status, answer) = stand
        .call("POST", &format!("graph/{NUMBER}/messages"), &text("x"))
        .await
        .unwrap();
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(2_500)));
    let url = format!("{}/v24.0/{NUMBER}/messages", stand.graph);
    for request in [
        stand.http.post(&url),
        stand.http.post(&url).bearer_auth("wrong"),
    ] {
        let answer = request.json(&text("x")).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], 190);
    }
    // Each request is on record, refused or not, except reading marks.
    let sends = stand.sends().await;
    assert_eq!(sends.len(), 15);
    assert!(sends.iter().all(|send| send.whatsapp_message_id.is_empty()));
    stand.stop().await;
}

#[tokio::test]
async fn an_accepted_message_is_answered_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = stand(&folder, &receiver).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = stand
        .http
        .post(format!("{}/v19.0/{NUMBER}/messages", stand.graph));
    let request = request
        .bearer_auth(TOKEN)
        .header("traceparent", trace)
        .json(&text("x"));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        answer["contacts"],
        json!([{"input": "+16505551234", "wa_id": CUSTOMER}])
    );
    assert!(answer["messages"][0].get("message_status").is_none());
    let send = stand.sends().await.remove(0);
    assert_eq!(
        answer["messages"][0]["id"],
        send.whatsapp_message_id.as_str()
    );
    assert_eq!(
        (send.to.as_str(), send.traceparent.as_str()),
        ("+16505551234", trace)
    );
    assert_eq!(
        serde_json::from_str::<Value>(&send.body).unwrap(),
        text("x")
    );
    stand.stop().await;
}

/// The names of the approved templates, read two at a time.
async fn names_by_pages(stand: &Stand, path: &str) -> Vec<String> {
    let first = format!("{path}?fields=name,status&status=APPROVED&limit=2");
    let mut names = Vec::new();
    let mut query = first.clone();
    loop {
        let (_, page) = stand.call("GET", &query, &Value::Null).await.unwrap();
        for template in page["data"].as_array().unwrap() {
            assert!(template["id"].is_string() && template.get("components").is_none());
            names.push(template["name"].as_str().unwrap().to_owned());
        }
        if page["paging"].get("next").is_none() {
            return names;
        }
        let after = page["paging"]["cursors"]["after"].as_str().unwrap();
        query = format!("{first}&after={after}");
    }
}

async fn delete_one(stand: &Stand, path: &str) {
    let (_, page) = stand
        .call(
            "GET",
            &format!("{path}?name=t3&language=en_US"),
            &Value::Null,
        )
        .await
        .unwrap();
    let id = page["data"][0]["id"].as_str().unwrap().to_owned();
    let (_, node) = stand
        .call("GET", &format!("v24.0/{id}"), &Value::Null)
        .await
        .unwrap();
    assert_eq!(node["name"], "t3");
    let (status, answer) = stand
        .call("DELETE", &format!("{path}?name=t3"), &Value::Null)
        .await
        .unwrap();
    assert_eq!((status, answer), (200, json!({"success": true})));
    let (status, _) = stand
        .call("GET", &format!("v24.0/{id}"), &Value::Null)
        .await
        .unwrap();
    assert_eq!(status, 400);
}

#[tokio::test]
async fn templates_are_reviewed_listed_in_pages_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = stand(&folder, &receiver).await;
    let definition = |name: String| {
        json!({"name": name, "language": "en_US", "category": "UTILITY", "components": [
            {"type": "BODY", "text": format!("Nothing new about {name}.")}]})
    };
    let path = format!("v24.0/{WABA}/message_templates");
    for number in 0..5 {
        let body = definition(format!("t{number}"));
        let (status, answer) = stand.call("POST", &path, &body).await.unwrap();
        assert_eq!(
            (status, &answer["status"], &answer["category"]),
            (200, &json!("PENDING"), &json!("UTILITY"))
        );
    }
    let (status, answer) = stand
        .call("POST", &path, &definition("t0".into()))
        .await
        .unwrap();
    assert_eq!(
        (status, &answer["error"]["error_subcode"]),
        (400, &json!(2_388_024))
    );
    let (_, answer) = stand
        .call("POST", &path, &definition("Bad-Name".into()))
        .await
        .unwrap();
    assert_eq!(answer["error"]["code"], 100);
    assert_eq!(
        stand.post(&template("t0", &[])).await.unwrap().1["error"]["code"],
        132_001
    );
    stand.advance(Duration::from_secs(60)).await;
    let reviews = receiver
        .changes(5, |field, value| {
            (field == "message_template_status_update").then(|| value.clone())
        })
        .await;
    assert!(reviews[0]["message_template_id"].is_u64() && reviews[0]["event"] == "APPROVED");
    assert_eq!(stand.post(&template("t0", &[])).await.unwrap().0, 200);

    let names = names_by_pages(&stand, &path).await;
    assert_eq!(names, ["t0", "t1", "t2", "t3", "t4"]);
    delete_one(&stand, &path).await;
    let (_, answer) = stand
        .call("POST", &path, &definition("t3".into()))
        .await
        .unwrap();
    assert_eq!(answer["error"]["error_subcode"], 2_388_023);
    stand.stop().await;
}

#[tokio::test]
async fn numbers_and_subscriptions() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut stand = stand(&folder, &receiver).await;
    let waba = format!("v24.0/{WABA}");
    let (_, numbers) = stand
        .call("GET", &format!("{waba}/phone_numbers"), &Value::Null)
        .await
        .unwrap();
    assert_eq!(numbers["data"][0]["id"], NUMBER);
    let (_, number) = stand
        .call("GET", &format!("v24.0/{NUMBER}"), &Value::Null)
        .await
        .unwrap();
    assert_eq!(number["display_phone_number"], "+15550783881");
    let register = format!("v24.0/{NUMBER}/register");
    let pin = json!({"messaging_product": "whatsapp", "pin": "212834"});
    assert_eq!(
        stand.call("POST", &register, &pin).await.unwrap().1,
        json!({"success": true})
    );
    assert_eq!(
        stand
            .call("POST", &register, &json!({"pin": "1"}))
            .await
            .unwrap()
            .0,
        400
    );
    let apps = format!("{waba}/subscribed_apps");
    stand.call("DELETE", &apps, &Value::Null).await.unwrap();
    stand.write("unheard").await;
    assert_eq!(
        stand.call("GET", &apps, &Value::Null).await.unwrap().1,
        json!({"data": []})
    );
    stand.call("POST", &apps, &Value::Null).await.unwrap();
    stand.write("heard").await;
    let webhook = receiver.webhooks(1).await.remove(0);
    assert!(String::from_utf8_lossy(&webhook.bytes).contains("\"heard\""));
    // Created again with the same ids, it stays what it was.
    stand.create_account(&receiver.url).await;
    assert_eq!(
        stand.call("GET", &waba, &Value::Null).await.unwrap().1["currency"],
        "USD"
    );
    stand.stop().await;
}

#[tokio::test]
async fn the_control_api_serves_curl() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let stand = stand(&folder, &receiver).await;
    let message = json!({"to": NUMBER, "text": "Hi"});
    let path = format!("sandbox/phones/{CUSTOMER}/messages");
    let (status, answer) = stand.call("POST", &path, &message).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    receiver.webhooks(1).await;
    let (status, answer) = stand
        .call("POST", &path, &json!({"to": "1", "text": "Hi"}))
        .await
        .unwrap();
    assert_eq!(
        (status, &answer["error"]),
        (404, &json!("there is no number `1`"))
    );
    let script = json!({"rules": [{"times": 1, "error": {"code": 131_016}}],
        "delivery": {"batch": 10}, "pace": {"sent_after_ms": 1, "delivered_after_ms": 2}});
    assert_eq!(
        stand.call("POST", "sandbox/faults", &script).await.unwrap(),
        (200, json!({}))
    );
    assert_eq!(stand.post(&text("x")).await.unwrap().0, 500);
    let (_, clock) = stand
        .call("POST", "sandbox/clock", &json!({"advance_seconds": 90}))
        .await
        .unwrap();
    assert_eq!(
        clock,
        json!({"now": "2026-11-22T12:01:30.000Z", "virtual": true})
    );
    assert_eq!(
        stand
            .call("GET", "sandbox/clock", &Value::Null)
            .await
            .unwrap()
            .1,
        clock
    );
    let (_, sends) = stand
        .call("GET", "sandbox/sends?limit=5", &Value::Null)
        .await
        .unwrap();
    assert_eq!(
        (&sends["total"], &sends["sends"][0]["answered_status"]),
        (&json!(1), &json!(500))
    );
    stand.stop().await;
}

#[tokio::test]
async fn the_wall_clock_is_not_moved() {
    let folder = tempfile::tempdir().unwrap();
    let mut stand = Stand::start(folder.path(), Clock::system(), Config::default()).await;
    let by = Some(prost_types::Duration {
        seconds: 1,
        nanos: 0,
    });
    let request = lib_proto::sandbox::AdvanceClockRequest { by };
    let refused = stand.sandbox.advance_clock(request).await.unwrap_err();
    let reason = lib_platform::refusal::reason_of(&refused);
    assert_eq!(reason.as_deref(), Some("CLOCK_NOT_VIRTUAL"));
    stand.stop().await;
}
