//! Tests and the other checks of CI.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;

use crate::tools::{cargo, cargo_tool, grpcurl, pip, run, target_dir, test_servers};
use crate::watchdog::Watchdog;

/// Version of cargo-deny that CI installs.
const CARGO_DENY: &str = "0.20.2";

/// Longest that building and running all tests may take: several times what they need on 2 cores.
const TESTS_WITHIN: Duration = Duration::from_secs(3_000);

/// Everything CI runs.
pub(crate) fn ci() -> anyhow::Result<()> {
    run("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    // On a new machine the tool takes minutes to build, mostly on one core, beside the lints.
    std::thread::scope(|scope| {
        let rules = scope.spawn(dependency_rules);
        lints()?;
        rules
            .join()
            .map_err(|_| anyhow::anyhow!("dependency rules: panicked"))?
    })?;
    test()?;
    crate::survive::quick()
}

fn dependency_rules() -> anyhow::Result<()> {
    cargo_tool("deny", CARGO_DENY)?;
    let deny = [
        "deny",
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ];
    run("dependency rules", &mut cargo(&deny))
}

fn lints() -> anyhow::Result<()> {
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    run("lints", &mut cargo(&clippy))
}

/// Every test of the workspace, with real processes.
pub(crate) fn test() -> anyhow::Result<()> {
    let grpcurl = grpcurl()?;
    test_servers()?;
    pip()?;
    run("build", &mut cargo(&["build", "--workspace", "--quiet"]))?;
    let program = target_dir()?.join("debug/frontdesk");
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    command
        .env("FRONTDESK_BIN", program)
        .env("FRONTDESK_GRPCURL", grpcurl);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo test: cannot start")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let watchdog = Watchdog::over(child.id(), "tests", TESTS_WITHIN);
    let mut total = Total::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        if !total.add(&line) {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    drop(watchdog);
    println!("\n{} passed, {} failed", total.passed, total.failed);
    anyhow::ensure!(
        total.ignored == 0,
        "{} tests are ignored; none may be",
        total.ignored
    );
    anyhow::ensure!(total.passed > 0, "no test ran");
    anyhow::ensure!(status.success() && total.failed == 0, "tests failed");
    Ok(())
}

/// Counts over all test binaries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Total {
    /// Adds a line of cargo's output if it is a result; says whether it is only noise.
    fn add(&mut self, line: &str) -> bool {
        if let Some(result) = line.strip_prefix("test result: ") {
            for part in result.split(['.', ';']) {
                match part.trim().split_once(' ') {
                    Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                    Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                    Some((count, "ignored")) => self.ignored += count.parse().unwrap_or(0),
                    _ => {}
                }
            }
            return true;
        }
        line.trim().is_empty()
            || (line.starts_with("test ") && line.ends_with(" ... ok"))
            || line.starts_with("running ")
    }
}

#[cfg(test)]
mod tests {
    use super::Total;

    #[test]
    fn results_add_up_and_failures_stay_visible() {
        let mut total = Total::default();
        let line =
            "test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; finished in 1s";
        assert!(total.add(line) && total.add("test result: ok. 3 passed; 0 failed; 1 ignored"));
        assert_eq!(
            total,
            Total {
                passed: 15,
                failed: 2,
                ignored: 1
            }
        );
        assert!(total.add("test a::b ... ok") && !total.add("test a::c ... FAILED"));
    }
}
