//! What is written for containers is right, as far as it can be said without running any: the real
//! Compose and kustomize read it, schemas and linters pass it, and whatever it names exists.

mod compose;
mod image;
mod kubernetes;
mod monitoring;
mod network;
mod places;
mod settings;

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tests::cluster::ROLES;
use tests::process::program;
use tests::tools;

use super::root;

/// A part of a document, by its path of keys and indexes (`spec.template.spec.containers.0`).
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.')
        .fold(value, |value, step| match step.parse::<usize>() {
            Ok(index) => &value[index],
            Err(_) => &value[step],
        })
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// The keys and values of an object.
fn entries<'a>(value: &'a Value, path: &str) -> Vec<(&'a str, &'a Value)> {
    let object = at(value, path).as_object();
    object.map_or_else(Vec::new, |object| {
        object
            .iter()
            .map(|(key, value)| (key.as_str(), value))
            .collect()
    })
}

fn words(value: &Value, path: &str) -> Vec<String> {
    let words = list(value, path).iter().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

fn name(document: &Value) -> &str {
    text(document, "metadata.name")
}

fn kind(document: &Value) -> &str {
    text(document, "kind")
}

/// What a program printed.
fn printed(command: &mut Command) -> String {
    let output: Output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (said, told) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{told}{said}",
        output.status
    );
    said
}

/// The documents of an overlay or of the base, as kustomize makes them.
fn rendered(folder: &str) -> Vec<Value> {
    documents(&rendered_text(folder))
}

fn rendered_text(folder: &str) -> String {
    let folder = root().join("deploy/kustomize").join(folder);
    printed(tools::kustomize().arg(folder))
}

fn documents(text: &str) -> Vec<Value> {
    use serde::Deserialize as _;
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("the manifests are YAML"))
        .collect()
}

/// The compose file as Compose understands it.
fn composed() -> Value {
    composed_of(&["docker-compose.yml"])
}

/// A compose file with those that are laid over it.
fn composed_of(files: &[&str]) -> Value {
    let mut compose = tools::compose();
    compose.current_dir(root());
    for file in files {
        compose.args(["--file", file]);
    }
    compose.args(["--profile", "demo", "config", "--format", "json"]);
    serde_json::from_str(&printed(&mut compose)).expect("Compose prints JSON")
}

/// A setting, as the program tells.
#[derive(Debug, serde::Deserialize)]
struct Key {
    env: String,
    env_file: Option<String>,
    default: Option<String>,
    used_by: Vec<String>,
    needed_by: Vec<String>,
}

impl Key {
    fn is_used_by(&self, role: &str) -> bool {
        self.used_by.iter().any(|user| user == role || user == "*")
    }

    fn is_called(&self, name: &str) -> bool {
        self.env == name || self.env_file.as_deref() == Some(name)
    }
}

/// Every setting the program knows.
fn keys() -> Vec<Key> {
    let text = printed(
        Command::new(program())
            .args(["config", "keys", "--json"])
            .env_clear(),
    );
    let value: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(value["keys"].clone()).unwrap()
}

/// Why an image name is not exact, if so.
fn image_breach(image: &str) -> Option<String> {
    let file = image.rsplit('/').next().unwrap_or_default();
    let Some((_, tag)) = file.split_once(':') else {
        return Some(format!("image {image} has no tag"));
    };
    let exact = tag != "latest"
        && tag.matches('.').count() >= 1
        && tag.contains(|c: char| c.is_ascii_digit());
    (!exact).then(|| format!("image {image}: `{tag}` is no exact version"))
}

fn roles() -> impl Iterator<Item = &'static str> {
    ROLES.into_iter()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_none(breaches: &[String]) {
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_rule_of_images_has_teeth() {
    for exact in ["a/b:1.2.3", "postgres:17.6-bookworm", "x.io:5000/a:v0.1"] {
        assert_eq!(image_breach(exact), None);
    }
    for vague in [
        "postgres",
        "postgres:latest",
        "postgres:17",
        "x.io:5000/a",
        "a:stable",
    ] {
        assert!(image_breach(vague).is_some(), "{vague}");
    }
}
