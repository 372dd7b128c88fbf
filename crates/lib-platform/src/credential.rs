//! Who is calling. Every RPC carries `authorization: Bearer <token>`; tenant and caller come from
//! it and never from the body. Tokens are compared by their SHA-256, so no table holds a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::middleware::Next;
use axum::response::Response;
use core_types::{TenantId, Timestamp};
use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Status};

use crate::clock::Clock;
use crate::refusal::Refusal;

/// How long a token resolved elsewhere is believed.
const CACHE_FOR: Duration = Duration::from_secs(60);
/// Most tokens remembered at once.
const CACHE_SIZE: usize = 10_000;

/// Name of the service caller that is the operator of the installation.
pub const OPERATOR: &str = "operator";
/// Metadata in which the operator names a tenant to act as its administrator: how a new tenant gets
/// its first users.
pub const FOR_TENANT: &str = "frontdesk-tenant";

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything in the tenant.
    Administrator,
    /// See all conversations and queues.
    Supervisor,
    /// Serve customers.
    Agent,
    /// Write and publish flows.
    FlowAuthor,
}

impl Role {
    /// The role in words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Supervisor => "supervisor",
            Self::Agent => "agent",
            Self::FlowAuthor => "flow author",
        }
    }
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A program of this installation. Sees all tenants; names the one it acts for in the request
    /// where that matters.
    Service {
        /// Its name, such as `ingress`.
        name: String,
    },
    /// A person or a program of one tenant.
    User {
        /// The tenant.
        tenant: TenantId,
        /// The user's id.
        user: String,
        /// What the user may do.
        roles: BTreeSet<Role>,
    },
}

impl Caller {
    /// The tenant the caller belongs to.
    ///
    /// # Errors
    /// For services, which belong to none.
    pub fn tenant(&self) -> Result<&TenantId, Refusal> {
        match self {
            Self::User { tenant, .. } => Ok(tenant),
            Self::Service { name } if name == OPERATOR => Err(Refusal::forbidden(format!(
                "this call is about one tenant: name it in the metadata `{FOR_TENANT}`, or use a \
                 user's credential"
            ))),
            Self::Service { .. } => Err(Refusal::forbidden(
                "this call is for a tenant's users; use a user's credential",
            )),
        }
    }

    /// The caller's name for records: a user id or `service:<name>`.
    pub fn name(&self) -> String {
        match self {
            Self::User { user, .. } => user.clone(),
            Self::Service { name } => format!("service:{name}"),
        }
    }

    /// Refuses callers that have none of `roles`. Administrators may do everything.
    ///
    /// # Errors
    /// When the caller has none of them.
    pub fn require(&self, roles: &[Role]) -> Result<(), Refusal> {
        match self {
            Self::Service { .. } => Ok(()),
            Self::User { roles: own, .. }
                if own.contains(&Role::Administrator)
                    || roles.iter().any(|role| own.contains(role)) =>
            {
                Ok(())
            }
            Self::User { .. } => {
                let words: Vec<&str> = roles.iter().map(|role| role.word()).collect();
                let words = [&["administrator"], &words[..]].concat().join(" or ");
                Err(Refusal::forbidden(format!(
                    "this call needs the role {words}"
                )))
            }
        }
    }

    /// Refuses callers that are not services of this installation.
    ///
    /// # Errors
    /// When the caller is a user.
    pub fn require_service(&self) -> Result<(), Refusal> {
        match self {
            Self::Service { .. } => Ok(()),
            Self::User { .. } => Err(Refusal::forbidden(
                "this call is for services of this installation only",
            )),
        }
    }
}

/// Looks tokens up that are not in the fixed table: the accounts service behind a trait, so that
/// the chassis does not know it.
pub trait TokenResolver: Send + Sync + 'static {
    /// The caller behind the token with this SHA-256, or `None` if there is none.
    fn resolve(&self, sha256: [u8; 32]) -> BoxFuture<'_, Result<Option<Caller>, Status>>;
}

/// Turns tokens into callers. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    fixed: BTreeMap<[u8; 32], Caller>,
    resolver: Option<Box<dyn TokenResolver>>,
    cache: Mutex<BTreeMap<[u8; 32], (Caller, Timestamp)>>,
    clock: Clock,
}

