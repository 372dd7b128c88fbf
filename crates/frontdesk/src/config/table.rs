//! The table of settings: every key a role understands. The loader, `frontdesk config`, the example
//! file and the table in `docs/OPERATIONS.md` all come from here.

mod services;

use std::time::Duration;

use lib_platform::config::{Key, Kind, Shown, shape};
use lib_storage::{PostgresSettings, RedisSettings};

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
pub(crate) const ROLES_AND_SEED: &[&str] = &[
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
    keys.extend(services::doors());
    keys.extend(services::work());
    keys.extend(services::sandbox());
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
                check: postgres_url,
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
                 always. B: A, with min-replicas-to-write and a replica, and each admitted webhook \
                 waits until one has it. C: appendfsync everysec; a power failure may lose a second \
                 of what was acknowledged. PostgreSQL always: fsync and full_page_writes on, \
                 synchronous_commit not off; its standbys are not looked at.",
            )
        },
    ]
}

fn redis_url(text: &str) -> Result<(), String> {
    let several = text.starts_with("redis+cluster://") || text.starts_with("rediss+cluster://");
    let schemes = ["redis", "rediss", "redis+cluster", "rediss+cluster"];
    shape::store_url(text, &schemes, several)?;
    RedisSettings::check(text)
}

fn postgres_url(text: &str) -> Result<(), String> {
    shape::store_url(text, &["postgres", "postgresql"], false)?;
    PostgresSettings::check(text)
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
