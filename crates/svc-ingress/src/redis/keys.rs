//! The keys of the inbox. Their names, and what they hold, are a format that is kept.

use super::TAG;

/// The part of the reading, in the leases.
pub(super) const PART: u16 = 0;

/// Names of keys, all with the hash tag [`TAG`].
#[derive(Debug)]
pub(super) struct Keys {
    /// Hash: part -> fence of who reads ([`lib_storage::redis::RedisLeases::fences`]).
    pub(super) fences: String,
    /// Stream of deliveries: `a` time of admission in µs, `t` trace context, `b` body.
    pub(super) inbox: String,
    /// Hash: `admitted` deliveries ever, `bytes` of the bodies that wait.
    pub(super) totals: String,
    /// Hash: delivery -> attempts, for the few that have any.
    pub(super) attempts: String,
    /// The fence of who reads and has not left.
    pub(super) reader: String,
    /// Sorted set: id of each parked item, by order of parking.
    pub(super) parked: String,
    /// Hash: number -> items parked.
    pub(super) numbers: String,
    /// Counts parked items.
    pub(super) sequence: String,
}

impl Keys {
    pub(super) fn new(fences: &str) -> Self {
        Self {
            fences: fences.to_owned(),
            inbox: key("inbox"),
            totals: key("totals"),
            attempts: key("attempts"),
            reader: key("reader"),
            parked: key("parked"),
            numbers: key("numbers"),
            sequence: key("sequence"),
        }
    }

    /// Hash: one parked item; fields as in `park.lua`, and `sequence`, `replayed`.
    pub(super) fn item(&self, id: &str) -> String {
        format!("{}:item:{id}", self.parked)
    }

    /// Sorted set like [`Keys::parked`], of one number.
    pub(super) fn of_number(&self, number: &str) -> String {
        format!("{}:number:{number}", self.parked)
    }
}

fn key(name: &str) -> String {
    format!("fd:v1:{{{TAG}}}:{name}")
}
