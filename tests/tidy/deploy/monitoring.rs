//! What the operator of a cluster's Prometheus is told: it finds every replica, and its series have the
//! labels that alert rules and dashboards name. Its kind is not Kubernetes' own, so that the schemas do
//! not know it; it is rendered apart from the overlays and checked here.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{at, entries, kind, list, name, read, rendered, text};
use crate::files;

/// The labels a rule of relabelling sets: to which value, or from which label of a pod.
fn relabelled(monitor: &Value) -> Vec<(String, String)> {
    let rules = list(monitor, "spec.podMetricsEndpoints.0.relabelings").iter();
    rules
        .map(|rule| {
            let from = text(rule, "sourceLabels.0");
            let value = from
                .strip_prefix("__meta_kubernetes_pod_label_")
                .unwrap_or(text(rule, "replacement"));
            (text(rule, "targetLabel").to_owned(), value.to_owned())
        })
        .collect()
}

#[test]
fn the_cluster_s_prometheus_gets_the_series_that_rules_and_dashboards_name() {
    let documents = rendered("monitoring");
    let [monitor] = &documents[..] else {
        panic!("one document is expected: {documents:?}");
    };
    assert_eq!(
        (text(monitor, "apiVersion"), kind(monitor)),
        ("monitoring.coreos.com/v1", "PodMonitor")
    );
    let endpoint = at(monitor, "spec.podMetricsEndpoints.0");
    assert_eq!(text(endpoint, "path"), "/metrics");
    // Names of labels have underscores where those of pods have dots and slashes.
    let expected = [("job", "frontdesk"), ("role", "app_kubernetes_io_name")];
    let expected = expected.map(|(label, value)| (label.to_owned(), value.to_owned()));
    assert_eq!(relabelled(monitor), expected);
    let compose = read("deploy/prometheus/prometheus.yml");
    assert!(compose.contains("job_name: frontdesk\n") && compose.contains("target_label: role\n"));
    for overlay in ["base", "overlays/dev"] {
        let documents = rendered(overlay);
        assert!(
            documents
                .iter()
                .all(|document| kind(document) != "PodMonitor"),
            "{overlay}: a cluster without the operator would refuse it"
        );
        for deployment in documents.iter().filter(|d| kind(d) == "Deployment") {
            let pod = at(deployment, "spec.template");
            let namespace = "metadata.namespace";
            assert_eq!(text(monitor, namespace), text(deployment, namespace));
            let labels = at(pod, "metadata.labels");
            for (key, value) in entries(monitor, "spec.selector.matchLabels") {
                assert_eq!(labels.get(key), Some(value), "{}", name(deployment));
            }
            let ports = list(pod, "spec.containers.0.ports");
            let port = text(endpoint, "port");
            assert!(ports.iter().any(|one| text(one, "name") == port));
        }
    }
}

/// Values of `label` that rules and dashboards ask for, as `label="value"`.
fn asked_for(label: &str) -> BTreeSet<String> {
    let texts = files().into_iter().filter(|path| {
        path.ends_with("deploy/prometheus/alerts.yml")
            || path
                .parent()
                .is_some_and(|folder| folder.ends_with("grafana/dashboards"))
    });
    let texts = texts.map(|path| std::fs::read_to_string(path).unwrap().replace("\\\"", "\""));
    let before = format!("{label}=\"");
    texts
        .flat_map(|text| {
            let values = text.split(&before).skip(1);
            let values = values.filter_map(|rest| rest.split('"').next());
            values.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn rules_and_dashboards_name_jobs_and_roles_that_are_there() {
    assert_eq!(asked_for("job"), BTreeSet::from(["frontdesk".to_owned()]));
    let roles: BTreeSet<String> = super::roles().map(str::to_owned).collect();
    let asked_for = asked_for("role");
    assert!(asked_for.len() > 5, "{asked_for:?}");
    let lost: Vec<&String> = asked_for.difference(&roles).collect();
    assert!(lost.is_empty(), "no role is called {lost:?}");
}

#[test]
fn the_rules_become_one_document_by_the_documented_command() {
    // docs/DEPLOYMENT.md writes this head and indents the file by two.
    let deployment = read("docs/DEPLOYMENT.md");
    let head = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: frontdesk}\nspec:\n";
    assert!(deployment.contains(&head.replace('\n', "\\n")));
    assert!(deployment.contains("sed 's/^/  /' deploy/prometheus/alerts.yml"));
    let rules = read("deploy/prometheus/alerts.yml");
    let indented = rules.replace('\n', "\n  ");
    let rule: Value = serde_yaml_ng::from_str(&format!("{head}  {indented}")).unwrap();
    let file: Value = serde_yaml_ng::from_str(&rules).unwrap();
    assert_eq!(rule["spec"], file);
}
