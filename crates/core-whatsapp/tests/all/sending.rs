//! Requests: written, read back, checked against the limits, and somebody else's read.

use core_types::{
    Button, ContactCard, ContactIdentity, Content, Interactive, InteractiveAction,
    InteractiveHeader, ListRow, ListSection, Location, Media, MediaKind, TemplateButtonParameter,
    TemplateHeaderParameter, TemplateSend, WhatsAppMessageId,
};
use core_whatsapp::send::{SendProblem, check, decode, encode};
use serde_json::Value;

use crate::fixtures::extra;

fn somebody() -> ContactIdentity {
    ContactIdentity {
        phone: Some("4915120000001".into()),
        user_id: Some("DE.1".into()),
        ..ContactIdentity::default()
    }
}

fn media(kind: MediaKind) -> Media {
    Media {
        kind,
        id: Some("77".into()),
        link: None,
        mime_type: None,
        sha256: None,
        caption: None,
        filename: None,
        voice: false,
        animated: false,
    }
}

fn interactive(header: Option<InteractiveHeader>, action: InteractiveAction) -> Content {
    Content::Interactive(Interactive {
        header,
        body: "Which one?".into(),
        footer: None,
        action,
    })
}

fn buttons(count: usize) -> InteractiveAction {
    let button = |index: usize| Button {
        id: format!("b{index}"),
        title: format!("Button {index}"),
    };
    InteractiveAction::Buttons {
        buttons: (0..count).map(button).collect(),
    }
}

fn list(rows_per_section: &[usize]) -> InteractiveAction {
    let row = |section: usize, row: usize| ListRow {
        id: format!("{section}.{row}"),
        title: format!("Row {row}"),
        description: (row == 0).then(|| "the first".to_owned()),
    };
    let sections = rows_per_section.iter().enumerate();
    InteractiveAction::List {
        button: "Choose".into(),
        sections: sections
            .map(|(section, rows)| ListSection {
                title: format!("Section {section}"),
                rows: (0..*rows).map(|index| row(section, index)).collect(),
            })
            .collect(),
    }
}

fn template(header: Option<TemplateHeaderParameter>) -> Content {
    let button = |index, kind: &str| TemplateButtonParameter {
        index,
        kind: kind.into(),
        value: "v".into(),
    };
    Content::Template(TemplateSend {
        name: "order_ready".into(),
        language: "en_US".into(),
        header,
        body: vec![(Some("name".into()), "Ann".into()), (None, "7".into())],
        buttons: vec![
            button(0, "url"),
            button(1, "quick_reply"),
            button(2, "copy_code"),
        ],
        ..TemplateSend::default()
    })
}

fn all() -> Vec<Content> {
    let document = Media {
        caption: Some("your bill".into()),
        filename: Some("bill.pdf".into()),
        ..media(MediaKind::Document)
    };
    let voice = Media {
        voice: true,
        ..media(MediaKind::Audio)
    };
    let linked = Media {
        id: None,
        link: Some("https://example.com/a.png".into()),
        ..media(MediaKind::Image)
    };
    let link = InteractiveAction::Link {
        text: "Open".into(),
        url: "https://example.com".into(),
    };
    vec![
        Content::Text {
            body: "Hi \u{1F44B}".into(),
            preview_url: true,
        },
        Content::Media(document),
        Content::Media(voice),
        Content::Media(linked.clone()),
        Content::Media(media(MediaKind::Video)),
        Content::Media(media(MediaKind::Sticker)),
        Content::Location(Location {
            latitude: 52.5,
            longitude: -13.25,
            name: Some("Shop".into()),
            address: None,
            url: None,
        }),
        interactive(Some(InteractiveHeader::Text("Top".into())), buttons(3)),
        interactive(Some(InteractiveHeader::Media(linked)), link),
        interactive(None, list(&[4, 6])),
        interactive(None, InteractiveAction::LocationRequest),
        template(None),
        template(Some(TemplateHeaderParameter::Text(None, "7".into()))),
        template(Some(TemplateHeaderParameter::Media(media(
            MediaKind::Document,
        )))),
        Content::Reaction {
            target: WhatsAppMessageId::new("wamid.1").unwrap(),
            emoji: Some("👍".into()),
        },
        Content::Reaction {
            target: WhatsAppMessageId::new("wamid.1").unwrap(),
            emoji: None,
        },
    ]
}

#[test]
fn what_is_written_is_read_back() {
    for content in all() {
        let body = encode(&somebody(), &content, Some("wamid.0"), "v1.cnv1.m1").unwrap();
        let read = decode(&body).unwrap();
        assert_eq!(read.content, content);
        assert_eq!(read.to.phone.as_deref(), Some("4915120000001"));
        assert_eq!(read.to.user_id, None);
        assert_eq!(read.reply_to.as_deref(), Some("wamid.0"));
        assert_eq!(read.callback_data.as_deref(), Some("v1.cnv1.m1"));
        assert_eq!(check(&content), []);
    }
}

