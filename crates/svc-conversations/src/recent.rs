//! What need not be looked for in the database: keys that are certain not to have been taken in
//! lately, and statuses that are certain not to wait for a message. Only the replica that holds a
//! part takes anything in for it, so its memory is right for as long as it holds it.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::time::Duration;

use core_types::Timestamp;

use crate::parts::Fences;

/// Keys remembered, twice this at most. A key is a hash of 8 bytes.
const KEYS: usize = 200_000;
/// What an earlier holder of a part took in comes again within this time: what it had not told
/// ingress it had taken in. Until then everything is looked up.
const HANDED_OVER: Duration = Duration::from_secs(60);

/// Keys taken in lately. Those before are found by the index that forbids a second one.
#[derive(Default)]
pub(crate) struct Recent {
    hasher: RandomState,
    young: HashSet<u64>,
    old: HashSet<u64>,
    /// Since when each part is held, and under which fence.
    tenures: HashMap<u16, (i64, Timestamp)>,
}

impl Recent {
    /// Whether `key` of the number or account `scope` may have been taken in before.
    pub(crate) fn may_know(
        &mut self,
        scope: &str,
        key: &str,
        fences: &Fences,
        now: Timestamp,
    ) -> bool {
        let Some((part, fence)) = fences.of_key(scope) else {
            return true;
        };
        let tenure = self.tenures.entry(part).or_insert((fence, now));
        if tenure.0 != fence {
            *tenure = (fence, now);
        }
        let hash = self.hasher.hash_one(key);
        now < tenure.1.plus(HANDED_OVER) || self.young.contains(&hash) || self.old.contains(&hash)
    }

    /// `key` is being taken in.
    pub(crate) fn note(&mut self, key: &str) {
        if self.young.len() >= KEYS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(self.hasher.hash_one(key));
    }
}

/// Numbers for which statuses of unknown messages may wait.
#[derive(Default)]
pub(crate) struct Strays(HashMap<String, (i64, bool)>);

impl Strays {
    /// Whether some may wait for `number`; nothing when that has to be looked up.
    pub(crate) fn wait_for(&self, number: &str, fences: &Fences) -> Option<bool> {
        let (_, fence) = fences.of_key(number)?;
        let (under, wait) = self.0.get(number)?;
        (*under == fence).then_some(*wait)
    }

    /// Whether some wait for `number`, as was just looked up or is about to be stored.
    pub(crate) fn note(&mut self, number: &str, wait: bool, fences: &Fences) {
        if let Some((_, fence)) = fences.of_key(number) {
            self.0.insert(number.to_owned(), (fence, wait));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_looked_up_only_while_the_part_is_young() {
        let mut recent = Recent::default();
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let fences = Fences::all_at(7);
        assert!(recent.may_know("n", "a", &fences, at(0)));
        assert!(!recent.may_know("n", "a", &fences, at(60)));
        recent.note("a");
        assert!(recent.may_know("n", "a", &fences, at(60)));
        assert!(!recent.may_know("n", "b", &fences, at(60)));
        // Another replica had the part in between.
        let again = Fences::all_at(9);
        assert!(recent.may_know("n", "b", &again, at(100)));
        assert!(!recent.may_know("n", "b", &again, at(160)));
    }

    #[test]
    fn a_key_is_remembered_for_long_enough() {
        let mut recent = Recent::default();
        let fences = Fences::all_at(7);
        let start = Timestamp::from_micros(0);
        let later = start.plus(HANDED_OVER);
        recent.may_know("n", "", &fences, start);
        recent.note("first");
        for n in 0..KEYS {
            recent.note(&n.to_string());
        }
        assert!(recent.may_know("n", "first", &fences, later));
        assert!(recent.young.len() + recent.old.len() <= 2 * KEYS);
    }

    #[test]
    fn strays_are_known_under_one_fence() {
        let mut strays = Strays::default();
        let fences = Fences::all_at(7);
        assert_eq!(strays.wait_for("n", &fences), None);
        strays.note("n", false, &fences);
        assert_eq!(strays.wait_for("n", &fences), Some(false));
        strays.note("n", true, &fences);
        assert_eq!(strays.wait_for("n", &fences), Some(true));
        assert_eq!(strays.wait_for("n", &Fences::all_at(8)), None);
    }
}
