//! What a batch has to know before it decides. Most of it is in memory: conversations, the messages
//! that may still change, whose contacts they are. And what is certain to be new is not looked for:
//! the indexes that forbid a second one find the rare repeat that memory does not know, and then the
//! batch is planned again with everything looked up. What is left is looked up in one statement.

use std::collections::{BTreeSet, HashMap, HashSet};

use core_types::{FactBody, MessageId, Timestamp};
use lib_storage::StorageError;

use super::Writer;
use super::batch::Batch;
use super::contacts::Contacts;
use super::keys::{
    accepted_wamid, callback_message, contact_keys, dedupe_key, idempotency_of, message_id_of,
    number_of, own_wamid, scope_of, wamids_of,
};
use super::unit::{Unit, What};
use crate::cache::conversation_of;
use crate::directory::Number;
use crate::parts::Fences;
use crate::store::load::{self, ContactKey, StoredMessage, WamidKey, Wanted};

/// How much is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// What memory does not know and cannot be sure of.
    Light,
    /// Everything.
    Full,
}

/// What the units of a batch are about.
#[derive(Default)]
pub(super) struct Known {
    pub(super) numbers: HashMap<String, Number>,
    /// Why numbers could not be looked up.
    pub(super) no_directory: Option<String>,
    pub(super) taken: HashSet<String>,
    pub(super) contacts: Contacts,
    /// Keys that were looked up, with the conversations they lead to.
    pub(super) found_contacts: Vec<(ContactKey, core_types::ConversationId)>,
    pub(super) by_wamid: HashMap<WamidKey, StoredMessage>,
    pub(super) by_id: HashMap<MessageId, StoredMessage>,
    pub(super) keyed: HashMap<(String, String), MessageId>,
    pub(super) seen: HashMap<String, usize>,
}

impl Writer {
    /// Finds out what the units are about.
    pub(super) async fn look_up(
        &mut self,
        units: &[Unit],
        batch: &mut Batch,
        care: Care,
    ) -> Result<Known, StorageError> {
        let mut known = Known::default();
        let numbers: BTreeSet<String> = units.iter().filter_map(number_of).collect();
        let numbers: Vec<String> = numbers.into_iter().collect();
        if !numbers.is_empty() {
            match self.directory.numbers(&numbers).await {
                Ok(found) => known.numbers = found,
                Err(status) => {
                    tracing::warn!(code = ?status.code(), "accounts does not answer");
                    known.no_directory = Some("accounts does not answer".to_owned());
                }
            }
        }
        let (wanted, mut contacts) = self.wanted(units, &mut known, &batch.fences, batch.now, care);
        let wanted = self.without_strays(wanted, &batch.fences).await?;
        let found = load::look_up(&self.database, &wanted).await?;
        batch.asked = wanted.orphans.into_iter().collect();
        batch.orphans = found.orphans;
        known.taken = found.taken;
        let looked_up = found.contacts.iter();
        known.found_contacts = looked_up
            .map(|contact| (contact.key.clone(), contact.conversation.clone()))
            .collect();
        contacts.extend(found.contacts);
        known.contacts = Contacts::new(contacts);
        known.by_wamid.extend(found.by_wamid);
        known.keyed = found.requests;
        known.by_id.extend(found.by_id);
        Ok(known)
    }

    /// What has to be looked up. What is in memory goes to `known`, and the contacts come back.
    fn wanted(
        &mut self,
        units: &[Unit],
        known: &mut Known,
        fences: &Fences,
        now: Timestamp,
        care: Care,
    ) -> (Wanted, Vec<load::Contact>) {
        let mut wanted = Wanted::default();
        let (mut messages, mut contacts) = (BTreeSet::new(), Vec::new());
        for unit in units {
            if let Some(id) = message_id_of(unit) {
                match self.cache.message(&id, fences) {
                    Some(stored) => {
                        known.by_id.insert(id, stored.clone());
                    }
                    None => {
                        messages.insert(id);
                    }
                }
            }
            let new = match (&unit.what, dedupe_key(unit)) {
                (What::Receive(item), Some(key)) => {
                    let scope = scope_of(&item.fact);
                    let new = care == Care::Light
                        && !self.cache.recent.may_know(scope, &key, fences, now);
                    if !new {
                        wanted.dedupe.push(key);
                    }
                    new
                }
                _ => false,
            };
            remember_sent(unit, known);
            let own = own_wamid(unit).filter(|_| new);
            let wamids = wamids_of(unit).into_iter();
            let wamids = wamids.filter(|key| own.as_ref() != Some(key));
            let wamids = wamids.filter(|key| !known.by_wamid.contains_key(key));
            wanted.wamids.extend(wamids);
            for key in contact_keys(unit, &known.numbers) {
                let at_hand = self.cache.contact(&key, fences);
                match at_hand.filter(|_| care == Care::Light) {
                    Some(contact) => contacts.push(contact),
                    None => wanted.contacts.push(key),
                }
            }
            wanted.requests.extend(idempotency_of(unit));
            wanted.orphans.extend(self.telling(unit, fences));
        }
        wanted.messages = messages.into_iter().collect();
        (wanted, contacts)
    }

    /// The message whose id a unit makes known, as far as statuses may wait for it: nobody tells of
    /// a customer's own messages.
    fn telling(&self, unit: &Unit, fences: &Fences) -> Option<WamidKey> {
        if let What::Receive(item) = &unit.what {
            return match item.fact.body {
                FactBody::Echo(_) => own_wamid(unit),
                _ => None,
            };
        }
        let (message, wamid) = accepted_wamid(unit)?;
        let owner = self.cache.get(&conversation_of(message)?, fences)?;
        Some((owner.state.number_id.to_string(), wamid.clone()))
    }

    /// `wanted` without statuses of numbers for which none wait.
    async fn without_strays(
        &mut self,
        mut wanted: Wanted,
        fences: &Fences,
    ) -> Result<Wanted, StorageError> {
        let unknown: BTreeSet<String> = wanted
            .orphans
            .iter()
            .filter(|(number, _)| self.cache.strays.wait_for(number, fences).is_none())
            .map(|(number, _)| number.clone())
            .collect();
        if !unknown.is_empty() {
            let unknown: Vec<String> = unknown.into_iter().collect();
            let waiting = load::numbers_with_orphans(&self.database, &unknown).await?;
            for number in &unknown {
                self.cache
                    .strays
                    .note(number, waiting.contains(number), fences);
            }
        }
        let strays = &self.cache.strays;
        wanted
            .orphans
            .retain(|(number, _)| strays.wait_for(number, fences) != Some(false));
        Ok(wanted)
    }
}

/// A status of a message of ours that is at hand finds it by Meta's id too.
fn remember_sent(unit: &Unit, known: &mut Known) {
    let What::Receive(item) = &unit.what else {
        return;
    };
    let (FactBody::Status(status), Some(number)) = (&item.fact.body, &item.fact.number_id) else {
        return;
    };
    let stored = callback_message(status).and_then(|id| known.by_id.get(&id));
    if let Some(stored) = stored.filter(|it| it.message.wamid.as_ref() == Some(&status.id)) {
        let key = (number.to_string(), status.id.clone());
        known.by_wamid.insert(key, stored.clone());
    }
}
