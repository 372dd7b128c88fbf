//! A request to the messages endpoint: what Meta refuses at once, what it accepts and lets fail
//! later, and what a script makes of it.

use std::collections::VecDeque;
use std::time::Duration;

use core_types::{ContactIdentity, Content};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::limits::Reached;
use super::{Document, World};
use crate::graph::error::{GraphError, title};
use crate::identity::{self, Direction};
use crate::state::{Fault, GraphSend, Outbound, PlatformFault, Step, StepStatus, ThreadKey};
use crate::template::fill;

/// The customer-service window.
const WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// A request to send, read from its body.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) to: ContactIdentity,
    pub(crate) content: Content,
    pub(crate) callback_data: Option<String>,
    /// `to` of the request, as it was written.
    pub(crate) input: String,
    /// Addressed by user id alone.
    pub(crate) by_user_id: bool,
}

/// A request to the messages endpoint.
#[derive(Clone, Debug)]
pub(crate) struct MessagesRequest {
    pub(crate) number: String,
    pub(crate) token: Option<String>,
    pub(crate) body: String,
    pub(crate) traceparent: String,
    /// The message, or why it cannot be read.
    pub(crate) message: Result<Accepted, GraphError>,
    /// `to` and `biz_opaque_callback_data` for the record, as far as they can be read.
    pub(crate) to: String,
    pub(crate) callback_data: String,
}

/// How the request is answered.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The number of the request in the record.
    pub(crate) sequence: u64,
    pub(crate) answer: Result<Value, GraphError>,
    /// Close the connection instead of answering.
    pub(crate) hang_up: bool,
    /// Wait before answering.
    pub(crate) delay: Duration,
    /// Wait for these webhooks before answering.
    pub(crate) first: Vec<oneshot::Receiver<()>>,
}

impl World {
    /// Takes a request to the messages endpoint, records it and decides the answer.
    pub(crate) fn messages_request(&mut self, request: MessagesRequest) -> Outcome {
        let allowed = self.authorize_number(request.token.as_deref(), &request.number);
        let fault = match &allowed {
            Ok(()) => self.fault_for(&request.body),
            Err(_) => None,
        };
        let mut first = Vec::new();
        let answer = match (allowed, &fault) {
            (Err(error), _) => Err(error),
            (Ok(()), Some(Fault::Error(status, error))) => {
                Err(GraphError::scripted(*status, error))
            }
            (Ok(()), Some(Fault::HangUp)) => Err(GraphError::stopping()),
            (Ok(()), _) => {
                let number = request.number.clone();
                request
                    .message
                    .and_then(|message| self.accept(&number, message, fault.as_ref(), &mut first))
            }
        };
        let answer = answer.map_err(|error| self.traced(error));
        let hang_up = match &fault {
            Some(Fault::HangUp) => true,
            Some(Fault::AcceptAndHangUp) => answer.is_ok(),
            _ => false,
        };
        let message = answer
            .as_ref()
            .ok()
            .and_then(|answer| answer["messages"][0]["id"].as_str());
        self.last_send += 1;
        let answered_status = match (&answer, hang_up) {
            (_, true) => 0,
            (Ok(_), false) => 200,
            (Err(error), false) => error.status,
        };
        self.changes.sends.push(GraphSend {
            sequence: self.last_send,
            at: self.now,
            number: request.number,
            callback_data: request.callback_data,
            body: request.body,
            answered_status,
            message: message.unwrap_or_default().to_owned(),
            answer_lost: hang_up,
            traceparent: request.traceparent,
            to: request.to,
        });
        let delay = match fault {
            Some(Fault::Delay(delay)) => delay,
            _ => Duration::ZERO,
        };
        Outcome {
            sequence: self.last_send,
            answer,
            hang_up,
            delay,
            first,
        }
    }

    /// The caller of a request was gone before it could be answered.
    pub(crate) fn answer_lost(&mut self, sequence: u64) {
        self.changes.lost.push(sequence);
    }

    fn accept(
        &mut self,
        number_id: &str,
        request: Accepted,
        fault: Option<&Fault>,
        first: &mut Vec<oneshot::Receiver<()>>,
    ) -> Result<Value, GraphError> {
        let number = self
            .numbers
            .get(number_id)
            .ok_or_else(|| GraphError::no_object(number_id))?;
        if !number.registered {
            return Err(GraphError::message(133_010, "The number is not registered"));
        }
        if request.to.phone.as_ref() == Some(&number.phone) {
            return Err(GraphError::message(131_021, "The recipient is the sender"));
        }
        let account = number.account.clone();
        let (content, category) = self.hydrate(&account, request.content, request.by_user_id)?;
        let customer = self.recipient(&request.to)?;
        let key = ThreadKey {
            customer,
            number: number_id.to_owned(),
        };
        self.limits
            .take(&key, self.now)
            .map_err(|reached| match reached {
                Reached::Throughput => {
                    GraphError::message(130_429, "Cloud API message throughput has been reached.")
                }
                Reached::Pair => GraphError::message(
                    131_056,
                    "Message failed to send because there were too many messages sent from this \
                 phone number to the same phone number in a short period of time.",
                ),
            })?;
        let template = matches!(content, Content::Template(_));
        let in_window = self
            .threads
            .get(&key)
            .and_then(|thread| thread.last_inbound);
        let in_window = in_window.is_some_and(|last| self.now < last.plus(WINDOW));
        let plan = self.plan(fault, template || in_window);
        let id = self.new_message_id(customer, Direction::FromBusiness);
        let updates = self.launch(Outbound {
            id: id.clone(),
            thread: key,
            accepted_at: self.now,
            category,
            callback_data: request.callback_data,
            content,
            by_phone: request.to.phone.is_some(),
            in_window,
            delivered: false,
            silent: fault == Some(&Fault::NoStatus),
            plan,
            conversation: None,
        });
        if fault == Some(&Fault::StatusBeforeAnswer) {
            first.extend(
                updates
                    .into_iter()
                    .map(|update| self.when_update_tried(update)),
            );
        }
        Ok(answer(&request.to, &request.input, &id, template))
    }

