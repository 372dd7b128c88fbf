//! The flow lab: time that passes at once, taps by title, refusals, coverage, and drawings.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use core_flow::lab::{
    Act, Coverage, Line, Player, PlayerError, Recorded, Said, Scenario, Span, play, retrace,
};
use core_flow::{CompiledFlow, Definition, Input, advance, check, graph};
use core_types::{Content, Timestamp};
use serde_json::json;

const GUIDE: &str = include_str!("../../../deploy/flows/whatsapp-for-business.json");

fn flow(text: &str) -> (Definition, CompiledFlow) {
    let (definition, problems) = check(text);
    let errors: Vec<_> = problems.iter().filter(|it| it.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let definition = definition.expect("no errors");
    let flow = CompiledFlow::compile(&definition, NonZeroU32::MIN).expect("it compiles");
    (definition, flow)
}

fn start() -> Timestamp {
    Timestamp::from_seconds(1_795_370_000).expect("a time")
}

fn says(text: &str) -> Said {
    Said::Text(text.to_owned())
}

fn span(text: &str) -> Span {
    text.parse().expect("a span")
}

fn nobody() -> BTreeMap<String, String> {
    BTreeMap::new()
}

/// A question with buttons that is asked again every day for as long as the customer is silent.
fn daily() -> String {
    json!({"format": 1, "name": "Daily", "start": "Start", "widgets": [
        {"name": "Start", "type": "start", "exits": {"next": "Ask"}},
        {"name": "Ask", "type": "collect_input",
         "settings": {"prompt": {"text": "Still there, {{contact.display_name}}?", "show": "buttons"},
                      "choices": [{"value": "y", "title": "Yes"}, {"value": "n", "title": "No"}],
                      "timeout_seconds": 86_400},
         "exits": {"match": "Sales", "no_match": null, "timeout": "Ask"}},
        {"name": "Sales", "type": "route_to", "settings": {"queue": "sales", "priority": 5}}]})
    .to_string()
}

#[test]
fn thirty_days_pass_at_once_and_waits_end_at_their_time() {
    let text = daily();
    let (_, flow) = flow(&text);
    let contact = BTreeMap::from([("display_name".to_owned(), "Maria".to_owned())]);
    let mut player = Player::new(&flow, &contact, start());
    let first = player.customer(&says("Hi")).unwrap();
    assert_eq!(
        serde_json::to_value(&first).unwrap(),
        json!([
        {"flow": {"text": "Still there, Maria?", "buttons": ["y: Yes", "n: No"]}}])
    );
    assert_eq!(player.wait(span("30d")).unwrap().len(), 30);
    assert_eq!(
        player.now().since(start()),
        Duration::from_secs(30 * 86_400)
    );
    // The thirtieth wait has just begun.
    assert_eq!(
        player.waits_until().unwrap().since(player.now()),
        Duration::from_secs(86_400)
    );
    let tap = Said::Act(Box::new(Act::Tap("Yes".to_owned())));
    let last = player.customer(&tap).unwrap();
    assert_eq!(
        serde_json::to_value(&last).unwrap(),
        json!([
        {"set": {"Ask.value": "y"}}, {"route": {"queue": "sales", "priority": 5}}])
    );
    assert!(player.is_finished());
    assert_eq!(player.customer(&says("more")), Err(PlayerError::Over));
    assert_eq!(player.wait(span("1s")), Ok(Vec::new()));
}

#[test]
fn a_flow_that_never_stops_is_stopped() {
    let text = daily().replace("86400", "1");
    let (_, flow) = flow(&text);
    let mut player = Player::new(&flow, &nobody(), start());
    player.customer(&says("Hi")).unwrap();
    assert_eq!(player.wait(span("365d")), Err(PlayerError::Endless));
}

#[test]
fn what_cannot_happen_is_told_in_words() {
    let (_, flow) = flow(GUIDE);
    let mut player = Player::new(&flow, &nobody(), start());
    assert_eq!(player.unsent(1), Err(PlayerError::NotBegun));
    player.customer(&says("Hi")).unwrap();
    assert_eq!(
        player.unsent(0),
        Err(PlayerError::NoSuchMessage { sent: 2 })
    );
    assert_eq!(
        player.unsent(3),
        Err(PlayerError::NoSuchMessage { sent: 2 })
    );
    let tap = Said::Act(Box::new(Act::Tap("Sales".to_owned())));
    let error = player.customer(&tap).unwrap_err().to_string();
    assert!(error.contains("nothing was shown to tap on"), "{error}");
    let scenario = Scenario {
        title: "nothing".to_owned(),
        at: None,
        contact: nobody(),
        splits: nobody(),
        calls: Vec::new(),
        steps: vec![Line::Unsent(1)],
    };
    assert_eq!(
        play(&flow, &scenario, start()).unwrap_err(),
        (0, PlayerError::NotBegun)
    );
}

#[test]
fn only_exits_that_can_be_taken_count() {
    let (definition, flow) = flow(GUIDE);
    let mut taken = Coverage::default();
    let unsent = [Line::Customer(says("Hi")), Line::Unsent(1)];
    let talks: [&[Line]; 4] = [
        &[Line::Customer(says("Hi")), Line::Customer(says("1"))],
        &[Line::Customer(says("Hi")), Line::Customer(says("2"))],
        &[
            Line::Customer(says("Hi")),
            Line::Customer(says("x")),
            Line::Customer(says("x")),
        ],
        &[Line::Customer(says("Hi")), Line::Wait(span("10m"))],
    ];
    for steps in talks {
        let scenario = Scenario {
            title: String::new(),
            at: None,
            contact: nobody(),
            splits: nobody(),
            calls: Vec::new(),
            steps: steps.to_vec(),
        };
        taken.add(&play(&flow, &scenario, start()).unwrap().taken);
    }
    let missed = |taken: &Coverage| -> Vec<String> {
        let widgets = taken.of(&definition);
        let exits = widgets.iter().flat_map(|widget| {
            let exits = widget.exits.iter().filter(|exit| exit.taken == 0);
            exits.map(|exit| format!("{}/{}", widget.name, exit.name))
        });
        exits.collect()
    };
    // `Condition/no_match` cannot be taken: every choice has a branch.
    assert_eq!(missed(&taken), ["Send_Media/failed"]);
    let scenario = Scenario {
        title: String::new(),
        at: None,
        contact: nobody(),
        splits: nobody(),
        calls: Vec::new(),
        steps: unsent.to_vec(),
    };
    taken.add(&play(&flow, &scenario, start()).unwrap().taken);
    assert_eq!(missed(&taken), Vec::<String>::new());
    assert_eq!(taken.taken("Start/next"), 5);
}

#[test]
fn a_drawing_names_everything_and_is_the_same_every_time() {
    let (definition, _) = flow(GUIDE);
    let drawn = graph::svg(&definition, None);
    assert_eq!(drawn, graph::svg(&definition, None));
    for widget in &definition.widgets {
        assert!(drawn.contains(&widget.name), "{}", widget.name);
        for (exit, _) in &widget.exits.0 {
            assert!(drawn.contains(&format!(">{exit}</text>")), "{exit}");
        }
    }
    let mermaid = graph::mermaid(&definition);
    assert!(mermaid.starts_with("flowchart TD\n"));
    assert!(mermaid.contains("w2 -->|\"timeout\"| w5"), "{mermaid}");
    let coloured = graph::svg(&definition, Some(&Coverage::default()));
    assert!(coloured.contains("box start missed"), "nothing was taken");
}

#[test]
fn names_and_drafts_of_any_kind_are_drawn() {
    let hostile = json!({"format": 1, "name": "<script>&\"\u{0}", "start": "Nowhere", "widgets": [
        {"name": "\"]<b>&amp;", "type": "start", "exits": {"next": "Missing"}},
        {"name": "Loop", "type": "start", "exits": {"next": "Loop"}},
        {"name": "Loop", "type": "route_to", "settings": {"queue": "q"}}]});
    let definition = core_flow::parse(&hostile.to_string()).unwrap();
    let drawn = graph::svg(&definition, None);
    assert!(
        !drawn.contains("<script>") && !drawn.contains("<b>"),
        "{drawn}"
    );
    let mermaid = graph::mermaid(&definition);
    assert!(
        !mermaid.contains("<b>") && mermaid.contains("#quot;"),
        "{mermaid}"
    );
}

/// A ladder: each widget leads to the next and back to the first.
#[test]
fn the_largest_flow_is_drawn() {
    let mut widgets = vec![json!({"name": "W0", "type": "start", "exits": {"next": "W1"}})];
    for n in 1..1_999 {
        widgets.push(json!({"name": format!("W{n}"), "type": "collect_input",
            "settings": {"prompt": {"text": "?"}, "timeout_seconds": 5},
            "exits": {"match": format!("W{}", n + 1), "no_match": format!("W{}", n / 2 + 1), "timeout": null}}));
    }
    widgets.push(json!({"name": "W1999", "type": "route_to", "settings": {"queue": "q"}}));
    let text = json!({"format": 1, "name": "Ladder", "start": "W0", "widgets": widgets});
    let definition = core_flow::parse(&text.to_string()).unwrap();
    let drawn = graph::svg(&definition, None);
    assert!(drawn.contains(">W1999</text>"));
}

/// Three ways in the proportion of 1 to 2 to 7.
fn split() -> String {
    json!({"format": 1, "name": "Split", "start": "Start", "widgets": [
        {"name": "Start", "type": "start", "exits": {"next": "Try"}},
        {"name": "Try", "type": "split", "settings": {"ways": [
            {"exit": "a", "share": 1}, {"exit": "b", "share": 2}, {"exit": "c", "share": 7}]},
         "exits": {"a": "A", "b": "B", "c": "C"}},
        {"name": "A", "type": "route_to", "settings": {"queue": "a"}},
        {"name": "B", "type": "route_to", "settings": {"queue": "b"}},
        {"name": "C", "type": "route_to", "settings": {"queue": "c"}}]})
    .to_string()
}

#[test]
fn a_split_keeps_its_shares_and_sends_a_customer_the_same_way_again() {
    let text = split();
    let (_, flow) = flow(&text);
    let hello = Content::Text {
        body: "Hi".to_owned(),
        preview_url: false,
    };
    let way = |id: String| {
        let facts = BTreeMap::from([("conversation.id".to_owned(), id)]);
        let input = Input::Start(hello.clone());
        let step = core_flow::advance(&flow, None, &input, &facts, start()).unwrap();
        step.path[1].to_owned()
    };
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..10_000 {
        let id = format!("cnv-{number}");
        assert_eq!(way(id.clone()), way(id.clone()));
        *taken.entry(way(id)).or_default() += 1;
    }
    // Three standard deviations.
    for (exit, share) in [("Try/a", 1_000_i64), ("Try/b", 2_000), ("Try/c", 7_000)] {
        let seen = i64::from(taken[exit]);
        assert!((seen - share).abs() < 140, "{exit}: {seen}");
    }
}

#[test]
fn a_scenario_chooses_the_way() {
    let text = split();
    let (_, flow) = flow(&text);
    for (exit, queue) in [("a", "a"), ("b", "b"), ("c", "c")] {
        let scenario = Scenario {
            title: String::new(),
            at: None,
            contact: nobody(),
            splits: BTreeMap::from([("Try".to_owned(), exit.to_owned())]),
            calls: Vec::new(),
            steps: vec![Line::Customer(says("Hi"))],
        };
        let played = play(&flow, &scenario, start()).unwrap();
        let last = serde_json::to_value(played.lines.last()).unwrap();
        assert_eq!(last, json!({"route": {"queue": queue}}));
    }
}

/// Two questions, and conditions over both.
fn orders() -> String {
    json!({"format": 1, "name": "Orders", "start": "Start", "widgets": [
        {"name": "Start", "type": "start", "exits": {"next": "Amount"}},
        {"name": "Amount", "type": "collect_input",
         "settings": {"prompt": {"text": "How much?"}, "accept": {"type": "number"},
                      "timeout_seconds": 60},
         "exits": {"match": "Day", "no_match": "C", "timeout": "C"}},
        {"name": "Day", "type": "collect_input",
         "settings": {"prompt": {"text": "When?"}, "accept": {"type": "date"}, "timeout_seconds": 60},
         "exits": {"match": "Which", "no_match": "C", "timeout": "C"}},
        {"name": "Which", "type": "condition", "settings": {"branches": [
            {"exit": "urgent", "all": [
                {"variable": "{{Amount.value}}", "operator": "greater_than", "value": "100"},
                {"variable": "{{Day.value}}", "operator": "before", "value": "2026-12-24"}]},
            {"exit": "watched", "any": [
                {"variable": "{{Amount.value}}", "operator": "greater_than", "value": "1000"},
                {"variable": "{{Day.value}}", "operator": "after", "value": "2027-06-30"}]}]},
         "exits": {"urgent": "A", "watched": "B", "no_match": "C"}},
        {"name": "A", "type": "route_to", "settings": {"queue": "a"}},
        {"name": "B", "type": "route_to", "settings": {"queue": "b"}},
        {"name": "C", "type": "route_to", "settings": {"queue": "c"}}]})
    .to_string()
}

#[test]
fn branches_hold_when_all_or_one_of_their_comparisons_do() {
    let text = orders();
    let (_, flow) = flow(&text);
    for (amount, day, queue) in [
        ("1.234,50", "23.12.2026", "a"),
        ("100", "23.12.2026", "c"),
        ("101", "24.12.2026", "c"),
        ("1001", "24.12.2026", "b"),
        ("5", "1.7.2027", "b"),
        ("5", "30.6.2027", "c"),
    ] {
        let mut player = Player::new(&flow, &nobody(), start());
        player.customer(&says("Hi")).unwrap();
        player.customer(&says(amount)).unwrap();
        let last = player.customer(&says(day)).unwrap();
        let last = serde_json::to_value(last.last()).unwrap();
        assert_eq!(
            last,
            json!({"route": {"queue": queue}}),
            "{amount} on {day}"
        );
    }
}

#[test]
fn a_number_below_zero_is_not_the_one_above() {
    let text = json!({"format": 1, "name": "Signs", "start": "Start", "widgets": [
        {"name": "Start", "type": "start", "exits": {"next": "Ask"}},
        {"name": "Ask", "type": "collect_input",
         "settings": {"prompt": {"text": "?"}, "accept": {"type": "number"}, "timeout_seconds": 60},
         "exits": {"match": "Is", "no_match": "C", "timeout": "C"}},
        {"name": "Is", "type": "condition", "settings": {"variable": "{{Ask.value}}", "branches": [
            {"exit": "five", "operator": "equals", "value": "5"},
            {"exit": "minus", "operator": "equals", "value": "-5"},
            {"exit": "low", "operator": "less_than", "value": "-10"},
            {"exit": "high", "operator": "greater_than", "value": "10"},
            {"exit": "high", "operator": "greater_than", "value": "-10"}]},
         "exits": {"five": "A", "minus": "B", "low": "B", "high": "D", "no_match": "C"}},
        {"name": "A", "type": "route_to", "settings": {"queue": "a"}},
        {"name": "B", "type": "route_to", "settings": {"queue": "b"}},
        {"name": "C", "type": "route_to", "settings": {"queue": "c"}},
        {"name": "D", "type": "route_to", "settings": {"queue": "d"}}]})
    .to_string();
    let (_, flow) = flow(&text);
    for (answer, queue) in [
        ("5", "a"),
        ("-5", "b"),
        ("-11", "b"),
        ("11", "d"),
        ("-10", "c"),
    ] {
        let mut player = Player::new(&flow, &nobody(), start());
        player.customer(&says("Hi")).unwrap();
        let last = player.customer(&says(answer)).unwrap();
        let last = serde_json::to_value(last.last()).unwrap();
        assert_eq!(last, json!({"route": {"queue": queue}}), "{answer}");
    }
}

/// A session as it is lived: at odd fractions of seconds, timers a little late.
#[test]
fn a_live_session_is_retraced_and_kept_as_a_scenario() {
    let text = daily().replace("\"timeout\":\"Ask\"", "\"timeout\":\"Again\"").replace(
        "{\"name\":\"Sales\"",
        r#"{"name":"Again","type":"split","settings":{"ways":[{"exit":"a","share":1},{"exit":"b","share":1}]},
            "exits":{"a":"Nudge","b":"Nudge"}},
           {"name":"Nudge","type":"send_media","settings":{"parts":[{"type":"text","text":"Hello?"}]},
            "exits":{"next":"Ask","failed":"Sales"}},
           {"name":"Sales""#,
    );
    let (_, flow) = flow(&text);
    let facts = BTreeMap::from([
        ("contact.display_name".to_owned(), "Maria".to_owned()),
        ("conversation.id".to_owned(), "c1".to_owned()),
    ]);
    let written = |body: &str| Content::Text {
        body: body.to_owned(),
        preview_url: false,
    };
    let tap = Content::Reply(core_types::Reply {
        kind: core_types::ReplyKind::Button,
        id: "y".to_owned(),
        title: "Yes".to_owned(),
        data: None,
    });
    let began = Timestamp::from_micros(1_795_370_000_123_456);
    let at = |micros: u64| began.plus(Duration::from_micros(micros));
    let day = 86_400_000_000;
    for last in [
        (at(day + 41_700_000), Input::Message(tap)),
        (
            at(day + 2_000_000),
            Input::SendFailed {
                key: "2.0".parse().unwrap(),
            },
        ),
    ] {
        let inputs = [
            (began, Input::Start(written("Hi"))),
            (at(day + 700_000), Input::TimedOut { wait: 1 }),
            last,
        ];
        let mut steps: Vec<Recorded> = Vec::new();
        for (now, input) in inputs {
            let before = steps.last().map(|step| step.after.clone());
            let step = advance(&flow, before.as_deref(), &input, &facts, now).unwrap();
            steps.push(Recorded {
                before: before.unwrap_or_default(),
                input,
                facts: facts.clone(),
                now,
                path: step.path.iter().map(|label| (*label).to_owned()).collect(),
                after: step.session,
            });
        }
        let retraced = retrace(&flow, "live", &steps).unwrap();
        assert_eq!(retraced.difference, None);
        assert_eq!(retraced.ends.last(), Some(&retraced.scenario.steps.len()));
        // Played from its scenario it is the same conversation.
        let played = play(&flow, &retraced.scenario, began).unwrap();
        assert_eq!(played.lines, retraced.scenario.steps);
        assert!(
            matches!(played.lines.last(), Some(Line::Route(_))),
            "{:?}",
            played.lines
        );
        // Any other byte of what is stored is seen.
        for position in 0..steps.len() {
            let mut changed = steps.clone();
            changed[position].after[1] ^= 1;
            let found = retrace(&flow, "live", &changed).unwrap().difference;
            assert_eq!(found, Some(position));
        }
    }
}
