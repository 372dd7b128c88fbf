//! The flows that come with Frontdesk, damaged in every way an editor can: what is left is explained,
//! or it plays, is drawn and is counted without harm.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

use core_flow::lab::{Act, Coverage, Line, Said, Scenario, play};
use core_flow::{CompiledFlow, Problem, check, graph, parse};
use core_types::Timestamp;
use proptest::prelude::*;

/// One way to damage a text.
#[derive(Clone, Debug)]
enum Edit {
    /// Puts a byte in the place of another.
    Byte(usize, u8),
    /// Takes a piece out.
    Cut(usize, usize),
    /// Says a piece twice.
    Double(usize, usize),
    /// Puts one word of flows in the place of another.
    Word(usize, usize),
    /// Changes a number.
    Number(usize, i64),
}

const WORDS: [&str; 29] = [
    "start",
    "send_media",
    "collect_input",
    "condition",
    "set_variables",
    "flow",
    "value",
    "expression",
    "count",
    "boolean",
    "or",
    "business_hours",
    "split",
    "wait",
    "end",
    "route_to",
    "next",
    "failed",
    "match",
    "no_match",
    "timeout",
    "text",
    "buttons",
    "list",
    "location",
    "number",
    "digits",
    "date",
    "null",
];

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<usize>;
    prop_oneof![
        (at(), 0x20_u8..0x7F).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        (at(), 1_usize..80).prop_map(|(at, length)| Edit::Cut(at, length)),
        (at(), 1_usize..200).prop_map(|(at, length)| Edit::Double(at, length)),
        (at(), at()).prop_map(|(from, to)| Edit::Word(from, to)),
        (at(), any::<i64>()).prop_map(|(at, number)| Edit::Number(at, number)),
    ]
}

/// Pieces of `text` for which `is`, as places.
fn places(text: &str, is: impl Fn(&str) -> bool) -> Vec<(usize, usize)> {
    let pieces = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let place = |piece: &str| {
        let start = piece.as_ptr() as usize - text.as_ptr() as usize;
        (start, start + piece.len())
    };
    pieces.filter(|piece| is(piece)).map(place).collect()
}

fn damaged(text: &str, edits: &[Edit]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for edit in edits {
        let length = bytes.len();
        if length == 0 {
            break;
        }
        let now = String::from_utf8_lossy(&bytes).into_owned();
        match edit {
            Edit::Byte(at, byte) => bytes[at % length] = *byte,
            Edit::Cut(at, piece) => {
                let at = at % length;
                bytes.drain(at..(at + piece).min(length));
            }
            Edit::Double(at, piece) => {
                let at = at % length;
                let again = bytes[at..(at + piece).min(length)].to_vec();
                bytes.splice(at..at, again);
            }
            Edit::Word(from, to) => {
                let known = places(&now, |piece| WORDS.contains(&piece));
                if let Some((start, end)) = known.get(from % known.len().max(1)) {
                    let word = WORDS[to % WORDS.len()].bytes();
                    bytes = now.into_bytes();
                    bytes.splice(start..end, word);
                }
            }
            Edit::Number(at, number) => {
                let digits =
                    |piece: &str| !piece.is_empty() && piece.bytes().all(|b| b.is_ascii_digit());
                let known = places(&now, digits);
                if let Some((start, end)) = known.get(at % known.len().max(1)) {
                    bytes = now.into_bytes();
                    bytes.splice(start..end, number.to_string().into_bytes());
                }
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn flows() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/flows");
    let entries = std::fs::read_dir(folder).expect("the flows");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let flows = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    flows
        .map(|path| std::fs::read_to_string(path).expect("a flow"))
        .collect()
}

fn line() -> impl Strategy<Value = Line> {
    let act = |act| Line::Customer(Said::Act(Box::new(act)));
    prop_oneof![
        4 => prop::sample::select(vec!["1", "2", "24.12.2026", "14:30", "250", "a@b.co", "x"])
            .prop_map(|text| Line::Customer(Said::Text(text.to_owned()))),
        1 => any::<String>().prop_map(|text| Line::Customer(Said::Text(text))),
        1 => Just(act(Act::Place("52.52,13.405".to_owned()))),
        1 => Just(act(Act::Sticker(String::new()))),
        1 => any::<String>().prop_map(move |caption| act(Act::Image(caption))),
        2 => prop::sample::select(vec!["1s", "15m", "1d", "30d"])
            .prop_map(|span| Line::Wait(span.parse().expect("a span"))),
        1 => (0_u32..4).prop_map(Line::Unsent),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn damaged_flows_are_explained_or_played(
        which in any::<usize>(),
        edits in prop::collection::vec(edit(), 0..6),
        lines in prop::collection::vec(line(), 0..10),
    ) {
        let flows = flows();
        let text = damaged(&flows[which % flows.len()], &edits);
        let (definition, problems) = check(&text);
        prop_assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
        let Some(definition) = definition else {
            prop_assert!(problems.iter().any(Problem::is_error));
            return Ok(());
        };
        prop_assert_eq!(&parse(&definition.to_json()).unwrap(), &definition);
        let drawn = graph::svg(&definition, Some(&Coverage::default()));
        prop_assert!(drawn.ends_with("</svg>\n"));
        prop_assert!(graph::mermaid(&definition).starts_with("flowchart"));
        let sound = problems.iter().all(|problem| !problem.is_error());
        let compiled = CompiledFlow::compile(&definition, NonZeroU32::MIN);
        prop_assert!(compiled.is_ok() || !sound);
        let Ok(flow) = compiled else { return Ok(()) };
        let hello = Line::Customer(Said::Text("Hello".to_owned()));
        let scenario = Scenario {
            title: String::new(),
            at: None,
            contact: BTreeMap::new(),
            splits: BTreeMap::new(),
            calls: Vec::new(),
            steps: std::iter::once(hello).chain(lines).collect(),
        };
        let start = Timestamp::from_seconds(1_795_370_000).unwrap();
        // Must end; how does not matter. The same again gives the same.
        let once = play(&flow, &scenario, start).map(|played| (played.lines, played.session));
        let again = play(&flow, &scenario, start).map(|played| (played.lines, played.session));
        prop_assert_eq!(once, again);
    }
}
