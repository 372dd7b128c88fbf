//! Ports and paths: wherever a manifest, the compose file or what stands before them names one, it is
//! one a role listens on by its settings, or one the program and the contracts have.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::network::{allowed, part};
use super::settings::{Environment, everywhere};
use super::{
    Key, assert_none, at, composed, documents, keys, kind, list, name, read, rendered, roles, text,
    words,
};
use crate::{files, root};

/// The listeners of a role, as manifests call their ports.
const LISTENERS: [(&str, &str); 3] = [
    ("grpc", "FRONTDESK_GRPC_LISTEN"),
    ("http", "FRONTDESK_HTTP_LISTEN"),
    ("admin", "FRONTDESK_ADMIN_LISTEN"),
];

/// Where a role listens, by the name of the port.
type Ports = BTreeMap<String, u64>;

/// The port of `host:port`, or of a URL without a path.
fn port(address: &str) -> u64 {
    let port = address.rsplit(':').next().unwrap_or_default();
    let digits = port.split('/').next().unwrap_or_default();
    let parsed = digits.parse();
    parsed.unwrap_or_else(|_| panic!("{address} names no port"))
}

/// Where `role` listens with these settings, or with the defaults.
fn listening(keys: &[Key], role: &str, environment: &Environment) -> Ports {
    let mut ports = Ports::new();
    for (called, setting) in LISTENERS {
        let key = keys.iter().find(|key| key.env == setting);
        let key = key.unwrap_or_else(|| panic!("{setting} is no setting"));
        if key.is_used_by(role) {
            let given = environment.get(setting).or(key.default.as_ref());
            ports.insert(called.to_owned(), port(given.unwrap()));
        }
    }
    ports
}

/// Where every role listens in each place.
fn all_listening() -> BTreeMap<&'static str, BTreeMap<String, Ports>> {
    let keys = keys();
    let mut all: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (place, role, environment) in everywhere() {
        if role != "seed" {
            let ports = listening(&keys, &role, &environment);
            all.entry(place).or_default().insert(role, ports);
        }
    }
    all
}

/// URLs in the settings of a role that name a role, and a port it does not serve them on.
fn url_breaches(environment: &Environment, served: &BTreeMap<String, Ports>) -> Vec<String> {
    let mut breaches = Vec::new();
    for (setting, url) in environment {
        let Some((host, _)) = url
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once(':'))
        else {
            continue;
        };
        let Some(ports) = served.get(host) else {
            continue;
        };
        let called = if setting.starts_with("FRONTDESK_PEERS_") {
            "grpc"
        } else {
            // The Graph API of the sandbox, the webhooks of ingress.
            "http"
        };
        if ports.get(called) != Some(&port(url)) {
            breaches.push(format!("{setting}: {host} has no {called} at {url}"));
        }
    }
    breaches
}

/// Ports of pods, Services, Ingresses and policies that are not those of the roles.
fn port_breaches(documents: &[Value], served: &BTreeMap<String, Ports>) -> Vec<String> {
    let mut breaches = Vec::new();
    for document in documents {
        let Some(ports) = served.get(name(document)) else {
            continue;
        };
        let (path, number) = match kind(document) {
            "Deployment" => ("spec.template.spec.containers.0.ports", "containerPort"),
            "Service" => ("spec.ports", "port"),
            _ => continue,
        };
        let named: Ports = list(document, path)
            .iter()
            .map(|port| {
                let number = at(port, number).as_u64().unwrap_or_default();
                (text(port, "name").to_owned(), number)
            })
            .collect();
        let mut wanted = ports.clone();
        if kind(document) == "Service" {
            // Who asks for health or metrics asks one pod.
            wanted.remove("admin");
        }
        if named != wanted {
            breaches.push(format!(
                "{} {} has {named:?}, the role listens on {wanted:?}",
                kind(document),
                name(document)
            ));
        }
        for port in list(document, path) {
            let target = at(port, "targetPort")
                .as_str()
                .unwrap_or(text(port, "name"));
            if target != text(port, "name") {
                breaches.push(format!("Service {}: {target}", name(document)));
            }
        }
    }
    breaches.extend(backend_breaches(documents, served));
    let (out, inward) = allowed(documents, &part(documents));
    for (caller, called, port) in out.union(&inward) {
        let Some(ports) = served.get(called) else {
            continue;
        };
        let listener = ports.iter().find(|(_, number)| *number == port);
        let asks_for_metrics = caller == "prometheus";
        if listener.is_none_or(|(called, _)| (called == "admin") != asks_for_metrics) {
            breaches.push(format!("{caller} may reach {called} on {port}"));
        }
    }
    breaches
}

