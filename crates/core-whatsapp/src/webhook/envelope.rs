//! Splits a body into items and reads each.
//!
//! The usual body is taken apart in one pass down to its values. Only when that fails are entries
//! and changes taken one by one, so that a broken one is found and its siblings are read.

use core_types::{Fact, FactBody, NumberId, Timestamp, WabaId};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::account::account;
use super::contacts::Contacts;
use super::fields::words_of;
use super::message::{echo, inbound};
use super::problem::{BodyError, ItemProblem, without_value};
use super::status::{Reading, status};
use super::wire::{Head, Metadata, Value, Word, object, text};
use super::{MAX_UPDATES, ReadItem};

/// What `object` must be.
const OBJECT: &str = "whatsapp_business_account";

#[derive(Deserialize)]
struct Envelope<'a, E> {
    #[serde(borrow)]
    object: Option<Word<'a>>,
    #[serde(bound(deserialize = "E: Deserialize<'de>"))]
    entry: Option<Vec<E>>,
}

#[derive(Deserialize)]
struct Entry<'a, C> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(bound(deserialize = "C: Deserialize<'de>"))]
    changes: Option<Vec<C>>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    field: Option<Word<'a>>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    rejection_info: Option<&'a RawValue>,
}

/// Splits and reads a cleaned body.
pub(super) fn read(text: &str) -> Result<Vec<ReadItem>, BodyError> {
    if text.trim().is_empty() {
        return Err(BodyError::Empty);
    }
    // serde would take a list for a structure, field by field.
    if !text.trim_start().starts_with('{') {
        return Err(match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => BodyError::NotAnObject,
            Err(syntax) => BodyError::NotJson(syntax.to_string()),
        });
    }
    let mut reader = Reader::default();
    match serde_json::from_str::<Envelope<'_, Entry<'_, Change<'_>>>>(text) {
        Ok(envelope) => {
            for (index, entry) in checked(envelope)?.into_iter().enumerate() {
                let place = Place::of(index, entry.id, entry.time);
                for (index, change) in entry.changes.into_iter().flatten().enumerate() {
                    reader.change(&place, index, change);
                }
            }
        }
        Err(_) => reader.one_by_one(text)?,
    }
    if reader.items.len() > MAX_UPDATES {
        return Err(BodyError::TooManyUpdates(reader.items.len()));
    }
    Ok(reader.items)
}

fn checked<E>(envelope: Envelope<'_, E>) -> Result<Vec<E>, BodyError> {
    match envelope.object {
        Some(object) if object.as_str() == OBJECT => {}
        Some(object) => {
            return Err(BodyError::WrongObject(
                object.as_str().chars().take(64).collect(),
            ));
        }
        None => return Err(BodyError::NotADelivery("`object` is missing".to_owned())),
    }
    envelope
        .entry
        .ok_or_else(|| BodyError::NotADelivery("`entry` is missing".to_owned()))
}

/// Where a change stands.
struct Place<'a> {
    entry: usize,
    id: Option<&'a RawValue>,
    time: Option<&'a RawValue>,
}

impl<'a> Place<'a> {
    fn of(entry: usize, id: Option<&'a RawValue>, time: Option<&'a RawValue>) -> Self {
        Self { entry, id, time }
    }
}

/// A change on its way: what all its items share.
struct Shared<'p, 'a> {
    place: &'p Place<'a>,
    change: usize,
    field: &'p str,
    metadata: Option<&'a RawValue>,
    rejection: Option<&'a RawValue>,
    waba_id: Option<String>,
    number_id: Option<String>,
}

#[derive(Default)]
struct Reader {
    items: Vec<ReadItem>,
}

