//! What programs that call an installation have in common: where its services are, and the token.
//! Also `frontdesk seed`.

use lib_platform::Peers;
use lib_platform::config::shape;

use crate::cli::SeedArgs;
use crate::config;
use crate::exit::Exit;
use crate::role::Role;
use crate::seed;
use crate::terminal::print_line;

/// Where the services are: `http://host:port`, or `conversations=http://…,*=http://…`.
///
/// # Errors
/// With what is wrong and an example.
pub(crate) fn servers(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let wrong = |problem: String| {
        Exit::config(format!(
            "--server (FRONTDESK_SERVER): {problem}; write http://host:port, or \
             conversations=http://host:port,routing=http://host:port,*=http://host:port"
        ))
    };
    let mut servers = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (service, address) = part.split_once('=').unwrap_or(("*", part));
        if service != "*" && !Role::ALL.iter().any(|role| role.name() == service) {
            return Err(wrong(format!("`{service}` is not a service")));
        }
        let address = address.trim_end_matches('/');
        shape::base_url(address).map_err(|problem| wrong(format!("`{address}`: {problem}")))?;
        servers.push((service.to_owned(), address.to_owned()));
    }
    if servers.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    Ok(servers)
}

/// The services at `text` (see [`servers`]), called with `token`.
///
/// # Errors
/// When the addresses or the token cannot be used.
pub(crate) fn peers(text: &str, token: &str) -> anyhow::Result<Peers> {
    Peers::new(servers(text)?, token)
}

/// The access token: `FRONTDESK_TOKEN`. Never an argument: those are seen by every user of the
/// machine.
pub(crate) fn token() -> Option<String> {
    let (_, token) = std::env::vars_os().find(|(name, _)| name == "FRONTDESK_TOKEN")?;
    token.into_string().ok().filter(|token| !token.is_empty())
}

/// `frontdesk seed`.
///
/// # Errors
/// When a setting is wrong, a service cannot be reached, or one refuses.
pub(crate) async fn seed(args: SeedArgs) -> anyhow::Result<()> {
    let outcome = config::read(Some("seed"), args.config);
    if !outcome.problems.is_empty() {
        return Err(config::refusal("seed", &outcome.problems));
    }
    let settings = outcome.settings;
    let servers = match &args.server {
        Some(text) => servers(text)?,
        None => Role::ALL
            .iter()
            .filter_map(|role| {
                let address = settings.text_opt(role.peer_key())?;
                Some((role.name().to_owned(), address.to_owned()))
            })
            .collect(),
    };
    let first = |name| settings.list(name).first().cloned().unwrap_or_default();
    let operator = first("operator.token");
    let secrets = seed::Secrets {
        app_secret: &first("sandbox.app_secret"),
        callback: settings.text("sandbox.callback")?,
    };
    seed::run(&servers, &operator, &secrets).await?;
    print_line(&format!(
        "The demo tenant is there: number +{}, queues Sales and Support, agents ana and ben.",
        seed::PHONE
    ))?;
    if args.tokens {
        for (user, token) in seed::tokens(&servers, &operator).await? {
            print_line(&format!("{user}  {token}"))?;
        }
        print_line(
            "Show one as FRONTDESK_TOKEN: ana's or ben's to `frontdesk agent`, admin's to `frontdesk chat`.",
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_one_address_or_one_for_each_service() {
        let one = servers("http://127.0.0.1:50051").unwrap();
        assert_eq!(one, [("*".to_owned(), "http://127.0.0.1:50051".to_owned())]);
        let many = servers("routing=http://r:1, *=http://all:2/").unwrap();
        assert_eq!(many[0], ("routing".to_owned(), "http://r:1".to_owned()));
        assert_eq!(many[1].1, "http://all:2");
        for (text, said) in [
            ("", "empty"),
            ("routnig=http://r:1", "routnig"),
            ("ftp://r:1", "ftp"),
            ("localhost:50051", "localhost"),
            ("http://r:1/path", "path"),
        ] {
            let error = servers(text).unwrap_err().to_string();
            assert!(
                error.contains(said) && error.contains("FRONTDESK_SERVER"),
                "{error}"
            );
        }
    }
}
