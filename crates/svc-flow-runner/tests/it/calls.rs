//! Calls to a real web server on this machine, and credentials that sign them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lib_proto::common::flow_called::Outcome;
use lib_proto::flow_runner as pb;
use lib_testkit::{Place, SERVICE};
use pb::credential::Secret;
use prost::Message as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;

use crate::support::Server;

lib_testkit::on_both_engines! {
    an_answer_is_read_as_the_flow_wants_it,
    what_goes_wrong_is_told_in_words,
    credentials_sign_calls_to_their_hosts_and_are_never_told,
    a_token_is_asked_for_once_and_again_when_it_was_taken_back,
}

/// A web server that answers by a script and remembers what it was asked.
struct Web {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Web {
    /// `answer` gives status and body for the number of the request, from 0, and its text.
    async fn start(answer: impl Fn(usize, &str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (remembered, answer) = (Arc::clone(&heard), Arc::new(answer));
        let count = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (heard, answer) = (Arc::clone(&remembered), Arc::clone(&answer));
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    serve(socket, &heard, |text| {
                        answer(count.fetch_add(1, Ordering::SeqCst), text)
                    })
                    .await;
                });
            }
        });
        Self { port, heard }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve(
    mut socket: TcpStream,
    heard: &Mutex<Vec<String>>,
    answer: impl Fn(&str) -> (u16, String),
) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let line = line.to_ascii_lowercase();
                line.strip_prefix("content-length: ")?.parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                heard.lock().unwrap().push(text.clone());
                let (status, body) = answer(&text);
                let said = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                // 0 stands for silence, 1 for a broken connection.
                match status {
                    0 => std::future::pending::<()>().await,
                    1 => {}
                    _ => socket.write_all(said.as_bytes()).await.unwrap(),
                }
                return;
            }
        }
        match socket.read(&mut chunk).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&chunk[..read]),
            _ => return,
        }
    }
}

/// A flow whose widget 1 asks and keeps the price.
fn flow() -> String {
    json!({"format": 1, "name": "Shop", "start": "Start",
        "variables": [{"name": "price", "type": "currency", "default": "0"}],
        "widgets": [
            {"name": "Start", "type": "start", "exits": {"next": "Ask"}},
            {"name": "Ask", "type": "http_call", "settings": {"url": "https://shop.example.com/",
                "save": [{"variable": "{{flow.price}}", "expression": "response.body.total"}]},
             "exits": {"next": "Say", "failed": "Say", "timeout": "Say"}},
            {"name": "Say", "type": "send_media",
             "settings": {"parts": [{"type": "text", "text": "Costs {{flow.price}}"}]},
             "exits": {"next": null, "failed": null}}]})
    .to_string()
}

fn call(url: String) -> pb::FlowCall {
    pb::FlowCall {
        widget: 1,
        method: "GET".to_owned(),
        url,
        timeout_seconds: 5,
        ..pb::FlowCall::default()
    }
}

async fn made(server: &Server, call: pb::FlowCall) -> Result<Outcome, Code> {
    let request = pb::CallRequest {
        tenant_id: "red".to_owned(),
        flow_id: "shop".to_owned(),
        flow_version: 1,
        call: call.encode_to_vec(),
        idempotency_key: "eng-1.2".to_owned(),
    };
    let answer = server.runner(SERVICE).call(request).await;
    let answer = answer.map_err(|status| status.code())?.into_inner();
    Ok(answer.called.unwrap().outcome.unwrap())
}

async fn answered(server: &Server, call: pb::FlowCall) -> (u32, bool, Vec<String>) {
    match made(server, call).await {
        Ok(Outcome::Answer(answer)) => (answer.status, answer.usable, answer.saved),
        other => panic!("{other:?}"),
    }
}