/// Ingresses that lead to a port the role does not have.
fn backend_breaches(documents: &[Value], served: &BTreeMap<String, Ports>) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, service, port) in paths(documents) {
        let wanted = if path.starts_with("/frontdesk.") {
            "grpc"
        } else {
            "http"
        };
        let has = served
            .get(&service)
            .is_some_and(|ports| ports.contains_key(wanted));
        if port != wanted || !has {
            breaches.push(format!("{path} goes to {service}, port {port}"));
        }
    }
    breaches
}

/// The paths of all Ingresses: path, Service and its port.
fn paths(documents: &[Value]) -> Vec<(String, String, String)> {
    let ingresses = documents.iter().filter(|d| kind(d) == "Ingress");
    let rules = ingresses.flat_map(|ingress| list(ingress, "spec.rules"));
    let paths = rules.flat_map(|rule| list(rule, "http.paths"));
    paths
        .map(|path| {
            let backend = at(path, "backend.service");
            (
                text(path, "path").to_owned(),
                text(backend, "name").to_owned(),
                text(backend, "port.name").to_owned(),
            )
        })
        .collect()
}

/// Servers behind the door that are asked, or asked for their health, at a port they do not have.
fn door_breaches(door: &str, served: &BTreeMap<String, Ports>) -> Vec<String> {
    let mut breaches = Vec::new();
    for line in door.lines().map(str::trim) {
        let Some(server) = line.strip_prefix("server-template ") else {
            continue;
        };
        let words: Vec<&str> = server.split(' ').collect();
        let (host, number) = words[2].split_once(':').unwrap_or_default();
        let health = words.iter().position(|word| *word == "port");
        let health = health.map_or("", |at| words[at + 1]);
        let called = if server.contains(" proto h2 ") {
            "grpc"
        } else {
            "http"
        };
        let right = served.get(host).is_some_and(|ports| {
            let is = |called: &str, number: &str| {
                ports
                    .get(called)
                    .is_some_and(|port| port.to_string() == number)
            };
            is(called, number) && is("admin", health)
        });
        if !right {
            breaches.push(format!("the door: {line}"));
        }
    }
    breaches
}

#[test]
fn manifests_name_the_ports_roles_listen_on() {
    let mut breaches = Vec::new();
    let served = all_listening();
    for overlay in ["base", "overlays/dev", "overlays/production"] {
        let found = port_breaches(&rendered(overlay), &served[overlay]);
        breaches.extend(found.into_iter().map(|what| format!("{overlay}: {what}")));
    }
    let mut advertised = 0;
    for (place, role, environment) in everywhere() {
        let served = &served[place];
        let found = url_breaches(&environment, served).into_iter();
        breaches.extend(found.map(|what| format!("{place}, {role}: {what}")));
        if let Some(url) = environment.get("FRONTDESK_GRPC_ADVERTISE") {
            advertised += 1;
            assert_eq!(port(url), served[&role]["grpc"], "{place}, {role}");
        }
    }
    assert!(advertised > 20, "who advertises itself was not found");
    assert_none(&breaches);
}

