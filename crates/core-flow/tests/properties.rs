//! What holds for every sequence of inputs and for any bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use core_flow::{
    Action, CompiledFlow, EffectKey, Failure, Input, MAX_STEPS_PER_SPRINT, Session, advance, check,
    normalise, parse,
};
use core_types::{Content, Reply, ReplyKind, Timestamp};
use proptest::prelude::*;

const GUIDE: &str = include_str!("../../../deploy/flows/whatsapp-for-business.json");
const ORDER: &str = include_str!("flows/order.json");

fn compiled(text: &str) -> CompiledFlow {
    let (definition, problems) = check(text);
    assert!(problems.is_empty(), "{problems:#?}");
    CompiledFlow::compile(&definition.expect("no problems"), NonZeroU32::MIN).expect("it compiles")
}

fn text(body: &str) -> Content {
    Content::Text {
        body: body.to_owned(),
        preview_url: false,
    }
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        3 => prop::sample::select(vec!["1", "2", "1️⃣", " 2.", "wrong", "yes", "no", "18", "{{Name.value}}"])
            .prop_map(text),
        1 => any::<String>().prop_map(|body| text(&body)),
        1 => ("[0-9a-z]{0,3}", any::<String>()).prop_map(|(id, title)| Content::Reply(Reply {
            kind: ReplyKind::Button, id, title, data: None,
        })),
        1 => Just(Content::Unsupported { kind: "sticker_pack".into() }),
        1 => Just(Content::Reaction {
            target: core_types::WhatsAppMessageId::new("wamid.x").expect("an id"),
            emoji: Some("👍".into()),
        }),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => content().prop_map(Input::Message),
        2 => (0_u64..8).prop_map(|wait| Input::TimedOut { wait }),
        2 => (0_u64..8, 0_u32..4)
            .prop_map(|(sprint, index)| Input::SendFailed { key: EffectKey { sprint, index } }),
    ]
}

