//! What the table of keys looks like to people: the example file, the list, the documentation.

use lib_platform::config::{Key, Kind};
use serde_json::{Value, json};

use crate::config::table::ROLES;

/// The commented example file: `deploy/frontdesk.example.toml`.
pub(super) fn toml(table: &[Key]) -> String {
    let mut text = String::from(
        "# Settings of Frontdesk's roles (`frontdesk ingress`, `frontdesk conversations`, …). Each line\n\
         # shows a default or an example; remove the `#` to change it. The environment wins over this\n\
         # file: `grpc.listen` is FRONTDESK_GRPC_LISTEN there. A secret may stand in a file of its own:\n\
         # `<key>_file` here, FRONTDESK_<KEY>_FILE in the environment.\n\
         # Printed by `frontdesk config example`; check yours with `frontdesk config check --config FILE`.\n",
    );
    let mut section = "";
    for key in table {
        let (table, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if table != section {
            add(&mut text, format!("\n[{table}]\n"));
            section = table;
        }
        text.push('\n');
        for line in wrapped(key.doc, 96) {
            add(&mut text, format!("# {line}\n"));
        }
        for line in wrapped(&facts(key), 96) {
            add(&mut text, format!("# {line}\n"));
        }
        if key.kind.is_secret() {
            add(
                &mut text,
                format!("# {name}_file = \"/run/secrets/{}\"\n", key.name),
            );
        }
        add(&mut text, format!("# {name} = {}\n", literal(key)));
    }
    text
}

fn add(text: &mut String, more: String) {
    text.push_str(&more);
}

fn facts(key: &Key) -> String {
    format!(
        "Accepts {}. {} Read by: {}.",
        key.kind.form(),
        default(key, ""),
        readers(key)
    )
}

/// What holds when nothing is said; values between `marks`.
fn default(key: &Key, marks: &str) -> String {
    match key.default {
        Some(default) => format!("Default: {marks}{default}{marks}."),
        None if key.needed_by.is_empty() => "No default.".to_owned(),
        None if key.needed_by == key.used_by => "Must be set.".to_owned(),
        None => format!("Must be set for {}.", key.needed_by.join(", ")),
    }
}

fn readers(key: &Key) -> String {
    let roles = key.used_by;
    if roles.is_empty() {
        return "nobody in this version".to_owned();
    }
    if ROLES.iter().all(|role| roles.contains(role)) {
        let seed = if roles.contains(&"seed") {
            ", seed"
        } else {
            ""
        };
        return format!("every role{seed}");
    }
    roles.join(", ")
}

fn literal(key: &Key) -> String {
    let value = key.default.unwrap_or(key.example);
    match key.kind {
        Kind::Bool | Kind::Integer { .. } => value.to_owned(),
        Kind::Secrets { .. } => format!("[\"{value}\"]"),
        _ => format!("\"{value}\""),
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, String::len);
        if last > 0 && last + 1 + word.len() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// One line per key, for terminals.
pub(super) fn list(table: &[Key]) -> String {
    let mut text = String::new();
    for key in table {
        add(&mut text, format!("{}  {}\n", key.name, key.env()));
        if let Some(file) = key.env_file() {
            add(&mut text, format!("    or {file}\n"));
        }
        for line in wrapped(&facts(key), 92)
            .into_iter()
            .chain(wrapped(key.doc, 92))
        {
            add(&mut text, format!("    {line}\n"));
        }
    }
    text
}

/// All keys for programs.
pub(super) fn json(table: &[Key]) -> Value {
    let keys = table.iter().map(|key| {
        json!({
            "key": key.name,
            "env": key.env(),
            "env_file": key.env_file(),
            "kind": key.kind.name(),
            "form": key.kind.form(),
            "secret": key.kind.is_secret(),
            "default": key.default,
            "used_by": key.used_by,
            "needed_by": key.needed_by,
            "doc": key.doc,
        })
    });
    json!({ "keys": keys.collect::<Vec<_>>() })
}

/// The table of `docs/OPERATIONS.md`.
pub(super) fn markdown(table: &[Key]) -> String {
    let mut text = String::from("| Key and variable | Read by | |\n|---|---|---|\n");
    for key in table {
        let file = if key.kind.is_secret() {
            " or `…_FILE`"
        } else {
            ""
        };
        add(
            &mut text,
            format!(
                "| `{}`<br>`{}`{file} | {} | {} Accepts {}. {} |\n",
                key.name,
                key.env(),
                readers(key),
                key.doc,
                key.kind.form(),
                default(key, "`"),
            ),
        );
    }
    text
}
