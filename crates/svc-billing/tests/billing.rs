//! The billing service over gRPC: each delivered message is charged once, whatever the log repeats
//! and however often billing restarts; tenants see their own.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod replicas;
mod support;

use std::collections::BTreeMap;

use core_types::DeliveryStatus::{Delivered, Failed, Read, Sent};
use lib_platform::Clock;
use lib_proto::billing::{
    GetProgressRequest, GetStatementRequest, Journal, ListJournalsRequest, QuoteMessageRequest,
    Statement,
};
use lib_proto::conversations::LogEntry;
use lib_proto::conversations::log_entry::Event;
use lib_storage::{Database, sql};
use lib_testkit::{Place, SERVICE, at};
use support::{Client, billing, caught_up, client, entry, peers};
use tonic::Code;

const NOON: &str = "2026-11-03T12:00:00Z";
const USD: (&str, &str) = ("acme", "n-usd");
const EUR: (&str, &str) = ("acme", "n-eur");
const OTHER: (&str, &str) = ("other", "n-other");

/// What Meta sends for one message: price facts with `sent` and `delivered`.
fn delivered(whose: (&str, &str), id: &str, facts: (&str, &str)) -> Vec<LogEntry> {
    vec![
        entry(whose, id, Sent, NOON, Some(facts)),
        entry(whose, id, Delivered, NOON, Some(facts)),
        entry(whose, id, Read, NOON, None),
    ]
}

async fn statement(client: &mut Client, month: &str) -> Statement {
    let request = GetStatementRequest {
        month: month.into(),
        ..GetStatementRequest::default()
    };
    client.get_statement(request).await.unwrap().into_inner()
}

/// All journals, three to a page.
async fn journals(client: &mut Client) -> Vec<Journal> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListJournalsRequest {
            page_size: 3,
            page_token,
            ..ListJournalsRequest::default()
        };
        let page = client.list_journals(request).await.unwrap().into_inner();
        all.extend(page.journals);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

fn totals(statement: &Statement) -> BTreeMap<String, i64> {
    let totals = statement.totals.iter();
    totals
        .map(|total| (total.currency_code.clone(), total.micros))
        .collect()
}

/// What the journals say was used, by currency; each must balance.
fn posted(journals: &[Journal]) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for journal in journals {
        let amounts: Vec<_> = journal
            .postings
            .iter()
            .map(|leg| leg.amount.clone().unwrap())
            .collect();
        assert!(amounts.len() >= 2);
        assert_eq!(amounts.iter().map(|amount| amount.micros).sum::<i64>(), 0);
        assert!(
            amounts
                .iter()
                .all(|amount| amount.currency_code == amounts[0].currency_code)
        );
        *sums.entry(amounts[0].currency_code.clone()).or_default() += amounts[0].micros;
    }
    sums
}

lib_testkit::on_both_engines! {
    each_message_is_charged_once_in_any_order_over_restarts,
    tenants_and_roles_have_walls,
    what_cannot_be_rated_is_shown_and_stops_nothing,
    free_messages_are_counted_and_months_are_the_accounts_own,
    quotes_know_how_much_of_the_free_tier_is_used,
    the_ledger_refuses_to_change,
}

