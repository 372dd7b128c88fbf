//! All services in one process: composition only. They meet over gRPC here exactly as they do
//! when each runs alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use core_types::TenantId;
use lib_platform::credential::OPERATOR;
use lib_platform::server::{Admin, Listeners, Options, bind};
use lib_platform::{
    Authenticator, Caller, Clock, Context, IdSource, Lifecycle, Parts, Peers, Role,
};
use rand::Rng as _;

use crate::seed;
use crate::token_resolver::AccountsTokenResolver;

/// App secret shared with the sandbox. Development only; the HTTP address is on this machine.
const DEV_APP_SECRET: &str = "dev-app-secret";
/// Verify token shared with the sandbox.
const DEV_VERIFY_TOKEN: &str = "dev-verify-token";
/// How much earlier than the attempt a Graph call must end, so that its outcome can be stored.
const HTTP_MARGIN: Duration = Duration::from_secs(10);

/// What makes one installation differ from another in the same process.
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) http: String,
    pub(crate) grpc: String,
    pub(crate) sandbox: String,
    pub(crate) admin: String,
    pub(crate) clock: Clock,
    pub(crate) ids: IdSource,
    pub(crate) sending: Sending,
}

/// How messages leave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sending {
    /// Another Graph API than the sandbox.
    pub(crate) graph_url: Option<String>,
    /// Meta's limit per number.
    pub(crate) messages_per_second: Option<u32>,
    /// How long an attempt may take.
    pub(crate) attempt_deadline: Option<Duration>,
    /// How long a status may clear up an unknown outcome.
    pub(crate) quiet_window: Option<Duration>,
}

/// A running installation.
pub(crate) struct Installation {
    /// `http://host:port` of gRPC.
    pub(crate) grpc_url: String,
    /// `http://host:port` of webhooks.
    pub(crate) http_url: String,
    /// `http://host:port` of the sandbox's Graph API.
    pub(crate) sandbox_url: String,
    /// `http://host:port` of probes and metrics.
    pub(crate) admin_url: String,
    /// Start and stop.
    pub(crate) life: Lifecycle,
    server: tokio::task::JoinHandle<anyhow::Result<()>>,
    // Held for as long as the installation runs: a second process must not use the same files.
    _lock: File,
}

/// The development token of a user, such as `dev-ana`.
pub(crate) fn dev_token(user: &str) -> String {
    format!("dev-{user}")
}

impl Installation {
    /// Starts everything and seeds the demo tenant.
    ///
    /// # Errors
    /// When the folder is in use, an address is taken or not on this machine, or a service cannot
    /// start. Nothing is left running then.
    pub(crate) async fn start(settings: Settings) -> anyhow::Result<Self> {
        let lock = lock_folder(&settings.data_dir)?;
        for (address, option) in [(&settings.grpc, "--grpc"), (&settings.sandbox, "--sandbox")] {
            require_this_machine(address, option).await?;
        }
        let grpc = bind("gRPC", &settings.grpc, "--grpc").await?;
        let http = bind("webhooks", &settings.http, "--http").await?;
        let graph = bind("the sandbox", &settings.sandbox, "--sandbox").await?;
        let admin = bind("probes and metrics", &settings.admin, "--admin").await?;
        let grpc_url = format!("http://{}", grpc.local_addr()?);
        let http_url = format!("http://{}", http.local_addr()?);
        let sandbox_url = format!("http://{}", graph.local_addr()?);
        let admin_url = format!("http://{}", admin.local_addr()?);

        let service_token = random_token();
        let peers = Peers::new([("*".to_owned(), grpc_url.clone())], &service_token)?;
        let life = Lifecycle::new();
        let context = Context::embedded(
            settings.clock.clone(),
            settings.ids,
            life.clone(),
            peers,
            settings.data_dir,
        );
        let callers = dev_callers(&service_token)?;
        let resolver = AccountsTokenResolver::new(context.channel("accounts")?);
        let authenticator = Authenticator::new(settings.clock, callers, Some(Box::new(resolver)));
        let parts = match start_services(&context, graph, &sandbox_url, settings.sending).await {
            Ok(parts) => parts,
            Err(error) => {
                life.stop();
                return Err(error);
            }
        };
        context.readiness.set("service", Ok(()));
        let options = Options {
            authenticator,
            reflection: Some(lib_proto::FILE_DESCRIPTOR_SET),
            metrics: context.metrics.clone(),
            readiness: context.readiness.clone(),
        };
        let listeners = Listeners {
            grpc,
            http: Some(http),
            admin: Admin::Own(admin),
        };
        let serving = life.clone();
        let server =
            tokio::spawn(
                async move { lib_platform::serve(parts, listeners, options, &serving).await },
            );
        let installation = Self {
            grpc_url,
            http_url,
            sandbox_url,
            admin_url,
            life,
            server,
            _lock: lock,
        };
        match installation.seed().await {
            Ok(()) => Ok(installation),
            Err(error) => {
                let stopped = installation.stop().await;
                Err(stopped
                    .err()
                    .unwrap_or(error)
                    .context("the demo tenant could not be seeded"))
            }
        }
    }

