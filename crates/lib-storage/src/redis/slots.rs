//! Which server of a Cluster has which keys.

use redis::Value;

/// Hash slots of a Cluster.
const SLOTS: u16 = 16_384;

/// The slot of every key with the hash tag `tag`.
pub(super) fn slot_of_tag(tag: &str) -> u16 {
    crc16(tag.as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as the Cluster specification says.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ (u16::from(*byte) << 8), |sum: u16, _| {
            let carry = sum & 0x8000 != 0;
            (sum << 1) ^ if carry { 0x1021 } else { 0 }
        })
    })
}

/// Ranges of slots and who has them.
#[derive(Debug, Default)]
pub(super) struct SlotMap(Vec<(u16, u16, (String, u16))>);

impl SlotMap {
    /// Reads the answer to `CLUSTER SLOTS`. A server that does not know its own name is `asked`.
    pub(super) fn read(answer: &Value, asked: &str) -> Option<Self> {
        let mut ranges = Vec::new();
        for range in list(answer)? {
            let [first, last, primary, ..] = list(range)? else {
                return None;
            };
            let [host, port, ..] = list(primary)? else {
                return None;
            };
            let host = match host {
                Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
                Value::SimpleString(host) => host.clone(),
                _ => String::new(),
            };
            let host = if host.is_empty() || host == "?" {
                asked.to_owned()
            } else {
                host
            };
            ranges.push((number(first)?, number(last)?, (host, number(port)?)));
        }
        Some(Self(ranges))
    }

    /// Who has `slot`.
    pub(super) fn primary(&self, slot: u16) -> Option<&(String, u16)> {
        let mut ranges = self.0.iter();
        let found = ranges.find(|(first, last, _)| (*first..=*last).contains(&slot));
        found.map(|(_, _, primary)| primary)
    }

    /// Everyone who has slots.
    pub(super) fn primaries(&self) -> Vec<(String, u16)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|(_, _, primary)| primary.clone())
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// The first slot that nobody has.
    pub(super) fn first_missing(&self) -> Option<u16> {
        let mut ranges: Vec<_> = self
            .0
            .iter()
            .map(|(first, last, _)| (first, last))
            .collect();
        ranges.sort();
        let next = ranges.into_iter().fold(0, |next, (first, last)| {
            if *first > next {
                next
            } else {
                next.max(last.saturating_add(1))
            }
        });
        (next < SLOTS).then_some(next)
    }
}

fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of_tag("foo"), 12_182);
    }

    #[test]
    fn the_map_is_read() {
        let text = |text: &str| Value::BulkString(text.into());
        let range = |first, last, host: Value, port| {
            Value::Array(vec![
                Value::Int(first),
                Value::Int(last),
                Value::Array(vec![host, Value::Int(port), text("id")]),
            ])
        };
        let answer = Value::Array(vec![
            range(0, 99, text("a"), 1),
            range(100, 16_383, Value::Nil, 2),
        ]);
        let map = SlotMap::read(&answer, "asked").unwrap();
        assert_eq!(map.primary(99), Some(&("a".to_owned(), 1)));
        assert_eq!(map.primary(100), Some(&("asked".to_owned(), 2)));
        assert_eq!(map.primaries().len(), 2);
        assert_eq!(map.first_missing(), None);
        assert!(SlotMap::read(&Value::Nil, "asked").is_none());
    }

    #[test]
    fn a_slot_that_nobody_has_is_found() {
        let map = |ranges: &[(u16, u16)]| {
            let ranges = ranges.iter();
            let of = |&(first, last)| (first, last, ("a".to_owned(), 1));
            SlotMap(ranges.map(of).collect())
        };
        assert_eq!(map(&[(200, 16_383), (0, 199)]).first_missing(), None);
        assert_eq!(map(&[]).first_missing(), Some(0));
        assert_eq!(map(&[(0, 99), (200, 16_383)]).first_missing(), Some(100));
        assert_eq!(map(&[(0, 99), (100, 16_382)]).first_missing(), Some(16_383));
    }
}
