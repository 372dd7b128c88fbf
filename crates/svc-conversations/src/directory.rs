//! Whose number is it, and which flow answers it: asked of accounts, believed for two seconds.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use core_types::{FlowId, TenantId};
use lib_platform::AuthorizedChannel;
use lib_proto::accounts as pb;
use pb::directory_service_client::DirectoryServiceClient;
use tokio::time::Instant;
use tonic::Code;

/// How long an answer is believed.
const BELIEVED: Duration = Duration::from_secs(2);
/// How long accounts may take. The writer waits for it, so it is short.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is known of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// Whose it is.
    pub(crate) tenant: TenantId,
    /// The flow that answers it.
    pub(crate) flow: Option<FlowId>,
}

/// Asks accounts, in batches.
pub(crate) struct Directory {
    client: DirectoryServiceClient<AuthorizedChannel>,
    numbers: Mutex<HashMap<String, (Number, Instant)>>,
    accounts: Mutex<HashMap<String, (TenantId, Instant)>>,
}

impl Directory {
    /// A directory behind `channel`.
    pub(crate) fn new(channel: AuthorizedChannel) -> Self {
        let client = DirectoryServiceClient::new(channel)
            .max_decoding_message_size(lib_platform::server::MAX_MESSAGE_BYTES);
        Self {
            client,
            numbers: Mutex::default(),
            accounts: Mutex::default(),
        }
    }

    /// What is known of `ids`; unknown ones are missing. While accounts does not answer, what was
    /// known last is believed.
    ///
    /// # Errors
    /// When accounts does not answer and one of the numbers was never asked for.
    pub(crate) async fn numbers(
        &self,
        ids: &[String],
    ) -> Result<HashMap<String, Number>, tonic::Status> {
        let (mut known, wanted) = self.cached(ids);
        if wanted.is_empty() {
            return Ok(known);
        }
        let mut request = tonic::Request::new(pb::ResolveNumbersRequest {
            number_ids: wanted.clone(),
        });
        request.set_timeout(PATIENCE);
        match self.client.clone().resolve_numbers(request).await {
            Ok(answer) => {
                let now = Instant::now();
                let records = answer.into_inner().numbers;
                let found = records.into_iter().filter_map(number_of);
                let mut cache = self.numbers.lock().map_err(poisoned)?;
                for id in &wanted {
                    cache.remove(id);
                    known.remove(id);
                }
                for (id, number) in found {
                    cache.insert(id.clone(), (number.clone(), now));
                    known.insert(id, number);
                }
                Ok(known)
            }
            Err(status) if wanted.iter().all(|id| known.contains_key(id)) => {
                tracing::debug!(code = ?status.code(), "accounts does not answer; believing what was known");
                Ok(known)
            }
            Err(status) => Err(status),
        }
    }

    /// What is remembered of `ids`, and which have to be asked for again.
    fn cached(&self, ids: &[String]) -> (HashMap<String, Number>, Vec<String>) {
        let Ok(cache) = self.numbers.lock() else {
            return (HashMap::new(), ids.to_vec());
        };
        let (mut known, mut wanted) = (HashMap::new(), Vec::new());
        for id in ids {
            let fresh = cache.get(id).is_some_and(|(number, at)| {
                known.insert(id.clone(), number.clone());
                at.elapsed() < BELIEVED
            });
            if !fresh {
                wanted.push(id.clone());
            }
        }
        (known, wanted)
    }

    /// The tenant of an account; `None` when it is not connected.
    ///
    /// # Errors
    /// When accounts does not answer.
    pub(crate) async fn account(&self, waba: &str) -> Result<Option<TenantId>, tonic::Status> {
        let cached = self.accounts.lock().map_err(poisoned)?.get(waba).cloned();
        if let Some((tenant, at)) = cached
            && at.elapsed() < BELIEVED
        {
            return Ok(Some(tenant));
        }
        let mut request = tonic::Request::new(pb::ResolveWabaRequest {
            waba_id: waba.to_owned(),
        });
        request.set_timeout(PATIENCE);
        match self.client.clone().resolve_waba(request).await {
            Ok(answer) => {
                let tenant = TenantId::new(answer.into_inner().tenant_id).ok();
                if let Some(tenant) = &tenant {
                    let mut cache = self.accounts.lock().map_err(poisoned)?;
                    cache.insert(waba.to_owned(), (tenant.clone(), Instant::now()));
                }
                Ok(tenant)
            }
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }
}

fn poisoned<T>(_: std::sync::PoisonError<T>) -> tonic::Status {
    tonic::Status::unavailable("the directory is being restarted")
}

fn number_of(record: pb::NumberRecord) -> Option<(String, Number)> {
    let number = record.number?;
    let tenant = TenantId::new(record.tenant_id).ok()?;
    let flow = FlowId::new(number.flow_id).ok();
    Some((number.id, Number { tenant, flow }))
}
