//! Whose a number or an account is, as the accounts service knows it. Asked every time: nothing
//! here is so hot that a stale answer would be worth it.

use lib_platform::{AuthorizedChannel, Refusal};
use lib_proto::accounts::directory_service_client::DirectoryServiceClient;
use lib_proto::accounts::{NumberRecord, ResolveNumbersRequest, ResolveWabaRequest};
use tonic::{Code, Status};

/// One connector and what is needed to act for it. Not `Debug`: it holds a secret.
#[derive(Clone)]
pub(crate) struct ConnectorRef {
    /// Whose it is.
    pub(crate) tenant: String,
    /// Its id within the tenant.
    pub(crate) id: String,
    /// Meta's id of the account.
    pub(crate) waba_id: String,
    /// Graph API token.
    pub(crate) token: String,
}

/// Asks the accounts service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Directory {
    accounts: DirectoryServiceClient<AuthorizedChannel>,
}

fn connector_ref(record: NumberRecord) -> Option<ConnectorRef> {
    let connector = record.connector?;
    Some(ConnectorRef {
        tenant: record.tenant_id,
        id: connector.id,
        waba_id: connector.waba_id,
        token: record.access_token,
    })
}

impl Directory {
    /// Asks over `accounts`.
    pub(crate) fn new(accounts: AuthorizedChannel) -> Self {
        Self {
            accounts: DirectoryServiceClient::new(accounts)
                .max_decoding_message_size(lib_platform::server::MAX_MESSAGE_BYTES),
        }
    }

    async fn numbers(&self, number_ids: Vec<String>) -> Result<Vec<NumberRecord>, Status> {
        let request = ResolveNumbersRequest { number_ids };
        let answer = self.accounts.clone().resolve_numbers(request).await?;
        Ok(answer.into_inner().numbers)
    }

    /// The connector a number belongs to, if the number is known and, when `tenant` is given,
    /// that tenant's.
    pub(crate) async fn of_number(
        &self,
        number: &str,
        tenant: Option<&str>,
    ) -> Result<ConnectorRef, Status> {
        let mut found = self.numbers(vec![number.to_owned()]).await?;
        let visible = |connector: &ConnectorRef| tenant.is_none_or(|t| t == connector.tenant);
        let connector = found.pop().and_then(connector_ref).filter(visible);
        connector.ok_or_else(|| Refusal::not_found("number", number).into())
    }

    /// A tenant's connector. Known once it has a number: nothing can be sent before.
    pub(crate) async fn connector(&self, tenant: &str, id: &str) -> Result<ConnectorRef, Status> {
        let all = self.numbers(Vec::new()).await?;
        all.into_iter()
            .filter_map(connector_ref)
            .find(|connector| connector.tenant == tenant && connector.id == id)
            .ok_or_else(|| Refusal::not_found("connector with a number", id).into())
    }

    /// The connector of an account, if there is one.
    pub(crate) async fn of_waba(&self, waba_id: &str) -> Result<Option<ConnectorRef>, Status> {
        let request = ResolveWabaRequest {
            waba_id: waba_id.to_owned(),
        };
        match self.accounts.clone().resolve_waba(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                Ok(answer.connector.map(|connector| ConnectorRef {
                    tenant: answer.tenant_id,
                    id: connector.id,
                    waba_id: connector.waba_id,
                    token: answer.access_token,
                }))
            }
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }
}
