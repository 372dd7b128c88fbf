//! The keys of single services: webhooks, the Graph API, conversations, routing, sending, the sandbox.

use std::time::Duration;

use lib_platform::config::{Key, Kind, Shown, shape};

use super::{BASE_URL, GRAPH, NAME, PATH, SECOND, SEED, optional};

/// An hour.
const HOUR: Duration = Duration::from_secs(3_600);

/// Ingress, and the Graph API.
#[expect(clippy::too_many_lines, reason = "a table, not steps")]
pub(super) fn doors() -> Vec<Key> {
    let ingress: &[&str] = &["ingress"];
    vec![
        Key {
            name: "ingress.app_secrets",
            kind: Kind::Secrets {
                most: 2,
                form: "the App Secret of the Meta app, 32 hexadecimal digits (App settings, Basic)",
                check: |text| shape::token(text, 1),
            },
            default: None,
            used_by: ingress,
            needed_by: ingress,
            example: "<app secret>",
            doc: "Sign Meta's webhooks. Two while one replaces the other.",
        },
        Key {
            name: "ingress.verify_token",
            kind: Kind::Secret {
                form: "a word of at least 16 characters, the same as in the Meta app",
                check: |text| shape::token(text, 1),
                shown: Shown::Never,
            },
            default: None,
            used_by: ingress,
            needed_by: ingress,
            example: "<openssl rand -hex 16>",
            doc: "What Meta shows when it verifies the webhook address.",
        },
        Key {
            used_by: ingress,
            ..optional(
                "ingress.max_waiting_deliveries",
                Kind::Integer {
                    least: 1_000,
                    most: 100_000_000,
                },
                Some("1000000"),
                "1000000",
                "Most webhooks that may wait in the inbox; above, Meta gets 503 and tries again.",
            )
        },
        Key {
            used_by: ingress,
            ..optional(
                "ingress.max_waiting_bytes",
                Kind::Bytes {
                    least: 1 << 20,
                    most: 1 << 40,
                },
                Some("4GiB"),
                "4GiB",
                "Most bytes of them. Redis must have that much memory to spare.",
            )
        },
        Key {
            used_by: ingress,
            ..optional(
                "ingress.body_timeout",
                Kind::Duration {
                    least: SECOND,
                    most: 60 * SECOND,
                },
                Some("10s"),
                "10s",
                "How long a sender may take to send a body.",
            )
        },
        Key {
            used_by: GRAPH,
            ..optional(
                "graph.url",
                BASE_URL,
                Some("https://graph.facebook.com"),
                "https://graph.facebook.com",
                "Where Meta's Graph API is, or the sandbox (plain HTTP in development only).",
            )
        },
        Key {
            used_by: GRAPH,
            ..optional(
                "graph.version",
                Kind::Text {
                    form: "a version of the Graph API, such as `v24.0`",
                    check: graph_version,
                },
                Some("v24.0"),
                "v24.0",
                "Version of the Graph API.",
            )
        },
    ]
}

/// Hosts, as a flow's address would name them.
fn hosts(text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    let wrong = text.split(',').map(str::trim);
    match wrong
        .clone()
        .find(|host| host.is_empty() || !host.bytes().all(plain))
    {
        Some(host) => Err(format!("`{host}` is not a host")),
        None => Ok(()),
    }
}

