//! The flow-runner's session: opaque bytes, kept in the state as text.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Opaque bytes of a flow session. Stored as `t:<text>` when they are UTF-8, else as `x:<hex>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Session(Vec<u8>);

impl Session {
    /// A session as the flow-runner returned it.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to hand back to the flow-runner; empty before the first step.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Session> for String {
    fn from(session: Session) -> String {
        match String::from_utf8(session.0) {
            Ok(text) => format!("t:{text}"),
            Err(error) => error
                .as_bytes()
                .iter()
                .fold("x:".to_owned(), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                }),
        }
    }
}

impl TryFrom<String> for Session {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("t:") {
            return Ok(Self(rest.as_bytes().to_vec()));
        }
        let digits = text
            .strip_prefix("x:")
            .ok_or("a session starts with t: or x:")?;
        if !digits.is_ascii() || digits.len() % 2 != 0 {
            return Err("a session's hex digits come in pairs".to_owned());
        }
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|e| e.to_string()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive() {
        for bytes in [&b"{\"a\":1}"[..], &[0xff, 0x00, 0x10], b""] {
            let session = Session::new(bytes.to_vec());
            let text = serde_json::to_string(&session).unwrap();
            assert_eq!(serde_json::from_str::<Session>(&text).unwrap(), session);
        }
        assert!(serde_json::from_str::<Session>("\"x:f\"").is_err());
    }
}
