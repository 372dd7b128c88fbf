//! Handing a call on to the replica that holds its part: with the caller's own credential and
//! trace, and marked, so that it is handed on once only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::Request;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

use crate::channel::lazy_channel;
use crate::credential::FOR_TENANT;
use crate::refusal::Refusal;
use crate::trace;

/// Marks a call that was handed on.
const FORWARDED: &str = "x-frontdesk-forwarded";
/// What is handed on besides the request itself.
const CARRIED: [&str; 3] = ["authorization", "grpc-timeout", FOR_TENANT];

/// Connections to other replicas, kept open. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Replicas {
    channels: Arc<Mutex<BTreeMap<String, Channel>>>,
}

impl Replicas {
    /// The connection to a replica at `address`, `http://host:port`.
    ///
    /// # Errors
    /// When the address cannot be used: `grpc.advertise` of that replica is wrong.
    pub fn channel(&self, address: &str) -> Result<Channel, Refusal> {
        let mut channels = self
            .channels
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = lazy_channel(address).map_err(|error| {
            tracing::error!(%error, "a replica's grpc.advertise cannot be used");
            moving()
        })?;
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

/// The refusal of a call whose part is on the way to another replica.
pub fn moving() -> Refusal {
    Refusal::unavailable(
        "the work is moving to another replica; try again",
        Duration::from_secs(1),
    )
}

/// Whether a call was handed on by another replica.
pub fn is_forwarded(metadata: &MetadataMap) -> bool {
    metadata.contains_key(FORWARDED)
}

/// `body` as a request on behalf of the caller of `original`.
pub fn request<T>(original: &MetadataMap, body: T) -> Request<T> {
    let mut request = Request::new(body);
    let metadata = request.metadata_mut();
    for name in CARRIED {
        if let Some(value) = original.get(name) {
            metadata.insert(name, value.clone());
        }
    }
    let current = trace::current_traceparent().and_then(|text| text.parse().ok());
    let traceparent = current.or_else(|| original.get(trace::HEADER).cloned());
    if let Some(traceparent) = traceparent {
        metadata.insert(trace::HEADER, traceparent);
    }
    metadata.insert(FORWARDED, tonic::metadata::MetadataValue::from_static("1"));
    request
}
