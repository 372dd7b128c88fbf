//! `PhoneService`: any valid credential may use a phone; the sandbox is a tool for development.

use core_types::{ContactIdentity, WhatsAppMessageId};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};
use lib_platform::{Lifecycle, Refusal, caller};
use lib_proto::sandbox::phone_event::Event;
use lib_proto::sandbox::phone_service_server::PhoneService;
use lib_proto::sandbox::{
    OpenChatRequest, OpenChatResponse, PhoneEvent, SendFromPhoneRequest, SendFromPhoneResponse,
    WatchPhoneRequest,
};
use lib_proto::{FieldError, common, identity_from_proto, referral_from_proto, timestamp_opt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::graph::Graph;
use crate::state::{PhoneEntry, PhoneWhat, ThreadKey};
use crate::store::Store;
use crate::world::FromPhone;

/// Events a follower may be behind before it is dropped.
const BEHIND: usize = 4_096;
/// Events read at once when a phone is shown from its beginning.
const PAGE: u32 = 500;

pub(super) struct Phones {
    pub(super) graph: Graph,
    pub(super) life: Lifecycle,
}

fn field(error: &FieldError) -> Refusal {
    Refusal::invalid(error.field.clone(), error.problem.clone())
}

fn customer(identity: Option<common::ContactIdentity>) -> Result<ContactIdentity, Status> {
    let identity = lib_proto::required("customer", identity).map_err(|error| field(&error))?;
    Ok(identity_from_proto(identity))
}

#[tonic::async_trait]
impl PhoneService for Phones {
    async fn send_from_phone(
        &self,
        request: Request<SendFromPhoneRequest>,
    ) -> Result<Response<SendFromPhoneResponse>, Status> {
        caller(&request)?;
        let request = request.into_inner();
        let content =
            lib_proto::required("content", request.content).map_err(|error| field(&error))?;
        let content = lib_proto::content_from_proto(content).map_err(|error| field(&error))?;
        if !request.reply_to.is_empty() {
            WhatsAppMessageId::new(&request.reply_to)
                .map_err(|error| Refusal::invalid("reply_to", error.to_string()))?;
        }
        let from = FromPhone {
            customer: customer(request.customer)?,
            number: request.number_id,
            content,
            reply_to: Some(request.reply_to).filter(|id| !id.is_empty()),
            referral: request.referral.map(referral_from_proto),
            hide_phone: request.hide_phone,
        };
        let id = self
            .graph
            .engine
            .with(move |world| world.customer_writes(from))
            .await??;
        Ok(Response::new(SendFromPhoneResponse {
            whatsapp_message_id: id,
        }))
    }

    type WatchPhoneStream = BoxStream<'static, Result<PhoneEvent, Status>>;

    async fn watch_phone(
        &self,
        request: Request<WatchPhoneRequest>,
    ) -> Result<Response<Self::WatchPhoneStream>, Status> {
        caller(&request)?;
        let request = request.into_inner();
        let identity = customer(request.customer)?;
        let (events, live) = mpsc::channel(BEHIND);
        let (thread, last) = self
            .graph
            .engine
            .with(move |world| -> Result<_, Refusal> {
                let thread = world.thread_key(&identity, &request.number_id)?;
                let last = world.watch(thread.clone(), events);
                Ok((thread, last))
            })
            .await??;
        let from = if request.only_new { last } else { 0 };
        let past = past(self.graph.store.clone(), thread, from, last);
        let live = ReceiverStream::new(live).map(Ok);
        let entries = past.chain(live).map(|entry| entry.map(event));
        Ok(Response::new(self.life.until_stopped(entries).boxed()))
    }

    async fn open_chat(
        &self,
        request: Request<OpenChatRequest>,
    ) -> Result<Response<OpenChatResponse>, Status> {
        caller(&request)?;
        let request = request.into_inner();
        let identity = customer(request.customer)?;
        let read = self
            .graph
            .engine
            .with(move |world| -> Result<u32, Refusal> {
                let thread = world.thread_key(&identity, &request.number_id)?;
                Ok(world.open_chat(&thread))
            });
        Ok(Response::new(OpenChatResponse {
            messages_read: read.await??,
        }))
    }
}

/// What a phone showed between two events, a page at a time.
fn past(
    store: Store,
    thread: ThreadKey,
    from: u64,
    until: u64,
) -> impl Stream<Item = Result<PhoneEntry, Status>> {
    stream::unfold(Some(from), move |from| {
        let (store, thread) = (store.clone(), thread.clone());
        async move {
            let from = from.filter(|from| *from < until)?;
            match store.phone(&thread, from, until, PAGE).await {
                Ok(page) => {
                    let next = page.last().map(|last| last.sequence);
                    Some((page.into_iter().map(Ok).collect::<Vec<_>>(), next))
                }
                Err(error) => Some((vec![Err(Refusal::internal(&error).into())], None)),
            }
        }
    })
    .flat_map(stream::iter)
}

fn event(entry: PhoneEntry) -> PhoneEvent {
    let event = match &entry.what {
        PhoneWhat::Arrived(content) => Event::Arrived(content.into()),
        PhoneWhat::Sent(content) => Event::Sent(content.into()),
        PhoneWhat::Taken => Event::Taken(true),
        PhoneWhat::BusinessRead => Event::BusinessRead(true),
    };
    PhoneEvent {
        at: timestamp_opt(Some(entry.at)),
        whatsapp_message_id: entry.message,
        event: Some(event),
    }
}
