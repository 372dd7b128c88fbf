//! `frontdesk agent`: an agent's desk in the terminal. It uses the public APIs of routing (offers),
//! conversations (history, sending, wrap-up) and templates.

mod command;
mod link;
mod model;
mod view;

use std::time::Duration;

use anyhow::Context as _;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use lib_platform::Clock;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::agent::command::Command;
use crate::agent::link::{Link, News};
use crate::agent::model::Desk;
use crate::cli::AgentArgs;
use crate::installation::dev_token;
use crate::terminal::{Screen, is_interactive};

/// How long a desk that reads from a pipe stays after the last line.
const STAY: Duration = Duration::from_secs(3);

/// Runs the desk until the agent leaves.
///
/// # Errors
/// When the terminal fails. Troubles with the installation are shown, and tried again.
pub(crate) async fn run(args: AgentArgs) -> anyhow::Result<()> {
    let token = args.token.clone().unwrap_or_else(|| dev_token(&args.agent));
    let (mut link, news) = Link::open(&args.server.server, &token, args.capacity)?;
    let mut desk = Desk::new(args.agent);
    let outcome = if is_interactive() {
        on_screen(&mut link, &mut desk, news).await
    } else {
        on_pipe(&mut link, &mut desk, news).await
    };
    link.close();
    outcome
}

type NewsReceiver = tokio::sync::mpsc::Receiver<News>;

async fn on_screen(link: &mut Link, desk: &mut Desk, mut news: NewsReceiver) -> anyhow::Result<()> {
    let clock = Clock::system();
    let mut screen = Screen::take()?;
    let mut keys = EventStream::new();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        screen
            .0
            .draw(|frame| view::draw(frame, desk, clock.now()))?;
        tokio::select! {
            // Countdowns move once a second.
            _ = second.tick() => {}
            key = keys.next() => match key.context("the terminal is gone")?? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    if let Some(command) = key_command(desk, key) {
                        if command == Command::Quit {
                            return Ok(());
                        }
                        act(link, desk, command).await;
                    }
                }
                Event::Paste(text) => desk.editor.insert(&text),
                _ => {}
            },
            item = news.recv() => {
                let item = item.context("the desk is closed")?;
                take_in(link, desk, item).await;
            }
        }
    }
}

/// What a key means: editing, or a command.
fn key_command(desk: &mut Desk, key: KeyEvent) -> Option<Command> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if control => Some(Command::Quit),
        KeyCode::Char('r') if control => Some(desk.toggle_ready()),
        KeyCode::Tab => Some(Command::Next),
        KeyCode::Esc if desk.offers.is_empty() => None,
        KeyCode::Esc => Some(Command::Decline),
        KeyCode::Enter if desk.editor.is_empty() => {
            (!desk.offers.is_empty()).then_some(Command::Accept)
        }
        KeyCode::Enter => {
            let line = desk.editor.take();
            match command::parse(&line) {
                Ok(command) => Some(command),
                Err(problem) => {
                    desk.notice = Some(problem);
                    None
                }
            }
        }
        KeyCode::PageUp => {
            desk.scroll(8);
            None
        }
        KeyCode::PageDown => {
            desk.scroll(-8);
            None
        }
        _ => {
            desk.editor.key(key);
            None
        }
    }
}

/// Carries a command out; what goes wrong is shown.
async fn act(link: &mut Link, desk: &mut Desk, command: Command) {
    desk.notice = None;
    if let Err(problem) = link.carry_out(desk, command).await {
        desk.notice = Some(problem);
    }
}

/// Takes news in, and fetches what they call for.
async fn take_in(link: &mut Link, desk: &mut Desk, item: News) {
    for conversation in desk.apply(item) {
        if let Err(problem) = link.load(desk, &conversation).await {
            desk.notice = Some(problem);
        }
    }
}

/// Commands on standard input, news on standard output: for pipes.
async fn on_pipe(link: &mut Link, desk: &mut Desk, mut news: NewsReceiver) -> anyhow::Result<()> {
    let mut typed = BufReader::new(tokio::io::stdin()).lines();
    let mut open = true;
    loop {
        tokio::select! {
            next = typed.next_line(), if open => match next? {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => match command::parse(&line) {
                    Ok(Command::Quit) => return Ok(()),
                    Ok(command) => act(link, desk, command).await,
                    Err(problem) => desk.notice = Some(problem),
                },
                None => open = false,
            },
            item = news.recv() => {
                let item = item.context("the desk is closed")?;
                if let Some(line) = view::plain(&item) {
                    println!("{line}");
                }
                take_in(link, desk, item).await;
            }
            () = tokio::time::sleep(STAY), if !open => return Ok(()),
        }
        if let Some(notice) = desk.notice.take() {
            println!("-- {notice}");
        }
    }
}
