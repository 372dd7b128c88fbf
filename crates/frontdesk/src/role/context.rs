//! From settings to what a role is given: storage, peers, callers, a name.

use std::path::PathBuf;

use anyhow::Context as _;
use lib_platform::config::{Settings, shape};
use lib_platform::credential::OPERATOR;
use lib_platform::{
    Authenticator, Caller, Clock, Context, IdSource, Lifecycle, Metrics, Peers, Readiness,
};
use lib_storage::lease::Member;
use lib_storage::{PostgresSettings, RedisSettings, Servers, Storage};

use crate::exit::Exit;
use crate::installation::dev_users;
use crate::role::Role;
use crate::token_resolver::AccountsTokenResolver;

/// Name of the caller that shows the services' shared token.
const SERVICE: &str = "frontdesk";

/// The context of one attempt to start `role`. Metrics and readiness outlive the attempt.
///
/// # Errors
/// When a setting has no value: the table of keys and this disagree.
pub(super) fn context(
    role: Role,
    settings: &Settings,
    life: Lifecycle,
    (metrics, readiness): (&Metrics, &Readiness),
) -> anyhow::Result<Context> {
    let storage = storage(role, settings)?;
    if let Storage::Servers(_) = storage {
        let help = "1 for the durability profile this replica asks of its stores";
        let profile = settings.text("durability.profile")?;
        let labels = [("profile", profile)];
        metrics
            .gauge("frontdesk_durability_profile", help, &labels)
            .set(1.0);
    }
    Ok(Context {
        clock: Clock::system(),
        ids: IdSource::random(),
        life,
        peers: peers(role, settings)?,
        storage,
        me: Member {
            name: settings.text("instance")?.to_owned(),
            address: settings.text("grpc.advertise")?.to_owned(),
        },
        metrics: metrics.clone(),
        readiness: readiness.clone(),
    })
}

fn peers(role: Role, settings: &Settings) -> anyhow::Result<Peers> {
    let mut addresses = Vec::new();
    for peer in Role::ALL {
        if let Some(address) = settings.text_opt(peer.peer_key()) {
            addresses.push((peer.name().to_owned(), address.to_owned()));
        }
    }
    if role == Role::Accounts {
        // It asks itself whose a token is.
        let port = shape::port(settings.text("grpc.listen")?).unwrap_or_default();
        addresses.push((role.name().to_owned(), format!("http://127.0.0.1:{port}")));
    }
    Peers::new(addresses, shown_token(settings)?)
}

/// The service token this process shows: the first of one or two.
fn shown_token(settings: &Settings) -> anyhow::Result<&str> {
    let token = settings.list("service.token").first();
    token
        .map(String::as_str)
        .context("the setting `service.token` has no value")
}

/// Where `role` keeps what it knows. The sandbox keeps a file, the others use servers.
fn storage(role: Role, settings: &Settings) -> anyhow::Result<Storage> {
    if role == Role::Sandbox {
        let folder = PathBuf::from(settings.text("sandbox.data_dir")?);
        std::fs::create_dir_all(&folder).map_err(|error| {
            Exit::unavailable(format!(
                "cannot make the folder {}: {error}\n  sandbox.data_dir \
                 (FRONTDESK_SANDBOX_DATA_DIR): name a folder this user may write to",
                folder.display()
            ))
        })?;
        return Ok(Storage::Embedded { folder });
    }
    let postgres = match settings.text_opt("postgres.url") {
        Some(url) => Some(PostgresSettings {
            url: url.to_owned(),
            connections: settings.number_as("postgres.connections")?,
        }),
        None => None,
    };
    let redis = settings.text_opt("redis.url").map(|url| RedisSettings {
        url: url.to_owned(),
    });
    let profile = settings.text("durability.profile")?;
    Ok(Storage::Servers(Servers {
        postgres,
        redis,
        profile: profile.parse().map_err(anyhow::Error::msg)?,
    }))
}

/// Who may call: services, the operator, in development the demo users, and whoever accounts knows.
pub(super) fn authenticator(
    context: &Context,
    settings: &Settings,
) -> anyhow::Result<Authenticator> {
    let of = |key: &str, name: &str| {
        let name = name.to_owned();
        let tokens = settings.list(key).iter().cloned();
        tokens
            .map(move |token| (token, Caller::Service { name: name.clone() }))
            .collect::<Vec<_>>()
    };
    let mut callers = of("service.token", SERVICE);
    callers.extend(of("operator.token", OPERATOR));
    if settings.flag("development.tokens") {
        callers.extend(dev_users()?);
    }
    let resolver = AccountsTokenResolver::new(context.channel("accounts")?);
    let clock = context.clock.clone();
    Ok(Authenticator::new(clock, callers, Some(Box::new(resolver))))
}
