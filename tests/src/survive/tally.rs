//! I37: what the metrics of an installation say agrees with what happened, to the last one, where no
//! process was started again (counters begin at nothing).

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::history::{Entry, Item, Op, Outcome};
use super::stores::Stores;

/// What is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Different messages of customers in bodies answered 200.
    pub received: u64,
    /// Messages that Graph accepted.
    pub sent: u64,
    /// Items set aside.
    pub parked: u64,
    /// Items that came again in bodies answered 200.
    pub duplicates: u64,
    /// Bodies refused for their signature.
    pub unsigned: u64,
}

impl Tally {
    /// From what was tried. What is parked is not known from outside, so the API tells it.
    pub fn of_history(history: &[&[Entry]], stores: &[&Stores]) -> Self {
        let mut tally = Self::default();
        let mut seen = BTreeSet::new();
        for entry in history.iter().copied().flatten() {
            match &entry.op {
                Op::Post { signed: false, .. } => tally.unsigned += 1,
                Op::Post { items, .. } if entry.outcome == Outcome::Ok => {
                    for item in items {
                        let new = seen.insert(super::checker::name(item));
                        match item {
                            Item::Poison { .. } => {}
                            Item::Message { .. } if new => tally.received += 1,
                            Item::Status { .. } if new => {}
                            _ => tally.duplicates += 1,
                        }
                    }
                }
                Op::Accepted { .. } => tally.sent += 1,
                _ => {}
            }
        }
        tally.parked = stores.iter().map(|stores| stores.parked.len() as u64).sum();
        tally
    }

    /// From `/metrics` of every process. A gauge of what all replicas share counts once.
    ///
    /// # Errors
    /// When a process does not show its metrics.
    pub async fn of_metrics(urls: &[String]) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut tally = Self::default();
        for url in urls {
            let answer = client.get(url).send().await;
            let text = answer.with_context(|| url.clone())?.text().await?;
            tally.received += sum(&text, "frontdesk_messages_received_total", "");
            tally.sent += sum(&text, "frontdesk_sends_total", "outcome=\"accepted\"");
            tally.duplicates += sum(&text, "frontdesk_duplicate_events_total", "");
            tally.unsigned += sum(&text, "frontdesk_webhook_signatures_refused_total", "");
            let parked = sum(&text, "frontdesk_parked_events", "");
            tally.parked = tally.parked.max(parked);
        }
        Ok(tally)
    }
}

/// The sum of the series called `name` that have `label`.
fn sum(text: &str, name: &str, label: &str) -> u64 {
    let lines = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let is_it = labels.is_empty() || labels.starts_with('{');
        (is_it && labels.contains(label)).then(|| value.parse::<f64>().ok())?
    });
    lines.sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_name_and_label() {
        let text = "# HELP a A\na{x=\"1\"} 2\na{x=\"2\"} 3\na_total 5\na 1\n";
        assert_eq!(
            (sum(text, "a", ""), sum(text, "a", "x=\"2\"")),
            (6, 3),
            "{text}"
        );
    }

    #[test]
    fn a_body_that_comes_again_is_a_duplicate_and_no_message() {
        let history = super::super::history::History::new(None);
        for _ in 0..3 {
            let item = Item::Message {
                wamid: "wamid.IN1".to_owned(),
                customer: "16505550101".to_owned(),
                number: "100000000000001".to_owned(),
            };
            let op = Op::Post {
                id: 1,
                status: 200,
                signed: true,
                items: vec![item],
            };
            history.record("meta", Outcome::Ok, op);
        }
        let entries = history.entries();
        let tally = Tally::of_history(&[&entries], &[&Stores::default()]);
        assert_eq!((tally.received, tally.duplicates), (1, 2));
    }
}
