//! Every setting in compose file, environment files and manifests is one the program knows, is read
//! by the role it is given to, and is right by `frontdesk config check`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::process::program;

use super::{
    Key, at, composed, entries, keys, kind, list, name, printed, read, rendered, roles, text,
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

type Environment = BTreeMap<String, String>;

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

/// The settings of each role in the compose file.
fn of_compose() -> Vec<(String, Environment)> {
    let all = composed();
    roles()
        .chain(["seed"])
        .map(|role| {
            let settings = entries(&all, &format!("services.{role}.environment"));
            let settings = settings.into_iter().map(|(name, value)| {
                (
                    name.to_owned(),
                    value.as_str().unwrap_or_default().to_owned(),
                )
            });
            (role.to_owned(), settings.collect())
        })
        .collect()
}

/// The settings of each role in an overlay, by its ConfigMaps and its own variables; those that name a
/// file name one that is mounted.
fn of_overlay(overlay: &str) -> Vec<(String, Environment)> {
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
fn everywhere() -> Vec<(&'static str, String, Environment)> {
    let mut all = Vec::new();
    all.extend(
        of_compose()
            .into_iter()
            .map(|(role, settings)| ("compose", role, settings)),
    );
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

/// Secrets as the script writes them, with the URLs of stores elsewhere if `production`.
fn secrets(folder: &Path, production: bool) {
    printed(Command::new(root().join("deploy/make-secrets")).arg(folder));
    // On Kubernetes the file is called after the setting, which may hold two.
    fs::copy(folder.join("app_secret"), folder.join("app_secrets")).unwrap();
    // The script leaves them readable, because containers have another user; the program warns.
    for file in fs::read_dir(folder).unwrap() {
        fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o600)).unwrap();
    }
    if production {
        let postgres = "postgres://frontdesk:secret@db.example:5432/frontdesk?sslmode=verify-full";
        fs::write(folder.join("postgres_url"), postgres).unwrap();
        fs::write(
            folder.join("redis_url"),
            "rediss://:secret@redis.example:6379/0",
        )
        .unwrap();
    }
}

#[test]
fn the_program_takes_the_settings_of_every_role() {
    let folder = tempfile::tempdir().unwrap();
    let (own, elsewhere) = (folder.path().join("own"), folder.path().join("elsewhere"));
    secrets(&own, false);
    secrets(&elsewhere, true);
    for (place, role, mut environment) in everywhere() {
        let production = environment["FRONTDESK_ENVIRONMENT"] == "production";
        let secrets = if production { &elsewhere } else { &own };
        for value in environment.values_mut() {
            if let Some(file) = value.strip_prefix("/run/secrets/") {
                *value = secrets.join(file).display().to_string();
            }
        }
        if role != "seed" {
            check(place, &role, &environment);
        }
    }
}

fn check(place: &str, role: &str, environment: &Environment) {
    let mut command = Command::new(program());
    command.args(["config", "check", "--json", "--role", role]);
    let output = command.env_clear().envs(environment).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = list(&report, "problems").to_vec();
    // Whether the tests run as root says nothing about the settings.
    found.retain(|problem| text(problem, "code") != "process.root");
    found.extend_from_slice(list(&report, "warnings"));
    assert!(report["ok"].is_boolean(), "{report}");
    assert!(found.is_empty(), "{place}, {role}: {found:#?}");
}

#[test]
fn every_name_in_what_people_read_is_a_setting() {
    let keys = keys();
    let mut files = vec![
        "docker-compose.yml".to_owned(),
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
