//! `ConversationService`: conversations, engagements and messages for people and programs. What
//! it reads is here; what it changes is in `grpc_write`. Any replica reads; what is changed is handed
//! on to the one that works on it.

use std::pin::Pin;
use std::sync::Arc;

use lib_platform::{Caller, Clock, Lifecycle, Refusal, caller, forward, page};
use lib_proto::conversations as pb;
use lib_storage::{Database, StorageError};
use pb::conversation_service_server::ConversationService;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::committer::Committer;
use crate::door::Door;
use crate::events::Events;
use crate::publish::Publisher;
use crate::shard::Shard;
use crate::store::log::{self, Filter};
use crate::store::{read, search};
use crate::templates::Templates;
use crate::{convert, steps, watch};

/// Longest text to look for, in bytes.
const QUERY_MOST: usize = 500;

/// The service.
pub(crate) struct Conversations {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) life: Lifecycle,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) committer: Committer,
    pub(crate) door: Arc<Door>,
    pub(crate) templates: Templates,
}

/// The tenant wall of a caller: a user's tenant, or empty for services, which see all.
pub(crate) fn wall(caller: &Caller) -> String {
    match caller {
        Caller::User { tenant, .. } => tenant.to_string(),
        Caller::Service { .. } => String::new(),
    }
}

pub(crate) fn storage(error: StorageError) -> Refusal {
    Refusal::from(error)
}

/// A page's place in a list ordered by (number, id).
fn place(token: &str) -> Result<Option<(i64, String)>, Refusal> {
    let text = page::after(token)?;
    if text.is_empty() {
        return Ok(None);
    }
    let (number, id) = text.split_once('/').unwrap_or((&text, ""));
    match number.parse() {
        Ok(number) => Ok(Some((number, id.to_owned()))),
        Err(_) => Err(Refusal::invalid("page_token", "is not one of this list")),
    }
}

fn bounded(field: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > QUERY_MOST {
        return Err(Refusal::invalid(
            field,
            format!("must be at most {QUERY_MOST} bytes"),
        ));
    }
    Ok(())
}

fn stage_of(state: i32) -> Result<&'static str, Refusal> {
    use pb::EngagementState as State;
    Ok(match State::try_from(state).unwrap_or_default() {
        State::InFlow => "in_flow",
        State::Queued => "queued",
        State::Offered => "offered",
        State::Assigned => "assigned",
        State::WrapUp => "wrap_up",
        State::Closed => "closed",
        State::Unspecified => return Err(Refusal::invalid("states", "holds an unknown state")),
    })
}

#[tonic::async_trait]
impl ConversationService for Conversations {
    async fn get_conversation(
        &self,
        request: Request<pb::GetConversationRequest>,
    ) -> Result<Response<pb::Conversation>, Status> {
        let wall = wall(&caller(&request)?);
        let id = request.into_inner().id;
        let found = read::conversation(&self.database, &wall, &id).await;
        let found = found
            .map_err(storage)?
            .ok_or_else(|| Refusal::not_found("conversation", &id))?;
        Ok(Response::new(convert::conversation(
            &found,
            self.clock.now(),
        )))
    }

    async fn list_conversations(
        &self,
        request: Request<pb::ListConversationsRequest>,
    ) -> Result<Response<pb::ListConversationsResponse>, Status> {
        let wall = wall(&caller(&request)?);
        let request = request.into_inner();
        bounded("contact", &request.contact)?;
        let size = page::size(request.page_size)?;
        let query = read::ConversationQuery {
            tenant: wall,
            contact: request.contact.trim().trim_start_matches('@').to_owned(),
            number_id: request.number_id,
            after: place(&request.page_token)?,
            most: size as i64 + 1,
        };
        let found = read::conversations(&self.database, &query).await;
        let mut found = found.map_err(storage)?;
        let next_page_token = page::cut(&mut found, size, |conversation| {
            format!(
                "{}/{}",
                conversation.last_activity_at.as_micros(),
                conversation.id
            )
        });
        let now = self.clock.now();
        Ok(Response::new(pb::ListConversationsResponse {
            conversations: found
                .iter()
                .map(|it| convert::conversation(it, now))
                .collect(),
            next_page_token,
        }))
    }

