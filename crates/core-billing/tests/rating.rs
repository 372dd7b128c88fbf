//! Rating by example: eras, markets, free messages, contradictions, gaps.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use core_billing::{
    Category, Decision, Event, Facts, Ledger, Outcome, PriceBook, PricingType, QuoteRefusal,
    QuoteRequest, Rating, Zone, quote, rate,
};
use core_types::DeliveryStatus::{Delivered, Failed, Played, Read, Sent};
use core_types::{ContactIdentity, Currency, PricingModel};
use support::{account, at, priced, status};

fn book() -> PriceBook {
    PriceBook::builtin().unwrap()
}

fn rated(event: &Event, currency: &str, zone: &str) -> Result<Rating, String> {
    match rate(event, &account(currency, zone), Facts::default(), &book()) {
        Outcome::Rated(rating) => Ok(*rating),
        Outcome::Unrated(unrated) => Err(unrated.reason),
        Outcome::NotBillable(why) => Err(format!("not billable: {why}")),
    }
}

/// Micros of a message of `category` charged at `when` to `phone` in USD and UTC.
fn usd(category: &str, phone: &str, when: &str) -> Result<i64, String> {
    let event = status(
        "m1",
        Delivered,
        phone,
        at(when),
        Some(priced("regular", category)),
    );
    rated(&event, "USD", "UTC").map(|rating| rating.amount.micros)
}

#[test]
fn only_delivered_or_read_is_charged() {
    for (fate, charged) in [
        (Sent, false),
        (Failed, false),
        (Delivered, true),
        (Read, true),
        (Played, true),
    ] {
        let event = status(
            "m1",
            fate,
            "4915112345678",
            at("2026-11-03T12:00:00Z"),
            Some(priced("regular", "marketing")),
        );
        assert_eq!(rated(&event, "USD", "UTC").is_ok(), charged, "{fate:?}");
    }
}

#[test]
fn the_market_is_the_longest_prefix() {
    let book = book();
    let date = "2026-10-01".parse().unwrap();
    for (phone, country, market) in [
        ("4915112345678", "DE", "Germany"),
        ("16505551234", "US", "North America"),
        ("14165550100", "CA", "North America"),
        ("18095550100", "DO", "Rest of Latin America"),
        ("18765550100", "JM", "Rest of Latin America"),
        ("17875550100", "PR", "Rest of Latin America"),
        ("12425550100", "BS", "Other"),
        ("18685550100", "TT", "Other"),
        ("79161234567", "RU", "Russia"),
        ("77011234567", "KZ", "Kazakhstan"),
        ("76001234567", "KZ", "Kazakhstan"),
        ("3531234567", "IE", "Rest of Western Europe"),
        ("35799123456", "", "Other"),
        ("88312345678", "", "Other"),
        ("8801712345678", "BD", "Bangladesh"),
        ("9", "", "Other"),
    ] {
        let place = book.markets().by_phone(phone, date).unwrap();
        assert_eq!((place.country, place.market), (country, market), "{phone}");
    }
    assert!(book.markets().by_phone("", date).is_none());
    assert!(book.markets().by_phone("+49151", date).is_none());
    let by_id = |id: &'static str| {
        book.markets()
            .by_user_id(id, date)
            .map(|place| (place.country.to_owned(), place.market.to_owned()))
    };
    assert_eq!(
        by_id("US.13491208655302741918"),
        Some(("US".into(), "North America".into()))
    );
    assert_eq!(
        by_id("DE.ENT.118157"),
        Some(("DE".into(), "Germany".into()))
    );
    assert_eq!(by_id("CY.1"), Some(("CY".into(), "Other".into())));
    assert_eq!(by_id("1349"), None);
    assert_eq!(by_id("us.1349"), None);
}

