//! A flow in several languages: what is said, what is understood, and what is not translated.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use core_flow::lab::{Act, Line, Player, Said};
use core_flow::{CompiledFlow, check, diff, parse};
use core_types::Timestamp;
use serde_json::{Value, json};

fn text() -> String {
    json!({"format": 1, "name": "Languages", "start": "Start",
    "language": {"default": "en",
        "from": "Which.value or (\"de\" if contact.phone is startingwith(\"49\") else \"\")"},
    "translations": {
        "de": {
            "Which.settings.prompt.text": "Welche Sprache? Which language?",
            "Menu.settings.prompt.text": "Worum geht es, {{Name.value}}?",
            "Menu.settings.choices[value sales].title": "Verkauf",
            "Menu.settings.retries.text": "Bitte tippen Sie auf einen Knopf."},
        "pt-BR": {"Menu.settings.prompt.text": "Sobre o que é?"}},
    "widgets": [
        {"name": "Start", "type": "start", "exits": {"next": "Which"}},
        {"name": "Which", "type": "collect_input",
         "settings": {"prompt": {"text": "Which language?"}, "timeout_seconds": 60},
         "exits": {"match": "Name", "no_match": null, "timeout": null}},
        {"name": "Name", "type": "collect_input",
         "settings": {"prompt": {"text": "Your name?"}, "timeout_seconds": 60},
         "exits": {"match": "Menu", "no_match": null, "timeout": null}},
        {"name": "Menu", "type": "collect_input",
         "settings": {"prompt": {"text": "What is it about?", "show": "buttons"},
                      "choices": [{"value": "sales", "title": "Sales"},
                                  {"value": "support", "title": "Support"}],
                      "timeout_seconds": 60,
                      "retries": {"count": 1, "text": "Please tap a button."}},
         "exits": {"match": "Queue", "no_match": null, "timeout": null}},
        {"name": "Queue", "type": "route_to", "settings": {"queue": "sales"}}]})
    .to_string()
}

fn flow() -> CompiledFlow {
    let (definition, problems) = check(&text());
    let errors: Vec<_> = problems.iter().filter(|it| it.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    CompiledFlow::compile(&definition.expect("no errors"), NonZeroU32::MIN).expect("it compiles")
}

/// What the flow says to each of the customer's texts.
fn said(phone: &str, texts: &[&str]) -> Vec<Vec<Value>> {
    let (flow, now) = (
        flow(),
        Timestamp::from_seconds(1_795_370_000).expect("a time"),
    );
    let contact = BTreeMap::from([("phone".to_owned(), phone.to_owned())]);
    let mut player = Player::new(&flow, &contact, now);
    let says = |line: &Line| serde_json::to_value(line).expect("a line");
    let each = texts.iter().map(|text| {
        let said = match text.strip_prefix('/') {
            Some(title) => Said::Act(Box::new(Act::Tap(title.to_owned()))),
            None => Said::Text((*text).to_owned()),
        };
        let lines = player.customer(&said).expect("a step");
        lines
            .iter()
            .filter(|line| matches!(line, Line::Flow(_) | Line::Route(_)))
            .map(says)
            .collect()
    });
    each.collect()
}

#[test]
fn the_language_follows_what_is_known_and_what_is_answered() {
    let german = said("4930123", &["Hi", "de", "Ann", "hm", "/Verkauf"]);
    assert_eq!(
        german[0],
        [json!({"flow": "Welche Sprache? Which language?"})]
    );
    // Not translated: the default language.
    assert_eq!(german[1], [json!({"flow": "Your name?"})]);
    assert_eq!(
        german[2],
        [
            json!({"flow": {"text": "Worum geht es, Ann?", "buttons": ["sales: Verkauf", "support: Support"]}})
        ]
    );
    assert_eq!(
        german[3],
        [json!({"flow": {"text": "Bitte tippen Sie auf einen Knopf.",
            "buttons": ["sales: Verkauf", "support: Support"]}})]
    );
    assert_eq!(german[4], [json!({"route": {"queue": "sales"}})]);
    // The title in the customer's language is understood when it is written, too.
    assert_eq!(
        said("49", &["Hi", "DE_at", "Ann", "verkauf"])[3],
        [json!({"route": {"queue": "sales"}})]
    );
    let english = said("1650", &["Hi", "English", "Ann"]);
    assert_eq!(english[0], [json!({"flow": "Which language?"})]);
    assert_eq!(
        english[2],
        [
            json!({"flow": {"text": "What is it about?", "buttons": ["sales: Sales", "support: Support"]}})
        ]
    );
    // The default language is nearer than one that only begins like it.
    let region = said("1650", &["Hi", "en-GB", "Ann"]);
    assert_eq!(region[2], english[2]);
    let brazil = said("1650", &["Hi", " PT-br ", "Ann"]);
    assert_eq!(brazil[2][0]["flow"]["text"], "Sobre o que é?");
    // Portugal is not Brazil, and nothing else is near.
    let portugal = said("1650", &["Hi", "pt", "Ann"]);
    assert_eq!(portugal[2][0]["flow"]["text"], "What is it about?");
}

#[test]
fn a_translation_is_one_difference_and_stands_once() {
    let from = parse(&text()).expect("a flow");
    let to = parse(&text().replace("Sobre o que é?", "Qual é o assunto?")).expect("a flow");
    let changes = diff(&from, &to);
    assert_eq!(changes.len(), 1);
    assert_eq!(
        changes[0].place,
        "translations.pt-BR.Menu.settings.prompt.text"
    );
    let twice = text().replace("\"pt-BR\":{", "\"de\":{},\"pt-BR\":{");
    let problems = parse(&twice).expect_err("German stands twice");
    assert!(
        problems[0].message.contains("duplicate `de`"),
        "{problems:?}"
    );
}
