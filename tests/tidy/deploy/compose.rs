//! `docker-compose.yml`: the real Compose reads it, every role is there, and what it names exists.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::cluster::make_secrets;

use super::{assert_none, at, composed, entries, image_breach, list, read, roles, text, words};
use crate::root;

/// Who may be reached from outside the network, and only from the machine itself.
const PUBLISHED: [&str; 2] = ["edge", "grafana"];
/// How a role is asked for its health; the same as in the image.
const HEALTH: [&str; 5] = [
    "CMD",
    "frontdesk",
    "health",
    "--admin",
    "http://127.0.0.1:9090",
];

/// What is wrong with a service.
fn service_breaches(all: &Value, name: &str) -> Vec<String> {
    let service = &all["services"][name];
    let mut breaches = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            breaches.push(format!("{name}: {what}"));
        }
    };
    let once = text(service, "restart") == "no";
    let image = image_breach(text(service, "image"));
    must(image.is_none(), image.as_deref().unwrap_or_default());
    must(
        once || text(service, "restart") == "unless-stopped",
        "does not come back after a crash",
    );
    must(
        once || !list(service, "healthcheck.test").is_empty(),
        "has no healthcheck",
    );
    must(
        !at(service, "deploy.resources.limits.memory").is_null(),
        "has no memory limit",
    );
    must(
        !at(service, "deploy.resources.limits.cpus").is_null(),
        "has no CPU limit",
    );
    let options = words(service, "security_opt");
    must(
        options
            .iter()
            .any(|option| option == "no-new-privileges:true"),
        "may gain privileges",
    );
    let ports = list(service, "ports");
    must(
        ports.is_empty() || PUBLISHED.contains(&name),
        "is published",
    );
    must(
        ports
            .iter()
            .all(|port| text(port, "host_ip") == "127.0.0.1"),
        "can be reached from other machines",
    );
    for (other, how) in entries(service, "depends_on") {
        let checked = !list(&all["services"][other], "healthcheck.test").is_empty();
        must(
            checked,
            &format!("waits for {other}, which has no healthcheck"),
        );
        must(
            text(how, "condition") == "service_healthy",
            &format!("does not wait for {other}"),
        );
    }
    breaches.extend(lost_files(service).map(|what| format!("{name}: {what}")));
    breaches
}

/// Files and images a service names that are not there, or not exact.
fn lost_files(service: &Value) -> impl Iterator<Item = String> {
    let mut lost = Vec::new();
    let volumes = list(service, "volumes").iter();
    for volume in volumes.filter(|volume| text(volume, "type") == "bind") {
        let source = text(volume, "source");
        if !Path::new(source).exists() {
            lost.push(format!("{source} does not exist"));
        }
    }
    let images = entries(service, "build.args").into_iter();
    lost.extend(images.filter_map(|(_, image)| image_breach(image.as_str().unwrap_or_default())));
    if let Some(context) = at(service, "build.context").as_str() {
        let file = Path::new(context).join(text(service, "build.dockerfile"));
        if !file.is_file() {
            lost.push(format!("{} does not exist", file.display()));
        }
    }
    lost.into_iter()
}

/// What is wrong with a service that runs Frontdesk.
fn role_breaches(all: &Value, name: &str) -> Vec<String> {
    let service = &all["services"][name];
    let mut breaches = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            breaches.push(format!("{name}: {what}"));
        }
    };
    must(
        words(service, "command") == [name],
        "does not run the role of its name",
    );
    must(
        at(service, "read_only") == &json!(true),
        "may write to its image",
    );
    must(words(service, "cap_drop") == ["ALL"], "keeps capabilities");
    must(
        name == "seed" || words(service, "healthcheck.test") == HEALTH,
        "has another healthcheck",
    );
    let (drain, grace) = (
        seconds(service, "environment.FRONTDESK_SHUTDOWN_DRAIN"),
        seconds(service, "stop_grace_period"),
    );
    must(
        drain.is_some() && drain < grace,
        "is killed while it drains",
    );
    let secrets: BTreeSet<&str> = list(service, "secrets")
        .iter()
        .map(|secret| text(secret, "target"))
        .collect();
    for (key, value) in entries(service, "environment") {
        if key.ends_with("_FILE") {
            let file = value.as_str().unwrap_or_default();
            must(
                secrets.contains(file),
                &format!("{key}: {file} is not among its secrets"),
            );
        }
        for host in hosts(value.as_str().unwrap_or_default()) {
            let there = all["services"].get(host).is_some();
            must(there, &format!("{key}: there is no service {host}"));
        }
    }
    breaches
}

/// `30s` in seconds.
fn seconds(service: &Value, path: &str) -> Option<u64> {
    text(service, path).strip_suffix('s')?.parse().ok()
}

/// The hosts of the `http://host:port` in a setting.
fn hosts(value: &str) -> Vec<&str> {
    let urls = value
        .split(',')
        .filter_map(|part| part.strip_prefix("http://"));
    urls.filter_map(|url| url.split([':', '/']).next())
        .collect()
}

#[test]
fn compose_reads_the_file_and_every_service_is_guarded() {
    let all = composed();
    let services = entries(&all, "services");
    assert!(services.len() > roles().count());
    let mut breaches: Vec<String> = services
        .iter()
        .flat_map(|(name, _)| service_breaches(&all, name))
        .collect();
    for role in roles().chain(["seed"]) {
        breaches.extend(role_breaches(&all, role));
    }
    assert_none(&breaches);
}