impl Reader {
    fn one_by_one(&mut self, text: &str) -> Result<(), BodyError> {
        let envelope: Envelope<'_, &RawValue> =
            serde_json::from_str(text).map_err(|error| not_an_envelope(text, &error))?;
        for (index, raw) in checked(envelope)?.into_iter().enumerate() {
            let entry: Entry<'_, &RawValue> = match object(raw) {
                Ok(entry) => entry,
                Err(problem) => {
                    self.broken(
                        format!("entry[{index}]"),
                        format!(r#"{{"object":"{OBJECT}","entry":[{}]}}"#, raw.get()),
                        problem,
                    );
                    continue;
                }
            };
            let place = Place::of(index, entry.id, entry.time);
            for (index, raw) in entry.changes.into_iter().flatten().enumerate() {
                match object(raw) {
                    Ok(change) => self.change(&place, index, change),
                    Err(problem) => {
                        let position = format!("entry[{}].changes[{index}]", place.entry);
                        let mut envelope = String::new();
                        open_entry(&mut envelope, &place);
                        envelope.push_str(raw.get());
                        envelope.push_str("]}]}");
                        self.broken(position, envelope, problem);
                    }
                }
            }
        }
        Ok(())
    }

    fn broken(&mut self, position: String, raw: String, problem: ItemProblem) {
        self.items.push(ReadItem {
            position,
            raw,
            number_id: None,
            waba_id: None,
            result: Err(problem),
        });
    }

