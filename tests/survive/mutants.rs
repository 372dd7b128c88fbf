//! Every mutant still applies: the code it breaks is still there to be broken. That each is caught
//! is shown by `cargo xtask survive --mutants`.

use std::path::Path;
use std::process::Command;

#[test]
fn every_mutant_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = root.join("tests/survive/mutants");
    let mut stale = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder of the mutants") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|ending| ending != "patch") {
            continue;
        }
        count += 1;
        let applied = Command::new("git")
            .args(["apply", "--check", "--recount"])
            .arg(&path)
            .current_dir(&root)
            .output()
            .expect("git runs");
        if !applied.status.success() {
            let why = String::from_utf8_lossy(&applied.stderr).into_owned();
            stale.push(format!("{}: {why}", path.display()));
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));
    assert!(count >= 12, "only {count} mutants");
}
