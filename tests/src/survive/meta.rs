//! Meta's sending side: bodies as Meta writes and signs them, delivered again until 200. Written
//! from Meta's documentation and not with the product's code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::history::{History, Item, Op, Outcome};
use crate::webhook::sign;

/// A refusal that comes later than this is none: nobody knows what became of the body.
const CLEAR_WITHIN: Duration = Duration::from_secs(1);

/// A number and the account it belongs to.
#[derive(Clone, Debug)]
pub struct Line {
    /// Meta's phone_number_id.
    pub number: String,
    /// Meta's id of the account.
    pub waba: String,
}

/// Delivers webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Meta(Arc<Inner>);

struct Inner {
    client: reqwest::Client,
    /// Where to; a delivery that fails goes to the next.
    doors: Vec<String>,
    history: History,
    posts: AtomicU64,
    open: AtomicUsize,
    waiting_for_recovery: Mutex<Option<Instant>>,
}

/// A body ready to be delivered, any number of times.
#[derive(Clone, Debug)]
pub struct Body {
    /// Which.
    pub id: u64,
    /// The bytes.
    pub text: String,
    /// What stands in it.
    pub items: Vec<Item>,
}

impl Meta {
    /// Delivers to `doors`.
    ///
    /// # Panics
    /// When no HTTP client can be made.
    pub fn new(doors: Vec<String>, history: History) -> Self {
        lib_platform::outbound::install_tls();
        // Few idle connections, so that ours are not taken for descriptors that leak.
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .tcp_nodelay(true)
            .pool_max_idle_per_host(8)
            .build();
        Self(Arc::new(Inner {
            client: client.expect("a client can be made"),
            doors,
            history,
            posts: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            waiting_for_recovery: Mutex::default(),
        }))
    }

    /// The same doors, for somebody with a history of their own.
    pub fn of_another(&self, history: History) -> Self {
        Self(Arc::new(Inner {
            client: self.0.client.clone(),
            doors: self.0.doors.clone(),
            history,
            posts: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            waiting_for_recovery: Mutex::default(),
        }))
    }

    /// Where its deliveries are written down.
    pub fn history(&self) -> &History {
        &self.0.history
    }

    /// Deliveries under way.
    pub fn in_flight(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// A fault begins: the next 200 tells how long it took.
    pub fn fault_began(&self) {
        let mut waiting = self.waiting();
        waiting.get_or_insert_with(Instant::now);
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        let waiting = &self.0.waiting_for_recovery;
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A customer's text.
    pub fn text(&self, line: &Line, customer: &str, wamid: &str, text: &str) -> Value {
        let message = json!({"from": customer, "id": wamid, "timestamp": seconds(),
                             "type": "text", "text": {"body": text}});
        change(
            line,
            "messages",
            vec![message],
            json!([{"profile": {"name": format!("C{customer}")}, "wa_id": customer}]),
        )
    }

    /// A status of a message of ours.
    pub fn status(&self, line: &Line, to: &str, status: &StatusWords) -> Value {
        let mut update = json!({
            "id": status.wamid, "status": status.status, "timestamp": seconds(),
            "recipient_id": to,
        });
        if let Some(intent) = &status.intent {
            update["biz_opaque_callback_data"] = json!(intent);
        }
        // Meta tells prices with `sent` and with one of `delivered` and `read`.
        if status.status == "failed" {
            update["errors"] = json!([{"code": 131_026, "title": "Message undeliverable"}]);
        } else {
            let free = status.category == "service";
            update["pricing"] = json!({"billable": !free, "pricing_model": "PMP",
                "category": status.category,
                "type": if free { "free_customer_service" } else { "regular" }});
        }
        change(line, "statuses", vec![update], json!([]))
    }

    /// A body with these changes, in order.
    pub fn body(&self, changes: Vec<(String, Value)>, items: Vec<Item>) -> Body {
        let entries: Vec<Value> = changes
            .into_iter()
            .map(|(waba, change)| json!({"id": waba, "changes": [change]}))
            .collect();
        let text = json!({"object": "whatsapp_business_account", "entry": entries}).to_string();
        Body {
            id: self.0.posts.fetch_add(1, Ordering::Relaxed),
            text,
            items,
        }
    }

    /// One customer's text as a body of its own.
    pub fn text_body(&self, line: &Line, customer: &str, wamid: &str, text: &str) -> Body {
        let item = Item::Message {
            wamid: wamid.to_owned(),
            customer: customer.to_owned(),
            number: line.number.clone(),
        };
        let change = self.text(line, customer, wamid, text);
        self.body(vec![(line.waba.clone(), change)], vec![item])
    }

    /// Delivers once, signed as told; what became of it.
    pub async fn post(&self, body: &Body, signature: &str, door: usize) -> (Outcome, u16) {
        let doors = &self.0.doors;
        let url = format!("{}/webhooks/whatsapp", doors[door % doors.len()]);
        let request = self
            .0
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("x-hub-signature-256", signature)
            .body(body.text.clone());
        self.0.open.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let answer = request.send().await;
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        let (outcome, status) = match answer {
            Ok(answer) if answer.status() == 200 => (Outcome::Ok, 200),
            // A door that gave up waiting for its store refuses what may be kept all the same.
            Ok(answer) if answer.status().is_server_error() && began.elapsed() > CLEAR_WITHIN => {
                (Outcome::Info, answer.status().as_u16())
            }
            Ok(answer) => (Outcome::Fail, answer.status().as_u16()),
            Err(error) if error.is_connect() => (Outcome::Fail, 0),
            Err(_) => (Outcome::Info, 0),
        };
        let op = Op::Post {
            id: body.id,
            status,
            signed: signature == sign(body.text.as_bytes()),
            items: body.items.clone(),
        };
        self.0.history.record("meta", outcome, op);
        if outcome == Outcome::Ok
            && let Some(since) = self.waiting().take()
        {
            let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            let op = Op::Recovered { millis };
            self.0.history.record("meta", Outcome::Ok, op);
        }
        (outcome, status)
    }

    /// Delivers until it is answered 200, as Meta does; its back-off is sped up.
    pub async fn deliver(&self, body: &Body) {
        let signature = sign(body.text.as_bytes());
        let mut pause = Duration::from_millis(20);
        let mut door = usize::try_from(body.id).unwrap_or(0);
        while self.post(body, &signature, door).await.0 != Outcome::Ok {
            // This is the outside world's clock, not a wait for something of ours.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
            door += 1;
        }
    }
}

/// What a status says.
#[derive(Clone, Debug)]
pub struct StatusWords {
    /// Meta's id of our message.
    pub wamid: String,
    /// What we gave Meta to echo, if it does.
    pub intent: Option<String>,
    /// `sent`, `delivered`, `read`, `failed`.
    pub status: &'static str,
    /// The price category.
    pub category: String,
}

/// Meta's clock, as it writes it.
fn seconds() -> String {
    let now = lib_platform::Clock::system().now();
    now.as_seconds().to_string()
}

fn change(line: &Line, key: &str, updates: Vec<Value>, contacts: Value) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550100100", "phone_number_id": line.number},
        "contacts": contacts,
    });
    value[key] = Value::Array(updates);
    json!({"field": "messages", "value": value})
}
