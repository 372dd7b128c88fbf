//! Dashboards and alert rules can be read, and each alert has its entry in the runbook. Whether the
//! metrics they name exist is tested on a running installation (`tests/e2e/metrics.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use super::{files, root};

struct Alert {
    name: String,
    rule: Value,
}

fn alerts() -> Vec<Alert> {
    let text = fs::read_to_string(root().join("deploy/prometheus/alerts.yml")).unwrap();
    let document: Value = serde_yaml_ng::from_str(&text).expect("alerts.yml is YAML");
    let groups = document["groups"].as_array().expect("groups");
    let rules = groups.iter().flat_map(|group| {
        assert!(group["name"].is_string(), "a group without a name");
        group["rules"].as_array().expect("rules").clone()
    });
    let alert = |rule: Value| Alert {
        name: rule["alert"].as_str().expect("alert").to_owned(),
        rule,
    };
    rules.map(alert).collect()
}

/// The entries of the section `## Alerts`, by heading.
fn runbook() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let (_, section) = text.split_once("\n## Alerts\n").expect("a section Alerts");
    let section = section.split("\n## ").next().unwrap();
    let entries = section.split("\n### ").skip(1);
    let entry = |entry: &str| {
        let (name, body) = entry.split_once('\n').expect("an entry has a body");
        (name.trim().to_owned(), body.to_owned())
    };
    entries.map(entry).collect()
}

#[test]
fn each_alert_says_how_bad_it_is_and_has_an_entry_in_the_runbook() {
    let alerts = alerts();
    let entries = runbook();
    let names: BTreeSet<String> = alerts.iter().map(|alert| alert.name.clone()).collect();
    assert_eq!(names.len(), alerts.len(), "two alerts share a name");
    let described: BTreeSet<String> = entries.keys().cloned().collect();
    assert_eq!(names, described, "alerts and runbook entries differ");
    for Alert { name, rule } in alerts {
        assert!(rule["expr"].is_string(), "{name} has no expression");
        let severity = rule["labels"]["severity"].as_str().unwrap_or("none");
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        let summary = rule["annotations"]["summary"].as_str();
        assert!(summary.is_some_and(|text| !text.is_empty()), "{name}");
        let link = format!("docs/OPERATIONS.md#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook"], link.as_str(), "{name}");
    }
    for (name, body) in entries {
        for part in ["**Means.**", "**Customers.**", "**Look at**", "**Do**"] {
            assert!(body.contains(part), "{name} does not say {part}");
        }
    }
}

#[test]
fn what_the_runbook_tells_to_call_and_to_read_exists() {
    let text = fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let contracts: String = files()
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "proto"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '/');
    for call in text.split(word).filter(|word| word.contains("Service/")) {
        let (service, method) = call.split_once('/').unwrap();
        assert!(contracts.contains(&format!("service {service} ")), "{call}");
        assert!(contracts.contains(&format!("rpc {method}(")), "{call}");
    }
    let headings: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches(['#', ' '])
                .to_lowercase()
                .replace(' ', "-")
        })
        .collect();
    for link in text.split("](#").skip(1) {
        let target = link.split(')').next().unwrap();
        assert!(headings.contains(target), "no heading for #{target}");
    }
}

#[test]
fn dashboards_are_whole() {
    let folder = root().join("deploy/grafana/dashboards");
    let mut ids = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.display();
        let text = fs::read_to_string(&path).unwrap();
        let board: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let id = board["uid"].as_str().expect("uid").to_owned();
        assert!(ids.insert(id), "{name}: its uid is another's");
        assert!(board["title"].is_string() && board["schemaVersion"].is_u64());
        let panels = board["panels"].as_array().expect("panels");
        let mut numbers = BTreeSet::new();
        for panel in panels {
            let title = &panel["title"];
            assert!(numbers.insert(panel["id"].as_u64()), "{name}: {title}");
            let place = &panel["gridPos"];
            let edge = place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap();
            assert!(edge <= 24, "{name}: {title} is too wide");
            if panel["type"] == "row" {
                continue;
            }
            assert_eq!(panel["datasource"]["uid"], "prometheus", "{name}: {title}");
            let targets = panel["targets"].as_array().expect("targets");
            assert!(!targets.is_empty(), "{name}: {title} asks nothing");
            for target in targets {
                let expr = target["expr"].as_str().unwrap_or_default();
                assert!(expr.contains('_') || expr.contains("up{"), "{name}: {expr}");
            }
        }
    }
    assert!(ids.len() >= 4, "dashboards are missing: {ids:?}");
    // The panels name alerts; the first answers the question this is all about.
    let text = fs::read_to_string(root().join("deploy/grafana/dashboards/lost-late-stuck.json"));
    let names: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    for named in text.unwrap().split("Runbook: ").skip(1) {
        let named = named.split(['.', '"']).next().unwrap();
        for name in named.split(", ") {
            assert!(names.contains(name), "no alert {name}");
        }
    }
}