async fn failed(server: &Server, call: pb::FlowCall) -> String {
    match made(server, call).await {
        Ok(Outcome::Failed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

async fn an_answer_is_read_as_the_flow_wants_it(place: &Place) {
    let server = Server::start(place).await;
    server.publish("shop", &flow()).await;
    let web = Web::start(|number, _| match number {
        0 => (201, "{\"total\": 5.5}".to_owned()),
        1 => (200, "{\"total\": [1]}".to_owned()),
        2 => (503, String::new()),
        3 => (200, "{\"total\": 7}".to_owned()),
        _ => (404, "{}".to_owned()),
    })
    .await;
    let order = pb::FlowCall {
        method: "POST".to_owned(),
        headers: vec![pb::FlowCallHeader {
            name: "X-Shop".to_owned(),
            value: "garden".to_owned(),
        }],
        body: Some("{\"n\":1}".to_owned()),
        content_type: "application/json".to_owned(),
        ..call(web.url("/orders?x=1"))
    };
    assert_eq!(
        answered(&server, order).await,
        (201, true, vec!["5.50".to_owned()])
    );
    let said = web.heard().remove(0).to_ascii_lowercase();
    for part in [
        "post /orders?x=1 http/1.1",
        "x-shop: garden",
        "content-type: application/json",
        "idempotency-key: eng-1.2",
        "{\"n\":1}",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(
        answered(&server, call(web.url("/"))).await,
        (200, false, vec![])
    );
    // Tried again while the other system is only busy.
    let patient = pb::FlowCall {
        retries: 1,
        ..call(web.url("/"))
    };
    assert_eq!(
        answered(&server, patient.clone()).await,
        (200, true, vec!["7.00".to_owned()])
    );
    assert_eq!(answered(&server, patient).await.0, 404);
    assert_eq!(web.heard().len(), 5);
    server.stop().await;
}

async fn what_goes_wrong_is_told_in_words(place: &Place) {
    let server = Server::start(place).await;
    server.publish("shop", &flow()).await;
    let web = Web::start(|_, text| {
        let path = text.split(' ').nth(1).unwrap_or_default();
        match path {
            "/silent" => (0, String::new()),
            "/broken" => (1, String::new()),
            "/redirect" => (302, String::new()),
            _ => (200, " ".repeat(300_000)),
        }
    })
    .await;
    let silent = pb::FlowCall {
        timeout_seconds: 1,
        ..call(web.url("/silent"))
    };
    assert_eq!(made(&server, silent).await, Err(Code::DeadlineExceeded));
    let cases = [
        (web.url("/broken"), "the connection broke"),
        (web.url("/large"), "more than 262144 bytes"),
        // Port 1 of this machine: nobody listens there.
        ("http://127.0.0.1:1/".to_owned(), "cannot be reached"),
        ("http://localhost:1/".to_owned(), "inside of the network"),
        (
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "inside of the network",
        ),
        ("http://[::1]/".to_owned(), "inside of the network"),
        ("ftp://shop.example.com/".to_owned(), "not http or https"),
        ("nowhere".to_owned(), "the address"),
    ];
    for (url, words) in cases {
        let reason = failed(&server, call(url.clone())).await;
        assert!(reason.contains(words), "{url}: {reason}");
    }
    // Nobody is led on: an answer that points elsewhere is the answer.
    assert_eq!(answered(&server, call(web.url("/redirect"))).await.0, 302);
    let mut nobody = server.runner("red");
    let refused = nobody.call(pb::CallRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    server.stop().await;
}

fn credential(name: &str, secret: Secret) -> pb::Credential {
    pb::Credential {
        name: name.to_owned(),
        hosts: vec!["127.0.0.1".to_owned()],
        secret: Some(secret),
        updated_at: None,
    }
}

async fn put(
    server: &Server,
    token: &str,
    credential: pb::Credential,
) -> Result<pb::Credential, tonic::Status> {
    let request = pb::PutCredentialRequest {
        credential: Some(credential),
    };
    let kept = server.flows(token).put_credential(request).await?;
    Ok(kept.into_inner())
}

fn signed(url: String, credential: &str) -> pb::FlowCall {
    pb::FlowCall {
        credential: credential.to_owned(),
        ..call(url)
    }
}

async fn credentials_sign_calls_to_their_hosts_and_are_never_told(place: &Place) {
    let server = Server::start(place).await;
    server.publish("shop", &flow()).await;
    let web = Web::start(|_, _| (200, "{}".to_owned())).await;
    let bearer = Secret::Bearer(pb::BearerToken {
        token: "s3cret-bearer".to_owned(),
    });
    let basic = Secret::Basic(pb::BasicCredential {
        user: "me".to_owned(),
        password: "s3cret".to_owned(),
    });
    let header = Secret::Header(pb::HeaderCredential {
        name: "X-Api-Key".to_owned(),
        value: "s3cret-key".to_owned(),
    });
    for (name, secret, sent) in [
        ("bearer", bearer, "authorization: bearer s3cret-bearer"),
        ("basic", basic, "authorization: basic bwu6cznjcmv0"),
        ("header", header, "x-api-key: s3cret-key"),
    ] {
        let kept = put(&server, "red", credential(name, secret)).await.unwrap();
        assert!(!format!("{kept:?}").contains("s3cret"), "{kept:?}");
        answered(&server, signed(web.url("/"), name)).await;
        let heard = web.heard().pop().unwrap().to_ascii_lowercase();
        assert!(heard.contains(sent), "{heard}");
    }
    let listed = server
        .flows("red-author")
        .list_credentials(pb::ListCredentialsRequest {})
        .await;
    let listed = listed.unwrap().into_inner().credentials;
    let names: Vec<&str> = listed.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["basic", "bearer", "header"]);
    assert!(!format!("{listed:?}").contains("s3cret"), "{listed:?}");
    // Of another tenant, of another host, or of nobody.
    let theirs = server
        .flows("blue")
        .list_credentials(pb::ListCredentialsRequest {})
        .await;
    assert!(theirs.unwrap().into_inner().credentials.is_empty());
    let elsewhere = pb::Credential {
        hosts: vec!["shop.example.com".to_owned()],
        ..credential(
            "elsewhere",
            Secret::Bearer(pb::BearerToken {
                token: "x".to_owned(),
            }),
        )
    };
    put(&server, "red", elsewhere).await.unwrap();
    let reason = failed(&server, signed(web.url("/"), "elsewhere")).await;
    assert!(reason.contains("not for this host"), "{reason}");
    let reason = failed(&server, signed(web.url("/"), "nobody")).await;
    assert!(reason.contains("no credential `nobody`"), "{reason}");
    bad_credentials_are_refused(&server).await;
    let gone = pb::DeleteCredentialRequest {
        name: "bearer".to_owned(),
    };
    server
        .flows("red")
        .delete_credential(gone.clone())
        .await
        .unwrap();
    let again = server
        .flows("red")
        .delete_credential(gone)
        .await
        .unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
    server.stop().await;
}

async fn bad_credentials_are_refused(server: &Server) {
    let bearer = |token: &str| {
        Secret::Bearer(pb::BearerToken {
            token: token.to_owned(),
        })
    };
    let good = credential("good", bearer("x"));
    let bad = [
        (credential("", bearer("x")), "credential.name"),
        (credential("my shop", bearer("x")), "credential.name"),
        (credential("a", bearer("")), "credential.bearer.token"),
        (credential("a", bearer("x\r\ny")), "credential.bearer.token"),
        (
            pb::Credential {
                hosts: vec![],
                ..good.clone()
            },
            "credential.hosts",
        ),
        (
            pb::Credential {
                hosts: vec!["https://a/".to_owned()],
                ..good.clone()
            },
            "credential.hosts[0]",
        ),
        (
            pb::Credential {
                secret: None,
                ..good.clone()
            },
            "credential.secret",
        ),
    ];
    for (credential, field) in bad {
        let refused = put(server, "red", credential).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}");
        assert!(
            refused.message().contains(field),
            "{field}: {}",
            refused.message()
        );
    }
    for token in ["red-author", "red-agent"] {
        let refused = put(server, token, good.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{token}");
    }
}

async fn a_token_is_asked_for_once_and_again_when_it_was_taken_back(place: &Place) {
    let server = Server::start(place).await;
    server.publish("shop", &flow()).await;
    let web = Web::start(|_, text| {
        let granted = |token: &str| {
            (
                200,
                json!({"access_token": token, "expires_in": 3600}).to_string(),
            )
        };
        match text.split(' ').nth(1).unwrap_or_default() {
            "/token" => granted("t0ken"),
            "/taken-back" => (401, String::new()),
            _ => (200, "{}".to_owned()),
        }
    })
    .await;
    let client = Secret::OauthClient(pb::OAuthClient {
        token_url: web.url("/token"),
        client_id: "id:1".to_owned(),
        client_secret: "s3cret".to_owned(),
        scope: "orders read".to_owned(),
    });
    put(&server, "red", credential("oauth", client))
        .await
        .unwrap();
    for _ in 0..2 {
        answered(&server, signed(web.url("/orders"), "oauth")).await;
    }
    let first_words = |text: &String| {
        let words: Vec<&str> = text.split(' ').take(2).collect();
        words.join(" ")
    };
    let heard = web.heard();
    let lines: Vec<String> = heard.iter().map(first_words).collect();
    assert_eq!(lines, ["POST /token", "GET /orders", "GET /orders"]);
    let asked = heard[0].to_ascii_lowercase();
    assert!(
        asked.contains("grant_type=client_credentials&scope=orders%20read"),
        "{asked}"
    );
    // `id%3A1:s3cret`, as RFC 6749 wants it.
    assert!(
        heard[0].contains("Basic aWQlM0ExOnMzY3JldA=="),
        "{}",
        heard[0]
    );
    assert!(heard[1].contains("Bearer t0ken"), "{}", heard[1]);
    assert_eq!(
        answered(&server, signed(web.url("/taken-back"), "oauth"))
            .await
            .0,
        401
    );
    let lines: Vec<String> = web.heard()[3..].iter().map(first_words).collect();
    assert_eq!(lines, ["GET /taken-back", "POST /token", "GET /taken-back"]);
    server.stop().await;
}
