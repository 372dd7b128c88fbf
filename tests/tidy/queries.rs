//! Queries name their columns. PostgreSQL refuses a prepared `SELECT *` on a connection that was open
//! when a migration added a column: while replicas are replaced one by one, those of the old version
//! would fail. The sandbox has SQLite only, which prepares such a query again by itself.

use std::fs;
use std::path::Path;

use crate::{files, is_rust, root};

/// What a query takes whole, as `table.*` or `*`, in the text of a program.
fn taken_whole(program: &str) -> Vec<String> {
    let code = program
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    // A backslash continues a text on the next line.
    let words: Vec<&str> = code
        .flat_map(str::split_whitespace)
        .filter(|word| *word != "\\")
        .collect();
    let pairs = words.windows(2).map(|pair| (pair[0], pair[1]));
    pairs
        .filter(|(before, word)| opens_an_item(before) && is_whole(word))
        .map(|(before, word)| format!("{before} {word}"))
        .collect()
}

/// Whether an item of what a query gives can follow.
fn opens_an_item(word: &str) -> bool {
    let keyword = word.rsplit(|c: char| !c.is_ascii_alphanumeric()).next();
    let keyword = keyword.unwrap_or_default().to_ascii_uppercase();
    word.ends_with(',') || ["SELECT", "DISTINCT", "ALL", "RETURNING"].contains(&keyword.as_str())
}

/// Whether an item is all columns; it stands inside of a text, so no quote opens it.
fn is_whole(word: &str) -> bool {
    let item = word.trim_end_matches(|c: char| !matches!(c, '*' | 'a'..='z' | '0'..='9' | '_'));
    let Some(table) = item.strip_suffix('*') else {
        return false;
    };
    let name = table.strip_suffix('.').unwrap_or("");
    let dotted = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    table.is_empty() || dotted
}

/// Whether a file has queries that run on PostgreSQL.
fn is_on_servers(path: &Path) -> bool {
    let mut parts = path
        .components()
        .filter_map(|part| part.as_os_str().to_str());
    let service = |name: &str| name.starts_with("svc-") && name != "svc-sandbox";
    parts.next() == Some("crates")
        && parts.next().is_some_and(service)
        && parts.next() == Some("src")
        && is_rust(path)
}

#[test]
fn queries_name_their_columns() {
    let root = root();
    let mut breaches = Vec::new();
    for path in files() {
        let name = path.strip_prefix(&root).unwrap();
        if !is_on_servers(name) {
            continue;
        }
        for found in taken_whole(&fs::read_to_string(&path).unwrap()) {
            breaches.push(format!("{}: `{found}`: name the columns", name.display()));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_rule_on_columns_has_teeth() {
    for bad in [
        r#"sql("SELECT * FROM person")"#,
        r#"sql("SELECT p.* FROM access_token t JOIN person p ON TRUE")"#,
        r#"sql("SELECT t.at, p.* FROM access_token t JOIN person p ON TRUE")"#,
        r#"sql("SELECT c.*, n.id FROM number n JOIN connector c ON TRUE")"#,
        "sql(\"SELECT t.at, \\\n     p.* \\\n     FROM person p\")",
        "sql(\n    \"SELECT DISTINCT\n     * FROM person\",\n)",
        r#"sql("SELECT id FROM a UNION ALL SELECT * FROM b")"#,
        r#"sql("DELETE FROM person RETURNING *")"#,
    ] {
        assert_eq!(taken_whole(bad).len(), 1, "{bad}");
    }
    for good in [
        r#"sql("SELECT id, COUNT(*), 2 * n FROM person")"#,
        r#"sql("SELECT p.id FROM person p")"#,
        "/// Not `SELECT *`.\n// SELECT * FROM person",
        r#"["templates.*", "flows.*"]"#,
        "use super::*;\nlet n = (a, *b);",
    ] {
        assert!(taken_whole(good).is_empty(), "{good}");
    }
    assert!(is_on_servers(Path::new("crates/svc-accounts/src/store.rs")));
    assert!(is_on_servers(Path::new(
        "crates/svc-conversations/src/store/log.rs"
    )));
    assert!(!is_on_servers(Path::new("crates/svc-sandbox/src/store.rs")));
    assert!(!is_on_servers(Path::new(
        "crates/svc-accounts/tests/accounts.rs"
    )));
}
