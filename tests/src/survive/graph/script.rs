//! What the Graph API does: which answers it gives, and how it tells statuses.

/// How a request to send is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Accepted and said so.
    Ok,
    /// Accepted, said so after this many milliseconds.
    Late(u64),
    /// Accepted, then the connection is reset.
    Reset,
    /// Accepted, and nothing is ever said.
    Silent,
    /// Not accepted: a Graph error with this HTTP status and code.
    Error(u16, i64),
    /// Accepted, but answered 500 with an unknown Graph error.
    Broken500,
    /// Accepted, but answered 500 without a body.
    Empty500,
    /// Accepted, but the JSON is cut off.
    Malformed,
    /// Accepted, but the answer holds no message.
    NoMessage,
    /// Accepted under another id than the answer tells.
    WrongId,
    /// Accepted, but a proxy's HTML page comes back.
    Html,
    /// Accepted, with ten megabytes of blanks around the answer.
    Huge,
    /// Accepted, the answer comes a byte at a time until the sender gives up.
    Drip,
}

/// What the Graph does: answers by weight, and how it tells statuses.
#[derive(Clone, Debug)]
pub struct Script {
    /// Answers and their weights; what is left of 100 is [`Answer::Ok`].
    pub answers: Vec<(Answer, u32)>,
    /// Statuses before their answer, in percent.
    pub early: u32,
    /// Statuses told twice, in percent.
    pub doubled: u32,
    /// `delivered` before `sent`, in percent.
    pub swapped: u32,
    /// `read` without `delivered`, in percent.
    pub skipping: u32,
    /// Statuses never told, in percent.
    pub never: u32,
    /// Statuses that do not echo what we gave Meta, in percent: only Meta's id tells whose they are.
    pub nameless: u32,
    /// Longest time until a status, in milliseconds.
    pub latest: u64,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            answers: Vec::new(),
            early: 20,
            doubled: 10,
            swapped: 10,
            skipping: 5,
            never: 0,
            nameless: 0,
            latest: 300,
        }
    }
}