#[test]
fn markets_and_rates_change_by_date() {
    assert_eq!(
        usd("marketing", "48123456789", "2026-06-30T12:00:00Z"),
        Ok(86_000)
    );
    assert_eq!(
        usd("marketing", "48123456789", "2026-07-01T12:00:00Z"),
        Ok(36_600)
    );
    assert_eq!(
        usd("utility", "27123456789", "2026-09-30T12:00:00Z"),
        Ok(7_600)
    );
    assert_eq!(
        usd("utility", "27123456789", "2026-10-01T12:00:00Z"),
        Ok(9_500)
    );
    let zimbabwe = |when| {
        let event = status(
            "m",
            Delivered,
            "263771234567",
            at(when),
            Some(priced("regular", "marketing")),
        );
        rated(&event, "USD", "UTC").unwrap().market
    };
    assert_eq!(zimbabwe("2025-09-30T12:00:00Z"), "Other");
    assert_eq!(zimbabwe("2025-10-01T12:00:00Z"), "Rest of Africa");
}

#[test]
fn a_missing_price_is_unrated_and_says_so() {
    let saudi = usd("marketing", "966512345678", "2026-05-03T12:00:00Z").unwrap_err();
    assert!(
        saudi.starts_with("no USD rate for marketing in Saudi Arabia on 2026-05-03"),
        "{saudi}"
    );
    assert_eq!(
        usd("marketing", "966512345678", "2026-10-01T12:00:00Z"),
        Ok(57_600)
    );
    let lite = usd("marketing_lite", "4915112345678", "2026-11-03T12:00:00Z").unwrap_err();
    assert_eq!(
        lite,
        "no USD rate for marketing_lite in Germany on 2026-11-03"
    );
    let abroad = usd(
        "authentication-international",
        "9651234567",
        "2026-11-03T12:00:00Z",
    );
    assert!(
        abroad
            .unwrap_err()
            .contains("authentication_international in Kuwait")
    );
    assert_eq!(
        usd(
            "authentication-international",
            "919812345678",
            "2026-11-03T12:00:00Z"
        ),
        Ok(30_400)
    );
    let event = status(
        "m",
        Delivered,
        "4915112345678",
        at("2026-11-03T12:00:00Z"),
        Some(priced("regular", "utility")),
    );
    assert!(
        rated(&event, "BRL", "UTC")
            .unwrap_err()
            .starts_with("no BRL rate")
    );
}

#[test]
fn euro_rows_are_carried_on_only_where_nothing_changed() {
    let eur = |category: &str, phone: &str, when: &str| {
        let event = status(
            "m",
            Delivered,
            phone,
            at(when),
            Some(priced("regular", category)),
        );
        rated(&event, "EUR", "Europe/Berlin")
    };
    let before = eur("utility", "4915112345678", "2026-08-01T12:00:00Z").unwrap();
    let after = eur("utility", "4915112345678", "2026-11-03T12:00:00Z").unwrap();
    assert_eq!(before.amount, after.amount);
    assert!(
        after
            .explanation
            .starts_with("EUR 2026-07-01 / pmp-2026-10"),
        "{}",
        after.explanation
    );
    assert!(
        eur("utility", "27123456789", "2026-11-03T12:00:00Z")
            .unwrap_err()
            .contains("no EUR card")
    );
    let service = eur("service", "4915112345678", "2026-11-03T12:00:00Z").unwrap();
    assert_eq!(service.amount, after.amount);
    assert!(
        service.explanation.contains("utility rate"),
        "{}",
        service.explanation
    );
    assert!(eur("marketing", "4915112345678", "2026-06-01T12:00:00Z").is_err());
}

#[test]
fn free_is_what_meta_says_and_the_rules_allow() {
    let free = |kind: &str, category: &str, when: &str| {
        let event = status(
            "m",
            Delivered,
            "4915112345678",
            at(when),
            Some(priced(kind, category)),
        );
        rated(&event, "USD", "UTC").map(|rating| (rating.amount.micros, rating.pricing_type))
    };
    let (early, late) = ("2026-09-15T12:00:00Z", "2026-11-03T12:00:00Z");
    for (kind, category, when) in [
        ("free_customer_service", "service", early),
        ("free_customer_service", "utility", early),
        ("free_entry_point", "referral_conversion", early),
        ("free_entry_point", "marketing", late),
        ("free_customer_service", "service", late),
        ("free_group_customer_service", "group_service", late),
    ] {
        let (micros, pricing_type) = free(kind, category, when).unwrap();
        assert_eq!((micros, pricing_type.word()), (0, kind), "{category}");
    }
    for (kind, category, when) in [
        ("free_customer_service", "marketing", early),
        ("free_customer_service", "authentication", late),
        ("regular", "service", early),
        ("regular", "referral_conversion", late),
    ] {
        assert!(
            free(kind, category, when)
                .unwrap_err()
                .contains("contradict"),
            "{kind} {category}"
        );
    }
    assert!(
        free("bonus", "marketing", late)
            .unwrap_err()
            .contains("`bonus` is not known")
    );
    assert!(
        free("regular", "promo", late)
            .unwrap_err()
            .contains("`promo` is not known")
    );
    assert_eq!(usd("utility", "4915112345678", late), Ok(55_000));
    assert_eq!(usd("service", "4915112345678", late), Ok(55_000));
}

