//! Access tokens of users, and the Graph API tokens of connectors: giving out, withdrawing,
//! replacing.

use lib_platform::credential::token_digest;
use lib_platform::{Caller, Refusal, page};
use lib_proto::accounts::{self as pb, Connector};
use rand::RngCore as _;

use crate::accounts::Accounts;
use crate::rows::{token_id, token_id_bytes};
use crate::{check, store};

/// What an access token starts with, so that people and scanners recognise one that leaked.
const TOKEN_PREFIX: &str = "fdt_";

impl Accounts {
    /// Gives a user of a tenant a new token.
    pub(crate) async fn add_token(
        &self,
        tenant: &str,
        by: &Caller,
        mut wanted: pb::CreateAccessTokenRequest,
    ) -> Result<pb::AccessToken, Refusal> {
        check::note(&mut wanted.note)?;
        let mut tx = self.database.begin().await?;
        store::user(&mut tx, tenant, &wanted.user_id)
            .await?
            .ok_or_else(|| Refusal::not_found("user", &wanted.user_id))?;
        let mut secret = [0_u8; 32];
        rand::rng().fill_bytes(&mut secret);
        let token = format!("{TOKEN_PREFIX}{}", hex::encode(secret));
        let digest = token_digest(&token);
        store::insert_token(
            &mut tx,
            &digest,
            (tenant, &wanted.user_id),
            (&wanted.note, &by.name()),
            self.clock.now(),
        )
        .await?;
        tx.commit().await?;
        Ok(pb::AccessToken {
            token,
            user_id: wanted.user_id,
            id: token_id(&digest),
        })
    }

    /// A page of a tenant's tokens.
    pub(crate) async fn tokens(
        &self,
        tenant: &str,
        asked: &pb::ListAccessTokensRequest,
    ) -> Result<pb::ListAccessTokensResponse, Refusal> {
        let size = page::size(asked.page_size)?;
        let skip: usize = match page::after(&asked.page_token)?.as_str() {
            "" => 0,
            text => text
                .parse()
                .map_err(|_| Refusal::invalid("page_token", "is not one this service gave out"))?,
        };
        let part = (skip as i64, size + 1);
        let found = store::access_tokens(&self.database, tenant, &asked.user_id, part);
        let mut access_tokens = found.await?;
        // Tokens are never removed, so a count leads to the same place again.
        let next_page_token = page::cut(&mut access_tokens, size, |_| (skip + size).to_string());
        Ok(pb::ListAccessTokensResponse {
            access_tokens,
            next_page_token,
        })
    }

    /// Withdraws a token of a tenant's user.
    pub(crate) async fn withdraw_token(
        &self,
        tenant: &str,
        id: &str,
    ) -> Result<pb::AccessTokenInfo, Refusal> {
        let unknown = || Refusal::not_found("access token", id);
        let bytes = token_id_bytes(id).ok_or_else(unknown)?;
        let mut tx = self.database.begin().await?;
        store::revoke_token(&mut tx, tenant, &bytes, self.clock.now()).await?;
        let token = store::access_token(&mut tx, tenant, &bytes).await?;
        let token = token.ok_or_else(unknown)?;
        tx.commit().await?;
        tracing::info!(
            tenant,
            user = token.user_id,
            id,
            "an access token is withdrawn"
        );
        Ok(token)
    }

    /// Gives a tenant's connector another Graph API token.
    pub(crate) async fn replace_token(
        &self,
        tenant: &str,
        asked: &pb::ReplaceGraphTokenRequest,
    ) -> Result<Connector, Refusal> {
        check::graph_token(&asked.access_token)?;
        let (id, token) = (&asked.connector_id, &asked.access_token);
        let mut tx = self.database.begin().await?;
        let owned = store::connector(&mut tx, tenant, id)
            .await?
            .ok_or_else(|| Refusal::not_found("connector", id))?;
        store::replace_graph_token(&mut tx, tenant, id, token).await?;
        tx.commit().await?;
        tracing::info!(tenant, connector = id, "a Graph API token is replaced");
        Ok(owned.connector)
    }
}
