//! The command line: what can be typed, and what each word means.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::ROLES_AND_SEED;

/// Frontdesk: the open WhatsApp contact centre.
#[derive(Debug, Parser)]
#[command(name = "frontdesk", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) dev: DevArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process, with a sandbox that stands in for Meta (the default).
    Dev(DevArgs),
    /// A customer's phone in the terminal, on the sandbox.
    Chat(ChatArgs),
    /// An agent's desk in the terminal.
    Agent(AgentArgs),
    /// Play a whole conversation on a private instance and check every part of it.
    Demo(DemoArgs),
    /// Check, test, play and draw flows; needs no server.
    Flow(FlowArgs),
    /// Tools for webhook bodies.
    Webhook(WebhookArgs),
    /// The settings of the roles: list them, check them, print an example.
    Config(ConfigArgs),
    /// Make the demo tenant in a running installation; does no harm when it is there.
    Seed(SeedArgs),
    /// Ask a running role whether it is ready; for container health checks.
    Health(HealthArgs),
    /// Role: takes Meta's webhooks in.
    Ingress(RoleArgs),
    /// Role: owns the conversation log.
    Conversations(RoleArgs),
    /// Role: takes the steps of flows.
    FlowRunner(RoleArgs),
    /// Role: queues, offers, agents' desks.
    Routing(RoleArgs),
    /// Role: sends to Meta's Graph API.
    Egress(RoleArgs),
    /// Role: the registry of message templates.
    Templates(RoleArgs),
    /// Role: rates what was delivered.
    Billing(RoleArgs),
    /// Role: tenants, users, numbers and access tokens.
    Accounts(RoleArgs),
    /// Role: stands in for Meta in development.
    Sandbox(RoleArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DevArgs {
    /// Folder for all data.
    #[arg(long, env = "FRONTDESK_DATA_DIR", default_value = "./frontdesk-data")]
    pub(crate) data_dir: PathBuf,
    /// Keep nothing: use a temporary folder and remove it at the end.
    #[arg(long, conflicts_with = "data_dir")]
    pub(crate) ephemeral: bool,
    /// Address for Meta's webhooks.
    #[arg(long, env = "FRONTDESK_HTTP", default_value = "127.0.0.1:8080")]
    pub(crate) http: String,
    /// Address for gRPC.
    #[arg(long, env = "FRONTDESK_GRPC", default_value = "127.0.0.1:50051")]
    pub(crate) grpc: String,
    /// Address of the sandbox's Graph API.
    #[arg(long, env = "FRONTDESK_SANDBOX", default_value = "127.0.0.1:8090")]
    pub(crate) sandbox: String,
    /// Address for probes and metrics: `/healthz`, `/readyz`, `/metrics`.
    #[arg(long, env = "FRONTDESK_ADMIN", default_value = "127.0.0.1:9090")]
    pub(crate) admin: String,
    /// Send to this Graph API instead of the sandbox, such as <https://graph.facebook.com>.
    #[arg(long, env = "FRONTDESK_GRAPH_URL")]
    pub(crate) graph_url: Option<String>,
    /// Messages per second that Meta lets each number send: 80, or 1000 for an upgraded number.
    #[arg(long, env = "FRONTDESK_MESSAGES_PER_SECOND", default_value_t = 80)]
    pub(crate) messages_per_second: u32,
    /// How long an attempt to send may take before its outcome counts as unknown, in seconds
    /// (60).
    #[arg(long, env = "FRONTDESK_ATTEMPT_SECONDS", hide = true)]
    pub(crate) attempt_seconds: Option<u64>,
    /// How long a status may clear up an unknown outcome before the message is sent again, in
    /// seconds (120).
    #[arg(long, env = "FRONTDESK_QUIET_SECONDS", hide = true)]
    pub(crate) quiet_seconds: Option<u64>,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TelemetryArgs {
    /// What to log: a level, or levels by module (`info`, `svc_routing=debug,info`).
    #[arg(long, env = "FRONTDESK_LOG", default_value = "warn")]
    pub(crate) log: String,
    /// How to write log lines.
    #[arg(long, env = "FRONTDESK_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// OTLP collector for traces, such as <http://127.0.0.1:4317>.
    #[arg(long, env = "FRONTDESK_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArgs {
    /// The installation's gRPC address, or one for each service:
    /// `conversations=http://…,routing=http://…,*=http://…`.
    #[arg(
        long,
        env = "FRONTDESK_SERVER",
        default_value = "http://127.0.0.1:50051"
    )]
    pub(crate) server: String,
}

