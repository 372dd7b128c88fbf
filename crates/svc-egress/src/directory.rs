//! Graph tokens of numbers, as the accounts service knows them. Held in memory only, until Meta
//! refuses one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lib_platform::AuthorizedChannel;
use lib_proto::accounts::ResolveNumbersRequest;
use lib_proto::accounts::directory_service_client::DirectoryServiceClient;
use tonic::Status;

/// Looks tokens up and remembers them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Directory {
    accounts: DirectoryServiceClient<AuthorizedChannel>,
    tokens: Arc<Mutex<BTreeMap<String, Arc<str>>>>,
}

impl Directory {
    /// Asks over `accounts`.
    pub(crate) fn new(accounts: AuthorizedChannel) -> Self {
        Self {
            accounts: DirectoryServiceClient::new(accounts),
            tokens: Arc::default(),
        }
    }

    /// The token of a number; `None` when the number is not connected.
    pub(crate) async fn token(&self, number: &str) -> Result<Option<Arc<str>>, Status> {
        if let Some(known) = self.lock().get(number) {
            return Ok(Some(Arc::clone(known)));
        }
        let request = ResolveNumbersRequest {
            number_ids: vec![number.to_owned()],
        };
        let answer = self.accounts.clone().resolve_numbers(request).await?;
        let Some(record) = answer.into_inner().numbers.pop() else {
            return Ok(None);
        };
        let token: Arc<str> = record.access_token.into();
        self.lock().insert(number.to_owned(), Arc::clone(&token));
        Ok(Some(token))
    }

    /// Forgets the token of a number, so that the next look-up asks again.
    pub(crate) fn forget(&self, number: &str) {
        self.lock().remove(number);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<str>>> {
        // The map is whole after every single operation, so a panic elsewhere spoils nothing.
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
