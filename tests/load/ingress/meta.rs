//! Meta's side: 512 different signed bodies of 1,024 bytes, sent over keep-alive connections with
//! as little CPU as can be, because the driver shares the machine with what it measures.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::ensure;
use hdrhistogram::Histogram;
use serde_json::json;

use crate::measure::{Program, Round, cpu_micros, machine_cpu_micros};
use crate::wire::{Connection, Signer};

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

impl Webhooks {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let bodies: Vec<Vec<u8>> = (0..BODIES).map(body).collect();
        ensure!(
            bodies.iter().all(|body| body.len() == BODY_BYTES),
            "a body has not {BODY_BYTES} bytes"
        );
        let signer = Signer::new(SECRET)?;
        Ok(Self {
            requests: bodies.iter().map(|body| signer.request(body)).collect(),
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
        connection
            .post(&Signer::new("another secret")?.request(&body(0)))
            .await
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
