//! The table of settings: every key a role understands. The loader, `frontdesk config`, the example
//! file and the table in `docs/OPERATIONS.md` all come from here.

use std::time::Duration;

use lib_platform::config::{Key, Kind, Shown, shape};

use crate::role::Role;

/// Every role.
pub(super) const ROLES: &[&str] = &[
    "ingress",
    "conversations",
    "flow-runner",
    "routing",
    "egress",
    "templates",
    "billing",
    "accounts",
    "sandbox",
];
/// Every role, and `frontdesk seed`, which is configured like one.
const ROLES_AND_SEED: &[&str] = &[
    "ingress",
    "conversations",
    "flow-runner",
    "routing",
    "egress",
    "templates",
    "billing",
    "accounts",
    "sandbox",
    "seed",
];
/// Roles that keep records in PostgreSQL.
const RECORDS: &[&str] = &[
    "conversations",
    "flow-runner",
    "routing",
    "egress",
    "templates",
    "billing",
    "accounts",
];
/// Roles that use Redis.
const FAST: &[&str] = &["ingress", "routing", "egress"];
/// Roles whose durability is checked.
const DURABLE: &[&str] = &[
    "ingress",
    "conversations",
    "flow-runner",
    "routing",
    "egress",
    "templates",
    "billing",
    "accounts",
];
/// Roles with HTTP for others than operators.
const HTTP: &[&str] = &["ingress", "sandbox"];
/// Roles that call Meta's Graph API.
const GRAPH: &[&str] = &["egress", "templates"];
/// Nobody.
const NONE: &[&str] = &[];
/// `frontdesk seed` alone.
const SEED: &[&str] = &["seed"];

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

const LISTEN: Kind = Kind::Text {
    form: "host:port, such as `0.0.0.0:8080`",
    check: shape::listen,
};
const BASE_URL: Kind = Kind::Text {
    form: "scheme, host and port, such as `http://conversations:50051`",
    check: shape::base_url,
};
const NAME: Kind = Kind::Text {
    form: "a name of letters, digits, dots and dashes, at most 63",
    check: shape::name,
};
const PATH: Kind = Kind::Text {
    form: "the path of a folder",
    check: shape::plain,
};

/// All keys, in the order of the example file.
pub(crate) fn table() -> Vec<Key> {
    let mut keys = general();
    keys.extend(listening());
    keys.extend(stores());
    keys.extend(credentials());
    keys.extend(Role::ALL.iter().map(|role| peer(*role)));
    keys.extend(doors());
    keys.extend(work());
    keys.extend(sandbox());
    keys.extend(telemetry());
    keys
}

/// A key every role reads and none needs to be given.
fn optional(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        used_by: ROLES,
        needed_by: NONE,
        example,
        doc,
    }
}

fn general() -> Vec<Key> {
    vec![
        optional(
            "instance",
            NAME,
            None,
            "egress-0",
            "Name of this replica: stable, and never shared by two that run. It owns leases and \
             signs attempts. Default: the host name.",
        ),
        Key {
            used_by: ROLES_AND_SEED,
            ..optional(
                "environment",
                Kind::Choice(&["production", "development"]),
                Some("production"),
                "production",
                "`development` allows what is too weak for customers: short secrets, plain HTTP to the \
             Graph API, running as root, demo tokens.",
            )
        },
        optional(
            "shutdown.drain",
            Kind::Duration {
                least: SECOND,
                most: Duration::from_secs(300),
            },
            Some("20s"),
            "20s",
            "How long work under way may take to end after SIGTERM. Shorter than the 30 s after \
             which Kubernetes kills.",
        ),
        optional(
            "development.tokens",
            Kind::Bool,
            Some("false"),
            "false",
            "Accept the well-known tokens of the demo tenant (`dev-admin`, `dev-ana`, …). Refused \
             outside development.",
        ),
    ]
}

fn listening() -> Vec<Key> {
    vec![
        optional(
            "grpc.listen",
            LISTEN,
            Some("0.0.0.0:50051"),
            "0.0.0.0:50051",
            "Address for gRPC.",
        ),
        optional(
            "grpc.advertise",
            BASE_URL,
            None,
            "http://conversations-0.conversations:50051",
            "Where other replicas reach this one. Default: http://<instance>:<port of grpc.listen>.",
        ),
        optional(
            "grpc.reflection",
            Kind::Bool,
            Some("false"),
            "false",
            "Tell anybody who asks which methods there are; for grpcurl.",
        ),
        Key {
            used_by: HTTP,
            ..optional(
                "http.listen",
                LISTEN,
                Some("0.0.0.0:8080"),
                "0.0.0.0:8080",
                "Address for Meta's webhooks (ingress) and for the Graph API (sandbox).",
            )
        },
        optional(
            "admin.listen",
            LISTEN,
            Some("0.0.0.0:9090"),
            "0.0.0.0:9090",
            "Address for /healthz, /readyz and /metrics. Keep it inside the cluster.",
        ),
    ]
}