async fn each_message_is_charged_once_in_any_order_over_restarts(place: &Place) {
    let clock = Clock::virtual_at(at(NOON));
    let (log, peer) = peers(&clock).await;
    let running = billing(place, &peer.url, &clock).await;
    let mut first: Vec<LogEntry> = (0..10)
        .flat_map(|n| delivered(USD, &format!("m{n}"), ("regular", "marketing")))
        .collect();
    first.extend(delivered(EUR, "e1", ("regular", "utility")));
    first.reverse();
    first.extend(delivered(OTHER, "o1", ("regular", "authentication")));
    let cursor = log.append(first.clone());
    caught_up(&running, &cursor).await;
    running.stop().await;

    // While billing is down the log repeats everything and adds something.
    let more = delivered(USD, "m10", ("regular", "marketing"));
    let cursor = log.append(first.into_iter().chain(more));
    let running = billing(place, &peer.url, &clock).await;
    caught_up(&running, &cursor).await;
    let mut acme = client(&running, "acme");
    let bill = statement(&mut acme, "2026-11").await;
    assert_eq!(bill.cursor, cursor);
    assert!(bill.unrated.is_empty(), "{:?}", bill.unrated);
    let journals = journals(&mut acme).await;
    assert_eq!(journals.len(), 12);
    assert_eq!(posted(&journals), totals(&bill));
    assert_eq!(totals(&bill)["USD"], 11 * 136_500);
    assert_eq!(totals(&bill).keys().collect::<Vec<_>>(), ["EUR", "USD"]);
    let line = bill
        .lines
        .iter()
        .find(|line| line.number_id == "n-usd")
        .unwrap();
    assert_eq!((line.messages, line.country.as_str()), (11, "DE"));
    assert_eq!(line.rate.as_ref().unwrap().micros, 136_500);
    let journal = journals.last().unwrap();
    assert_eq!(journal.message_id, "cnv-1.m10");
    assert_eq!(journal.postings[0].account, "tenant:acme:usage:marketing");
    assert_eq!(journal.postings[1].account, "waba:waba-usd:payable");
    assert_eq!(
        journal.explanation,
        "USD 2026-10-01 / pmp-2026-10 / marketing list rate"
    );
    running.stop().await;
    peer.stop().await;
}

