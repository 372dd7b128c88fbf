//! Ingress alone, as `cargo xtask bench ingress` measures it: the real service on the real server,
//! with the telemetry of production, on free ports.
//!
//! `bench_server DATA_DIR LOG_ADDRESS [REDIS_URL PROFILE]`: with a Redis, the inbox is there, under the
//! durability profile `A` or `C`. Items go to the conversation log at LOG_ADDRESS
//! (`127.0.0.1:1`, where nobody listens, leaves them in the inbox). Prints its HTTP address.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::Context as _;
use lib_platform::server::{Admin, Options};
use lib_platform::telemetry::{LogFormat, Settings};
use lib_platform::{Authenticator, Clock, Context, IdSource, Lifecycle, Listeners, Peers};
use lib_storage::{RedisSettings, Servers, Storage};
use tokio::net::TcpListener;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The secret the driver signs with.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: bench_server DATA_DIR LOG_ADDRESS [REDIS_URL PROFILE]";
    let data_dir = PathBuf::from(args.next().context(usage)?);
    let log = args.next().context(usage)?;
    let _telemetry = lib_platform::telemetry::start(&Settings {
        service: "ingress".into(),
        filter: "info".into(),
        format: LogFormat::Text,
        otlp_endpoint: None,
    })?;
    let life = Lifecycle::new();
    let mut context = Context::embedded(
        Clock::system(),
        IdSource::random(),
        life.clone(),
        Peers::new([("*".to_owned(), format!("http://{log}"))], "bench")?,
        data_dir,
    );
    if let Some(url) = args.next() {
        let profile = args.next().context(usage)?;
        context.storage = Storage::Servers(Servers {
            postgres: None,
            redis: Some(RedisSettings { url }),
            profile: profile.parse().map_err(anyhow::Error::msg)?,
        });
    }
    let config = svc_ingress::Config {
        app_secrets: vec![SECRET.into()],
        ..svc_ingress::Config::default()
    };
    let (metrics, readiness) = (context.metrics.clone(), context.readiness.clone());
    let parts = svc_ingress::start(config, context).await?;
    let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let grpc = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", http.local_addr()?);
    let listeners = Listeners {
        grpc,
        http: Some(http),
        admin: Admin::Elsewhere,
    };
    let options = Options {
        authenticator: Authenticator::new(Clock::system(), [], None),
        reflection: None,
        metrics,
        readiness,
    };
    lib_platform::serve(parts, listeners, options, &life).await
}