    /// The content as the customer will see it, and its category.
    fn hydrate(
        &self,
        account: &str,
        content: Content,
        by_user_id: bool,
    ) -> Result<(Content, String), GraphError> {
        let Content::Template(send) = content else {
            return Ok((content, "service".to_owned()));
        };
        let template = self.sendable(account, &send.name, &send.language)?;
        if by_user_id && template.category == "AUTHENTICATION" {
            let details = "Authentication templates need the recipient's phone number";
            return Err(GraphError::message(131_062, details));
        }
        let shown = fill(template, send)?;
        let category = shown.category.clone();
        Ok((Content::Template(shown), category))
    }

    /// Everybody with a phone number is on WhatsApp here; user ids must be known.
    fn recipient(&mut self, to: &ContactIdentity) -> Result<u64, GraphError> {
        let known = self.known_customer(to.phone.as_deref(), to.user_id.as_deref());
        if let Some(known) = known {
            return Ok(known);
        }
        if to.phone.is_none() {
            let details = "recipient: no user of this portfolio has this user id";
            return Err(GraphError::message(131_009, details));
        }
        self.customer(&ContactIdentity {
            user_id: None,
            ..to.clone()
        })
        .map_err(|refusal| GraphError::message(131_009, &refusal.to_string()))
    }

    fn plan(&self, fault: Option<&Fault>, deliverable: bool) -> VecDeque<Step> {
        let pace = &self.settings.pace;
        let now = self.now;
        let step = |after: Duration, status: StepStatus| Step {
            at: now.plus(after),
            status,
        };
        if let Some(Fault::FailLater(error)) = fault {
            return [step(pace.sent, StepStatus::Failed(error.clone()))].into();
        }
        if !deliverable {
            let error = PlatformFault {
                code: 131_047,
                title: title(131_047).to_owned(),
                details: "Message failed to send because more than 24 hours have passed since \
                          the customer last replied to this number."
                    .to_owned(),
            };
            return [step(pace.sent, StepStatus::Failed(error))].into();
        }
        let at_once = fault == Some(&Fault::StatusBeforeAnswer);
        let after = |span: Duration| if at_once { Duration::ZERO } else { span };
        let sent = step(after(pace.sent), StepStatus::Sent);
        let delivered_at = after(pace.delivered.max(pace.sent));
        if fault == Some(&Fault::ReadWithoutDelivered) {
            return [sent, step(delivered_at, StepStatus::Read)].into();
        }
        let delivered = step(delivered_at, StepStatus::Delivered);
        let read = pace
            .read
            .map(|read_after| step(read_after.max(delivered_at), StepStatus::Read));
        [sent, delivered].into_iter().chain(read).collect()
    }

    /// Whether the token may use this number.
    pub(crate) fn authorize_number(
        &self,
        token: Option<&str>,
        number: &str,
    ) -> Result<(), GraphError> {
        let account = self
            .numbers
            .get(number)
            .map(|number| number.account.as_str());
        self.authorize(token, account, number)
    }

    /// Whether the token may use this account.
    pub(crate) fn authorize_account(
        &self,
        token: Option<&str>,
        account: &str,
    ) -> Result<(), GraphError> {
        let known = self
            .accounts
            .get(account)
            .map(|account| account.id.as_str());
        self.authorize(token, known, account)
    }

    /// Whether the token may use what belongs to `account`; `object` is what was asked for.
    pub(crate) fn authorize(
        &self,
        token: Option<&str>,
        account: Option<&str>,
        object: &str,
    ) -> Result<(), GraphError> {
        let known = |account: &crate::state::Account| Some(account.access_token.as_str()) == token;
        if token.is_none() || !self.accounts.values().any(known) {
            return Err(GraphError::unauthorized());
        }
        let account = account.and_then(|id| self.accounts.get(id));
        match account {
            None => Err(GraphError::no_object(object)),
            Some(account) if known(account) => Ok(()),
            Some(_) => Err(GraphError::forbidden()),
        }
    }

    /// Gives an error its `fbtrace_id`.
    pub(crate) fn traced(&mut self, error: GraphError) -> GraphError {
        self.counters.refusals += 1;
        self.touch(Document::Counters);
        error.traced(identity::trace_id(self.counters.refusals))
    }
}

/// The answer to an accepted message. The contact is named as it was addressed.
fn answer(to: &ContactIdentity, input: &str, id: &str, template: bool) -> Value {
    let mut contact = json!({"input": input});
    if let Some(phone) = &to.phone {
        contact["wa_id"] = json!(phone);
    }
    if let Some(user_id) = &to.user_id {
        contact["user_id"] = json!(user_id);
    }
    let mut message = json!({"id": id});
    if template {
        message["message_status"] = json!("accepted");
    }
    json!({"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]})
}
