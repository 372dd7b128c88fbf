//! Who pays for a number: the connector behind it, asked from the accounts service and remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use core_billing::{Account, Zone};
use core_types::{NumberId, TenantId, WabaId};
use lib_platform::AuthorizedChannel;
use lib_proto::accounts::directory_service_client::DirectoryServiceClient;
use lib_proto::accounts::{NumberRecord, ResolveNumbersRequest};
use tonic::Status;

/// The account of a number, or why it cannot be billed.
pub(crate) type Payer = Result<Arc<Account>, String>;

/// Looks numbers up. Cheap to clone; clones share what is remembered. Only usable answers are: a
/// number that is not known, or whose connector cannot be billed, is asked for again.
#[derive(Clone)]
pub(crate) struct Payers {
    directory: DirectoryServiceClient<AuthorizedChannel>,
    known: Arc<Mutex<BTreeMap<String, Arc<Account>>>>,
}

impl Payers {
    pub(crate) fn new(directory: DirectoryServiceClient<AuthorizedChannel>) -> Self {
        Self {
            directory,
            known: Arc::default(),
        }
    }

    /// The payer of each number.
    ///
    /// # Errors
    /// When the accounts service cannot be asked now.
    pub(crate) async fn of(
        &self,
        numbers: BTreeSet<String>,
    ) -> Result<BTreeMap<String, Payer>, Status> {
        let mut payers: BTreeMap<String, Payer> = BTreeMap::new();
        let mut missing = Vec::new();
        {
            let known = self.known.lock().map_err(|_| poisoned())?;
            for number in numbers {
                match known.get(&number) {
                    Some(account) => {
                        payers.insert(number, Ok(account.clone()));
                    }
                    None => missing.push(number),
                }
            }
        }
        if missing.is_empty() {
            return Ok(payers);
        }
        let request = ResolveNumbersRequest {
            number_ids: missing.clone(),
        };
        let answer = self.directory.clone().resolve_numbers(request).await?;
        for record in answer.into_inner().numbers {
            let id = record.number.as_ref().map_or("", |number| &number.id);
            payers.insert(id.to_owned(), account(&record).map(Arc::new));
        }
        let mut known = self.known.lock().map_err(|_| poisoned())?;
        for number in missing {
            match payers.get(&number) {
                Some(Ok(account)) => {
                    known.insert(number, account.clone());
                }
                Some(Err(_)) => {}
                None => {
                    let reason = format!("number {number} is not known to the accounts service");
                    payers.insert(number, Err(reason));
                }
            }
        }
        Ok(payers)
    }
}

fn poisoned() -> Status {
    lib_platform::Refusal::internal(&"the table of payers was left half written").into()
}

/// What billing needs of a record.
fn account(record: &NumberRecord) -> Result<Account, String> {
    let number = record.number.as_ref().ok_or("the number has no record")?;
    let connector = record.connector.as_ref();
    let connector = connector.ok_or_else(|| format!("number {} has no connector", number.id))?;
    let of_connector = |problem: String| format!("connector {}: {problem}", connector.id);
    let currency = connector.currency_code.parse();
    Ok(Account {
        tenant: TenantId::new(&record.tenant_id).map_err(|error| error.to_string())?,
        waba: WabaId::new(&connector.waba_id).map_err(|error| of_connector(error.to_string()))?,
        number: NumberId::new(&number.id).map_err(|error| error.to_string())?,
        currency: currency
            .map_err(|error: core_types::MoneyError| of_connector(error.to_string()))?,
        zone: Zone::parse(&connector.time_zone).map_err(|error| of_connector(error.to_string()))?,
    })
}
