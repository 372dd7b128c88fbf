//! `frontdesk agent`: an agent's desk in the terminal. It uses the public APIs of routing (offers),
//! conversations (history, sending, wrap-up), templates and accounts (names).

mod calls;
mod command;
mod conversation;
mod link;
mod model;
mod panel;
mod pipe;
mod template;
mod view;

use std::time::Duration;

use anyhow::Context as _;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use lib_platform::Clock;
use lib_proto::routing::{AcceptOffer, AgentPresence, DeclineOffer, SetPresence, desk_command};
use lib_proto::routing::{Offer, desk_event};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;

use crate::agent::calls::{Job, Saying};
use crate::agent::command::Command;
use crate::agent::conversation::Open;
use crate::agent::link::{Link, News};
use crate::agent::model::{Connection, Desk, Panel};
use crate::cli::AgentArgs;
use crate::client;
use crate::installation::dev_token;
use crate::terminal::{Screen, is_interactive, print_line};

/// How long a desk that reads from a pipe stays after the last line and the last news.
const STAY: Duration = Duration::from_secs(3);
/// What an agent is told who types at a desk that another terminal has.
const ELSEWHERE: &str = "The desk is open in another terminal; /open takes it back.";

/// Runs the desk until the agent leaves.
///
/// # Errors
/// When the terminal fails, the installation refuses the desk, or it is not there and nobody is
/// there to wait for it.
pub(crate) async fn run(args: AgentArgs) -> anyhow::Result<()> {
    let given = client::token();
    let own_token = given.is_none();
    let token = given.unwrap_or_else(|| dev_token(&args.agent));
    let (link, news) = Link::open(&args.server.server, &token, args.capacity)?;
    let agent = args.agent.clone();
    let outcome = at_desk(&link, Desk::new(args.agent), news).await;
    if own_token {
        // The token was made from the name.
        return outcome.with_context(|| format!("as agent `{agent}`"));
    }
    outcome
}

async fn at_desk(link: &Link, mut desk: Desk, news: NewsReceiver) -> anyhow::Result<()> {
    let desk = &mut desk;
    if is_interactive() {
        on_screen(link, desk, news).await?;
        let left = desk.open.len();
        if left > 0 && desk.connection != Connection::Elsewhere {
            println!("Still yours: {left} of your conversations. They are here when you are back.");
        }
        Ok(())
    } else {
        on_pipe(link, desk, news).await
    }
}

type NewsReceiver = mpsc::Receiver<News>;

async fn on_screen(link: &Link, desk: &mut Desk, mut news: NewsReceiver) -> anyhow::Result<()> {
    let clock = Clock::system();
    let mut screen = Screen::take()?;
    let mut keys = EventStream::new();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        screen.draw(|frame| view::draw(frame, desk, clock.now()))?;
        tokio::select! {
            // Countdowns move once a second.
            _ = second.tick() => {}
            key = keys.next() => match key.context("the terminal is gone")?? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    match key_command(desk, key) {
                        Some(Command::Quit) => return Ok(()),
                        Some(command) => act(link, desk, command),
                        None => {}
                    }
                }
                Event::Paste(text) => desk.editor.insert(&text),
                _ => {}
            },
            item = news.recv() => {
                let mut next = item;
                if next.is_none() {
                    anyhow::bail!("the desk is closed");
                }
                while let Some(item) = next {
                    if is_offer(&item) {
                        Screen::ring();
                    }
                    take_in(link, desk, item)?;
                    next = news.try_recv().ok();
                }
            }
        }
    }
}

fn is_offer(news: &News) -> bool {
    matches!(news, News::Desk(event)
        if matches!(event.event, Some(desk_event::Event::Offered(_))))
}

