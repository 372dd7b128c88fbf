//! What calls that fail mean for a person.

use tonic::{Code, Status};

/// Where the token comes from that the installation does not know.
const TOKEN: &str = "The token to show is in the variable FRONTDESK_TOKEN; without it, a well-known \
                     one is shown, which only development accepts";

/// A connection that does not stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nobody answers there, or not any more.
    Unreachable,
    /// The installation answers, and says no.
    Refused(String),
    /// The same agent's desk was opened in another terminal.
    Elsewhere,
}

impl Trouble {
    /// What a failed call means.
    pub(crate) fn of(status: &Status) -> Self {
        match status.code() {
            Code::Aborted => Self::Elsewhere,
            // A restart cuts streams in several ways.
            Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted => Self::Unreachable,
            Code::Unauthenticated => Self::Refused(format!("{}. {TOKEN}", status.message())),
            _ => Self::Refused(status.message().to_owned()),
        }
    }

    /// In a sentence, for an installation at `server`.
    pub(crate) fn sentence(&self, server: &str) -> String {
        match self {
            Self::Unreachable => format!("No connection to {server}; is Frontdesk running?"),
            Self::Refused(message) => format!("{server} says: {message}."),
            Self::Elsewhere => "This desk was opened in another terminal.".to_owned(),
        }
    }
}

/// A failed call in a sentence.
pub(crate) fn sentence(status: &Status) -> String {
    match status.code() {
        Code::Unavailable | Code::Unknown | Code::Cancelled => "there is no connection".to_owned(),
        Code::DeadlineExceeded => "there was no answer in time".to_owned(),
        _ => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_no_refusal_and_a_takeover_is_neither() {
        let broken = Status::unknown("h2 protocol error: error reading a body from connection");
        assert_eq!(Trouble::of(&broken), Trouble::Unreachable);
        let taken = Status::aborted("opened elsewhere");
        assert_eq!(Trouble::of(&taken), Trouble::Elsewhere);
        let refused = Trouble::of(&Status::permission_denied("this is for agents"));
        assert_eq!(refused.sentence("here"), "here says: this is for agents.");
        let stranger = Trouble::of(&Status::unauthenticated("the access token is not known"));
        let told = stranger.sentence("here");
        let start = "here says: the access token is not known. The token to show is in the variable \
                     FRONTDESK_TOKEN;";
        assert!(told.starts_with(start), "{told}");
    }
}
