//! What settings are refused, and how: one row per case, numbered as in the list of bad input
//! (N01 to N74) this project tests against. Cases that need a running process or a server are in
//! `tests/e2e/config.rs` and `tests/e2e/roles.rs`. Not applicable, and why:
//!
//! * N09 `1_000` is accepted, as TOML has it; N17 is how sockets are bound (`role/sockets.rs`).
//! * N16: the operators' port is inside the cluster by NetworkPolicy; containers have no loopback
//!   another could reach.
//! * N19 is a warning: private networks are how most clusters keep Redis.
//! * N38 to N40: TLS between services is the network's or a mesh's; there are no certificates to
//!   configure, and nothing skips verification (N41 is about demo tokens here).
//! * N24: no Sentinel. N34, N35: keys are the accounts service's matter. N42: no OIDC.
//! * N20 to N23, N25 to N30, N43, N50, N61, N63: seen when the stores are looked at, not in settings.
//! * N44: the time zones are built in. N45: UTC inside; no locale is read.
//! * N48: Meta says so when it verifies the address. N49: the runtime counts processors by cgroup.
//! * N52 to N54: windows and horizons are constants, tested where they are used. N55: one constant.
//! * N58: labels are fixed in code. N59: see the telemetry tests. N60: no feature flags.
//! * N62: the number of partitions is a constant.
//! * N64: only the sandbox writes files; it says so and ends. N66: memory is the container's limit.
//! * N68, N69: matters of the container (`deploy/`). N70, N71: settings are read once, at start.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lib_platform::config::{Outcome, Problem, Sources};

use super::checks::Machine;
use super::{OTHER_VARIABLES, example, explain, read_from, table};
use crate::role::Role;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const TOKEN: &str = "f0e1d2c3b4a5968778695a4b3c2d1e0f-service";

/// A machine nothing is wrong with.
fn machine() -> Machine {
    Machine {
        host_name: "pod-7".to_owned(),
        root: false,
        open_files: Some(65_536),
    }
}