    async fn get_engagement(
        &self,
        request: Request<pb::GetEngagementRequest>,
    ) -> Result<Response<pb::Engagement>, Status> {
        let wall = wall(&caller(&request)?);
        let id = request.into_inner().id;
        let found = read::engagement(&self.database, &wall, &id).await;
        let found = found
            .map_err(storage)?
            .ok_or_else(|| Refusal::not_found("engagement", &id))?;
        let view = convert::engagement(&found.engagement, &found.conversation);
        Ok(Response::new(view))
    }

    async fn list_engagements(
        &self,
        request: Request<pb::ListEngagementsRequest>,
    ) -> Result<Response<pb::ListEngagementsResponse>, Status> {
        let wall = wall(&caller(&request)?);
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let stages = request.states.iter().map(|state| stage_of(*state));
        let query = read::EngagementQuery {
            tenant: wall,
            conversation: request.conversation_id,
            stages: stages.collect::<Result<_, _>>()?,
            agent: request.agent_id,
            queue: request.queue_id,
            after: place(&request.page_token)?,
            most: size as i64 + 1,
        };
        let found = read::engagements(&self.database, &query).await;
        let mut found = found.map_err(storage)?;
        let next_page_token = page::cut(&mut found, size, |found| {
            let opened = found.engagement.opened_at.as_micros();
            format!("{opened}/{}", found.engagement.id)
        });
        let view = |found: &read::StoredEngagement| {
            convert::engagement(&found.engagement, &found.conversation)
        };
        Ok(Response::new(pb::ListEngagementsResponse {
            engagements: found.iter().map(view).collect(),
            next_page_token,
        }))
    }

