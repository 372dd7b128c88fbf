//! Definitions as Meta hands them out, and what may be sent with them.

use core_types::{
    Media, MediaKind, TemplateButtonParameter, TemplateHeaderParameter, TemplateSend,
};

use super::{Definition, DefinitionError};

const ORDER: &str = r#"[
    {"type":"HEADER","format":"TEXT","text":"Order {{1}}","example":{"header_text":["860198"]}},
    {"type":"BODY","text":"Hi {{1}}, {{2}} is on its way.","example":{"body_text":[["Ann","it"]]}},
    {"type":"FOOTER","text":"Lucky Shrub"},
    {"type":"BUTTONS","buttons":[
        {"type":"URL","text":"Track","url":"https://example.com/t/{{1}}","example":["https://example.com/t/1"]},
        {"type":"QUICK_REPLY","text":"Stop"},
        {"type":"COPY_CODE","example":"25OFF"},
        {"type":"PHONE_NUMBER","text":"Call","phone_number":"+15550051310"}]}]"#;

fn button(index: u8, kind: &str, value: &str) -> TemplateButtonParameter {
    TemplateButtonParameter {
        index,
        kind: kind.to_owned(),
        value: value.to_owned(),
    }
}

fn order() -> TemplateSend {
    TemplateSend {
        name: "order".into(),
        language: "en_US".into(),
        header: Some(TemplateHeaderParameter::Text(None, "7".into())),
        body: vec![(None, "{{2}} *Ann*".into()), (None, "$1 box".into())],
        buttons: vec![button(0, "url", "abc"), button(2, "copy_code", "25OFF")],
        ..TemplateSend::default()
    }
}

fn problems(definition: &Definition, send: &TemplateSend) -> Vec<String> {
    let problems = definition.check(send).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_filled_in_stays_as_it_is() {
    let definition = Definition::parse(ORDER, "POSITIONAL").unwrap();
    let text = definition.check(&order()).unwrap();
    assert_eq!(
        text,
        "Order 7\n\nHi {{2}} *Ann*, $1 box is on its way.\n\nLucky Shrub"
    );
    let all: Vec<_> = definition.parameters();
    let all: Vec<_> = all
        .iter()
        .map(|p| {
            (
                p.component.as_str(),
                p.name.as_str(),
                p.kind.as_str(),
                p.required,
            )
        })
        .collect();
    assert_eq!(
        all,
        [
            ("header", "1", "text", true),
            ("body", "1", "text", true),
            ("body", "2", "text", true),
            ("button", "0", "url", true),
            ("button", "1", "quick_reply", false),
            ("button", "2", "copy_code", true),
        ]
    );
    assert_eq!(definition.parameters()[1].example, "Ann");
    assert_eq!(
        definition.parameters()[3].example,
        "https://example.com/t/1"
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let definition = Definition::parse(ORDER, "").unwrap();
    let mut send = order();
    send.header = None;
    send.body = vec![(Some("name".into()), "a\nb".into())];
    send.buttons = vec![
        button(1, "url", "x"),
        button(2, "copy_code", &"x".repeat(21)),
        button(3, "url", "x"),
        button(9, "url", "x"),
    ];
    let text = problems(&definition, &send).join("\n");
    for part in [
        "template.header: has 0 parameters; the template has 1",
        "template.body[0]: must not hold line breaks",
        "template.body: has 1 parameters; the template has 2",
        "template.body[0]: must have no name",
        "template.buttons[0].kind: must be quick_reply",
        "template.buttons[1].value: has 21 characters",
        "template.buttons[2]: the button takes no parameter",
        "template.buttons[3].index: is 9",
        "button 0 \"Track\" is missing",
    ] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
}

#[test]
fn lengths_count_after_filling_in() {
    let definition = Definition::parse(ORDER, "positional").unwrap();
    let mut send = order();
    send.body[0].1 = "é".repeat(1_024 - 23);
    assert!(problems(&definition, &send)[0].contains("characters; at most 1024"));
    send.body[0].1 = "é".repeat(900);
    assert!(definition.check(&send).is_ok());
    for bad in ["", "  ", "a\tb", "a    b"] {
        send.body[0].1 = bad.to_owned();
        assert_eq!(problems(&definition, &send).len(), 1, "{bad:?}");
    }
}

#[test]
fn named_parameters_are_matched_by_name() {
    let components = r#"[{"type":"body","text":"Use {{code}} or {{percent}}, {{code}}!",
        "example":{"body_text_named_params":[{"param_name":"percent","example":"15%"},
        {"param_name":"code","example":"15OFF"}]}}]"#;
    let definition = Definition::parse(components, "named").unwrap();
    let examples: Vec<_> = definition
        .parameters()
        .into_iter()
        .map(|p| p.example)
        .collect();
    assert_eq!(examples, ["15OFF", "15%"]);
    let mut send = TemplateSend {
        body: vec![
            (Some("percent".into()), "5%".into()),
            (Some("code".into()), "X".into()),
        ],
        ..order()
    };
    (send.header, send.buttons) = (None, Vec::new());
    assert_eq!(definition.check(&send).unwrap(), "Use X or 5%, X!");
    send.body[0].0 = Some("per cent".into());
    let text = problems(&definition, &send).join("\n");
    assert!(text.contains("not a parameter") && text.contains("`percent` is missing"));
    send.body[0].0 = None;
    assert!(problems(&definition, &send)[0].contains("must have a name"));
}

