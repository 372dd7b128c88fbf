//! Every setting in compose file, environment files and manifests is one the program knows, is read
//! by the role it is given to, and is right by `frontdesk config check`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::cluster::make_secrets;
use tests::process::program;

use super::{
    Key, at, composed, composed_of, entries, keys, kind, list, name, printed, read, rendered,
    roles, text,
};
use crate::root;

/// Read by Compose, by commands of people, or by tests, and by no role.
const NOT_OF_ROLES: [&str; 6] = [
    "FRONTDESK_HTTP_PORT",
    "FRONTDESK_GRPC_PORT",
    "FRONTDESK_GRAFANA_PORT",
    "FRONTDESK_SERVER",
    "FRONTDESK_TOKEN",
    "FRONTDESK_CONFIG",
];

/// The compose file as customers are served with it (docs/DEPLOYMENT.md).
const PRODUCTION: [&str; 2] = ["docker-compose.yml", "deploy/production.yaml"];

pub(super) type Environment = BTreeMap<String, String>;

/// What is wrong with the settings of a role.
fn breaches(keys: &[Key], role: &str, environment: &Environment) -> Vec<String> {
    let mut found = Vec::new();
    let ours = environment
        .keys()
        .filter(|name| name.starts_with("FRONTDESK_"));
    for setting in ours {
        match keys.iter().find(|key| key.is_called(setting)) {
            None => found.push(format!("{role}: {setting} is no setting")),
            Some(key) if !key.is_used_by(role) => {
                found.push(format!("{role} does not read {setting}"));
            }
            Some(_) => {}
        }
    }
    for key in keys
        .iter()
        .filter(|key| key.needed_by.iter().any(|who| who == role || who == "*"))
    {
        let given = environment.keys().any(|setting| key.is_called(setting));
        if !given {
            found.push(format!("{role} needs {}", key.env));
        }
    }
    found
}

/// The settings of each role that runs by a compose file, and of the seed.
fn of_compose(all: &Value) -> Vec<(String, Environment)> {
    let runs = |role: &str| {
        let replicas = at(all, &format!("services.{role}.deploy.replicas"));
        replicas != &json!(0)
    };
    let settings = |role: &str| {
        let settings = entries(all, &format!("services.{role}.environment"));
        let settings = settings.into_iter().map(|(name, value)| {
            (
                name.to_owned(),
                value.as_str().unwrap_or_default().to_owned(),
            )
        });
        (role.to_owned(), settings.collect())
    };
    let roles = roles().chain(["seed"]);
    roles.filter(|role| runs(role)).map(settings).collect()
}

/// The settings of each role in an overlay, by its ConfigMaps and its own variables; those that name a
/// file name one that is mounted.
pub(super) fn of_overlay(overlay: &str) -> Vec<(String, Environment)> {
    let documents = rendered(overlay);
    let map = |called: &str| {
        let map = documents
            .iter()
            .find(|d| kind(d) == "ConfigMap" && name(d) == called);
        map.map_or_else(Vec::new, |map| entries(map, "data"))
    };
    let mut all = Vec::new();
    let workloads = documents
        .iter()
        .filter(|d| matches!(kind(d), "Deployment" | "Job"));
    for workload in workloads {
        let pod = at(workload, "spec.template.spec");
        let mut environment = Environment::new();
        for source in list(pod, "containers.0.envFrom") {
            for (setting, value) in map(text(source, "configMapRef.name")) {
                environment.insert(
                    setting.to_owned(),
                    value.as_str().unwrap_or_default().to_owned(),
                );
            }
        }
        let mounted = mounted(pod);
        for (setting, value) in &environment {
            let there = !setting.ends_with("_FILE") || mounted.contains(value.as_str());
            assert!(
                there,
                "{overlay}, {}: {setting}: {value} is not mounted",
                name(workload)
            );
        }
        for variable in list(pod, "containers.0.env") {
            // The pod's own name and address are known once it runs.
            let value = at(variable, "value").as_str().unwrap_or("a-pod");
            environment.insert(
                text(variable, "name").to_owned(),
                value.replace("$(POD_IP)", "127.0.0.1"),
            );
        }
        all.push((name(workload).to_owned(), environment));
    }
    all
}

/// The secret files of a pod.
fn mounted(pod: &Value) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for mount in list(pod, "containers.0.volumeMounts") {
        let volume = list(pod, "volumes")
            .iter()
            .find(|v| text(v, "name") == text(mount, "name"));
        let sources = volume.map_or(&[][..], |volume| list(volume, "projected.sources"));
        for item in sources
            .iter()
            .flat_map(|source| list(source, "secret.items"))
        {
            files.insert(format!(
                "{}/{}",
                text(mount, "mountPath"),
                text(item, "path")
            ));
        }
    }
    files
}