fn facts() -> BTreeMap<String, String> {
    BTreeMap::from([("contact.display_name".to_owned(), "Maria".to_owned())])
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_795_372_999_999_999).plus(Duration::from_secs(seconds))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_run_waits_or_ends_and_repeats_exactly(
        inputs in prop::collection::vec(input(), 0..12),
        order in any::<bool>(),
    ) {
        let flow = compiled(if order { ORDER } else { GUIDE });
        let facts = facts();
        let first = Input::Start(text("Hello"));
        let mut session: Option<Vec<u8>> = None;
        let mut keys = BTreeSet::new();
        let mut over = false;
        for (second, input) in (0..).zip(std::iter::once(&first).chain(&inputs)) {
            let step = advance(&flow, session.as_deref(), input, &facts, at(second)).unwrap();
            let again = advance(&flow, session.as_deref(), input, &facts, at(second)).unwrap();
            prop_assert_eq!(&step, &again);
            prop_assert!(step.wait.is_some() != step.finished);
            prop_assert!(step.path.len() <= MAX_STEPS_PER_SPRINT as usize + 1);
            prop_assert!(!over || (step.finished && step.effects.is_empty()));
            for effect in &step.effects {
                prop_assert!(keys.insert(effect.key), "key {} came twice", effect.key);
            }
            let decoded = Session::decode(&step.session).unwrap();
            prop_assert_eq!(decoded.encode(), step.session.clone());
            let outcomes = step.effects.iter().filter(|effect| {
                matches!(effect.action, Action::RouteTo { .. } | Action::End { .. })
            });
            prop_assert_eq!(outcomes.count(), usize::from(step.finished && !over));
            over = step.finished;
            session = Some(step.session);
        }
    }

    #[test]
    fn any_bytes_are_a_session_of_one_encoding_or_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 0..60),
        known in any::<bool>(),
        input in input(),
    ) {
        if known && bytes.len() > 4 {
            bytes[..4].copy_from_slice(&[1, 1, 1, 1]);
        }
        if let Ok(session) = Session::decode(&bytes) {
            prop_assert_eq!(session.encode(), bytes.clone());
        }
        for flow in [compiled(GUIDE), compiled(ORDER)] {
            // Must end; how does not matter.
            let _ = advance(&flow, Some(&bytes), &input, &facts(), at(0));
        }
    }

    #[test]
    fn a_changed_byte_never_panics(
        position in 0_usize..200, value in any::<u8>(), input in input(),
    ) {
        let flow = compiled(ORDER);
        let start = Input::Start(text("Hi"));
        let mut bytes = advance(&flow, None, &start, &facts(), at(0)).unwrap().session;
        let answer = Input::Message(text("Maria"));
        bytes = advance(&flow, Some(&bytes), &answer, &facts(), at(1)).unwrap().session;
        let position = position % bytes.len();
        bytes[position] = value;
        let _ = advance(&flow, Some(&bytes), &input, &facts(), at(2));
    }

    #[test]
    fn normalising_twice_changes_nothing(text in any::<String>()) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once);
    }

    #[test]
    fn any_text_is_a_definition_or_explained(text in any::<String>()) {
        if let Err(problems) = parse(&text) {
            prop_assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
        }
    }

    #[test]
    fn a_definition_with_a_changed_byte_is_explained(position in any::<usize>(), byte in 0x20_u8..0x7F) {
        let mut bytes = ORDER.as_bytes().to_vec();
        let position = position % bytes.len();
        bytes[position] = byte;
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        let (definition, problems) = check(&text);
        prop_assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
        if let Some(definition) = definition {
            let round = parse(&definition.to_json()).unwrap();
            prop_assert_eq!(&round, &definition);
            if problems.iter().all(|problem| !problem.is_error()) {
                prop_assert!(CompiledFlow::compile(&definition, NonZeroU32::MIN).is_ok());
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_says_why() {
    let flow = compiled(GUIDE);
    let facts = facts();
    let refused =
        |session: Option<&[u8]>, input: &Input| match advance(&flow, session, input, &facts, at(0))
        {
            Err(Failure::Invalid(why)) => why,
            other => panic!("{other:?}"),
        };
    let hello = Input::Message(text("Hello"));
    assert!(refused(None, &hello).contains("no session yet"));
    let start = Input::Start(text("Hello"));
    let session = advance(&flow, None, &start, &facts, at(0)).unwrap().session;
    assert!(refused(Some(&session), &start).contains("begun already"));
    assert!(refused(Some(&[]), &hello).contains("cut short"));
    let (definition, _) = check(GUIDE);
    let second = CompiledFlow::compile(&definition.unwrap(), NonZeroU32::new(2).unwrap()).unwrap();
    let other = advance(&second, Some(&session), &hello, &facts, at(0)).unwrap_err();
    assert!(other.to_string().contains("version 1, this is version 2"));
}

#[test]
fn a_loop_that_was_published_anyway_ends_in_its_budget() {
    let text_of = |next: &str| {
        format!(
            r#"{{"format":1,"name":"Loop","start":"Start","widgets":[
               {{"name":"Start","type":"start","exits":{{"next":"A"}}}},
               {{"name":"A","type":"send_media","settings":{{"parts":[{{"type":"text","text":"x"}}]}},
                "exits":{{"next":"{next}","failed":null}}}}]}}"#
        )
    };
    let play = |next: &str| {
        let definition = parse(&text_of(next)).unwrap();
        let flow = CompiledFlow::compile(&definition, NonZeroU32::MIN).unwrap();
        let flow = flow.with_step_budget(50);
        let start = Input::Start(text("Hi"));
        match advance(&flow, None, &start, &facts(), at(0)) {
            Err(Failure::Budget(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    assert!(play("A").contains("50 widgets"));
    assert!(play("Start").contains("50 widgets"));
}

#[test]
fn long_answers_are_sent_in_parts_and_kept_within_bounds() {
    let question = |n: u32| {
        format!(
            r#"{{"name":"Q{n}","type":"collect_input",
                "settings":{{"prompt":{{"text":"You said: {{{{Q{}.value}}}}"}},"timeout_seconds":60}},
                "exits":{{"match":"Q{}","no_match":"End","timeout":"End"}}}},"#,
            n.max(2) - 1,
            n + 1
        )
    };
    let questions: String = (1..30).map(question).collect();
    let text_of_flow = format!(
        r#"{{"format":1,"name":"Long","start":"Start","widgets":[
           {{"name":"Start","type":"start","exits":{{"next":"Q1"}}}},{questions}
           {{"name":"Q30","type":"route_to","settings":{{"queue":"q"}}}},
           {{"name":"End","type":"route_to","settings":{{"queue":"q"}}}}]}}"#
    );
    let flow = compiled(&text_of_flow);
    let facts = facts();
    let start = Input::Start(text("Hi"));
    let mut session = advance(&flow, None, &start, &facts, at(0)).unwrap().session;
    let answer = Input::Message(text(&"🌻".repeat(5_000)));
    for turn in 1..30 {
        match advance(&flow, Some(&session), &answer, &facts, at(turn)) {
            Ok(step) => {
                let bodies = step
                    .effects
                    .iter()
                    .filter_map(|effect| match &effect.action {
                        Action::Send(content) => Some(content.summary()),
                        _ => None,
                    });
                let lengths: Vec<usize> = bodies.map(|body| body.chars().count()).collect();
                assert!(lengths.iter().all(|length| *length <= 4_096), "{lengths:?}");
                assert_eq!(lengths.iter().sum::<usize>(), 4_096 + "You said: ".len());
                session = step.session;
            }
            Err(Failure::Budget(why)) => {
                assert!(turn > 10 && why.contains("262144 bytes"), "{turn}: {why}");
                return;
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the session grew without end");
}
