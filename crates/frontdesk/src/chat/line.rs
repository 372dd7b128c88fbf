//! The connection between the phone and WhatsApp: the sandbox's public phone API.

use std::time::Duration;

use core_types::{Content, Timestamp};
use lib_platform::AuthorizedChannel;
use lib_proto::accounts::GetNumberRequest;
use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::sandbox::phone_service_client::PhoneServiceClient;
use lib_proto::sandbox::{
    OpenChatRequest, PhoneEvent, SendFromPhoneRequest, WatchPhoneRequest, phone_event,
};
use lib_proto::{common, timestamp_from_proto};
use tokio::sync::mpsc;
use tonic::Status;

use crate::chat::model::Happening;
use crate::client;
use crate::terminal::{Trouble, sentence};

/// Refusals in a row, before anything has worked, after which there is no point in going on. Not
/// one, because an installation that just starts may not know its numbers yet.
const REFUSALS: u32 = 4;

/// What the phone wants of the line.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send this; `typed` is what the person typed for it.
    Send {
        content: Box<Content>,
        typed: String,
    },
    /// The person looks at the chat: what has arrived is read.
    Look,
}

/// Who writes to whom, and where.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) server: String,
    pub(crate) token: String,
    pub(crate) customer: common::ContactIdentity,
    pub(crate) number_id: String,
}

/// An open line. Closed when dropped.
pub(crate) struct OpenLine {
    orders: mpsc::UnboundedSender<Order>,
    happenings: mpsc::Receiver<Happening>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl OpenLine {
    /// Gives an order; what comes of it happens later.
    pub(crate) fn order(&self, order: Order) {
        // The worker lives as long as this does.
        let _ = self.orders.send(order);
    }

    /// What happens next.
    pub(crate) async fn next(&mut self) -> Option<Happening> {
        self.happenings.recv().await
    }

    /// What has happened already.
    pub(crate) fn next_now(&mut self) -> Option<Happening> {
        self.happenings.try_recv().ok()
    }
}

impl Drop for OpenLine {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Line {
    /// Opens the line; it connects, and connects again, by itself.
    ///
    /// # Errors
    /// When the address or the token cannot be used at all.
    pub(crate) fn open(self) -> anyhow::Result<OpenLine> {
        let peers = client::peers(&self.server, &self.token)?;
        let (channel, accounts) = (peers.channel("sandbox")?, peers.channel("accounts")?);
        let (orders, queue) = mpsc::unbounded_channel();
        let (happened, happenings) = mpsc::channel(64);
        let tasks = vec![
            tokio::spawn(work(self.clone(), channel.clone(), queue, happened.clone())),
            tokio::spawn(watch(self, (channel, accounts), happened)),
        ];
        Ok(OpenLine {
            orders,
            happenings,
            tasks,
        })
    }
}

/// Carries orders out, one after the other, so that messages leave in the order they were typed.
async fn work(
    line: Line,
    channel: AuthorizedChannel,
    mut orders: mpsc::UnboundedReceiver<Order>,
    happened: mpsc::Sender<Happening>,
) {
    let mut client = PhoneServiceClient::new(channel);
    while let Some(order) = orders.recv().await {
        match order {
            Order::Send { content, typed } => {
                let request = SendFromPhoneRequest {
                    customer: Some(line.customer.clone()),
                    number_id: line.number_id.clone(),
                    content: Some(common::Content::from(&*content)),
                    ..Default::default()
                };
                let Err(status) = client.send_from_phone(request).await else {
                    continue;
                };
                let problem = sentence(&status);
                let lost = Happening::NotSent { typed, problem };
                if happened.send(lost).await.is_err() {
                    return;
                }
            }
            Order::Look => {
                let request = OpenChatRequest {
                    customer: Some(line.customer.clone()),
                    number_id: line.number_id.clone(),
                };
                // Without a connection there is another look when it is back.
                let _ = client.open_chat(request).await;
            }
        }
    }
}

/// Follows the phone's events for ever, connecting again after each break.
async fn watch(
    line: Line,
    channels: (AuthorizedChannel, AuthorizedChannel),
    happened: mpsc::Sender<Happening>,
) {
    let mut pause = Duration::from_millis(100);
    let mut stood = false;
    let mut refusals = 0;
    loop {
        let mut stands = false;
        let outcome = follow(&line, &channels, &happened, &mut stands).await;
        let trouble = match &outcome {
            Ok(()) => return,
            Err(status) => Trouble::of(status),
        };
        stood |= stands;
        refusals = match trouble {
            Trouble::Refused(_) => refusals + 1,
            Trouble::Unreachable | Trouble::Elsewhere => 0,
        };
        if stands {
            pause = Duration::from_millis(100);
        }
        let offline = Happening::Offline {
            problem: trouble.sentence(&line.server),
            hopeless: !stood && refusals >= REFUSALS,
        };
        if happened.send(offline).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

async fn follow(
    line: &Line,
    (channel, accounts): &(AuthorizedChannel, AuthorizedChannel),
    happened: &mpsc::Sender<Happening>,
    stands: &mut bool,
) -> Result<(), Status> {
    let request = WatchPhoneRequest {
        customer: Some(line.customer.clone()),
        number_id: line.number_id.clone(),
        only_new: false,
    };
    let mut client = PhoneServiceClient::new(channel.clone());
    let mut stream = client.watch_phone(request).await?.into_inner();
    *stands = true;
    let online = Happening::Online {
        business: business(accounts, &line.number_id).await,
    };
    if happened.send(online).await.is_err() {
        return Ok(());
    }
    while let Some(event) = stream.message().await? {
        if let Some(next) = happening(event)
            && happened.send(next).await.is_err()
        {
            return Ok(());
        }
    }
    Err(Status::unavailable("the stream ended"))
}

/// The name customers see, if this token may know it.
async fn business(channel: &AuthorizedChannel, number_id: &str) -> Option<String> {
    let request = GetNumberRequest {
        id: number_id.to_owned(),
    };
    let number = AccountServiceClient::new(channel.clone())
        .get_number(request)
        .await;
    let name = number.ok()?.into_inner().verified_name;
    (!name.is_empty()).then_some(name)
}

/// What an event of the stream means for the phone; `None` for what it does not show.
fn happening(event: PhoneEvent) -> Option<Happening> {
    let at = timestamp_from_proto("at", event.at)
        .ok()
        .flatten()
        .unwrap_or(Timestamp::EPOCH);
    let id = event.whatsapp_message_id;
    let content = |content: common::Content| Content::try_from(content).ok();
    match event.event? {
        phone_event::Event::Arrived(arrived) => {
            content(arrived).map(|content| Happening::Arrived { at, id, content })
        }
        phone_event::Event::Sent(sent) => {
            content(sent).map(|content| Happening::Sent { at, id, content })
        }
        phone_event::Event::Taken(_) => Some(Happening::Taken { id }),
        phone_event::Event::BusinessRead(_) => Some(Happening::BusinessRead { id }),
    }
}
