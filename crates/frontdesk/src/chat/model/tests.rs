//! What a customer can rely on.

use core_types::{Button, ListRow, ListSection};

use super::*;

fn arrived(id: &str, content: Content) -> Happening {
    Happening::Arrived {
        at: Timestamp::EPOCH,
        id: id.into(),
        content,
    }
}

fn text(body: &str) -> Content {
    Content::Text {
        body: body.into(),
        preview_url: false,
    }
}

fn sent(id: &str, body: &str) -> Happening {
    Happening::Sent {
        at: Timestamp::EPOCH,
        id: id.into(),
        content: text(body),
    }
}

fn interactive(action: InteractiveAction) -> Content {
    Content::Interactive(Interactive {
        header: Some(InteractiveHeader::Text("Menu".into())),
        body: "Choose".into(),
        footer: Some("Open until six".into()),
        action,
    })
}

fn buttons() -> Content {
    let button = |id: &str| Button {
        id: id.into(),
        title: format!("Title {id}"),
    };
    interactive(InteractiveAction::Buttons {
        buttons: vec![button("a"), button("b")],
    })
}

fn phone() -> Phone {
    Phone::new("Maria".into(), "1".into())
}

#[test]
fn a_number_taps_only_while_options_are_on_show() {
    let mut phone = phone();
    assert!(phone.option("1").is_none());
    phone.apply(arrived("w1", buttons()));
    assert_eq!(phone.option(" 2 ").unwrap().id, "b");
    assert!(phone.option("3").is_none() && phone.option("0").is_none());
    phone.apply(arrived("w2", text("Take your time.")));
    assert_eq!(
        phone.option("1").unwrap().id,
        "a",
        "a text below changes nothing"
    );
    phone.apply(sent("w3", "x"));
    assert!(phone.option("2").is_none());
}

#[test]
fn rows_of_all_sections_are_numbered_through_and_keep_their_headings() {
    let row = |id: &str| ListRow {
        id: id.into(),
        title: id.to_uppercase(),
        description: Some(format!("about {id}")),
    };
    let section = |title: &str, rows: &[&str]| ListSection {
        title: title.into(),
        rows: rows.iter().map(|id| row(id)).collect(),
    };
    let list = InteractiveAction::List {
        button: "Choose".into(),
        sections: vec![
            section("Plants", &["rose", "tulip"]),
            section("Tools", &["rake"]),
        ],
    };
    let mut phone = phone();
    phone.apply(arrived("w", interactive(list)));
    let option = phone.option("3").unwrap();
    assert_eq!((option.id.as_str(), option.kind), ("rake", ReplyKind::List));
    assert_eq!(option.heading.as_deref(), Some("Tools"));
    let bubble = &phone.bubbles[0];
    assert_eq!(bubble.options[1].heading, None);
    assert_eq!(bubble.header.as_deref(), Some("Menu"));
    assert_eq!(bubble.footer.as_deref(), Some("Open until six"));
}

#[test]
fn a_story_told_again_changes_nothing_and_ticks_only_grow() {
    let mut phone = phone();
    assert!(phone.apply(sent("w", "Hi")));
    assert!(phone.apply(Happening::BusinessRead { id: "w".into() }));
    assert!(!phone.apply(sent("w", "Hi")));
    assert!(!phone.apply(Happening::Taken { id: "w".into() }));
    assert_eq!(phone.bubbles.len(), 1);
    assert_eq!(phone.bubbles[0].tick, Some(Tick::Read));
}

#[test]
fn what_could_not_be_sent_comes_back_to_the_editor_unless_something_else_is_typed() {
    let mut phone = phone();
    let lost = |typed: &str| Happening::NotSent {
        typed: typed.into(),
        problem: "there is no connection".into(),
    };
    phone.apply(lost("Hi 👋"));
    assert_eq!(phone.editor.text(), "Hi 👋");
    phone.apply(lost("other"));
    assert_eq!(phone.editor.text(), "Hi 👋");
    assert!(phone.notice.unwrap().contains("no connection"));
}

#[test]
fn a_break_is_told_once_and_forgotten_when_it_is_over() {
    let mut phone = phone();
    let offline = || Happening::Offline {
        problem: "No connection".into(),
        hopeless: false,
    };
    assert!(phone.apply(offline()));
    assert!(!phone.apply(offline()));
    phone.apply(Happening::Online {
        business: Some("Garden".into()),
    });
    assert!(phone.online && phone.offline.is_none());
    assert_eq!(phone.business, "Garden");
}
