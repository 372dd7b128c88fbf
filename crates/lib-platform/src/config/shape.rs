//! Forms of texts that settings have in common: addresses, URLs, tokens, log filters. Each check
//! says in one sentence what is wrong, and never repeats a text that may hold a secret.

use url::Url;

/// Levels a log filter may name.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// Words people leave in templates of settings.
const PLACEHOLDERS: [&str; 8] = [
    "changeme",
    "change-me",
    "placeholder",
    "example",
    "secret",
    "password",
    "todo",
    "xxxx",
];

/// What a check answers.
pub type Checked = Result<(), String>;

/// `host:port` to listen on; the port is a number from 0 to 65535.
///
/// # Errors
/// With what is wrong.
pub fn listen(text: &str) -> Checked {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or("there is no port: write host:port")?;
    if host.is_empty() {
        return Err("there is no host: write 0.0.0.0:port for every address".to_owned());
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err("an IPv6 address needs brackets: [::1]:8080".to_owned());
    }
    if host.contains('/') || host.contains(char::is_whitespace) {
        return Err("not host:port; a scheme or a path does not belong here".to_owned());
    }
    match port.parse::<u16>() {
        Ok(_) if port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err("the port is not a number from 1 to 65535".to_owned()),
    }
}

/// The port of a checked [`listen`] address.
pub fn port(text: &str) -> Option<u16> {
    text.rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
}

/// `http://host:port` or `https://host`, without path, query or credentials.
///
/// # Errors
/// With what is wrong.
pub fn base_url(text: &str) -> Checked {
    let url = with_scheme(text)?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("there is no host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user or password does not belong here".to_owned());
    }
    if url.path() != "/" || text.ends_with('/') {
        return Err("there is a path; give scheme, host and port only".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("there is a query or fragment; give scheme, host and port only".to_owned());
    }
    Ok(())
}

/// `http://` or `https://` with a path.
///
/// # Errors
/// With what is wrong.
pub fn url(text: &str) -> Checked {
    let url = with_scheme(text)?;
    match url.host_str() {
        Some(host) if !host.is_empty() => Ok(()),
        _ => Err("there is no host".to_owned()),
    }
}

/// A URL of http or https. `egress:50051` alone would be read as one of the scheme `egress`.
fn with_scheme(text: &str) -> Result<Url, String> {
    if !text.contains("://") {
        return Err("there is no scheme; http:// or https:// comes first".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("not a URL ({error})"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("the scheme is {other}, not http or https")),
    }
}

/// A server's URL that may hold a password: one of `schemes`, a host (several separated by commas
/// where `several`), ports in range.
///
/// # Errors
/// With what is wrong.
pub fn store_url(text: &str, schemes: &[&str], several: bool) -> Checked {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("there is white space in it".to_owned());
    }
    let (scheme, rest) = text.split_once("://").ok_or("there is no scheme")?;
    if !schemes.contains(&scheme) {
        return Err(format!(
            "the scheme is not {}",
            schemes.join(":// or ") + "://"
        ));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = authority.split('@').collect();
    let ([hosts] | [_, hosts]) = parts[..] else {
        return Err("a password with `@` in it must have it written as %40".to_owned());
    };
    // An unescaped `/`, `?` or `#` in a password cuts the authority short, and the rest has an `@`.
    if rest[authority.len()..].contains('@') {
        return Err(
            "a password with `/`, `?` or `#` in it must have them written as %2F, %3F, %23"
                .to_owned(),
        );
    }
    let hosts: Vec<&str> = hosts.split(',').collect();
    if hosts.len() > 1 && !several {
        return Err("there is more than one host".to_owned());
    }
    for host in hosts {
        let (name, port) = split_port(host);
        if name.is_empty() || name == "[]" {
            return Err("there is no host".to_owned());
        }
        if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err("the port is not a number from 1 to 65535".to_owned());
        }
    }
    Ok(())
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => (&host[..at], Some(&host[at + 1..])),
        _ => (host, None),
    }
}

/// A URL with its password replaced by `***`. What is no URL is not shown at all.
pub fn masked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return "(not a URL; not shown, it may hold a password)".to_owned();
    };
    // Up to the last `@` may belong to a password that is not written as it should be.
    match rest.rsplit_once('@') {
        Some((login, host)) => {
            let user = login.split(':').next().unwrap_or_default();
            format!("`{scheme}://{user}:***@{}`", host.escape_debug())
        }
        None => format!("`{}`", text.escape_debug()),
    }
}

/// A name of 1 to 63 letters, digits, dots, dashes and underscores that starts with a letter or
/// digit.
///
/// # Errors
/// With what is wrong.
pub fn name(text: &str) -> Checked {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && text.len() <= 63 && text.chars().all(good) {
        Ok(())
    } else {
        Err("not a name of letters, digits, dots, dashes and underscores".to_owned())
    }
}

/// A token of printable ASCII without spaces, quotes or commas.
///
/// # Errors
/// With what is wrong.
pub fn token(text: &str, least: usize) -> Checked {
    if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        return Err("there are quotes around it".to_owned());
    }
    if text.contains(['\n', '\r']) {
        return Err("there is a line break in it".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("there are characters in it that are not printable ASCII".to_owned());
    }
    if is_placeholder(text) {
        return Err("it is a placeholder".to_owned());
    }
    if text.len() < least {
        return Err(format!(
            "{} characters are too few; at least {least}",
            text.len()
        ));
    }
    Ok(())
}

/// Whether a secret is a word that templates of settings hold instead of one.
pub fn is_placeholder(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let angled = text.starts_with('<') && text.ends_with('>');
    let repeated = text.len() > 1 && text.bytes().all(|byte| Some(byte) == text.bytes().next());
    angled || repeated || PLACEHOLDERS.iter().any(|word| text == *word)
}

/// A log filter: a level, or levels by module, separated by commas.
///
/// # Errors
/// With what is wrong.
pub fn log_filter(text: &str) -> Checked {
    for part in text.split(',') {
        let (target, level) = match part.split_once('=') {
            Some((target, level)) => (Some(target), level),
            None => (None, part),
        };
        if !LEVELS.contains(&level) {
            let near = crate::config::load::nearest(level, LEVELS.into_iter());
            let meant = near
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(format!("`{}` is not a level{meant}", level.escape_debug()));
        }
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
        if target.is_some_and(|target| target.is_empty() || !target.chars().all(good)) {
            return Err(format!("`{}` is not module=level", part.escape_debug()));
        }
    }
    Ok(())
}

/// Any text that is not empty and has no control characters.
///
/// # Errors
/// With what is wrong.
pub fn plain(text: &str) -> Checked {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("it is empty or has control characters".to_owned());
    }
    Ok(())
}
