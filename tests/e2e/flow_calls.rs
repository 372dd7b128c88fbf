//! A live flow that asks another system: signed, answered, kept as a test, taken again; and what
//! becomes of a call when the process that makes it dies.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use lib_proto::conversations::{EngagementState, ListEngagementsRequest};
use lib_proto::flow_runner::credential::Secret;
use lib_proto::flow_runner::flow_service_client::FlowServiceClient;
use lib_proto::flow_runner::{BearerToken, Credential, PutCredentialRequest};
use tests::process::{Addresses, Frontdesk};

use crate::conversation::Customer;
use crate::flow_replay::{every_session_replays, flow, good, guide};
use crate::installation::{Access, eventually};

/// The flow the number is bound to.
const FLOW: &str = "whatsapp-for-business";
const ORDER: &str = r#"{"state":"sent","total":59.9,"parcels":["P-1","P-2"]}"#;

/// A shop that tells what it was asked, and answers or stays silent.
struct Shop {
    port: u16,
    heard: Receiver<String>,
    _thread: JoinHandle<()>,
}

impl Shop {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, heard) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut silent = Vec::new();
            while let Ok((mut socket, _)) = listener.accept() {
                let asked = head(&mut socket);
                let status = if asked.contains("/orders/404404") {
                    "404 Not Found"
                } else {
                    "200 OK"
                };
                let is_silent = asked.contains("/orders/999999");
                if tell.send(asked).is_err() {
                    return;
                }
                if is_silent {
                    silent.push(socket);
                    continue;
                }
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{ORDER}",
                    ORDER.len()
                );
                socket.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self {
            port,
            heard,
            _thread: thread,
        }
    }

    /// The flow of the shelf, asking this shop.
    fn flow(&self, folder: &Path) -> String {
        let shelf = guide().with_file_name("order-status.json");
        let text = std::fs::read_to_string(shelf).unwrap();
        let own = format!("http://127.0.0.1:{}", self.port);
        let text = text.replace("https://shop.example.com", &own);
        let file = folder.join("order-status.json");
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

/// What came before the body of a request.
fn head(socket: &mut TcpStream) -> String {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") && socket.read(&mut byte).unwrap_or(0) > 0 {
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

async fn publish(access: &Access, file: &str) {
    let mut flows = FlowServiceClient::new(access.channel("flow-runner", "admin"));
    let secret = BearerToken {
        token: "shop-token".to_owned(),
    };
    let credential = Credential {
        name: "shop".to_owned(),
        hosts: vec!["127.0.0.1".to_owned()],
        secret: Some(Secret::Bearer(secret)),
        updated_at: None,
    };
    // Asked beforehand, the installation says what is missing.
    let check = flow(access, "admin", &["check", "--live", file]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(said.contains("no credential `shop`"), "{said}");
    let put = PutCredentialRequest {
        credential: Some(credential),
    };
    flows.put_credential(put).await.unwrap();
    good(&flow(access, "admin", &["check", "--live", file]));
    good(&flow(
        access,
        "admin",
        &["import", file, "--id", FLOW, "--publish"],
    ));
}

/// An installation on `folder` that runs the flow in `file`.
async fn started(folder: &Path, file: &str) -> (Addresses, Frontdesk) {
    let at = Addresses::free();
    let process = Frontdesk::start(&folder.join("data"), &at, &[]);
    publish(&Access::dev(&at), file).await;
    (at, process)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_asks_a_shop_and_its_session_comes_out_again() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open();
    let file = shop.flow(folder.path());
    let (at, process) = started(folder.path(), &file).await;
    let access = Access::dev(&at);

    let mut phone = Customer::number(1).phone(&access);
    phone.types("Hi");
    phone.shows("< Hello");
    phone.types("12-34-56");
    phone.shows("over 59.90 EUR is on its way in 2 parcels: P-1, P-2");
    let asked = shop.heard.recv().unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get /orders/123456 http/1.1"), "{asked}");
    assert!(
        asked.contains("authorization: bearer shop-token"),
        "{asked}"
    );
    phone.types("Hi again");
    phone.shows("What is the number");
    phone.types("404404");
    phone.shows("There is no order 404404");

    let id = eventually("a closed engagement", async || closed(&access).await).await;
    let shown = good(&flow(&access, "admin", &["trace", &id]));
    for part in [
        "GET http://127.0.0.1",
        "credential: shop",
        "flow.total: '59.90'",
        "Look_up/next",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("shop-token"), "{shown}");
    let kept = folder.path().join("live.test.yaml");
    let kept = kept.to_str().unwrap();
    let save = [
        "trace",
        &id,
        "--save",
        kept,
        "--flow",
        &file,
        "--title",
        "A live one",
    ];
    good(&flow(&access, "admin", &save));
    good(&flow(&access, "admin", &["test", kept]));
    every_session_replays(&access);
    drop(phone);
    assert!(process.stop().success());
}

async fn closed(access: &Access) -> Option<String> {
    let mut client = ConversationServiceClient::new(access.channel("conversations", "admin"));
    let all = client
        .list_engagements(ListEngagementsRequest::default())
        .await;
    let mut all = all.ok()?.into_inner().engagements.into_iter();
    let closed = all.find(|one| one.state() == EngagementState::Closed)?;
    Some(closed.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_maker_dies_is_not_made_again_and_times_out() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open();
    let file = shop.flow(folder.path());
    let (at, process) = started(folder.path(), &file).await;
    let access = Access::dev(&at);
    let mut phone = Customer::number(1).phone(&access);
    phone.types("Hi");
    phone.shows("< Hello");
    phone.types("999999");
    // The shop has the request, and will not answer it.
    shop.heard.recv().unwrap();
    process.kill();
    let process = Frontdesk::start(&folder.path().join("data"), &at, &[]);
    let queue = eventually("an engagement in a queue", async || {
        let mut client = ConversationServiceClient::new(access.channel("conversations", "admin"));
        let all = client
            .list_engagements(ListEngagementsRequest::default())
            .await;
        let one = all.ok()?.into_inner().engagements.pop()?;
        (!one.queue_id.is_empty()).then_some(one.queue_id)
    });
    assert_eq!(queue.await, "support");
    // Nobody has asked a second time.
    assert!(shop.heard.try_recv().is_err());
    every_session_replays(&access);
    drop(phone);
    assert!(process.stop().success());
}
