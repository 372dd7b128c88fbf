//! Scripts that run in Redis: each opens with what it is, whose it is and what repeating it does, and
//! stands in the list of owners.

use std::fs;
use std::path::Path;

use crate::{files, root};

/// The list of scripts and their owners.
const LIST: &str = "docs/SCRIPTS.md";

/// The lines a script opens with.
struct Header {
    /// `#!lua`, with flags; `None` where another script stands before this one.
    engine: Option<String>,
    comments: Vec<String>,
}

impl Header {
    fn read(text: &str) -> Self {
        let mut lines = text.lines().peekable();
        let engine = lines.next_if(|line| line.starts_with("#!"));
        let comments = lines.map_while(|line| line.strip_prefix("--"));
        Self {
            engine: engine.map(str::to_owned),
            comments: comments.map(|line| line.trim().to_owned()).collect(),
        }
    }

    /// What stands after `word` at the beginning of a line; empty when there is no such line.
    fn says(&self, word: &str) -> &str {
        let mut said = self.comments.iter();
        said.find_map(|line| line.strip_prefix(word))
            .map_or("", str::trim)
    }

    /// What is missing. `exists` tells of another script of the folder.
    fn problems(&self, exists: impl Fn(&str) -> bool) -> Vec<String> {
        let mut problems = Vec::new();
        let mut must = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        let first = self.comments.first().map_or("", String::as_str);
        must(first.contains(' '), "does not open with what it does");
        for word in ["Owner:", "KEYS", "ARGV", "Returns", "Repeated:"] {
            must(
                !self.says(word).is_empty(),
                &format!("has no line `-- {word} …`"),
            );
        }
        match &self.engine {
            Some(engine) => {
                must(engine.starts_with("#!lua"), "is not for Lua");
                let over = engine.contains("allow-oom");
                let why = !self.says("allow-oom:").is_empty();
                must(over == why, "`allow-oom` and its reason go together");
            }
            None => must(
                exists(self.says("Follows:")),
                "has neither `#!lua` nor a script it follows (`-- Follows: …`)",
            ),
        }
        problems
    }
}

#[test]
fn every_script_says_whose_it_is_and_what_repeating_it_does() {
    let list = fs::read_to_string(root().join(LIST)).unwrap();
    let mut breaches = Vec::new();
    let mut found = 0;
    for path in files() {
        if path.extension().is_none_or(|ending| ending != "lua") {
            continue;
        }
        found += 1;
        let header = Header::read(&fs::read_to_string(&path).unwrap());
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let folder = path.parent().unwrap();
        let exists = |other: &str| !other.is_empty() && folder.join(other).is_file();
        for problem in header.problems(exists) {
            breaches.push(format!("{name}: {problem}"));
        }
        let owner = header.says("Owner:");
        if !uses(&root().join(owner), &path) {
            breaches.push(format!("{name}: its owner `{owner}` does not run it"));
        }
        if !list.contains(&format!("| `{name}` | `{owner}` |")) {
            breaches.push(format!("{name}: {LIST} does not list it with its owner"));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    let listed = list.matches(".lua` | `crates/").count();
    assert_eq!(listed, found, "{LIST} lists others");
}

/// Whether the program text at `owner` takes `script` in.
fn uses(owner: &Path, script: &Path) -> bool {
    let name = script.file_name().unwrap().to_str().unwrap();
    let text = fs::read_to_string(owner).unwrap_or_default();
    text.lines()
        .any(|line| line.contains("include_str!(") && line.contains(&format!("{name}\")")))
}

#[test]
fn the_rule_for_scripts_has_teeth() {
    let whole = "#!lua flags=allow-oom\n-- Does it.\n-- Owner: a.rs\n-- KEYS 1 a\n-- ARGV 1 b\n\
                 -- Returns 1\n-- Repeated: harmless.\n-- allow-oom: it only frees.\nreturn 1\n";
    let problems = |text: &str| Header::read(text).problems(|other| other == "park.lua");
    assert_eq!(problems(whole), Vec::<String>::new());
    for line in whole.lines().skip(2).filter(|line| line.starts_with("--")) {
        assert_eq!(problems(&whole.replace(line, "--")).len(), 1, "{line}");
    }
    let no_flag = whole.replace(" flags=allow-oom", "");
    assert_eq!(problems(&no_flag).len(), 1);
    let part = whole.replace("#!lua flags=allow-oom\n", "");
    assert_eq!(problems(&part).len(), 1);
    let part = part.replace("-- Owner", "-- Follows: park.lua\n-- Owner");
    assert_eq!(problems(&part), Vec::<String>::new());
    // What stands further down is no header.
    assert_eq!(problems(&format!("#!lua\nreturn 1\n{whole}")).len(), 6);
}