#[test]
fn eras_begin_at_midnight_of_the_account() {
    for (zone, last, first) in [
        ("UTC", "2026-09-30T23:59:59Z", "2026-10-01T00:00:00Z"),
        (
            "America/New_York",
            "2026-10-01T03:59:59Z",
            "2026-10-01T04:00:00Z",
        ),
        (
            "Asia/Kolkata",
            "2026-09-30T18:29:59Z",
            "2026-09-30T18:30:00Z",
        ),
        (
            "Pacific/Kiritimati",
            "2026-09-30T09:59:59Z",
            "2026-09-30T10:00:00Z",
        ),
        (
            "Europe/Berlin",
            "2026-09-30T21:59:59.999999Z",
            "2026-09-30T22:00:00Z",
        ),
    ] {
        let explain = |when| {
            let event = status(
                "m",
                Delivered,
                "4915112345678",
                at(when),
                Some(priced("free_customer_service", "service")),
            );
            let rating = rated(&event, "USD", zone).unwrap();
            (rating.explanation, rating.month.to_string())
        };
        let (before, month) = explain(last);
        assert!(
            before.contains("pmp-2025-07") && month == "2026-09",
            "{zone}: {before}"
        );
        let (after, month) = explain(first);
        assert!(
            after.contains("pmp-2026-10 / service free tier 1 of 1000") && month == "2026-10",
            "{zone}: {after}"
        );
    }
}

#[test]
fn midnight_may_be_missing_or_come_twice() {
    // Chile starts summer time at midnight of Sunday 6 September 2026: 00:00 does not exist.
    let chile = Zone::parse("America/Santiago").unwrap();
    assert_eq!(
        chile.date(at("2026-09-06T03:59:59Z")).to_string(),
        "2026-09-05"
    );
    assert_eq!(
        chile.date(at("2026-09-06T04:00:00Z")).to_string(),
        "2026-09-06"
    );
    // And ends it on 5 April 2026: the last hour of 4 April comes twice.
    assert_eq!(
        chile.date(at("2026-04-05T03:30:00Z")).to_string(),
        "2026-04-04"
    );
    assert_eq!(
        chile.date(at("2026-04-05T04:00:00Z")).to_string(),
        "2026-04-05"
    );
    // A month's end in summer time and in winter time differs by an hour in UTC.
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    assert_eq!(
        berlin.month(at("2026-10-31T22:59:59Z")).to_string(),
        "2026-10"
    );
    assert_eq!(
        berlin.month(at("2026-10-31T23:00:00Z")).to_string(),
        "2026-11"
    );
    assert_eq!(
        berlin.month(at("2026-09-30T22:00:00Z")).to_string(),
        "2026-10"
    );
}

