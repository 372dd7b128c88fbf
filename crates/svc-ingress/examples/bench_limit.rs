//! What `cargo xtask bench ingress --redis` compares with: about the least that can check a webhook and
//! store it. One thread, a hand-written reading of HTTP, the signature, a typed parse, and one
//! pipelined write of XADDs per turn of the event loop; 200 when Redis has answered. No routes, no
//! limits, no time-outs, no traces, no tenants, no metrics.
//!
//! `bench_limit REDIS_HOST:PORT` prints its HTTP address.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;

/// The secret the driver signs with.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[derive(Deserialize)]
struct Delivery<'a> {
    #[serde(borrow)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    changes: Vec<Change<'a>>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    field: Cow<'a, str>,
}

/// Writes that wait for the next turn, and those whose answers are due, in order.
#[derive(Default)]
struct Store {
    waiting: RefCell<Vec<u8>>,
    askers: RefCell<Vec<oneshot::Sender<bool>>>,
    arrived: Notify,
}

impl Store {
    async fn add(&self, body: &[u8]) -> bool {
        let (asker, answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.borrow_mut();
            let head = format!(
                "*5\r\n$4\r\nXADD\r\n$5\r\nlimit\r\n$1\r\n*\r\n$1\r\nb\r\n${}\r\n",
                body.len()
            );
            waiting.extend_from_slice(head.as_bytes());
            waiting.extend_from_slice(body);
            waiting.extend_from_slice(b"\r\n");
        }
        self.askers.borrow_mut().push(asker);
        self.arrived.notify_one();
        answer.await.unwrap_or(false)
    }

    /// Writes what waits and reads as many answers.
    async fn run(&self, address: &str) -> anyhow::Result<()> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut answers, mut writes) = stream.into_split();
        let mut read = Vec::with_capacity(64 << 10);
        loop {
            self.arrived.notified().await;
            // What else is ready in this turn goes into the same write.
            tokio::task::yield_now().await;
            let bytes = self.waiting.take();
            if bytes.is_empty() {
                continue;
            }
            let askers = self.askers.take();
            writes.write_all(&bytes).await?;
            let count = askers.len();
            let good = answered(&mut answers, &mut read, count).await?;
            for asker in askers {
                let _ = asker.send(good);
            }
        }
    }
}

/// Reads `count` ids of entries, each `$<length>\r\n<id>\r\n`. False when one is an error.
async fn answered(
    answers: &mut OwnedReadHalf,
    read: &mut Vec<u8>,
    count: usize,
) -> anyhow::Result<bool> {
    read.clear();
    loop {
        let lines = read.split(|byte| *byte == b'\n').count() - 1;
        if read.starts_with(b"-") {
            return Ok(false);
        }
        if lines >= 2 * count {
            return Ok(true);
        }
        anyhow::ensure!(answers.read_buf(read).await? > 0, "Redis is gone");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let redis = std::env::args().nth(1);
    let redis = redis.context("usage: bench_limit REDIS_HOST:PORT")?;
    let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    let tasks = LocalSet::new();
    let store = Rc::new(Store::default());
    let writer = Rc::clone(&store);
    tasks.spawn_local(async move {
        if let Err(error) = writer.run(&redis).await {
            eprintln!("{error:#}");
        }
    });
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (key, store) = (key.clone(), Rc::clone(&store));
            // A connection ends when its client goes.
            tokio::task::spawn_local(async move {
                let _ = serve(stream, &key, &store).await;
            });
        }
    };
    tasks.run_until(accept).await
}

async fn serve(mut stream: TcpStream, key: &Hmac<Sha256>, store: &Store) -> anyhow::Result<()> {
    let mut bytes = Vec::with_capacity(4_096);
    loop {
        let (body, signature) = loop {
            if let Some((body, end, signature)) = request(&bytes)?
                && bytes.len() >= end
            {
                break (body..end, signature);
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let (good, end) = (checked(key, &bytes[body.clone()], signature), body.end);
        let answer: &[u8] = if !good {
            b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
        } else if store.add(&bytes[body]).await {
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        } else {
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
        };
        stream.write_all(answer).await?;
        bytes.drain(..end);
    }
}

/// Where the body begins and ends, and the signature; nothing while the head is incomplete.
fn request(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize, [u8; 32])>> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (mut length, mut signature) = (0, [0; 32]);
    for line in std::str::from_utf8(&bytes[..head])?.lines() {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse()?;
        } else if name.eq_ignore_ascii_case("x-hub-signature-256") {
            let digits = value.strip_prefix("sha256=").unwrap_or_default();
            let _ = hex::decode_to_slice(digits, &mut signature);
        }
    }
    Ok(Some((head + 4, head + 4 + length, signature)))
}

fn checked(key: &Hmac<Sha256>, body: &[u8], signature: [u8; 32]) -> bool {
    let mut mac = key.clone();
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
        && serde_json::from_slice::<Delivery<'_>>(body).is_ok_and(|delivery| {
            delivery.entry.iter().all(|entry| {
                !entry.id.is_empty() && entry.changes.iter().all(|change| !change.field.is_empty())
            })
        })
}
