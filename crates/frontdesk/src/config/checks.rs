//! What single settings cannot show: what must fit together, and what production does not allow.

use std::os::unix::fs::MetadataExt as _;

use lib_platform::config::{
    Key, Origin, Outcome, Problem, Settings, Sources, duration_text, shape,
};

/// Version of the Graph API this was tested with.
const TESTED_GRAPH: &str = "v24.0";
/// Fewer open files than this are few for a server.
const FEW_FILES: u64 = 4_096;
/// How much longer an attempt must be than the call inside it, in seconds.
const ATTEMPT_MARGIN: u64 = 10;
/// Most time between SIGTERM and the end, in seconds: Kubernetes kills after 30.
const LONGEST_DRAIN: u64 = 25;
/// Options of `frontdesk dev`, and what a role reads instead.
const DEV_OPTIONS: [(&str, &str); 8] = [
    ("FRONTDESK_HTTP", "FRONTDESK_HTTP_LISTEN"),
    ("FRONTDESK_GRPC", "FRONTDESK_GRPC_LISTEN"),
    (
        "FRONTDESK_MESSAGES_PER_SECOND",
        "FRONTDESK_EGRESS_MESSAGES_PER_SECOND",
    ),
    (
        "FRONTDESK_ATTEMPT_SECONDS",
        "FRONTDESK_CONVERSATIONS_ATTEMPT_SECONDS",
    ),
    (
        "FRONTDESK_QUIET_SECONDS",
        "FRONTDESK_CONVERSATIONS_QUIET_SECONDS",
    ),
    ("FRONTDESK_LOG", "FRONTDESK_TELEMETRY_LOG"),
    ("FRONTDESK_LOG_FORMAT", "FRONTDESK_TELEMETRY_FORMAT"),
    (
        "FRONTDESK_OTLP_ENDPOINT",
        "FRONTDESK_TELEMETRY_OTLP_ENDPOINT",
    ),
];

/// What the machine is like.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Its name.
    pub(super) host_name: String,
    /// Whether this process has all rights.
    pub(super) root: bool,
    /// Most files it may have open.
    pub(super) open_files: Option<u64>,
}

impl Machine {
    /// The one this runs on.
    pub(super) fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let host_name = read("/proc/sys/kernel/hostname").trim().to_owned();
        let limits = read("/proc/self/limits");
        let open_files = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))
            .and_then(|line| line.split_whitespace().next())
            .and_then(|soft| soft.parse().ok());
        Self {
            host_name: if host_name.is_empty() {
                "frontdesk".to_owned()
            } else {
                host_name
            },
            root: std::fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0),
            open_files,
        }
    }
}

/// Looks at all settings together.
pub(super) fn whole(
    table: &[Key],
    role: Option<&str>,
    sources: &Sources,
    machine: &Machine,
    outcome: &mut Outcome,
) {
    let settings = outcome.settings.clone();
    let mut found = Found {
        table,
        settings: &settings,
        outcome,
    };
    let development = settings.text_opt("environment") == Some("development");
    listeners(&mut found, development);
    timing(&mut found);
    tokens(&mut found);
    graph_version(&mut found);
    if !development {
        production(&mut found, role, machine);
        // A warning in development.
        let (readable, rest) = std::mem::take(&mut found.outcome.warnings)
            .into_iter()
            .partition(|w| w.code == "secret.readable");
        found.outcome.warnings = rest;
        found.outcome.problems.extend::<Vec<Problem>>(readable);
    }
    surroundings(&mut found, sources, machine);
    found.outcome.problems.sort_by_key(|problem| {
        let at = table
            .iter()
            .position(|key| problem.key.as_deref() == Some(key.name));
        at.map_or(0, |at| at + 1)
    });
}

struct Found<'a> {
    table: &'a [Key],
    settings: &'a Settings,
    outcome: &'a mut Outcome,
}

impl Found<'_> {
    fn about(&self, name: &str, code: &'static str, problem: impl Into<String>) -> Option<Problem> {
        let key = self.table.iter().find(|key| key.name == name)?;
        let mut problem = Problem::of(key, code, problem);
        if let Some(given) = self.settings.get(name) {
            problem = problem.given(given.shown.clone());
            if given.origin != Origin::Default {
                problem = problem.at(given.origin.to_string());
            }
        }
        Some(problem)
    }

    fn wrong(&mut self, name: &str, code: &'static str, problem: impl Into<String>, remedy: &str) {
        let problem = self
            .about(name, code, problem)
            .map(|problem| problem.remedy(remedy));
        self.outcome.problems.extend(problem);
    }

    fn warn(&mut self, name: &str, code: &'static str, problem: impl Into<String>, remedy: &str) {
        let problem = self
            .about(name, code, problem)
            .map(|problem| problem.remedy(remedy));
        self.outcome.warnings.extend(problem);
    }
}

