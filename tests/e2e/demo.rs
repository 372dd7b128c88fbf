//! `frontdesk demo`: passes, and tells the same story every time.

use std::process::Command;

use serde_json::Value;

use tests::process::program;

fn play() -> Value {
    let output = Command::new(program())
        .args(["demo", "--json"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&told).unwrap()
}

#[test]
fn the_demo_passes_twice_with_the_same_story() {
    let (first, second) = (play(), play());
    assert_eq!(first["ok"], true);
    assert!(first["checks"].as_array().unwrap().len() >= 15);
    assert_eq!(first["timeline"], second["timeline"]);
    assert_eq!(first["bill"], second["bill"]);
}
