//! Where a call is answered: by the replica that works on its part. Any replica takes any call and
//! hands on what is another's, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use core_types::ConversationId;
use futures_util::future::{BoxFuture, join_all};
use lib_platform::Refusal;
use lib_platform::forward::{self, Replicas};
use lib_platform::partition::{Holder, Shares};
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

use crate::parts::Parts;
use crate::places::Places;

/// How long a call waits for a part that nobody works on at the moment.
const PATIENCE: Duration = Duration::from_secs(2);

/// Finds the replica for a call.
pub(crate) struct Door {
    pub(crate) parts: Arc<Parts>,
    pub(crate) shares: Shares,
    pub(crate) places: Places,
    pub(crate) replicas: Replicas,
}

/// Where a part is worked on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Where {
    Here,
    There(String),
    Nowhere,
}

impl Door {
    /// Whether every call can be answered here.
    pub(crate) fn everything_is_here(&self) -> bool {
        self.parts.all_open()
    }

    /// The parts of conversations, none for those that do not exist: any replica can say so.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn parts_of(
        &self,
        ids: &[Option<ConversationId>],
    ) -> Result<Vec<Option<u16>>, Refusal> {
        if self.everything_is_here() {
            return Ok(vec![None; ids.len()]);
        }
        Ok(self.places.of(ids).await?)
    }

    /// Where `part` is worked on, waiting a moment while it moves.
    async fn find(&self, part: u16, forwarded: bool, until: Instant) -> Where {
        let mut open = self.parts.changes();
        let mut shares = self.shares.clone();
        loop {
            if open.borrow_and_update().of(part).is_some() {
                return Where::Here;
            }
            match self.shares.holder(part) {
                Holder::There(member) if !forwarded && !member.address.is_empty() => {
                    return Where::There(member.address);
                }
                Holder::There(_) | Holder::Here(_) | Holder::Nobody => {}
            }
            let moved = async {
                tokio::select! {
                    _ = open.changed() => {}
                    () = shares.changed() => {}
                }
            };
            if timeout_at(until, moved).await.is_err() {
                return Where::Nowhere;
            }
        }
    }

    /// The replica a call about `part` is to be handed on to; none when it is answered here.
    ///
    /// # Errors
    /// When nobody works on the part.
    pub(crate) async fn elsewhere(
        &self,
        metadata: &MetadataMap,
        part: Option<u16>,
    ) -> Result<Option<Channel>, Refusal> {
        let Some(part) = part else { return Ok(None) };
        let forwarded = forward::is_forwarded(metadata);
        match self.find(part, forwarded, Instant::now() + PATIENCE).await {
            Where::Here => Ok(None),
            Where::There(address) => self.replicas.channel(&address).map(Some),
            Where::Nowhere => Err(forward::moving()),
        }
    }

    /// Has every item answered where its part is worked on; those without one here. The answers
    /// keep their order; what could not be asked or answered has an error in its place.
    pub(crate) async fn spread<I, O, H, T>(
        &self,
        metadata: &MetadataMap,
        items: Vec<I>,
        parts: &[Option<u16>],
        here: H,
        there: T,
    ) -> Vec<Result<O, Status>>
    where
        I: Send,
        O: Send,
        H: Fn(Vec<I>) -> BoxFuture<'static, Result<Vec<O>, Status>> + Send,
        T: Fn(Channel, Vec<I>) -> BoxFuture<'static, Result<Vec<O>, Status>> + Send,
    {
        let count = items.len();
        let mut groups: BTreeMap<Where, (Vec<usize>, Vec<I>)> = BTreeMap::new();
        let places = self.places_of(metadata, parts).await;
        for (at, item) in items.into_iter().enumerate() {
            let part = parts.get(at).copied().flatten();
            let place = part.and_then(|part| places.get(&part).cloned());
            let group = groups.entry(place.unwrap_or(Where::Here)).or_default();
            group.0.push(at);
            group.1.push(item);
        }
        let calls = groups.into_iter().map(|(place, (order, items))| {
            let call = match place {
                Where::Here => Ok(here(items)),
                Where::There(address) => self
                    .replicas
                    .channel(&address)
                    .map(|channel| there(channel, items)),
                Where::Nowhere => Err(forward::moving()),
            };
            async move {
                let answers = match call {
                    Ok(call) => call.await,
                    Err(refusal) => Err(refusal.into()),
                };
                (order, answers)
            }
        });
        let mut all: Vec<Result<O, Status>> = (0..count)
            .map(|_| Err(Status::from(forward::moving())))
            .collect();
        for (order, answers) in join_all(calls).await {
            match answers {
                Ok(answers) => {
                    for (at, answer) in order.into_iter().zip(answers) {
                        all[at] = Ok(answer);
                    }
                }
                Err(status) => {
                    for at in order {
                        all[at] = Err(status.clone());
                    }
                }
            }
        }
        all
    }

    async fn places_of(
        &self,
        metadata: &MetadataMap,
        parts: &[Option<u16>],
    ) -> BTreeMap<u16, Where> {
        let mut places = BTreeMap::new();
        if self.everything_is_here() {
            return places;
        }
        let forwarded = forward::is_forwarded(metadata);
        let until = Instant::now() + PATIENCE;
        for part in parts.iter().flatten() {
            if !places.contains_key(part) {
                places.insert(*part, self.find(*part, forwarded, until).await);
            }
        }
        places
    }
}
