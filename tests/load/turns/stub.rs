//! A minimal Graph API on a thread of its own, so that its CPU can be told apart: takes every
//! message, gives it an id, and says so to the driver.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::measure::{this_thread, thread_cpu_micros};
use crate::wire::{content_length, head_end};

/// A message the stub took.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// The id it got.
    pub(crate) wamid: String,
    /// Whom it is for, digits.
    pub(crate) to: String,
    /// What came as `biz_opaque_callback_data`.
    pub(crate) intent: String,
    /// The beginning of its text, up to the first escape.
    pub(crate) text: String,
}

/// The running stub.
pub(crate) struct GraphStub {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    thread: u32,
}

impl GraphStub {
    /// Starts it; what it takes goes to `sent`.
    pub(crate) fn start(sent: mpsc::UnboundedSender<Sent>) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (told, thread) = std::sync::mpsc::channel();
        let run = move || {
            let _ = told.send(this_thread());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async { serve(TcpListener::from_std(listener)?, sent).await })
        };
        let run = move || {
            let ended: anyhow::Result<()> = run();
            if let Err(error) = ended {
                eprintln!("the Graph stub ended: {error:#}");
            }
        };
        std::thread::Builder::new()
            .name("graph-stub".to_owned())
            .spawn(run)?;
        let thread = thread.recv().context("the Graph stub did not start")??;
        Ok(Self { address, thread })
    }

    /// The address as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// CPU time it has used.
    pub(crate) fn cpu_micros(&self) -> anyhow::Result<u64> {
        thread_cpu_micros(self.thread)
    }
}

async fn serve(listener: TcpListener, sent: mpsc::UnboundedSender<Sent>) -> anyhow::Result<()> {
    // Ids differ between runs: the stores may remember those of an earlier one.
    let run = std::process::id();
    let count = Arc::new(AtomicU64::new(0));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (sent, count) = (sent.clone(), Arc::clone(&count));
        tokio::spawn(async move {
            // A connection ends when its client goes; there is nothing to say about it.
            let _ = connection(stream, run, &count, &sent).await;
        });
    }
}

async fn connection(
    mut stream: TcpStream,
    run: u32,
    count: &AtomicU64,
    sent: &mpsc::UnboundedSender<Sent>,
) -> anyhow::Result<()> {
    let mut bytes = Vec::with_capacity(4_096);
    loop {
        let whole = loop {
            if let Some(end) = head_end(&bytes) {
                let head = std::str::from_utf8(&bytes[..end])?;
                let whole = end + content_length(head)?;
                if bytes.len() >= whole {
                    break whole;
                }
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let request = std::str::from_utf8(&bytes[..whole])?;
        let answer = if request.starts_with("POST ") {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let message = Sent {
                wamid: format!("wamid.HBgMBENCH{run:08}{number:010}"),
                to: field(request, "\"to\":").trim_start_matches('+').to_owned(),
                intent: field(request, "\"biz_opaque_callback_data\":").to_owned(),
                text: field(request, "\"body\":").to_owned(),
            };
            let Sent { wamid, to, .. } = &message;
            let answer = format!(
                r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"{to}","wa_id":"{to}"}}],"messages":[{{"id":"{wamid}"}}]}}"#
            );
            let _ = sent.send(message);
            answer
        } else {
            // The account has no templates.
            r#"{"data":[]}"#.to_owned()
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        bytes.drain(..whole);
    }
}

/// The text value after the first `name`, up to its end or its first escape. Empty without one.
fn field<'a>(request: &'a str, name: &str) -> &'a str {
    let after = request.split_once(name).map_or("", |(_, after)| after);
    let value = after.trim_start().strip_prefix('"').unwrap_or_default();
    value.split(['"', '\\']).next().unwrap_or_default()
}
