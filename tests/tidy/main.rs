//! Rules of the house, as tests: who may import whom, how long a file may be, what may not stand
//! in the tree.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod deploy;
mod observed;
mod queries;
mod scripts;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Longest production file, in lines.
const LONGEST_FILE: usize = 500;
/// Most packages in Cargo.lock.
const MOST_PACKAGES: usize = 480;

/// Crates that do I/O, tell the time or make randomness: no core may name them.
const IMPURE: [&str; 18] = [
    "tokio",
    "tokio-stream",
    "tokio-util",
    "tonic",
    "prost",
    "redis",
    "sqlx",
    "hyper",
    "axum",
    "reqwest",
    "tracing",
    "rand",
    "uuid",
    "chrono",
    "futures-util",
    "tower",
    "opentelemetry",
    "anyhow",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()
        .unwrap()
}

/// Files git knows or would add, so that what is ignored does not count.
fn files() -> Vec<PathBuf> {
    let list = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is needed to list the tree");
    assert!(list.status.success(), "git ls-files failed");
    let names = String::from_utf8(list.stdout).unwrap();
    names
        .lines()
        .map(|name| root().join(name))
        .filter(|path| path.is_file())
        .collect()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "rs")
}

fn is_test(path: &Path) -> bool {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.starts_with("tests")
        || path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs")
        || path.starts_with("crates/lib-testkit")
}

/// Whether `from` may have `to` among its normal dependencies.
fn may_import(from: &str, to: &str) -> bool {
    let tier = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    match (tier(from).as_str(), tier(to).as_str()) {
        (_, "core") if to == "core-types" => from != "core-types",
        ("svc", "core") => true,
        // The flow lab plays without a server (decision 0009).
        ("frontdesk", "core") => to == "core-flow",
        ("svc", "lib") | ("frontdesk", "svc" | "lib") => to != "lib-testkit",
        ("lib", "lib") => below(from).contains(&to),
        _ => false,
    }
}

/// Which libraries a library may stand on.
fn below(lib: &str) -> &'static [&'static str] {
    match lib {
        "lib-platform" => &["lib-storage"],
        "lib-testkit" => &["lib-platform", "lib-storage", "lib-proto"],
        _ => &[],
    }
}

#[test]
fn imports_point_downwards() {
    let metadata = metadata();
    let ours: BTreeSet<String> = metadata
        .packages
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    let mut breaches = Vec::new();
    for package in metadata
        .packages
        .iter()
        .filter(|package| package.name.as_str() != "tests")
    {
        for dependency in &package.dependencies {
            if dependency.kind == DependencyKind::Development {
                continue;
            }
            let (from, to) = (package.name.as_str(), dependency.name.as_str());
            if ours.contains(to) && !may_import(from, to) {
                breaches.push(format!("{from} may not import {to}"));
            }
            if from.starts_with("core-") && IMPURE.contains(&to) {
                breaches.push(format!("{from} is pure and may not import {to}"));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_import_rule_has_teeth() {
    assert!(may_import("svc-routing", "core-routing") && may_import("frontdesk", "svc-routing"));
    assert!(!may_import("svc-routing", "svc-billing") && !may_import("core-flow", "core-routing"));
    assert!(!may_import("lib-platform", "lib-proto") && !may_import("frontdesk", "core-routing"));
    assert!(!may_import("svc-routing", "lib-testkit") && may_import("core-flow", "core-types"));
    assert!(may_import("frontdesk", "core-flow"));
}

#[test]
fn cores_are_pure() {
    let mut breaches = Vec::new();
    for path in files().iter().filter(|path| is_rust(path)) {
        let name = path.strip_prefix(root()).unwrap();
        let in_core = name.components().nth(1).is_some_and(|part| {
            part.as_os_str()
                .to_str()
                .is_some_and(|part| part.starts_with("core-"))
        });
        if !in_core || is_test(path) {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        for word in [
            "async fn",
            "SystemTime",
            "Instant::now",
            "HashMap",
            "println!",
        ] {
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            if code.clone().any(|line| line.contains(word)) {
                breaches.push(format!("{}: {word}", name.display()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for package in metadata().packages {
        let manifest = fs::read_to_string(&package.manifest_path).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{}",
            package.name
        );
    }
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut breaches = Vec::new();
    for path in files().iter().filter(|path| is_rust(path)) {
        let text = fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(root()).unwrap().display();
        if !text.starts_with("//!") {
            breaches.push(format!(
                "{name}: does not open with what it is for (`//! …`)"
            ));
        }
        let lines = text.lines().count();
        if !is_test(path) && lines > LONGEST_FILE {
            breaches.push(format!("{name}: {lines} lines, more than {LONGEST_FILE}"));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn nothing_unfinished_and_no_private_path_stands_in_the_tree() {
    // Written in two pieces, so that this list does not find itself.
    let banned = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[", "ignore"),
        concat!("dbg", "!("),
        concat!("FIX", "ME"),
        concat!("/wo", "rk/"),
        concat!("/tmp/", "bash"),
    ];
    let mut breaches = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for word in banned.iter().filter(|word| text.contains(*word)) {
            breaches.push(format!("{}: {word}", path.display()));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn dependencies_stay_few() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock.matches("[[package]]").count();
    assert!(
        packages <= MOST_PACKAGES,
        "{packages} packages in Cargo.lock"
    );
}
