//! The flow lab on the command line: what README and docs/FLOWS.md print, and what authors get wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tests::process::program;

const GUIDE: &str = "deploy/flows/whatsapp-for-business.json";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder in which `deploy` is the repository's.
fn desk() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let deploy = root().join("deploy").canonicalize().unwrap();
    std::os::unix::fs::symlink(deploy, folder.path().join("deploy")).unwrap();
    folder
}

fn frontdesk(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program());
    let command = command.args(args).current_dir(folder);
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The lines of the page's code that begin with `frontdesk flow`.
fn commands(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("frontdesk flow "));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_commands_of_the_manual_work_as_printed() {
    let desk = desk();
    let mut seen = 0;
    for page in ["README.md", "docs/FLOWS.md"] {
        let commands = commands(page);
        assert!(commands.len() >= 3, "{page}: {commands:?}");
        for command in commands {
            let args: Vec<&str> = command.split_whitespace().skip(1).collect();
            let output = frontdesk(desk.path(), &args);
            let error = text(&output.stderr);
            assert!(
                output.status.success(),
                "{command}\n{}{error}",
                text(&output.stdout)
            );
            seen += 1;
        }
    }
    assert!(seen >= 7, "{seen}");
    let drawn = std::fs::read_to_string(desk.path().join("flow.svg")).unwrap();
    assert!(drawn.contains("Collect_Input") && drawn.ends_with("</svg>\n"));
}

/// What a translator gets, and what is left when it is filled in.
/// What Zoom exported is converted, checked, and told of.
#[test]
fn a_flow_of_zoom_is_converted_with_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("club.json");
    let export = "crates/core-flow/tests/flows/zoom-club.json";
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let frontdesk = |args: &[&str]| {
        let mut command = Command::new(program());
        let run = command.arg("flow").args(args).current_dir(&root).output();
        let run = run.unwrap();
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        (
            run.status.success(),
            said,
            String::from_utf8_lossy(&run.stderr).into_owned(),
        )
    };
    let output = output.to_str().unwrap();
    let (good, said, complaint) = frontdesk(&["convert", export, "-o", output]);
    assert!(good, "{said}{complaint}");
    assert!(
        said.contains("Callback: left out: there is no widget like `Callback`"),
        "{said}"
    );
    assert!(frontdesk(&["check", output]).0);
    let (good, _, complaint) = frontdesk(&["convert", "README.md", "-o", output]);
    assert!(
        !good && complaint.contains("not a flow exported from Zoom"),
        "{complaint}"
    );
}

#[test]
fn the_texts_of_a_flow_are_printed_for_translators() {
    let desk = desk();
    let texts = |args: &[&str]| {
        let args = [&["flow", "texts", "deploy/flows/reception.json"], args].concat();
        let output = frontdesk(desk.path(), &args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        object.as_object().unwrap().clone()
    };
    let all = texts(&[]);
    assert_eq!(all["Topic.settings.choices[value offer].title"], "An offer");
    assert_eq!(texts(&["--missing", "de"]).len(), 0);
    assert_eq!(texts(&["--missing", "fr"]), all);
}

/// Every flow that comes with Frontdesk has scenarios, which take every exit.
#[test]
fn the_flows_that_come_with_frontdesk_are_tested_in_full() {
    let desk = desk();
    let flows = std::fs::read_dir(root().join("deploy/flows")).unwrap();
    let flows: Vec<PathBuf> = flows.map(|entry| entry.unwrap().path()).collect();
    let ends = |path: &Path, ending: &str| path.to_string_lossy().ends_with(ending);
    for flow in flows.iter().filter(|path| ends(path, ".json")) {
        let scenarios = flow.with_extension("test.yaml");
        assert!(scenarios.is_file(), "{} is missing", scenarios.display());
    }
    let reports = ["--junit", "j.xml", "--html", "h.html", "--json"];
    let args = [
        &["flow", "test", "deploy/flows", "--full-coverage"],
        &reports[..],
    ]
    .concat();
    let output = frontdesk(desk.path(), &args);
    assert!(output.status.success(), "{}", text(&output.stdout));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(
        report["suites"][0]["exits"]["missed"],
        serde_json::json!([])
    );
    let junit = std::fs::read_to_string(desk.path().join("j.xml")).unwrap();
    assert!(
        junit.contains("failures=\"0\"") && junit.contains("<testcase "),
        "{junit}"
    );
    let page = std::fs::read_to_string(desk.path().join("h.html")).unwrap();
    assert!(page.contains("<svg ") && page.contains("exits 10 of 10"));
}

#[test]
fn a_scenario_that_differs_fails_with_the_first_difference_and_can_be_written_anew() {
    let desk = desk();
    let file = desk.path().join("mine.test.yaml");
    let written = format!(
        "flow: {GUIDE}\nscenarios:\n- title: Sales & <more>\n  steps:\n  - customer: '1'\n  - flow: Hello\n"
    );
    std::fs::write(&file, &written).unwrap();
    let args = ["flow", "test", "mine.test.yaml", "--junit", "j.xml"];
    let output = frontdesk(desk.path(), &args);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stdout);
    for words in [
        "FAIL  Sales & <more>",
        "step 2",
        "the file says",
        "flow: Hello",
        "Hey there",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(told.contains("not taken: Send_Media/failed"), "{told}");
    let junit = std::fs::read_to_string(desk.path().join("j.xml")).unwrap();
    assert!(junit.contains("failures=\"1\"") && junit.contains("Sales &amp; &lt;more&gt;"));
    assert!(
        frontdesk(desk.path(), &["flow", "test", "--update", "mine.test.yaml"])
            .status
            .success()
    );
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(
        after.contains("Hey there") && !after.contains("flow: Hello\n"),
        "{after}"
    );
    assert!(
        frontdesk(desk.path(), &["flow", "test", "mine.test.yaml"])
            .status
            .success()
    );
    // Not every exit is taken by one conversation.
    let thin = ["flow", "test", "mine.test.yaml", "--full-coverage"];
    let output = frontdesk(desk.path(), &thin);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("not covered in full"));
}

