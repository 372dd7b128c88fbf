//! Customers write and open chats.

use std::time::Duration;

use core_types::{ContactIdentity, Content, Referral, SystemNotice, Timestamp};
use lib_platform::Refusal;

use super::World;
use crate::identity::{self, Direction};
use crate::payload::{self, FromCustomer};
use crate::state::{PhoneWhat, ThreadKey};

/// How long a reply to a customer from an advertisement opens a free entry point.
const ENTRY_CANDIDATE: Duration = Duration::from_secs(24 * 3_600);

/// A message a customer writes.
#[derive(Clone, Debug)]
pub(crate) struct FromPhone {
    pub(crate) customer: ContactIdentity,
    pub(crate) number: String,
    pub(crate) content: Content,
    pub(crate) reply_to: Option<String>,
    pub(crate) referral: Option<Referral>,
    pub(crate) hide_phone: bool,
}

impl World {
    /// The customer writes: the phone shows it, the window opens, a webhook will say so. Returns
    /// the message's id.
    pub(crate) fn customer_writes(&mut self, from: FromPhone) -> Result<String, Refusal> {
        let number = self
            .numbers
            .get(&from.number)
            .cloned()
            .ok_or_else(|| Refusal::not_found("number", &from.number))?;
        if let Content::Text { body, .. } = &from.content
            && body.is_empty()
        {
            return Err(Refusal::invalid("content.text.body", "must not be empty"));
        }
        let id = self.customer(&from.customer)?;
        let known = self.customers.get(&id).cloned();
        let mut customer = known.ok_or_else(|| Refusal::not_found("customer", &id.to_string()))?;
        if customer.hidden != from.hide_phone {
            customer.hidden = from.hide_phone;
            self.keep_customer(customer.clone());
        }
        let message = self.new_message_id(id, Direction::FromCustomer);
        // Webhooks tell whole seconds, and windows count from what they tell.
        let second = Timestamp::from_micros(self.now.as_micros() / 1_000_000 * 1_000_000);
        let content = Self::with_new_identity(from.content);
        let value = payload::customer_message(FromCustomer {
            id: &message,
            at: second,
            customer: &customer,
            number: &number,
            content: &content,
            reply_to: from.reply_to.as_deref(),
            referral: from.referral.as_ref(),
        })
        .map_err(|problem| Refusal::invalid("content", problem.to_string()))?;
        let key = ThreadKey {
            customer: id,
            number: number.id.clone(),
        };
        if !matches!(content, Content::System(_)) {
            let thread = self.thread(&key);
            thread.last_inbound = Some(second);
            if from.referral.is_some() {
                thread.entry_candidate_until = Some(second.plus(ENTRY_CANDIDATE));
            }
        }
        self.change_number(id, &content);
        self.show(&key, self.now, &message, PhoneWhat::Sent(content));
        self.update(
            &number.account,
            payload::MESSAGES,
            value,
            Some(key),
            Some(message.clone()),
        );
        Ok(message)
    }

    /// A customer with a new phone number has a new user id too.
    fn with_new_identity(content: Content) -> Content {
        match content {
            Content::System(SystemNotice::NumberChanged {
                text,
                mut new_identity,
            }) => {
                if new_identity.user_id.is_none() {
                    new_identity.user_id = new_identity.phone.as_deref().map(identity::user_id);
                }
                Content::System(SystemNotice::NumberChanged { text, new_identity })
            }
            other => other,
        }
    }

    fn change_number(&mut self, customer: u64, content: &Content) {
        let Content::System(SystemNotice::NumberChanged { new_identity, .. }) = content else {
            return;
        };
        let Some(mut changed) = self.customers.get(&customer).cloned() else {
            return;
        };
        if let Some(old) = changed.phone.take() {
            self.by_phone.remove(&old);
        }
        self.by_user_id.remove(&changed.user_id);
        changed.phone.clone_from(&new_identity.phone);
        if let Some(user_id) = &new_identity.user_id {
            changed.user_id.clone_from(user_id);
        }
        self.keep_customer(changed);
    }

    /// The thread of a customer and a number; the customer is created when new.
    pub(crate) fn thread_key(
        &mut self,
        customer: &ContactIdentity,
        number: &str,
    ) -> Result<ThreadKey, Refusal> {
        if !self.numbers.contains_key(number) {
            return Err(Refusal::not_found("number", number));
        }
        Ok(ThreadKey {
            customer: self.customer(customer)?,
            number: number.to_owned(),
        })
    }

    /// The business has seen a customer's message.
    pub(crate) fn business_read(&mut self, thread: &ThreadKey, message: &str) {
        self.show(thread, self.now, message, PhoneWhat::BusinessRead);
    }
}
