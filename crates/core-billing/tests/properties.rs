//! What must hold whatever happens: exact sums, balance, order and repetition do not matter.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use std::collections::BTreeMap;

use core_billing::{
    Account, Decision, Event, Journal, JournalError, Ledger, Posting, PriceBook, PricingType,
    Replay, rerate, statement,
};
use core_types::DeliveryStatus::{Delivered, Read, Sent};
use core_types::{Currency, Money, Timestamp};
use proptest::prelude::*;
use support::{account, at, priced, status};

const PHONES: [&str; 6] = [
    "4915112345678",
    "5511912345678",
    "16505551234",
    "966512345678",
    "77011234567",
    "35799123456",
];
const FACTS: [(&str, &str); 7] = [
    ("regular", "marketing"),
    ("regular", "utility"),
    ("regular", "authentication"),
    ("regular", "authentication-international"),
    ("free_entry_point", "referral_conversion"),
    ("free_customer_service", "utility"),
    ("regular", "marketing_lite"),
];
const ZONES: [&str; 4] = [
    "UTC",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "America/New_York",
];

/// One message's statuses as Meta sends them: price facts with `sent` and with one of the others.
fn message() -> impl Strategy<Value = Vec<Event>> {
    let times = 1_751_000_000_i64..1_795_000_000;
    (
        0_u32..40,
        0..PHONES.len(),
        0..FACTS.len(),
        times,
        0_i64..7_200,
        0..3_u8,
    )
        .prop_map(|(id, phone, facts, sent, later, shape)| {
            // All that is known of a message follows from its id, as it would at Meta.
            let (kind, category) = FACTS[(facts + id as usize) % FACTS.len()];
            let phone = PHONES[phone];
            let id = format!("{id}-{phone}-{category}-{sent}");
            let pricing = Some(priced(kind, category));
            let time = |more| Timestamp::from_seconds(sent + more).unwrap();
            let first = status(&id, Sent, phone, time(0), pricing.clone());
            let delivered = |facts| status(&id, Delivered, phone, time(later), facts);
            let read = |facts| status(&id, Read, phone, time(2 * later), facts);
            match shape {
                0 => vec![first, delivered(pricing), read(None)],
                1 => vec![first, read(pricing)],
                _ => vec![first, delivered(None), read(None)],
            }
        })
}

fn shuffled() -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    prop::collection::vec(message(), 1..20)
        .prop_map(|messages| messages.concat())
        .prop_flat_map(|events| {
            let doubled = [events.clone(), events.clone()].concat();
            (Just(events), Just(doubled).prop_shuffle())
        })
}

fn run(account: &Account, events: &[Event], book: &PriceBook) -> Replay {
    rerate(events.iter().map(|event| (account, event)), book)
}