#[test]
fn mistakes_in_files_are_told_with_their_place() {
    let desk = desk();
    let put = |name: &str, text: &str| std::fs::write(desk.path().join(name), text).unwrap();
    put(
        "flow.json",
        r#"{"format":1,"name":"x","start":"A","widgets":[{"name":"A","type":"rout_to"}]}"#,
    );
    put("noflow.test.yaml", "flow: nowhere.json\nscenarios: []\n");
    put(
        "broken.test.yaml",
        "flow: flow.json\nscenarios:\n- titel: x\n",
    );
    put("wrong.test.yaml", "flow: flow.json\nscenarios: []\n");
    let twice = "- title: same\n  steps:\n  - customer: hi\n";
    put(
        "twice.test.yaml",
        &format!("flow: {GUIDE}\nscenarios:\n{twice}{twice}"),
    );
    let when =
        format!("flow: {GUIDE}\nscenarios:\n- title: x\n  at: noon\n  steps:\n  - customer: hi\n");
    put("when.test.yaml", &when);
    let tap =
        format!("flow: {GUIDE}\nscenarios:\n- title: x\n  steps:\n  - customer:\n      tap: Buy\n");
    put("tap.test.yaml", &tap);
    let bare = format!("flow: {GUIDE}\nscenarios:\n- title: x\n  steps:\n  - customer: +49301\n");
    put("bare.test.yaml", &bare);
    let way = format!(
        "flow: {GUIDE}\nscenarios:\n- title: x\n  splits:\n    Menu: a\n  steps:\n  - customer: hi\n"
    );
    put("way.test.yaml", &way);
    let cases: [(&[&str], &str); 11] = [
        (&["test", "bare.test.yaml"], "into quotes"),
        (&["test", "way.test.yaml"], "there is no split `Menu`"),
        (&["check", "flow.json"], "did you mean `route_to`?"),
        (&["check", "nowhere.json"], "cannot read nowhere.json"),
        (&["test", "noflow.test.yaml"], "cannot read nowhere.json"),
        (&["test", "broken.test.yaml"], "titel"),
        (&["test", "wrong.test.yaml"], "frontdesk flow check"),
        (
            &["test", "twice.test.yaml"],
            "two scenarios are called `same`",
        ),
        (&["test", "when.test.yaml"], "2026-01-05T09:00:00Z"),
        (&["test", "tap.test.yaml"], "nothing was shown to tap on"),
        (
            &["chat", GUIDE, "--contact", "age=7"],
            "contact.display_name",
        ),
    ];
    for (args, words) in cases {
        let output = frontdesk(desk.path(), &[&["flow"], args].concat());
        let told = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {told}");
    }
}