#[test]
fn what_stands_before_and_beside_the_roles_names_their_ports() {
    let served = &all_listening()["compose"];
    let door = read("deploy/edge/haproxy.cfg");
    assert!(door.matches("server-template ").count() > roles().count());
    assert_none(&door_breaches(&door, served));
    let all = composed();
    let prometheus: Value =
        serde_yaml_ng::from_str(&read("deploy/prometheus/prometheus.yml")).unwrap();
    let jobs = list(&prometheus, "scrape_configs").iter();
    let mut job = jobs.filter(|job| text(job, "job_name") == "frontdesk");
    let scraped = at(job.next().unwrap(), "dns_sd_configs.0");
    assert_eq!(
        words(scraped, "names").into_iter().collect::<BTreeSet<_>>(),
        roles().map(str::to_owned).collect()
    );
    for (role, ports) in served {
        assert_eq!(at(scraped, "port").as_u64(), Some(ports["admin"]), "{role}");
        let health = words(&all, &format!("services.{role}.healthcheck.test"));
        assert_eq!(port(health.last().unwrap()), ports["admin"], "{role}");
    }
    let collector = text(
        &all,
        "services.egress.environment.FRONTDESK_TELEMETRY_OTLP_ENDPOINT",
    );
    let receives = format!(":{}", port(collector));
    assert!(read("deploy/otel/collector.yaml").contains(&receives));
}

#[test]
fn the_image_tells_the_default_ports() {
    let keys = keys();
    let defaults: BTreeSet<u64> = roles()
        .flat_map(|role| listening(&keys, role, &Environment::new()).into_values())
        .collect();
    let docker = read("deploy/Dockerfile");
    let exposed = docker.lines().find_map(|line| line.strip_prefix("EXPOSE "));
    let exposed = exposed
        .unwrap()
        .split(' ')
        .map(|port| port.parse().unwrap());
    assert_eq!(exposed.collect::<BTreeSet<u64>>(), defaults);
    let own = listening(&keys, "ingress", &Environment::new());
    for peer in keys
        .iter()
        .filter(|key| key.env.starts_with("FRONTDESK_PEERS_"))
    {
        assert_eq!(
            port(peer.default.as_ref().unwrap()),
            own["grpc"],
            "{}",
            peer.env
        );
    }
    let health = docker.split("\"--admin\", \"").nth(1).unwrap();
    assert_eq!(port(health.split('"').next().unwrap()), own["admin"]);
}

/// Every service of the contracts as `frontdesk.package.v1.Service`, with the role that serves it.
fn contracts() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let protos = files().into_iter();
    for path in protos.filter(|path| path.extension().is_some_and(|ending| ending == "proto")) {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = || text.lines().map(str::trim);
        let package = lines().find_map(|line| line.strip_prefix("package "));
        let package = package.unwrap().trim_end_matches(';');
        let role = package.split('.').nth(1).unwrap().replace('_', "-");
        let services = lines().filter_map(|line| line.strip_prefix("service "));
        for service in services.filter_map(|rest| rest.split(' ').next()) {
            all.insert(format!("{package}.{service}"), role.clone());
        }
    }
    all
}

/// Where ingress takes webhooks, by its source.
fn webhooks() -> String {
    let source = read("crates/svc-ingress/src/http.rs");
    let path = source.split("const PATH: &str = \"").nth(1);
    let path = path.and_then(|rest| rest.split('"').next());
    path.expect("http.rs says where webhooks go").to_owned()
}

#[test]
fn paths_are_those_of_the_program_and_the_contracts() {
    let (contracts, webhooks) = (contracts(), webhooks());
    for overlay in ["base", "overlays/production"] {
        let documents = rendered(overlay);
        let (api, other): (Vec<_>, Vec<_>) = paths(&documents)
            .into_iter()
            .partition(|(path, ..)| path.starts_with("/frontdesk."));
        assert!(api.len() > 5, "{overlay}: {api:?}");
        for (path, service, _) in &api {
            let called = path.trim_matches('/');
            assert_eq!(contracts.get(called), Some(service), "{overlay}: {path}");
        }
        let [(path, service, _)] = &other[..] else {
            panic!("{overlay}: {other:?}");
        };
        assert_eq!(
            (path, service.as_str()),
            (&webhooks, "ingress"),
            "{overlay}"
        );
    }
    let door = read("deploy/edge/haproxy.cfg");
    let packages: BTreeMap<&str, &String> = contracts
        .iter()
        .filter_map(|(service, role)| Some((service.split('.').nth(1)?, role)))
        .collect();
    let mut seen = 0;
    for line in door
        .lines()
        .filter(|line| line.contains("use_backend ") && line.contains("/frontdesk."))
    {
        let (backend, rest) = line.trim()["use_backend ".len()..].split_once(' ').unwrap();
        let package = rest.split("/frontdesk.").nth(1).unwrap();
        let package = package.split('.').next().unwrap();
        seen += 1;
        let backend = backend.strip_suffix("-grpc").unwrap_or(backend);
        assert_eq!(packages[package], backend, "{line}");
    }
    assert_eq!(seen, packages.len(), "packages without a way");
    let mut callbacks = 0;
    for (place, _, environment) in everywhere() {
        if let Some(url) = environment.get("FRONTDESK_SANDBOX_CALLBACK") {
            callbacks += 1;
            assert!(url.ends_with(&webhooks), "{place}: {url}");
        }
    }
    assert!(callbacks > 1, "nobody tells the sandbox where webhooks go");
    let rules = read("deploy/prometheus/alerts.yml");
    for route in rules.split("route=\"").skip(1) {
        assert_eq!(route.split('"').next(), Some(webhooks.as_str()));
    }
    for file in [
        "docs/DEPLOYMENT.md",
        "deploy/grafana/dashboards/lost-late-stuck.json",
    ] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        for path in text.split("/webhooks/").skip(1) {
            let end = path.find(|c: char| !c.is_ascii_lowercase()).unwrap();
            assert_eq!(format!("/webhooks/{}", &path[..end]), webhooks, "{file}");
        }
    }
}