const LISTENERS: [&str; 3] = ["grpc.listen", "http.listen", "admin.listen"];

fn listeners(found: &mut Found<'_>, development: bool) {
    let settings = found.settings;
    let at = |name: &str| {
        let text = settings.text_opt(name)?;
        let (host, _) = text.rsplit_once(':')?;
        Some((host.to_owned(), shape::port(text)?))
    };
    for (index, name) in LISTENERS.iter().enumerate() {
        let Some((host, port)) = at(name) else {
            continue;
        };
        if port == 0 && !development {
            let remedy = "give a port from 1 to 65535; 0 (any free port) is for development";
            found.wrong(
                name,
                "config.port",
                "port 0 is not a place others can find",
                remedy,
            );
        }
        for other in LISTENERS.iter().skip(index + 1) {
            let Some((other_host, other_port)) = at(other) else {
                continue;
            };
            let wild = |host: &str| matches!(host, "0.0.0.0" | "[::]");
            let same = host == other_host || wild(&host) || wild(&other_host);
            if port == other_port && port != 0 && same {
                let problem = format!("the same address as {name}");
                found.wrong(
                    other,
                    "config.port",
                    problem,
                    "give each listener a port of its own",
                );
            }
        }
    }
    let advertised = settings.text_opt("grpc.advertise").unwrap_or_default();
    if advertised.contains("//0.0.0.0") || advertised.contains("//[::]") {
        let remedy =
            "give the name or address of this replica: http://conversations-0.conversations:50051";
        found.wrong(
            "grpc.advertise",
            "config.value",
            "nobody can call that address",
            remedy,
        );
    }
}

fn timing(found: &mut Found<'_>) {
    let settings = found.settings;
    if let (Ok(timeout), Ok(attempt)) = (
        settings.duration("egress.http_timeout"),
        settings.number("conversations.attempt_seconds"),
    ) && timeout.as_secs() + ATTEMPT_MARGIN > attempt
    {
        let problem = format!(
            "egress.http_timeout ({}) + {ATTEMPT_MARGIN}s must not be more than \
             conversations.attempt_seconds ({attempt}): the outcome of a call could not be stored in time",
            duration_text(timeout)
        );
        found.wrong(
            "egress.http_timeout", "config.inequality", problem,
            "lower egress.http_timeout, or raise conversations.attempt_seconds for conversations and egress alike",
        );
    }
    if let Ok(drain) = settings.duration("shutdown.drain")
        && drain.as_secs() > LONGEST_DRAIN
    {
        let problem = format!(
            "{} is longer than the {LONGEST_DRAIN}s that fit before Kubernetes kills (30 s)",
            duration_text(drain)
        );
        found.warn(
            "shutdown.drain",
            "config.inequality",
            problem,
            "raise terminationGracePeriodSeconds as well",
        );
    }
}

fn tokens(found: &mut Found<'_>) {
    let settings = found.settings;
    for name in ["service.token", "operator.token", "ingress.app_secrets"] {
        if let [one, other] = settings.list(name)
            && one == other
        {
            found.wrong(
                name,
                "secret.format",
                "both values are the same",
                "give one, or two that differ",
            );
        }
    }
    let service = settings.list("service.token");
    if settings
        .list("operator.token")
        .iter()
        .any(|token| service.contains(token))
    {
        found.wrong(
            "operator.token",
            "secret.shared",
            "the same as service.token",
            "give the operator a token of its own",
        );
    }
}

fn graph_version(found: &mut Found<'_>) {
    let version = found.settings.text_opt("graph.version");
    if version.is_some_and(|version| version != TESTED_GRAPH) {
        let problem = format!("this version of Frontdesk was tested with {TESTED_GRAPH}");
        found.warn(
            "graph.version",
            "graph.untested",
            problem,
            "nothing, if Meta's changelog says so",
        );
    }
}