    fn change<'a>(&mut self, place: &Place<'a>, index: usize, change: Change<'a>) {
        let field = change.field.as_ref().map_or("", Word::as_str);
        let mut shared = Shared {
            place,
            change: index,
            field,
            metadata: None,
            rejection: change.rejection_info,
            waba_id: place.id.and_then(|id| text(Word::from_raw(id))),
            number_id: None,
        };
        let Some(raw) = change.value else {
            let problem = ItemProblem::missing("value");
            self.push_value(&shared, "null", Err(problem));
            return;
        };
        let listed = matches!(field, "messages" | "smb_message_echoes" | "message_echoes")
            || words_of(field).is_some_and(|words| !words.list.is_empty());
        if !listed {
            shared.take_metadata(metadata_of(raw));
            self.whole(&shared, raw);
            return;
        }
        match object::<Value<'a>>(raw) {
            Ok(value) => {
                shared.take_metadata(value.metadata);
                self.lists(&shared, raw, value);
            }
            Err(problem) => {
                shared.take_metadata(metadata_of(raw));
                self.push_value(&shared, raw.get(), Err(problem));
            }
        }
    }

    /// A value that is one fact.
    fn whole(&mut self, shared: &Shared<'_, '_>, raw: &RawValue) {
        let result = shared.account(shared.field, raw);
        self.push_value(shared, raw.get(), result);
    }

    fn lists<'a>(&mut self, shared: &Shared<'_, 'a>, raw: &'a RawValue, mut value: Value<'a>) {
        let before = self.items.len();
        let contacts = Contacts::read(value.contacts.take().unwrap_or_default());
        match shared.field {
            "messages" => {
                self.messages(shared, value.messages, &contacts);
                self.statuses(shared, value.statuses, &contacts);
                self.accounts(shared, "errors", "messages.errors", value.errors);
            }
            "smb_message_echoes" | "message_echoes" => {
                self.echoes(shared, value.message_echoes, &contacts);
            }
            "calls" => {
                self.accounts(shared, "calls", "calls", value.calls);
                self.statuses(shared, value.statuses, &contacts);
            }
            "user_preferences" => {
                self.accounts(
                    shared,
                    "user_preferences",
                    shared.field,
                    value.user_preferences,
                );
            }
            "smb_app_state_sync" => {
                self.accounts(shared, "state_sync", shared.field, value.state_sync);
            }
            "automatic_events" => {
                self.accounts(
                    shared,
                    "automatic_events",
                    shared.field,
                    value.automatic_events,
                );
            }
            _ => self.accounts(shared, "groups", shared.field, value.groups),
        }
        if self.items.len() == before {
            // None of the lists that are known: kept as it came.
            let result = shared.account(shared.field, raw).map(|mut fact| {
                if let FactBody::Account(account) = &mut fact.body {
                    account.known = false;
                }
                fact
            });
            self.push_value(shared, raw.get(), result);
        }
    }

    fn messages<'a>(
        &mut self,
        shared: &Shared<'_, 'a>,
        list: Option<Vec<&'a RawValue>>,
        contacts: &Contacts<'a>,
    ) {
        for (index, raw) in list.into_iter().flatten().enumerate() {
            let (found, message) = inbound(raw, index, contacts);
            let result = message.and_then(|message| {
                let key = format!("m:{}", message.id);
                shared.fact_of_number(key, FactBody::Message(Box::new(message)))
            });
            let contact = found.map(|(raw, _)| *raw);
            self.push(shared, "messages", index, contact, raw, result);
        }
    }

    fn echoes<'a>(
        &mut self,
        shared: &Shared<'_, 'a>,
        list: Option<Vec<&'a RawValue>>,
        contacts: &Contacts<'a>,
    ) {
        for (index, raw) in list.into_iter().flatten().enumerate() {
            let (found, message) = echo(raw, index, contacts);
            let result = message.and_then(|echo| {
                let key = format!("m:{}", echo.id);
                shared.fact_of_number(key, FactBody::Echo(Box::new(echo)))
            });
            let contact = found.map(|(raw, _)| *raw);
            self.push(shared, "message_echoes", index, contact, raw, result);
        }
    }

    fn statuses<'a>(
        &mut self,
        shared: &Shared<'_, 'a>,
        list: Option<Vec<&'a RawValue>>,
        contacts: &Contacts<'a>,
    ) {
        for (index, raw) in list.into_iter().flatten().enumerate() {
            let (found, reading) = status(raw, index, contacts);
            let result = reading.and_then(|reading| match reading {
                Reading::Message(update) => {
                    let mut key = format!("s:{}:{}", update.id, update.status.word());
                    if let Some(participant) = &update.participant {
                        key.push(':');
                        key.push_str(participant);
                    }
                    shared.fact_of_number(key, FactBody::Status(update))
                }
                Reading::Call => shared.account("calls", raw),
                Reading::UnknownState => shared.account("messages.statuses", raw),
            });
            let contact = found.map(|(raw, _)| *raw);
            self.push(shared, "statuses", index, contact, raw, result);
        }
    }

    fn accounts<'a>(
        &mut self,
        shared: &Shared<'_, 'a>,
        list: &str,
        field: &str,
        entries: Option<Vec<&'a RawValue>>,
    ) {
        for (index, raw) in entries.into_iter().flatten().enumerate() {
            let result = shared.account(field, raw);
            self.push(shared, list, index, None, raw, result);
        }
    }

    fn push(
        &mut self,
        shared: &Shared<'_, '_>,
        list: &str,
        index: usize,
        contact: Option<&RawValue>,
        item: &RawValue,
        result: Result<Fact, ItemProblem>,
    ) {
        let (entry, change) = (shared.place.entry, shared.change);
        self.items.push(ReadItem {
            position: format!("entry[{entry}].changes[{change}].value.{list}[{index}]"),
            raw: shared.envelope_of_item(list, contact, item),
            number_id: shared.number_id.clone(),
            waba_id: shared.waba_id.clone(),
            result,
        });
    }

    fn push_value(
        &mut self,
        shared: &Shared<'_, '_>,
        value: &str,
        result: Result<Fact, ItemProblem>,
    ) {
        let (entry, change) = (shared.place.entry, shared.change);
        let mut raw = String::with_capacity(value.len() + 160);
        shared.open_value(&mut raw);
        raw.push_str(value);
        raw.push_str("}]}]}");
        self.items.push(ReadItem {
            position: format!("entry[{entry}].changes[{change}].value"),
            raw,
            number_id: shared.number_id.clone(),
            waba_id: shared.waba_id.clone(),
            result,
        });
    }
}

