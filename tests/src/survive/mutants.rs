//! The mutants of `tests/survive/mutants`: faults built into the product on purpose, and what became
//! of each. A result counts only for the commit it was found at.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What a patch's first lines say.
#[derive(Clone, Debug, Serialize)]
pub struct Patch {
    /// Its file.
    pub patch: PathBuf,
    /// Its file's name.
    pub name: String,
    /// What it breaks.
    pub breaks: String,
    /// The scenario that must catch it.
    pub scenario: String,
    /// The installation it is run on.
    pub topology: String,
    /// The invariants of which one must be broken: only those count.
    pub expect: Vec<String>,
}

/// What became of one mutant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mutant {
    /// The patch.
    pub name: String,
    /// What it breaks.
    pub breaks: String,
    /// The scenario that was to catch it.
    pub scenario: String,
    /// The commit it was built from.
    #[serde(default)]
    pub commit: String,
    /// Invariants that were to be broken.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Of them those that were.
    pub caught_by: Vec<String>,
    /// Others that were.
    #[serde(default)]
    pub also: Vec<String>,
}

/// Every patch under `root`.
///
/// # Errors
/// When one cannot be read or lacks a line.
pub fn patches(root: &Path) -> anyhow::Result<Vec<Patch>> {
    let mut patches = Vec::new();
    for entry in std::fs::read_dir(root.join("tests/survive/mutants"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "patch") {
            patches.push(read(&path)?);
        }
    }
    patches.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(patches)
}

fn read(path: &Path) -> anyhow::Result<Patch> {
    let text = std::fs::read_to_string(path)?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|line| line.trim().to_owned())
            .with_context(|| format!("{} says no `{name}`", path.display()))
    };
    let expect = field("# Expect:")?;
    Ok(Patch {
        patch: path.to_owned(),
        name: path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        breaks: field("# Breaks:")?,
        scenario: field("# Scenario:")?,
        topology: field("# Topology:")?,
        expect: expect.split(',').map(|one| one.trim().to_owned()).collect(),
    })
}

/// One row for each patch, in their order: the result at `commit`, or none. Results of other commits
/// say nothing of this one.
pub fn at_commit(patches: &[Patch], results: &[Mutant], commit: &str) -> Vec<Mutant> {
    let row = |patch: &Patch| {
        let mut found = results.iter().rev();
        let found = found.find(|one| one.name == patch.name && one.commit == commit);
        found.cloned().unwrap_or_else(|| Mutant {
            name: patch.name.clone(),
            breaks: patch.breaks.clone(),
            scenario: patch.scenario.clone(),
            commit: String::new(),
            expect: patch.expect.clone(),
            caught_by: Vec::new(),
            also: Vec::new(),
        })
    };
    patches.iter().map(row).collect()
}

impl Mutant {
    /// Whether it was built and struck at the commit of the report.
    pub fn is_tried(&self) -> bool {
        !self.commit.is_empty()
    }

    /// Whether it was, and nothing that had to break broke.
    pub fn survived(&self) -> bool {
        self.is_tried() && self.caught_by.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::survive::checker::{INVARIANTS, MEASURED};
    use crate::survive::scenarios::ALL;

    fn all() -> Vec<Patch> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        patches(&root).expect("every patch has its lines")
    }

    #[test]
    fn every_patch_names_a_scenario_and_invariants_that_exist() {
        let known: BTreeSet<&str> = INVARIANTS
            .iter()
            .chain(&MEASURED)
            .map(|one| one.0)
            .collect();
        for patch in all() {
            assert!(
                ALL.iter().any(|one| one.name == patch.scenario),
                "{patch:?}"
            );
            let expected = patch.expect.iter().all(|one| known.contains(one.as_str()));
            assert!(expected && !patch.expect.is_empty(), "{patch:?}");
        }
    }

    #[test]
    fn a_result_counts_for_its_commit_only() {
        let patches = all();
        let result = |commit: &str, caught_by: &[&str]| Mutant {
            name: patches[0].name.clone(),
            breaks: String::new(),
            scenario: String::new(),
            commit: commit.to_owned(),
            expect: Vec::new(),
            caught_by: caught_by.iter().map(|&one| one.to_owned()).collect(),
            also: Vec::new(),
        };
        let results = [result("a", &[]), result("b", &["I1"])];
        let rows = at_commit(&patches, &results, "b");
        assert_eq!(rows.len(), patches.len());
        assert!(rows[0].is_tried() && !rows[0].survived());
        assert!(
            rows[1..]
                .iter()
                .all(|row| !row.is_tried() && !row.survived())
        );
        assert!(at_commit(&patches, &results, "a")[0].survived());
        assert!(!at_commit(&patches, &results, "c")[0].is_tried());
    }
}
