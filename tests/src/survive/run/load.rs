//! The load: customers who write, templates an administrator sends, and the wait for all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lib_proto::common::{ContactIdentity, Content, TemplateSend, TemplateText, content};
use lib_proto::conversations::SendMessageRequest;
use lib_proto::conversations::conversation_service_client::ConversationServiceClient;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::{JoinHandle, JoinSet};

use super::settle::STUCK;
use super::{PATH, Run};
use crate::survive::agents;
use crate::survive::meta::{Line, Meta};
use crate::webhook::sign;

/// Somebody who writes.
struct Customer {
    meta: Meta,
    random: StdRng,
    /// Longest time before a text, in milliseconds.
    pause: u64,
    line: Line,
    /// Digits.
    phone: String,
}

impl Customer {
    async fn write(mut self, texts: Vec<String>) {
        // What comes again later belongs to the customer: nothing settles before it has come.
        let mut later = JoinSet::new();
        for (number, text) in texts.iter().enumerate() {
            // People type at their own speed; it spreads the load over the faults.
            let pause = self.random.random_range(0..self.pause.max(1));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let wamid = format!("wamid.IN{}.{number}", self.phone);
            let body = self.meta.text_body(&self.line, &self.phone, &wamid, text);
            self.meta.deliver(&body).await;
            // 15 % come again: at once, or later while the conversation goes on.
            let dice = self.random.random_range(0..100);
            if dice < 8 {
                self.meta.deliver(&body).await;
            } else if dice < 15 {
                let (meta, wait) = (self.meta.clone(), self.random.random_range(200..2_000));
                later.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    meta.deliver(&body).await;
                });
            }
        }
        while later.join_next().await.is_some() {}
    }
}

impl Run {
    /// Customers who write at the same time, spread over `within`: each `texts`, one after another.
    pub fn customers(&mut self, count: u64, texts: &[&str], within: Duration) {
        for _ in 0..count {
            let (line, phone) = self.new_customer();
            self.known.push((line.clone(), phone.clone()));
            let customer = Customer {
                meta: self.meta.clone(),
                random: StdRng::seed_from_u64(self.random.random()),
                pause: within.as_millis() as u64 / texts.len() as u64,
                line,
                phone,
            };
            let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            self.customers.push(tokio::spawn(customer.write(texts)));
        }
    }

    /// Customers whose one text is posted once and never again: a clear refusal must stay without
    /// any effect (I30).
    pub fn once(&mut self, count: u64, within: Duration) {
        for door in 0..count {
            let (line, customer) = self.new_customer();
            let meta = self.meta.clone();
            let pause = self.random.random_range(0..within.as_millis() as u64 + 1);
            self.customers.push(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let wamid = format!("wamid.IN{customer}.0");
                let body = meta.text_body(&line, &customer, &wamid, PATH[0]);
                let signature = sign(body.text.as_bytes());
                meta.post(&body, &signature, door as usize).await;
            }));
        }
    }

    /// A customer nobody has heard of, and the number it writes to.
    pub fn new_customer(&mut self) -> (Line, String) {
        let index = self.met;
        self.met += 1;
        let line = self.lines[index as usize % self.lines.len()].clone();
        // Digits that no other customer of the run has.
        let customer = format!(
            "1650{:07}",
            self.random.random_range(0..1_000) * 10_000 + index % 10_000
        );
        (line, customer)
    }

    /// Something else that must have ended before the run settles.
    pub fn also(&mut self, task: JoinHandle<()>) {
        self.customers.push(task);
    }

    /// An administrator sends the reminder template to new customers.
    pub fn templates(&mut self, count: u64, within: Duration) {
        let new: Vec<_> = (0..count).map(|_| self.new_customer()).collect();
        self.remind(new, "template", within);
    }

    /// An administrator sends the reminder template to at most `count` customers who have written.
    pub fn reminders(&mut self, count: u64, within: Duration) {
        let known = self.known.iter().take(count as usize).cloned().collect();
        self.remind(known, "reminder", within);
    }

    fn remind(&mut self, whom: Vec<(Line, String)>, key: &'static str, within: Duration) {
        for (line, customer) in whom {
            let channel = self.channel("conversations", "admin");
            let (history, open) = (self.history.clone(), Arc::clone(&self.open));
            let pause = self.random.random_range(0..within.as_millis() as u64 + 1);
            self.customers.push(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let mut client = ConversationServiceClient::new(channel);
                let template = TemplateSend {
                    name: "reminder".to_owned(),
                    language: "en_US".to_owned(),
                    body: vec![TemplateText {
                        name: String::new(),
                        text: "Maria".to_owned(),
                    }],
                    ..Default::default()
                };
                let request = SendMessageRequest {
                    number_id: line.number,
                    contact: Some(ContactIdentity {
                        phone: customer.clone(),
                        ..Default::default()
                    }),
                    content: Some(Content {
                        content: Some(content::Content::Template(template)),
                    }),
                    idempotency_key: format!("{key}-{customer}"),
                    ..Default::default()
                };
                agents::send(&mut client, request, "admin", &history, &open).await;
            }));
        }
    }

    /// Whether somebody still writes.
    pub fn is_busy(&self) -> bool {
        self.customers.iter().any(|task| !task.is_finished())
    }

    /// Waits until nobody has asked Graph for `for_`, half a minute at most. Whether it came to that.
    pub async fn graph_is_idle(&self, for_: Duration) -> bool {
        let began = Instant::now();
        let (mut quiet, mut last) = (began, self.graph.requests());
        while quiet.elapsed() < for_ {
            let now = self.graph.requests();
            if now != last || self.graph.in_flight() > 0 {
                (quiet, last) = (Instant::now(), now);
            }
            if began.elapsed() > Duration::from_secs(30) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// Waits until all customers have written all they have to say, and starts again meanwhile what
    /// ends by itself. Who still cannot deliver when nothing has been taken for long is given up:
    /// that is a broken promise and not a wait without end.
    ///
    /// # Panics
    /// When a customer's task failed.
    pub async fn wait_for_customers(&mut self) {
        let began = Instant::now();
        let (mut changed, mut last) = (began, self.history.taken());
        while self.is_busy() {
            self.supervise();
            let now = self.history.taken();
            if now != last {
                (changed, last) = (Instant::now(), now);
            }
            if changed.elapsed() > STUCK || began.elapsed() > self.patience {
                self.give_up_customers(began.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for task in self.customers.drain(..) {
            match task.await {
                Err(error) if error.is_cancelled() => {}
                outcome => outcome.expect("a customer's task ends"),
            }
        }
    }

    fn give_up_customers(&mut self, after: Duration) {
        let stuck = self.customers.iter().filter(|task| !task.is_finished());
        let stuck = stuck.inspect(|task| task.abort()).count();
        self.broken(
            "I2",
            format!("{stuck} customers still could not deliver after {after:.0?}"),
        );
    }
}
