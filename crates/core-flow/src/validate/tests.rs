//! Seeded mistakes: each must be found at its place, with a remedy, and the sound flow must raise
//! no alarm.

use crate::{Severity, check};

const SOUND: &str = r#"{"format":1,"name":"Test","start":"Start","widgets":[
  {"name":"Start","type":"start","exits":{"next":"Hello"}},
  {"name":"Hello","type":"send_media","settings":{"parts":[
     {"type":"text","text":"Hi {{contact.display_name}}!"},
     {"type":"image","link":"https://example.com/a.png","caption":"Us"}]},
   "exits":{"next":"Menu","failed":null}},
  {"name":"Menu","type":"collect_input","settings":{
     "prompt":{"text":"Which?","show":"buttons"},
     "choices":[{"value":"1","title":"Sales","synonyms":["buy"]},{"value":"2","title":"Support"}],
     "timeout_seconds":600,"retries":{"count":1,"text":"Please choose."}},
   "exits":{"match":"Which","no_match":"Support","timeout":"Support"}},
  {"name":"Which","type":"condition","settings":{"variable":"{{Menu.value}}","branches":[
     {"exit":"sales","operator":"equals","value":"1"}]},
   "exits":{"sales":"Sales","no_match":"Support"}},
  {"name":"Sales","type":"route_to","settings":{"queue":"sales","priority":1}},
  {"name":"Support","type":"route_to","settings":{"queue":"support"}}]}"#;

/// See the head of the file.
const MISTAKES: &str = include_str!("mistakes.txt");

#[test]
fn a_sound_flow_raises_no_alarm() {
    assert_eq!(check(SOUND).1, []);
}

#[test]
fn every_seeded_mistake_is_found() {
    let lines = MISTAKES.lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let [severity, from, to, place, words] = line.split(" § ").collect::<Vec<_>>()[..] else {
            panic!("five parts: {line}");
        };
        assert!(SOUND.contains(from), "not in the flow: {from}");
        let problems = check(&SOUND.replacen(from, &filled(to), 1)).1;
        let severity = match severity {
            "error" => Severity::Error,
            _ => Severity::Warning,
        };
        let found = problems.iter().any(|problem| {
            problem.severity == severity
                && problem.place() == place
                && problem.message.contains(words)
                && !problem.remedy.is_empty()
        });
        assert!(found, "{line}\n{problems:#?}");
        count += 1;
    }
    assert!(count >= 75, "{count}");
}

/// `<n>` becomes n times x.
fn filled(text: &str) -> String {
    match text
        .split_once('<')
        .and_then(|(before, rest)| Some((before, rest.split_once('>')?)))
    {
        Some((before, (count, after))) => {
            format!("{before}{}{after}", "x".repeat(count.parse().unwrap()))
        }
        None => text.to_owned(),
    }
}

#[test]
fn long_chains_are_judged_without_running_out_of_stack() {
    let chain = |links: usize, widget: &dyn Fn(usize) -> String| {
        let widgets: Vec<String> = (0..links).map(widget).collect();
        format!(
            r#"{{"format":1,"name":"Long","start":"Start","widgets":[
               {{"name":"Start","type":"start","exits":{{"next":"W0"}}}},
               {{"name":"W{links}","type":"route_to","settings":{{"queue":"q"}}}},{}]}}"#,
            widgets.join(",")
        )
    };
    let condition = |n: usize| {
        format!(
            r#"{{"name":"W{n}","type":"condition","settings":{{"variable":"{{{{contact.phone}}}}",
               "branches":[{{"exit":"a","operator":"is_set"}}]}},"exits":{{"a":"W{0}","no_match":"W{0}"}}}}"#,
            n + 1
        )
    };
    assert_eq!(check(&chain(998, &condition)).1, []);
    let problems = check(&chain(1_990, &condition)).1;
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].message.contains("1001 widgets"),
        "{}",
        problems[0]
    );
    let send = |n: usize| {
        format!(
            r#"{{"name":"W{n}","type":"send_media","settings":{{"parts":[{{"type":"text","text":"x"}}]}},
               "exits":{{"next":"W{}","failed":null}}}}"#,
            n + 1
        )
    };
    assert_eq!(check(&chain(64, &send)).1, []);
    assert!(
        check(&chain(65, &send)).1[0]
            .message
            .contains("65 messages")
    );
}

#[test]
fn messages_after_a_day_of_silence_are_told() {
    let flow = |first: u32, second: u32| {
        format!(
            r#"{{"format":1,"name":"Slow","start":"Start","widgets":[
               {{"name":"Start","type":"start","exits":{{"next":"First"}}}},
               {{"name":"First","type":"collect_input","settings":{{"prompt":{{"text":"One?"}},
                 "timeout_seconds":{first}}},
                 "exits":{{"match":"Bye","no_match":"Bye","timeout":"Second"}}}},
               {{"name":"Second","type":"collect_input","settings":{{"prompt":{{"text":"Two?"}},
                 "timeout_seconds":{second}}},
                 "exits":{{"match":"Bye","no_match":"Bye","timeout":"Bye"}}}},
               {{"name":"Bye","type":"send_media","settings":{{"parts":[{{"type":"text","text":"Bye"}}]}},
                 "exits":{{"next":"Support","failed":null}}}},
               {{"name":"Support","type":"route_to","settings":{{"queue":"support"}}}}]}}"#
        )
    };
    let told = |first, second| {
        let problems = check(&flow(first, second)).1;
        let told = problems
            .iter()
            .map(|it| format!("{}: {}", it.place(), it.message));
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(3_600, 82_799), Vec::<String>::new());
    let late = told(3_600, 82_800);
    assert_eq!(late.len(), 1, "{late:?}");
    assert!(
        late[0].starts_with("Bye: up to 24 hours may have passed"),
        "{late:?}"
    );
    // What the customer answers opens the window again, so the way by `match` is no longer one.
    let both = told(604_800, 604_800);
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(both[0].starts_with("Second: up to 168 hours"), "{both:?}");
    assert!(both[1].starts_with("Bye: up to 336 hours"), "{both:?}");
}
