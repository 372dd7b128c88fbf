//! `frontdesk chat`: a customer's phone in the terminal.

mod line;
mod model;
mod view;

use std::time::Duration;

use anyhow::Context as _;
use core_types::{ContactIdentity, Content, Reply};
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use lib_proto::common;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::chat::line::{Line, OpenLine, Order};
use crate::chat::model::{Happening, Phone};
use crate::cli::ChatArgs;
use crate::client;
use crate::installation::dev_token;
use crate::terminal::{Screen, is_interactive, print_line};

/// How long a phone that reads from a pipe listens on after the last line and the last event.
const LISTEN_ON: Duration = Duration::from_secs(3);

/// Runs the phone until the person leaves.
///
/// # Errors
/// When the installation refuses the phone, or is not there and nobody is there to wait for it.
pub(crate) async fn run(args: ChatArgs) -> anyhow::Result<()> {
    let mut customer = ContactIdentity::from_phone(&args.phone)?;
    customer.display_name = Some(args.name.clone());
    let line = Line {
        server: args.server.server,
        token: client::token().unwrap_or_else(|| dev_token("admin")),
        customer: common::ContactIdentity::from(&customer),
        number_id: args.number.clone(),
    };
    let line = line.open()?;
    let phone = Phone::new(args.name, args.number);
    if is_interactive() {
        on_screen(line, phone).await
    } else {
        on_pipe(line, phone).await
    }
}

/// What a typed line says: a tap when it is the number of an option on show, else text.
fn content_of(phone: &Phone, line: &str) -> Content {
    match phone.option(line) {
        Some(option) => Content::Reply(Reply {
            kind: option.kind,
            id: option.id.clone(),
            title: option.title.clone(),
            data: None,
        }),
        None => Content::Text {
            body: line.to_owned(),
            preview_url: false,
        },
    }
}

async fn on_screen(mut line: OpenLine, mut phone: Phone) -> anyhow::Result<()> {
    let mut screen = Screen::take()?;
    let mut keys = EventStream::new();
    loop {
        screen.draw(|frame| view::draw(frame, &phone))?;
        tokio::select! {
            key = keys.next() => match key.context("the terminal is gone")?? {
                Event::Key(key)
                    if key.kind == KeyEventKind::Press && press(&line, &mut phone, key) =>
                {
                    return Ok(());
                }
                Event::Paste(text) => phone.editor.insert(&text),
                _ => {}
            },
            next = line.next() => {
                let mut next = next;
                let mut arrived = false;
                while let Some(happening) = next {
                    if let Happening::Offline { problem, hopeless: true } = happening {
                        anyhow::bail!("{problem}");
                    }
                    arrived |= matches!(happening, Happening::Arrived { .. });
                    phone.apply(happening);
                    next = line.next_now();
                }
                if arrived {
                    line.order(Order::Look);
                }
            }
        }
    }
}

/// Handles a key; says whether the person leaves.
fn press(line: &OpenLine, phone: &mut Phone, key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    match key.code {
        KeyCode::Char('c') if control => return true,
        KeyCode::Char('d') if control => return phone.editor.is_empty(),
        KeyCode::Esc => {
            // Into the history: Up brings it back.
            phone.editor.take();
            phone.notice = None;
            phone.scroll.to_end();
        }
        KeyCode::PageUp => phone.scroll.page_up(),
        KeyCode::PageDown => phone.scroll.page_down(),
        KeyCode::Enter if !alt => {
            let typed = phone.editor.take();
            phone.notice = None;
            phone.scroll.to_end();
            if !typed.trim().is_empty() {
                let content = Box::new(content_of(phone, &typed));
                line.order(Order::Send { content, typed });
            }
        }
        _ => {
            phone.editor.key(key);
        }
    }
    false
}

/// One event a line on standard output, one message a line on standard input: for pipes.
async fn on_pipe(mut line: OpenLine, mut phone: Phone) -> anyhow::Result<()> {
    let mut typed = BufReader::new(tokio::io::stdin()).lines();
    let mut open = true;
    let mut stood = false;
    loop {
        tokio::select! {
            next = typed.next_line(), if open && phone.online => match next? {
                Some(text) if text.trim().is_empty() => {}
                Some(text) => {
                    let content = Box::new(content_of(&phone, &text));
                    line.order(Order::Send { content, typed: text });
                }
                None => open = false,
            },
            next = line.next() => {
                let next = next.context("the line is closed")?;
                match &next {
                    Happening::Offline { problem, .. } if !stood => anyhow::bail!("{problem}"),
                    Happening::NotSent { problem, .. } => anyhow::bail!("not sent: {problem}"),
                    Happening::Online { .. } => stood = true,
                    Happening::Arrived { .. } => line.order(Order::Look),
                    _ => {}
                }
                let news = view::plain(&next);
                if phone.apply(next) && let Some(text) = news && !print_line(&text)? {
                    return Ok(());
                }
            }
            () = tokio::time::sleep(LISTEN_ON), if !open => return Ok(()),
        }
    }
}
