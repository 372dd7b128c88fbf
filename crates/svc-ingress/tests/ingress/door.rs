//! The HTTP side: who is let in, and what is on disk when 200 is said.

use std::time::Duration;

use lib_platform::Clock;
use lib_testkit::{NOWHERE, context};
use svc_ingress::Config;
use svc_ingress::embedded::EmbeddedInbox;
use svc_ingress::inbox::Inbox as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::site::{OLD_SECRET, Site, VERIFY_TOKEN, config, one, sign};

const MAX: usize = 4 << 20;

#[tokio::test]
async fn w11_without_a_secret_it_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), &Clock::system(), NOWHERE);
    let refused = svc_ingress::start(Config::default(), context.clone());
    let Err(error) = refused.await else {
        panic!("it started");
    };
    assert!(error.to_string().contains("app_secrets"), "{error}");
    let three = Config {
        app_secrets: vec!["0123456789abcdef0123456789abcdef".into(); 3],
        ..Config::default()
    };
    let refused = svc_ingress::start(three, context).await;
    assert!(refused.is_err());
    assert!(!format!("{:?}", config()).contains("0123456789abcdef"));
}

#[tokio::test]
async fn verification_echoes_the_challenge() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path(), NOWHERE).await;
    let ask = |mode: &'static str, token: &'static str| {
        site.get(&[
            ("hub.mode", mode),
            ("hub.challenge", "1158201444"),
            ("hub.verify_token", token),
        ])
    };
    let good = ask("subscribe", VERIFY_TOKEN).send().await.unwrap();
    assert_eq!(good.status(), 200);
    let kind = good.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/plain"), "{kind}");
    assert_eq!(good.text().await.unwrap(), "1158201444");
    let bad = ask("subscribe", "wrong").send().await.unwrap();
    assert_eq!(bad.status(), 403);
    assert_eq!(bad.text().await.unwrap(), "forbidden");
    let other = ask("unsubscribe", VERIFY_TOKEN).send().await.unwrap();
    assert_eq!(other.status(), 400);
}

#[tokio::test]
async fn w18_w19_other_methods_and_paths() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path(), NOWHERE).await;
    let client = reqwest::Client::new();
    let put = client.put(site.url()).body("x").send().await.unwrap();
    assert_eq!(put.status(), 405);
    assert_eq!(put.headers()["allow"], "GET, POST");
    let slash = client.post(format!("{}/", site.url())).send().await;
    assert_eq!(slash.unwrap().status(), 404);
}

#[tokio::test]
async fn bad_signatures_store_nothing_but_a_counter() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path(), NOWHERE).await;
    let body = one("491511", "wamid.1");
    let foreign = sign("ffffffffffffffffffffffffffffffff", &body);
    let changed = sign(OLD_SECRET, &one("491511", "wamid.2"));
    for signature in [None, Some(foreign), Some(changed), Some("sha256=00".into())] {
        let mut post = site.unsigned(body.clone());
        if let Some(signature) = signature {
            post = post.header("X-Hub-Signature-256", signature);
        }
        let refused = post.send().await.unwrap();
        assert_eq!(refused.status(), 401);
        let said = refused.text().await.unwrap();
        assert!(said.starts_with("signature_") && said.len() < 30, "{said}");
    }
    let state = site.inbox().await;
    assert_eq!(
        (state.refused_signatures, state.admitted_deliveries),
        (4, 0)
    );
}

#[tokio::test]
async fn w03_w09_the_old_secret_and_capital_letters_are_fine() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path(), NOWHERE).await;
    let body = one("491511", "wamid.1");
    let signature = sign(OLD_SECRET, &body);
    let capitals = signature.to_uppercase().replace("SHA256", "sha256");
    for signature in [signature, capitals] {
        let post = site.unsigned(body.clone());
        let post = post.header("X-Hub-Signature-256", signature);
        assert_eq!(post.send().await.unwrap().status(), 200);
    }
    assert_eq!(site.inbox().await.admitted_deliveries, 2);
}

