//! Brings what was committed to the followers, in the order of the log: this replica's own commits
//! from memory, those of others from the database as soon as they are announced. Positions have no
//! gaps, so one that is missing was committed elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use core_types::ConversationId;
use lib_platform::{Clock, Lifecycle};
use lib_storage::{Database, Engine, StorageError};
use tokio::sync::mpsc;

use crate::outbox::Outbox;
use crate::publish::{Committed, News, Publisher};
use crate::store::commit::CHANNEL;
use crate::store::log::{self, Filter};
use crate::store::outbox;

/// Entries read at a time.
const PAGE: usize = 500;
/// News taken together.
const TOGETHER: usize = 1_024;
/// How often to look whether an announcement was missed: a connection may die without a word.
const LOOK: Duration = Duration::from_secs(5);
/// How long to wait before the database is asked again after a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// Conversations named in one announcement, which must stay under 8,000 bytes.
const NAMED: usize = 60;

/// Follows the end of the log.
pub(crate) struct Tail {
    database: Database,
    clock: Clock,
    publisher: Arc<Publisher>,
    outbox: Arc<Outbox>,
    news: mpsc::UnboundedReceiver<News>,
    /// The last position published.
    position: i64,
    /// The last position whose messages were announced.
    announced: i64,
    /// Whether the database did not answer when something was to be done.
    behind: bool,
    rest: Rest,
}

/// What follows from news besides a commit. It is kept until it is done.
#[derive(Default)]
struct Rest {
    /// Whether the database may hold more than was published.
    look: bool,
    /// Parts whose messages are announced again.
    parts: BTreeSet<u16>,
    /// Conversations whose messages are announced again.
    again: BTreeSet<ConversationId>,
    /// What the other replicas are told.
    tell: Vec<String>,
}

impl Tail {
    pub(crate) fn new(
        database: Database,
        clock: Clock,
        publisher: &Arc<Publisher>,
        outbox: &Arc<Outbox>,
        news: mpsc::UnboundedReceiver<News>,
    ) -> Self {
        let position = publisher.head();
        Self {
            database,
            clock,
            publisher: Arc::clone(publisher),
            outbox: Arc::clone(outbox),
            news,
            position,
            announced: position,
            behind: false,
            rest: Rest::default(),
        }
    }

    /// Works until the service stops.
    pub(crate) async fn run(mut self, life: Lifecycle) -> anyhow::Result<()> {
        let shared = self.database.engine() == Engine::Postgres;
        if shared {
            let (database, publisher) = (self.database.clone(), Arc::clone(&self.publisher));
            let stopped = life.stopped();
            life.spawn("listening", async move {
                let heard = |told: Option<&str>| {
                    publisher.tell(News::Heard(told.map(str::to_owned)));
                };
                tokio::select! {
                    () = database.heed(CHANNEL, heard) => {}
                    () = stopped => {}
                }
            });
        }
        let stopped = life.stopped();
        tokio::pin!(stopped);
        loop {
            let pause = async {
                match (self.behind, shared) {
                    (true, _) => tokio::time::sleep(AGAIN).await,
                    (false, true) => tokio::time::sleep(LOOK).await,
                    (false, false) => std::future::pending().await,
                }
            };
            let mut news = Vec::new();
            tokio::select! {
                _ = self.news.recv_many(&mut news, TOGETHER) => {}
                () = pause => news.push(News::Missed),
                () = &mut stopped => return Ok(()),
            }
            match self.take(news).await {
                Ok(()) => self.behind = false,
                Err(error) => {
                    tracing::warn!(%error, "the end of the log cannot be read now");
                    self.behind = true;
                }
            }
        }
    }

