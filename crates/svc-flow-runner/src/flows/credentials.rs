//! Credentials with which calls of flows are signed: kept, listed without their secrets, removed.

use lib_platform::{Caller, Refusal, Role};
use lib_proto::flow_runner as pb;
use lib_proto::timestamp_to_proto;
use pb::credential::Secret as Wire;

use super::Flows;
use crate::credential::Secret;
use crate::store::{self, CredentialRow};
use core_types::Timestamp;

/// Most credentials of a tenant.
const MOST: usize = 200;
/// Longest name, and longest secret, in bytes.
const MAX_NAME: usize = 64;
const MAX_SECRET: usize = 8_192;
/// Most hosts of one credential.
const MAX_HOSTS: usize = 20;

impl Flows {
    pub(super) async fn put(
        &self,
        caller: &Caller,
        asked: Option<pb::Credential>,
    ) -> Result<pb::Credential, Refusal> {
        caller.require(&[Role::Administrator])?;
        let tenant = caller.tenant()?.as_str();
        let given = asked.ok_or_else(|| Refusal::invalid("credential", "is missing"))?;
        let row = CredentialRow {
            updated_at: self.clock.now().as_micros(),
            ..checked(given)?
        };
        let mut tx = self.database.begin().await?;
        let known = store::credential(&mut tx, tenant, &row.name).await?;
        if known.is_none() {
            let all = store::credentials(&mut tx, tenant, MOST).await?;
            if all.len() >= MOST {
                let message = format!("there are {MOST} credentials already; remove one");
                return Err(Refusal::invalid("credential.name", message));
            }
        }
        store::put_credential(&mut tx, tenant, &row).await?;
        tx.commit().await?;
        self.credentials.forget(tenant, &row.name);
        Ok(told(row))
    }

    pub(super) async fn all_credentials(
        &self,
        caller: &Caller,
    ) -> Result<pb::ListCredentialsResponse, Refusal> {
        caller.require(&[Role::Administrator, Role::FlowAuthor])?;
        let tenant = caller.tenant()?.as_str();
        let rows = store::credentials(&self.database, tenant, MOST).await?;
        Ok(pb::ListCredentialsResponse {
            credentials: rows.into_iter().map(told).collect(),
        })
    }

    pub(super) async fn remove(&self, caller: &Caller, name: &str) -> Result<(), Refusal> {
        caller.require(&[Role::Administrator])?;
        let tenant = caller.tenant()?.as_str();
        let mut tx = self.database.begin().await?;
        if !store::remove_credential(&mut tx, tenant, name).await? {
            return Err(Refusal::not_found("credential", name));
        }
        tx.commit().await?;
        self.credentials.forget(tenant, name);
        Ok(())
    }
}

/// A credential that can be kept.
fn checked(given: pb::Credential) -> Result<CredentialRow, Refusal> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !(1..=MAX_NAME).contains(&given.name.len()) || !given.name.bytes().all(is_name) {
        let message = format!("use letters, digits, - and _; at most {MAX_NAME}");
        return Err(Refusal::invalid("credential.name", message));
    }
    if !(1..=MAX_HOSTS).contains(&given.hosts.len()) {
        let message = format!("name 1 to {MAX_HOSTS} hosts it may be shown to");
        return Err(Refusal::invalid("credential.hosts", message));
    }
    let is_host = |host: &String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
        (1..=253).contains(&host.len()) && host.bytes().all(plain)
    };
    if let Some(at) = given.hosts.iter().position(|host| !is_host(host)) {
        let message = "write a host alone, such as shop.example.com, or with a port other than 443";
        return Err(Refusal::invalid(format!("credential.hosts[{at}]"), message));
    }
    let secret = given.secret.ok_or_else(|| {
        Refusal::invalid(
            "credential.secret",
            "set one of bearer, basic, header, oauth_client",
        )
    })?;
    Ok(CredentialRow {
        name: given.name,
        hosts: given.hosts,
        secret: secret_of(secret)?,
        updated_at: 0,
    })
}

fn secret_of(secret: Wire) -> Result<Secret, Refusal> {
    let needed = |field: &'static str, text: &str| {
        let field = format!("credential.{field}");
        if text.is_empty() {
            return Err(Refusal::invalid(field, "is missing"));
        }
        // A line end would begin another header.
        if text.len() > MAX_SECRET || text.chars().any(char::is_control) {
            let message = format!("use at most {MAX_SECRET} bytes without control characters");
            return Err(Refusal::invalid(field, message));
        }
        Ok(())
    };
    Ok(match secret {
        Wire::Bearer(bearer) => {
            needed("bearer.token", &bearer.token)?;
            Secret::Bearer {
                token: bearer.token,
            }
        }
        Wire::Basic(basic) => {
            needed("basic.user", &basic.user)?;
            needed("basic.password", &basic.password)?;
            if basic.user.contains(':') {
                let message = "holds a colon, which ends it (RFC 7617)";
                return Err(Refusal::invalid("credential.basic.user", message));
            }
            Secret::Basic {
                user: basic.user,
                password: basic.password,
            }
        }
        Wire::Header(header) => {
            needed("header.name", &header.name)?;
            needed("header.value", &header.value)?;
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if !header.name.bytes().all(token) {
                let message = "is not a header's name; use letters, digits and -";
                return Err(Refusal::invalid("credential.header.name", message));
            }
            Secret::Header {
                name: header.name,
                value: header.value,
            }
        }
        Wire::OauthClient(client) => {
            needed("oauth_client.token_url", &client.token_url)?;
            needed("oauth_client.client_id", &client.client_id)?;
            needed("oauth_client.client_secret", &client.client_secret)?;
            let url = client.token_url.parse::<reqwest::Url>();
            let plain = |url: &reqwest::Url| {
                ["https", "http"].contains(&url.scheme())
                    && url.username().is_empty()
                    && url.password().is_none()
            };
            if !url.is_ok_and(|url| plain(&url)) {
                let message = "is not the address of a web service, without user and password";
                return Err(Refusal::invalid(
                    "credential.oauth_client.token_url",
                    message,
                ));
            }
            Secret::OAuthClient {
                token_url: client.token_url,
                client_id: client.client_id,
                client_secret: client.client_secret,
                scope: client.scope,
            }
        }
    })
}

/// A credential as it may be told: without what is secret in it.
fn told(row: CredentialRow) -> pb::Credential {
    let secret = match row.secret {
        Secret::Bearer { .. } => Wire::Bearer(pb::BearerToken::default()),
        Secret::Basic { user, .. } => Wire::Basic(pb::BasicCredential {
            user,
            password: String::new(),
        }),
        Secret::Header { name, .. } => Wire::Header(pb::HeaderCredential {
            name,
            value: String::new(),
        }),
        Secret::OAuthClient {
            token_url,
            client_id,
            scope,
            ..
        } => Wire::OauthClient(pb::OAuthClient {
            token_url,
            client_id,
            client_secret: String::new(),
            scope,
        }),
    };
    pb::Credential {
        name: row.name,
        hosts: row.hosts,
        secret: Some(secret),
        updated_at: Some(timestamp_to_proto(Timestamp::from_micros(row.updated_at))),
    }
}