    async fn seed(&self) -> anyhow::Result<()> {
        let callback = format!("{}/webhooks/whatsapp", self.http_url);
        let secrets = seed::Secrets {
            app_secret: DEV_APP_SECRET,
            callback: &callback,
        };
        let everyone = [("*".to_owned(), self.grpc_url.clone())];
        seed::run(&everyone, &dev_token(OPERATOR), &secrets).await
    }

    /// Resolves when the installation has ended by itself.
    ///
    /// # Errors
    /// With the failure that ended it.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        (&mut self.server)
            .await
            .context("the server task ended abnormally")?
    }

    /// Stops, drains and waits.
    ///
    /// # Errors
    /// When something failed, or had to be left behind.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.life.stop();
        self.ended().await
    }
}

async fn start_services(
    context: &Context,
    graph: tokio::net::TcpListener,
    sandbox_url: &str,
    sending: Sending,
) -> anyhow::Result<Parts> {
    let graph_url = sending.graph_url.unwrap_or_else(|| sandbox_url.to_owned());
    let ingress = svc_ingress::Config {
        app_secrets: vec![DEV_APP_SECRET.to_owned()],
        verify_token: DEV_VERIFY_TOKEN.to_owned(),
        ..Default::default()
    };
    let mut conversations = svc_conversations::Config {
        fallback_queue: seed::SUPPORT_QUEUE.to_owned(),
        ..Default::default()
    };
    let mut egress = svc_egress::Config {
        graph_url: graph_url.clone(),
        ..Default::default()
    };
    egress.messages_per_second = sending
        .messages_per_second
        .unwrap_or(egress.messages_per_second);
    if let Some(deadline) = sending.attempt_deadline {
        conversations.attempt_deadline = deadline;
        egress.attempt_lease = deadline;
        egress.http_timeout = deadline.saturating_sub(HTTP_MARGIN);
    }
    conversations.quiet_window = sending.quiet_window.unwrap_or(conversations.quiet_window);
    let templates = svc_templates::Config {
        graph_url,
        ..Default::default()
    };
    let sandbox = svc_sandbox::Config {
        verify_token: DEV_VERIFY_TOKEN.to_owned(),
        ..Default::default()
    };
    // What a developer has running on this machine, flows may call.
    let flow_runner = svc_flow_runner::Config {
        scripts: true,
        private_hosts: ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec(),
        ..Default::default()
    };
    let own = || context.clone();
    Ok(Parts::new()
        .and(svc_accounts::start(svc_accounts::Config::default(), own()).await?)
        .and(svc_flow_runner::start(flow_runner, own()).await?)
        .and(svc_conversations::start(conversations, own()).await?)
        .and(svc_ingress::start(ingress, own()).await?)
        .and(svc_routing::start(svc_routing::Config::default(), own()).await?)
        .and(svc_egress::start(egress, own()).await?)
        .and(svc_templates::start(templates, own()).await?)
        .and(svc_billing::start(svc_billing::Config::default(), own()).await?)
        .and(svc_sandbox::start(sandbox, own(), graph).await?))
}

/// Who may call in development: the seeded users by well-known tokens, the services by a random
/// one.
fn dev_callers(service_token: &str) -> anyhow::Result<Vec<(String, Caller)>> {
    let mut callers = dev_users()?;
    callers.push((
        service_token.to_owned(),
        Caller::Service {
            name: "frontdesk".to_owned(),
        },
    ));
    Ok(callers)
}

/// The well-known tokens of the demo tenant's users and of the operator.
pub(crate) fn dev_users() -> anyhow::Result<Vec<(String, Caller)>> {
    let tenant = TenantId::new(seed::TENANT)?;
    let user = |name: &str, roles: &[Role]| {
        let roles: BTreeSet<Role> = roles.iter().copied().collect();
        let caller = Caller::User {
            tenant: tenant.clone(),
            user: name.to_owned(),
            roles,
        };
        (dev_token(name), caller)
    };
    let mut callers = vec![
        user("admin", &[Role::Administrator]),
        user("supervisor", &[Role::Supervisor]),
    ];
    callers.extend(
        seed::AGENTS
            .iter()
            .map(|(agent, _)| user(agent, &[Role::Agent])),
    );
    // The operator sees what belongs to no tenant: deliveries that name no number.
    let operator = Caller::Service {
        name: OPERATOR.to_owned(),
    };
    callers.push((dev_token(OPERATOR), operator));
    Ok(callers)
}

fn random_token() -> String {
    let mut rng = rand::rng();
    (0..32)
        .map(|_| char::from(rng.sample(rand::distr::Alphanumeric)))
        .collect()
}

/// Development tokens are well known: only this machine may reach them.
async fn require_this_machine(address: &str, option: &str) -> anyhow::Result<()> {
    let mut found = tokio::net::lookup_host(address)
        .await
        .with_context(|| format!("`{address}` is not an address; give {option} as host:port"))?;
    if found.all(|address| address.ip().is_loopback()) {
        return Ok(());
    }
    anyhow::bail!(
        "{option} {address} can be reached from other machines, but development uses well-known \
         tokens; choose an address on this machine, such as 127.0.0.1:50051"
    )
}

fn lock_folder(folder: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the data folder {}", folder.display()))?;
    let path = folder.join("frontdesk.lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => anyhow::bail!(
            "another Frontdesk is using {}; stop it or choose another folder with --data-dir",
            folder.display()
        ),
    }
}