/// All settings there are, by where they stand.
pub(super) fn everywhere() -> Vec<(&'static str, String, Environment)> {
    let mut all = Vec::new();
    let settings = of_compose(&composed()).into_iter();
    all.extend(settings.map(|(role, settings)| ("compose", role, settings)));
    // The demo tenant is for development.
    let settings = of_compose(&composed_of(&PRODUCTION)).into_iter();
    let settings = settings.filter(|(role, _)| role != "seed");
    all.extend(settings.map(|(role, settings)| ("compose in production", role, settings)));
    for overlay in ["base", "overlays/dev", "overlays/production"] {
        let settings = of_overlay(overlay).into_iter();
        all.extend(settings.map(|(role, settings)| (overlay, role, settings)));
    }
    all
}

#[test]
fn every_setting_is_known_and_read_by_its_role() {
    let keys = keys();
    let mut found = Vec::new();
    let mut count = 0;
    for (place, role, mut environment) in everywhere() {
        count += environment.len();
        // What is common to all roles is given to the seed, too.
        if role == "seed" {
            environment.retain(|setting, _| {
                keys.iter().any(|key| {
                    key.is_called(setting) && key.used_by.iter().any(|user| user == "seed")
                })
            });
        }
        found.extend(
            breaches(&keys, &role, &environment)
                .into_iter()
                .map(|breach| format!("{place}: {breach}")),
        );
    }
    assert!(count > 200, "only {count} settings were found");
    super::assert_none(&found);
}

/// Secrets as the script writes them: with these modes the containers of the compose file see them.
fn secrets_of_the_script(folder: &Path) {
    printed(&mut make_secrets(folder));
}

/// Secrets as the manifests mount them (`defaultMode: 0440`), with the URLs of stores elsewhere.
fn secrets_of_the_cluster(folder: &Path) {
    printed(&mut make_secrets(folder));
    let written = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    // The file is called after the setting, which may hold two.
    let others = [
        ("app_secrets", written("app_secret")),
        (
            "postgres_url",
            "postgres://frontdesk:secret@db.example:5432/frontdesk?sslmode=verify-full".to_owned(),
        ),
        (
            "redis_url",
            "rediss://:secret@redis.example:6379/0".to_owned(),
        ),
    ];
    for (name, secret) in others {
        let _ = fs::remove_file(folder.join(name));
        fs::write(folder.join(name), secret).unwrap();
    }
    for file in fs::read_dir(folder).unwrap() {
        fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o440)).unwrap();
    }
}

#[test]
fn the_program_takes_the_settings_of_every_role() {
    let folder = tempfile::tempdir().unwrap();
    let (compose, cluster) = (folder.path().join("compose"), folder.path().join("cluster"));
    secrets_of_the_script(&compose);
    secrets_of_the_cluster(&cluster);
    let mut production = 0;
    for (place, role, mut environment) in everywhere() {
        let on_compose = place.starts_with("compose");
        let secrets = if on_compose { &compose } else { &cluster };
        for value in environment.values_mut() {
            if let Some(file) = value.strip_prefix("/run/secrets/") {
                *value = secrets.join(file).display().to_string();
            }
        }
        production +=
            usize::from(on_compose && environment["FRONTDESK_ENVIRONMENT"] == "production");
        check(place, &role, &environment);
    }
    assert_eq!(production, roles().count() - 1, "all but the sandbox");
}

/// What the program finds in the settings of a role.
fn found(role: &str, environment: &Environment) -> Vec<Value> {
    let mut command = Command::new(program());
    command.args(["config", "check", "--json", "--role", role]);
    let output = command.env_clear().envs(environment).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["ok"].is_boolean(), "{report}");
    let mut found = list(&report, "problems").to_vec();
    // Whether the tests run as root says nothing about the settings.
    found.retain(|problem| text(problem, "code") != "process.root");
    found.extend_from_slice(list(&report, "warnings"));
    found
}

fn check(place: &str, role: &str, environment: &Environment) {
    let mut found = found(role, environment);
    // Redis is on a network of this machine's own, which nobody else gets into.
    let own_network = place == "compose in production";
    found.retain(|problem| !own_network || text(problem, "code") != "tls.absent");
    assert!(found.is_empty(), "{place}, {role}: {found:#?}");
}