#[tokio::test]
async fn w20_to_w24_sizes_and_forms() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path(), NOWHERE).await;
    assert_eq!(site.post(vec![b' '; MAX]).await, 200);
    assert_eq!(site.post(vec![b' '; MAX + 1]).await, 413);
    let zipped = site.signed(one("491511", "wamid.1"));
    let zipped = zipped.header("content-encoding", "gzip").send().await;
    assert_eq!(zipped.unwrap().status(), 415);
    let text = site.signed(one("491511", "wamid.1"));
    let text = text.header("content-type", "text/plain").send().await;
    assert_eq!(text.unwrap().status(), 200);
    assert_eq!(site.inbox().await.admitted_deliveries, 2);
}

/// Sends `head` and then `rest` over a bare connection; returns the first line of the answer.
async fn bare(site: &Site, head: &str, rest: &[u8]) -> String {
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    let head = format!(
        "POST /webhooks/whatsapp HTTP/1.1\r\nhost: x\r\nx-hub-signature-256: sha256={}\r\n{head}\r\n",
        "0".repeat(64)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(rest).await;
    let mut answer = vec![0; 64];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn w21_w22_chunked_bombs_and_stalled_senders() {
    let folder = tempfile::tempdir().unwrap();
    let quick = Config {
        body_timeout: Duration::from_millis(200),
        ..config()
    };
    let site = Site::start_with(quick, folder.path(), NOWHERE).await;
    let mut chunk = format!("{:x}\r\n", MAX + 1).into_bytes();
    chunk.extend(vec![b'x'; MAX + 1]);
    let bomb = bare(&site, "transfer-encoding: chunked\r\n", &chunk).await;
    assert!(bomb.contains("413"), "{bomb}");
    let announced = bare(&site, "content-length: 99999999\r\n", b"").await;
    assert!(announced.contains("413"), "{announced}");
    let stalled = bare(&site, "content-length: 100\r\n", &[b'x'; 50]).await;
    assert!(stalled.contains("408"), "{stalled}");
    assert_eq!(site.inbox().await.admitted_deliveries, 0);
}

#[tokio::test]
async fn w84_a_full_inbox_answers_503_and_takes_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let small = Config {
        max_waiting_deliveries: 2,
        ..config()
    };
    let peer = crate::peer::Peer::new();
    let address = crate::site::free_address();
    let site = Site::start_with(small, folder.path(), &address).await;
    assert_eq!(site.post(one("491511", "wamid.1")).await, 200);
    assert_eq!(site.post(one("491511", "wamid.2")).await, 200);
    let refused = site.signed(one("491511", "wamid.3")).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    let _log = peer.serve(&address).await;
    site.emptied().await;
    assert_eq!(site.post(one("491511", "wamid.3")).await, 200);
    peer.until(|keys| keys.len() == 3).await;
}

#[tokio::test]
async fn w82_a_broken_inbox_answers_503() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path(), NOWHERE).await;
    let file = folder.path().join("ingress.db");
    let other = lib_storage::SqliteFile::open(
        &file,
        &[lib_storage::Migration {
            version: 1,
            name: "known",
            sql: "",
        }],
    )
    .await
    .unwrap();
    let mut tx = other.begin().await.unwrap();
    sqlx::query("ALTER TABLE delivery RENAME TO gone")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(site.post(one("491511", "wamid.1")).await, 503);
    let mut tx = other.begin().await.unwrap();
    sqlx::query("ALTER TABLE gone RENAME TO delivery")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(site.post(one("491511", "wamid.1")).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_at_once_are_all_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start(folder.path(), NOWHERE).await;
    let posts = (0..500).map(|n| site.post(one("491511", &format!("wamid.{n}"))));
    let statuses = futures_util::future::join_all(posts).await;
    assert!(statuses.iter().all(|status| *status == 200));
    site.crash().await;
    let file = folder.path().join("ingress.db");
    let inbox = EmbeddedInbox::open(&file).await.unwrap();
    let all = inbox.read(0, 1_000, usize::MAX).await.unwrap();
    let mut bodies: Vec<_> = all.into_iter().map(|delivery| delivery.body).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 500);
}