/// What `role` needs in production, as variables.
fn good(role: &str) -> Vec<(OsString, OsString)> {
    let mut env = vec![("FRONTDESK_SERVICE_TOKEN", TOKEN)];
    match role {
        "ingress" => env.extend([
            ("FRONTDESK_REDIS_URL", "rediss://:pw@redis:6379"),
            ("FRONTDESK_INGRESS_APP_SECRETS", SECRET),
            ("FRONTDESK_INGRESS_VERIFY_TOKEN", "a-verify-token-of-20"),
        ]),
        "egress" | "routing" => env.extend([
            ("FRONTDESK_REDIS_URL", "rediss+cluster://r1:6379,r2:6379"),
            (
                "FRONTDESK_POSTGRES_URL",
                "postgres://u:pw@db:5432/frontdesk",
            ),
        ]),
        _ => env.push(("FRONTDESK_POSTGRES_URL", "postgres://u:pw@db/frontdesk")),
    }
    env.into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn with(role: &str, more: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let mut env = good(role);
    for (name, value) in more {
        env.retain(|(known, _)| known != name);
        env.push(((*name).into(), (*value).into()));
    }
    env
}

fn read(role: &str, env: Vec<(OsString, OsString)>, file: Option<PathBuf>) -> Outcome {
    let sources = Sources {
        file,
        env,
        other_variables: OTHER_VARIABLES,
    };
    read_from(Some(role), &sources, &machine())
}

/// Expects exactly one problem and returns it.
fn only(outcome: &Outcome, case: &str) -> Problem {
    let text = explain("it", &outcome.problems);
    assert_eq!(outcome.problems.len(), 1, "{case}: {text}");
    outcome.problems[0].clone()
}

#[test]
fn every_role_starts_with_what_it_needs_and_says_what_is_missing() {
    for role in Role::ALL.map(Role::name) {
        let mut env = good(role);
        if role == "sandbox" {
            env = with(
                role,
                &[
                    ("FRONTDESK_SANDBOX_VERIFY_TOKEN", "dev"),
                    ("FRONTDESK_ENVIRONMENT", "development"),
                ],
            );
        }
        let outcome = read(role, env, None);
        assert!(
            outcome.problems.is_empty(),
            "{role}: {}",
            explain(role, &outcome.problems)
        );
        assert!(
            outcome.warnings.is_empty(),
            "{role}: {:?}",
            outcome.warnings
        );
        assert_eq!(outcome.settings.text("instance").unwrap(), "pod-7");
        assert_eq!(
            outcome.settings.text("grpc.advertise").unwrap(),
            "http://pod-7:50051"
        );
        let line = outcome.settings.line();
        assert!(
            !line.contains("pw@") && !line.contains(TOKEN) && !line.contains(SECRET),
            "{line}"
        );
    }
    // N01: all of them in one message.
    let outcome = read("ingress", Vec::new(), None);
    let missing: Vec<&str> = outcome
        .problems
        .iter()
        .filter_map(|p| p.key.as_deref())
        .collect();
    assert_eq!(
        missing,
        [
            "redis.url",
            "service.token",
            "ingress.app_secrets",
            "ingress.verify_token"
        ]
    );
    assert!(
        outcome
            .problems
            .iter()
            .all(|p| p.code == "config.missing" && p.remedy.contains("_FILE"))
    );
}

/// Case, role, variable, value, code, and what the message says besides the variable's name.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const VARIABLES: &[Row] = &[
    (
        "N02",
        "billing",
        "FRONTDESK_POSTGRES_URL",
        "",
        "config.missing",
        "missing",
    ),
    (
        "N03",
        "egress",
        "FRONTDESK_REDIS_ULR",
        "redis://r",
        "config.unknown_variable",
        "FRONTDESK_REDIS_URL",
    ),
    (
        "N03",
        "egress",
        "FRONTDESK_XYZZY_PLUGH",
        "1",
        "config.unknown_variable",
        "config keys",
    ),
    (
        "N03 Kubernetes",
        "egress",
        "FRONTDESK_INGRESS_PORT",
        "tcp://10.0.0.7:50051",
        "config.unknown_variable",
        "enableServiceLinks",
    ),
    (
        "N09 unit",
        "egress",
        "FRONTDESK_EGRESS_MAX_IN_FLIGHT",
        "10s",
        "config.type",
        "decimal digits",
    ),
    (
        "N09 hex",
        "egress",
        "FRONTDESK_EGRESS_MAX_IN_FLIGHT",
        "0x10",
        "config.type",
        "decimal digits",
    ),
    (
        "N09 exponent",
        "egress",
        "FRONTDESK_EGRESS_MAX_IN_FLIGHT",
        "1e3",
        "config.type",
        "decimal digits",
    ),
    (
        "N09 sign",
        "egress",
        "FRONTDESK_EGRESS_MAX_IN_FLIGHT",
        "-1",
        "config.type",
        "decimal digits",
    ),
    (
        "N09 range",
        "egress",
        "FRONTDESK_EGRESS_MESSAGES_PER_SECOND",
        "1001",
        "config.range",
        "1 to 1000",
    ),
    (
        "N10 unit",
        "ingress",
        "FRONTDESK_INGRESS_BODY_TIMEOUT",
        "5",
        "config.type",
        "`5s`",
    ),
    (
        "N10 sign",
        "ingress",
        "FRONTDESK_INGRESS_BODY_TIMEOUT",
        "-1s",
        "config.type",
        "`5s`",
    ),
    (
        "N10 parsecs",
        "ingress",
        "FRONTDESK_INGRESS_BODY_TIMEOUT",
        "5 parsecs",
        "config.type",
        "`5s`",
    ),
    (
        "N10 range",
        "ingress",
        "FRONTDESK_INGRESS_BODY_TIMEOUT",
        "2h",
        "config.range",
        "1s to 1m",
    ),
    (
        "N11 unit",
        "ingress",
        "FRONTDESK_INGRESS_MAX_WAITING_BYTES",
        "4Mb",
        "config.type",
        "`4MiB`",
    ),
    (
        "N11 none",
        "ingress",
        "FRONTDESK_INGRESS_MAX_WAITING_BYTES",
        "4194304",
        "config.type",
        "`4MiB`",
    ),
    (
        "N12 yes",
        "billing",
        "FRONTDESK_GRPC_REFLECTION",
        "yes",
        "config.type",
        "`true` or `false`",
    ),
    (
        "N12 1",
        "billing",
        "FRONTDESK_GRPC_REFLECTION",
        "1",
        "config.type",
        "`true` or `false`",
    ),
    (
        "N12 TRUE",
        "billing",
        "FRONTDESK_GRPC_REFLECTION",
        "TRUE",
        "config.type",
        "`true` or `false`",
    ),
    (
        "N13 0",
        "billing",
        "FRONTDESK_GRPC_LISTEN",
        "0.0.0.0:0",
        "config.port",
        "1 to 65535",
    ),
    (
        "N13 65536",
        "billing",
        "FRONTDESK_GRPC_LISTEN",
        "0.0.0.0:65536",
        "config.format",
        "1 to 65535",
    ),
    (
        "N13 -1",
        "billing",
        "FRONTDESK_GRPC_LISTEN",
        "0.0.0.0:-1",
        "config.format",
        "1 to 65535",
    ),
    (
        "N13 http",
        "billing",
        "FRONTDESK_GRPC_LISTEN",
        "0.0.0.0:http",
        "config.format",
        "1 to 65535",
    ),
    (
        "N13 none",
        "billing",
        "FRONTDESK_GRPC_LISTEN",
        "0.0.0.0",
        "config.format",
        "no port",
    ),
    (
        "N13 scheme",
        "billing",
        "FRONTDESK_GRPC_LISTEN",
        "http://0.0.0.0:1",
        "config.format",
        "host:port",
    ),
    (
        "N15",
        "billing",
        "FRONTDESK_ADMIN_LISTEN",
        "127.0.0.1:50051",
        "config.port",
        "grpc.listen",
    ),
    (
        "N18 http",
        "ingress",
        "FRONTDESK_REDIS_URL",
        "http://:hunter2hunter2@redis",
        "secret.format",
        "redis://",
    ),
    (
        "N18 host",
        "ingress",
        "FRONTDESK_REDIS_URL",
        "redis://:hunter2hunter2@:6379",
        "secret.format",
        "no host",
    ),
    (
        "N18 @",
        "ingress",
        "FRONTDESK_REDIS_URL",
        "redis://:hunter2@hunter2@redis",
        "secret.format",
        "%40",
    ),
    (
        "N18 /",
        "billing",
        "FRONTDESK_POSTGRES_URL",
        "postgres://u:hunter2/hunter2@db/x",
        "secret.format",
        "%2F",
    ),
    (
        "N18 @ and /",
        "billing",
        "FRONTDESK_POSTGRES_URL",
        "postgres://u:hunter2@hunter2/hunter2@db/x",
        "secret.format",
        "%2F",
    ),
    (
        "N18 database of Redis",
        "ingress",
        "FRONTDESK_REDIS_URL",
        "redis://redis:6379/abc",
        "secret.format",
        "number of the database",
    ),
    (
        "N26 no database",
        "billing",
        "FRONTDESK_POSTGRES_URL",
        "postgres://u:hunter2hunter2@db:5432",
        "secret.format",
        "names no database",
    ),
    (
        "N26 parameter",
        "billing",
        "FRONTDESK_POSTGRES_URL",
        "postgres://u:hunter2hunter2@db/x?sslmode=bogus",
        "secret.format",
        "verify-full",
    ),
    (
        "N18 port",
        "ingress",
        "FRONTDESK_REDIS_URL",
        "redis://redis:99999",
        "secret.format",
        "65535",
    ),
    (
        "N18 two hosts",
        "ingress",
        "FRONTDESK_REDIS_URL",
        "redis://a:1,b:2",
        "secret.format",
        "more than one host",
    ),
    (
        "N26 scheme",
        "billing",
        "FRONTDESK_POSTGRES_URL",
        "mysql://u:hunter2hunter2@db/x",
        "secret.format",
        "postgres://",
    ),
    (
        "N26 text",
        "billing",
        "FRONTDESK_POSTGRES_URL",
        "hunter2hunter2",
        "secret.format",
        "no scheme",
    ),
    (
        "N31 31 digits",
        "ingress",
        "FRONTDESK_INGRESS_APP_SECRETS",
        "0123456789abcdef0123456789abcde",
        "secret.format",
        "32 hexadecimal",
    ),
    (
        "N31 line break",
        "ingress",
        "FRONTDESK_INGRESS_APP_SECRETS",
        "0123456789abcdef\n0123456789abcdef",
        "secret.format",
        "line break",
    ),
    (
        "N31 quotes",
        "ingress",
        "FRONTDESK_INGRESS_APP_SECRETS",
        "\"0123456789abcdef0123456789abcdef\"",
        "secret.format",
        "quotes",
    ),
    (
        "N31 placeholder",
        "ingress",
        "FRONTDESK_INGRESS_APP_SECRETS",
        "changeme",
        "secret.format",
        "placeholder",
    ),
    (
        "N31 x",
        "billing",
        "FRONTDESK_SERVICE_TOKEN",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "secret.format",
        "placeholder",
    ),
    (
        "N32",
        "ingress",
        "FRONTDESK_INGRESS_APP_SECRETS",
        "0123456789abcdef0123456789abcdea,0123456789abcdef0123456789abcdeb,0123456789abcdef0123456789abcdec",
        "secret.count",
        "at most 2",
    ),
    (
        "N32 twice",
        "ingress",
        "FRONTDESK_INGRESS_APP_SECRETS",
        "0123456789abcdef0123456789abcdea,0123456789abcdef0123456789abcdea",
        "secret.format",
        "the same",
    ),
    (
        "N33",
        "ingress",
        "FRONTDESK_INGRESS_VERIFY_TOKEN",
        "a1b2",
        "secret.weak",
        "16",
    ),
    (
        "N33 service",
        "billing",
        "FRONTDESK_SERVICE_TOKEN",
        "short-token-hunter2",
        "secret.weak",
        "32",
    ),
    (
        "N33 shared",
        "billing",
        "FRONTDESK_OPERATOR_TOKEN",
        TOKEN,
        "secret.shared",
        "of its own",
    ),
    (
        "N36 absent",
        "billing",
        "FRONTDESK_OPERATOR_TOKEN_FILE",
        "/nowhere/token",
        "config.file",
        "/nowhere/token",
    ),
    (
        "N37",
        "billing",
        "FRONTDESK_SERVICE_TOKEN_FILE",
        "/run/secrets/service_token",
        "secret.twice",
        "one of the two",
    ),
    (
        "N41",
        "billing",
        "FRONTDESK_DEVELOPMENT_TOKENS",
        "true",
        "secret.weak",
        "CreateAccessToken",
    ),
    (
        "N46 http",
        "egress",
        "FRONTDESK_GRAPH_URL",
        "http://graph.facebook.com",
        "graph.url",
        "https",
    ),
    (
        "N46 path",
        "egress",
        "FRONTDESK_GRAPH_URL",
        "https://graph.facebook.com/v24.0",
        "config.format",
        "path",
    ),
    (
        "N46 private",
        "egress",
        "FRONTDESK_GRAPH_URL",
        "https://10.0.0.8",
        "graph.url",
        "public",
    ),
    (
        "N46 text",
        "templates",
        "FRONTDESK_GRAPH_URL",
        "graph.facebook.com",
        "config.format",
        "URL",
    ),
    (
        "N47 v1.0",
        "egress",
        "FRONTDESK_GRAPH_VERSION",
        "v1.0",
        "config.format",
        "v24.0",
    ),
    (
        "N47 24",
        "egress",
        "FRONTDESK_GRAPH_VERSION",
        "24",
        "config.format",
        "vNN.N",
    ),
    (
        "N49",
        "billing",
        "FRONTDESK_POSTGRES_CONNECTIONS",
        "0",
        "config.range",
        "2 to 500",
    ),
    (
        "N49 many",
        "billing",
        "FRONTDESK_POSTGRES_CONNECTIONS",
        "1000000",
        "config.range",
        "2 to 500",
    ),
    (
        "N51 call",
        "egress",
        "FRONTDESK_EGRESS_HTTP_TIMEOUT",
        "55s",
        "config.inequality",
        "conversations.attempt_seconds (60)",
    ),
    (
        "N51 attempt",
        "egress",
        "FRONTDESK_CONVERSATIONS_ATTEMPT_SECONDS",
        "35",
        "config.inequality",
        "egress.http_timeout",
    ),
    (
        "N51 desk",
        "routing",
        "FRONTDESK_ROUTING_HEARTBEAT",
        "20s",
        "config.range",
        "30s",
    ),
    (
        "N56 level",
        "billing",
        "FRONTDESK_TELEMETRY_LOG",
        "verbose",
        "config.format",
        "not a level",
    ),
    (
        "N56 typo",
        "billing",
        "FRONTDESK_TELEMETRY_LOG",
        "svc_billing=debgu,info",
        "config.format",
        "`debug`",
    ),
    (
        "N56 syntax",
        "billing",
        "FRONTDESK_TELEMETRY_LOG",
        "svc billing=debug",
        "config.format",
        "module=level",
    ),
    (
        "N61 name",
        "billing",
        "FRONTDESK_DURABILITY_PROFILE",
        "D",
        "config.value",
        "`A` or `B` or `C`",
    ),
    (
        "environment",
        "billing",
        "FRONTDESK_ENVIRONMENT",
        "prod",
        "config.value",
        "`production`",
    ),
    (
        "advertise",
        "billing",
        "FRONTDESK_GRPC_ADVERTISE",
        "http://0.0.0.0:50051",
        "config.value",
        "nobody",
    ),
    (
        "instance",
        "billing",
        "FRONTDESK_INSTANCE",
        "pod 7",
        "config.format",
        "letters",
    ),
    (
        "peer",
        "billing",
        "FRONTDESK_PEERS_ACCOUNTS",
        "accounts:50051",
        "config.format",
        "http",
    ),
    (
        "collector",
        "billing",
        "FRONTDESK_TELEMETRY_OTLP_ENDPOINT",
        "otel:4317",
        "config.format",
        "http",
    ),
];

