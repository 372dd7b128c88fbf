//! Splitting: a raw body becomes items, each on its own. What cannot be read is parked with its
//! bytes; its siblings live.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use core_types::{Fact, FactBody, Timestamp};
use core_whatsapp::webhook;
use lib_proto::conversations::ReceivedItem;
use lib_proto::timestamp_to_proto;

use crate::inbox::{Delivery, NewParked, WHOLE_BODY};

/// A delivery, split.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) origin: Origin,
    /// What can be handed on, in the order of the body.
    pub(crate) items: Vec<Item>,
    /// What cannot.
    pub(crate) parked: Vec<NewParked>,
}

/// What an item keeps from its delivery.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) delivery: u64,
    pub(crate) admitted_at: Timestamp,
    pub(crate) traceparent: String,
    pub(crate) bytes: u64,
}

/// One item on its way.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) delivery: u64,
    pub(crate) index: u32,
    pub(crate) position: String,
    /// Its bytes, for parking.
    pub(crate) raw: Bytes,
    pub(crate) received: ReceivedItem,
}

impl Item {
    pub(crate) fn number_id(&self) -> &str {
        let fact = self.received.fact.as_ref();
        fact.map_or("", |fact| fact.number_id.as_str())
    }
}

impl Origin {
    pub(crate) fn of(delivery: &Delivery) -> Self {
        Self {
            delivery: delivery.id,
            admitted_at: delivery.admitted_at,
            traceparent: delivery.traceparent.clone(),
            bytes: delivery.body.len() as u64,
        }
    }

    fn whole_body(&self, body: Bytes, cause: String, now: Timestamp, attempts: u32) -> NewParked {
        NewParked {
            delivery: self.delivery,
            index: 0,
            position: WHOLE_BODY.to_owned(),
            cause,
            number_id: String::new(),
            admitted_at: self.admitted_at,
            parked_at: now,
            attempts,
            traceparent: self.traceparent.clone(),
            payload: body,
        }
    }

    /// `item` of this delivery as it is parked.
    pub(crate) fn park(&self, item: Item, cause: String, now: Timestamp, tries: u32) -> NewParked {
        NewParked {
            delivery: self.delivery,
            index: item.index,
            number_id: item.number_id().to_owned(),
            position: item.position,
            cause,
            admitted_at: self.admitted_at,
            parked_at: now,
            attempts: tries,
            traceparent: self.traceparent.clone(),
            payload: item.raw,
        }
    }

    /// What the log is given for one fact.
    pub(crate) fn received(&self, mut fact: Fact) -> ReceivedItem {
        let told = match &mut fact.body {
            FactBody::Message(message) => Some(&mut message.sent_at),
            FactBody::Status(status) => Some(&mut status.occurred_at),
            FactBody::Echo(echo) => Some(&mut echo.sent_at),
            FactBody::Account(_) => None,
        };
        // The epoch stands for a time Meta left out or garbled: it happened before it came.
        if let Some(told) = told.filter(|told| **told == Timestamp::EPOCH) {
            *told = self.admitted_at;
        }
        ReceivedItem {
            fact: Some((&fact).into()),
            admitted_at: Some(timestamp_to_proto(self.admitted_at)),
            traceparent: self.traceparent.clone(),
        }
    }
}

/// Splits `body`. `first` is the ordinal of its first item; a body that was parked whole holds
/// ordinal 0 itself.
pub(crate) fn split(origin: Origin, body: &Bytes, first: u32, now: Timestamp) -> Split {
    // The reader takes whatever the world sends. Should it ever panic, that body is parked like any
    // other it cannot read, instead of taking the worker down with it again and again.
    let outcome = catch_unwind(AssertUnwindSafe(|| webhook::read(body)));
    let read = match outcome {
        Ok(Ok(read)) => read,
        Ok(Err(problem)) => return whole(origin, body.clone(), problem.to_string(), now, 1),
        Err(_) => {
            let cause = "the reader failed on it; this is a fault of ours";
            return whole(origin, body.clone(), cause.to_owned(), now, 1);
        }
    };
    let (mut items, mut parked) = (Vec::with_capacity(read.len()), Vec::new());
    for (index, item) in (first..).zip(read) {
        match item.result {
            Ok(fact) => items.push(Item {
                delivery: origin.delivery,
                index,
                position: item.position,
                raw: Bytes::from(item.raw),
                received: origin.received(fact),
            }),
            Err(problem) => parked.push(NewParked {
                delivery: origin.delivery,
                index,
                position: item.position,
                cause: problem.to_string(),
                number_id: item.number_id.unwrap_or_default(),
                admitted_at: origin.admitted_at,
                parked_at: now,
                attempts: 1,
                traceparent: origin.traceparent.clone(),
                payload: Bytes::from(item.raw),
            }),
        }
    }
    Split {
        origin,
        items,
        parked,
    }
}

/// A delivery of which nothing is handed on: the body is parked as it is.
pub(crate) fn whole(
    origin: Origin,
    body: Bytes,
    cause: String,
    now: Timestamp,
    attempts: u32,
) -> Split {
    let parked = vec![origin.whole_body(body, cause, now, attempts)];
    Split {
        origin,
        items: Vec::new(),
        parked,
    }
}