/// What production does not allow.
fn production(found: &mut Found<'_>, role: Option<&str>, machine: &Machine) {
    secrets(found);
    places(found);
    if role == Some("sandbox") {
        found.wrong(
            "environment",
            "config.environment",
            "the sandbox stands in for Meta and belongs in no production",
            "set FRONTDESK_ENVIRONMENT=development, or do not run it",
        );
    }
    if machine.root && role != Some("seed") {
        found.wrong(
            "environment",
            "process.root",
            "running as root",
            "run as another user (the image does), or set FRONTDESK_ENVIRONMENT=development",
        );
    }
    let log = found.settings.text_opt("telemetry.log").unwrap_or_default();
    if log
        .split(',')
        .any(|part| part == "trace" || part.ends_with("=trace"))
    {
        found.warn(
            "telemetry.log",
            "telemetry.trace",
            "`trace` is slow and long",
            "use info, or debug for one module",
        );
    }
}

/// How every remedy ends that a developer need not follow.
const OR_DEVELOPMENT: &str = "(or set FRONTDESK_ENVIRONMENT=development on a developer's machine)";

fn secrets(found: &mut Found<'_>) {
    let (settings, general) = (found.settings, OR_DEVELOPMENT);
    let hex = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for secret in settings.list("ingress.app_secrets") {
        if !hex(secret) {
            let problem = format!(
                "an App Secret has 32 hexadecimal digits; one given has {} characters and is none",
                secret.chars().count()
            );
            let remedy = format!("copy it from the Meta app: App settings, Basic {general}");
            found.wrong("ingress.app_secrets", "secret.format", problem, &remedy);
        }
    }
    let weak = |text: &str, least: usize| text.chars().count() < least;
    if settings
        .text_opt("ingress.verify_token")
        .is_some_and(|token| weak(token, 16))
    {
        let remedy = format!("choose at least 16 characters: openssl rand -hex 16 {general}");
        found.wrong("ingress.verify_token", "secret.weak", "too short", &remedy);
    }
    for name in ["service.token", "operator.token"] {
        if settings.list(name).iter().any(|token| weak(token, 32)) {
            let remedy = format!("choose at least 32 characters: openssl rand -hex 32 {general}");
            found.wrong(name, "secret.weak", "too short", &remedy);
        }
    }
    if settings.flag("development.tokens") {
        found.wrong(
            "development.tokens", "secret.weak", "well-known tokens are for development only",
            "set it to `false`, and make tokens with `frontdesk seed` or AccountService.CreateAccessToken",
        );
    }
}

/// Where messages go.
fn places(found: &mut Found<'_>) {
    let (settings, general) = (found.settings, OR_DEVELOPMENT);
    let graph = settings
        .text_opt("graph.url")
        .unwrap_or("https://graph.facebook.com");
    if !graph.starts_with("https://") || is_private(graph) {
        let remedy = format!("use https://graph.facebook.com {general}");
        found.wrong(
            "graph.url",
            "graph.url",
            "customers' messages go over https to a public address",
            &remedy,
        );
    }
    if settings
        .text_opt("redis.url")
        .is_some_and(|url| !url.starts_with("rediss") && !is_private(url))
    {
        let remedy = "use rediss://, unless the network itself encrypts or is yours alone";
        found.warn(
            "redis.url",
            "tls.absent",
            "messages go to Redis in clear",
            remedy,
        );
    }
}

/// Whether a URL names an address of this machine or of a private network.
fn is_private(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', ',']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(ip)) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        Ok(std::net::IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Err(_) => host == "localhost",
    }
}

fn surroundings(found: &mut Found<'_>, sources: &Sources, machine: &Machine) {
    if let Some(files) = machine.open_files.filter(|files| *files < FEW_FILES) {
        found.outcome.warnings.push(Problem::new(
            "process.files",
            format!("at most {files} open files and connections"),
            format!("raise the limit to {FEW_FILES} or more: ulimit -n, LimitNOFILE"),
        ));
    }
    for (option, instead) in DEV_OPTIONS {
        if sources
            .env
            .iter()
            .any(|(name, value)| name == option && !value.is_empty())
        {
            let mut problem = Problem::new(
                "config.dev_option",
                "an option of `frontdesk dev`; roles do not read it",
                format!("set {instead} for roles"),
            );
            problem.env = Some(option.to_owned());
            found.outcome.warnings.push(problem);
        }
    }
}
