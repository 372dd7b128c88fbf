//! Numbers that several services have in common: how far a follower of the log has come, and which
//! parts of shared work a replica has.

use super::{Counter, Gauge, Metrics, Sample};
use crate::partition::{Holder, Shares, Work};

/// Shows how far a follower of the log has come. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Followed(Gauge);

impl Followed {
    /// Every entry up to `cursor` has had its effect. What is no position of the log is not shown.
    pub fn reached(&self, cursor: &str) {
        if let Ok(position) = cursor.parse::<u64>() {
            self.0.set(position as f64);
        }
    }
}

impl Metrics {
    /// How far `follower` (a service) has come in the log, or in its `part` of it.
    pub fn followed(&self, follower: &'static str, part: u16) -> Followed {
        let part = part.to_string();
        let help = "Position in the log up to which entries have had their effect, by follower \
                    and part; the least over parts of the most over replicas, beside \
                    frontdesk_log_head_entries, is how far the slowest part is behind";
        let labels = [("follower", follower), ("part", part.as_str())];
        Followed(self.gauge("frontdesk_follower_position_entries", help, &labels))
    }

    /// Commits of `service`, and requests to Meta, that were refused because the work is another
    /// replica's now.
    pub fn fenced(&self, service: &'static str) -> Counter {
        let help = "Commits and sends refused because the partition belongs to another replica now";
        self.counter(
            "frontdesk_fenced_commits_total",
            help,
            &[("service", service)],
        )
    }

    /// Shows which parts of `work` this replica has, and which nobody has.
    pub fn shares(&self, work: Work, shares: &Shares) {
        let held = shares.clone();
        let name = work.name;
        self.sampled(
            "frontdesk_partitions_held",
            "Parts of shared work that this replica has",
            move || vec![Sample::new(held.here().len() as f64).with("work", name)],
        );
        let all = shares.clone();
        self.sampled(
            "frontdesk_partitions_unheld",
            "Parts of shared work that no replica has, as this one sees it",
            move || {
                let parts = (0..work.parts).map(|part| all.holder(part));
                let unheld = parts.filter(|holder| *holder == Holder::Nobody);
                vec![Sample::new(unheld.count() as f64).with("work", name)]
            },
        );
    }
}
