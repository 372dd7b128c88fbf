//! What is read from a server's own words; `tests/redis.rs` asks real ones.

use super::*;

/// What a fit server says, and what it says instead here.
fn told(of: &'static str, instead: &[(&'static str, &'static str)], profile: Profile) -> String {
    let words = [
        ("redis_version", of),
        ("loading", "0"),
        ("role", "master"),
        ("aof_enabled", "1"),
        ("aof_last_write_status", "ok"),
    ];
    let facts = words.into_iter().chain(instead.iter().copied()).collect();
    check_facts(&facts, profile).map_or_else(|error| error.to_string(), |()| "fit".to_owned())
}

#[test]
fn versions_from_7_0_on_are_fit() {
    for version in ["7.0.0", "7.2.4", "8.6.2", "10.0"] {
        assert_eq!(told(version, &[], Profile::A), "fit", "{version}");
    }
    // Valkey says this next to its own `valkey_version`.
    assert_eq!(
        told("7.2.4", &[("valkey_version", "9.1.2")], Profile::A),
        "fit"
    );
    for version in ["6.2.14", "2.8", "", "what"] {
        let told = told(version, &[], Profile::A);
        assert!(told.contains("too old; Frontdesk needs 7.0"), "{told}");
    }
}

#[test]
fn what_a_server_says_of_itself_is_named() {
    let loading = told("7.0.0", &[("loading", "1")], Profile::A);
    assert!(loading.contains("loading"), "{loading}");
    let replica = told("7.0.0", &[("role", "slave")], Profile::A);
    assert!(replica.contains("read-only replica"), "{replica}");
    let disk = told("7.0.0", &[("aof_last_write_status", "err")], Profile::C);
    assert!(disk.contains("free disk space"), "{disk}");
    let behind = (
        "slave0",
        "ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=0",
    );
    let behind = told("7.0.0", &[behind], Profile::B);
    assert!(behind.contains("no replica that is in step"), "{behind}");
    let online = (
        "slave0",
        "ip=10.0.0.2,port=6379,state=online,offset=5,lag=0",
    );
    assert_eq!(told("7.0.0", &[online], Profile::B), "fit");
}

#[test]
fn settings_below_the_profile_are_named_with_the_remedy() {
    let told = |instead: &[(&str, &str)], profile| {
        let words = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("no-appendfsync-on-rewrite", "no"),
            ("maxmemory-policy", "noeviction"),
            ("min-replicas-to-write", "1"),
            ("min-replicas-max-lag", "10"),
        ];
        let words = words.iter().chain(instead);
        let settings = words.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        check_settings(&settings.collect(), profile)
            .err()
            .unwrap_or_default()
    };
    for profile in [Profile::A, Profile::B, Profile::C] {
        assert_eq!(told(&[], profile), "");
    }
    let alone = [("min-replicas-to-write", "0")];
    assert_eq!(told(&alone, Profile::A), "", "B alone speaks of replicas");
    let alone = told(&alone, Profile::B);
    assert!(alone.contains("min-replicas-to-write 0"), "{alone}");
    assert!(alone.contains("set it to 1 (profile B)"), "{alone}");
    let off = [("min-replicas-max-lag", "0")];
    assert_eq!(told(&off, Profile::A), "");
    let off = told(&off, Profile::B);
    assert!(off.contains("set it to 10 (profile B)"), "{off}");
    let rewrite = [("no-appendfsync-on-rewrite", "yes")];
    assert_eq!(told(&rewrite, Profile::C), "");
    let rewrite = told(&rewrite, Profile::B);
    assert!(
        rewrite.contains("no-appendfsync-on-rewrite yes"),
        "{rewrite}"
    );
    assert!(rewrite.contains("set it to no (profile B)"), "{rewrite}");
}
