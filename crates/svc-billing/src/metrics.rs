//! What was rated, and what could not be. Counted when it is stored, so work that is tried again
//! counts once.

use std::collections::BTreeMap;

use core_billing::Usage;
use lib_platform::Metrics;
use lib_platform::metrics::{Counter, Followed};

/// The instruments of the follower.
#[derive(Clone)]
pub(crate) struct Instruments {
    metrics: Metrics,
    unrated: Counter,
    followed: Followed,
}

/// What one batch adds: amounts in micros and messages, by currency and category.
#[derive(Default)]
pub(crate) struct Tally {
    rated: BTreeMap<(String, String), (u64, u64)>,
    unrated: u64,
}

impl Tally {
    pub(crate) fn rated(&mut self, usage: &Usage) {
        let amount = &usage.rating.amount;
        let key = (
            amount.currency.to_string(),
            usage.rating.category.to_string(),
        );
        let (micros, messages) = self.rated.entry(key).or_default();
        *micros += u64::try_from(amount.micros).unwrap_or(0);
        *messages += 1;
    }

    pub(crate) fn unrated(&mut self) {
        self.unrated += 1;
    }
}

impl Instruments {
    pub(crate) fn new(metrics: &Metrics, part: u16) -> Self {
        Self {
            unrated: metrics.counter(
                "frontdesk_unrated_messages_total",
                "Delivered messages that could not be rated when they were first seen; see \
                 the statement",
                &[],
            ),
            followed: metrics.followed("billing", part),
            metrics: metrics.clone(),
        }
    }

    /// This is stored.
    pub(crate) fn add(&self, tally: Tally) {
        for ((currency, category), (micros, messages)) in tally.rated {
            let labels = [
                ("currency", currency.as_str()),
                ("category", category.as_str()),
            ];
            let help = "What rated messages cost, in millionths of the currency's unit";
            let amount = self
                .metrics
                .counter("frontdesk_rated_micros_total", help, &labels);
            amount.add(micros);
            let help = "Delivered messages rated, free ones included";
            let count = self
                .metrics
                .counter("frontdesk_rated_messages_total", help, &labels);
            count.add(messages);
        }
        self.unrated.add(tally.unrated);
    }

    /// Every entry of the log up to here has had its effect.
    pub(crate) fn reached(&self, cursor: &str) {
        self.followed.reached(cursor);
    }
}
