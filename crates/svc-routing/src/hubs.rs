//! Which hub serves a tenant: one of this replica, or another replica's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use core_types::TenantId;
use lib_platform::forward::{self, Replicas};
use lib_platform::partition::{Holder, Shares, part_of};
use lib_platform::{Lifecycle, Refusal};
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

use crate::order::Orders;
use crate::store::Store;

/// How long a call waits for a hub that is on the way to another replica, or still reads its rows.
const PATIENCE: Duration = Duration::from_secs(3);

/// A hub of this replica that takes orders. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OpenHub {
    pub(crate) orders: Orders,
    pub(crate) store: Store,
    /// Ends when the hub does.
    pub(crate) life: Lifecycle,
}

/// Where a tenant is served.
pub(crate) enum Served {
    /// Here.
    Here(Box<OpenHub>),
    /// By the replica at the other end.
    There(Channel),
}

/// The hubs of this replica that take orders now.
#[derive(Clone, Default)]
pub(crate) struct OpenHubs {
    hubs: Arc<RwLock<BTreeMap<u16, OpenHub>>>,
    changes: watch::Sender<()>,
}

impl OpenHubs {
    pub(crate) fn open(&self, part: u16, hub: OpenHub) {
        if let Ok(mut hubs) = self.hubs.write() {
            hubs.insert(part, hub);
        }
        self.changes.send_replace(());
    }

    /// Closes the hub of `part` that was opened under `fence`; a later one stays.
    pub(crate) fn close(&self, part: u16, fence: i64) {
        if let Ok(mut hubs) = self.hubs.write()
            && hubs
                .get(&part)
                .is_some_and(|hub| hub.store.part().fence == fence)
        {
            hubs.remove(&part);
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<OpenHub> {
        let hubs = self.hubs.read();
        hubs.map(|hubs| hubs.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Ends every hub of this replica so that it is rebuilt; how many.
    fn rebuild(&self) -> u32 {
        let hubs = self.hubs.read().map(|hubs| hubs.clone());
        let hubs = hubs.unwrap_or_default();
        for hub in hubs.values() {
            hub.life.stop();
        }
        hubs.len() as u32
    }

    fn get(&self, part: u16) -> Option<OpenHub> {
        self.hubs.read().ok()?.get(&part).cloned()
    }
}

/// Finds the hub of a tenant. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hubs {
    open: OpenHubs,
    shares: Shares,
    replicas: Replicas,
    of: u16,
}

impl Hubs {
    /// `of` is the number of parts.
    pub(crate) fn new(open: OpenHubs, shares: Shares, of: u16) -> Self {
        Self {
            open,
            shares,
            replicas: Replicas::default(),
            of,
        }
    }

    /// Begins to rebuild this replica's hubs; how many. With them the other replicas' addresses.
    pub(crate) fn rebuild(&self) -> (u32, BTreeSet<String>) {
        let others = (0..self.of).filter_map(|part| match self.shares.holder(part) {
            Holder::There(other) => Some(other.address),
            Holder::Here(_) | Holder::Nobody => None,
        });
        (self.open.rebuild(), others.collect())
    }

    /// The way to another replica.
    ///
    /// # Errors
    /// When its address cannot be used.
    pub(crate) fn replica(&self, address: &str) -> Result<Channel, Refusal> {
        self.replicas.channel(address)
    }

    /// Where `tenant` is served. A call that was handed on already is not handed on again.
    ///
    /// # Errors
    /// When its hub is moving and did not arrive in time.
    pub(crate) async fn of(
        &self,
        tenant: &TenantId,
        metadata: &MetadataMap,
    ) -> Result<Served, Refusal> {
        let part = part_of(tenant.as_str(), self.of);
        let (mut shares, mut opened) = (self.shares.clone(), self.open.changes.subscribe());
        let found = async {
            loop {
                match self.shares.holder(part) {
                    Holder::Here(_) => {
                        if let Some(hub) = self.open.get(part) {
                            return Ok(Served::Here(Box::new(hub)));
                        }
                    }
                    Holder::There(_) if forward::is_forwarded(metadata) => {
                        return Err(forward::moving());
                    }
                    Holder::There(other) => {
                        let channel = self.replicas.channel(&other.address)?;
                        return Ok(Served::There(channel));
                    }
                    Holder::Nobody => {}
                }
                tokio::select! {
                    () = shares.changed() => {}
                    // The sender lives as long as `self`.
                    _ = opened.changed() => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .unwrap_or_else(|_| Err(forward::moving()))
    }
}
