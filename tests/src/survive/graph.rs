//! The scripted Graph API. It speaks HTTP over bare sockets, so that it can break an answer in any
//! way the real one may be broken on its way, and writes down what it accepted: that is the truth
//! about what customers got.

mod script;
mod wire;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

pub use self::script::{Answer, Script};
use self::wire::{drip, error, read_request, say, templates};
use super::history::{Item, Op, Outcome};
use super::meta::{Line, Meta, StatusWords};

/// The Graph API. Cheap to clone.
#[derive(Clone)]
pub struct Graph(Arc<Inner>);

struct Inner {
    script: Mutex<Script>,
    random: Mutex<StdRng>,
    /// Whom statuses are told through, and where everything is written down, for a number that has
    /// nobody of its own.
    meta: Meta,
    lines: Mutex<BTreeMap<String, (Line, Meta)>>,
    accepted: AtomicU64,
    open: AtomicUsize,
    telling: AtomicUsize,
    requests: AtomicU64,
    /// Called while the sender waits for its answer: the nemesis strikes there.
    trap: Mutex<Option<Trap>>,
    trapped: AtomicBool,
}

type Trap = Box<dyn FnOnce() + Send>;

/// What a request to send holds.
struct Wanted {
    intent: String,
    number: String,
    to: String,
    template: bool,
}

