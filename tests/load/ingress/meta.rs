//! Meta's side: 512 different signed bodies of 1,024 bytes, sent over keep-alive connections with
//! as little CPU as can be, because the driver shares the machine with what it measures.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::measure::{Program, Round, cpu_micros, machine_cpu_micros};

/// The secret the examples verify with.
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const BODIES: usize = 512;
const BODY_BYTES: usize = 1_024;

/// Requests as they go over the wire.
pub(crate) struct Webhooks {
    requests: Vec<Vec<u8>>,
    bodies: BTreeSet<Vec<u8>>,
}

/// One text message, filled up to exactly [`BODY_BYTES`].
fn body(number: usize) -> Vec<u8> {
    let with = |text: &str| {
        let message = json!({
            "from": format!("4915112{number:05}"), "id": format!("wamid.HBgM{number:06}"),
            "timestamp": "1739321024", "type": "text", "text": {"body": text}
        });
        let value = json!({
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881",
                         "phone_number_id": "106540352242922"},
            "contacts": [{"profile": {"name": format!("Customer {number}")},
                          "wa_id": format!("4915112{number:05}")}],
            "messages": [message]
        });
        json!({"object": "whatsapp_business_account", "entry": [{"id": "102290129340398",
               "changes": [{"field": "messages", "value": value}]}]})
        .to_string()
    };
    let missing = BODY_BYTES.saturating_sub(with("").len());
    with(&"Where is my order? ".repeat(60)[..missing]).into_bytes()
}

fn request(body: &[u8], secret: &str) -> anyhow::Result<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(body);
    let signature = hex::encode(mac.finalize().into_bytes());
    let mut request = format!(
        "POST /webhooks/whatsapp HTTP/1.1\r\nHost: localhost\r\nUser-Agent: facebookexternalua\r\n\
         Accept: */*\r\nContent-Type: application/json\r\n\
         X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    Ok(request)
}

impl Webhooks {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let bodies: Vec<Vec<u8>> = (0..BODIES).map(body).collect();
        ensure!(
            bodies.iter().all(|body| body.len() == BODY_BYTES),
            "a body has not {BODY_BYTES} bytes"
        );
        let requests = bodies.iter().map(|body| request(body, SECRET));
        Ok(Self {
            requests: requests.collect::<Result<_, _>>()?,
            bodies: bodies.into_iter().collect(),
        })
    }

    /// Whether one of the bodies is exactly this.
    pub(crate) fn knows(&self, body: &[u8]) -> bool {
        self.bodies.contains(body)
    }

    /// The status a wrongly signed webhook is answered with.
    pub(crate) async fn forged(&self, address: &str) -> anyhow::Result<u16> {
        let mut connection = Connection::open(address).await?;
        connection.post(&request(&body(0), "another secret")?).await
    }

    /// Drives a server for `span`: each connection sends the next when the last is answered.
    pub(crate) async fn drive(
        &self,
        server: &Program,
        connections: usize,
        span: Duration,
    ) -> anyhow::Result<Round> {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(Connection::open(&server.address).await?);
        }
        let own = std::process::id();
        let before = (
            server.cpu_micros()?,
            cpu_micros(own)?,
            machine_cpu_micros()?,
        );
        let started = Instant::now();
        let until = started + span;
        let drives = open
            .iter_mut()
            .enumerate()
            .map(|(seat, connection)| self.drive_one(connection, seat, until));
        let seats = futures_util::future::try_join_all(drives).await?;
        let elapsed = started.elapsed();
        let cpu = server.cpu_micros()? - before.0;
        let own = cpu_micros(own)? - before.1;
        let machine = machine_cpu_micros()? - before.2;
        let mut times = Histogram::new(3)?;
        for seat in seats {
            times.add(seat)?;
        }
        let others = machine.saturating_sub(cpu + own);
        Ok(Round {
            accepted: times.len(),
            cpu,
            elapsed,
            others: others as f64 / elapsed.as_micros() as f64,
            times,
        })
    }

    async fn drive_one(
        &self,
        connection: &mut Connection,
        seat: usize,
        until: Instant,
    ) -> anyhow::Result<Histogram<u64>> {
        let mut times = Histogram::new(3)?;
        // Seats start far apart, so that neighbours do not send the same body at once.
        let requests = self.requests.iter().cycle().skip(seat * 17);
        for request in requests {
            let sent = Instant::now();
            if sent >= until {
                break;
            }
            let status = connection.post(request).await?;
            ensure!(status == 200, "a signed webhook was answered {status}");
            times.record(sent.elapsed().as_micros() as u64)?;
        }
        Ok(times)
    }
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            answer: Vec::with_capacity(1_024),
        })
    }

    /// Sends one request and reads the whole answer; returns its status.
    async fn post(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await?;
            ensure!(read > 0, "the server closed the connection");
            let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&self.answer[..end])?.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(Ok(0), str::parse::<usize>)?;
            if self.answer.len() >= end + 4 + length {
                let status = head
                    .split(' ')
                    .nth(1)
                    .context("an answer without a status")?;
                return Ok(status.parse()?);
            }
        }
    }
}
