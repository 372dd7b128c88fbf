//! The gRPC commands of the README and of the pages for operators, run as printed (only the port
//! differs, so that tests do not meet).

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use tests::process::{Addresses, Frontdesk};

/// A page, continuation lines joined.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.replace("\\\n", " ")
}

/// The program, which must be there.
fn grpcurl() -> OsString {
    let grpcurl = std::env::var_os("FRONTDESK_GRPCURL").unwrap_or_else(|| "grpcurl".into());
    let found = Command::new(&grpcurl).arg("-version").output();
    assert!(
        found.is_ok(),
        "grpcurl is needed: run `cargo xtask test`, or put it on the PATH"
    );
    grpcurl
}

/// The commands of the README that start with `grpcurl`.
fn commands() -> Vec<String> {
    let text = page("README.md");
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
    let grpcurl = grpcurl();
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

/// A page's uses of `call`: whole lines, and words in code. What comes behind a pipe is left out, and
/// what has a gap to fill.
fn calls(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with("call "));
    let words = text.split('`').filter(|word| word.starts_with("call "));
    let calls = lines.chain(words);
    let calls = calls.map(|call| call.split(" | ").next().unwrap_or_default().to_owned());
    calls.filter(|call| !call.contains('…')).collect()
}

#[test]
fn the_operators_calls_work_as_printed() {
    let operations = page("docs/OPERATIONS.md");
    let from = operations.find("call() {").unwrap();
    let function = &operations[from..];
    let function = &function[..function.find("\n}\n").unwrap() + 3];
    let (own, first) = (calls(&operations), calls(&page("docs/DEPLOYMENT.md")));
    assert!(own.len() >= 12 && first.len() == 6, "{own:?} {first:?}");
    let grpcurl = grpcurl();
    let folder = tempfile::tempdir().unwrap();
    let process = Frontdesk::start(folder.path(), &Addresses::free(), &[]);
    let function = function.replace("127.0.0.1:50051", &process.at.grpc);
    let run = |call: &str, tenant: &str| {
        let script = format!("grpcurl() {{ \"$GRPCURL\" \"$@\"; }}\n{function}\n{call}");
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .env("GRPCURL", &grpcurl)
            .env("OPERATOR", "dev-operator")
            .env("TENANT", tenant)
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), error)
    };
    for call in first {
        let (done, error) = run(&call, "acme");
        assert!(done, "{call}\n{error}");
    }
    for call in own {
        let (done, error) = run(&call, "demo");
        // Nothing is parked in a fresh installation, and no number has sent.
        assert!(done || error.contains("Code: NotFound"), "{call}\n{error}");
    }
    assert!(process.stop().success());
}
