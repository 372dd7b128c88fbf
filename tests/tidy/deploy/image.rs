//! The Dockerfiles: the linter passes them, the build finds what it needs, and the healthcheck is a
//! command the program has.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::process::program;
use tests::tools;

use super::{image_breach, printed, read};
use crate::{files, is_rust, root};

#[test]
fn the_linter_passes_the_dockerfiles_and_has_teeth() {
    let files = ["deploy/Dockerfile", "deploy/probe.Dockerfile"];
    printed(tools::hadolint().current_dir(root()).args(files));
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("Dockerfile");
    std::fs::write(&wrong, "FROM debian:latest\nRUN cd /x && sudo make\n").unwrap();
    assert!(
        !tools::hadolint()
            .arg(wrong)
            .output()
            .unwrap()
            .status
            .success()
    );
}

#[test]
fn images_are_exact_and_the_toolchain_is_the_workspace_s() {
    let docker = read("deploy/Dockerfile");
    let stages: Vec<&str> = docker
        .lines()
        .filter_map(|line| line.split(" AS ").nth(1))
        .collect();
    for line in docker
        .lines()
        .chain(read("deploy/probe.Dockerfile").lines())
    {
        let Some(image) = line
            .strip_prefix("FROM ")
            .and_then(|rest| rest.split(' ').next())
        else {
            continue;
        };
        if !stages.contains(&image) && !image.starts_with('$') {
            assert_eq!(image_breach(image), None);
        }
    }
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain
        .split("channel = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    assert!(docker.contains(&format!("FROM rust:{version}-")));
    assert!(docker.contains(&format!("RUSTUP_TOOLCHAIN={version} ")));
}

#[test]
fn the_image_runs_as_nobody_and_knows_how_it_is() {
    let docker = read("deploy/Dockerfile");
    let last = docker.rsplit("\nFROM ").next().unwrap();
    assert!(
        last.contains("\nUSER 65532:65532\n") && last.contains("\nENTRYPOINT [\"frontdesk\"]\n")
    );
    let health = last
        .split("HEALTHCHECK")
        .nth(1)
        .and_then(|rest| rest.split("CMD ").nth(1))
        .unwrap();
    let words: Vec<String> = serde_json::from_str(health.lines().next().unwrap()).unwrap();
    assert_eq!(words[..2], ["frontdesk", "health"]);
    // The command and its option exist, and nobody there is a failure.
    let mut command = Command::new(program());
    command
        .args(&words[1..words.len() - 1])
        .arg("http://127.0.0.1:9")
        .env_clear();
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("/readyz does not answer"),
        "{said}"
    );
}

/// Whether `.dockerignore` keeps a path out of the build. The last rule that matches decides.
fn is_ignored(rules: &str, path: &Path) -> bool {
    let mut ignored = false;
    for rule in rules
        .lines()
        .map(str::trim)
        .filter(|rule| !rule.is_empty() && !rule.starts_with('#'))
    {
        let (rule, keeps) = rule
            .strip_prefix('!')
            .map_or((rule, false), |rule| (rule, true));
        let matches = match (rule.strip_suffix("/*"), rule.strip_prefix('*')) {
            (Some(folder), _) => path.starts_with(folder),
            (_, Some(ending)) => {
                path.components().count() == 1 && path.to_string_lossy().ends_with(ending)
            }
            _ => path.starts_with(rule),
        };
        if matches {
            ignored = !keeps;
        }
    }
    ignored
}

#[test]
fn the_build_in_the_image_finds_what_it_needs() {
    let rules = read(".dockerignore");
    let mut included = 0;
    for path in files() {
        let name = path.strip_prefix(root()).unwrap();
        let needed = is_rust(name) || name.ends_with("Cargo.toml") || name.starts_with("proto");
        let needed = needed || matches!(name.to_str(), Some("Cargo.lock" | "rust-toolchain.toml"));
        assert!(
            !needed || !is_ignored(&rules, name),
            "{} is not in the image's build",
            name.display()
        );
        if !is_rust(name) {
            continue;
        }
        let code = std::fs::read_to_string(&path).unwrap();
        let files = ["include_str!(\"", "include_bytes!(\""]
            .into_iter()
            .flat_map(|word| code.split(word).skip(1));
        for file in files.filter_map(|rest| rest.split('"').next()) {
            let file = resolve(&name.parent().unwrap().join(file));
            included += usize::from(file.starts_with("deploy"));
            assert!(
                !is_ignored(&rules, &file),
                "{} is not in the image's build",
                file.display()
            );
        }
    }
    assert!(included > 0, "nothing that is included was found");
}

/// The path without `..`.
fn resolve(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        if part.as_os_str() == ".." {
            path.pop();
        } else {
            path.push(part);
        }
        path
    })
}

#[test]
fn secrets_and_builds_stay_out_of_the_image() {
    let rules = read(".dockerignore");
    for path in [
        "deploy/secrets/service_token",
        "target/debug/frontdesk",
        ".git/config",
        "README.md",
        "frontdesk-data/a.db",
    ] {
        assert!(is_ignored(&rules, Path::new(path)), "{path}");
    }
    assert!(!is_ignored(&rules, Path::new("deploy/flows/a.json")));
    let ignored = Command::new("git")
        .args([
            "check-ignore",
            "deploy/secrets/service_token",
            "deploy/env/egress.env",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&ignored.stdout).lines().count(),
        2,
        "git would take a secret"
    );
}
