//! Stands in for a Kubernetes Service: one address for all replicas of a service. It works on
//! connections, as kube-proxy does: each goes to the next replica that says it is ready, and stays.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::PATIENCE;
use super::node::Node;

/// Between two probes of a replica.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How long a replica may take to answer a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a replica may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A replica as the balancer sees it.
#[derive(Debug)]
struct Replica {
    grpc: String,
    http: Option<String>,
    admin: String,
    ready: AtomicBool,
}

/// The addresses of one service.
#[derive(Debug)]
pub(super) struct Balancer {
    replicas: Arc<[Replica]>,
    grpc: SocketAddr,
    http: Option<SocketAddr>,
}

impl Balancer {
    /// Starts it before these replicas of one role. It ends with the runtime.
    pub(super) fn start(runtime: &Handle, nodes: &[&Node]) -> Self {
        let replicas: Arc<[Replica]> = nodes
            .iter()
            .map(|node| {
                let (grpc, http, admin) = node.places();
                Replica {
                    grpc,
                    http,
                    admin,
                    ready: AtomicBool::new(false),
                }
            })
            .collect();
        for index in 0..replicas.len() {
            runtime.spawn(probe(Arc::clone(&replicas), index));
        }
        let has_http = replicas.iter().any(|replica| replica.http.is_some());
        let serve = |pick: Pick| listen(runtime, Arc::clone(&replicas), pick);
        Self {
            grpc: serve(|replica| Some(&replica.grpc)),
            http: has_http.then(|| serve(|replica| replica.http.as_ref())),
            replicas: Arc::clone(&replicas),
        }
    }

    /// Waits until a replica that is ready gets connections.
    pub(super) fn wait_for(&self, replica: usize) {
        let since = Instant::now();
        while !self.replicas[replica].ready.load(Ordering::Relaxed) {
            assert!(
                since.elapsed() < PATIENCE,
                "a replica that was ready is not"
            );
            std::thread::park_timeout(PROBE_TIMEOUT / 100);
        }
    }

    pub(super) fn grpc(&self) -> String {
        format!("http://{}", self.grpc)
    }

    pub(super) fn http(&self) -> Option<String> {
        self.http.map(|http| format!("http://{http}"))
    }
}

/// Which port of a replica.
type Pick = fn(&Replica) -> Option<&String>;

fn listen(runtime: &Handle, replicas: Arc<[Replica]>, pick: Pick) -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("some port is free");
    listener.set_nonblocking(true).expect("a listener can wait");
    let address = listener.local_addr().expect("it is bound");
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).expect("the runtime has I/O");
        let next = AtomicUsize::new(0);
        loop {
            // Out of file handles, perhaps: those who wait are served when some are free again.
            let Ok((client, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let turn = next.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(forward(client, Arc::clone(&replicas), pick, turn));
        }
    });
    address
}

/// Connects a client with a replica until one of them goes. Without a replica the client is turned
/// away, as by a Service without endpoints.
async fn forward(mut client: TcpStream, replicas: Arc<[Replica]>, pick: Pick, turn: usize) {
    let in_turn = (0..replicas.len()).map(|step| &replicas[(turn + step) % replicas.len()]);
    let ready = in_turn.filter(|replica| replica.ready.load(Ordering::Relaxed));
    for address in ready.filter_map(pick) {
        if let Ok(Ok(mut server)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            // An end without a goodbye on either side is the end for both.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}

/// Asks a replica again and again whether it is ready.
async fn probe(replicas: Arc<[Replica]>, index: usize) {
    let replica = &replicas[index];
    let mut ticks = interval(PROBE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let ready = timeout(PROBE_TIMEOUT, is_ready(&replica.admin)).await;
        replica
            .ready
            .store(ready.unwrap_or(false), Ordering::Relaxed);
    }
}

async fn is_ready(admin: &str) -> bool {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    let Ok(mut stream) = TcpStream::connect(admin).await else {
        return false;
    };
    let mut answer = String::new();
    let asked = stream.write_all(request.as_bytes()).await;
    asked.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200")
}
