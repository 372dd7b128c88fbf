//! A bill made again from the log equals the bill in the ledger, journal by journal.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use std::collections::BTreeMap;

use core_billing::{Account, Event, MessageKind, PriceBook, Replay, Zone, rerate, statement};
use core_types::DeliveryStatus::{Delivered, Failed, Read, Sent};
use core_types::{NumberId, TenantId, WabaId};
use lib_platform::Clock;
use lib_proto::billing::{GetStatementRequest, Journal, ListJournalsRequest};
use lib_proto::conversations::LogEntry;
use lib_proto::conversations::log_entry::Event as LogEvent;
use lib_proto::{identity_from_proto, status_update_from_proto};
use lib_testkit::{Place, at};
use support::{billing, caught_up, client, entry, peers};

const FACTS: [(&str, &str); 6] = [
    ("regular", "marketing"),
    ("regular", "utility"),
    ("free_customer_service", "service"),
    ("free_entry_point", "referral_conversion"),
    ("regular", "marketing_lite"),
    ("regular", "service"),
];

/// 300 messages of two numbers over the turn of September to October, their statuses in an order
/// that looks random, a third of them twice.
fn log_entries() -> Vec<LogEntry> {
    let mut entries = Vec::new();
    for n in 0..300_usize {
        let number = if n % 3 == 0 { "n-eur" } else { "n-usd" };
        let whose = ("acme", number);
        let when = if n % 2 == 0 {
            "2026-09-30T22:30:00Z"
        } else {
            "2026-10-01T12:00:00Z"
        };
        let facts = Some(FACTS[n % FACTS.len()]);
        let id = format!("m{n}");
        entries.push(entry(whose, &id, Sent, when, facts));
        match n % 7 {
            0 => entries.push(entry(whose, &id, Failed, when, None)),
            1 => entries.push(entry(whose, &id, Read, when, facts)),
            _ => {
                entries.push(entry(whose, &id, Delivered, when, facts));
                entries.push(entry(whose, &id, Read, when, None));
            }
        }
    }
    let again: Vec<_> = entries.iter().step_by(3).cloned().collect();
    entries.extend(again);
    let mut seed = 2_463_534_242_u32;
    entries.sort_by_cached_key(|_| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed
    });
    entries
}

fn account(number: &str) -> Account {
    let (waba, currency, zone) = match number {
        "n-eur" => ("waba-eur", "EUR", "Europe/Berlin"),
        _ => ("waba-usd", "USD", "America/New_York"),
    };
    Account {
        tenant: TenantId::new("acme").unwrap(),
        waba: WabaId::new(waba).unwrap(),
        number: NumberId::new(number).unwrap(),
        currency: currency.parse().unwrap(),
        zone: Zone::parse(zone).unwrap(),
    }
}

fn event(entry: &LogEntry) -> Event {
    let Some(LogEvent::StatusChanged(changed)) = entry.event.clone() else {
        panic!("not a status");
    };
    Event {
        message_id: changed.message_id,
        update: status_update_from_proto(changed.update.unwrap()).unwrap(),
        contact: identity_from_proto(changed.contact.unwrap()),
        kind: MessageKind::Unknown,
    }
}

/// Accounts and micros by journal id.
type Legs = BTreeMap<String, Vec<(String, i64)>>;

fn assert_same_legs(journals: &[Journal], again: &Replay) {
    let kept: Legs = journals
        .iter()
        .map(|journal| {
            let legs = journal.postings.iter();
            let legs = legs.map(|leg| (leg.account.clone(), leg.amount.clone().unwrap().micros));
            (journal.id.clone(), legs.collect::<Vec<_>>())
        })
        .collect();
    let made: Legs = again
        .journals
        .iter()
        .map(|journal| {
            let legs = journal.postings().iter();
            let legs = legs.map(|leg| (leg.account.clone(), leg.amount.micros));
            (journal.id().to_owned(), legs.collect::<Vec<_>>())
        })
        .collect();
    assert!(kept.len() > 50, "{}", kept.len());
    assert_eq!(kept, made);
}

lib_testkit::on_both_engines! {
    rating_the_log_again_gives_the_same_bill,
}

async fn rating_the_log_again_gives_the_same_bill(place: &Place) {
    let clock = Clock::virtual_at(at("2026-11-03T12:00:00Z"));
    let (log, peer) = peers(&clock).await;
    let running = billing(place, &peer.url, &clock).await;
    let entries = log_entries();
    let cursor = log.append(entries.clone());
    caught_up(&running, &cursor).await;

    let events: Vec<_> = entries
        .iter()
        .map(|entry| (account(&entry.number_id), event(entry)))
        .collect();
    let log = events.iter().map(|(account, event)| (account, event));
    let again = rerate(log, &PriceBook::builtin().unwrap());

    let mut acme = client(&running, "acme");
    let request = ListJournalsRequest {
        page_size: 500,
        ..ListJournalsRequest::default()
    };
    let journals = acme
        .list_journals(request)
        .await
        .unwrap()
        .into_inner()
        .journals;
    assert_same_legs(&journals, &again);

    let explanations = |usage: &core_billing::Usage| usage.rating.explanation.clone();
    let charged = again
        .usages
        .iter()
        .filter(|usage| usage.rating.amount.micros > 0);
    let made: Vec<_> = charged.map(explanations).collect();
    let kept: Vec<_> = journals
        .into_iter()
        .map(|journal| journal.explanation)
        .collect();
    assert_eq!(kept, made);

    let mut unrated = 0;
    for month in ["2026-09", "2026-10"] {
        let request = GetStatementRequest {
            month: month.into(),
            ..GetStatementRequest::default()
        };
        let kept = acme.get_statement(request).await.unwrap().into_inner();
        let acme = TenantId::new("acme").unwrap();
        let made = statement(&again.usages, &acme, month.parse().unwrap()).unwrap();
        assert_eq!(kept.lines.len(), made.lines.len());
        let messages = kept.lines.iter().map(|line| line.messages).sum::<u64>();
        assert_eq!(
            messages,
            made.lines.values().map(|(count, _)| *count).sum::<u64>()
        );
        let totals: Vec<_> = kept.totals.iter().map(|total| total.micros).collect();
        assert_eq!(
            totals,
            made.totals
                .values()
                .map(|total| total.micros)
                .collect::<Vec<_>>()
        );
        unrated += kept.unrated.len();
    }
    assert_eq!(unrated, again.unrated.len());
    running.stop().await;
    peer.stop().await;
}
