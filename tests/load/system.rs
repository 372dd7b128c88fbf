//! What is measured: Frontdesk as one process, Frontdesk as one process per role on PostgreSQL and
//! Redis, or the peer chain. Each knows where its webhooks go, which processes it consists of, and
//! how to tell that nothing is missing after a run.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use lib_platform::AuthorizedChannel;
use lib_proto::accounts::account_service_client::AccountServiceClient;
use lib_proto::accounts::{BindFlowRequest, GetNumberRequest};
use lib_proto::billing::GetStatementRequest;
use lib_proto::billing::billing_service_client::BillingServiceClient;
use lib_proto::flow_runner::flow_service_client::FlowServiceClient;
use lib_proto::flow_runner::{CreateFlowRequest, PublishFlowRequest};
use lib_proto::ingress::GetInboxRequest;
use lib_proto::ingress::ingress_service_client::IngressServiceClient;
use tests::cluster::{Cluster, ClusterOptions, Stores};
use tests::process::{Addresses, Frontdesk};

use crate::measure::trees_cpu_micros;
use crate::peer::Peer;
use crate::stores::{postgres_options, redis_options};
use crate::turns::{FLOW, Target};

/// Longest wait until everything has had its effect.
const PATIENCE: Duration = Duration::from_secs(120);
/// The flow's id.
const FLOW_ID: &str = "bench-turns";
/// Meta's id of the demo account.
const WABA: &str = "200000000000001";
/// Messages a second the number may send: one Meta has upgraded.
const MESSAGES_PER_SECOND: &str = "1000";

/// How Frontdesk runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// One process, embedded storage.
    Embedded,
    /// One process per role, PostgreSQL and Redis.
    PostgresRedis,
}

/// CPU time by process or store, in microseconds.
pub(crate) type Cpu = BTreeMap<String, u64>;

/// What has been used since `before`.
pub(crate) fn since(before: &Cpu, after: &Cpu) -> Cpu {
    let used = after.iter().map(|(name, after)| {
        let before = before.get(name).copied().unwrap_or(0);
        (name.clone(), after.saturating_sub(before))
    });
    used.collect()
}

/// A running installation.
pub(crate) struct System {
    /// Where its webhooks go.
    pub(crate) target: Target,
    /// What is measured: a name, and the processes whose trees belong to it.
    parts: Vec<(String, Vec<u32>)>,
    /// Messages the ledger still lacked when an earlier run was given up.
    owed: u64,
    kind: Kind,
}

enum Kind {
    Frontdesk(Box<Installation>),
    Peer(Box<Peer>),
}

/// Frontdesk with its tenant's credentials.
struct Installation {
    admin: Channels,
    processes: Processes,
}

#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum Processes {
    One(Frontdesk),
    PerRole(Cluster),
}

/// Channels to the services a driver asks.
struct Channels {
    accounts: AuthorizedChannel,
    flows: AuthorizedChannel,
    billing: AuthorizedChannel,
    ingress: AuthorizedChannel,
}

impl System {
    /// Frontdesk, which sends to the Graph API at `graph`.
    pub(crate) async fn frontdesk(
        profile: Profile,
        folder: &Path,
        graph: &str,
    ) -> anyhow::Result<Self> {
        let system = match profile {
            Profile::Embedded => Self::embedded(folder, graph),
            Profile::PostgresRedis => Self::cluster(graph).await?,
        };
        if let Kind::Frontdesk(installation) = &system.kind {
            installation.bind_flow(&system.target.number).await?;
        }
        Ok(system)
    }