#[test]
fn variables_that_cannot_be_used_are_named_with_the_remedy() {
    for (case, role, name, value, code, said) in VARIABLES {
        let outcome = read(role, with(role, &[(name, value)]), None);
        let problem = only(&outcome, case);
        assert_eq!(problem.code, *code, "{case}: {problem}");
        let text = problem.to_string();
        let json = serde_json::to_string(&problem).unwrap();
        for shown in [&text, &json] {
            assert!(
                !shown.contains("hunter2"),
                "{case}: a secret is shown: {shown}"
            );
            assert!(
                !shown.contains("0123456789abcdef"),
                "{case}: a secret is shown: {shown}"
            );
        }
        assert!(text.contains(said), "{case}: {text}");
        let of_pair = matches!(*code, "config.inequality" | "config.port");
        let env = name.strip_suffix("_FILE").unwrap_or(name);
        assert!(of_pair || text.contains(env), "{case}: {text}");
        assert!(!problem.remedy.is_empty(), "{case}");
    }
}

/// Case, role, content of the file, code, what the message says.
const FILES: &[(&str, &str, &str, &str, &str)] = &[
    (
        "N04",
        "billing",
        "[grpc]\n\nlistn = \"0.0.0.0:1\"\n",
        "config.unknown_key",
        ":3] `grpc.listen`",
    ),
    (
        "N04 table",
        "billing",
        "[grcp]\nlisten = \"0.0.0.0:1\"\n",
        "config.unknown_key",
        ":2] `grpc.listen`",
    ),
    (
        "N04 dash",
        "conversations",
        "[peers]\nflow-runner = \"http://f:1\"\n",
        "config.unknown_key",
        ":2] `peers.flow_runner`",
    ),
    (
        "N04 list",
        "billing",
        "[[grpc]]\nlisten = \"0.0.0.0:1\"\n",
        "config.unknown_key",
        ":1]",
    ),
    (
        "N04 no file",
        "billing",
        "instance_file = \"/x\"\n",
        "config.unknown_key",
        "instance",
    ),
    (
        "N07 syntax",
        "billing",
        "instance = \n",
        "config.syntax",
        "line 1, column",
    ),
    (
        "N07 twice",
        "billing",
        "instance = \"a\"\ninstance = \"b\"\n",
        "config.syntax",
        "line 2",
    ),
    (
        "N09 text",
        "billing",
        "[postgres]\nconnections = \"8\"\n",
        "config.type",
        ":2] number without quotes",
    ),
    (
        "N09 hex",
        "billing",
        "[postgres]\nconnections = 0x10\n",
        "config.type",
        "`0x10`",
    ),
    (
        "N09 float",
        "billing",
        "[postgres]\nconnections = 8.5\n",
        "config.type",
        "`8.5`",
    ),
    (
        "N10 number",
        "billing",
        "[shutdown]\ndrain = 20\n",
        "config.type",
        "the number 20 text in quotes",
    ),
    (
        "N12 text",
        "billing",
        "[grpc]\nreflection = \"true\"\n",
        "config.type",
        "without quotes",
    ),
    (
        "N12 number",
        "billing",
        "[grpc]\nreflection = 1\n",
        "config.type",
        "without quotes",
    ),
    (
        "N18 number",
        "billing",
        "[operator]\ntoken = 123412341234\n",
        "config.type",
        "12 characters",
    ),
    (
        "N37",
        "billing",
        "[operator]\ntoken = \"a\"\ntoken_file = \"/b\"\n",
        "secret.twice",
        ":2 :3",
    ),
    (
        "type of path",
        "billing",
        "[operator]\ntoken_file = 5\n",
        "config.type",
        "path",
    ),
    (
        "date",
        "billing",
        "instance = 2026-11-22\n",
        "config.type",
        "a date",
    ),
];

