//! The life of a flow in an installation, from the command line: imported, published, compared, gone
//! back, exported.

use std::path::Path;

use crate::flow_replay::{flow, good, guide, refused};
use crate::installation::{Access, Installation};

/// What differs where one asks for another time.
const CHANGE: &str = "Collect_Input.settings.timeout_seconds\n  - 600\n  + 900\n";

fn admin(access: &Access, args: &[&str]) -> String {
    good(&flow(access, "admin", args))
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_flow_is_imported_compared_gone_back_and_exported() {
    let installation = Installation::dev();
    let access = installation.access();
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(guide()).unwrap();
    let first = write(folder.path(), "first.json", &text);
    let changed = text.replace("\"timeout_seconds\": 600", "\"timeout_seconds\": 900");
    let second = write(folder.path(), "second.json", &changed);

    let said = admin(
        access,
        &[
            "import",
            &first,
            "--id",
            "f",
            "--publish",
            "--note",
            "First",
        ],
    );
    assert_eq!(said, "f: version 1 is published\n");
    let said = admin(access, &["import", &second, "--id", "f"]);
    assert_eq!(said, "f: the draft is stored\n");
    for (from, to) in [("f@1", "f"), (&*first, &*second), ("f@1", &*second)] {
        let differs = flow(access, "admin", &["diff", from, to]);
        assert_eq!(differs.status.code(), Some(1));
        assert_eq!(String::from_utf8(differs.stdout).unwrap(), CHANGE);
        assert!(differs.stderr.is_empty());
    }
    assert_eq!(admin(access, &["diff", &first, "f@1"]), "the same\n");
    admin(
        access,
        &[
            "import",
            &second,
            "--id",
            "f",
            "--publish",
            "--note",
            "Longer",
        ],
    );
    let back = admin(access, &["roll-back", "f", "1", "--note", "Too long"]);
    assert_eq!(
        back,
        "f: version 3 is published and says what version 1 says\n"
    );
    let listed = admin(access, &["versions", "f"]);
    let notes: Vec<&str> = listed
        .lines()
        .map(|line| line.rsplit("  ").next().unwrap())
        .collect();
    assert_eq!(notes, ["Too long", "Longer", "First"], "{listed}");
    let json = admin(access, &["versions", "f", "--json"]);
    assert_eq!(json.lines().count(), 3);
    let exported = folder.path().join("exported.json");
    admin(access, &["export", "f@3", "-o", exported.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(exported).unwrap(), text);

    is_checked_against_the_installation(access, &first, folder.path());
    is_refused_in_words(access, folder.path());
    installation.stop();
}

fn is_checked_against_the_installation(access: &Access, first: &str, folder: &Path) {
    let text = std::fs::read_to_string(first).unwrap();
    let said = admin(access, &["check", "--live", first]);
    assert!(said.contains("right, 6 widgets"), "{said}");
    let lost = text.replace("\"queue\": \"support\"", "\"queue\": \"help\"");
    let lost = write(folder, "lost.json", &lost);
    admin(access, &["check", &lost]);
    let said = refused(&flow(access, "admin", &["check", "--live", &lost]));
    assert!(
        said.contains("no queue `help`") && said.contains("sales, support"),
        "{said}"
    );
}

fn is_refused_in_words(access: &Access, folder: &Path) {
    let text = std::fs::read_to_string(guide()).unwrap();
    for (args, words) in [
        (vec!["versions", "nobody"], "nobody"),
        (vec!["export", "f@9"], "f/9"),
        (vec!["export", "f@x"], "a version is a number"),
        (vec!["roll-back", "f", "9"], "f/9"),
        (
            vec!["diff", "f", "nowhere.json"],
            "there is no file `nowhere.json`",
        ),
        (
            vec!["import", "nowhere.json", "--id", "f"],
            "cannot read nowhere.json",
        ),
    ] {
        let said = refused(&flow(access, "admin", &args));
        assert!(said.contains(words), "{args:?}: {said}");
    }
    let broken = write(
        folder,
        "broken.json",
        &text.replace("\"queue\": \"support\"", "\"queue\": \"a b\""),
    );
    let said = refused(&flow(access, "admin", &["import", &broken, "--id", "f"]));
    assert!(said.contains("Route_to_Support.settings.queue"), "{said}");
    let forbidden = refused(&flow(access, "ana", &["roll-back", "f", "1"]));
    assert!(
        forbidden.contains("needs the role administrator or flow author"),
        "{forbidden}"
    );
}
