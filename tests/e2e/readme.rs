//! The README's gRPC commands, run as printed (only the port differs, so that tests do not meet).

use std::path::Path;
use std::process::Command;

use tests::process::{Addresses, Frontdesk};

/// The commands of the README that start with `grpcurl`, continuation lines joined.
fn commands() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(path).unwrap().replace("\\\n", " ");
    let mut inside = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside && line.starts_with("grpcurl ") {
            commands.push(line.to_owned());
        }
    }
    commands
}

#[test]
fn the_readmes_grpcurl_commands_work_as_printed() {
    let grpcurl = std::env::var_os("FRONTDESK_GRPCURL").unwrap_or_else(|| "grpcurl".into());
    let found = Command::new(&grpcurl).arg("-version").output();
    assert!(
        found.is_ok(),
        "grpcurl is needed: run `cargo xtask test`, or put it on the PATH"
    );
    let folder = tempfile::tempdir().unwrap();
    let process = Frontdesk::start(folder.path(), &Addresses::free(), &[]);
    let commands = commands();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let here = command.replace("127.0.0.1:50051", &process.at.grpc);
        let here = here.replacen("grpcurl", "\"$GRPCURL\"", 1);
        let output = Command::new("sh")
            .args(["-c", &here])
            .env("GRPCURL", &grpcurl)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\n{error}");
        assert!(!output.stdout.is_empty(), "{command} printed nothing");
    }
    assert!(process.stop().success());
}
