//! One run of one published version, as bytes. The format, version 1:
//!
//! ```text
//! u8      1
//! varint  version of the flow
//! varint  sprint
//! u8      0 finished (nothing follows) | 1 waiting
//! varint  position of the widget it waits at
//! varint  times the question was asked again
//! varint  deadline in microseconds since 1970, plus 1; 0 is none
//! varint  number of sends that may still fail, then for each: first index, count, widget
//! varint  number of variables, then for each: position, u8 field, length, text
//! ```
//!
//! Varints are LEB128 in their shortest form and variables stand in ascending order, so a state
//! has exactly one encoding. Positions count widgets, or a flow's own variables, in the order of
//! the published definition, which never changes. Bytes that are not such a state are refused, whatever they are.

use std::borrow::Cow;

use core_types::Timestamp;

use crate::limits::{MAX_SENDS_PER_SPRINT, MAX_SESSION_BYTES};
use crate::scope::{ValueField, ValueKey};

/// First byte of this format.
const FORMAT: u8 = 1;

/// The state of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session<'b> {
    /// The published version it runs on, for good.
    pub version: u32,
    /// How often it has played, from 1.
    pub sprint: u64,
    /// Whether it waits, and for what.
    pub state: State<'b>,
}

/// Whether a session waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State<'b> {
    /// The flow's part is over.
    Finished,
    /// It waits for an answer.
    Waiting(Waiting<'b>),
}

/// A session that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting<'b> {
    /// Position of the question in the definition.
    pub(crate) widget: u16,
    /// How often it was asked again.
    pub(crate) retries: u8,
    /// When the wait ends by itself.
    pub(crate) until: Option<Timestamp>,
    /// Sends of this sprint whose failure leads somewhere, in order.
    pub(crate) sends: Vec<Sent>,
    /// What was answered and set so far, in ascending order of key.
    pub(crate) variables: Vec<(ValueKey, Cow<'b, str>)>,
}

/// Messages one widget sent in this sprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Index of the first effect.
    pub(crate) first: u32,
    /// How many.
    pub(crate) count: u32,
    /// Position of the widget.
    pub(crate) widget: u16,
}

/// Bytes that are not a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The first byte is not 1.
    #[error("the session has format {0}, this program knows {FORMAT}")]
    Format(u8),
    /// They end too early.
    #[error("the session is cut short")]
    Short,
    /// More bytes than any session has, or bytes after its end.
    #[error("the session is too long")]
    Long,
    /// A part of it has a value no session has.
    #[error("the session's {0} cannot be used")]
    Bad(&'static str),
}

impl<'b> Session<'b> {
    /// The version a session runs on, without reading the rest.
    ///
    /// # Errors
    /// When the bytes do not begin like a session.
    pub fn version_of(bytes: &[u8]) -> Result<u32, SessionError> {
        Reader::start(bytes)?.number("version")
    }

    /// Position of the widget a session waits at; `None` when it waits at none.
    pub(crate) fn waits_at(bytes: &[u8]) -> Option<u16> {
        match Session::decode(bytes).ok()?.state {
            State::Waiting(waiting) => Some(waiting.widget),
            State::Finished => None,
        }
    }

    /// Reads a session.
    ///
    /// # Errors
    /// When the bytes are not exactly one session.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, SessionError> {
        if bytes.len() > MAX_SESSION_BYTES {
            return Err(SessionError::Long);
        }
        let mut reader = Reader::start(bytes)?;
        let version = reader.number("version")?;
        let sprint = reader.varint("sprint")?;
        if version == 0 || sprint == 0 {
            return Err(SessionError::Bad("counter"));
        }
        let state = match reader.byte()? {
            0 => State::Finished,
            1 => State::Waiting(reader.waiting()?),
            _ => return Err(SessionError::Bad("state")),
        };
        if !reader.0.is_empty() {
            return Err(SessionError::Long);
        }
        Ok(Self {
            version,
            sprint,
            state,
        })
    }

    /// The session as bytes. [`Session::decode`] gives the same session back.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(FORMAT);
        put(&mut bytes, u64::from(self.version));
        put(&mut bytes, self.sprint);
        match &self.state {
            State::Finished => bytes.push(0),
            State::Waiting(waiting) => {
                bytes.push(1);
                waiting.encode(&mut bytes);
            }
        }
        bytes
    }
}

