//! HTTP/1.1 with as little CPU as can be, because the driver shares the machine with what it
//! measures: keep-alive connections, requests built once, answers read only as far as needed.

use anyhow::{Context as _, ensure};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Signs bodies as Meta does.
#[derive(Clone)]
pub(crate) struct Signer(Hmac<Sha256>);

impl Signer {
    /// Signs with an app secret.
    pub(crate) fn new(secret: &str) -> anyhow::Result<Self> {
        Ok(Self(Hmac::new_from_slice(secret.as_bytes())?))
    }

    /// A whole POST of `body`, as it goes over the wire.
    pub(crate) fn request(&self, body: &[u8]) -> Vec<u8> {
        let mut mac = self.0.clone();
        mac.update(body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let mut request = Vec::with_capacity(320 + body.len());
        request.extend_from_slice(
            b"POST /webhooks/whatsapp HTTP/1.1\r\nHost: localhost\r\n\
              User-Agent: facebookexternalua\r\nAccept: */*\r\nContent-Type: application/json\r\n\
              X-Hub-Signature-256: sha256=",
        );
        request.extend_from_slice(signature.as_bytes());
        let length = format!("\r\nContent-Length: {}\r\n\r\n", body.len());
        request.extend_from_slice(length.as_bytes());
        request.extend_from_slice(body);
        request
    }
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects to `host:port`.
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            answer: Vec::with_capacity(1_024),
        })
    }

    /// Sends one request and reads the whole answer; returns its status.
    pub(crate) async fn post(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await?;
            ensure!(read > 0, "the server closed the connection");
            let Some(end) = head_end(&self.answer) else {
                continue;
            };
            let head = std::str::from_utf8(&self.answer[..end])?;
            if self.answer.len() >= end + content_length(head)? {
                let status = head.split(' ').nth(1);
                return Ok(status.context("an answer without a status")?.parse()?);
            }
        }
    }
}

/// Where the body begins, once the head is there.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(at + 4)
}

/// The length the head announces; 0 without one.
pub(crate) fn content_length(head: &str) -> anyhow::Result<usize> {
    const NAME: &str = "content-length:";
    let value = head.lines().find_map(|line| {
        let name = line.get(..NAME.len())?;
        name.eq_ignore_ascii_case(NAME)
            .then(|| line[NAME.len()..].trim())
    });
    Ok(value.map_or(Ok(0), str::parse)?)
}