    async fn list_flow_steps(
        &self,
        request: Request<pb::ListFlowStepsRequest>,
    ) -> Result<Response<pb::ListFlowStepsResponse>, Status> {
        let caller = caller(&request)?;
        caller.require(&[])?;
        let id = request.into_inner().engagement_id;
        let steps = steps::of_engagement(&self.database, &wall(&caller), &id).await;
        let steps = steps
            .map_err(storage)?
            .ok_or_else(|| Refusal::not_found("engagement", &id))?;
        Ok(Response::new(steps))
    }

    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        let wall = wall(&caller(&request)?);
        let request = request.into_inner();
        let id = request.conversation_id;
        let size = page::size(request.page_size)?;
        let owner = read::conversation(&self.database, &wall, &id).await;
        if owner.map_err(storage)?.is_none() {
            return Err(Refusal::not_found("conversation", &id).into());
        }
        let query = read::MessageQuery {
            conversation: id.clone(),
            engagement: request.engagement_id,
            after: place(&request.page_token)?.map(|(number, _)| number),
            newest_first: request.newest_first,
            most: size as i64 + 1,
        };
        let found = read::messages(&self.database, &query).await;
        let mut found = found.map_err(storage)?;
        let next_page_token = page::cut(&mut found, size, |(number, _)| number.to_string());
        let messages = found.iter();
        Ok(Response::new(pb::ListMessagesResponse {
            messages: messages
                .map(|(_, stored)| convert::message(&stored.message, &id))
                .collect(),
            next_page_token,
        }))
    }

    async fn get_message(
        &self,
        request: Request<pb::GetMessageRequest>,
    ) -> Result<Response<pb::Message>, Status> {
        let wall = wall(&caller(&request)?);
        let id = request.into_inner().id;
        let found = read::message(&self.database, &wall, &id).await;
        let found = found
            .map_err(storage)?
            .ok_or_else(|| Refusal::not_found("message", &id))?;
        let owner = found.conversation.as_str();
        Ok(Response::new(convert::message(&found.message, owner)))
    }

    async fn search_messages(
        &self,
        request: Request<pb::SearchMessagesRequest>,
    ) -> Result<Response<pb::SearchMessagesResponse>, Status> {
        let wall = wall(&caller(&request)?);
        let request = request.into_inner();
        bounded("query", &request.query)?;
        let size = page::size(request.page_size)?;
        let before = place(&request.page_token)?.map(|(number, _)| number);
        let most = size as i64 + 1;
        let found = search::search(&self.database, &wall, &request.query, before, most).await;
        let mut found = found.map_err(storage)?;
        let next_page_token = page::cut(&mut found, size, |(number, _)| number.to_string());
        let view = |(_, stored): &(i64, crate::store::load::StoredMessage)| {
            convert::message(&stored.message, stored.conversation.as_str())
        };
        Ok(Response::new(pb::SearchMessagesResponse {
            messages: found.iter().map(view).collect(),
            next_page_token,
        }))
    }

    async fn send_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Result<Response<pb::Message>, Status> {
        let caller = caller(&request)?;
        let (metadata, _, request) = request.into_parts();
        let part = self.part_of_send(&request).await?;
        if let Some(mut there) = self.elsewhere(&metadata, part).await? {
            let answer = there
                .send_message(forward::request(&metadata, request))
                .await?;
            return Ok(Response::new(answer.into_inner()));
        }
        let answer = self.send(&caller, request).await;
        answer.map(Response::new)
    }

    async fn start_wrap_up(
        &self,
        request: Request<pb::StartWrapUpRequest>,
    ) -> Result<Response<pb::Engagement>, Status> {
        let caller = caller(&request)?;
        let (metadata, _, request) = request.into_parts();
        let part = self.part_of_engagement(&request.engagement_id).await?;
        if let Some(mut there) = self.elsewhere(&metadata, part).await? {
            let answer = there
                .start_wrap_up(forward::request(&metadata, request))
                .await?;
            return Ok(Response::new(answer.into_inner()));
        }
        let answer = self.wrap_up(&caller, request).await;
        answer.map(Response::new)
    }

    async fn complete_wrap_up(
        &self,
        request: Request<pb::CompleteWrapUpRequest>,
    ) -> Result<Response<pb::Engagement>, Status> {
        let caller = caller(&request)?;
        let (metadata, _, request) = request.into_parts();
        let part = self.part_of_engagement(&request.engagement_id).await?;
        if let Some(mut there) = self.elsewhere(&metadata, part).await? {
            let answer = there
                .complete_wrap_up(forward::request(&metadata, request))
                .await?;
            return Ok(Response::new(answer.into_inner()));
        }
        let answer = self.complete(&caller, request).await;
        answer.map(Response::new)
    }

    async fn transfer_to_queue(
        &self,
        request: Request<pb::TransferToQueueRequest>,
    ) -> Result<Response<pb::Engagement>, Status> {
        let caller = caller(&request)?;
        let (metadata, _, request) = request.into_parts();
        let part = self.part_of_engagement(&request.engagement_id).await?;
        if let Some(mut there) = self.elsewhere(&metadata, part).await? {
            let answer = there
                .transfer_to_queue(forward::request(&metadata, request))
                .await?;
            return Ok(Response::new(answer.into_inner()));
        }
        let answer = self.transfer(&caller, request).await;
        answer.map(Response::new)
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<pb::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let tenant = wall(&caller(&request)?);
        let request = request.into_inner();
        // Another replica may be ahead of what was told here.
        let head = log::head(&self.database).await.map_err(storage)?;
        let position = watch::position(&request.cursor, head)?;
        let filter = Filter {
            shard: Shard::of(request.shard)?,
            events: Events::of(&request.events)?,
            tenant,
            conversation: request.conversation_id,
            engagement: request.engagement_id,
        };
        let stream = watch::follow(self.database.clone(), &self.publisher, filter, position);
        Ok(Response::new(Box::pin(self.life.until_stopped(stream))))
    }
}
