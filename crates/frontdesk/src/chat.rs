//! `frontdesk chat`: a customer's phone in the terminal. It uses the sandbox's public phone API.

mod model;
mod view;

use std::time::Duration;

use anyhow::Context as _;
use core_types::{ContactIdentity, Content, Reply, Timestamp};
use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use lib_platform::AuthorizedChannel;
use lib_platform::channel::connect;
use lib_proto::sandbox::phone_service_client::PhoneServiceClient;
use lib_proto::sandbox::{
    OpenChatRequest, PhoneEvent, SendFromPhoneRequest, WatchPhoneRequest, phone_event,
};
use lib_proto::{common, timestamp_from_proto};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;

use crate::chat::model::{Happening, Phone};
use crate::cli::ChatArgs;
use crate::terminal::{Screen, clock_time, is_interactive, printable};

/// How long a phone that reads from a pipe listens on after the last line.
const LISTEN_ON: Duration = Duration::from_secs(3);

/// Runs the phone until the person leaves.
///
/// # Errors
/// When the installation cannot be reached or the phone number cannot be used.
pub(crate) async fn run(args: ChatArgs) -> anyhow::Result<()> {
    let mut customer = ContactIdentity::from_phone(&args.phone)?;
    customer.display_name = Some(args.name.clone());
    let line = Line {
        channel: connect(&args.server.server, &args.token)?,
        customer: common::ContactIdentity::from(&customer),
        number_id: args.number,
    };
    let (events, arrivals) = mpsc::channel(64);
    let watching = tokio::spawn(line.clone().watch(events));
    let phone = Phone::new(args.name);
    let outcome = if is_interactive() {
        on_screen(line, phone, arrivals).await
    } else {
        on_pipe(line, phone, arrivals).await
    };
    watching.abort();
    outcome
}

/// The connection between the phone and WhatsApp.
#[derive(Clone)]
struct Line {
    channel: AuthorizedChannel,
    customer: common::ContactIdentity,
    number_id: String,
}

impl Line {
    /// Sends `content`; answers with Meta's id of the message.
    async fn send(&self, content: Content) -> anyhow::Result<()> {
        let request = SendFromPhoneRequest {
            customer: Some(self.customer.clone()),
            number_id: self.number_id.clone(),
            content: Some(common::Content::from(&content)),
            ..Default::default()
        };
        let sent = PhoneServiceClient::new(self.channel.clone())
            .send_from_phone(request)
            .await;
        sent.map_err(|status| anyhow::anyhow!("not sent: {}", status.message()))?;
        Ok(())
    }

    /// The person looks at the chat: what has arrived is read.
    async fn look(&self) -> anyhow::Result<()> {
        let request = OpenChatRequest {
            customer: Some(self.customer.clone()),
            number_id: self.number_id.clone(),
        };
        PhoneServiceClient::new(self.channel.clone())
            .open_chat(request)
            .await?;
        Ok(())
    }

