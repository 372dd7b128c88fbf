//! What Prometheus makes of numbers and of questions: the samples of an OpenMetrics text, and the
//! metrics and labels that an expression asks for. As much of both languages as this project uses.

use std::collections::{BTreeMap, BTreeSet};

/// A sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Is,
    IsNot,
    Like,
    Unlike,
}

/// A metric in an expression, and the labels it is asked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) name: String,
    pub(crate) matchers: Vec<(String, Op, String)>,
}

/// What an expression asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) selectors: Vec<Selector>,
    /// Labels of its `by (…)`: each is one of some of its metrics, not of all.
    pub(crate) grouped_by: BTreeSet<String>,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Splits `label="value", …}rest` into its labels, with what stands between label and value, and
/// what follows the brace.
fn labels(mut text: &str) -> (Vec<(String, String, String)>, &str) {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return (found, rest);
        }
        let (head, rest) = text.split_once('"').expect("a label has a value in quotes");
        let label: String = head.chars().take_while(|c| is_word(*c)).collect();
        let op = head[label.len()..].trim().to_owned();
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().expect("a value ends") {
                (_, '\\') => value.extend(chars.next().map(|(_, c)| c)),
                (at, '"') => break at,
                (_, c) => value.push(c),
            }
        };
        found.push((label, op, value));
        text = &rest[end + 1..];
    }
}

/// The samples of a text; comments and exemplars do not count.
pub(crate) fn read(text: &str) -> Vec<Series> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let end = line.find(['{', ' ']).expect("a sample has a value");
        let (name, rest) = line.split_at(end);
        let (pairs, rest) = match rest.strip_prefix('{') {
            Some(inside) => labels(inside),
            None => (Vec::new(), rest),
        };
        let value = rest.split_whitespace().next().expect("a value");
        Series {
            name: name.to_owned(),
            labels: pairs
                .into_iter()
                .map(|(label, _, value)| (label, value))
                .collect(),
            value: value.parse().expect("a number"),
        }
    };
    samples.map(sample).collect()
}

/// The labels of every `by (…)` in an expression.
fn grouped_by(text: &str) -> BTreeSet<String> {
    let groups = text.split("by (").skip(1);
    let inside = groups.filter_map(|rest| rest.split(')').next());
    let words = inside.flat_map(|list| list.split(','));
    words.map(|word| word.trim().to_owned()).collect()
}

/// What an expression asks of metrics whose names begin with one of `prefixes`.
pub(crate) fn question(text: &str, prefixes: &[&str]) -> Question {
    let mut selectors = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        let word: String = rest[start..].chars().take_while(|c| is_word(*c)).collect();
        rest = &rest[start + word.len()..];
        if !prefixes.iter().any(|prefix| word.starts_with(prefix)) {
            continue;
        }
        let mut matchers = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            let (pairs, after) = labels(inside);
            rest = after;
            for (label, op, value) in pairs {
                let op = match op.as_str() {
                    "=" => Op::Is,
                    "!=" => Op::IsNot,
                    "=~" => Op::Like,
                    "!~" => Op::Unlike,
                    other => panic!("`{other}` in {text}"),
                };
                matchers.push((label, op, value));
            }
        }
        selectors.push(Selector {
            name: word,
            matchers,
        });
    }
    Question {
        selectors,
        grouped_by: grouped_by(text),
    }
}

/// Whether `value` is what `pattern` means: letters, `.` for one of any, `.*` at the end for any
/// number of them.
pub(crate) fn matches(pattern: &str, value: &str) -> bool {
    if let Some(begin) = pattern.strip_suffix(".*") {
        return value.starts_with(begin);
    }
    pattern.len() == value.len()
        && pattern
            .chars()
            .zip(value.chars())
            .all(|(p, v)| p == '.' || p == v)
}

#[test]
fn samples_and_questions_are_read() {
    let text = "# HELP a b\na_total{x=\"1\",y=\"}\\\"\"} 3 # {trace_id=\"f\"} 1.0\nb 0.5\n# EOF\n";
    let read = read(text);
    assert_eq!(read.len(), 2);
    assert_eq!((read[0].name.as_str(), read[0].value), ("a_total", 3.0));
    assert_eq!(read[0].labels["y"], "}\"");
    assert!(read[1].labels.is_empty());
    let asked = "sum by (le, q) (rate(a_total{x=\"1\",y!~\"W.*|D\"}[5m])) / max(a_b)";
    let question = question(asked, &["a_"]);
    assert_eq!(question.selectors.len(), 2);
    assert_eq!(question.selectors[0].matchers[1].1, Op::Unlike);
    assert!(question.selectors[1].matchers.is_empty() && question.grouped_by.contains("q"));
    assert!(matches("5..", "503") && !matches("5..", "50") && matches("W.*", "Watch"));
}
