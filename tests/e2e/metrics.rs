//! Every metric that a dashboard or an alert names is there in a running installation, with the
//! labels it is asked by, and a conversation shows in the numbers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::conversation::{Customer, desk, talk};
use crate::installation::{Installation, LOOK, PATIENCE, Scrape};
use crate::series::{self, Op, Question, Selector, Series};

/// How a metric's name begins.
const PREFIXES: [&str; 2] = ["frontdesk_", "process_"];
/// Labels that Prometheus gives to all it reads (`deploy/prometheus/prometheus.yml`).
const OF_PROMETHEUS: [&str; 3] = ["job", "instance", "role"];
/// Codes of calls that fail. Which of them are seen depends on what goes wrong; how they are spelt
/// does not.
const RPC_CODES: [&str; 16] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)));
    ours.map(str::to_owned).collect()
}

/// Dashboards, links between data sources and alerts, as they are read.
fn files() -> Vec<Value> {
    let boards = std::fs::read_dir(deploy().join("grafana/dashboards")).unwrap();
    let mut files: Vec<PathBuf> = boards.map(|file| file.unwrap().path()).collect();
    files.push(deploy().join("prometheus/alerts.yml"));
    files.push(deploy().join("grafana/provisioning/datasources/datasources.yaml"));
    // JSON is YAML.
    let read = |file: PathBuf| std::fs::read_to_string(file).unwrap();
    let texts = files.into_iter().map(read);
    texts
        .map(|text| serde_yaml_ng::from_str(&text).unwrap())
        .collect()
}

/// Every text in a document that asks for one of our metrics.
fn expressions(document: &Value, found: &mut BTreeSet<String>) {
    match document {
        Value::String(text) if !names(text).is_empty() => {
            found.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| expressions(field, found)),
        _ => {}
    }
}

/// All that dashboards, links and alerts ask for.
struct Wanted {
    names: BTreeSet<String>,
    questions: Vec<Question>,
}

impl Wanted {
    fn read() -> Self {
        let mut found = BTreeSet::new();
        for document in files() {
            expressions(&document, &mut found);
        }
        let names: BTreeSet<String> = found.iter().flat_map(|text| names(text)).collect();
        assert!(names.len() > 40, "{names:?}");
        let questions = found.iter().map(|text| series::question(text, &PREFIXES));
        let questions: Vec<Question> = questions.collect();
        let selectors = questions.iter().flat_map(|question| &question.selectors);
        let matchers: usize = selectors.map(|selector| selector.matchers.len()).sum();
        assert!(matchers > 30, "{questions:?}");
        Self { names, questions }
    }
}

/// What is seen, with the labels that Prometheus adds.
fn seen(scrapes: &[Scrape]) -> Vec<Series> {
    let mut all = Vec::new();
    for scrape in scrapes {
        for mut series in series::read(&scrape.text) {
            let own = scrape.role.map(|role| ("role".to_owned(), role.to_owned()));
            let job = ("job".to_owned(), "frontdesk".to_owned());
            series.labels.extend(own.into_iter().chain([job]));
            all.push(series);
        }
    }
    all
}

fn sum(seen: &[Series], name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted = |series: &&Series| {
        let mut labels = labels.iter();
        series.name == name
            && labels.all(|(label, value)| series.labels.get(*label).is_some_and(|v| v == value))
    };
    seen.iter().filter(wanted).map(|series| series.value).sum()
}

/// Whether a value that nothing has brought about yet is at least one that can come.
fn comes_with_trouble(selector: &Selector, label: &str, value: &str) -> bool {
    match (selector.name.as_str(), label) {
        ("frontdesk_rpc_requests_total", "code") => RPC_CODES.contains(&value),
        ("frontdesk_http_requests_total", "code") => value == "5..",
        // The statuses of Meta's that a template has not got yet.
        ("frontdesk_templates", "status") => ["PAUSED", "DISABLED"].contains(&value),
        _ => false,
    }
}