async fn tenants_and_roles_have_walls(place: &Place) {
    let clock = Clock::virtual_at(at(NOON));
    let (log, peer) = peers(&clock).await;
    let running = billing(place, &peer.url, &clock).await;
    log.append(delivered(USD, "a", ("regular", "marketing")));
    let cursor = log.append(delivered(OTHER, "b", ("regular", "utility")));
    caught_up(&running, &cursor).await;
    for (who, number, message) in [
        ("acme", "n-usd", "cnv-1.a"),
        ("other", "n-other", "cnv-1.b"),
    ] {
        let mut client = client(&running, who);
        let bill = statement(&mut client, "2026-11").await;
        assert!(
            bill.lines.iter().all(|line| line.number_id == number),
            "{who}"
        );
        let journals = journals(&mut client).await;
        assert_eq!(journals.len(), 1);
        assert_eq!(journals[0].message_id, message);
        let progress = client
            .get_progress(GetProgressRequest {})
            .await
            .unwrap()
            .into_inner();
        assert_eq!(progress.journals, 1);
    }
    let everything = journals(&mut client(&running, SERVICE)).await;
    assert_eq!(everything.len(), 2);
    let request = || GetStatementRequest {
        month: "2026-11".into(),
        ..GetStatementRequest::default()
    };
    let refused = client(&running, "acme-agent")
        .get_statement(request())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = client(&running, "nobody")
        .get_statement(request())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    for month in ["", "2026", "2026-13", "11/2026"] {
        let request = GetStatementRequest {
            month: month.into(),
            ..GetStatementRequest::default()
        };
        let refused = client(&running, "acme")
            .get_statement(request)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{month}");
    }
    let request = ListJournalsRequest {
        page_token: "6e6f".into(),
        ..ListJournalsRequest::default()
    };
    let refused = client(&running, "acme")
        .list_journals(request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    running.stop().await;
    peer.stop().await;
}

/// A status without a time and a status without anything.
fn unreadable() -> [LogEntry; 2] {
    let mut broken = entry(USD, "broken", Delivered, NOON, None);
    if let Some(Event::StatusChanged(changed)) = &mut broken.event {
        changed.update.as_mut().unwrap().occurred_at = None;
    }
    let mut empty = entry(USD, "empty", Delivered, NOON, None);
    if let Some(Event::StatusChanged(changed)) = &mut empty.event {
        changed.update = None;
    }
    [broken, empty]
}

async fn what_cannot_be_rated_is_shown_and_stops_nothing(place: &Place) {
    let clock = Clock::virtual_at(at(NOON));
    let (log, peer) = peers(&clock).await;
    let running = billing(place, &peer.url, &clock).await;
    let [broken, empty] = unreadable();
    log.append([
        broken,
        empty,
        entry(
            ("acme", "n-gone"),
            "gone",
            Delivered,
            NOON,
            Some(("regular", "utility")),
        ),
        entry(
            ("acme", "n-other"),
            "moved",
            Delivered,
            NOON,
            Some(("regular", "utility")),
        ),
        entry(USD, "lite", Read, NOON, Some(("regular", "marketing_lite"))),
        entry(USD, "late", Read, NOON, None),
        entry(USD, "failed", Failed, NOON, None),
        entry(USD, "waits", Delivered, NOON, None),
    ]);
    let cursor = log.append(delivered(USD, "good", ("regular", "utility")));
    caught_up(&running, &cursor).await;
    let mut acme = client(&running, "acme");
    let reasons = |bill: Statement| -> BTreeMap<String, String> {
        let unrated = bill.unrated.into_iter();
        unrated
            .map(|message| (message.message_id, message.reason))
            .collect()
    };
    let bill = statement(&mut acme, "2026-11").await;
    assert_eq!(totals(&bill)["USD"], 55_000);
    let unrated = reasons(bill);
    for (message, reason) in [
        ("broken", "update.occurred_at"),
        ("empty", "update: must be set"),
        ("gone", "number n-gone is not known"),
        ("moved", "belongs to another business"),
        ("lite", "no USD rate for marketing_lite in Germany"),
        ("late", "no price facts"),
        ("waits", "no price facts"),
    ] {
        let told = &unrated[&format!("cnv-1.{message}")];
        assert!(
            told.contains(reason) || told.contains(&reason.replace("update.", "")),
            "{message}: {told}"
        );
    }
    assert_eq!(unrated.len(), 7);
    // The other status brings the facts: the message leaves the list.
    let cursor = log.append([entry(
        USD,
        "late",
        Delivered,
        NOON,
        Some(("regular", "utility")),
    )]);
    caught_up(&running, &cursor).await;
    let bill = statement(&mut acme, "2026-11").await;
    assert_eq!(totals(&bill)["USD"], 2 * 55_000);
    assert!(!reasons(bill).contains_key("cnv-1.late"));
    running.stop().await;
    peer.stop().await;
}

async fn free_messages_are_counted_and_months_are_the_accounts_own(place: &Place) {
    let clock = Clock::virtual_at(at("2026-11-01T04:30:00Z"));
    let (log, peer) = peers(&clock).await;
    let running = billing(place, &peer.url, &clock).await;
    let free = Some(("free_customer_service", "service"));
    // New York is four hours behind until 06:00 UTC of that day.
    let mut entries = vec![entry(
        USD,
        "october",
        Delivered,
        "2026-11-01T03:59:59Z",
        free,
    )];
    entries.extend((1..=998).map(|n| {
        entry(
            USD,
            &format!("n{n}"),
            Delivered,
            "2026-11-01T04:00:00Z",
            free,
        )
    }));
    let cursor = log.append(entries);
    caught_up(&running, &cursor).await;
    let mut acme = client(&running, "acme");
    let october = statement(&mut acme, "2026-10").await;
    assert_eq!(october.lines[0].messages, 1);
    let november = statement(&mut acme, "2026-11").await;
    assert_eq!(november.lines[0].messages, 998);
    assert_eq!(november.lines[0].pricing_type, "free_customer_service");
    assert_eq!(totals(&november)["USD"], 0);
    assert!(journals(&mut acme).await.is_empty());
    running.stop().await;
    peer.stop().await;
}

async fn quotes_know_how_much_of_the_free_tier_is_used(place: &Place) {
    let clock = Clock::virtual_at(at(NOON));
    let (log, peer) = peers(&clock).await;
    let running = billing(place, &peer.url, &clock).await;
    let free = Some(("free_customer_service", "service"));
    let used = (1..=998).map(|n| entry(USD, &format!("n{n}"), Delivered, NOON, free));
    let cursor = log.append(used);
    caught_up(&running, &cursor).await;
    let mut acme = client(&running, "acme");
    let ask = |category: &str, window_open| QuoteMessageRequest {
        number_id: "n-usd".into(),
        recipient: "+49 151 12345678".into(),
        category: category.into(),
        window_open,
        free_entry_point: false,
    };
    let quote = acme
        .quote_message(ask("service", true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(quote.amount.unwrap().micros, 0);
    assert!(
        quote.explanation.ends_with("service free tier 999 of 1000"),
        "{}",
        quote.explanation
    );
    let last = (999..=1000).map(|n| entry(USD, &format!("n{n}"), Delivered, NOON, free));
    let cursor = log.append(last);
    caught_up(&running, &cursor).await;
    let quote = acme
        .quote_message(ask("service", true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(quote.amount.unwrap().micros, 55_000);
    let refused = acme.quote_message(ask("service", false)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        lib_platform::refusal::reason_of(&refused).as_deref(),
        Some("WINDOW_CLOSED")
    );
    let refused = acme
        .quote_message(ask("promotion", true))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = client(&running, "other")
        .quote_message(ask("service", true))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    running.stop().await;
    peer.stop().await;
}

async fn the_ledger_refuses_to_change(place: &Place) {
    let clock = Clock::virtual_at(at(NOON));
    let (log, peer) = peers(&clock).await;
    let running = billing(place, &peer.url, &clock).await;
    let cursor = log.append(delivered(USD, "a", ("regular", "marketing")));
    caught_up(&running, &cursor).await;
    running.stop().await;
    peer.stop().await;
    let ledger = place.database("billing", 3).await;
    let mut forbidden = vec![
        "UPDATE usage_record SET amount_micros = 0",
        "DELETE FROM usage_record",
        "UPDATE journal SET posted_at = 0",
        "DELETE FROM journal",
        "UPDATE posting SET amount_micros = 1",
        "DELETE FROM posting",
        "INSERT INTO posting VALUES (1, 3, 'x', 'USD', 5)",
        "INSERT INTO posting VALUES (1, 2, 'x', 'USD', 5)",
    ];
    if !place.is_folder() {
        forbidden.extend(["TRUNCATE posting", "TRUNCATE journal CASCADE"]);
        forbidden.push("TRUNCATE usage_record CASCADE");
    }
    for statement in forbidden {
        assert!(!is_kept(&ledger, &[statement]).await, "{statement}");
    }
    // A pair that balances, added to a journal that stands.
    let pair = [
        "INSERT INTO posting VALUES (1, 3, 'x', 'USD', 5)",
        "INSERT INTO posting VALUES (1, 4, 'y', 'USD', -5)",
    ];
    assert!(!is_kept(&ledger, &pair).await);
    let journal = "INSERT INTO journal VALUES (2, 'j', 1, 'acme', 2, 0, NULL)";
    let leg = "INSERT INTO posting VALUES (2, 1, 'x', 'USD', 5)";
    for other in [
        "INSERT INTO posting VALUES (2, 2, 'y', 'USD', -4)",
        "INSERT INTO posting VALUES (2, 2, 'y', 'EUR', -5)",
        "INSERT INTO posting VALUES (2, 3, 'y', 'USD', -5)",
    ] {
        assert!(!is_kept(&ledger, &[journal, leg, other]).await, "{other}");
    }
    if !place.is_folder() {
        assert!(!is_kept(&ledger, &[journal, leg]).await, "half a journal");
        assert!(!is_kept(&ledger, &[journal]).await, "an empty journal");
    }
    let balanced = "INSERT INTO posting VALUES (2, 2, 'y', 'USD', -5)";
    assert!(is_kept(&ledger, &[journal, leg, balanced]).await);
}

/// Whether a transaction of `statements` can be committed.
async fn is_kept(ledger: &Database, statements: &[&'static str]) -> bool {
    let mut tx = ledger.begin().await.unwrap();
    for statement in statements {
        if sql(*statement).execute(&mut tx).await.is_err() {
            return false;
        }
    }
    tx.commit().await.is_ok()
}