#[test]
fn files_that_cannot_be_used_are_named_with_line_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    for (case, role, content, code, said) in FILES {
        let path = folder.path().join("frontdesk.toml");
        std::fs::write(&path, content).unwrap();
        let problem = only(&read(role, good(role), Some(path)), case);
        assert_eq!(problem.code, *code, "{case}: {problem}");
        let text = problem.to_string();
        for part in said.split_whitespace() {
            assert!(text.contains(part), "{case}: `{part}` is not in: {text}");
        }
        assert!(!text.contains("123412341234"), "{case}: {text}");
    }
}

#[test]
fn what_is_no_plain_file_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("latin"), b"instance = \"caf\xe9\"\n").unwrap();
    std::fs::File::create(path("large"))
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(path("fifo"))
        .status()
        .unwrap();
    assert!(fifo.success());
    let cases: [(&str, &Path, &str, &str); 6] = [
        ("N06 absent", &path("absent"), "config.file", "cannot read"),
        ("N06 folder", folder.path(), "config.file", "directory"),
        ("N06 encoding", &path("latin"), "config.file", "UTF-8"),
        ("N08 large", &path("large"), "config.size", "1048576"),
        (
            "N08 device",
            Path::new("/dev/zero"),
            "config.size",
            "regular",
        ),
        ("N08 pipe", &path("fifo"), "config.size", "regular"),
    ];
    for (case, file, code, said) in cases {
        let problem = only(
            &read("billing", good("billing"), Some(file.to_owned())),
            case,
        );
        assert_eq!(problem.code, code, "{case}: {problem}");
        let text = problem.to_string();
        assert!(
            text.contains(said) && text.contains(&*file.to_string_lossy()),
            "{case}: {text}"
        );
    }
    // A byte-order mark is no mistake.
    std::fs::write(path("bom"), "\u{feff}instance = \"marked\"\n").unwrap();
    let outcome = read("billing", good("billing"), Some(path("bom")));
    assert_eq!(outcome.settings.text("instance").unwrap(), "marked");
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frontdesk.toml");
    let text = "instance = \"from-file\"\n[postgres]\nconnections = 1_0\n[grpc]\nlisten = \"[::1]:7\"\n\
                [service]\ntoken = [\"a-new-token-of-more-than-32-characters\"]\n[billing]\n";
    std::fs::write(&path, text).unwrap();
    let mut env = with(
        "billing",
        &[
            ("FRONTDESK_INSTANCE", "from-env"),
            ("FRONTDESK_GRPC_LISTEN", ""),
        ],
    );
    env.retain(|(name, _)| name != "FRONTDESK_SERVICE_TOKEN");
    let outcome = read("billing", env, Some(path));
    assert!(
        outcome.problems.is_empty(),
        "{}",
        explain("billing", &outcome.problems)
    );
    let settings = &outcome.settings;
    assert_eq!(settings.text("instance").unwrap(), "from-env");
    assert_eq!(settings.number("postgres.connections").unwrap(), 10);
    // An empty variable is the same as none.
    assert_eq!(settings.text("grpc.listen").unwrap(), "[::1]:7");
    assert_eq!(settings.text("admin.listen").unwrap(), "0.0.0.0:9090");
    assert_eq!(
        settings.list("service.token"),
        ["a-new-token-of-more-than-32-characters"]
    );
    // N05
    assert_eq!(outcome.overridden, ["instance"]);
    // N11: both units, shown in bytes.
    for (text, bytes) in [("4MiB", 4 << 20), ("4MB", 4_000_000)] {
        let env = with("ingress", &[("FRONTDESK_INGRESS_MAX_WAITING_BYTES", text)]);
        let settings = read("ingress", env, None).settings;
        assert_eq!(settings.number("ingress.max_waiting_bytes").unwrap(), bytes);
        assert!(
            settings.line().contains(&format!("({bytes} bytes)")),
            "{}",
            settings.line()
        );
    }
}

