//! Finds fixtures, and counts what a delivery holds without the code under test.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file and its bytes.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) body: Vec<u8>,
}

impl Fixture {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Documentation prints variables such as `<PHONE_NUMBER>`, `{{Recipient}}`, `PHONE_NUMBER_ID`.
    pub(crate) fn has_placeholders(&self) -> bool {
        ["<", "{{", "[PHONE", "PHONE_NUMBER"]
            .iter()
            .any(|mark| self.text().contains(mark))
    }
}

fn folder(path: &Path) -> Vec<Fixture> {
    let mut files: Vec<PathBuf> = fs::read_dir(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| Fixture {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            body: fs::read(&path).unwrap(),
        })
        .collect()
}

/// Our own webhook fixtures.
pub(crate) fn own() -> Vec<Fixture> {
    folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"))
}

/// Our own webhook fixture of that name.
pub(crate) fn own_named(name: &str) -> Fixture {
    own()
        .into_iter()
        .find(|fixture| fixture.name == name)
        .unwrap_or_else(|| panic!("no fixture {name}"))
}

/// Fixtures of one kind (`webhook`, `send`, …) under `FRONTDESK_FIXTURES`; none when it is not set.
pub(crate) fn extra(kind: &str) -> Vec<Fixture> {
    let Some(root) = std::env::var_os("FRONTDESK_FIXTURES") else {
        return Vec::new();
    };
    let mut sources: Vec<PathBuf> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path().join(kind))
        .filter(|path| path.is_dir())
        .collect();
    sources.sort();
    sources.iter().flat_map(|path| folder(path)).collect()
}

/// The lists whose entries are items of their own, by field.
fn lists(field: &str) -> &'static [&'static str] {
    match field {
        "messages" => &["messages", "statuses", "errors"],
        "smb_message_echoes" => &["message_echoes"],
        "smb_app_state_sync" => &["state_sync"],
        "user_preferences" => &["user_preferences"],
        "automatic_events" => &["automatic_events"],
        "calls" => &["calls", "statuses"],
        "group_lifecycle_update"
        | "group_participants_update"
        | "group_settings_update"
        | "group_status_update" => &["groups"],
        _ => &[],
    }
}

/// The JSON of every item a delivery holds.
pub(crate) fn items_of(body: &Value) -> Vec<Value> {
    let mut items = Vec::new();
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for entry in array(&body["entry"]) {
        for change in array(&entry["changes"]) {
            let before = items.len();
            for list in lists(change["field"].as_str().unwrap_or_default()) {
                items.extend(array(&change["value"][list]));
            }
            if items.len() == before {
                items.push(change["value"].clone());
            }
        }
    }
    items
}
