//! Asks the accounts service whose an access token is, for tokens that are not in the fixed table.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use lib_platform::{AuthorizedChannel, Caller, Role, TokenResolver};
use lib_proto::accounts::directory_service_client::DirectoryServiceClient;
use lib_proto::accounts::{self as pb, ResolveAccessTokenRequest};
use tonic::{Code, Status};

/// Resolves tokens by `DirectoryService.ResolveAccessToken`.
#[derive(Clone, Debug)]
pub(crate) struct AccountsTokenResolver {
    directory: DirectoryServiceClient<AuthorizedChannel>,
}

impl AccountsTokenResolver {
    /// Asks over `accounts`, the channel to the accounts service with a service's credential. That
    /// credential must be in the fixed table: a token that needed resolving would ask for ever.
    pub(crate) fn new(accounts: AuthorizedChannel) -> Self {
        Self {
            directory: DirectoryServiceClient::new(accounts),
        }
    }
}

impl TokenResolver for AccountsTokenResolver {
    fn resolve(&self, sha256: [u8; 32]) -> BoxFuture<'_, Result<Option<Caller>, Status>> {
        let mut directory = self.directory.clone();
        Box::pin(async move {
            let request = ResolveAccessTokenRequest {
                sha256: sha256.to_vec(),
            };
            match directory.resolve_access_token(request).await {
                Ok(answer) => caller(answer.into_inner()).map(Some),
                Err(status) if status.code() == Code::NotFound => Ok(None),
                Err(status) => Err(Status::unavailable(format!(
                    "the credential cannot be checked now: {}",
                    status.message()
                ))),
            }
        })
    }
}

fn caller(found: pb::Caller) -> Result<Caller, Status> {
    let tenant = found.tenant_id.parse().map_err(|error| {
        Status::unavailable(format!("the credential's tenant cannot be read: {error}"))
    })?;
    // A role this program does not know gives no right.
    let roles: BTreeSet<Role> = found.roles().filter_map(role).collect();
    Ok(Caller::User {
        tenant,
        user: found.user_id,
        roles,
    })
}

fn role(role: pb::Role) -> Option<Role> {
    match role {
        pb::Role::Administrator => Some(Role::Administrator),
        pb::Role::Supervisor => Some(Role::Supervisor),
        pb::Role::Agent => Some(Role::Agent),
        pb::Role::FlowAuthor => Some(Role::FlowAuthor),
        pb::Role::Unspecified => None,
    }
}