#[test]
fn secrets_in_files_are_read_without_their_line_break_and_must_not_be_everybodys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    let mode =
        |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let mut env = good("billing");
    env.retain(|(name, _)| name != "FRONTDESK_SERVICE_TOKEN");
    env.push(("FRONTDESK_SERVICE_TOKEN_FILE".into(), path.clone().into()));
    mode(0o440);
    let outcome = read("billing", env.clone(), None);
    assert!(
        outcome.problems.is_empty(),
        "{}",
        explain("billing", &outcome.problems)
    );
    assert_eq!(outcome.settings.list("service.token"), [TOKEN]);
    // N36: a mistake in production, a warning in development.
    mode(0o444);
    assert_eq!(
        only(&read("billing", env.clone(), None), "N36").code,
        "secret.readable"
    );
    env.push(("FRONTDESK_ENVIRONMENT".into(), "development".into()));
    let outcome = read("billing", env.clone(), None);
    assert!(outcome.problems.is_empty());
    assert_eq!(outcome.warnings[0].code, "secret.readable");
    std::fs::write(&path, "\n").unwrap();
    assert_eq!(
        only(&read("billing", env, None), "N02 file").code,
        "config.missing"
    );
}

#[test]
fn values_that_are_no_text_are_named_only() {
    // N73
    let mut env = good("ingress");
    env.retain(|(name, _)| name != "FRONTDESK_REDIS_URL");
    env.push((
        "FRONTDESK_REDIS_URL".into(),
        OsString::from_vec(b"redis://hunter2\xff".to_vec()),
    ));
    let outcome = read("ingress", env, None);
    let codes: Vec<&str> = outcome
        .problems
        .iter()
        .map(|problem| problem.code)
        .collect();
    assert!(codes.contains(&"config.encoding"), "{codes:?}");
    let text = explain("ingress", &outcome.problems);
    assert!(
        text.contains("FRONTDESK_REDIS_URL") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn production_refuses_root_and_the_sandbox_and_development_allows_what_is_weak() {
    let sources = |env| Sources {
        file: None,
        env,
        other_variables: OTHER_VARIABLES,
    };
    let root = Machine {
        root: true,
        open_files: Some(256),
        ..machine()
    };
    // N67, N65
    let outcome = read_from(Some("billing"), &sources(good("billing")), &root);
    assert_eq!(only(&outcome, "N67").code, "process.root");
    assert_eq!(outcome.warnings[0].code, "process.files");
    let sandbox = with("billing", &[("FRONTDESK_SANDBOX_VERIFY_TOKEN", "word")]);
    let outcome = read_from(Some("sandbox"), &sources(sandbox), &machine());
    assert_eq!(only(&outcome, "sandbox").code, "config.environment");
    let weak = [
        ("FRONTDESK_ENVIRONMENT", "development"),
        ("FRONTDESK_SERVICE_TOKEN", "svc"),
        ("FRONTDESK_INGRESS_APP_SECRETS", "dev-app-secret"),
        ("FRONTDESK_INGRESS_VERIFY_TOKEN", "dev"),
        ("FRONTDESK_GRPC_LISTEN", "127.0.0.1:0"),
        ("FRONTDESK_DEVELOPMENT_TOKENS", "true"),
    ];
    let outcome = read_from(Some("ingress"), &sources(with("ingress", &weak)), &root);
    assert!(
        outcome.problems.is_empty(),
        "{}",
        explain("ingress", &outcome.problems)
    );
    let egress = with(
        "egress",
        &[
            ("FRONTDESK_ENVIRONMENT", "development"),
            ("FRONTDESK_GRAPH_URL", "http://127.0.0.1:8090"),
        ],
    );
    let outcome = read_from(Some("egress"), &sources(egress), &root);
    assert!(
        outcome.problems.is_empty(),
        "{}",
        explain("egress", &outcome.problems)
    );
}

#[test]
fn without_a_role_the_check_asks_for_what_serving_customers_needs() {
    let sources = |env| Sources {
        env,
        other_variables: OTHER_VARIABLES,
        ..Default::default()
    };
    let every = [good("egress"), good("ingress")].concat();
    let outcome = read_from(None, &sources(every.clone()), &machine());
    assert!(
        outcome.problems.is_empty(),
        "{}",
        explain("it", &outcome.problems)
    );
    let root = Machine {
        root: true,
        ..machine()
    };
    let outcome = read_from(None, &sources(every.clone()), &root);
    assert_eq!(only(&outcome, "root").code, "process.root");
    // What is there for the sandbox must be right all the same.
    let secret = (
        "FRONTDESK_SANDBOX_APP_SECRET".into(),
        "one,two,three".into(),
    );
    let outcome = read_from(None, &sources([every, vec![secret]].concat()), &machine());
    assert_eq!(only(&outcome, "sandbox").code, "secret.count");
    let outcome = read_from(None, &sources(good("billing")), &machine());
    let names = outcome.problems.iter().filter_map(|it| it.key.as_deref());
    let missing = ["redis.url", "ingress.app_secrets", "ingress.verify_token"];
    assert_eq!(names.collect::<Vec<_>>(), missing);
}

#[test]
fn the_file_with_ingress_two_app_secrets_serves_seed_too() {
    let env = [
        ("FRONTDESK_OPERATOR_TOKEN", TOKEN),
        ("FRONTDESK_SANDBOX_APP_SECRET", "new,old"),
    ];
    let env = env.map(|(name, value)| (name.into(), value.into()));
    let outcome = read("seed", env.to_vec(), None);
    assert_eq!(outcome.settings.list("sandbox.app_secret"), ["new", "old"]);
}

#[test]
fn what_is_odd_but_works_is_a_warning() {
    // N19, N47, N57, and options of `frontdesk dev`.
    let env = with(
        "egress",
        &[
            ("FRONTDESK_GRAPH_VERSION", "v23.0"),
            ("FRONTDESK_TELEMETRY_LOG", "svc_egress=trace,info"),
            ("FRONTDESK_LOG", "debug"),
            ("FRONTDESK_SHUTDOWN_DRAIN", "60s"),
        ],
    );
    let outcome = read("egress", env, None);
    assert!(
        outcome.problems.is_empty(),
        "{}",
        explain("egress", &outcome.problems)
    );
    let codes: Vec<&str> = outcome
        .warnings
        .iter()
        .map(|warning| warning.code)
        .collect();
    assert_eq!(
        codes,
        [
            "config.inequality",
            "graph.untested",
            "telemetry.trace",
            "config.dev_option"
        ]
    );
}

#[test]
fn mistakes_are_told_all_at_once() {
    let env = with(
        "egress",
        &[
            ("FRONTDESK_GRPC_LISTEN", "nowhere"),
            ("FRONTDESK_EGRESS_MESSAGES_PER_SECOND", "many"),
            ("FRONTDESK_REDIS_ULR", "x"),
            ("FRONTDESK_GRAPH_VERSION", "24"),
            ("FRONTDESK_POSTGRES_URL", ""),
        ],
    );
    let outcome = read("egress", env, None);
    assert_eq!(outcome.problems.len(), 5);
    let text = explain("egress", &outcome.problems);
    assert!(
        text.starts_with("5 mistakes in the settings of egress"),
        "{text}"
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_example_file_is_the_table_and_can_be_read() {
    let committed = std::fs::read_to_string(root().join("deploy/frontdesk.example.toml")).unwrap();
    let printed = example::toml(&table());
    assert!(
        committed == printed,
        "run `frontdesk config example > deploy/frontdesk.example.toml`"
    );
    // With every comment sign before a key removed it is a file that can be read, and knows every key.
    let mut uncommented = String::new();
    for line in printed.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let name = bare.split(" = ").next().unwrap_or_default();
        let is_key =
            bare.contains(" = ") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let keep = line.starts_with('[') || (is_key && !name.ends_with("_file"));
        uncommented.push_str(if keep { bare } else { "" });
        uncommented.push('\n');
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frontdesk.toml");
    std::fs::write(&path, uncommented).unwrap();
    let sources = Sources {
        file: Some(path),
        env: Vec::new(),
        other_variables: OTHER_VARIABLES,
    };
    let outcome = read_from(None, &sources, &machine());
    // All that is wrong with it are the secrets, which are placeholders.
    for problem in &outcome.problems {
        assert!(problem.code.starts_with("secret."), "{problem}");
    }
    for key in table() {
        let refused = outcome
            .problems
            .iter()
            .any(|p| p.key.as_deref() == Some(key.name));
        let read = outcome.settings.get(key.name).is_some();
        assert!(read || refused || key.used_by.is_empty(), "{}", key.name);
    }
}

#[test]
fn the_documented_table_is_the_table() {
    let text = std::fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let table = example::markdown(&table());
    assert!(
        text.contains(&table),
        "put the output of `frontdesk config keys --markdown` into docs/OPERATIONS.md"
    );
}

#[test]
fn keys_and_variables_are_unambiguous_and_defaults_are_right() {
    let table = table();
    let mut seen = std::collections::BTreeSet::new();
    for key in &table {
        for name in [Some(key.env()), key.env_file()].into_iter().flatten() {
            assert!(seen.insert(name.clone()), "{name} is two things");
            assert!(!OTHER_VARIABLES.contains(&name.as_str()), "{name}");
        }
        assert!(
            !key.doc.is_empty() && !key.example.is_empty(),
            "{}",
            key.name
        );
        let used = key.needed_by.iter().all(|role| key.used_by.contains(role));
        assert!(used, "{} is needed by who does not read it", key.name);
    }
    let names = Role::ALL.map(Role::name);
    assert_eq!(names.as_slice(), super::table::ROLES);
}