#[test]
fn cards_are_passed_on_or_made() {
    let card = ContactCard {
        name: "Jo".into(),
        phones: vec!["+49 30 1".into()],
        emails: vec!["jo@example.org".into()],
        raw: String::new(),
    };
    let content = |card: &ContactCard| Content::Contacts {
        cards: vec![card.clone()],
        origin: None,
    };
    let body = encode(&somebody(), &content(&card), None, "").unwrap();
    let Content::Contacts { cards, .. } = decode(&body).unwrap().content else {
        panic!();
    };
    assert_eq!(
        (&cards[0].name, &cards[0].phones, &cards[0].emails),
        (&card.name, &card.phones, &card.emails)
    );
    assert!(cards[0].raw.contains("first_name"));
    // A card that came from a customer goes on with all it had.
    let passed = ContactCard {
        raw: r#"{"name":{"formatted_name":"Jo"},"birthday":"2000-01-01"}"#.into(),
        ..card
    };
    let body = encode(&somebody(), &content(&passed), None, "").unwrap();
    assert!(body.contains("2000-01-01"));
    assert_eq!(check(&content(&passed)), []);
}

#[test]
fn the_phone_number_comes_first_and_the_user_id_else() {
    let text = Content::Text {
        body: "x".into(),
        preview_url: false,
    };
    let body = |to: &ContactIdentity| -> Value {
        serde_json::from_str(&encode(to, &text, None, "").unwrap()).unwrap()
    };
    let both = body(&somebody());
    assert_eq!(
        (&both["to"], both.get("recipient")),
        (&Value::from("+4915120000001"), None)
    );
    let hidden = ContactIdentity {
        phone: None,
        ..somebody()
    };
    let body = body(&hidden);
    assert_eq!(
        (body.get("to"), &body["recipient"]),
        (None, &Value::from("DE.1"))
    );
    assert_eq!(
        encode(&ContactIdentity::default(), &text, None, ""),
        Err(SendProblem::Nobody)
    );
    let long = "x".repeat(513);
    assert_eq!(
        encode(&hidden, &text, None, &long),
        Err(SendProblem::CallbackTooLong(513))
    );
    let revoke = Content::Revoke {
        target: WhatsAppMessageId::new("wamid.1").unwrap(),
    };
    assert_eq!(
        encode(&hidden, &revoke, None, ""),
        Err(SendProblem::NotSendable("revoke"))
    );
    assert_eq!(check(&revoke).len(), 1);
}

fn fields(content: &Content) -> Vec<String> {
    let problems = check(content).into_iter();
    problems.map(|problem| problem.field).collect()
}

#[test]
fn limits_are_checked_field_by_field() {
    let text = |body: String| Content::Text {
        body,
        preview_url: false,
    };
    assert!(fields(&text("é".repeat(4_096))).is_empty());
    assert_eq!(fields(&text("é".repeat(4_097))), ["text.body"]);
    assert_eq!(fields(&text(" ".into())), ["text.body"]);
    assert_eq!(
        fields(&interactive(None, buttons(0))),
        ["interactive.action.buttons"]
    );
    assert_eq!(
        fields(&interactive(None, buttons(4))),
        ["interactive.action.buttons"]
    );
    assert_eq!(
        fields(&interactive(None, list(&[5, 6]))),
        ["interactive.action.sections"]
    );
    assert_eq!(fields(&interactive(None, list(&[]))).len(), 2);
    assert_eq!(
        fields(&interactive(None, list(&[1, 0]))),
        ["interactive.action.sections[1].rows"]
    );
    let header = Some(InteractiveHeader::Media(media(MediaKind::Image)));
    assert_eq!(
        fields(&interactive(header.clone(), list(&[1]))),
        ["interactive.header"]
    );
    assert_eq!(
        fields(&interactive(header, InteractiveAction::LocationRequest)),
        ["interactive"]
    );
}

