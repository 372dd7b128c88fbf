//! The inbox: what was admitted and not yet handed on, and what had to be parked. A small trait, so
//! that the embedded table and other stores keep the same promises; `tests/inbox_conformance.rs`
//! says which.

use std::future::Future;

use bytes::Bytes;
use core_types::Timestamp;
use lib_storage::StorageError;
use lib_storage::redis::RedisError;

/// [`Parked::position`] of a body that could not be split.
pub const WHOLE_BODY: &str = "body";

/// The inbox could not do it. Where [`InboxError::is_unknown`], it may have been done all the same.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The database behind it refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Redis did.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// It could not be written.
    #[error("the inbox was not written: {0}")]
    NotKept(String),
    /// Another replica reads the inbox now; nothing was changed.
    #[error("another replica reads the inbox now")]
    Fenced,
    /// What stands in the inbox cannot be read back.
    #[error("the inbox holds something that cannot be read: {0}")]
    Corrupt(String),
}

impl InboxError {
    /// Whether it may have been done although it failed: the answer was lost.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Redis(error) if error.is_unknown())
    }
}

impl From<redis::RedisError> for InboxError {
    fn from(error: redis::RedisError) -> Self {
        Self::Redis(error.into())
    }
}

impl From<sqlx::Error> for InboxError {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(error.into())
    }
}

/// A delivery that asks to be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// When it came.
    pub admitted_at: Timestamp,
    /// W3C trace context; empty when it is not part of a trace.
    pub traceparent: String,
    /// The raw body.
    pub body: Bytes,
}

/// A delivery that waits to be handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number; grows in order of admission and is never given out again.
    pub id: u64,
    /// When it came.
    pub admitted_at: Timestamp,
    /// W3C trace context; empty when it is not part of a trace.
    pub traceparent: String,
    /// The raw body.
    pub body: Bytes,
    /// How often the process died with it under work, or is held to be at work on it now.
    pub attempts: u32,
}

/// An item to park.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewParked {
    /// The delivery it came in.
    pub delivery: u64,
    /// Its ordinal in the delivery; with `delivery` it makes the id.
    pub index: u32,
    /// Where in the delivery, or [`WHOLE_BODY`].
    pub position: String,
    /// Why.
    pub cause: String,
    /// The number it belongs to, as far as it could be read; else empty.
    pub number_id: String,
    /// When the delivery was admitted.
    pub admitted_at: Timestamp,
    /// Now.
    pub parked_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Trace context of the delivery.
    pub traceparent: String,
    /// The item's bytes, or the body's.
    pub payload: Bytes,
}

impl NewParked {
    /// The id under which it will be found: the same each time the item is parked.
    pub fn id(&self) -> String {
        format!("{}.{}", self.delivery, self.index)
    }
}

/// A parked item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// `<delivery>.<index>`.
    pub id: String,
    /// Order of parking, for paging.
    pub sequence: u64,
    /// What was parked. Lists leave the payload empty.
    pub item: NewParked,
    /// It was handed on since, and is kept without its bytes so that a repeated replay can say so.
    pub replayed: bool,
}

/// What is committed together.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Deliveries to admit, in this order: all of them or none.
    pub admit: Vec<NewDelivery>,
    /// What ended, each as a whole or not at all.
    pub ends: Vec<Ending>,
}

/// The end of some deliveries.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// The fence of who reads the inbox.
    pub fence: i64,
    /// Deliveries of which every item was taken or parked. Unknown ones are ignored.
    pub finish: Vec<u64>,
    /// Their bodies' bytes.
    pub bytes: u64,
    /// Items to park; one parked before under the same id is left as it is.
    pub park: Vec<NewParked>,
}

/// What became of a [`Group`].
#[derive(Debug)]
pub struct Outcome {
    /// Whether the deliveries were admitted.
    pub admitted: Result<(), InboxError>,
    /// One for each ending, in order.
    pub ended: Vec<Result<(), InboxError>>,
    /// How much there is now, if it is known.
    pub counts: Option<Counts>,
}

