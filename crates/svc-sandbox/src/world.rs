//! The sandbox's whole state in memory, changed by one task only (`engine`). Operations change it
//! and note what they changed; the engine writes that down and only then lets anybody know.

mod accounts;
mod delivering;
mod faults;
mod limits;
mod phones;
mod sending;
mod statuses;
mod templates;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use anyhow::Context as _;
use core_types::Timestamp;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub(crate) use accounts::NewAccount;
pub(crate) use delivering::{Answer, Post, RawPost};
pub(crate) use phones::FromPhone;
pub(crate) use sending::{Accepted, MessagesRequest, Outcome};
pub(crate) use templates::{NewTemplate, TemplateFilter};

use crate::Config;
use crate::identity::{self, Direction};
use crate::state::{
    Account, Customer, Delivery, Mode, Number, Outbound, Pace, PhoneEntry, PhoneWhat, Settings,
    Template, Thread, ThreadKey, Update,
};
use crate::store::{Changes, Loaded};

/// A document that has to be written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Document {
    Account(String),
    Number(String),
    Template(String),
    Customer(u64),
    Thread(ThreadKey),
    Message(String),
    Update(u64),
    Settings,
    Counters,
}

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    /// The next step of a message's plan.
    Message(String),
    /// The end of a template's review.
    Review(String),
    /// Another attempt at a delivery.
    Delivery(u64),
}

/// Somebody who follows a phone.
struct Watcher {
    /// Events up to this one are read from the table.
    after: u64,
    events: mpsc::Sender<PhoneEntry>,
}

/// Numbers counted up, so that ids are the same in every run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counters {
    messages: u64,
    customers: u64,
    templates: u64,
    updates: u64,
    #[serde(default)]
    refusals: u64,
}

/// Everything.
pub(crate) struct World {
    /// The time of the operation under way.
    pub(crate) now: Timestamp,
    config: Config,
    accounts: BTreeMap<String, Account>,
    numbers: BTreeMap<String, Number>,
    templates: BTreeMap<String, Template>,
    customers: BTreeMap<u64, Customer>,
    by_phone: HashMap<String, u64>,
    by_user_id: HashMap<String, u64>,
    threads: HashMap<ThreadKey, Thread>,
    messages: HashMap<String, Outbound>,
    /// Delivered and not read, in order of delivery.
    unread: HashMap<ThreadKey, Vec<String>>,
    zones: HashMap<String, TimeZone>,
    limits: limits::Limits,
    settings: Settings,
    counters: Counters,
    timers: BTreeMap<(Timestamp, u64), Due>,
    timer_count: u64,
    delivering: delivering::Delivering,
    last_send: u64,
    last_phone: u64,
    watchers: HashMap<ThreadKey, Vec<Watcher>>,
    dirty: BTreeSet<Document>,
    changes: Changes,
}

impl World {
    /// The state as it was when the sandbox last stopped, with timers set again.
    ///
    /// # Errors
    /// When a stored document cannot be read.
    pub(crate) fn load(config: Config, now: Timestamp, loaded: Loaded) -> anyhow::Result<Self> {
        let settings = default_settings(&config);
        let mut world = Self {
            now,
            limits: limits::Limits::new(&config),
            config,
            accounts: BTreeMap::new(),
            numbers: BTreeMap::new(),
            templates: BTreeMap::new(),
            customers: BTreeMap::new(),
            by_phone: HashMap::new(),
            by_user_id: HashMap::new(),
            threads: HashMap::new(),
            messages: HashMap::new(),
            unread: HashMap::new(),
            zones: HashMap::new(),
            settings,
            counters: Counters::default(),
            timers: BTreeMap::new(),
            timer_count: 0,
            delivering: delivering::Delivering::new(loaded.last_delivery),
            last_send: loaded.last_send,
            last_phone: loaded.last_phone,
            watchers: HashMap::new(),
            dirty: BTreeSet::new(),
            changes: Changes::default(),
        };
        for (kind, name, body) in &loaded.documents {
            world
                .restore(kind, body)
                .with_context(|| format!("document {kind} `{name}` cannot be read"))?;
        }
        world.rearm(loaded.deliveries);
        Ok(world)
    }