#[test]
fn limits_of_buttons_links_and_media() {
    let same = InteractiveAction::Buttons {
        buttons: vec![
            Button {
                id: "a".into(),
                title: "T".repeat(21)
            };
            2
        ],
    };
    assert_eq!(
        fields(&interactive(None, same)),
        [
            "interactive.action.buttons[0].title",
            "interactive.action.buttons[1].title",
            "interactive.action.buttons[1].id",
            "interactive.action.buttons[1].title",
        ]
    );
    for bad in [
        "ftp://a",
        "https://",
        "https:// a",
        "example.com",
        "javascript:alert(1)",
    ] {
        let link = InteractiveAction::Link {
            text: "Open".into(),
            url: bad.into(),
        };
        assert!(!fields(&interactive(None, link)).is_empty(), "{bad}");
    }
    let sticker = Media {
        caption: Some("no".into()),
        filename: Some("n".into()),
        voice: true,
        ..media(MediaKind::Sticker)
    };
    assert_eq!(
        fields(&Content::Media(sticker)),
        ["media.caption", "media.filename", "media.voice"]
    );
    let both = Media {
        link: Some("https://a.b".into()),
        ..media(MediaKind::Image)
    };
    assert_eq!(fields(&Content::Media(both)), ["media"]);
    let place = Location {
        latitude: f64::NAN,
        longitude: 181.0,
        name: None,
        address: None,
        url: None,
    };
    assert_eq!(fields(&Content::Location(place)).len(), 2);
    let bad = Content::Template(TemplateSend {
        name: "Order Ready".into(),
        body: vec![(None, "a\nb".into())],
        ..TemplateSend::default()
    });
    assert_eq!(
        fields(&bad),
        ["template.name", "template.language", "template.body[0]"]
    );
}

#[test]
fn requests_that_cannot_be_understood_have_metas_code() {
    let code = |body: &str| decode(body).unwrap_err().code();
    let with =
        |rest: &str| format!(r#"{{"messaging_product":"whatsapp","to":"+491512000",{rest}}}"#);
    assert_eq!(code("{"), 100);
    assert_eq!(code("[]"), 100);
    assert_eq!(code(r#"{"to":"+491512000"}"#), 131_008);
    assert_eq!(
        code(r#"{"messaging_product":"whatsapp","type":"text"}"#),
        131_008
    );
    assert_eq!(code(&with(r#""type":"text""#)), 131_008);
    assert_eq!(code(&with(r#""type":"text","text":{"body":""}"#)), 131_008);
    assert_eq!(code(&with(r#""type":"hologram","hologram":{}"#)), 131_051);
    assert_eq!(
        code(&with(
            r#""type":"location","location":{"latitude":"x","longitude":1}"#
        )),
        131_009
    );
    assert_eq!(
        code(
            r#"{"messaging_product":"whatsapp","to":"call me","type":"text","text":{"body":"x"}}"#
        ),
        131_009
    );
    assert!(matches!(
        decode(r#"{"messaging_product":"whatsapp","status":"read","message_id":"wamid.1"}"#),
        Err(SendProblem::NotAMessage(_))
    ));
}

/// What Frontdesk does not send, by Meta's word.
fn not_ours(body: &Value) -> bool {
    let text = body.to_string();
    let kinds = [
        "address_message",
        "voice_call",
        "catalog_message",
        "carousel",
        "\"flow\"",
        "\"product\"",
        "product_list",
        "order_details",
        "order_status",
        "limited_time_offer",
        "mpm",
        "catalog",
        "tap_target_configuration",
        "payment",
        "\"recipient_type\":\"group\"",
    ];
    let lower = text.to_lowercase();
    // One example forgets its type, so it is a text without text.
    let typeless = body.get("type").is_none() && body.get("text").is_none();
    typeless
        || body.get("status").is_some()
        || body.get("action").is_some()
        || body.get("session").is_some()
        || body.get("connection").is_some()
        || kinds.iter().any(|kind| lower.contains(kind))
}

#[test]
fn somebody_elses_requests_are_read_and_written_the_same() {
    let (mut read, mut skipped) = (0, Vec::new());
    for fixture in extra("send") {
        let name = &fixture.name;
        let placeholder = [
            "{{Recipient-Phone-Number}}",
            "{{Recipient-WA-Phone-Number}}",
            "PHONE_NUMBER",
            "91xxxxxxxxxx",
        ];
        let text = placeholder
            .iter()
            .fold(fixture.text().to_owned(), |text, mark| {
                text.replace(mark, "+16505551234")
            });
        let body: Value = serde_json::from_str(&text).unwrap();
        match decode(&text) {
            Ok(decoded) => {
                read += 1;
                let again = encode(
                    &decoded.to,
                    &decoded.content,
                    decoded.reply_to.as_deref(),
                    decoded.callback_data.as_deref().unwrap_or_default(),
                );
                let again = decode(&again.unwrap()).unwrap();
                assert_eq!(again.to, decoded.to, "{name}");
                assert_eq!(again.reply_to, decoded.reply_to, "{name}");
                assert_eq!(again.content, decoded.content, "{name}");
            }
            Err(error) => {
                assert!(not_ours(&body), "{name}: {error}\n{body}");
                skipped.push(format!("{name}: {error}"));
            }
        }
    }
    println!(
        "{read} requests read; not sent by Frontdesk:\n{}",
        skipped.join("\n")
    );
}
