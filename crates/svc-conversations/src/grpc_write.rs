//! What people and programs change: messages they send, and what agents do with an engagement.

use core_conversation::{Input, Seen, Sender};
use core_types::{
    AgentId, Content, ConversationId, EngagementId, NumberId, QueueId, UserId, WhatsAppMessageId,
};
use lib_platform::server::MAX_MESSAGE_BYTES;
use lib_platform::{Caller, Refusal, Role, trace};
use lib_proto::{conversations as pb, identity_from_proto, required};
use pb::conversation_service_client::ConversationServiceClient;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

use crate::committer::{Answer, Place, SendCommand, Unit, What, conversation_of_engagement};
use crate::convert;
use crate::grpc_read::{Conversations, storage, wall};
use crate::refuse;
use crate::store::{part_of, read};

/// Longest idempotency key, in characters.
const KEY_MOST: usize = 100;
/// Longest disposition and note, in characters.
const NOTE_MOST: usize = 2_000;

fn is(caller: &Caller, role: Role) -> bool {
    matches!(caller, Caller::User { roles, .. } if roles.contains(&role))
}

/// Whether the caller may act on what other agents own.
fn stands_above(caller: &Caller) -> bool {
    matches!(caller, Caller::Service { .. })
        || is(caller, Role::Supervisor)
        || is(caller, Role::Administrator)
}

fn key(key: String) -> Result<String, Refusal> {
    let length = key.chars().count();
    if length == 0 || length > KEY_MOST || key.chars().any(char::is_control) {
        return Err(Refusal::invalid(
            "idempotency_key",
            format!("must be 1 to {KEY_MOST} visible characters, new for each message"),
        ));
    }
    Ok(key)
}

fn short(field: &str, text: &str) -> Result<(), Refusal> {
    if text.chars().count() > NOTE_MOST {
        let problem = format!("must be at most {NOTE_MOST} characters");
        return Err(Refusal::invalid(field, problem));
    }
    Ok(())
}

/// What a message must not break, whoever sends it.
fn check(content: &Content) -> Result<(), Refusal> {
    if matches!(
        content,
        Content::Reply(_)
            | Content::System(_)
            | Content::Edit { .. }
            | Content::Revoke { .. }
            | Content::Order { .. }
            | Content::Unsupported { .. }
            | Content::Unknown { .. }
    ) {
        let problem = "only customers send this kind of content";
        return Err(Refusal::invalid("content", problem));
    }
    let mut problems = core_whatsapp::send::check(content).into_iter();
    match problems.next() {
        None => Ok(()),
        Some(first) => {
            let field = |field: &str| format!("content.{field}");
            let refusal = Refusal::invalid(field(&first.field), first.problem);
            Err(problems.fold(refusal, |refusal, problem| {
                refusal.and_field(field(&problem.field), problem.problem)
            }))
        }
    }
}

/// Who sends: the agent who owns the engagement, or somebody who stands above it.
fn sender(caller: &Caller, engagement: &str, epoch: u32) -> Result<Sender, Refusal> {
    let seen = if engagement.is_empty() {
        None
    } else {
        let id = refuse::id("engagement_id", EngagementId::new(engagement))?;
        Some((id, epoch))
    };
    if let (true, Some((engagement, epoch))) = (is(caller, Role::Agent), seen.clone()) {
        let agent = refuse::id("caller", AgentId::new(caller.name()))?;
        return Ok(Sender::Agent {
            agent,
            engagement,
            epoch,
        });
    }
    if stands_above(caller) {
        let user = refuse::id("caller", UserId::new(caller.name()))?;
        return Ok(Sender::Api { user, seen });
    }
    Err(Refusal::invalid(
        "engagement_id",
        "must be set with the epoch you saw: agents write in the engagements they own",
    ))
}

