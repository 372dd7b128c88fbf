//! Between the inbox's types and Redis' answers.

use std::vec::IntoIter;

use bytes::Bytes;
use core_types::Timestamp;
use redis::Value;

use crate::inbox::{Counts, Delivery, InboxError, NewParked};

/// Low bits of an id: the counter within a millisecond.
const COUNTER_BITS: u32 = 21;

/// Redis' `<ms>-<counter>` of an id.
pub(super) fn stream_id(id: u64) -> String {
    format!("{}-{}", id >> COUNTER_BITS, id & ((1 << COUNTER_BITS) - 1))
}

/// The id of Redis' `<ms>-<counter>`. The order is the same. 63 bits hold times until 2109.
fn delivery_id(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let (millis, counter) = text.split_once('-')?;
    let (millis, counter): (u64, u64) = (millis.parse().ok()?, counter.parse().ok()?);
    let fits = millis >> (63 - COUNTER_BITS) == 0 && counter >> COUNTER_BITS == 0;
    fits.then_some((millis << COUNTER_BITS) | counter)
}

/// What cannot be read back.
pub(super) fn corrupt(problem: impl ToString) -> InboxError {
    InboxError::Corrupt(problem.to_string())
}

/// The answers to a group.
pub(super) struct Answer {
    /// With the counts, if anything was admitted.
    pub(super) admitted: Result<Option<Counts>, InboxError>,
    pub(super) ends: Vec<Value>,
    pub(super) waited: Vec<Value>,
}

impl Answer {
    /// `transaction` commands admit, `ends` end deliveries; then there may be waits.
    pub(super) fn new(answers: Vec<Value>, transaction: usize, ends: usize) -> Self {
        let mut rest = answers.into_iter();
        let admitted = if transaction == 0 {
            Ok(None)
        } else {
            admitted(&mut rest, transaction)
        };
        Self {
            admitted,
            ends: rest.by_ref().take(ends).collect(),
            waited: rest.collect(),
        }
    }
}

fn admitted(rest: &mut IntoIter<Value>, transaction: usize) -> Result<Option<Counts>, InboxError> {
    let mut answers: Vec<Value> = rest.by_ref().take(transaction).collect();
    let executed = answers.pop().unwrap_or(Value::Nil);
    // The command that was refused says why; EXEC only that one was.
    for answer in answers {
        answer.extract_error()?;
    }
    let Value::Array(results) = executed.extract_error()? else {
        return Err(corrupt("a transaction has no answer"));
    };
    let mut counts = Vec::new();
    for result in results {
        if let Value::Int(count) = result.extract_error()? {
            counts.push(count as u64);
        }
    }
    let [admitted, waiting_bytes, waiting] = counts[..] else {
        return Err(corrupt("a transaction has too few answers"));
    };
    Ok(Some(Counts {
        waiting,
        waiting_bytes,
        admitted,
    }))
}

/// Reads the entries of the stream.
pub(super) fn deliveries(entries: Value) -> Result<Vec<Delivery>, InboxError> {
    let Value::Array(entries) = entries else {
        return Ok(Vec::new());
    };
    let read = |entry| delivery(entry).ok_or_else(|| corrupt("an entry of the stream"));
    entries.into_iter().map(read).collect()
}

fn delivery(entry: Value) -> Option<Delivery> {
    let [id, fields] = <[Value; 2]>::try_from(list(entry)?).ok()?;
    let [a, admitted_at, t, traceparent, b, body] = <[Value; 6]>::try_from(list(fields)?).ok()?;
    if (text(a)?, text(t)?, text(b)?) != ("a".into(), "t".into(), "b".into()) {
        return None;
    }
    Some(Delivery {
        id: delivery_id(&bulk(id)?)?,
        admitted_at: Timestamp::from_micros(text(admitted_at)?.parse().ok()?),
        traceparent: text(traceparent)?,
        body: Bytes::from(bulk(body)?),
        attempts: 0,
    })
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn bulk(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

fn text(value: Value) -> Option<String> {
    String::from_utf8(bulk(value)?).ok()
}

/// No more deliveries than hold `most_bytes`, but one at least.
pub(super) fn bounded(mut found: Vec<Delivery>, most_bytes: usize) -> Vec<Delivery> {
    let mut bytes = 0;
    let fits = found.iter().take_while(|delivery| {
        let fits = bytes < most_bytes;
        bytes += delivery.body.len();
        fits
    });
    let fits = fits.count();
    found.truncate(fits);
    found
}

/// An item's arguments to `park.lua`.
pub(super) fn item_fields(item: &NewParked) -> [Vec<u8>; 11] {
    [
        item.id().into_bytes(),
        item.delivery.to_string().into_bytes(),
        item.index.to_string().into_bytes(),
        item.position.as_bytes().to_vec(),
        item.cause.as_bytes().to_vec(),
        item.number_id.as_bytes().to_vec(),
        item.admitted_at.as_micros().to_string().into_bytes(),
        item.parked_at.as_micros().to_string().into_bytes(),
        item.attempts.to_string().into_bytes(),
        item.traceparent.as_bytes().to_vec(),
        item.payload.to_vec(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_order_and_come_back() {
        let mut last = 0;
        for text in ["1-0", "1-1", "1-2097151", "2-0", "1790000000000-5"] {
            let id = delivery_id(text.as_bytes()).unwrap();
            assert!(id > last, "{text}");
            assert_eq!(stream_id(id), text);
            last = id;
        }
        assert_eq!(delivery_id(b"1-2097152"), None);
        assert_eq!(delivery_id(b"4398046511104-0"), None);
        assert_eq!(stream_id(0), "0-0");
    }
}