    async fn take(&mut self, news: Vec<News>) -> Result<(), StorageError> {
        let mut gained = Vec::new();
        for news in news {
            match news {
                News::Committed(commit) => {
                    if let Err(error) = self.own(commit).await {
                        tracing::warn!(%error, "a commit is told of later");
                        self.rest.look = true;
                    }
                }
                News::Missed | News::Heard(None) => self.rest.look = true,
                News::Heard(Some(told)) => self.heard(&told),
                News::Gained { part, followed } => {
                    self.rest.parts.extend(followed.then_some(part));
                    gained.push(part.to_string());
                }
                News::Again(ids) => {
                    for ids in ids.chunks(NAMED) {
                        let names: Vec<&str> = ids.iter().map(ConversationId::as_str).collect();
                        self.rest.tell.push(format!("again {}", names.join(" ")));
                    }
                    self.rest.again.extend(ids);
                }
            }
        }
        if !gained.is_empty() {
            self.rest.tell.push(format!("parts {}", gained.join(" ")));
        }
        if self.rest.look {
            let head = log::head(&self.database).await?;
            self.catch_up(head).await?;
            self.rest.look = false;
        }
        self.tell_others().await?;
        self.announce_again().await
    }

    /// What another replica said: `<who> <position>`, `<who> parts <n>…` or `<who> again <id>…`.
    fn heard(&mut self, told: &str) {
        let mut words = told.split(' ');
        if words.next() == Some(&self.publisher.teller) {
            return;
        }
        match words.next() {
            Some("parts") => {
                let parts = words.filter_map(|part| part.parse::<u16>().ok());
                self.rest.parts.extend(parts);
            }
            Some("again") => {
                let ids = words.filter_map(|id| ConversationId::new(id).ok());
                self.rest.again.extend(ids);
            }
            Some(head) => {
                let head = head.parse::<i64>().unwrap_or(i64::MAX);
                self.rest.look |= head > self.position;
            }
            None => {}
        }
    }

    /// Publishes a commit of this replica, after those of others that came before it.
    async fn own(&mut self, commit: Committed) -> Result<(), StorageError> {
        let first = commit.head - commit.entries.len() as i64 + 1;
        if commit.head <= self.position {
            return Ok(());
        }
        self.catch_up(first - 1).await?;
        self.publisher
            .publish((first..).zip(&commit.entries), commit.head);
        self.position = commit.head;
        self.announced = commit.head;
        self.outbox.take(commit.ready, self.clock.now());
        Ok(())
    }

    /// Publishes what the database holds up to `head`.
    async fn catch_up(&mut self, head: i64) -> Result<(), StorageError> {
        while self.position < head && self.publisher.is_followed() {
            let mut page =
                log::after(&self.database, self.position, &Filter::default(), PAGE).await?;
            page.retain(|(position, _)| *position <= head);
            let Some((last, _)) = page.last() else { break };
            let last = *last;
            let entries = page.iter().map(|(position, entry)| (*position, entry));
            self.publisher.publish(entries, last);
            self.position = last;
        }
        if self.position < head {
            self.publisher.publish(std::iter::empty(), head);
            self.position = head;
        }
        if self.announced < head {
            if self.outbox.is_followed() {
                let ready = outbox::changed(&self.database, self.announced, head).await?;
                self.outbox.take(ready, self.clock.now());
            }
            self.announced = head;
        }
        Ok(())
    }

    /// Tells the other replicas of what has to be announced again.
    async fn tell_others(&mut self) -> Result<(), StorageError> {
        if !self.rest.tell.is_empty() && self.database.engine() == Engine::Postgres {
            let mut tx = self.database.begin_concurrent().await?;
            for what in &self.rest.tell {
                let told = format!("{} {what}", self.publisher.teller);
                tx.notify(CHANNEL, &told).await?;
            }
            tx.commit().await?;
        }
        self.rest.tell.clear();
        Ok(())
    }

    /// Announces what waits in parts that have moved, and what could not be decided.
    async fn announce_again(&mut self) -> Result<(), StorageError> {
        let Rest { parts, again, .. } = &mut self.rest;
        if !self.outbox.is_followed() {
            parts.clear();
            again.clear();
            return Ok(());
        }
        if !parts.is_empty() {
            let wanted: Vec<u16> = parts.iter().copied().collect();
            let ready = outbox::of_parts(&self.database, &wanted).await?;
            self.outbox.take(ready, self.clock.now());
            parts.clear();
        }
        if !again.is_empty() {
            let wanted: Vec<ConversationId> = again.iter().cloned().collect();
            let ready = outbox::of(&self.database, &wanted).await?;
            self.outbox.take(ready, self.clock.now());
            again.clear();
        }
        Ok(())
    }
}