    fn embedded(folder: &Path, graph: &str) -> Self {
        let at = Addresses::free();
        let options = [
            "--graph-url",
            graph,
            "--log",
            "error",
            "--messages-per-second",
            MESSAGES_PER_SECOND,
        ];
        let process = Frontdesk::start(folder, &at, &options);
        let admin = at.channel("admin");
        Self {
            target: Target {
                webhooks: at.http.clone(),
                secret: "dev-app-secret".to_owned(),
                number: tests::webhook::NUMBER.to_owned(),
                waba: WABA.to_owned(),
            },
            parts: vec![("frontdesk".to_owned(), vec![process.id()])],
            owed: 0,
            kind: Kind::Frontdesk(Box::new(Installation {
                admin: Channels {
                    accounts: admin.clone(),
                    flows: admin.clone(),
                    billing: admin.clone(),
                    ingress: admin,
                },
                processes: Processes::One(process),
            })),
        }
    }

    async fn cluster(graph: &str) -> anyhow::Result<Self> {
        let options = ClusterOptions {
            // Nothing may cost CPU that is not Frontdesk's.
            balanced: false,
            stores: Stores::Own {
                postgres: postgres_options(),
                redis: redis_options(),
            },
            ..ClusterOptions::default()
        };
        let options = options
            .set("*", "FRONTDESK_TELEMETRY_LOG", "warn")
            .set("egress", "FRONTDESK_GRAPH_URL", graph)
            .set("templates", "FRONTDESK_GRAPH_URL", graph)
            .set(
                "egress",
                "FRONTDESK_EGRESS_MESSAGES_PER_SECOND",
                MESSAGES_PER_SECOND,
            );
        let started = tokio::task::spawn_blocking(move || Cluster::start(&options));
        let cluster = started.await?;
        let channel = |service| cluster.channel(service, "dev-admin");
        let nodes = cluster.nodes().iter();
        let mut parts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for node in nodes {
            let role = parts.entry(node.role().to_owned()).or_default();
            role.extend(node.pid());
        }
        parts.insert("redis".to_owned(), vec![cluster.redis().process().id()]);
        parts.insert(
            "postgres".to_owned(),
            vec![cluster.postgres().process().id()],
        );
        let http = cluster.http("ingress");
        Ok(Self {
            target: Target {
                webhooks: http.trim_start_matches("http://").to_owned(),
                secret: cluster.secret("app_secret").trim().to_owned(),
                number: tests::webhook::NUMBER.to_owned(),
                waba: WABA.to_owned(),
            },
            parts: parts.into_iter().collect(),
            owed: 0,
            kind: Kind::Frontdesk(Box::new(Installation {
                admin: Channels {
                    accounts: channel("accounts"),
                    flows: channel("flow-runner"),
                    billing: channel("billing"),
                    ingress: channel("ingress"),
                },
                processes: Processes::PerRole(cluster),
            })),
        })
    }

    /// The peer chain, which sends to the Graph API at `graph`.
    pub(crate) async fn peer(graph: &str) -> anyhow::Result<Self> {
        let peer = Peer::start(graph).await?;
        Ok(Self {
            target: peer.target(),
            parts: peer.parts(),
            owed: 0,
            kind: Kind::Peer(Box::new(peer)),
        })
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        let parts = self.parts.iter();
        parts
            .map(|(name, roots)| Ok((name.clone(), trees_cpu_micros(roots)?)))
            .collect()
    }