/// Manifests with a mistake each.
const WRONG: &str = "
kind: Deployment
metadata: {name: ingress}
spec: {template: {spec: {containers: [{ports: [{name: grpc, containerPort: 50052}]}]}}}
---
kind: Service
metadata: {name: accounts}
spec: {ports: [{name: grpc, port: 50051, targetPort: admin}]}
---
kind: Ingress
spec: {rules: [{http: {paths: [{path: /webhooks/whatsapp, backend: {service: {name: ingress, port: {name: grpc}}}}]}}]}
---
kind: NetworkPolicy
metadata: {name: accounts}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/name: accounts}}
  ingress:
    - from: [{podSelector: {matchLabels: {app.kubernetes.io/name: egress}}}]
      ports: [{port: 9090}, {port: 50051}]
";

/// Where two roles listen.
fn two_roles() -> BTreeMap<String, Ports> {
    let ports = |ports: &[(&str, u64)]| -> Ports {
        ports
            .iter()
            .map(|(name, port)| ((*name).to_owned(), *port))
            .collect()
    };
    BTreeMap::from([
        (
            "ingress".to_owned(),
            ports(&[("grpc", 50051), ("http", 8080), ("admin", 9090)]),
        ),
        (
            "accounts".to_owned(),
            ports(&[("grpc", 50051), ("admin", 9090)]),
        ),
    ])
}

#[test]
fn the_rules_of_places_have_teeth() {
    let served = two_roles();
    let wrong = documents(WRONG);
    let found = port_breaches(&wrong, &served);
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn the_rules_of_addresses_have_teeth() {
    let served = two_roles();
    for (line, right) in [
        (
            "server-template ingress 10 ingress:8080 check port 9090",
            true,
        ),
        (
            "server-template ingress 10 ingress:50051 proto h2 check port 9090",
            true,
        ),
        (
            "server-template ingress 10 ingress:8081 check port 9090",
            false,
        ),
        (
            "server-template accounts 10 accounts:50051 proto h2 check port 9091",
            false,
        ),
        (
            "server-template accounts 10 account:50051 proto h2 check port 9090",
            false,
        ),
    ] {
        assert_eq!(door_breaches(line, &served).is_empty(), right, "{line}");
    }
    let given =
        |setting: &str, url: &str| Environment::from([(setting.to_owned(), url.to_owned())]);
    for (setting, url, right) in [
        ("FRONTDESK_PEERS_ACCOUNTS", "http://accounts:50051", true),
        ("FRONTDESK_PEERS_ACCOUNTS", "http://accounts:9090", false),
        (
            "FRONTDESK_SANDBOX_CALLBACK",
            "http://ingress:8080/webhooks/x",
            true,
        ),
        (
            "FRONTDESK_SANDBOX_CALLBACK",
            "http://ingress:50051/webhooks/x",
            false,
        ),
    ] {
        let found = url_breaches(&given(setting, url), &served);
        assert_eq!(found.is_empty(), right, "{setting} {url}");
    }
}
