//! How many templates there are in which state, as the registry has them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lib_platform::Metrics;
use lib_platform::metrics::Sample;
use lib_storage::Database;

use crate::store;

/// Shows the registry. It is counted when somebody asks.
pub(crate) fn watch(metrics: &Metrics, database: &Database) {
    // What alerts ask for is there from the start.
    let first = ["APPROVED", "PAUSED", "DISABLED"].map(|status| (status.to_owned(), 0));
    let last: Arc<Mutex<BTreeMap<String, u64>>> = Arc::new(Mutex::new(BTreeMap::from(first)));
    let shown = Arc::clone(&last);
    metrics.sampled(
        "frontdesk_templates",
        "Templates by status, in Meta's words",
        move || {
            let counts = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let sample = |(status, count): (&String, &u64)| {
                Sample::new(*count as f64).with("status", status)
            };
            counts.iter().map(sample).collect()
        },
    );
    let database = database.clone();
    metrics.on_scrape("templates", move || {
        let (database, last) = (database.clone(), Arc::clone(&last));
        async move {
            let counts = store::statuses(&database).await?;
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            // A status without templates any more is a zero, not a gap.
            last.values_mut().for_each(|count| *count = 0);
            last.extend(counts);
            Ok(())
        }
    });
}
