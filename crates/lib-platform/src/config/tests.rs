//! Loading settings with a small table of keys; the whole table of the program is tested there.

use std::time::Duration;

use super::*;

const TABLE: &[Key] = &[
    Key {
        name: "door.timeout",
        kind: Kind::Duration {
            least: Duration::from_millis(1),
            most: Duration::from_secs(9),
        },
        default: Some("1500ms"),
        used_by: &["door"],
        needed_by: &[],
        example: "1s",
        doc: "How long.",
    },
    Key {
        name: "door.key",
        kind: Kind::Secrets {
            most: 2,
            form: "a word",
            check: shape::plain,
        },
        default: None,
        used_by: &["door", "wall"],
        needed_by: &["door"],
        example: "word",
        doc: "Opens it.",
    },
];

fn from(env: &[(&str, &str)], role: Option<&str>) -> Outcome {
    let env = env
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    load(
        TABLE,
        role,
        &Sources {
            env,
            ..Default::default()
        },
    )
}

#[test]
fn each_role_has_its_own_needs() {
    assert!(from(&[], Some("wall")).problems.is_empty());
    let outcome = from(&[], Some("door"));
    assert_eq!(outcome.problems[0].key.as_deref(), Some("door.key"));
    assert_eq!(
        outcome.settings.duration("door.timeout").unwrap(),
        Duration::from_millis(1_500)
    );
    assert!(outcome.settings.list("door.key").is_empty());
    assert!(
        outcome.settings.text("door.timeout").is_err(),
        "it is no text"
    );
    // What another role reads is not looked at.
    assert!(
        from(&[("FRONTDESK_DOOR_TIMEOUT", "soon")], Some("wall"))
            .problems
            .is_empty()
    );
    assert_eq!(
        from(&[("FRONTDESK_DOOR_TIMEOUT", "soon")], None)
            .problems
            .len(),
        2
    );
}

#[test]
fn only_our_variables_are_ours() {
    let env = [
        ("DOOR_KEY", "x"),
        ("PATH", "/bin"),
        ("FRONTDESK_DOOR_KEY", "sesame,open"),
    ];
    let outcome = from(&env, Some("door"));
    assert!(outcome.problems.is_empty());
    assert_eq!(outcome.settings.list("door.key"), ["sesame", "open"]);
    let shown = format!("{:?} {}", outcome.settings, outcome.settings.line());
    assert!(
        !shown.contains("sesame,open") && !shown.contains("\"sesame\""),
        "{shown}"
    );
}

#[test]
fn passwords_are_masked_however_they_are_written() {
    for (url, masked) in [
        ("redis://redis:6379", "`redis://redis:6379`"),
        ("redis://:pa55@redis", "`redis://:***@redis`"),
        ("postgres://me:p@a55@db/x", "`postgres://me:***@db/x`"),
        ("postgres://me:p/a@db/x", "`postgres://me:***@db/x`"),
    ] {
        assert_eq!(shape::masked(url), masked);
    }
    assert!(!shape::masked("me:pa55@redis").contains("pa55"));
}

#[test]
fn addresses_of_every_form_are_known() {
    for good in ["0.0.0.0:80", "[::]:50051", "localhost:1", "127.0.0.1:0"] {
        assert_eq!(shape::listen(good), Ok(()), "{good}");
    }
    for bad in [
        "::1:80",
        ":80",
        "80",
        "a b:80",
        "http://a:80",
        "a:80/x",
        "a:+80",
        "a:",
    ] {
        assert!(shape::listen(bad).is_err(), "{bad}");
    }
    let stores = |text| shape::store_url(text, &["redis", "redis+cluster"], true);
    for good in [
        "redis://[::1]:6379/0",
        "redis+cluster://u:p%40w@a:1,b:2",
        "redis://r",
    ] {
        assert_eq!(stores(good), Ok(()), "{good}");
    }
    for bad in [
        "redis://",
        "redis://a:",
        "redis://a:0",
        "redis://a,",
        "redis:/a",
        "redis://a b",
        "redis://u:p/w@a",
        // The password is `a@b/c`: read as it stands, `b/c` would be shown as host and database.
        "redis://u:a@b/c@host/0",
    ] {
        assert!(stores(bad).is_err(), "{bad}");
    }
}

#[test]
fn times_are_shown_as_they_are_written() {
    for (text, span) in [
        ("250ms", 250),
        ("1500ms", 1_500),
        ("90s", 90_000),
        ("2m", 120_000),
        ("1h", 3_600_000),
    ] {
        assert_eq!(duration_text(Duration::from_millis(span)), text);
    }
}