/// Never an option: every user of the machine sees those.
const TOKEN_HELP: &str = "The access token is the variable FRONTDESK_TOKEN: what `frontdesk seed \
                          --tokens` or AccountService.CreateAccessToken printed. Without it, the \
                          demo tenant's well-known one is shown, which an installation accepts \
                          in development only (development.tokens).";

#[derive(Clone, Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The customer's phone number.
    #[arg(long, default_value = "+1 650 555 0134")]
    pub(crate) phone: String,
    /// The customer's name.
    #[arg(long, default_value = "Maria")]
    pub(crate) name: String,
    /// The business number to write to (Meta's phone_number_id).
    #[arg(long, default_value = crate::seed::NUMBER_ID)]
    pub(crate) number: String,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Which agent: `ana` or `ben` in a fresh installation. With FRONTDESK_TOKEN, the one whose token
    /// that is.
    #[arg(long = "as", value_name = "AGENT", default_value = "ana")]
    pub(crate) agent: String,
    /// Conversations to handle at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) capacity: u32,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Print one JSON object instead of the story.
    #[arg(long)]
    pub(crate) json: bool,
    /// What to log.
    #[arg(long, env = "FRONTDESK_LOG", default_value = "error")]
    pub(crate) log: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct WebhookArgs {
    #[command(subcommand)]
    pub(crate) command: WebhookCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Print what deliveries contain, one line per item.
    Parse {
        /// Files with one webhook body each; `-` reads standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// One JSON object per item.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FlowArgs {
    #[command(subcommand)]
    pub(crate) command: FlowCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum FlowCommand {
    /// Find every mistake in flows, with its place and remedy. Exit code 1 when there is an error.
    Check(FlowCheckArgs),
    /// Play scenarios and compare what the flows do with what they say.
    Test(FlowTestArgs),
    /// Play a flow by hand.
    Chat(FlowChatArgs),
    /// Draw a flow.
    Graph(FlowGraphArgs),
    /// Print the texts of a flow by place, as JSON: what `translations` takes.
    Texts(FlowTextsArgs),
    /// Show what differs between two flows: files, `FLOW@VERSION` or `FLOW` (its draft) of an
    /// installation. Exit code 1 when something does.
    Diff(FlowDiffArgs),
    /// List the published versions of a flow.
    Versions(FlowVersionsArgs),
    /// Write a flow of an installation into a file.
    Export(FlowExportArgs),
    /// Read a flow that Zoom Contact Center exported, and write it as one of ours. Exit code 1 when errors
    /// are left to be mended.
    Convert(FlowConvertArgs),
    /// Make a file a flow's draft, and publish it if that is asked for.
    Import(FlowImportArgs),
    /// Make what an earlier version says the next version of a flow.
    RollBack(FlowRollBackArgs),
    /// Show what a flow did in a live engagement, and keep it as a scenario.
    Trace(FlowTraceArgs),
    /// Take the steps of live engagements again and show the first difference. Exit code 1 when there
    /// is one.
    Replay(FlowReplayArgs),
}

#[derive(Clone, Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct FlowCheckArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Ask an installation as well whether it has the queues that the flows lead to.
    #[arg(long)]
    pub(crate) live: bool,
    /// Flows.
    #[arg(required = true, value_name = "FLOW")]
    pub(crate) files: Vec<PathBuf>,
    /// One JSON object a flow.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FlowTestArgs {
    /// Files of scenarios, or folders with files whose names end in .test.yaml.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Write what the flows do into the files; read the difference before you keep it.
    #[arg(long)]
    pub(crate) update: bool,
    /// Fail when an exit of a flow is not taken by any of its scenarios.
    #[arg(long)]
    pub(crate) full_coverage: bool,
    /// Also write JUnit XML into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Also write a page with the flows drawn by what was taken.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FlowChatArgs {
    /// The flow.
    #[arg(value_name = "FLOW")]
    pub(crate) file: PathBuf,
    /// What is known of the customer, such as display_name=Maria; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) contact: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FlowGraphArgs {
    /// The flow.
    #[arg(value_name = "FLOW")]
    pub(crate) file: PathBuf,
    /// Draw an SVG picture (the default).
    #[arg(long, conflicts_with = "mermaid")]
    pub(crate) svg: bool,
    /// Write a Mermaid flowchart.
    #[arg(long)]
    pub(crate) mermaid: bool,
    /// Colour by what these scenarios take: files, or folders with files ending in .test.yaml.
    #[arg(long, value_name = "PATH", conflicts_with = "mermaid")]
    pub(crate) coverage: Vec<PathBuf>,
    /// Write into this file instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FlowTextsArgs {
    /// The flow.
    #[arg(value_name = "FLOW")]
    pub(crate) file: PathBuf,
    /// Only the texts that this language lacks.
    #[arg(long, value_name = "LANGUAGE")]
    pub(crate) missing: Option<String>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct FlowDiffArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The older one: a file, FLOW@VERSION, or FLOW for its draft.
    pub(crate) from: String,
    /// The newer one.
    pub(crate) to: String,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct FlowVersionsArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The flow's id.
    pub(crate) flow: String,
    /// One JSON object a version.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct FlowExportArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// FLOW@VERSION, or FLOW for its draft.
    pub(crate) flow: String,
    /// Write into this file instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct FlowImportArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The flow's file.
    #[arg(value_name = "FLOW")]
    pub(crate) file: PathBuf,
    /// The flow's id in the installation; it is created when there is none.
    #[arg(long)]
    pub(crate) id: String,
    /// Publish it as well.
    #[arg(long)]
    pub(crate) publish: bool,
    /// Note of the version.
    #[arg(long, requires = "publish", default_value = "")]
    pub(crate) note: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FlowConvertArgs {
    /// The exported file.
    pub(crate) file: PathBuf,
    /// Where the flow is written.
    #[arg(short, long, value_name = "FLOW")]
    pub(crate) output: PathBuf,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct FlowRollBackArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The flow's id.
    pub(crate) flow: String,
    /// The version to go back to.
    pub(crate) version: u32,
    /// Note of the new version.
    #[arg(long, default_value = "")]
    pub(crate) note: String,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct FlowTraceArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The engagement's id.
    pub(crate) engagement: String,
    /// Add it to this file of scenarios instead of showing it.
    #[arg(long, value_name = "FILE", requires = "flow")]
    pub(crate) save: Option<PathBuf>,
    /// The flow's file, for --save.
    #[arg(long, value_name = "FLOW", requires = "save")]
    pub(crate) flow: Option<PathBuf>,
    /// The scenario's title, for --save.
    #[arg(long, requires = "save")]
    pub(crate) title: Option<String>,
    /// Print one JSON object.
    #[arg(long, conflicts_with = "save")]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct FlowReplayArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The engagement's id.
    #[arg(required_unless_present = "all")]
    pub(crate) engagement: Option<String>,
    /// Every engagement there is.
    #[arg(long, conflicts_with = "engagement")]
    pub(crate) all: bool,
    /// Play them on another version of the flow, or on a flow in a file.
    #[arg(long, value_name = "VERSION|FILE")]
    pub(crate) on: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RoleArgs {
    /// Settings file (TOML); the environment wins over it. See `frontdesk config`.
    #[arg(long, env = "FRONTDESK_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Find every mistake in the settings, with the remedy of each. Exit code 78 when there is one.
    Check {
        /// Only what this role (or `seed`) reads; without it, what the roles that serve customers
        /// need, and what is given to the others.
        #[arg(long, value_parser = PossibleValuesParser::new(ROLES_AND_SEED))]
        role: Option<String>,
        /// Settings file (TOML).
        #[arg(long, env = "FRONTDESK_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List every setting.
    Keys {
        /// Only what this role (or `seed`) reads.
        #[arg(long, value_parser = PossibleValuesParser::new(ROLES_AND_SEED))]
        role: Option<String>,
        /// One JSON object.
        #[arg(long, conflicts_with = "markdown")]
        json: bool,
        /// A table for documentation.
        #[arg(long)]
        markdown: bool,
    },
    /// Print a commented settings file.
    Example,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SeedArgs {
    /// The installation's gRPC address, or one for each service; without it, the settings
    /// `peers.…`.
    #[arg(long, env = "FRONTDESK_SERVER")]
    pub(crate) server: Option<String>,
    /// Settings file (TOML). Read are `operator.token`, `sandbox.app_secret`, `sandbox.callback`.
    #[arg(long, env = "FRONTDESK_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Also make an access token for each demo user, and print it: FRONTDESK_TOKEN of `frontdesk agent`
    /// and `frontdesk chat`.
    #[arg(long)]
    pub(crate) tokens: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct HealthArgs {
    /// Address of the role's probes; without it, 127.0.0.1 and the port of `admin.listen`.
    #[arg(long, env = "FRONTDESK_ADMIN_URL", value_name = "URL")]
    pub(crate) admin: Option<String>,
}
