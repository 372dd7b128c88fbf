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

/// Each of `mistakes` (what is replaced in `sound`, by what, the place and words of the problem) is
/// told; an empty place is any.
pub(super) fn are_found(sound: &str, mistakes: &[(&str, &str, &str, &str)]) {
    for (from, to, place, words) in mistakes {
        assert!(sound.contains(from), "not in the flow: {from}");
        let problems = check(&sound.replacen(from, to, 1)).1;
        let mut found = problems.iter();
        let found = found.any(|problem| {
            (place.is_empty() || problem.place() == *place)
                && problem.message.contains(words)
                && !problem.remedy.is_empty()
        });
        assert!(found, "{to}: {problems:#?}");
    }
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
fn refusals_that_come_too_late_are_told() {
    let late = SOUND
        .replacen(
            r#""next":"Menu","failed":null"#,
            r#""next":"Sales","failed":"Support""#,
            1,
        )
        .replacen(r#""next":"Hello""#, r#""next":"Menu""#, 1)
        .replacen(r#""timeout":"Support""#, r#""timeout":"Hello""#, 1);
    let problems = check(&late).1;
    let told = problems
        .iter()
        .find(|it| it.place() == "Hello.exits.failed");
    assert!(
        told.is_some_and(|it| it.message.contains("never taken")),
        "{problems:#?}"
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

/// A question without choices that accepts what is given.
fn accepting(show: &str, accept: &str) -> String {
    format!(
        r#"{{"format":1,"name":"Ask","start":"Start","widgets":[
           {{"name":"Start","type":"start","exits":{{"next":"Ask"}}}},
           {{"name":"Ask","type":"collect_input","settings":{{
             "prompt":{{"text":"Well?","show":"{show}"}},"accept":{accept},"timeout_seconds":60}},
             "exits":{{"match":"Rest","no_match":"Support","timeout":"Support"}}}},
           {{"name":"Rest","type":"wait","settings":{{"seconds":60}},
             "exits":{{"next":"Bye","message":null}}}},
           {{"name":"Bye","type":"end"}},
           {{"name":"Support","type":"route_to","settings":{{"queue":"support"}}}}]}}"#
    )
}

#[test]
fn what_a_question_accepts_is_checked() {
    for sound in [
        r#"{"type":"text"}"#,
        r##"{"type":"digits","least":4,"most":8,"finish":"#"}"##,
        r#"{"type":"number","least":-5,"most":5,"whole":true}"#,
        r#"{"type":"email"}"#,
        r#"{"type":"phone"}"#,
        r#"{"type":"url"}"#,
        r#"{"type":"date","month_first":true}"#,
        r#"{"type":"time"}"#,
        r#"{"type":"media","kinds":["image","document"]}"#,
    ] {
        let text = accepting("text", sound);
        let (definition, problems) = check(&text);
        assert_eq!(problems, [], "{sound}");
        // What is written again is read as the same.
        let definition = definition.unwrap();
        let again = crate::parse(&definition.to_json()).unwrap();
        assert_eq!(again, definition, "{sound}");
    }
    let place = accepting("location", r#"{"type":"location"}"#);
    assert_eq!(check(&place).1, []);
    let both = SOUND.replacen(
        r#""timeout_seconds":600"#,
        r#""accept":{"type":"email"},"timeout_seconds":600"#,
        1,
    );
    assert!(check(&both).1[0].message.contains("there are choices"));
    let endless = place.replace(r#""seconds":60"#, r#""seconds":0"#);
    assert!(
        check(&endless).1[0]
            .message
            .contains("0 seconds cannot be waited for")
    );
}

#[test]
fn answers_that_cannot_be_given_are_found() {
    let mistakes = [
        ("text", r#"{"type":"text","least":0}"#, "0 to 4096 long"),
        ("text", r#"{"type":"text","most":5000}"#, "5000 long"),
        (
            "text",
            r#"{"type":"text","least":9,"most":3}"#,
            "9 to 3 long",
        ),
        ("text", r#"{"type":"digits","most":41}"#, "41 long"),
        ("text", r#"{"type":"digits"}"#, "missing field `most`"),
        (
            "text",
            r#"{"type":"digits","most":4,"finish":"1"}"#,
            "not one sign",
        ),
        (
            "text",
            r#"{"type":"digits","most":4,"finish":"**"}"#,
            "not one sign",
        ),
        (
            "text",
            r#"{"type":"number","least":2,"most":1}"#,
            "at least 2 and at most 1",
        ),
        ("text", r#"{"type":"number","least":"2"}"#, "invalid type"),
        ("text", r#"{"type":"media","kinds":[]}"#, "no kind"),
        (
            "text",
            r#"{"type":"media","kinds":["image","image"]}"#,
            "named twice",
        ),
        (
            "text",
            r#"{"type":"media","kinds":["gif"]}"#,
            "unknown variant `gif`",
        ),
        (
            "text",
            r#"{"type":"email","least":3}"#,
            "unknown field `least`",
        ),
        ("text", r#"{"type":"emial"}"#, "unknown variant `emial`"),
        ("location", r#"{"type":"email"}"#, "does not take one"),
        ("buttons", r#"{"type":"email"}"#, "0 choices to show"),
    ];
    for (show, accept, words) in mistakes {
        let problems = check(&accepting(show, accept)).1;
        let mut found = problems.iter().filter(|it| it.is_error());
        let found = found.any(|it| it.message.contains(words) && !it.remedy.is_empty());
        assert!(found, "{accept}: {problems:#?}");
    }
}

#[test]
fn places_and_cards_are_checked() {
    let with = |part: &str| {
        let image = r#"{"type":"image","link":"https://example.com/a.png","caption":"Us"}"#;
        assert!(SOUND.contains(image));
        SOUND.replacen(image, part, 1)
    };
    let sound = [
        r#"{"type":"location","latitude":52.52,"longitude":-13.4050001,"name":"Us","address":"1 Road"}"#,
        r#"{"type":"contacts","cards":[{"name":"Ana","phones":["+4930123"],"emails":["a@b.co"]}]}"#,
    ];
    for part in sound {
        let (definition, problems) = check(&with(part));
        assert_eq!(problems, [], "{part}");
        let definition = definition.unwrap();
        assert_eq!(crate::parse(&definition.to_json()).unwrap(), definition);
    }
    let mistakes = [
        (
            r#"{"type":"location","latitude":90.1,"longitude":0}"#,
            "further than 90 degrees",
        ),
        (
            r#"{"type":"location","latitude":0,"longitude":-181}"#,
            "further than 180 degrees",
        ),
        (
            r#"{"type":"location","latitude":1e300,"longitude":0}"#,
            "no degrees",
        ),
        (
            r#"{"type":"location","latitude":"north","longitude":0}"#,
            "invalid type",
        ),
        (
            r#"{"type":"location","latitude":1,"longitude":0,"name":" "}"#,
            "the text is empty",
        ),
        (r#"{"type":"contacts","cards":[]}"#, "0 cards"),
        (
            r#"{"type":"contacts","cards":[{"name":"","phones":["1"]}]}"#,
            "the text is empty",
        ),
        (
            r#"{"type":"contacts","cards":[{"name":"Ana"}]}"#,
            "neither where to call",
        ),
    ];
    for (part, words) in mistakes {
        let problems = check(&with(part)).1;
        let found = problems
            .iter()
            .any(|it| it.message.contains(words) && !it.remedy.is_empty());
        assert!(found, "{part}: {problems:#?}");
    }
}

/// The sound flow with another widget in the place of its condition.
fn instead_of_the_condition(widget: &str) -> String {
    let start = SOUND.find(r#"{"name":"Which""#).unwrap();
    let end = SOUND.find(r#"{"name":"Sales","type""#).unwrap();
    format!("{}{widget}{}", &SOUND[..start], &SOUND[end..])
}

#[test]
fn splits_are_checked() {
    let with = |ways: &str, exits: &str| {
        let split = format!(
            r#"{{"name":"Which","type":"split","settings":{{"ways":[{ways}]}},"exits":{{{exits}}}}},"#
        );
        instead_of_the_condition(&split)
    };
    let exits = r#""a":"Sales","b":"Support""#;
    let sound = r#"{"exit":"a","share":1},{"exit":"b","share":9999}"#;
    assert_eq!(check(&with(sound, exits)).1, []);
    let mistakes = [
        (r#"{"exit":"a","share":1}"#, r#""a":"Sales""#, "1 ways"),
        (
            r#"{"exit":"a","share":1},{"exit":"a","share":1}"#,
            exits,
            "cannot name this way",
        ),
        (
            r#"{"exit":"a b","share":1},{"exit":"b","share":1}"#,
            exits,
            "cannot name this way",
        ),
        (
            r#"{"exit":"a","share":0},{"exit":"b","share":1}"#,
            exits,
            "0 is no share",
        ),
        (
            r#"{"exit":"a","share":10001},{"exit":"b","share":1}"#,
            exits,
            "10001 is no share",
        ),
        (
            r#"{"exit":"a","share":-1},{"exit":"b","share":1}"#,
            exits,
            "invalid value",
        ),
        (sound, r#""a":"Sales""#, "the exit `b` is missing"),
        (
            sound,
            r#""a":"Sales","b":"Support","c":null"#,
            "no exit `c`",
        ),
    ];
    for (ways, exits, words) in mistakes {
        let problems = check(&with(ways, exits)).1;
        let mut found = problems.iter().filter(|it| it.is_error());
        let found = found.any(|it| it.message.contains(words) && !it.remedy.is_empty());
        assert!(found, "{ways} {exits}: {problems:#?}");
    }
}

/// The sound flow with another condition.
fn comparing(variable: &str, branch: &str) -> String {
    let start = SOUND.find(r#""variable":"{{Menu.value}}""#).unwrap();
    let end = SOUND[start..].find("]},").unwrap() + start;
    let branches = format!(r#"{variable}"branches":[{branch}"#);
    format!("{}{branches}{}", &SOUND[..start], &SOUND[end..])
}

const OWN: &str = r#""variable":"{{Menu.value}}","#;
const MENU: &str = r#"{"variable":"{{Menu.value}}","operator":"equals","value":"1"}"#;
const PHONE: &str = r#"{"variable":"{{contact.phone}}","operator":"starts_with","value":"49"}"#;
const DAY: &str = r#"{"variable":"{{Menu.text}}","operator":"before","value":"2026-12-24"}"#;

#[test]
fn branches_of_several_comparisons_raise_no_alarm() {
    for form in ["all", "any"] {
        let branch = format!(r#"{{"exit":"sales","{form}":[{MENU},{PHONE},{DAY}]}}"#);
        let (definition, problems) = check(&comparing("", &branch));
        assert_eq!(problems, [], "{form}");
        let definition = definition.unwrap();
        assert_eq!(crate::parse(&definition.to_json()).unwrap(), definition);
    }
}

#[test]
fn comparisons_that_cannot_be_made_are_found() {
    let one = |comparison: &str| format!(r#"{{"exit":"sales","all":[{comparison}]}}"#);
    let many = vec![MENU; 17].join(",");
    let never = MENU.replace("\"1\"", "\"9\"");
    let twice = format!("{0},{0}", one(MENU));
    let both = format!(r#"{{"exit":"sales","all":[{MENU}],"any":[{PHONE}]}}"#);
    let mixed = format!(r#"{{"exit":"sales","operator":"is_set","all":[{MENU}]}}"#);
    let mistakes: [(&str, String, &str); 14] = [
        (
            "",
            r#"{"exit":"sales","operator":"is_set"}"#.into(),
            "no variable to compare",
        ),
        (OWN, one(MENU), "no branch compares it"),
        ("", r#"{"exit":"sales"}"#.into(), "compares in one way"),
        ("", both, "compares in one way"),
        (OWN, mixed, "compares in one way"),
        (
            OWN,
            r#"{"exit":"sales","value":"1"}"#.into(),
            "there is no operator",
        ),
        ("", one(&many), "17 comparisons"),
        ("", twice, "makes the same comparison"),
        ("", one(&never), "never holds"),
        (
            "",
            one(&MENU.replace("Menu", "Nobody")),
            "is not a variable",
        ),
        (
            "",
            one(&MENU.replace("{{Menu.value}}", "Menu")),
            "not exactly one variable",
        ),
        (
            "",
            one(&DAY.replace("2026-12-24", "tomorrow")),
            "no day and no time",
        ),
        (
            "",
            one(&DAY.replace("2026-12-24", "24.12.2026")),
            "no day and no time",
        ),
        (
            "",
            one(&DAY.replace("before", "sooner")),
            "unknown variant `sooner`",
        ),
    ];
    for (variable, branch, words) in mistakes {
        let problems = check(&comparing(variable, &branch)).1;
        let mut found = problems.iter();
        let found = found.any(|it| it.message.contains(words) && !it.remedy.is_empty());
        assert!(found, "{branch}: {problems:#?}");
    }
}

#[test]
fn business_hours_are_checked() {
    let with = |hours: &str| {
        let widget = format!(
            r#"{{"name":"Which","type":"business_hours","settings":{hours},
               "exits":{{"open":"Sales","closed":"Support"}}}},"#
        );
        instead_of_the_condition(&widget)
    };
    let sound = r#"{"time_zone":"Asia/Kolkata",
        "open":[{"days":["monday"],"from":"09:00","to":"24:00"}],
        "closures":[{"from":"2026-12-24","to":"2026-12-26","name":"Holidays"},{"from":"2027-01-01"}]}"#;
    let (definition, problems) = check(&with(sound));
    assert_eq!(problems, []);
    let definition = definition.unwrap();
    assert_eq!(crate::parse(&definition.to_json()).unwrap(), definition);
    let mistakes = [
        (
            "Asia/Kolkata",
            "Mars/Olympus",
            "no time zone `Mars/Olympus`",
        ),
        (r#"["monday"]"#, "[]", "no day"),
        (r#"["monday"]"#, r#"["monday","monday"]"#, "named twice"),
        (r#"["monday"]"#, r#"["mon"]"#, "unknown variant `mon`"),
        ("09:00", "9:00", "`9:00` is no time of day"),
        ("09:00", "24:00", "`24:00` is no time of day"),
        ("\"24:00\"", "\"24:01\"", "`24:01` is no time of day"),
        ("2026-12-26", "2026-12-23", "these are no days"),
        ("2027-01-01", "2027-02-30", "these are no days"),
        ("2027-01-01", "1.1.2027", "these are no days"),
        ("Holidays", " ", "the text is empty"),
    ];
    for (from, to, words) in mistakes {
        assert!(sound.contains(from), "{from}");
        let problems = check(&with(&sound.replacen(from, to, 1))).1;
        let mut found = problems.iter().filter(|it| it.is_error());
        let found = found.any(|it| it.message.contains(words) && !it.remedy.is_empty());
        assert!(found, "{to}: {problems:#?}");
    }
    let never = with(r#"{"time_zone":"UTC","open":[]}"#);
    assert!(check(&never).1[0].message.contains("never open"));
}