/// What is wrong with the labels by which `selector` asks.
fn wrong_labels(selector: &Selector, seen: &[Series]) -> Vec<String> {
    let mut wrong = Vec::new();
    let own: Vec<&Series> = seen
        .iter()
        .filter(|series| series.name == selector.name)
        .collect();
    for (label, op, text) in &selector.matchers {
        let values: BTreeSet<&String> = own
            .iter()
            .filter_map(|series| series.labels.get(label))
            .collect();
        if values.is_empty() {
            wrong.push(format!("{} has no label {label}", selector.name));
            continue;
        }
        let alternatives: Vec<&str> = match op {
            Op::Is | Op::IsNot => vec![text.as_str()],
            Op::Like | Op::Unlike => text.split('|').collect(),
        };
        for value in alternatives {
            let is_variable = value.starts_with('$');
            let is_seen = values.iter().any(|seen| series::matches(value, seen));
            if !is_variable && !is_seen && !comes_with_trouble(selector, label, value) {
                wrong.push(format!(
                    "{}: {label} is never {value}, but {values:?}",
                    selector.name
                ));
            }
        }
    }
    wrong
}

/// What is wrong with the labels of an expression.
fn wrong_question(question: &Question, seen: &[Series]) -> Vec<String> {
    let selectors = &question.selectors;
    let mut wrong: Vec<String> = selectors
        .iter()
        .flat_map(|selector| wrong_labels(selector, seen))
        .collect();
    for label in &question.grouped_by {
        let has_it = |series: &Series| {
            let is_asked = selectors
                .iter()
                .any(|selector| selector.name == series.name);
            is_asked && series.labels.contains_key(label)
        };
        if !OF_PROMETHEUS.contains(&label.as_str()) && !seen.iter().any(has_it) {
            let names: Vec<&String> = selectors.iter().map(|selector| &selector.name).collect();
            wrong.push(format!("nothing of {names:?} has a label {label}"));
        }
    }
    wrong
}

/// What is asked for and is not shown, by name or by label. By label on a stage only: roles are
/// Prometheus' to tell, and the all-in-one process has none.
fn not_shown(installation: &Installation, wanted: &Wanted, seen: &[Series]) -> Vec<String> {
    let shown = seen.iter().map(|series| series.name.clone()).collect();
    let missing = wanted.names.difference(&shown);
    let mut problems: Vec<String> = missing.map(|name| format!("{name} is missing")).collect();
    if matches!(installation, Installation::Stage(_)) {
        let wrong = wanted.questions.iter();
        problems.extend(wrong.flat_map(|question| wrong_question(question, seen)));
    }
    for (name, labels) in [
        ("frontdesk_messages_received_total", &[][..]),
        ("frontdesk_sends_total", &[("outcome", "accepted")][..]),
    ] {
        if sum(seen, name, labels) < 1.0 {
            problems.push(format!("{name} does not tell of a conversation"));
        }
    }
    problems
}

/// What dashboards and alerts ask for is there, once `customer` (digits) has been served.
pub(crate) async fn what_is_asked_for_is_shown(installation: &Installation, customer: &str) {
    let wanted = Wanted::read();
    let since = Instant::now();
    // What is counted at the end of something comes a little later than its effect.
    let scrapes = loop {
        let scrapes = installation.scrape().await;
        let problems = not_shown(installation, &wanted, &seen(&scrapes));
        if problems.is_empty() {
            break scrapes;
        }
        assert!(since.elapsed() < PATIENCE, "{}", problems.join("\n"));
        tokio::time::sleep(LOOK).await;
    };
    for Scrape { kind, text, .. } in &scrapes {
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        assert!(text.ends_with("# EOF\n"));
        // Nobody can be told from the numbers.
        for secret in [customer, "tenant"] {
            let leak = text
                .lines()
                .find(|line| !line.starts_with('#') && line.contains(secret));
            assert_eq!(leak, None);
        }
    }
}

#[test]
fn what_dashboards_and_alerts_ask_for_is_there() {
    let installation = Installation::dev();
    let customer = Customer::number(1);
    let mut ana = desk(installation.access(), "ana");
    talk(installation.access(), &mut ana, &customer, |_| {});
    drop(ana);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(what_is_asked_for_is_shown(&installation, &customer.phone));
    installation.stop();
}