impl Authenticator {
    /// Accepts the tokens of `fixed`, and those `resolver` knows.
    pub fn new(
        clock: Clock,
        fixed: impl IntoIterator<Item = (String, Caller)>,
        resolver: Option<Box<dyn TokenResolver>>,
    ) -> Self {
        let fixed = fixed
            .into_iter()
            .map(|(token, caller)| (token_digest(&token), caller))
            .collect();
        Self(Arc::new(Inner {
            fixed,
            resolver,
            cache: Mutex::default(),
            clock,
        }))
    }

    /// The caller behind `token`.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is; other codes when the look-up failed.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, Status> {
        let digest = token_digest(token);
        if let Some(caller) = self
            .0
            .fixed
            .get(&digest)
            .cloned()
            .or_else(|| self.cached(&digest))
        {
            return Ok(caller);
        }
        let found = match &self.0.resolver {
            Some(resolver) => resolver.resolve(digest).await?,
            None => None,
        };
        let caller = found.ok_or_else(|| {
            Refusal::unauthenticated("the access token is not known; it may have been withdrawn")
        })?;
        if let Ok(mut cache) = self.0.cache.lock() {
            if cache.len() >= CACHE_SIZE {
                cache.clear();
            }
            cache.insert(digest, (caller.clone(), self.0.clock.now().plus(CACHE_FOR)));
        }
        Ok(caller)
    }

    fn cached(&self, digest: &[u8; 32]) -> Option<Caller> {
        let cache = self.0.cache.lock().ok()?;
        let (caller, until) = cache.get(digest)?;
        (*until > self.0.clock.now()).then(|| caller.clone())
    }
}

/// SHA-256 of a token: what tables hold instead of the token.
pub fn token_digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The caller of a request that came through [`authenticate`].
///
/// # Errors
/// `UNAUTHENTICATED` when the request did not come that way.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| Refusal::unauthenticated("the call carries no credential").into())
}

/// Middleware: puts the [`Caller`] into the request or refuses it. Health and reflection are open.
pub(crate) async fn authenticate(
    State(authenticator): State<Authenticator>,
    mut request: axum::extract::Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.") {
        return next.run(request).await;
    }
    let token = request
        .headers()
        .get(http::header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| {
            value
                .strip_prefix("Bearer ")
                .or_else(|| value.strip_prefix("bearer "))
        })
        .map(str::to_owned);
    let outcome = match token {
        Some(token) => authenticator.authenticate(token.trim()).await,
        None => Err(Refusal::unauthenticated(
            "the call carries no credential; add the metadata `authorization: Bearer <token>`",
        )
        .into()),
    };
    let outcome = outcome.and_then(|caller| on_behalf(caller, request.headers()));
    match outcome {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(status) => status.into_http(),
    }
}

/// The caller the operator stands in for, if the call says so; nobody else may.
fn on_behalf(caller: Caller, headers: &http::HeaderMap) -> Result<Caller, Status> {
    let Some(tenant) = headers.get(FOR_TENANT) else {
        return Ok(caller);
    };
    if !matches!(&caller, Caller::Service { name } if name == OPERATOR) {
        let problem = format!("only the operator may act for a tenant by `{FOR_TENANT}`");
        return Err(Refusal::forbidden(problem).into());
    }
    let tenant = tenant
        .to_str()
        .ok()
        .and_then(|text| TenantId::new(text).ok());
    let tenant = tenant.ok_or_else(|| Refusal::invalid(FOR_TENANT, "not a tenant's id"))?;
    Ok(Caller::User {
        tenant,
        user: OPERATOR.to_owned(),
        roles: BTreeSet::from([Role::Administrator]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_no_tenant_and_the_operator_is_told_how_to_name_one() {
        let told = |name: &str| {
            let name = name.to_owned();
            let refusal = Caller::Service { name }.tenant().unwrap_err();
            Status::from(refusal).message().to_owned()
        };
        assert!(told(OPERATOR).contains("name it in the metadata `frontdesk-tenant`"));
        assert!(!told("egress").contains(FOR_TENANT));
    }
}
