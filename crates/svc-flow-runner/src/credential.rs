//! Credentials with which calls of flows are signed. A flow names one and never sees it; each may go to
//! the hosts it was made for and to no other, so that nobody who writes a flow can send it elsewhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core_types::Timestamp;
use lib_platform::{Clock, outbound};
use lib_storage::Database;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::call::Guard;
use crate::store;

/// A token is asked for anew so long before its end.
const EARLY: Duration = Duration::from_secs(60);
/// Longest answer with a token, in bytes.
const MAX_GRANT: usize = 64 << 10;
/// How long its giver may take.
const TOKEN_WITHIN: Duration = Duration::from_secs(10);
/// How long a token is kept of which its giver does not say how long it lives.
const UNSAID: u64 = 300;

/// What signs a call. Stored as JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Secret {
    /// `Authorization: Bearer …`.
    Bearer { token: String },
    /// `Authorization: Basic …` (RFC 7617).
    Basic { user: String, password: String },
    /// A header of the other system's own.
    Header { name: String, value: String },
    /// OAuth 2.0, client credentials (RFC 6749, section 4.4).
    OAuthClient {
        token_url: String,
        client_id: String,
        client_secret: String,
        scope: String,
    },
}

/// A token that is good for a while.
struct Token {
    text: String,
    until: Timestamp,
}

/// Tenant and name of a credential, and when it was kept: one that was changed has another token.
type TokenKey = (String, String, i64);

/// Signs calls.
pub(crate) struct Credentials {
    database: Database,
    clock: Clock,
    http: reqwest::Client,
    guard: Guard,
    /// Tokens of OAuth clients.
    tokens: Mutex<BTreeMap<TokenKey, Token>>,
}

/// What a token endpoint answers (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Credentials {
    /// Credentials in `database`. Tokens are asked for at public addresses, and at `private_hosts`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(
        database: Database,
        clock: Clock,
        private_hosts: &[String],
    ) -> anyhow::Result<Self> {
        let guard = Guard::new(private_hosts);
        Ok(Self {
            database,
            clock,
            http: outbound::client_through(TOKEN_WITHIN, guard.clone())?,
            guard,
            tokens: Mutex::default(),
        })
    }

    /// The header that signs a call to `url`.
    ///
    /// # Errors
    /// Why it cannot be signed, in words without secrets.
    pub(crate) async fn sign(
        &self,
        tenant: &str,
        name: &str,
        url: &Url,
    ) -> Result<(HeaderName, HeaderValue), String> {
        let found = store::credential(&self.database, tenant, name).await;
        let found = found.map_err(|_| "credentials cannot be read now".to_owned())?;
        let found = found.ok_or_else(|| format!("there is no credential `{name}`"))?;
        if !found.hosts.iter().any(|own| self.is_for(own, url)) {
            return Err(format!("the credential `{name}` is not for this host"));
        }
        let (header, value) = match &found.secret {
            Secret::Bearer { token } => ("authorization", format!("Bearer {token}")),
            Secret::Basic { user, password } => ("authorization", basic(user, password)),
            Secret::Header { name, value } => (name.as_str(), value.clone()),
            Secret::OAuthClient { .. } => {
                let key = (tenant.to_owned(), name.to_owned(), found.updated_at);
                let token = self.token(key, &found.secret).await?;
                ("authorization", format!("Bearer {token}"))
            }
        };
        let header = HeaderName::try_from(header).ok();
        let value = HeaderValue::from_str(&value).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let unusable = || format!("the credential `{name}` cannot be sent");
        header.zip(value).ok_or_else(unusable)
    }

    /// Whether a credential for `own` may be shown at `url`: encrypted, at the port that belongs to it, or
    /// that `own` names. On the inside of the network, where an operator has named the host, at any.
    fn is_for(&self, own: &str, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        if own.eq_ignore_ascii_case(host) && self.guard.is_named(host) {
            return true;
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let place = format!("{host}:{port}");
        let at_home = own.eq_ignore_ascii_case(host) && port == 443;
        url.scheme() == "https" && (at_home || own.eq_ignore_ascii_case(&place))
    }

    /// Forgets a token that turned out not to be good any more; whether there was one.
    pub(crate) fn forget(&self, tenant: &str, name: &str) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let before = tokens.len();
        tokens.retain(|(of, own, _), _| of != tenant || own != name);
        tokens.len() < before
    }

    async fn token(&self, key: TokenKey, secret: &Secret) -> Result<String, String> {
        let now = self.clock.now();
        {
            let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(token) = tokens.get(&key).filter(|token| token.until > now) {
                return Ok(token.text.clone());
            }
        }
        let granted = self.ask(secret).await?;
        let lives = Duration::from_secs(granted.expires_in.unwrap_or(UNSAID));
        let token = Token {
            text: granted.access_token.clone(),
            until: now.plus(lives.saturating_sub(EARLY)),
        };
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(key, token);
        Ok(granted.access_token)
    }

    async fn ask(&self, secret: &Secret) -> Result<Granted, String> {
        let Secret::OAuthClient {
            token_url,
            client_id,
            client_secret,
            scope,
        } = secret
        else {
            return Err("the credential asks for no token".to_owned());
        };
        let url = token_url.parse();
        let url = url.map_err(|_| "the token's giver has no usable address".to_owned())?;
        self.guard.may_ask(&url)?;
        let mut form = vec![("grant_type", "client_credentials")];
        if !scope.is_empty() {
            form.push(("scope", scope));
        }
        let form = form
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)));
        let request = self
            .http
            .post(url)
            // RFC 6749, section 2.3.1: both are form-encoded first.
            .header(
                "authorization",
                basic(&encoded(client_id), &encoded(client_secret)),
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(form.collect::<Vec<_>>().join("&"));
        let answer = request.send().await;
        let answer = answer.map_err(|_| "the token's giver cannot be reached".to_owned())?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!(
                "the token's giver answered with status {}",
                status.as_u16()
            ));
        }
        let nothing = || "the token's giver gave none".to_owned();
        let (mut answer, mut body) = (answer, Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(|_| nothing())? {
            if body.len() + chunk.len() > MAX_GRANT {
                return Err(nothing());
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|_| nothing())
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// `application/x-www-form-urlencoded`.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
