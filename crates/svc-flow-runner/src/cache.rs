//! Compiled versions in memory, and which version of a flow is the newest.
//!
//! Versions never change, so a compiled one is never out of date. The newest version changes by a
//! publication, here or on another replica, which announces it. Numbers only grow, so the larger of
//! two is always right, in whatever order they arrive. Where announcements may have been missed the
//! database is asked again; and in any case after [`BELIEVED`], so that no silently dead connection
//! keeps a new version from customers for longer. While the database does not answer, the number heard
//! last is taken: meanwhile nobody can publish.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use core_flow::CompiledFlow;

/// How long the newest version is believed without being heard of again.
const BELIEVED: Duration = Duration::from_secs(30);

/// By tenant, then by flow: looked up without building a key.
type ByFlow<T> = BTreeMap<String, BTreeMap<String, T>>;

/// The compiled versions. Share it behind an [`Arc`].
pub(crate) struct Cache {
    most: usize,
    /// Counts uses: the clock by which the oldest is found.
    uses: AtomicU64,
    shelf: RwLock<Shelf>,
}

#[derive(Default)]
struct Shelf {
    /// One number for each flow; never dropped, so that a late read cannot bring an old one back.
    newest: ByFlow<Newest>,
    compiled: ByFlow<BTreeMap<u32, Compiled>>,
    count: usize,
}

#[derive(Clone, Copy, Default)]
struct Newest {
    version: u32,
    /// When that was last heard; `None` when it has to be asked again.
    heard: Option<Instant>,
}

struct Compiled {
    flow: Arc<CompiledFlow>,
    used: AtomicU64,
}

impl Cache {
    /// A cache that keeps at most `most` compiled versions.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            uses: AtomicU64::new(0),
            shelf: RwLock::default(),
        }
    }

    /// The newest version of a flow, if known here.
    pub(crate) fn newest(&self, tenant: &str, flow: &str) -> Option<u32> {
        let newest = *self.read().newest.get(tenant)?.get(flow)?;
        let believed = newest.heard.is_some_and(|at| at.elapsed() < BELIEVED);
        believed.then_some(newest.version)
    }

    /// The newest version heard of, however long ago.
    pub(crate) fn heard_last(&self, tenant: &str, flow: &str) -> Option<u32> {
        Some(self.read().newest.get(tenant)?.get(flow)?.version)
    }

    /// A compiled version, if it is here.
    pub(crate) fn get(&self, tenant: &str, flow: &str, version: u32) -> Option<Arc<CompiledFlow>> {
        let shelf = self.read();
        let compiled = shelf.compiled.get(tenant)?.get(flow)?.get(&version)?;
        compiled.used.store(self.tick(), Ordering::Relaxed);
        Some(Arc::clone(&compiled.flow))
    }

    /// Announcements may have been missed: asks again for every newest version.
    pub(crate) fn doubt(&self) {
        let mut shelf = self.write();
        for newest in shelf.newest.values_mut().flat_map(BTreeMap::values_mut) {
            newest.heard = None;
        }
    }

    /// Takes in another replica's announcement: `tenant/flow/version`.
    pub(crate) fn told(&self, told: &str) {
        let mut parts = told.rsplitn(3, '/');
        if let (Some(version), Some(flow), Some(tenant)) =
            (parts.next(), parts.next(), parts.next())
            && let Ok(version) = version.parse()
        {
            self.published(tenant, flow, version);
        }
    }

    /// Notes that `version` of a flow is published.
    pub(crate) fn published(&self, tenant: &str, flow: &str, version: u32) {
        let mut shelf = self.write();
        let flows = shelf.newest.entry(tenant.to_owned()).or_default();
        let newest = flows.entry(flow.to_owned()).or_default();
        *newest = Newest {
            version: version.max(newest.version),
            heard: Some(Instant::now()),
        };
    }

    /// Keeps a compiled version; drops the one used longest ago when there are too many.
    pub(crate) fn keep(&self, tenant: &str, flow: &str, compiled: Arc<CompiledFlow>) {
        let mut shelf = self.write();
        let version = compiled.version();
        let entry = Compiled {
            flow: compiled,
            used: AtomicU64::new(self.tick()),
        };
        let flows = shelf.compiled.entry(tenant.to_owned()).or_default();
        let versions = flows.entry(flow.to_owned()).or_default();
        if versions.insert(version, entry).is_none() {
            shelf.count += 1;
        }
        while shelf.count > self.most {
            shelf.drop_oldest();
        }
    }

    fn tick(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    // A panic under the lock leaves whole entries behind: there is nothing to repair.
    fn read(&self) -> RwLockReadGuard<'_, Shelf> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shelf> {
        self.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// Looks at every entry: it happens once per compilation, which costs far more.
    fn drop_oldest(&mut self) {
        let oldest = self
            .compiled
            .iter()
            .flat_map(|(tenant, flows)| flows.iter().map(move |(flow, all)| (tenant, flow, all)))
            .flat_map(|(tenant, flow, all)| {
                all.iter().map(move |(version, compiled)| {
                    let used = compiled.used.load(Ordering::Relaxed);
                    (used, tenant.clone(), flow.clone(), *version)
                })
            })
            .min();
        let Some((_, tenant, flow, version)) = oldest else {
            self.count = 0;
            return;
        };
        self.count -= 1;
        if let Some(flows) = self.compiled.get_mut(&tenant) {
            if let Some(versions) = flows.get_mut(&flow) {
                versions.remove(&version);
                if versions.is_empty() {
                    flows.remove(&flow);
                }
            }
            if flows.is_empty() {
                self.compiled.remove(&tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn compiled(version: u32) -> Arc<CompiledFlow> {
        let text = r#"{"format":1,"name":"x","start":"S","widgets":[
            {"name":"S","type":"start","exits":{"next":null}}]}"#;
        let definition = core_flow::parse(text).unwrap();
        let version = NonZeroU32::new(version).unwrap();
        Arc::new(CompiledFlow::compile(&definition, version).unwrap())
    }

    #[test]
    fn the_one_used_longest_ago_goes_first() {
        let cache = Cache::new(2);
        cache.keep("a", "f", compiled(1));
        cache.keep("a", "f", compiled(2));
        assert!(cache.get("a", "f", 1).is_some());
        cache.keep("b", "f", compiled(1));
        assert!(cache.get("a", "f", 2).is_none());
        assert!(cache.get("a", "f", 1).is_some() && cache.get("b", "f", 1).is_some());
        cache.keep("b", "f", compiled(1));
        assert!(
            cache.get("a", "f", 1).is_some(),
            "keeping one twice drops nothing"
        );
    }

    #[test]
    fn the_newest_version_never_goes_back() {
        let cache = Cache::new(2);
        assert_eq!(cache.newest("a", "f"), None);
        cache.published("a", "f", 2);
        cache.published("a", "f", 1);
        assert_eq!(cache.newest("a", "f"), Some(2));
        assert_eq!(cache.newest("b", "f"), None);
        cache.told("a/f/3");
        assert_eq!(cache.newest("a", "f"), Some(3));
        cache.doubt();
        assert_eq!(cache.newest("a", "f"), None);
        assert_eq!(cache.heard_last("a", "f"), Some(3));
        cache.published("a", "f", 2);
        assert_eq!(cache.newest("a", "f"), Some(3), "a late read");
    }
}
