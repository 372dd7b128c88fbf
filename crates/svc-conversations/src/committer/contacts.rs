//! Which conversation a customer's message belongs to. Phone numbers change hands, business-scoped
//! user ids do not: a number that comes with another user id is somebody else's (guarantee G14).

use std::collections::HashMap;

use core_conversation::{Event, Input};
use core_types::{
    ContactIdentity, ContactKey, Content, ConversationId, InboundMessage, NumberId, SystemNotice,
    TenantId,
};

use super::Writer;
use super::batch::{Batch, Task};

use super::plan::queue;
use super::unit::Answer;
use crate::store::load::{self, Contact};

/// Who a task tells of.
pub(super) struct Customer {
    /// Who wrote or is written to.
    who: ContactIdentity,
    /// Who that is from now on, by a notice of Meta: the only way to another user id.
    renamed: Option<ContactIdentity>,
}

impl Customer {
    /// A customer who stays who they are.
    pub(super) fn of(who: &ContactIdentity) -> Self {
        Self {
            who: who.clone(),
            renamed: None,
        }
    }

    /// The sender of `message`.
    pub(super) fn of_message(message: &InboundMessage) -> Self {
        let renamed = match &message.content {
            Content::System(SystemNotice::NumberChanged { new_identity, .. }) => {
                Some(new_identity.clone()).filter(|new| new.keys().is_ok())
            }
            _ => None,
        };
        Self {
            who: message.from.clone(),
            renamed,
        }
    }
}

/// The conversations of customers, as a batch goes on.
#[derive(Default)]
pub(super) struct Contacts {
    by_key: HashMap<load::ContactKey, ConversationId>,
    /// The user ids of their customers, as far as known.
    users: HashMap<ConversationId, String>,
}

/// Whose number: the first two parts of a key.
type Number<'a> = (&'a TenantId, &'a str);

fn text((tenant, number): Number<'_>, key: &ContactKey) -> load::ContactKey {
    (tenant.to_string(), number.to_owned(), key.to_text())
}

impl Contacts {
    /// What the database knows.
    pub(super) fn new(found: Vec<Contact>) -> Self {
        let mut contacts = Self::default();
        for Contact {
            key,
            conversation,
            user,
        } in found
        {
            if !user.is_empty() {
                contacts.users.insert(conversation.clone(), user);
            }
            contacts.by_key.insert(key, conversation);
        }
        contacts
    }

    /// The conversation of a customer, if there is one.
    fn find(&self, number: Number<'_>, customer: &Customer) -> Option<ConversationId> {
        let mut identities = std::iter::once(&customer.who).chain(&customer.renamed);
        identities.find_map(|identity| {
            let keys = identity.keys().unwrap_or_default();
            keys.iter().find_map(|key| {
                let id = self.by_key.get(&text(number, key))?;
                let another = customer.renamed.is_none()
                    && matches!(key, ContactKey::Phone(_))
                    && self.another(id, identity);
                (!another).then(|| id.clone())
            })
        })
    }

    /// Whether the conversation's customer and this one are known to be two.
    fn another(&self, id: &ConversationId, identity: &ContactIdentity) -> bool {
        match (self.users.get(id), &identity.user_id) {
            (Some(known), Some(seen)) => known != seen,
            _ => false,
        }
    }

    /// From now on the customer's keys lead to `id`. Returns the conversations that lose one.
    fn claim(
        &mut self,
        number: Number<'_>,
        customer: &Customer,
        id: &ConversationId,
    ) -> Vec<(ConversationId, ContactKey)> {
        let identity = customer.renamed.as_ref().unwrap_or(&customer.who);
        if customer.renamed.is_some() {
            for key in customer.who.keys().unwrap_or_default() {
                self.by_key.remove(&text(number, &key));
            }
        }
        let mut losers = Vec::new();
        for key in identity.keys().unwrap_or_default() {
            match self.by_key.insert(text(number, &key), id.clone()) {
                Some(before) if before != *id && self.users.contains_key(&before) => {
                    losers.push((before, key));
                }
                _ => {}
            }
        }
        if let Some(user) = &identity.user_id {
            self.users.insert(id.clone(), user.clone());
        }
        losers
    }
}

impl Writer {
    /// Queues a task for the conversation of a customer, which it starts if there is none.
    pub(super) fn place_contact(
        &self,
        batch: &mut Batch,
        contacts: &mut Contacts,
        place: Number<'_>,
        customer: Customer,
        mut task: Task,
    ) {
        let (tenant, number) = place;
        let nobody = customer.who.keys().is_err() && customer.renamed.is_none();
        let id = match contacts.find(place, &customer) {
            Some(id) => id,
            None => match ConversationId::new(self.ids.next("cnv")) {
                Ok(id) if !nobody => id,
                _ => {
                    let cause = "the contact has neither a user id nor a phone number";
                    return batch.answer(task.unit, Answer::Refused(cause.to_owned()));
                }
            },
        };
        for (loser, key) in contacts.claim(place, &customer, &id) {
            let input = Input::KeyTaken(key);
            queue(batch, &loser, Task::aside(&task, input));
        }
        if let Ok(number_id) = NumberId::new(number) {
            task.birth = Some(Event::Started {
                id: id.clone(),
                tenant: tenant.clone(),
                number_id,
                contact: customer.who,
            });
        }
        queue(batch, &id, task);
    }
}