/// Journals by id.
fn journals(replay: &Replay) -> BTreeMap<String, Journal> {
    let by_id = |journal: &Journal| (journal.id().to_owned(), journal.clone());
    replay.journals.iter().map(by_id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn order_and_repetition_do_not_change_the_bill(
        (events, again) in shuffled(),
        zone in 0..ZONES.len(),
    ) {
        let book = PriceBook::builtin().unwrap();
        let account = account("USD", ZONES[zone]);
        let (once, twice) = (run(&account, &events, &book), run(&account, &again, &book));
        prop_assert_eq!(journals(&once), journals(&twice));
        prop_assert_eq!(once.journals.len(), twice.journals.len());
        prop_assert_eq!(once.usages.len(), twice.usages.len());
        prop_assert_eq!(&once.unrated, &twice.unrated);
    }

    #[test]
    fn sums_are_exact_and_statements_equal_journals((events, _) in shuffled()) {
        let book = PriceBook::builtin().unwrap();
        let account = account("USD", "UTC");
        let replay = run(&account, &events, &book);
        let mut posted: i128 = 0;
        for journal in &replay.journals {
            let sum: i128 = journal.postings().iter().map(|leg| i128::from(leg.amount.micros)).sum();
            prop_assert_eq!(sum, 0);
            prop_assert!(journal.postings().len() >= 2);
            posted += i128::from(journal.postings()[0].amount.micros);
        }
        let months: std::collections::BTreeSet<_> =
            replay.usages.iter().map(|usage| usage.rating.month).collect();
        let (mut total, mut messages) = (0_i128, 0);
        for month in months {
            let bill = statement(&replay.usages, &account.tenant, month).unwrap();
            for (line, (count, amount)) in &bill.lines {
                prop_assert_eq!(amount.micros, line.rate_micros * i64::try_from(*count).unwrap());
                messages += count;
            }
            total += bill.totals.values().map(|total| i128::from(total.micros)).sum::<i128>();
        }
        prop_assert_eq!(total, posted);
        prop_assert_eq!(messages, replay.usages.len() as u64);
    }

    #[test]
    fn every_delivered_message_is_rated_or_kept_aside((events, _) in shuffled()) {
        let book = PriceBook::builtin().unwrap();
        let replay = run(&account("EUR", "UTC"), &events, &book);
        let delivered: std::collections::BTreeSet<_> = events
            .iter()
            .filter(|event| event.update.status != Sent)
            .map(|event| event.update.id.clone())
            .collect();
        prop_assert_eq!(replay.usages.len() + replay.unrated.len(), delivered.len());
    }

    #[test]
    fn legs_that_do_not_balance_are_refused(legs in prop::collection::vec(-5_i64..5, 0..6)) {
        let postings: Vec<Posting> = legs
            .iter()
            .map(|micros| Posting {
                account: "a".into(),
                amount: Money { currency: Currency::USD, micros: *micros },
            })
            .collect();
        let good = legs.len() >= 2 && !legs.contains(&0) && legs.iter().sum::<i64>() == 0;
        let made = Journal::new("j", postings);
        prop_assert_eq!(made.is_ok(), good);
        if let Ok(journal) = made {
            let back = journal.reversal();
            prop_assert_eq!(back.reverses(), Some("j"));
            for (leg, other) in journal.postings().iter().zip(back.postings()) {
                prop_assert_eq!(leg.amount.plus(other.amount).unwrap().micros, 0);
            }
        }
    }
}

#[test]
fn a_journal_has_one_currency() {
    let leg = |currency, micros| Posting {
        account: "a".into(),
        amount: Money { currency, micros },
    };
    let mixed = Journal::new("j", vec![leg(Currency::USD, 1), leg(Currency::EUR, -1)]);
    assert!(matches!(mixed, Err(JournalError::Money(_))));
}

/// Sends `count` service messages in a month; Meta charges from the 1,001st on.
fn month_of_service(ledger: &mut Ledger, month: &str, count: u32) -> (i64, Vec<String>) {
    let book = PriceBook::builtin().unwrap();
    let account = account("USD", "America/New_York");
    let (mut total, mut explanations) = (0, Vec::new());
    for n in 1..=count {
        let kind = if n <= 1_000 {
            "free_customer_service"
        } else {
            "regular"
        };
        let when = at(&format!("{month}-15T12:00:00Z"));
        let id = format!("{month}.{n}");
        let event = status(
            &id,
            Delivered,
            "16505551234",
            when,
            Some(priced(kind, "service")),
        );
        match ledger.decide(&event, &account, &book) {
            Decision::Rated(usage, journal) => {
                let free = usage.rating.pricing_type == PricingType::FreeCustomerService;
                assert_eq!(free, journal.is_none());
                total += usage.rating.amount.micros;
                explanations.push(usage.rating.explanation);
            }
            other => panic!("{other:?}"),
        }
    }
    (total, explanations)
}

#[test]
fn the_service_tier_counts_to_a_thousand_and_starts_again() {
    let mut ledger = Ledger::default();
    let (total, explanations) = month_of_service(&mut ledger, "2026-10", 1_003);
    assert_eq!(total, 3 * 3_400);
    assert_eq!(
        explanations[13],
        "USD / pmp-2026-10 / service free tier 14 of 1000"
    );
    assert_eq!(
        explanations[999],
        "USD / pmp-2026-10 / service free tier 1000 of 1000"
    );
    assert_eq!(
        explanations[1_000],
        "USD 2026-10-01 / pmp-2026-10 / service beyond the free tier of 1000"
    );
    let (total, explanations) = month_of_service(&mut ledger, "2026-11", 1);
    assert_eq!(
        (total, explanations[0].contains("tier 1 of 1000")),
        (0, true)
    );
}

#[test]
fn a_tier_that_does_not_fit_our_count_is_named() {
    let book = PriceBook::builtin().unwrap();
    let account = account("USD", "UTC");
    let mut ledger = Ledger::default();
    let mut explain = |id: &str, kind: &str| {
        let when = at("2026-11-03T12:00:00Z");
        let event = status(
            id,
            Delivered,
            "16505551234",
            when,
            Some(priced(kind, "service")),
        );
        match ledger.decide(&event, &account, &book) {
            Decision::Rated(usage, _) => usage.rating.explanation,
            other => panic!("{other:?}"),
        }
    };
    let early = explain("early", "regular");
    assert!(early.contains("by our count only 1 of 1000"), "{early}");
    for n in 0..999 {
        explain(&n.to_string(), "free_customer_service");
    }
    let late = explain("late", "free_customer_service");
    assert!(late.contains("tier 1001 of 1000; Meta says free"), "{late}");
}
