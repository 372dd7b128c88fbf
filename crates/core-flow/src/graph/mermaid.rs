//! A flow as a Mermaid flowchart, for pages that draw it themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::definition::{Definition, Settings};

/// The flow as a Mermaid `flowchart`. Names stand in it as they are; what Mermaid would take for
/// its own signs is written as an entity.
pub fn mermaid(definition: &Definition) -> String {
    let mut text = String::from("flowchart TD\n");
    let mut places = BTreeMap::new();
    for (at, widget) in definition.widgets.iter().enumerate() {
        places.entry(widget.name.as_str()).or_insert(at);
        let label = format!(
            "{}<br/><i>{}</i>",
            escaped(&widget.name),
            widget.settings.kind()
        );
        let (open, close) = match widget.settings {
            Settings::Start => ("([", "])"),
            Settings::CollectInput(_) => ("[/", "/]"),
            Settings::Condition(_) | Settings::BusinessHours(_) | Settings::Split(_) => {
                ("{{", "}}")
            }
            Settings::RouteTo(_) => ("[[", "]]"),
            Settings::Wait(_) => ("[\\", "\\]"),
            Settings::End => ("((", "))"),
            Settings::SendMedia(_)
            | Settings::SendTemplate(_)
            | Settings::SetVariables(_)
            | Settings::HttpCall(_)
            | Settings::Script(_) => ("[", "]"),
        };
        // Writing into a text does not fail.
        let _ = writeln!(text, "  w{at}{open}\"{label}\"{close}");
    }
    let mut ends = 0;
    for (at, widget) in definition.widgets.iter().enumerate() {
        for (exit, target) in &widget.exits.0 {
            let silent = widget.settings.may_pass_over(exit);
            let to = match target.as_deref().map(|target| places.get(target)) {
                None if silent => continue,
                Some(Some(to)) => format!("w{to}"),
                None | Some(None) => {
                    ends += 1;
                    format!("end{ends}((( )))")
                }
            };
            let _ = writeln!(text, "  w{at} -->|\"{}\"| {to}", escaped(exit));
        }
    }
    text
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => safe.push_str("#quot;"),
            '<' => safe.push_str("#lt;"),
            '>' => safe.push_str("#gt;"),
            '#' => safe.push_str("#35;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
