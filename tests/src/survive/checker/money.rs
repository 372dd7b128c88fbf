//! I22 to I27: what was charged.

use std::collections::{BTreeMap, BTreeSet};

use lib_proto::common::DeliveryStatus;
use lib_proto::conversations::log_entry::Event;

use super::Case;
use crate::survive::history::{Entry, Item, Op, Outcome};

pub(super) fn check(case: &mut Case<'_>) {
    let mut broken = Vec::new();
    journals(case, &mut broken);
    delivered(case, &mut broken);
    statement(case, &mut broken);
    for (invariant, seen) in broken {
        case.broken(invariant, seen);
    }
}

type Broken = Vec<(&'static str, String)>;

/// I22, I24.
fn journals(case: &Case<'_>, broken: &mut Broken) {
    for journal in &case.stores.journals {
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for posting in &journal.postings {
            let amount = posting.amount.clone().unwrap_or_default();
            *sums.entry(amount.currency_code).or_default() += amount.micros;
        }
        if sums.values().any(|sum| *sum != 0) || journal.postings.is_empty() {
            broken.push(("I22", format!("{} sums to {sums:?}", journal.id)));
        }
    }
    for before in &case.facts.checkpoint {
        let now = case
            .stores
            .journals
            .iter()
            .find(|journal| journal.id == before.id);
        if now != Some(before) {
            broken.push(("I24", format!("{} is not what it was", before.id)));
        }
    }
}

fn told(case: &Case<'_>) -> BTreeMap<String, (String, bool)> {
    told_of(case.history)
}

/// Messages whose `delivered` or `read` was answered 200, with their category. A second copy of a
/// message is the same message for billing.
pub(super) fn told_of(history: &[Entry]) -> BTreeMap<String, (String, bool)> {
    let mut categories: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for entry in history {
        if let Op::Accepted {
            intent,
            wamid,
            category,
            ..
        } = &entry.op
        {
            categories.insert(wamid, (intent, category));
        }
    }
    let mut found = BTreeMap::new();
    for entry in history {
        let Op::Post {
            items,
            signed: true,
            ..
        } = &entry.op
        else {
            continue;
        };
        if entry.outcome != Outcome::Ok {
            continue;
        }
        for item in items {
            if let Item::Status { wamid, status, .. } = item
                && (status == "delivered" || status == "read")
                && let Some((intent, category)) = categories.get(wamid.as_str())
            {
                let free = *category == "service";
                found.insert(wamid.clone(), ((*intent).to_owned(), free));
            }
        }
    }
    found
}

/// I23, I25.
fn delivered(case: &Case<'_>, broken: &mut Broken) {
    let told = told(case);
    let mut charged: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reversed: BTreeSet<&str> = BTreeSet::new();
    for journal in &case.stores.journals {
        if journal.reverses.is_empty() {
            *charged.entry(&journal.whatsapp_message_id).or_default() += 1;
        } else {
            reversed.insert(&journal.reverses);
        }
    }
    for (wamid, (_, free)) in &told {
        let times = charged.remove(wamid.as_str()).unwrap_or(0);
        let wanted = usize::from(!free);
        if times != wanted {
            broken.push((
                "I23",
                format!("{wamid}: {times} journals instead of {wanted}"),
            ));
        }
    }
    for (wamid, _) in charged {
        broken.push((
            "I25",
            format!("{wamid} is charged and was neither delivered nor read"),
        ));
    }
    let arrived: BTreeSet<&str> = case
        .stores
        .log
        .iter()
        .filter_map(|entry| match &entry.event {
            Some(Event::StatusChanged(changed)) => changed.update.as_ref(),
            _ => None,
        })
        .filter(|update| {
            matches!(
                update.status(),
                DeliveryStatus::Delivered | DeliveryStatus::Read
            )
        })
        .map(|update| update.id.as_str())
        .collect();
    for journal in &case.stores.journals {
        if !arrived.contains(journal.whatsapp_message_id.as_str()) {
            broken.push((
                "I25",
                format!("{} charges what the log never saw delivered", journal.id),
            ));
        }
    }
}

/// I26, I27.
fn statement(case: &Case<'_>, broken: &mut Broken) {
    let told = told(case);
    let counted: u64 = case
        .stores
        .statements
        .iter()
        .flat_map(|statement| &statement.lines)
        .map(|line| line.messages)
        .sum();
    if counted != told.len() as u64 {
        broken.push((
            "I27",
            format!("the statement counts {counted}, Meta {}", told.len()),
        ));
    }
    let mut booked: BTreeMap<String, i64> = BTreeMap::new();
    for posting in case
        .stores
        .journals
        .iter()
        .flat_map(|journal| &journal.postings)
    {
        if posting.account.starts_with("tenant:") {
            let amount = posting.amount.clone().unwrap_or_default();
            *booked.entry(amount.currency_code).or_default() += amount.micros;
        }
    }
    let mut stated: BTreeMap<String, i64> = BTreeMap::new();
    for total in case
        .stores
        .statements
        .iter()
        .flat_map(|statement| &statement.totals)
    {
        *stated.entry(total.currency_code.clone()).or_default() += total.micros;
    }
    booked.retain(|_, sum| *sum != 0);
    stated.retain(|_, sum| *sum != 0);
    if booked
        .iter()
        .map(|(code, sum)| (code, sum.abs()))
        .ne(stated.iter().map(|(code, sum)| (code, sum.abs())))
    {
        broken.push((
            "I26",
            format!("journals say {booked:?}, the statement {stated:?}"),
        ));
    }
    for unrated in case
        .stores
        .statements
        .iter()
        .flat_map(|statement| &statement.unrated)
    {
        broken.push((
            "I27",
            format!(
                "{} could not be rated: {}",
                unrated.message_id, unrated.reason
            ),
        ));
    }
}