    fn restore(&mut self, kind: &str, body: &str) -> anyhow::Result<()> {
        match kind {
            "account" => keep(&mut self.accounts, body, |account: &Account| {
                account.id.clone()
            })?,
            "number" => keep(&mut self.numbers, body, |number: &Number| number.id.clone())?,
            "template" => {
                keep(&mut self.templates, body, |template: &Template| {
                    template.id.clone()
                })?;
            }
            "customer" => {
                let customer: Customer = serde_json::from_str(body)?;
                self.index(&customer);
                self.customers.insert(customer.id, customer);
            }
            "thread" => {
                let thread: Thread = serde_json::from_str(body)?;
                self.threads.insert(thread.key.clone(), thread);
            }
            "message" => {
                let message: Outbound = serde_json::from_str(body)?;
                self.messages.insert(message.id.clone(), message);
            }
            "update" => self
                .delivering
                .restore(serde_json::from_str::<Update>(body)?),
            "settings" => self.settings = serde_json::from_str(body)?,
            "counters" => self.counters = serde_json::from_str(body)?,
            other => anyhow::bail!("`{other}` is not a kind of document"),
        }
        Ok(())
    }

    fn rearm(&mut self, deliveries: Vec<Delivery>) {
        let mut unread: Vec<(Timestamp, ThreadKey, String)> = Vec::new();
        let mut due: Vec<(Timestamp, Due)> = Vec::new();
        for message in self.messages.values() {
            if let Some(step) = message.plan.front() {
                due.push((step.at, Due::Message(message.id.clone())));
            }
            if message.delivered {
                unread.push((
                    message.accepted_at,
                    message.thread.clone(),
                    message.id.clone(),
                ));
            }
        }
        for template in self.templates.values() {
            if let Some(at) = template.review_at {
                due.push((at, Due::Review(template.id.clone())));
            }
        }
        for delivery in deliveries {
            due.push((delivery.next_at, Due::Delivery(delivery.sequence)));
            self.delivering.reopen(delivery);
        }
        unread.sort();
        for (_, thread, message) in unread {
            self.unread.entry(thread).or_default().push(message);
        }
        for (at, due) in due {
            self.set_timer(at, due);
        }
    }

    fn index(&mut self, customer: &Customer) {
        if let Some(phone) = &customer.phone {
            self.by_phone.insert(phone.clone(), customer.id);
        }
        self.by_user_id
            .insert(customer.user_id.clone(), customer.id);
    }

    fn touch(&mut self, document: Document) {
        self.dirty.insert(document);
    }