#[test]
fn a_conversation_is_charged_once_in_its_era() {
    let mut ledger = Ledger::default();
    let (account, book) = (account("USD", "UTC"), book());
    let mut send = |id: &str, when: &str, category: &str, conversation: Option<&str>| {
        let mut pricing = priced("", category);
        (pricing.model, pricing.kind) = (Some(PricingModel::PerConversation), None);
        let mut event = status(id, Delivered, "5511912345678", at(when), Some(pricing));
        event.update.billing_conversation = conversation.map(str::to_owned);
        match ledger.decide(&event, &account, &book) {
            Decision::Rated(usage, _) => (usage.rating.amount.micros, usage.rating.pricing_type),
            other => panic!("{other:?}"),
        }
    };
    let charged = PricingType::Regular;
    let covered = PricingType::InConversation;
    assert_eq!(
        send("1", "2025-03-01T10:00:00Z", "marketing", Some("c1")),
        (62_500, charged)
    );
    assert_eq!(
        send("2", "2025-03-01T11:00:00Z", "marketing", Some("c1")),
        (0, covered)
    );
    assert_eq!(
        send("3", "2025-03-01T11:00:00Z", "utility", Some("c2")),
        (8_000, charged)
    );
    let free = PricingType::FreeCustomerService;
    assert_eq!(
        send("4", "2025-03-02T11:00:00Z", "service", Some("c3")),
        (0, free)
    );
    // Opened before the change, delivered after it.
    assert_eq!(
        send("5", "2025-07-01T09:00:00Z", "utility", Some("c2")),
        (0, covered)
    );
    assert_eq!(
        send("6", "2025-07-01T09:00:00Z", "utility", None),
        (0, covered)
    );
}

#[test]
fn a_conversation_needs_an_id_and_a_known_price() {
    let mut event = status(
        "m",
        Delivered,
        "201012345678",
        at("2025-03-01T10:00:00Z"),
        Some(priced("", "authentication")),
    );
    event.update.pricing.as_mut().unwrap().model = Some(PricingModel::PerConversation);
    assert!(
        rated(&event, "USD", "UTC")
            .unwrap_err()
            .contains("named no conversation")
    );
    event.update.billing_conversation = Some("c".into());
    assert!(
        rated(&event, "USD", "UTC")
            .unwrap_err()
            .contains("no USD rate for authentication in Egypt")
    );
    event.update.occurred_at = at("2022-03-01T10:00:00Z");
    assert_eq!(
        rated(&event, "USD", "UTC").unwrap_err(),
        "there are no rules for 2022-03-01"
    );
}

#[test]
fn without_a_phone_the_user_id_tells_the_country_and_without_both_nothing() {
    let mut event = status(
        "m",
        Read,
        "",
        at("2026-11-03T12:00:00Z"),
        Some(priced("regular", "utility")),
    );
    assert!(
        rated(&event, "USD", "UTC")
            .unwrap_err()
            .contains("country is not known")
    );
    event.contact.user_id = Some("DE.13491208655302741918".into());
    assert_eq!(rated(&event, "USD", "UTC").unwrap().country, "DE");
    event.contact.phone = Some("5511912345678".into());
    assert_eq!(rated(&event, "USD", "UTC").unwrap().country, "BR");
    event.update.participant = Some("79161234567".into());
    assert_eq!(rated(&event, "USD", "UTC").unwrap().country, "RU");
}

#[test]
fn quotes_follow_the_table_of_the_era() {
    let book = book();
    let ask = |category, window_open, free_entry_point, used, when| {
        let request = QuoteRequest {
            recipient: ContactIdentity::from_phone("4915112345678").unwrap(),
            category,
            window_open,
            free_entry_point,
        };
        quote(
            &request,
            (Currency::USD, &Zone::utc()),
            used,
            at(when),
            &book,
        )
        .map(|quote| quote.amount.micros)
    };
    let (early, late) = ("2026-09-15T12:00:00Z", "2026-11-03T12:00:00Z");
    assert_eq!(ask(Category::Marketing, true, false, 0, early), Ok(136_500));
    assert_eq!(ask(Category::Marketing, true, true, 0, early), Ok(0));
    assert_eq!(ask(Category::Utility, true, false, 0, early), Ok(0));
    assert_eq!(ask(Category::Utility, false, false, 0, early), Ok(55_000));
    assert_eq!(ask(Category::Utility, true, false, 0, late), Ok(55_000));
    assert_eq!(ask(Category::Service, true, false, 0, early), Ok(0));
    assert_eq!(ask(Category::Service, true, false, 999, late), Ok(0));
    assert_eq!(ask(Category::Service, true, false, 1000, late), Ok(55_000));
    assert_eq!(
        ask(Category::Service, false, true, 0, late),
        Err(QuoteRefusal::WindowClosed)
    );
    assert!(matches!(
        ask(Category::Utility, true, false, 0, "2025-01-01T00:00:00Z"),
        Err(QuoteRefusal::Unpriced(_))
    ));
}