/// `vNN.N`, from v13.0 on.
fn graph_version(text: &str) -> Result<(), String> {
    let digits = |part: &str, most: usize| {
        !part.is_empty() && part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts = text.strip_prefix('v').and_then(|rest| rest.split_once('.'));
    match parts {
        Some((major, minor)) if digits(major, 3) && digits(minor, 1) => {
            if major.len() < 2 || major < "13" && major.len() == 2 {
                return Err("that version is no longer served".to_owned());
            }
            Ok(())
        }
        _ => Err("not of the form vNN.N".to_owned()),
    }
}

/// What happens to messages between them.
#[expect(clippy::too_many_lines, reason = "a table, not steps")]
pub(super) fn work() -> Vec<Key> {
    let attempts: &[&str] = &["conversations", "egress"];
    let for_roles = |used_by: &'static [&'static str], key: Key| Key { used_by, ..key };
    vec![
        for_roles(
            &["conversations"],
            optional(
                "conversations.fallback_queue",
                NAME,
                Some("support"),
                "support",
                "Queue that takes over when no flow can answer; must exist in every tenant.",
            ),
        ),
        for_roles(
            attempts,
            optional(
                "conversations.attempt_seconds",
                Kind::Integer {
                    least: 15,
                    most: 3_600,
                },
                Some("60"),
                "60",
                "How long an attempt to send may take before its outcome counts as unknown.",
            ),
        ),
        for_roles(
            &["conversations"],
            optional(
                "conversations.quiet_seconds",
                Kind::Integer {
                    least: 10,
                    most: 86_400,
                },
                Some("120"),
                "120",
                "How long a status may clear up an unknown outcome before the message is sent again.",
            ),
        ),
        for_roles(
            &["conversations"],
            optional(
                "conversations.cached",
                Kind::Integer {
                    least: 1,
                    most: 10_000_000,
                },
                Some("20000"),
                "20000",
                "Conversations kept in memory.",
            ),
        ),
        for_roles(
            &["flow-runner"],
            optional(
                "flow_runner.compiled_versions",
                Kind::Integer {
                    least: 1,
                    most: 1_000_000,
                },
                Some("1000"),
                "1000",
                "Compiled flow versions kept in memory.",
            ),
        ),
        for_roles(
            &["flow-runner"],
            optional(
                "flow_runner.scripts",
                Kind::Bool,
                Some("false"),
                "false",
                "Let flows run scripts. They are held to limits, but run in the flow-runner itself, and not \
                 all that an interpreter can be asked passes a limit: for installations whose flow \
                 authors are trusted.",
            ),
        ),
        for_roles(
            &["flow-runner"],
            optional(
                "flow_runner.private_hosts",
                Kind::Text {
                    form: "hosts with commas between them, such as `crm.internal, 10.0.0.5`",
                    check: hosts,
                },
                None,
                "crm.internal, 10.0.0.5",
                "Hosts on the inside of the network that flows may call. Default: none; flows reach \
                 public addresses only, so that who writes one cannot ask what is behind the door.",
            ),
        ),
        for_roles(
            &["routing"],
            optional(
                "routing.heartbeat",
                Kind::Duration {
                    least: 30 * SECOND,
                    most: HOUR,
                },
                Some("60s"),
                "60s",
                "A desk that says nothing for this long is taken for dead. Desks speak every 20 s.",
            ),
        ),
        for_roles(
            &["routing"],
            optional(
                "routing.grace",
                Kind::Duration {
                    least: SECOND,
                    most: HOUR,
                },
                Some("30s"),
                "30s",
                "How long an agent whose desk is gone stays ready and may come back.",
            ),
        ),
        for_roles(
            &["egress"],
            optional(
                "egress.messages_per_second",
                Kind::Integer {
                    least: 1,
                    most: 1_000,
                },
                Some("80"),
                "80",
                "Messages a second from one number, over all replicas. Meta allows 80, or 1000 for an \
             upgraded number.",
            ),
        ),
        for_roles(
            &["egress"],
            optional(
                "egress.http_timeout",
                Kind::Duration {
                    least: SECOND,
                    most: HOUR,
                },
                Some("30s"),
                "30s",
                "How long the Graph API may take to answer. At least 10 s shorter than \
             conversations.attempt_seconds.",
            ),
        ),
        for_roles(
            &["egress"],
            optional(
                "egress.max_in_flight",
                Kind::Integer {
                    least: 1,
                    most: 10_000,
                },
                Some("64"),
                "64",
                "Requests under way at once for one number.",
            ),
        ),
        for_roles(
            &["egress"],
            optional(
                "egress.max_in_hand",
                Kind::Integer {
                    least: 1,
                    most: 10_000_000,
                },
                Some("20000"),
                "20000",
                "Messages held in memory at once.",
            ),
        ),
    ]
}

/// The stand-in for Meta.
pub(super) fn sandbox() -> Vec<Key> {
    let for_roles = |used_by: &'static [&'static str], key: Key| Key { used_by, ..key };
    vec![
        for_roles(
            &["sandbox"],
            optional(
                "sandbox.data_dir",
                PATH,
                Some("./sandbox-data"),
                "./sandbox-data",
                "Folder of the sandbox's SQLite file. The sandbox stands in for Meta in development.",
            ),
        ),
        for_roles(
            &["sandbox"],
            optional(
                "sandbox.messages_per_second",
                Kind::Integer {
                    least: 0,
                    most: 100_000,
                },
                Some("0"),
                "0",
                "Beyond it a number gets Meta's error 130429; 0 switches the limit off.",
            ),
        ),
        Key {
            name: "sandbox.verify_token",
            kind: Kind::Secret {
                form: "the word that ingress expects (ingress.verify_token)",
                check: |text| shape::token(text, 1),
                shown: Shown::Never,
            },
            default: None,
            used_by: &["sandbox"],
            needed_by: &["sandbox"],
            example: "<verify token>",
            doc: "What the sandbox shows when it verifies the webhook address.",
        },
        Key {
            name: "sandbox.app_secret",
            // The same file may hold ingress' two.
            kind: Kind::Secrets {
                most: 2,
                form: "a secret that ingress expects (ingress.app_secrets)",
                check: |text| shape::token(text, 1),
            },
            default: None,
            used_by: SEED,
            needed_by: SEED,
            example: "<app secret>",
            doc: "What the sandbox signs its webhooks with, the first of two; `frontdesk seed` tells it.",
        },
        for_roles(
            SEED,
            optional(
                "sandbox.callback",
                Kind::Text {
                    form: "a URL, such as `http://ingress:8080/webhooks/whatsapp`",
                    check: shape::url,
                },
                Some("http://ingress:8080/webhooks/whatsapp"),
                "http://ingress:8080/webhooks/whatsapp",
                "Where the sandbox delivers its webhooks; `frontdesk seed` tells it.",
            ),
        ),
    ]
}
