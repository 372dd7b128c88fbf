//! Meta's rate limits, off unless configured: messages per second of a number, and one message
//! per six seconds to one customer with a burst of 45 (`whatsapp-cloud-api.md`, 2.5).

use std::collections::HashMap;
use std::time::Duration;

use core_types::Timestamp;

use crate::Config;
use crate::state::ThreadKey;

/// One message per this long to one customer in the long run.
const PAIR_INTERVAL: Duration = Duration::from_secs(6);
/// Messages to one customer that may be borrowed from the future.
const PAIR_BURST: u32 = 45;

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    Throughput,
    Pair,
}

/// When each bucket has room again: the time until which it is theoretically busy.
#[derive(Debug)]
pub(super) struct Limits {
    per_second: Option<u32>,
    pair: bool,
    numbers: HashMap<String, Timestamp>,
    pairs: HashMap<ThreadKey, Timestamp>,
}

impl Limits {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            per_second: config.messages_per_second,
            pair: config.pair_limit,
            numbers: HashMap::new(),
            pairs: HashMap::new(),
        }
    }

    /// Counts one message of the number, or says that it is one too many.
    pub(super) fn take(&mut self, thread: &ThreadKey, now: Timestamp) -> Result<(), Reached> {
        let number = self.per_second.filter(|rate| *rate > 0).map(|rate| {
            let busy = self.numbers.get(&thread.number).copied();
            room(busy, now, Duration::from_secs(1) / rate, rate)
        });
        let pair = self.pair.then(|| {
            room(
                self.pairs.get(thread).copied(),
                now,
                PAIR_INTERVAL,
                PAIR_BURST,
            )
        });
        match (number, pair) {
            (Some(None), _) => return Err(Reached::Throughput),
            (_, Some(None)) => return Err(Reached::Pair),
            _ => {}
        }
        if let Some(busy) = number.flatten() {
            self.numbers.insert(thread.number.clone(), busy);
        }
        if let Some(busy) = pair.flatten() {
            self.pairs.insert(thread.clone(), busy);
        }
        Ok(())
    }
}

/// Until when the bucket is busy after one more message; `None` when there is no room for it.
fn room(
    busy: Option<Timestamp>,
    now: Timestamp,
    interval: Duration,
    burst: u32,
) -> Option<Timestamp> {
    let busy = busy.map_or(now, |busy| busy.max(now)).plus(interval);
    (busy.since(now) <= interval * burst).then_some(busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_a_burst_and_then_one_message_in_six_seconds() {
        let config = Config {
            pair_limit: true,
            ..Config::default()
        };
        let mut limits = Limits::new(&config);
        let thread = ThreadKey {
            customer: 1,
            number: "n".into(),
        };
        let mut now = Timestamp::from_seconds(1_000).unwrap();
        for _ in 0..45 {
            assert_eq!(limits.take(&thread, now), Ok(()));
        }
        assert_eq!(limits.take(&thread, now), Err(Reached::Pair));
        now = now.plus(Duration::from_secs(6));
        assert_eq!(limits.take(&thread, now), Ok(()));
        assert_eq!(limits.take(&thread, now), Err(Reached::Pair));
    }

    #[test]
    fn a_number_has_its_messages_per_second() {
        let config = Config {
            messages_per_second: Some(2),
            ..Config::default()
        };
        let mut limits = Limits::new(&config);
        let now = Timestamp::from_seconds(1_000).unwrap();
        let thread = |customer| ThreadKey {
            customer,
            number: "n".into(),
        };
        assert_eq!(limits.take(&thread(1), now), Ok(()));
        assert_eq!(limits.take(&thread(2), now), Ok(()));
        assert_eq!(limits.take(&thread(3), now), Err(Reached::Throughput));
    }
}