#[test]
fn media_headers_need_their_media() {
    let components = r#"[{"type":"HEADER","format":"IMAGE","example":{"header_handle":["4::a"]}},
        {"type":"BODY","text":"Hello"}]"#;
    let definition = Definition::parse(components, "").unwrap();
    assert_eq!(definition.parameters()[0].kind, "image");
    let mut send = TemplateSend::default();
    assert_eq!(
        problems(&definition, &send),
        ["template.header: an image must be given"]
    );
    let media = |kind| {
        Some(TemplateHeaderParameter::Media(Media {
            kind,
            id: Some("1".into()),
            link: None,
            mime_type: None,
            sha256: None,
            caption: None,
            filename: None,
            voice: false,
            animated: false,
        }))
    };
    send.header = media(MediaKind::Video);
    assert_eq!(
        problems(&definition, &send),
        ["template.header: must be an image"]
    );
    send.header = media(MediaKind::Image);
    assert_eq!(definition.check(&send).unwrap(), "Hello");
}

#[test]
fn codes_and_parts_that_cannot_be_filled() {
    let code = r#"[{"type":"body","add_security_recommendation":true},
        {"type":"footer","code_expiration_minutes":5},
        {"type":"buttons","buttons":[{"type":"otp","otp_type":"copy_code","text":"Copy"}]}]"#;
    let definition = Definition::parse(code, "").unwrap();
    let send = TemplateSend {
        body: vec![(None, "4711".into())],
        buttons: vec![button(0, "url", "4711")],
        ..TemplateSend::default()
    };
    let text = definition.check(&send).unwrap();
    assert!(text.starts_with("*4711* is your verification code. For your security"));
    let carousel = r#"[{"type":"BODY","text":"Look"},{"type":"carousel","cards":[]}]"#;
    let definition = Definition::parse(carousel, "").unwrap();
    assert!(problems(&definition, &TemplateSend::default())[0].contains("carousel"));
}

#[test]
fn definitions_that_are_none() {
    let parse = |json: &str, format: &str| Definition::parse(json, format).unwrap_err();
    assert!(matches!(parse("{", ""), DefinitionError::Malformed(_)));
    assert!(matches!(parse("[]", ""), DefinitionError::Bodies(0)));
    assert!(matches!(parse("[]", "mixed"), DefinitionError::Format(_)));
    let body = |text: &str| format!(r#"[{{"type":"BODY","text":"{text}"}}]"#);
    assert_eq!(parse(&body("{{1}} and {{3}}"), ""), DefinitionError::Gap);
    assert_eq!(
        parse(&body("{{1}} {{name}}"), "").to_string(),
        "the variable `{{name}}` does not fit the parameter format `positional`"
    );
    let odd = Definition::parse(&body("{1} {{}} {{A b}} {{1"), "").unwrap();
    assert!(odd.parameters().is_empty());
}