#[test]
fn the_secrets_of_the_compose_file_are_those_the_script_writes() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    let make = || super::printed(&mut make_secrets(&secrets));
    let first = make();
    assert!(first.contains("service_token"));
    let written = |name: &str| fs::read_to_string(secrets.join(name)).unwrap();
    let token = written("service_token");
    assert!(token.len() >= 32 && written("app_secret").len() == 32);
    assert_ne!(token, written("operator_token"));
    assert_eq!(make(), "", "what is there is kept");
    assert_eq!(token, written("service_token"));
    for (name, secret) in entries(&composed(), "secrets") {
        assert_eq!(
            text(secret, "file"),
            root().join("deploy/secrets").join(name).to_string_lossy()
        );
        assert!(!written(name).is_empty(), "{name}");
    }
}

#[test]
fn the_script_gives_roles_what_they_read_and_nobody_else() {
    let this = fs::metadata("/proc/self").unwrap().uid();
    let folder = tempfile::tempdir().unwrap();
    let (given, plain) = (folder.path().join("given"), folder.path().join("plain"));
    super::printed(&mut make_secrets(&given));
    super::printed(Command::new(root().join("deploy/make-secrets")).arg(&plain));
    // Without root nothing can be given away; then the files stay readable, and production refuses them.
    let image = read("deploy/Dockerfile");
    let image = image.split("\nUSER ").nth(1).unwrap();
    let image: u32 = image.split(':').next().unwrap().parse().unwrap();
    let (owner, mode) = if this == 0 {
        (image, 0o400)
    } else {
        (this, 0o444)
    };
    let all = composed();
    let of_roles: BTreeSet<String> = roles()
        .chain(["seed"])
        .flat_map(|role| list(&all, &format!("services.{role}.secrets")))
        .map(|secret| text(secret, "source").to_owned())
        .collect();
    for (name, _) in entries(&all, "secrets") {
        let about = |folder: &Path| {
            let about = fs::metadata(folder.join(name)).unwrap();
            (about.uid(), about.mode() & 0o777)
        };
        if of_roles.contains(name) {
            assert_eq!(about(&given), (this, 0o400), "{name}");
            assert_eq!(about(&plain), (owner, mode), "{name}");
        } else {
            // Images of other makers, each with a user of its own.
            assert_eq!(about(&plain), (this, 0o444), "{name}");
        }
    }
    let entry = fs::metadata(&plain).unwrap().mode() & 0o777;
    assert_eq!(entry, 0o700, "others may enter the folder");
}

#[test]
fn the_door_knows_every_api() {
    let door = read("deploy/edge/haproxy.cfg");
    let all = composed();
    let health = words(&all, "services.edge.healthcheck.test");
    assert!(
        door.contains("bind :8404") && health.iter().any(|word| word.contains(":8404/healthz"))
    );
    for port in list(&all, "services.edge.ports") {
        let bound = format!("bind :{}", at(port, "target"));
        assert!(door.contains(&bound), "nothing listens on {bound}");
    }
    for role in roles() {
        let package = format!("path_beg /frontdesk.{}. }}", role.replace('-', "_"));
        assert!(door.contains(&package), "no way to {package}");
        assert!(
            door.contains(&format!(" {role}:50051 ")),
            "{role} is not behind the door"
        );
    }
}

#[test]
fn what_watches_looks_at_services_that_are_there() {
    let all = composed();
    let files = [
        "deploy/otel/collector.yaml",
        "deploy/otel/tempo.yaml",
        "deploy/prometheus/prometheus.yml",
        "deploy/grafana/provisioning/datasources/datasources.yaml",
    ];
    let mut seen = 0;
    for file in files {
        let text = read(file);
        let places = text.split([' ', '"', '[', ']', '\n']).map(|word| {
            let word = word.strip_prefix("http://").unwrap_or(word);
            word.split('/').next().unwrap_or_default()
        });
        for (host, port) in places.filter_map(|place| place.split_once(':')) {
            if port.parse::<u16>().is_err() || host == "localhost" || host == "0.0.0.0" {
                continue;
            }
            seen += 1;
            assert!(
                all["services"].get(host).is_some(),
                "{file}: there is no service {host}"
            );
        }
    }
    assert!(seen > 3, "no place was found");
    let prometheus = read("deploy/prometheus/prometheus.yml");
    for role in roles() {
        assert!(
            prometheus.contains(&format!("- {role}\n")),
            "nobody scrapes {role}"
        );
    }
}

#[test]
fn the_rules_of_services_have_teeth() {
    let all = json!({"services": {
        "redis": {"image": "redis:latest", "ports": [{"host_ip": "0.0.0.0"}],
                  "volumes": [{"type": "bind", "source": "/nowhere/at/all"}]},
        "ingress": {"image": "frontdesk:0.1.0", "command": ["routing"],
                    "environment": {"FRONTDESK_SERVICE_TOKEN_FILE": "/run/secrets/x",
                                    "FRONTDESK_SHUTDOWN_DRAIN": "40s",
                                    "FRONTDESK_PEERS_ACCOUNTS": "http://account:50051"},
                    "stop_grace_period": "30s",
                    "depends_on": {"redis": {"condition": "service_started"}}},
    }});
    let redis = service_breaches(&all, "redis").join("\n");
    let ingress = [
        service_breaches(&all, "ingress"),
        role_breaches(&all, "ingress"),
    ]
    .concat()
    .join("\n");
    for word in [
        "latest",
        "crash",
        "healthcheck",
        "memory",
        "CPU",
        "privileges",
        "published",
        "other machines",
        "nowhere",
    ] {
        assert!(redis.contains(word), "{word} is not among:\n{redis}");
    }
    for word in [
        "does not wait",
        "no healthcheck",
        "of its name",
        "write",
        "capabilities",
        "drains",
        "among its secrets",
        "no service account",
    ] {
        assert!(ingress.contains(word), "{word} is not among:\n{ingress}");
    }
}
