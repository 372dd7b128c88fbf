//! What is on the screen, at 80 by 24.

use lib_proto::conversations::Window;
use lib_proto::routing::{DeskEngagement, DeskSnapshot, Offer, desk_event};
use lib_proto::timestamp_opt;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;

use super::*;
use crate::agent::link::News;
use crate::agent::model::Panel;
use crate::agent::model::tests::{engagement, event};
use crate::agent::template::tests::follow_up;

fn screen(desk: &Desk, now: Timestamp) -> String {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw(frame, desk, now)).unwrap();
    let buffer = terminal.backend().buffer();
    buffer.content().iter().map(Cell::symbol).collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

fn desk() -> Desk {
    let mut desk = Desk::new("ana".into());
    let snapshot = desk_event::Event::Snapshot(DeskSnapshot::default());
    desk.apply(event(snapshot));
    desk
}

fn loaded(window: Option<Window>) -> Desk {
    let mut desk = desk();
    desk.apply(event(desk_event::Event::Assigned(engagement("maria"))));
    desk.apply(News::History {
        conversation: "c-maria".into(),
        messages: Vec::new(),
        window,
    });
    desk
}

#[test]
fn an_offer_shows_its_countdown_and_reason() {
    let offer = Offer {
        queue_name: "Support".into(),
        reason: "longest idle of 2 ready agents".into(),
        queued_at: timestamp_opt(Some(at(990))),
        expires_at: timestamp_opt(Some(at(1_023))),
        last_message_summary: "2".into(),
        ..Default::default()
    };
    let mut desk = desk();
    desk.apply(event(desk_event::Event::Offered(offer)));
    let shown = screen(&desk, at(1_000));
    assert!(shown.contains("23 s left"), "{shown}");
    assert!(shown.contains("has waited 10 s"));
    assert!(shown.contains("longest idle of 2 ready agents"));
}

#[test]
fn the_window_is_said_in_words() {
    assert!(screen(&loaded(None), at(0)).contains("window closed: /templates only"));
    let window = Window {
        open: true,
        closes_at: timestamp_opt(Some(at(7_500))),
        ..Default::default()
    };
    let desk = loaded(Some(window));
    assert!(screen(&desk, at(0)).contains("window open for 2 h 05 min"));
    assert!(screen(&desk, at(7_800)).contains("window closed 5 min ago: /templates only"));
}

#[test]
fn wrap_up_counts_down_and_numbers_its_choices() {
    let wrap_up = DeskEngagement {
        state: "wrap_up".into(),
        wrap_up_until: timestamp_opt(Some(at(115))),
        ..engagement("maria")
    };
    let mut desk = desk();
    desk.apply(event(desk_event::Event::WrapUp(wrap_up)));
    let shown = screen(&desk, at(0));
    assert!(shown.contains("closes by itself in 1:55"), "{shown}");
    assert!(shown.contains("1 solved · 2 spam"));
}

#[test]
fn help_is_readable_as_a_whole() {
    let mut desk = desk();
    desk.panel = Some(Panel::Help);
    let shown = screen(&desk, at(0));
    for (command, meaning) in crate::agent::command::HELP {
        assert!(
            shown.contains(command) && shown.contains(meaning),
            "{shown}"
        );
    }
}

#[test]
fn a_notice_longer_than_the_screen_is_wide_is_shown_whole() {
    let mut desk = loaded(None);
    desk.notice = Some(format!("Not done: {} the end.", "long ".repeat(30)));
    assert!(screen(&desk, at(0)).contains("the end."));
}

#[test]
fn the_template_under_edit_is_previewed() {
    let mut desk = loaded(None);
    desk.apply(News::Templates(vec![follow_up()]));
    desk.editor.insert("/template follow_up Maria");
    let shown = screen(&desk, at(0));
    assert!(shown.contains("Hello Maria, about {{2}}."), "{shown}");
    assert!(shown.contains("not complete"));
    desk.editor.insert(" | FD-7");
    assert!(screen(&desk, at(0)).contains("Enter sends it"));
}

#[test]
fn a_takeover_is_said_and_so_is_the_way_back() {
    let mut desk = desk();
    desk.apply(News::Elsewhere);
    let shown = screen(&desk, at(0));
    assert!(shown.contains("OPENED ELSEWHERE") && shown.contains("Enter takes it back"));
}
