//! The manifests: the schemas of Kubernetes pass them, and every workload is what production needs.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tests::tools;

use super::{
    assert_none, at, documents, entries, image_breach, kind, list, name, printed, rendered,
    rendered_text, roles, text, words,
};

/// What renders, each with its roles' secrets made elsewhere or not.
const OVERLAYS: [&str; 3] = ["base", "overlays/dev", "overlays/production"];
/// Made by whoever runs the cluster (docs/DEPLOYMENT.md).
const SECRETS: [&str; 4] = [
    "frontdesk-service",
    "frontdesk-postgres",
    "frontdesk-redis",
    "frontdesk-meta",
];
/// What the admin port serves to probes.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Whether the document makes pods.
fn is_workload(document: &Value) -> bool {
    matches!(kind(document), "Deployment" | "StatefulSet" | "Job")
}

fn of_kind<'a>(documents: &'a [Value], wanted: &'a str) -> impl Iterator<Item = &'a Value> {
    documents
        .iter()
        .filter(move |document| kind(document) == wanted)
}

fn is_there(documents: &[Value], wanted: &str, called: &str) -> bool {
    of_kind(documents, wanted).any(|document| name(document) == called)
}

/// What is wrong with a workload, whatever it runs.
fn pod_breaches(workload: &Value) -> Vec<String> {
    let pod = at(workload, "spec.template.spec");
    let mut breaches = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            breaches.push(format!("{} {}: {what}", kind(workload), name(workload)));
        }
    };
    let yes = |path: &str| at(pod, path) == &json!(true);
    must(yes("securityContext.runAsNonRoot"), "may run as root");
    must(
        text(pod, "securityContext.seccompProfile.type") == "RuntimeDefault",
        "has no seccomp profile",
    );
    must(
        at(pod, "automountServiceAccountToken") == &json!(false),
        "has a token of the cluster",
    );
    must(!list(pod, "containers").is_empty(), "has no container");
    for container in list(pod, "containers") {
        let set = |path: &str, value: Value| at(container, path) == &value;
        must(
            set("securityContext.readOnlyRootFilesystem", json!(true)),
            "may write to its image",
        );
        must(
            set("securityContext.allowPrivilegeEscalation", json!(false)),
            "may gain privileges",
        );
        must(
            words(container, "securityContext.capabilities.drop") == ["ALL"],
            "keeps capabilities",
        );
        must(
            !at(container, "resources.limits.memory").is_null(),
            "has no memory limit",
        );
        must(
            !at(container, "resources.requests.cpu").is_null(),
            "asks for no CPU",
        );
        let image = image_breach(text(container, "image"));
        must(image.is_none(), image.as_deref().unwrap_or_default());
        if kind(workload) != "Job" {
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                must(!at(container, probe).is_null(), &format!("has no {probe}"));
            }
        }
    }
    breaches
}

/// What is wrong with the Deployment of a role.
fn role_breaches(deployment: &Value) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            breaches.push(format!("{}: {what}", name(deployment)));
        }
    };
    let pod = at(deployment, "spec.template.spec");
    let container = at(pod, "containers.0");
    must(
        words(container, "args") == [name(deployment)],
        "does not run the role of its name",
    );
    let rolling = at(deployment, "spec.strategy.rollingUpdate.maxUnavailable");
    must(rolling == &json!(0), "is rolled out with a gap");
    must(
        !list(pod, "topologySpreadConstraints").is_empty(),
        "is not spread",
    );
    let spare = at(pod, "terminationGracePeriodSeconds")
        .as_u64()
        .unwrap_or_default();
    let waits = at(container, "lifecycle.preStop.sleep.seconds")
        .as_u64()
        .unwrap_or_default();
    must(waits > 0 && spare > waits + 20, "is killed while it drains");
    let ports: BTreeSet<&str> = list(container, "ports")
        .iter()
        .map(|port| text(port, "name"))
        .collect();
    for (probe, path) in [
        ("startupProbe", PROBES[0]),
        ("livenessProbe", PROBES[0]),
        ("readinessProbe", PROBES[1]),
    ] {
        let get = at(container, &format!("{probe}.httpGet")).clone();
        must(
            text(&get, "path") == path,
            &format!("{probe} asks for `{}`", text(&get, "path")),
        );
        must(
            text(&get, "port") == "admin" && ports.contains("admin"),
            &format!("{probe} asks at another port"),
        );
    }
    breaches
}