impl Graph {
    /// Listens on `address`.
    ///
    /// # Panics
    /// When the address is taken.
    pub async fn start(address: &str, seed: u64, meta: Meta) -> Self {
        let listener = TcpListener::bind(address)
            .await
            .expect("the address is free");
        let graph = Self(Arc::new(Inner {
            script: Mutex::default(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            meta,
            lines: Mutex::default(),
            accepted: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            telling: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            trap: Mutex::default(),
            trapped: AtomicBool::new(false),
        }));
        let serving = graph.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let graph = serving.clone();
                tokio::spawn(Box::pin(async move { graph.serve(socket).await }));
            }
        });
        graph
    }

    /// Knows a number.
    pub fn add_line(&self, line: &Line) {
        self.add_line_of(line, self.0.meta.clone());
    }

    /// Knows a number whose statuses are told, and whose messages are written down, elsewhere.
    pub fn add_line_of(&self, line: &Line, meta: Meta) {
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.insert(line.number.clone(), (line.clone(), meta));
    }

    /// Where what concerns a number is written down.
    fn record(&self, number: &str, outcome: Outcome, op: Op) {
        let line = self.line(number);
        let meta = line.map_or_else(|| self.0.meta.clone(), |(_, meta)| meta);
        meta.history().record("graph", outcome, op);
    }

    /// From now on acts so.
    pub fn play(&self, script: Script) {
        *self.0.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Statuses on their way.
    pub fn telling(&self) -> usize {
        self.0.telling.load(Ordering::Relaxed)
    }

    /// Requests to send so far.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// Strikes once, while a sender waits for the answer to an accepted message.
    pub fn set_trap(&self, trap: impl FnOnce() + Send + 'static) {
        self.0.trapped.store(false, Ordering::SeqCst);
        *self.0.trap.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(trap));
    }

    /// Takes away a trap that has not struck.
    pub fn clear_trap(&self) {
        *self.0.trap.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the trap has struck.
    pub fn trap_struck(&self) -> bool {
        self.0.trapped.load(Ordering::SeqCst)
    }

    fn script(&self) -> Script {
        self.0
            .script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn roll(&self, percent: u32) -> bool {
        self.below(100) < u64::from(percent)
    }

    fn below(&self, most: u64) -> u64 {
        let mut random = self.0.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.random_range(0..most.max(1))
    }

    async fn serve(&self, mut socket: TcpStream) {
        let _ = socket.set_nodelay(true);
        let mut kept = Vec::new();
        while let Ok(Some((path, body))) = read_request(&mut socket, &mut kept).await {
            let on = if path.contains("/message_templates") {
                say(&mut socket, 200, templates().to_string().as_bytes())
                    .await
                    .is_ok()
            } else {
                self.0.open.fetch_add(1, Ordering::Relaxed);
                let on = self.send(&mut socket, &path, &body).await;
                self.0.open.fetch_sub(1, Ordering::Relaxed);
                on
            };
            if !on {
                return;
            }
        }
    }

    fn choose(&self) -> Answer {
        let script = self.script();
        let mut left = self.below(100);
        for (answer, weight) in script.answers {
            if left < u64::from(weight) {
                return answer;
            }
            left -= u64::from(weight);
        }
        Answer::Ok
    }

    /// Answers one request to send; whether the connection goes on.
    async fn send(&self, socket: &mut TcpStream, path: &str, body: &[u8]) -> bool {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        let wanted = wanted(path, body);
        let answer = self.choose();
        if let Answer::Error(status, code) = answer {
            let op = Op::Refused {
                intent: wanted.intent,
                number: wanted.number.clone(),
                code,
            };
            self.record(&wanted.number, Outcome::Fail, op);
            return say(socket, status, error(code).to_string().as_bytes())
                .await
                .is_ok();
        }
        let wamid = self.accept(&wanted, answer);
        let trap = self
            .0
            .trap
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(trap) = trap {
            let _ = tokio::task::spawn_blocking(trap).await;
            self.0.trapped.store(true, Ordering::SeqCst);
        }
        let early = self.roll(self.script().early);
        if early {
            self.tell(&wanted, &wamid).await;
        } else {
            let (graph, wamid) = (self.clone(), wamid.clone());
            let wanted = Wanted {
                intent: wanted.intent.clone(),
                number: wanted.number.clone(),
                to: wanted.to.clone(),
                template: wanted.template,
            };
            self.0.telling.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                graph.tell(&wanted, &wamid).await;
                graph.0.telling.fetch_sub(1, Ordering::Relaxed);
            });
        }
        self.reply(socket, answer, &wanted.to, &wamid).await
    }

    fn accept(&self, wanted: &Wanted, answer: Answer) -> String {
        let count = self.0.accepted.fetch_add(1, Ordering::Relaxed);
        let wamid = format!("wamid.OUT{count:06}");
        let op = Op::Accepted {
            intent: wanted.intent.clone(),
            number: wanted.number.clone(),
            to: wanted.to.clone(),
            wamid: wamid.clone(),
            template: wanted.template,
            answer: format!("{answer:?}"),
            category: category(wanted.template).to_owned(),
        };
        self.record(&wanted.number, Outcome::Ok, op);
        wamid
    }

    async fn reply(&self, socket: &mut TcpStream, answer: Answer, to: &str, wamid: &str) -> bool {
        let good = |id: &str| {
            json!({"messaging_product": "whatsapp", "contacts": [{"input": to, "wa_id": to}],
                   "messages": [{"id": id}]})
            .to_string()
        };
        let said = match answer {
            Answer::Ok | Answer::Error(..) => say(socket, 200, good(wamid).as_bytes()).await,
            Answer::Late(millis) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                say(socket, 200, good(wamid).as_bytes()).await
            }
            Answer::Reset => {
                let _ = socket.set_zero_linger();
                return false;
            }
            Answer::Silent => {
                // Until the other side has had enough.
                let _ = socket.read(&mut [0; 16]).await;
                return false;
            }
            Answer::Broken500 => say(socket, 500, error(999_999).to_string().as_bytes()).await,
            Answer::Empty500 => say(socket, 500, b"").await,
            Answer::Malformed => say(socket, 200, &good(wamid).as_bytes()[..40]).await,
            Answer::NoMessage => say(socket, 200, b"{\"messaging_product\":\"whatsapp\"}").await,
            Answer::WrongId => say(socket, 200, good(&format!("{wamid}.WRONG")).as_bytes()).await,
            Answer::Html => say(socket, 502, b"<html><body>Bad gateway</body></html>").await,
            Answer::Huge => {
                let mut text = " ".repeat(10 << 20);
                text.push_str(&good(wamid));
                say(socket, 200, text.as_bytes()).await
            }
            Answer::Drip => drip(socket, &good(wamid)).await,
        };
        said.is_ok()
    }

    fn line(&self, number: &str) -> Option<(Line, Meta)> {
        let lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get(number).cloned()
    }

    /// Tells a message's statuses, as Meta does: not always all, not always in order, not once.
    async fn tell(&self, wanted: &Wanted, wamid: &str) {
        let script = self.script();
        if self.roll(script.never) {
            return;
        }
        let Some((line, meta)) = self.line(&wanted.number) else {
            return;
        };
        let mut order = vec!["sent", "delivered"];
        if self.roll(script.skipping) {
            order = vec!["sent", "read"];
        } else if self.roll(script.swapped) {
            order.swap(0, 1);
        } else if self.roll(30) {
            order.push("read");
        }
        for status in order {
            let wait = self.below(script.latest.max(2) / 2);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let words = StatusWords {
                wamid: wamid.to_owned(),
                intent: (!self.roll(script.nameless)).then(|| wanted.intent.clone()),
                status,
                category: category(wanted.template).to_owned(),
            };
            let item = Item::Status {
                wamid: wamid.to_owned(),
                status: status.to_owned(),
                intent: wanted.intent.clone(),
            };
            let change = meta.status(&line, &wanted.to, &words);
            let body = meta.body(vec![(line.waba.clone(), change)], vec![item]);
            self.0.telling.fetch_add(1, Ordering::Relaxed);
            if script.early == 100 {
                meta.deliver(&body).await;
                self.0.telling.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let again = self.roll(script.doubled);
            let (graph, meta) = (self.clone(), meta.clone());
            let told = tokio::spawn(async move {
                meta.deliver(&body).await;
                if again {
                    meta.deliver(&body).await;
                }
                graph.0.telling.fetch_sub(1, Ordering::Relaxed);
            });
            // While the installation is away, Meta's deliveries pile up behind one another.
            let _ = tokio::time::timeout(Duration::from_millis(500), told).await;
        }
    }
}

fn category(template: bool) -> &'static str {
    if template { "utility" } else { "service" }
}

fn wanted(path: &str, body: &[u8]) -> Wanted {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Wanted {
        intent: text("biz_opaque_callback_data"),
        number: path.rsplit('/').nth(1).unwrap_or_default().to_owned(),
        to: text("to").trim_start_matches('+').to_owned(),
        template: text("type") == "template",
    }
}