fn stores() -> Vec<Key> {
    vec![
        Key {
            name: "postgres.url",
            kind: Kind::Secret {
                form: "postgres://user:password@host:5432/database",
                check: |text| shape::store_url(text, &["postgres", "postgresql"], false),
                shown: Shown::WithoutPassword,
            },
            default: None,
            used_by: RECORDS,
            needed_by: RECORDS,
            example: "postgres://frontdesk:<password>@postgres:5432/frontdesk",
            doc: "The database. One database for all roles; each keeps its tables in a schema of its \
                  own and brings them up to date at start.",
        },
        Key {
            used_by: RECORDS,
            ..optional(
                "postgres.connections",
                Kind::Integer {
                    least: 2,
                    most: 500,
                },
                Some("8"),
                "8",
                "Most connections of this process. The sum over all replicas must stay below the \
                 server's max_connections.",
            )
        },
        Key {
            name: "redis.url",
            kind: Kind::Secret {
                form: "redis://user:password@host:6379, or redis+cluster://host1:6379,host2:6379 (rediss for TLS)",
                check: redis_url,
                shown: Shown::WithoutPassword,
            },
            default: None,
            used_by: FAST,
            needed_by: FAST,
            example: "redis://redis:6379",
            doc: "Redis 7.0 or newer, or Valkey: one server or a Cluster. It must not evict \
                  (maxmemory-policy noeviction) and must write an append-only file.",
        },
        Key {
            used_by: DURABLE,
            ..optional(
                "durability.profile",
                Kind::Choice(&["A", "B", "C"]),
                Some("A"),
                "A",
                "What the stores must promise before a role is ready. A: one Redis with appendfsync \
                 always. B: A, and each write on one replica. C: appendfsync everysec; a power \
                 failure may lose a second of what was acknowledged. PostgreSQL always: fsync and \
                 full_page_writes on, synchronous_commit not off.",
            )
        },
    ]
}

fn redis_url(text: &str) -> Result<(), String> {
    let several = text.starts_with("redis+cluster://") || text.starts_with("rediss+cluster://");
    let schemes = ["redis", "rediss", "redis+cluster", "rediss+cluster"];
    shape::store_url(text, &schemes, several)
}

fn credentials() -> Vec<Key> {
    vec![
        Key {
            name: "service.token",
            kind: Kind::Secrets {
                most: 2,
                form: "a random token of at least 32 characters",
                check: |text| shape::token(text, 1),
            },
            default: None,
            used_by: ROLES,
            needed_by: ROLES,
            example: "<openssl rand -hex 32>",
            doc: "What services show each other; the same for all roles. Of two values both are \
                  accepted and the first is shown: so it is changed without a stop.",
        },
        Key {
            name: "operator.token",
            kind: Kind::Secrets {
                most: 2,
                form: "a random token of at least 32 characters",
                check: |text| shape::token(text, 1),
            },
            default: None,
            used_by: ROLES_AND_SEED,
            needed_by: SEED,
            example: "<openssl rand -hex 32>",
            doc: "The operator's credential: makes tenants, sees what belongs to no tenant, and acts \
                  for a tenant named in the metadata `frontdesk-tenant`. Without it there is none.",
        },
    ]
}

/// Where a role's service is. Only those who call it look at the key.
fn peer(role: Role) -> Key {
    Key {
        used_by: role.callers(),
        ..optional(
            role.peer_key(),
            BASE_URL,
            Some(role.peer_default()),
            role.peer_default(),
            role.peer_doc(),
        )
    }
}

fn doors() -> Vec<Key> {
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

fn work() -> Vec<Key> {
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

fn sandbox() -> Vec<Key> {
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
            kind: Kind::Secret {
                form: "the secret that ingress expects (ingress.app_secrets)",
                check: |text| shape::token(text, 1),
                shown: Shown::Never,
            },
            default: None,
            used_by: SEED,
            needed_by: SEED,
            example: "<app secret>",
            doc: "What the sandbox signs its webhooks with; `frontdesk seed` tells it.",
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

fn telemetry() -> Vec<Key> {
    vec![
        optional(
            "telemetry.log",
            Kind::Text {
                form: "a level, or levels by module, such as `svc_routing=debug,info`",
                check: shape::log_filter,
            },
            Some("info"),
            "info",
            "What to log: off, error, warn, info, debug, trace.",
        ),
        optional(
            "telemetry.format",
            Kind::Choice(&["json", "text"]),
            Some("json"),
            "json",
            "How to write log lines: one JSON object a line, or for people.",
        ),
        optional(
            "telemetry.otlp_endpoint",
            BASE_URL,
            None,
            "http://otel-collector:4317",
            "OpenTelemetry collector for traces (OTLP over gRPC). Without it none are sent.",
        ),
    ]
}