impl Waiting<'_> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        put(bytes, u64::from(self.widget));
        put(bytes, u64::from(self.retries));
        let until = self.until.map_or(0, |at| at.as_micros().unsigned_abs() + 1);
        put(bytes, until);
        put(bytes, self.sends.len() as u64);
        for sent in &self.sends {
            put(bytes, u64::from(sent.first));
            put(bytes, u64::from(sent.count));
            put(bytes, u64::from(sent.widget));
        }
        put(bytes, self.variables.len() as u64);
        for (key, value) in &self.variables {
            put(bytes, u64::from(key.position));
            bytes.push(key.field as u8);
            put(bytes, value.len() as u64);
            bytes.extend_from_slice(value.as_bytes());
        }
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number as u8) | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// What is left to read.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn start(bytes: &'b [u8]) -> Result<Self, SessionError> {
        let mut reader = Self(bytes);
        match reader.byte()? {
            FORMAT => Ok(reader),
            other => Err(SessionError::Format(other)),
        }
    }

    fn byte(&mut self) -> Result<u8, SessionError> {
        let (first, rest) = self.0.split_first().ok_or(SessionError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    fn varint(&mut self, part: &'static str) -> Result<u64, SessionError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            // The tenth byte holds one bit; a last byte of zero is not the shortest form.
            if (shift == 63 && bits > 1) || (byte == 0 && shift > 0) {
                return Err(SessionError::Bad(part));
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(SessionError::Bad(part))
    }

    fn number<N: TryFrom<u64>>(&mut self, part: &'static str) -> Result<N, SessionError> {
        N::try_from(self.varint(part)?).map_err(|_| SessionError::Bad(part))
    }

    fn waiting(&mut self) -> Result<Waiting<'b>, SessionError> {
        let widget = self.number("position")?;
        let retries = self.number("retries")?;
        let until = match self.varint("deadline")? {
            0 => None,
            one_more => {
                let micros =
                    i64::try_from(one_more - 1).map_err(|_| SessionError::Bad("deadline"))?;
                Some(Timestamp::from_micros(micros))
            }
        };
        let mut waiting = Waiting {
            widget,
            retries,
            until,
            ..Waiting::default()
        };
        let sends: u32 = self.number("sends")?;
        if sends > MAX_SENDS_PER_SPRINT {
            return Err(SessionError::Bad("sends"));
        }
        for _ in 0..sends {
            waiting.sends.push(Sent {
                first: self.number("send")?,
                count: self.number("send")?,
                widget: self.number("send")?,
            });
        }
        let variables: usize = self.number("variables")?;
        for _ in 0..variables {
            let variable = self.variable()?;
            if waiting
                .variables
                .last()
                .is_some_and(|(last, _)| *last >= variable.0)
            {
                return Err(SessionError::Bad("order of variables"));
            }
            waiting.variables.push(variable);
        }
        Ok(waiting)
    }

    fn variable(&mut self) -> Result<(ValueKey, Cow<'b, str>), SessionError> {
        let position = self.number("variable")?;
        let field = match self.byte()? {
            0 => ValueField::Value,
            1 => ValueField::Text,
            2 => ValueField::Own,
            3 => ValueField::Status,
            4 => ValueField::Script,
            5 => ValueField::InARow,
            _ => return Err(SessionError::Bad("variable")),
        };
        let length: usize = self.number("variable")?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(SessionError::Short)?;
        self.0 = rest;
        let text = std::str::from_utf8(text).map_err(|_| SessionError::Bad("variable"))?;
        Ok((ValueKey { position, field }, Cow::Borrowed(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Session<'static> {
        let key = |position, field| ValueKey { position, field };
        Session {
            version: 300,
            sprint: 7,
            state: State::Waiting(Waiting {
                widget: 2,
                retries: 1,
                until: Some(Timestamp::from_micros(1_795_372_999_999_999)),
                sends: vec![Sent {
                    first: 0,
                    count: 2,
                    widget: 1,
                }],
                variables: vec![
                    (key(2, ValueField::Value), "1".into()),
                    (key(2, ValueField::Text), "1️⃣".into()),
                    (key(3, ValueField::Own), "3".into()),
                ],
            }),
        }
    }

    #[test]
    fn a_session_has_one_encoding_and_is_small() {
        let session = example();
        let bytes = session.encode();
        assert_eq!(Session::decode(&bytes).as_ref(), Ok(&session));
        assert_eq!(Session::version_of(&bytes), Ok(300));
        assert!(bytes.len() <= 44, "{}", bytes.len());
    }

    #[test]
    fn broken_bytes_are_refused() {
        let bytes = example().encode();
        for end in 0..bytes.len() {
            assert!(Session::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Session::decode(&longer), Err(SessionError::Long));
        assert_eq!(Session::decode(&[9, 1]), Err(SessionError::Format(9)));
        assert_eq!(
            Session::decode(&[1, 0x81, 0x00, 1, 0]),
            Err(SessionError::Bad("version"))
        );
        // A huge count of variables must not reserve memory for them.
        let hostile = [1, 1, 1, 1, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F];
        assert_eq!(Session::decode(&hostile), Err(SessionError::Short));
        assert_eq!(
            Session::decode(&vec![1; MAX_SESSION_BYTES + 1]),
            Err(SessionError::Long)
        );
    }
}
