//! Every metric that a dashboard or an alert names is there in a running installation, and a
//! conversation shows in the numbers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lib_proto::common::{ContactIdentity, Content, Text, content};
use lib_proto::sandbox::SendFromPhoneRequest;
use lib_proto::sandbox::phone_service_client::PhoneServiceClient;
use tests::process::{Addresses, Frontdesk};
use tests::webhook::NUMBER;

/// How often, and how far apart, the numbers are read until they tell of the conversation.
const TRIES: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(200);
/// How a metric's name begins.
const PREFIXES: [&str; 2] = ["frontdesk_", "process_"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)));
    ours.map(str::to_owned).collect()
}

/// The names that dashboards, links between data sources and alerts ask for.
fn asked_for() -> BTreeSet<String> {
    let boards = std::fs::read_dir(deploy().join("grafana/dashboards")).unwrap();
    let mut files: Vec<PathBuf> = boards.map(|file| file.unwrap().path()).collect();
    files.push(deploy().join("prometheus/alerts.yml"));
    files.push(deploy().join("grafana/provisioning/datasources/datasources.yaml"));
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap());
    texts.flat_map(|text| names(&text)).collect()
}

/// What the installation shows, and what kind it says its answer is.
async fn scrape(at: &Addresses) -> (String, String) {
    let client = lib_platform::outbound::client(Duration::from_secs(5)).unwrap();
    let url = format!("http://{}/metrics", at.admin);
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    (answer.text().await.unwrap(), kind)
}

/// The names of all samples; comments do not count.
fn shown(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let names = samples.filter_map(|line| line.split(['{', ' ']).next());
    names.map(str::to_owned).collect()
}

/// The value of a sample without exemplar, by name and labels as they are written.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0.0, |rest| rest.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dashboards_and_alerts_ask_for_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let process = Frontdesk::start(folder.path(), &Addresses::free(), &[]);
    let text = Text {
        body: "Hi".to_owned(),
        preview_url: false,
    };
    let request = SendFromPhoneRequest {
        customer: Some(ContactIdentity {
            phone: "16505550178".to_owned(),
            ..Default::default()
        }),
        number_id: NUMBER.into(),
        content: Some(Content {
            content: Some(content::Content::Text(text)),
        }),
        ..Default::default()
    };
    let mut phone = PhoneServiceClient::new(process.at.channel("admin"));
    phone.send_from_phone(request).await.unwrap();

    let asked_for = asked_for();
    assert!(asked_for.len() > 40, "{asked_for:?}");
    let mut last = String::new();
    let mut told = None;
    for _ in 0..TRIES {
        let (text, kind) = scrape(&process.at).await;
        let missing: Vec<String> = asked_for.difference(&shown(&text)).cloned().collect();
        let received = value(&text, "frontdesk_messages_received_total{}");
        let accepted = value(&text, "frontdesk_sends_total{outcome=\"accepted\"}");
        if missing.is_empty() && received >= 1.0 && accepted >= 1.0 {
            told = Some((text, kind));
            break;
        }
        last = format!("missing: {missing:?}; received {received}, accepted {accepted}");
        tokio::time::sleep(BETWEEN).await;
    }
    let (text, kind) = told.unwrap_or_else(|| panic!("{last}"));
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(text.ends_with("# EOF\n"));
    // Nobody can be told from the numbers.
    for secret in ["16505550178", "tenant"] {
        let leak = text
            .lines()
            .find(|line| !line.starts_with('#') && line.contains(secret));
        assert_eq!(leak, None);
    }
    assert!(process.stop().success());
}
