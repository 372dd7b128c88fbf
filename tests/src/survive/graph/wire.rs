//! HTTP over bare sockets: requests as they come, answers as they are or break off.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(super) fn error(code: i64) -> Value {
    json!({"error": {"message": format!("(#{code}) scripted"), "type": "OAuthException",
        "code": code, "error_data": {"messaging_product": "whatsapp", "details": "scripted"},
        "fbtrace_id": "A"}})
}

/// One template, so that conversations can be opened outside the window.
pub(super) fn templates() -> Value {
    json!({"data": [{"id": "1", "name": "reminder", "language": "en_US", "status": "APPROVED",
        "category": "UTILITY", "parameter_format": "POSITIONAL", "components": [
            {"type": "BODY", "text": "Hello {{1}}, this is a reminder."}]}],
        "paging": {"cursors": {"before": "A", "after": "B"}}})
}

/// Reads one request: its path and body. `None` at the end of the connection.
pub(super) async fn read_request(
    socket: &mut TcpStream,
    kept: &mut Vec<u8>,
) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut chunk = vec![0; 16_384];
    let head_end = loop {
        if let Some(at) = kept.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let read = socket.read(&mut chunk).await?;
        if read == 0 {
            return Ok(None);
        }
        kept.extend_from_slice(&chunk[..read]);
    };
    let head = String::from_utf8_lossy(&kept[..head_end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        })
        .unwrap_or(0_usize);
    while kept.len() < head_end + length {
        let read = socket.read(&mut chunk).await?;
        if read == 0 {
            return Ok(None);
        }
        kept.extend_from_slice(&chunk[..read]);
    }
    let body = kept[head_end..head_end + length].to_vec();
    kept.drain(..head_end + length);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().to_owned();
    Ok(Some((path, body)))
}

pub(super) async fn say(socket: &mut TcpStream, status: u16, body: &[u8]) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut all = head.into_bytes();
    all.extend_from_slice(body);
    socket.write_all(&all).await
}

pub(super) async fn drip(socket: &mut TcpStream, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 Scripted\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    for byte in body.as_bytes() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        socket.write_all(&[*byte]).await?;
    }
    Ok(())
}