impl Conversations {
    /// The replica that works on `part`, if it is another one.
    pub(crate) async fn elsewhere(
        &self,
        metadata: &MetadataMap,
        part: Option<u16>,
    ) -> Result<Option<ConversationServiceClient<Channel>>, Refusal> {
        let channel = self.door.elsewhere(metadata, part).await?;
        Ok(channel.map(|channel| {
            ConversationServiceClient::new(channel)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES)
        }))
    }

    /// The part of an engagement's conversation; none if there is no such thing.
    pub(crate) async fn part_of_engagement(&self, id: &str) -> Result<Option<u16>, Refusal> {
        let id = EngagementId::new(id).ok();
        let id = id.and_then(|id| conversation_of_engagement(&id));
        Ok(self.door.parts_of(&[id]).await?.pop().flatten())
    }

    /// The part of what a message is sent to; none if there is no such thing.
    pub(crate) async fn part_of_send(
        &self,
        request: &pb::SendMessageRequest,
    ) -> Result<Option<u16>, Refusal> {
        if request.conversation_id.is_empty() {
            return Ok(Some(part_of(&request.number_id)));
        }
        let id = ConversationId::new(&request.conversation_id).ok();
        Ok(self.door.parts_of(&[id]).await?.pop().flatten())
    }

    async fn submit(&self, what: What) -> Result<Answer, Refusal> {
        let traceparent = trace::current_traceparent().unwrap_or_default();
        let unit = Unit { what, traceparent };
        let answers = self.committer.submit(vec![unit]).await;
        let stopping = || refuse::unavailable("the service is stopping");
        let mut answers = answers.map_err(|_| stopping())?;
        answers.pop().ok_or_else(stopping)
    }

    pub(crate) async fn send(
        &self,
        caller: &Caller,
        request: pb::SendMessageRequest,
    ) -> Result<pb::Message, Status> {
        caller.require(&[Role::Agent, Role::Supervisor])?;
        let key = key(request.idempotency_key)?;
        let content = required("content", request.content)
            .and_then(Content::try_from)
            .map_err(|error| refuse::field(&error))?;
        check(&content)?;
        let reply_to = match request.reply_to.as_str() {
            "" => None,
            text => Some(refuse::id("reply_to", WhatsAppMessageId::new(text))?),
        };
        let sender = sender(caller, &request.engagement_id, request.epoch)?;
        let (place, number) = self
            .place(
                caller,
                &request.conversation_id,
                &request.number_id,
                request.contact,
            )
            .await?;
        let content = self.templates.prepared(&number, content).await?;
        let command = SendCommand {
            tenant: caller.tenant().ok().cloned(),
            place,
            sender,
            content,
            reply_to,
            key,
        };
        match self.submit(What::Send(Box::new(command))).await? {
            Answer::Sent(sent) => Ok(convert::message(&sent.0, sent.1.as_str())),
            other => Err(refuse::answer(other).into()),
        }
    }

    /// Where a message goes, and by which number.
    async fn place(
        &self,
        caller: &Caller,
        conversation: &str,
        number: &str,
        contact: Option<lib_proto::common::ContactIdentity>,
    ) -> Result<(Place, NumberId), Refusal> {
        match (conversation.is_empty(), number.is_empty()) {
            (false, true) => {
                let found = read::conversation(&self.database, &wall(caller), conversation).await;
                let found = found
                    .map_err(storage)?
                    .ok_or_else(|| Refusal::not_found("conversation", conversation))?;
                let id = refuse::id("conversation_id", ConversationId::new(conversation))?;
                let number = found.number_id;
                Ok((Place::Conversation(id, number.clone()), number))
            }
            (true, false) => {
                let number = refuse::id("number_id", NumberId::new(number))?;
                let mut contact = contact.map(identity_from_proto).unwrap_or_default();
                if let Some(phone) = &contact.phone {
                    let plain = core_types::ContactIdentity::from_phone(phone);
                    let plain =
                        plain.map_err(|e| Refusal::invalid("contact.phone", e.to_string()))?;
                    contact.phone = plain.phone;
                }
                if let Err(error) = contact.keys() {
                    return Err(Refusal::invalid("contact", error.to_string()));
                }
                Ok((Place::Contact(number.clone(), contact), number))
            }
            _ => Err(Refusal::invalid(
                "conversation_id",
                "set either this, or number_id and contact",
            )),
        }
    }

    /// What the caller saw of an engagement, and may do with it.
    fn seen(caller: &Caller, engagement: &str, epoch: u32) -> Result<Seen, Refusal> {
        caller.require(&[Role::Agent, Role::Supervisor])?;
        let agent = if stands_above(caller) {
            None
        } else {
            Some(refuse::id("caller", AgentId::new(caller.name()))?)
        };
        Ok(Seen {
            engagement: refuse::id("engagement_id", EngagementId::new(engagement))?,
            epoch,
            agent,
        })
    }

    async fn desk(
        &self,
        caller: &Caller,
        engagement: EngagementId,
        input: Input,
    ) -> Result<pb::Engagement, Status> {
        let tenant = caller.tenant().ok().cloned();
        let id = engagement.to_string();
        let what = What::Desk(tenant, engagement, Box::new(input));
        match self.submit(what).await? {
            Answer::Engagement(found) => Ok(convert::engagement(&found.0, &found.1)),
            Answer::NotFound(..) | Answer::Rejected(core_conversation::Rejection::NotFound, _) => {
                Err(Refusal::not_found("engagement", &id).into())
            }
            other => Err(refuse::answer(other).into()),
        }
    }

    pub(crate) async fn wrap_up(
        &self,
        caller: &Caller,
        request: pb::StartWrapUpRequest,
    ) -> Result<pb::Engagement, Status> {
        let seen = Self::seen(caller, &request.engagement_id, request.epoch)?;
        let engagement = seen.engagement.clone();
        self.desk(caller, engagement, Input::StartWrapUp(seen))
            .await
    }

    pub(crate) async fn complete(
        &self,
        caller: &Caller,
        request: pb::CompleteWrapUpRequest,
    ) -> Result<pb::Engagement, Status> {
        let seen = Self::seen(caller, &request.engagement_id, request.epoch)?;
        short("disposition", &request.disposition)?;
        short("note", &request.note)?;
        let engagement = seen.engagement.clone();
        let input = Input::CompleteWrapUp {
            seen,
            disposition: request.disposition,
            note: request.note,
            earlier: None,
        };
        self.desk(caller, engagement, input).await
    }

    pub(crate) async fn transfer(
        &self,
        caller: &Caller,
        request: pb::TransferToQueueRequest,
    ) -> Result<pb::Engagement, Status> {
        let seen = Self::seen(caller, &request.engagement_id, request.epoch)?;
        let queue = refuse::id("queue_id", QueueId::new(&request.queue_id))?;
        let engagement = seen.engagement.clone();
        let input = Input::TransferToQueue { seen, queue };
        self.desk(caller, engagement, input).await
    }
}