/// What a key means: editing, or a command.
fn key_command(desk: &mut Desk, key: KeyEvent) -> Option<Command> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    let empty = desk.editor.is_empty();
    match key.code {
        KeyCode::Char('c') if control => return Some(Command::Quit),
        KeyCode::Char('d') if control => return empty.then_some(Command::Quit),
        KeyCode::Char('r') if control => return Some(desk.toggle_ready()),
        KeyCode::F(1) => return Some(Command::Help),
        KeyCode::Tab => return Some(Command::Next),
        KeyCode::Esc => return escape(desk),
        KeyCode::Enter if alt => {}
        KeyCode::Enter if empty && desk.connection == Connection::Elsewhere => {
            return Some(Command::Reopen);
        }
        KeyCode::Enter if empty => {
            desk.panel = None;
            return (!desk.offers.is_empty()).then_some(Command::Accept);
        }
        KeyCode::Enter => return typed(desk),
        KeyCode::PageUp => {
            if let Some(open) = desk.current() {
                open.scroll.page_up();
            }
            return None;
        }
        KeyCode::PageDown => {
            if let Some(open) = desk.current() {
                open.scroll.page_down();
            }
            return None;
        }
        _ => {}
    }
    desk.editor.key(key);
    None
}

/// Leaves what is in the foreground: a panel, the typed text, the offer, an old notice.
fn escape(desk: &mut Desk) -> Option<Command> {
    if desk.panel.take().is_some() {
        return None;
    }
    if !desk.editor.is_empty() {
        // Into the history: Up brings it back.
        desk.editor.take();
        return None;
    }
    if !desk.offers.is_empty() {
        return Some(Command::Decline);
    }
    desk.notice = None;
    if let Some(open) = desk.current() {
        open.scroll.to_end();
    }
    None
}

fn typed(desk: &mut Desk) -> Option<Command> {
    let line = desk.editor.take();
    if line.trim().is_empty() {
        return None;
    }
    match understand(desk, &line) {
        Ok(command) => command,
        Err(problem) => {
            desk.notice = Some(problem);
            None
        }
    }
}

fn understand(desk: &mut Desk, line: &str) -> Result<Option<Command>, String> {
    let command = command::parse(line)?;
    desk.meant(command)
}

/// Carries a command out; what goes wrong is shown.
fn act(link: &Link, desk: &mut Desk, command: Command) {
    desk.notice = None;
    if command != Command::Next {
        desk.panel = None;
    }
    if let Err(problem) = carry_out(link, desk, command) {
        desk.notice = Some(problem);
    }
}

fn carry_out(link: &Link, desk: &mut Desk, command: Command) -> Result<(), String> {
    match command {
        Command::Ready => presence(link, desk, AgentPresence::Ready)?,
        Command::Away => presence(link, desk, AgentPresence::NotReady)?,
        Command::Accept => {
            let offer = offered(desk)?;
            let (offer_id, epoch) = (offer.id.clone(), offer.epoch);
            let accept = AcceptOffer { offer_id, epoch };
            to_routing(link, desk, desk_command::Command::Accept(accept))?;
        }
        Command::Decline => {
            let offer = offered(desk)?;
            let (offer_id, epoch) = (offer.id.clone(), offer.epoch);
            let decline = DeclineOffer { offer_id, epoch };
            to_routing(link, desk, desk_command::Command::Decline(decline))?;
        }
        Command::Say(text) => {
            let (saying, typed) = (Saying::Text(text.clone()), text);
            send(link, desk, saying, typed)?;
        }
        Command::Template { name, rest } => {
            let name = match name.parse() {
                Ok(number) => desk.template_name(number)?,
                Err(_) => name,
            };
            // A number may stand for a name and a language.
            let (name, language) = name.split_once(' ').unwrap_or((&name, ""));
            let rest = format!("{language} {rest}").trim().to_owned();
            let typed = format!("/template {name} {rest}");
            let name = name.to_owned();
            send(link, desk, Saying::Template { name, rest }, typed)?;
        }
        Command::Templates => {
            link.call(Job::Templates);
            desk.panel = Some(Panel::Templates);
        }
        Command::Help => desk.panel = Some(Panel::Help),
        Command::WrapUp => {
            let open = shown(desk)?;
            if open.in_wrap_up() {
                open.disposition("")?;
            } else {
                link.call(Job::WrapUp(open.seen()));
            }
        }
        Command::Done { disposition, note } => {
            let open = shown(desk)?;
            link.call(Job::Complete {
                seen: open.seen(),
                talking: !open.in_wrap_up(),
                disposition: open.disposition(&disposition)?,
                note,
            });
        }
        Command::Transfer(queue) => {
            let seen = shown(desk)?.seen();
            link.call(Job::Transfer { seen, queue });
        }
        Command::Next => desk.next(),
        Command::Reopen if desk.connection == Connection::Elsewhere => link.reopen()?,
        Command::Reopen => return Err("This desk is open here.".to_owned()),
        Command::Quit => {}
    }
    Ok(())
}

