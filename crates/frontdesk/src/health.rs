//! `frontdesk health`: what a container's health check runs.

use std::time::Duration;

use lib_platform::config::{Sources, load, shape};

use crate::cli::HealthArgs;
use crate::config::table;
use crate::exit::Exit;
use crate::terminal::print_line;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Where probes are when nothing is said.
const PORT: u16 = 9_090;

/// Asks `/readyz` and prints the answer.
///
/// # Errors
/// [`CONFIG`](crate::exit::CONFIG) when the address is none,
/// [`UNAVAILABLE`](crate::exit::UNAVAILABLE) when nobody answers or the role is not ready.
pub(crate) async fn run(args: HealthArgs) -> anyhow::Result<()> {
    let base = match args.admin {
        Some(url) => base(&url)?,
        None => format!("http://127.0.0.1:{}", port()),
    };
    let url = format!("{base}/readyz");
    let client = lib_platform::outbound::client(PATIENCE)?;
    let unreachable = |error: &dyn std::fmt::Display| {
        Exit::unavailable(format!(
            "{url} does not answer: {error}; is the role running?"
        ))
    };
    let answer = client
        .get(&url)
        .send()
        .await
        .map_err(|error| unreachable(&error))?;
    let ready = answer.status().is_success();
    let text = answer.text().await.map_err(|error| unreachable(&error))?;
    if ready {
        print_line(text.trim_end())?;
        return Ok(());
    }
    Err(Exit::unavailable(format!("not ready\n{}", text.trim_end())))
}

/// The address of probes as given, without a slash at its end.
fn base(given: &str) -> anyhow::Result<String> {
    let url = given.trim_end_matches('/');
    shape::base_url(url).map_err(|problem| {
        Exit::config(format!(
            "--admin (FRONTDESK_ADMIN_URL): `{url}`: {problem}; write http://host:port, such as \
             http://127.0.0.1:{PORT}"
        ))
    })?;
    Ok(url.to_owned())
}

/// The port of `admin.listen`, where the environment says it.
fn port() -> u16 {
    let mut table = table();
    table.retain(|key| key.name == "admin.listen");
    let env = std::env::vars_os().collect();
    let sources = Sources {
        env,
        ..Default::default()
    };
    let settings = load(&table, None, &sources).settings;
    settings
        .text_opt("admin.listen")
        .and_then(shape::port)
        .unwrap_or(PORT)
}