    /// Waits until the ledger holds as many more messages than `before` as were told delivered (a
    /// range: who was refused may have been taken all the same), nothing waits in the inbox and
    /// nothing is parked. Returns what is missing two minutes after the load.
    ///
    /// # Errors
    /// When the ledger holds more than that, or something is parked.
    pub(crate) async fn settle(
        &mut self,
        before: u64,
        told: RangeInclusive<u64>,
    ) -> anyhow::Result<Option<String>> {
        let since = Instant::now();
        let due = before + self.owed;
        let (least, most) = (due + told.start(), due + told.end());
        loop {
            let waiting = self.waiting().await?;
            let ledger = self.ledger().await?;
            ensure!(
                ledger <= most,
                "the ledger holds {ledger} messages of {most}"
            );
            self.owed = least.saturating_sub(ledger);
            if self.owed == 0 && waiting == 0 {
                return Ok(None);
            }
            if since.elapsed() >= PATIENCE {
                return Ok(Some(format!(
                    "the ledger holds {ledger} messages of {least}, {waiting} deliveries wait, \
                     {PATIENCE:.0?} after the load"
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Messages in the ledger.
    pub(crate) async fn ledger(&mut self) -> anyhow::Result<u64> {
        match &mut self.kind {
            Kind::Frontdesk(installation) => installation.ledger().await,
            Kind::Peer(peer) => peer.ledger(),
        }
    }

    /// Webhooks that were answered 200 and have not had their effect.
    async fn waiting(&mut self) -> anyhow::Result<u64> {
        let installation = match &mut self.kind {
            Kind::Frontdesk(installation) => installation,
            Kind::Peer(peer) => return peer.waiting(),
        };
        let mut ingress = IngressServiceClient::new(installation.admin.ingress.clone());
        let inbox = ingress.get_inbox(GetInboxRequest {}).await?.into_inner();
        ensure!(
            inbox.parked_items == 0,
            "{} items are parked",
            inbox.parked_items
        );
        Ok(inbox.waiting_deliveries)
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it does not stop cleanly.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        match self.kind {
            // Not on this thread: our connections have to hear that it stops.
            Kind::Frontdesk(installation) => match installation.processes {
                Processes::One(process) => {
                    let stopped = tokio::task::spawn_blocking(|| process.stop()).await?;
                    ensure!(stopped.success(), "it did not stop cleanly");
                }
                Processes::PerRole(cluster) => {
                    tokio::task::spawn_blocking(move || drop(cluster)).await?;
                }
            },
            Kind::Peer(peer) => drop(peer),
        }
        Ok(())
    }
}

impl Installation {
    async fn bind_flow(&self, number: &str) -> anyhow::Result<()> {
        let mut flows = FlowServiceClient::new(self.admin.flows.clone());
        let flow = CreateFlowRequest {
            id: FLOW_ID.into(),
            name: "Turns of the benchmark".into(),
            draft: FLOW.into(),
        };
        flows.create_flow(flow).await.context("creating the flow")?;
        let publish = PublishFlowRequest {
            id: FLOW_ID.into(),
            note: "bench".into(),
            etag: String::new(),
        };
        let published = flows.publish_flow(publish).await;
        published.context("publishing the flow")?;
        let mut accounts = AccountServiceClient::new(self.admin.accounts.clone());
        let binding = BindFlowRequest {
            number_id: number.into(),
            flow_id: FLOW_ID.into(),
        };
        accounts
            .bind_flow(binding)
            .await
            .context("binding the flow")?;
        let asked = GetNumberRequest { id: number.into() };
        let bound = accounts.get_number(asked).await?.into_inner().flow_id;
        ensure!(bound == FLOW_ID, "the number is bound to `{bound}`");
        // Conversations believes for two seconds what it knew of the number.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(())
    }

    async fn ledger(&self) -> anyhow::Result<u64> {
        let mut billing = BillingServiceClient::new(self.admin.billing.clone());
        let zone = jiff::tz::TimeZone::get("America/New_York")?;
        let month = jiff::Timestamp::now().to_zoned(zone).strftime("%Y-%m");
        let asked = GetStatementRequest {
            month: month.to_string(),
            number_id: String::new(),
        };
        let statement = billing.get_statement(asked).await?.into_inner();
        ensure!(
            statement.unrated.is_empty(),
            "{} messages are not rated",
            statement.unrated.len()
        );
        Ok(statement.lines.iter().map(|line| line.messages).sum())
    }
}

/// A folder that is removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// A new folder under `parent`, or under the machine's folder for such things.
    pub(crate) fn new(parent: Option<&Path>) -> anyhow::Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = parent.join(format!("frontdesk-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).context("cannot make the folder for the stores")?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