impl Outcome {
    /// The first failure, if there was one.
    ///
    /// # Errors
    /// When not everything was kept.
    pub fn all(self) -> Result<(), InboxError> {
        self.ended.into_iter().fold(self.admitted, Result::and)
    }
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Their bodies' bytes.
    pub waiting_bytes: u64,
    /// Deliveries ever admitted.
    pub admitted: u64,
}

/// Reads the inbox from its beginning.
pub trait Reading: Send + 'static {
    /// The next deliveries in order of admission, by whichever replica they were admitted: at most
    /// `most`, and no more once they hold `most_bytes`, but at least one. Waits until there is one.
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When they cannot be read. [`InboxError::Fenced`]: start over.
    fn next(
        &mut self,
        most: u32,
        most_bytes: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, InboxError>> + Send;
}

/// A durable inbox. Clones share it. What a method says it did survives a crash right after.
///
/// Where several processes share an inbox, one of them reads it at a time, under a lease; what it
/// changes as the reader carries the fence, and is refused when another has taken over.
pub trait Inbox: Clone + Send + Sync + 'static {
    /// How it is read.
    type Reading: Reading;

    /// Admits, finishes and parks.
    fn commit(&self, group: &Group) -> impl Future<Output = Outcome> + Send;

    /// Deliveries with an id above `after`, in order: at most `most`, and no more once they hold
    /// `most_bytes`, but at least one if there is one.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(
        &self,
        after: u64,
        most: u32,
        most_bytes: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, InboxError>> + Send;

    /// Begins to read. If the last reader did not end in good order, this raises the attempts of
    /// the first `window` deliveries, of which any may have been under work when it died, to at most
    /// `ceiling`.
    ///
    /// # Errors
    /// When it was not done.
    fn begin(
        &self,
        fence: i64,
        window: u32,
        ceiling: u32,
    ) -> impl Future<Output = Result<Self::Reading, InboxError>> + Send;

    /// The reader ends in good order: what it leaves unfinished is not to blame.
    ///
    /// # Errors
    /// When it was not noted.
    fn leave(&self, fence: i64) -> impl Future<Output = Result<(), InboxError>> + Send;

    /// Raises the attempts of one delivery before the work on it; returns them.
    ///
    /// # Errors
    /// When it was not done.
    fn claim(&self, fence: i64, id: u64) -> impl Future<Output = Result<u32, InboxError>> + Send;

    /// Takes a claim back: the work did not begin after all.
    ///
    /// # Errors
    /// When it was not done.
    fn release(&self, fence: i64, id: u64) -> impl Future<Output = Result<(), InboxError>> + Send;

    /// Parked items in order of parking, without payload: those after `after`, at most `most`; of
    /// the given numbers only, if given.
    ///
    /// # Errors
    /// When they cannot be read.
    fn parked(
        &self,
        numbers: Option<&[String]>,
        after: u64,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Parked>, InboxError>> + Send;

    /// How many items are parked for each number; the empty number stands for "could not be read".
    ///
    /// # Errors
    /// When they cannot be counted.
    fn parked_by_number(
        &self,
    ) -> impl Future<Output = Result<Vec<(String, u64)>, InboxError>> + Send;

    /// One parked item with its payload, replayed ones included.
    ///
    /// # Errors
    /// When it cannot be read.
    fn find_parked(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<Parked>, InboxError>> + Send;

    /// A parked item was handed on: drops its bytes and parks `instead`, in one step.
    ///
    /// # Errors
    /// When nothing was changed.
    fn replayed(
        &self,
        id: &str,
        instead: &[NewParked],
    ) -> impl Future<Output = Result<(), InboxError>> + Send;

    /// A parked item could not be handed on: counts the attempt and notes why.
    ///
    /// # Errors
    /// When nothing was changed.
    fn replay_failed(
        &self,
        id: &str,
        cause: &str,
    ) -> impl Future<Output = Result<(), InboxError>> + Send;

    /// How much there is.
    ///
    /// # Errors
    /// When it cannot be counted.
    fn counts(&self) -> impl Future<Output = Result<Counts, InboxError>> + Send;
}