/// Names that lead nowhere, over a whole cluster. `elsewhere` are secrets made by hand.
fn dangling(documents: &[Value], elsewhere: &[&str]) -> Vec<String> {
    let mut breaches = Vec::new();
    for workload in documents.iter().filter(|document| is_workload(document)) {
        let found = names_of_pod(documents, elsewhere, workload);
        breaches.extend(found.map(|what| format!("{}: {what}", name(workload))));
    }
    for service in of_kind(documents, "Service") {
        breaches.extend(lost_service(documents, service));
    }
    for scaler in of_kind(documents, "HorizontalPodAutoscaler") {
        let target = text(scaler, "spec.scaleTargetRef.name");
        if !is_there(documents, "Deployment", target) {
            breaches.push(format!("nothing to scale called {target}"));
        }
    }
    let rules = of_kind(documents, "Ingress").flat_map(|ingress| list(ingress, "spec.rules"));
    for path in rules.flat_map(|rule| list(rule, "http.paths")) {
        let service = text(path, "backend.service.name");
        if !is_there(documents, "Service", service) {
            breaches.push(format!("no Service {service}"));
        }
    }
    breaches
}

/// What the pods of a workload name that is not there.
fn names_of_pod<'a>(
    documents: &'a [Value],
    elsewhere: &[&str],
    workload: &'a Value,
) -> impl Iterator<Item = String> {
    let pod = at(workload, "spec.template.spec");
    let mut named: Vec<(&str, &str)> = Vec::new();
    let mut lost = Vec::new();
    let labels = at(workload, "spec.template.metadata.labels");
    for (key, value) in entries(workload, "spec.selector.matchLabels") {
        if labels.get(key) != Some(value) {
            lost.push("does not select its own pods".to_owned());
        }
    }
    for source in list(pod, "containers.0.envFrom") {
        named.push(("ConfigMap", text(source, "configMapRef.name")));
    }
    for volume in list(pod, "volumes") {
        let sources = list(volume, "projected.sources").iter();
        named.extend(sources.map(|source| ("Secret", text(source, "secret.name"))));
        let whole = at(volume, "secret.secretName").as_str();
        named.extend(whole.map(|secret| ("Secret", secret)));
        let map = at(volume, "configMap.name").as_str();
        named.extend(map.map(|map| ("ConfigMap", map)));
    }
    let account = at(pod, "serviceAccountName").as_str();
    named.extend(account.map(|account| ("ServiceAccount", account)));
    for (kind, called) in named {
        let by_hand = kind == "Secret" && elsewhere.contains(&called);
        if !by_hand && !is_there(documents, kind, called) {
            lost.push(format!("no {kind} {called}"));
        }
    }
    let claims = list(workload, "spec.volumeClaimTemplates").iter().map(name);
    let volumes = list(pod, "volumes")
        .iter()
        .map(|volume| text(volume, "name"));
    let volumes: BTreeSet<&str> = volumes.chain(claims).collect();
    for mount in list(pod, "containers.0.volumeMounts") {
        let volume = text(mount, "name");
        if !volumes.contains(volume) {
            lost.push(format!("no volume {volume}"));
        }
    }
    lost.into_iter()
}

/// Whether a Service leads to pods, and its ports to theirs.
fn lost_service(documents: &[Value], service: &Value) -> Vec<String> {
    let mut breaches = Vec::new();
    let workloads = documents.iter().filter(|document| is_workload(document));
    let pods: Vec<&Value> = workloads
        .filter(|workload| {
            let labels = at(workload, "spec.template.metadata.labels");
            let wanted = entries(service, "spec.selector");
            wanted
                .iter()
                .all(|(key, value)| labels.get(key) == Some(*value))
        })
        .collect();
    if pods.is_empty() {
        breaches.push(format!("Service {} selects nothing", name(service)));
    }
    for port in list(service, "spec.ports") {
        let target = text(port, "targetPort");
        let served = pods.iter().all(|workload| {
            let ports = list(workload, "spec.template.spec.containers.0.ports");
            ports.iter().any(|port| text(port, "name") == target)
        });
        if !served {
            breaches.push(format!(
                "Service {}: nothing listens on {target}",
                name(service)
            ));
        }
    }
    breaches
}

#[test]
fn the_schemas_of_kubernetes_pass_every_overlay() {
    let folder = tempfile::tempdir().unwrap();
    let files = OVERLAYS.map(|overlay| {
        let file = folder.path().join(overlay.replace('/', "-") + ".yaml");
        fs::write(&file, rendered_text(overlay)).unwrap();
        file
    });
    printed(tools::kubernetes_validate().args(files));
}