    /// Follows the phone's events for ever, connecting again after each break.
    async fn watch(self, events: mpsc::Sender<Result<PhoneEvent, String>>) {
        let mut pause = Duration::from_millis(100);
        loop {
            let broken = match self.follow(&events).await {
                Ok(()) => return,
                Err(error) => format!("{error:#}"),
            };
            if events.send(Err(broken)).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn follow(
        &self,
        events: &mpsc::Sender<Result<PhoneEvent, String>>,
    ) -> anyhow::Result<()> {
        let request = WatchPhoneRequest {
            customer: Some(self.customer.clone()),
            number_id: self.number_id.clone(),
            only_new: false,
        };
        let mut client = PhoneServiceClient::new(self.channel.clone());
        let stream = client.watch_phone(request).await;
        let mut stream = stream
            .map_err(|status| anyhow::anyhow!("{}", status.message()))
            .context("no connection")?
            .into_inner();
        while let Some(event) = stream.message().await.context("the connection broke")? {
            if events.send(Ok(event)).await.is_err() {
                return Ok(());
            }
        }
        anyhow::bail!("the connection ended")
    }
}

/// What an event of the stream means for the phone; `None` for what it does not show.
fn happening(event: Result<PhoneEvent, String>) -> Option<Happening> {
    let event = match event {
        Ok(event) => event,
        Err(problem) => return Some(Happening::Offline(problem)),
    };
    let at = timestamp_from_proto("at", event.at)
        .ok()
        .flatten()
        .unwrap_or(Timestamp::EPOCH);
    let id = event.whatsapp_message_id;
    match event.event? {
        phone_event::Event::Arrived(content) => Content::try_from(content)
            .ok()
            .map(|content| Happening::Arrived { at, id, content }),
        phone_event::Event::Sent(content) => Content::try_from(content)
            .ok()
            .map(|content| Happening::Sent { at, id, content }),
        phone_event::Event::Taken(_) => Some(Happening::Taken { id }),
        phone_event::Event::BusinessRead(_) => Some(Happening::BusinessRead { id }),
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

async fn on_screen(
    line: Line,
    mut phone: Phone,
    mut arrivals: mpsc::Receiver<Result<PhoneEvent, String>>,
) -> anyhow::Result<()> {
    let mut screen = Screen::take()?;
    let mut keys = EventStream::new();
    loop {
        screen.0.draw(|frame| view::draw(frame, &phone))?;
        tokio::select! {
            key = keys.next() => match key.context("the terminal is gone")?? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    let control = key.modifiers.contains(KeyModifiers::CONTROL);
                    match key.code {
                        KeyCode::Char('c' | 'd') if control => return Ok(()),
                        KeyCode::Esc => return Ok(()),
                        KeyCode::PageUp => phone.scroll(8),
                        KeyCode::PageDown => phone.scroll(-8),
                        KeyCode::Enter => send_line(&line, &mut phone).await,
                        _ => { phone.editor.key(key); }
                    }
                }
                Event::Paste(text) => phone.editor.insert(&text),
                _ => {}
            },
            event = arrivals.recv() => {
                let mut event = event;
                let mut arrived = false;
                while let Some(next) = event.and_then(happening) {
                    arrived |= matches!(next, Happening::Arrived { .. });
                    phone.apply(next);
                    event = arrivals.try_recv().ok();
                }
                if arrived {
                    phone.notice = line.look().await.err().map(|error| format!("{error:#}"));
                }
            }
        }
    }
}

async fn send_line(line: &Line, phone: &mut Phone) {
    let typed = phone.editor.take();
    if typed.trim().is_empty() {
        return;
    }
    let outcome = line.send(content_of(phone, &typed)).await;
    phone.notice = outcome.err().map(|error| format!("{error:#}"));
}

/// One event a line on standard output, one message a line on standard input: for pipes.
async fn on_pipe(
    line: Line,
    mut phone: Phone,
    mut arrivals: mpsc::Receiver<Result<PhoneEvent, String>>,
) -> anyhow::Result<()> {
    let mut typed = BufReader::new(tokio::io::stdin()).lines();
    let mut open = true;
    loop {
        tokio::select! {
            next = typed.next_line(), if open => match next? {
                Some(text) if text.trim().is_empty() => {}
                Some(text) => line.send(content_of(&phone, &text)).await?,
                None => open = false,
            },
            event = arrivals.recv() => {
                let Some(next) = event.and_then(happening) else { continue };
                if let Some(text) = plain(&next) {
                    println!("{text}");
                }
                phone.apply(next);
            }
            () = tokio::time::sleep(LISTEN_ON), if !open => return Ok(()),
        }
    }
}

fn plain(happening: &Happening) -> Option<String> {
    match happening {
        Happening::Arrived { at, content, .. } => Some(format!(
            "{} < {}",
            clock_time(*at),
            printable(&content.summary())
        )),
        Happening::Sent { at, content, .. } => Some(format!(
            "{} > {}",
            clock_time(*at),
            printable(&content.summary())
        )),
        Happening::Offline(problem) => Some(format!("-- {problem}")),
        Happening::Taken { .. } | Happening::BusinessRead { .. } => None,
    }
}