    fn set_timer(&mut self, at: Timestamp, due: Due) {
        self.timer_count += 1;
        self.timers.insert((at, self.timer_count), due);
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Does everything whose time has come, in order of time.
    pub(crate) fn tick(&mut self) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            match entry.remove() {
                Due::Message(id) => self.next_step(&id),
                Due::Review(id) => self.end_review(&id),
                Due::Delivery(sequence) => self.delivering.ready(sequence),
            }
        }
    }

    /// What changed since the last call, to be written in one transaction.
    ///
    /// # Errors
    /// When something cannot be written as JSON.
    pub(crate) fn take_changes(&mut self) -> anyhow::Result<Changes> {
        for document in std::mem::take(&mut self.dirty) {
            let (kind, name, body) = self.document(&document)?;
            match body {
                Some(body) => self.changes.documents.push((kind, name, body)),
                None => self.changes.removed.push((kind, name)),
            }
        }
        Ok(std::mem::take(&mut self.changes))
    }

    fn document(
        &self,
        document: &Document,
    ) -> anyhow::Result<(&'static str, String, Option<String>)> {
        Ok(match document {
            Document::Account(id) => ("account", id.clone(), json(self.accounts.get(id))?),
            Document::Number(id) => ("number", id.clone(), json(self.numbers.get(id))?),
            Document::Template(id) => ("template", id.clone(), json(self.templates.get(id))?),
            Document::Customer(id) => ("customer", id.to_string(), json(self.customers.get(id))?),
            Document::Thread(key) => ("thread", key.text(), json(self.threads.get(key))?),
            Document::Message(id) => ("message", id.clone(), json(self.messages.get(id))?),
            Document::Update(sequence) => (
                "update",
                sequence.to_string(),
                json(self.delivering.update(*sequence))?,
            ),
            Document::Settings => ("settings", String::new(), json(Some(&self.settings))?),
            Document::Counters => ("counters", String::new(), json(Some(&self.counters))?),
        })
    }

    /// Notes something on a phone.
    fn show(&mut self, thread: &ThreadKey, at: Timestamp, message: &str, what: PhoneWhat) {
        self.last_phone += 1;
        self.changes.phone.push(PhoneEntry {
            sequence: self.last_phone,
            thread: thread.clone(),
            at,
            message: message.to_owned(),
            what,
        });
    }

    /// Follows a phone from now on; returns the last event before.
    pub(crate) fn watch(&mut self, thread: ThreadKey, events: mpsc::Sender<PhoneEntry>) -> u64 {
        let watcher = Watcher {
            after: self.last_phone,
            events,
        };
        self.watchers.entry(thread).or_default().push(watcher);
        self.last_phone
    }

    /// Tells the followers of a phone. Who cannot keep up is dropped and sees the stream end.
    pub(crate) fn tell_watchers(&mut self, entries: &[PhoneEntry]) {
        for entry in entries {
            if let Some(watchers) = self.watchers.get_mut(&entry.thread) {
                watchers.retain(|watcher| {
                    entry.sequence <= watcher.after
                        || watcher.events.try_send(entry.clone()).is_ok()
                });
                if watchers.is_empty() {
                    self.watchers.remove(&entry.thread);
                }
            }
        }
    }

    fn new_message_id(&mut self, customer: u64, direction: Direction) -> String {
        self.counters.messages += 1;
        self.touch(Document::Counters);
        let known = self.customers.get(&customer);
        // The id must not give away a number the customer hides.
        let name = known.map_or("", |customer| match &customer.phone {
            Some(phone) if !customer.hidden => phone.as_str(),
            _ => customer.user_id.as_str(),
        });
        identity::message_id(name, direction, self.counters.messages)
    }

    /// The calendar of an account; UTC when it has none that is known.
    fn zone(&mut self, account: &str) -> TimeZone {
        let Some(name) = self
            .accounts
            .get(account)
            .map(|account| account.time_zone.clone())
        else {
            return TimeZone::UTC;
        };
        self.zones
            .entry(name)
            .or_insert_with_key(|name| TimeZone::get(name).unwrap_or(TimeZone::UTC))
            .clone()
    }

    /// A draw of chance that is the same in every run: true `per_thousand` times in 1,000.
    fn draw(&mut self, per_thousand: u32) -> bool {
        if per_thousand == 0 || per_thousand >= 1_000 {
            return per_thousand != 0;
        }
        self.settings.draws += 1;
        self.touch(Document::Settings);
        chance(self.settings.draws) % 1_000 < u64::from(per_thousand)
    }
}

/// SplitMix64: a well-mixed number for each count.
pub(crate) fn chance(count: u64) -> u64 {
    let mut mixed = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn default_settings(config: &Config) -> Settings {
    Settings {
        rules: Vec::new(),
        pace: Pace {
            sent: config.sent_after,
            delivered: config.delivered_after,
            read: None,
        },
        mode: Mode {
            batch: 1,
            duplicate_per_thousand: 0,
            shuffle: false,
            first_backoff: config.first_backoff,
        },
        draws: 0,
    }
}

fn keep<T: DeserializeOwned>(
    into: &mut BTreeMap<String, T>,
    body: &str,
    key: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    let value: T = serde_json::from_str(body)?;
    into.insert(key(&value), value);
    Ok(())
}

fn json<T: Serialize>(value: Option<&T>) -> anyhow::Result<Option<String>> {
    Ok(value.map(serde_json::to_string).transpose()?)
}

/// Updates by account, oldest first.
type Pending = BTreeMap<String, VecDeque<Update>>;