#[test]
fn the_schemas_have_teeth() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yaml");
    let wrong = rendered_text("base").replace("readinessProbe:", "readynessProbe:");
    fs::write(&file, wrong).unwrap();
    let output = tools::kubernetes_validate().arg(file).output().unwrap();
    assert!(!output.status.success());
}

#[test]
fn every_workload_is_locked_down_probed_and_limited() {
    let mut breaches = Vec::new();
    for overlay in OVERLAYS {
        let documents = rendered(overlay);
        let elsewhere: &[&str] = if overlay == "overlays/dev" {
            &[]
        } else {
            &SECRETS
        };
        breaches.extend(dangling(&documents, elsewhere));
        for workload in documents.iter().filter(|document| is_workload(document)) {
            breaches.extend(pod_breaches(workload));
        }
        breaches.extend(of_kind(&documents, "Deployment").flat_map(role_breaches));
    }
    assert_none(&breaches);
}

#[test]
fn every_role_is_deployed_and_production_survives_a_node() {
    for overlay in OVERLAYS {
        let documents = rendered(overlay);
        let production = overlay != "overlays/dev";
        for role in roles().filter(|role| !production || *role != "sandbox") {
            assert!(
                is_there(&documents, "Deployment", role),
                "{overlay}: no {role}"
            );
            assert!(
                is_there(&documents, "Service", role),
                "{overlay}: no Service {role}"
            );
            assert!(
                is_there(&documents, "ServiceAccount", role),
                "{overlay}: no account {role}"
            );
            if !production {
                continue;
            }
            let budget =
                of_kind(&documents, "PodDisruptionBudget").find(|budget| name(budget) == role);
            let budget = budget.unwrap_or_else(|| panic!("{overlay}: no budget for {role}"));
            assert_eq!(at(budget, "spec.maxUnavailable"), &json!(1));
            let deployment = of_kind(&documents, "Deployment")
                .find(|d| name(d) == role)
                .unwrap();
            let scaler = of_kind(&documents, "HorizontalPodAutoscaler")
                .find(|scaler| text(scaler, "spec.scaleTargetRef.name") == role);
            let least = scaler.map_or(at(deployment, "spec.replicas"), |s| {
                at(s, "spec.minReplicas")
            });
            assert!(least.as_u64() >= Some(2), "{overlay}: one {role} only");
            // A number of its own would be put back at each apply, against the autoscaler.
            assert!(
                scaler.is_none() || at(deployment, "spec.replicas").is_null(),
                "{role}"
            );
        }
        if production {
            assert!(!is_there(&documents, "Deployment", "sandbox"));
            assert_eq!(
                of_kind(&documents, "Secret").count(),
                0,
                "{overlay} holds a secret"
            );
            assert_eq!(
                of_kind(&documents, "StatefulSet").count(),
                0,
                "{overlay} holds a store"
            );
        }
    }
}

#[test]
fn the_rules_of_workloads_have_teeth() {
    let wrong = documents(
        "
kind: Deployment
metadata: {name: routing}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: b}}
    spec:
      terminationGracePeriodSeconds: 10
      serviceAccountName: nobody
      containers:
        - image: frontdesk:latest
          args: [rooting]
          envFrom: [{configMapRef: {name: gone}}]
          livenessProbe: {httpGet: {path: /health, port: 8080}}
          volumeMounts: [{name: nowhere}]
      volumes: [{name: s, secret: {secretName: lost}}]
---
kind: Service
metadata: {name: routing}
spec: {selector: {app: b}, ports: [{targetPort: grpc}]}
---
kind: HorizontalPodAutoscaler
spec: {scaleTargetRef: {name: rooting}}
",
    );
    let found = [
        pod_breaches(&wrong[0]),
        role_breaches(&wrong[0]),
        dangling(&wrong, &[]),
    ]
    .concat();
    let found = found.join("\n");
    for word in [
        "root",
        "seccomp",
        "token",
        "write",
        "privileges",
        "capabilities",
        "memory",
        "CPU",
        "latest",
        "startupProbe",
        "of its name",
        "gap",
        "spread",
        "drains",
        "/health`",
        "another port",
        "its own pods",
        "ConfigMap gone",
        "Secret lost",
        "volume nowhere",
        "ServiceAccount nobody",
        "listens on grpc",
        "called rooting",
    ] {
        assert!(found.contains(word), "{word} is not among:\n{found}");
    }
}