#[test]
fn production_refuses_secrets_that_every_user_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    secrets_of_the_script(&secrets);
    // As the script leaves them without root.
    let token = secrets.join("service_token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o444)).unwrap();
    let all = of_compose(&composed_of(&PRODUCTION));
    let (role, mut environment) = all.into_iter().find(|(role, _)| role == "billing").unwrap();
    for value in environment.values_mut() {
        if let Some(file) = value.strip_prefix("/run/secrets/") {
            *value = secrets.join(file).display().to_string();
        }
    }
    let found = found(&role, &environment);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(text(&found[0], "code"), "secret.readable");
}

/// `256MiB`, or `384mb` as Redis writes it, in bytes.
fn bytes(text: &str) -> u64 {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_lowercase().as_str() {
        "mib" | "mb" => 1 << 20,
        "gib" | "gb" => 1 << 30,
        other => panic!("{text}: the unit `{other}` is not expected here"),
    };
    digits.parse::<u64>().unwrap() * unit
}

#[test]
fn what_waits_fits_into_redis() {
    let ingress = |all: Vec<(String, Environment)>| {
        let (_, environment) = all.into_iter().find(|(role, _)| role == "ingress").unwrap();
        bytes(&environment["FRONTDESK_INGRESS_MAX_WAITING_BYTES"])
    };
    let places = [
        ("deploy/redis/redis.conf", ingress(of_compose(&composed()))),
        (
            "deploy/kustomize/overlays/dev/redis.conf",
            ingress(of_overlay("overlays/dev")),
        ),
    ];
    for (file, waits) in places {
        let conf = read(file);
        let most = conf
            .lines()
            .find_map(|line| line.strip_prefix("maxmemory "));
        let most = bytes(most.unwrap());
        // Queue state and rate windows are in it, too.
        assert!(
            waits <= most / 4 * 3,
            "{file}: {waits} of {most} bytes may wait"
        );
    }
}

#[test]
fn every_name_in_what_people_read_is_a_setting() {
    let keys = keys();
    let mut files = vec![
        "docker-compose.yml".to_owned(),
        "deploy/production.yaml".to_owned(),
        "docs/DEPLOYMENT.md".to_owned(),
        "deploy/Dockerfile".to_owned(),
    ];
    for folder in ["deploy/env", "deploy/kustomize"] {
        let all = crate::files();
        let under = all
            .iter()
            .filter_map(|path| path.strip_prefix(root()).ok())
            .filter(|path| path.starts_with(folder));
        files.extend(under.map(|path| path.to_string_lossy().into_owned()));
    }
    let mut found = Vec::new();
    for file in files {
        let text = read(&file);
        for word in
            text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        {
            let ours = word.starts_with("FRONTDESK_")
                && word.len() > "FRONTDESK_".len()
                && !word.ends_with('_');
            if ours && !NOT_OF_ROLES.contains(&word) && !keys.iter().any(|key| key.is_called(word))
            {
                found.push(format!("{file}: {word}"));
            }
        }
    }
    super::assert_none(&found);
}

#[test]
fn every_role_has_an_example_and_no_example_is_left_over() {
    let mut files: BTreeSet<String> = roles()
        .chain(["seed", "common"])
        .map(|role| format!("{role}.env.example"))
        .collect();
    for entry in fs::read_dir(root().join("deploy/env")).unwrap() {
        let called = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            files.remove(&called) || !called.ends_with(".example"),
            "{called} is of no role"
        );
    }
    assert!(files.is_empty(), "missing: {files:?}");
}

#[test]
fn the_rule_has_teeth() {
    let key = |env: &str, used_by: &[&str], needed_by: &[&str]| Key {
        env: env.to_owned(),
        env_file: Some(format!("{env}_FILE")),
        default: None,
        used_by: used_by.iter().map(ToString::to_string).collect(),
        needed_by: needed_by.iter().map(ToString::to_string).collect(),
    };
    let keys = [
        key("FRONTDESK_A", &["*"], &[]),
        key("FRONTDESK_B", &["egress"], &["egress"]),
    ];
    let given = |name: &str| Environment::from([(name.to_owned(), String::new())]);
    assert_eq!(
        breaches(&keys, "egress", &given("FRONTDESK_B_FILE")),
        Vec::<String>::new()
    );
    assert_eq!(
        breaches(&keys, "billing", &given("FRONTDESK_B")),
        ["billing does not read FRONTDESK_B"]
    );
    assert_eq!(breaches(&keys, "egress", &given("FRONTDESK_AA")).len(), 2);
}
