//! Which events of the log a follower wants. Most followers live on a few kinds of event; what they
//! do not want is neither encoded nor sent.

use lib_platform::Refusal;
use lib_proto::conversations::log_entry::Event;

/// Wanted events, a bit for the field number of each in `LogEntry`; none means all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events(u64);

impl Events {
    /// What a request asks for.
    ///
    /// # Errors
    /// When a number cannot be that of an event.
    pub(crate) fn of(numbers: &[u32]) -> Result<Self, Refusal> {
        numbers
            .iter()
            .try_fold(0, |wanted, number| match number {
                1..64 => Ok(wanted | 1 << number),
                _ => Err(Refusal::invalid(
                    "events",
                    "must be field numbers of events in LogEntry",
                )),
            })
            .map(Self)
    }

    /// Whether an event is wanted.
    pub(crate) fn take(self, event: Option<&Event>) -> bool {
        self.0 == 0 || event.is_some_and(|event| self.0 & (1 << number(event)) != 0)
    }
}

/// The field number of an event in `LogEntry`.
fn number(event: &Event) -> u32 {
    match event {
        Event::MessageReceived(_) => 20,
        Event::MessageQueued(_) => 21,
        Event::AttemptStarted(_) => 22,
        Event::AttemptEnded(_) => 23,
        Event::StatusChanged(_) => 24,
        Event::EngagementOpened(_) => 25,
        Event::SessionAdvanced(_) => 26,
        Event::EngagementQueued(_) => 27,
        Event::EngagementOffered(_) => 28,
        Event::OfferEnded(_) => 29,
        Event::EngagementAssigned(_) => 30,
        Event::WrapUpStarted(_) => 31,
        Event::EngagementClosed(_) => 32,
        Event::ContactChanged(_) => 33,
        Event::WindowOpened(_) => 34,
        Event::Account(_) => 35,
        Event::EventParked(_) => 36,
        Event::EngagementFiled(_) => 37,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wanted_events_pass() {
        let event = Event::StatusChanged(lib_proto::conversations::StatusChanged::default());
        assert!(Events::default().take(Some(&event)));
        assert!(Events::of(&[24, 35]).unwrap().take(Some(&event)));
        assert!(!Events::of(&[27]).unwrap().take(Some(&event)));
        assert!(!Events::of(&[27]).unwrap().take(None));
        assert!(Events::of(&[64]).is_err() && Events::of(&[0]).is_err());
    }
}