fn shown(desk: &Desk) -> Result<&Open, String> {
    if desk.connection == Connection::Elsewhere {
        return Err(ELSEWHERE.to_owned());
    }
    desk.current().ok_or_else(|| {
        if desk.offers.is_empty() {
            "There is no conversation on your desk.".to_owned()
        } else {
            "Accept the offer first: Enter on an empty line, or /accept.".to_owned()
        }
    })
}

fn offered(desk: &Desk) -> Result<&Offer, String> {
    let first = desk.offers.first();
    first.ok_or_else(|| "There is no offer on your desk.".to_owned())
}

fn presence(link: &Link, desk: &Desk, presence: AgentPresence) -> Result<(), String> {
    let presence = presence.into();
    let command = desk_command::Command::SetPresence(SetPresence { presence });
    to_routing(link, desk, command)
}

fn to_routing(link: &Link, desk: &Desk, command: desk_command::Command) -> Result<(), String> {
    match desk.connection {
        Connection::Open => link.command(command),
        Connection::Down(_) => Err("There is no connection; try again when it is back.".to_owned()),
        Connection::Elsewhere => Err(ELSEWHERE.to_owned()),
    }
}

/// Has a message sent. Where that cannot be, what was typed goes back to the editor.
fn send(link: &Link, desk: &mut Desk, saying: Saying, typed: String) -> Result<(), String> {
    match shown(desk).map(Open::seen) {
        Ok(seen) => {
            if let Some(open) = desk.current() {
                open.scroll.to_end();
            }
            link.call(Job::Send {
                seen,
                saying,
                typed,
            });
            Ok(())
        }
        Err(problem) => {
            desk.editor.set(&typed);
            Err(problem)
        }
    }
}

/// Takes news in, and has fetched what they call for.
fn take_in(link: &Link, desk: &mut Desk, item: News) -> anyhow::Result<()> {
    if let News::Down {
        problem,
        hopeless: true,
    } = &item
    {
        anyhow::bail!("{problem}");
    }
    for job in desk.apply(item) {
        link.call(job);
    }
    Ok(())
}

/// Commands on standard input, news on standard output: for pipes.
async fn on_pipe(link: &Link, desk: &mut Desk, mut news: NewsReceiver) -> anyhow::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut open = true;
    let mut stood = false;
    let mut down: Option<String> = None;
    let mut listing = false;
    loop {
        let mut print = Vec::new();
        let ready = desk.connection == Connection::Open;
        tokio::select! {
            next = lines.next_line(), if open && ready => match next? {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => match understand(desk, &line) {
                    Ok(Some(Command::Quit)) => return Ok(()),
                    Ok(Some(command)) => {
                        listing |= command == Command::Templates;
                        act(link, desk, command);
                    }
                    Ok(None) => {}
                    Err(problem) => desk.notice = Some(problem),
                },
                None => open = false,
            },
            item = news.recv() => {
                let item = item.context("the desk is closed")?;
                anyhow::ensure!(
                    !matches!(item, News::Elsewhere),
                    "this desk was opened in another terminal"
                );
                print.extend(pipe::plain(&item));
                let listed = listing && matches!(item, News::Templates(_));
                take_in(link, desk, item)?;
                if listed {
                    listing = false;
                    desk.panel = Some(Panel::Templates);
                    print.extend(panel::plain(desk));
                }
            }
            () = tokio::time::sleep(STAY), if !open => return Ok(()),
        }
        let problem = match &desk.connection {
            Connection::Down(problem) => problem.clone(),
            Connection::Open | Connection::Elsewhere => None,
        };
        stood |= desk.connection == Connection::Open;
        if let Some(problem) = &problem
            && down.as_ref() != Some(problem)
        {
            anyhow::ensure!(stood, "{problem}");
            print.push(format!("-- {problem} Trying again …"));
        }
        down = problem;
        if desk.panel == Some(Panel::Help) {
            print.extend(panel::plain(desk));
        }
        desk.panel = None;
        print.extend(desk.notice.take().map(|notice| format!("-- {notice}")));
        for line in print {
            if !print_line(&line)? {
                return Ok(());
            }
        }
    }
}