impl<'a> Shared<'_, 'a> {
    fn take_metadata(&mut self, metadata: Option<&'a RawValue>) {
        self.metadata = metadata;
        let read: Option<Metadata<'_>> = metadata.and_then(|raw| object(raw).ok());
        self.number_id = text(read.and_then(|read| read.phone_number_id));
    }

    fn fact(&self, dedupe_key: String, body: FactBody) -> Result<Fact, ItemProblem> {
        let waba_id = self.waba_id.as_ref();
        let waba_id = waba_id.ok_or_else(|| ItemProblem::missing("entry.id"))?;
        let waba_id =
            WabaId::new(waba_id).map_err(|error| ItemProblem::shape(error.to_string()))?;
        let number_id = self.number_id.as_ref().map(NumberId::new).transpose();
        Ok(Fact {
            waba_id,
            number_id: number_id.map_err(|error| ItemProblem::shape(error.to_string()))?,
            dedupe_key,
            body,
        })
    }

    /// A fact that cannot be without a number.
    fn fact_of_number(&self, dedupe_key: String, body: FactBody) -> Result<Fact, ItemProblem> {
        if self.number_id.is_none() {
            return Err(ItemProblem::missing("metadata.phone_number_id"));
        }
        self.fact(dedupe_key, body)
    }

    fn account(&self, field: &str, raw: &RawValue) -> Result<Fact, ItemProblem> {
        let time = self.place.time.and_then(Word::from_raw);
        let delivered = time.and_then(|time| Timestamp::parse_seconds(time.as_str()).ok());
        let rejection = self.rejection.map(RawValue::get);
        let fact = account(field, raw.get(), delivered, rejection);
        self.fact(self.hash(field, raw), FactBody::Account(fact))
    }

    /// The dedupe key of what has no id. The delivery's time is part of it: a template that is
    /// paused twice says the same thing twice, and means it.
    fn hash(&self, field: &str, raw: &RawValue) -> String {
        let mut hash = Sha256::new();
        let time = self.place.time.map_or("", RawValue::get);
        let number = self.number_id.as_deref().unwrap_or_default();
        let waba = self.waba_id.as_deref().unwrap_or_default();
        for part in [waba, number, time, field, raw.get()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        format!("x:{}", hex::encode(hash.finalize()))
    }

    fn open_value(&self, envelope: &mut String) {
        open_entry(envelope, self.place);
        envelope.push_str(r#"{"field":"#);
        envelope.push_str(&quoted(self.field));
        if let Some(rejection) = self.rejection {
            envelope.push_str(r#","rejection_info":"#);
            envelope.push_str(rejection.get());
        }
        envelope.push_str(r#","value":"#);
    }

    /// The smallest body that holds `item`.
    fn envelope_of_item(&self, list: &str, contact: Option<&RawValue>, item: &RawValue) -> String {
        let item = item.get();
        let mut envelope = String::with_capacity(item.len() + 512);
        self.open_value(&mut envelope);
        envelope.push('{');
        if let Some(metadata) = self.metadata {
            envelope.push_str(r#""metadata":"#);
            envelope.push_str(metadata.get());
            envelope.push(',');
        }
        if let Some(contact) = contact {
            envelope.push_str(r#""contacts":["#);
            envelope.push_str(contact.get());
            envelope.push_str("],");
        }
        for part in ["\"", list, "\":[", item, "]}}]}]}"] {
            envelope.push_str(part);
        }
        envelope
    }
}

/// An envelope up to and including the opening of `changes`.
fn open_entry(envelope: &mut String, place: &Place<'_>) {
    envelope.push_str(r#"{"object":""#);
    envelope.push_str(OBJECT);
    envelope.push_str(r#"","entry":[{"#);
    for (key, raw) in [("id", place.id), ("time", place.time)] {
        if let Some(raw) = raw {
            for part in ["\"", key, "\":", raw.get(), ","] {
                envelope.push_str(part);
            }
        }
    }
    envelope.push_str(r#""changes":["#);
}

/// `text` as a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn metadata_of(raw: &RawValue) -> Option<&RawValue> {
    let head: Option<Head<'_>> = object(raw).ok();
    head.and_then(|head| head.metadata)
}

fn not_an_envelope(text: &str, error: &serde_json::Error) -> BodyError {
    match serde_json::from_str::<&RawValue>(text) {
        Err(syntax) => BodyError::NotJson(syntax.to_string()),
        Ok(_) => BodyError::NotADelivery(without_value(&error.to_string())),
    }
}
