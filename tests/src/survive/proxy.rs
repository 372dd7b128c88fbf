//! A TCP proxy that does to a connection what networks do: delay, jitter, resets, silence in one
//! direction, a cut after so many bytes. It changes no byte.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the network does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Milliseconds each piece takes.
    pub latency: u64,
    /// Added at random, up to this many milliseconds.
    pub jitter: u64,
    /// Chance in a thousand that a piece resets the connection instead of arriving.
    pub resets: u32,
    /// Nothing arrives at the server; the connection stays open.
    pub swallow_requests: bool,
    /// Nothing arrives at the client; the connection stays open.
    pub swallow_answers: bool,
    /// The connection ends after so many bytes towards the client; 0 means never.
    pub cut_after: u64,
}

/// The proxy. Cheap to clone.
#[derive(Clone)]
pub struct Proxy {
    /// Where it listens, `host:port`.
    pub address: String,
    target: String,
    weather: Arc<Mutex<Weather>>,
    hits: Arc<AtomicU64>,
    cut: watch::Sender<u64>,
    random: Arc<Mutex<StdRng>>,
    listening: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Proxy {
    /// Listens on a free port and passes on to `target`, `host:port`.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(target: String, seed: u64) -> Self {
        let address = crate::process::free_address();
        let listener = TcpListener::bind(&address).await.expect("a port is free");
        let proxy = Self {
            address,
            target,
            weather: Arc::default(),
            hits: Arc::default(),
            cut: watch::Sender::new(0),
            random: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
            listening: Arc::default(),
        };
        proxy.listen(listener);
        proxy
    }

    fn listen(&self, listener: TcpListener) {
        let serving = self.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = serving.clone();
                tokio::spawn(async move {
                    // A refused connection is passed on as one that ends at once.
                    if let Ok(server) = TcpStream::connect(&proxy.target).await {
                        proxy.join(client, server).await;
                    }
                });
            }
        });
        *self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Nobody listens any more, as behind a name that leads nowhere: connections are refused, and
    /// those there are end. Whether a connection is refused now.
    pub async fn close(&self) -> bool {
        let task = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            task.abort();
            // The socket is closed when the task is gone.
            let _ = task.await;
        }
        self.reset_all();
        TcpStream::connect(&self.address).await.is_err()
    }

    /// Listens again.
    ///
    /// # Panics
    /// When the port is taken meanwhile.
    pub async fn open(&self) {
        let listener = TcpListener::bind(&self.address).await;
        self.listen(listener.expect("its port is still free"));
    }

    /// From now on the network does this.
    pub fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    /// Resets every connection there is.
    pub fn reset_all(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// Pieces that were delayed, swallowed or answered with a reset: the fault did happen.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    async fn join(&self, client: TcpStream, server: TcpStream) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        // A connection that ends by a fault ends with a reset and not in good order.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
        let mut cut = self.cut.subscribe();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = self.pass(from_client, to_server, false) => {}
            () = self.pass(from_server, to_client, true) => {}
            _ = cut.changed() => {
                self.hits.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, answers: bool) {
        let mut piece = vec![0; 65_536];
        let mut passed = 0;
        loop {
            let Ok(read) = from.read(&mut piece).await else {
                return;
            };
            if read == 0 {
                return;
            }
            let weather = *self.weather.lock().unwrap_or_else(PoisonError::into_inner);
            passed += read as u64;
            let reset = self.below(1_000) < u64::from(weather.resets);
            let over = answers && weather.cut_after > 0 && passed > weather.cut_after;
            if reset || over {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let swallow = if answers {
                weather.swallow_answers
            } else {
                weather.swallow_requests
            };
            if swallow {
                self.hits.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let wait = weather.latency + self.below(weather.jitter + 1);
            if wait > 0 {
                self.hits.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            if to.write_all(&piece[..read]).await.is_err() {
                return;
            }
        }
    }

    fn below(&self, most: u64) -> u64 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.random_range(0..most.max(1))
    }
}
