//! Graph tokens of numbers, as the accounts service knows them. Held in memory only, until Meta
//! refuses one or it is half a minute old; so a token that was replaced is used no longer than that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lib_platform::AuthorizedChannel;
use lib_proto::accounts::ResolveNumbersRequest;
use lib_proto::accounts::directory_service_client::DirectoryServiceClient;
use tokio::time::Instant;
use tonic::Status;

/// How long a token is used without asking again. The contract of `ReplaceGraphToken` says so.
const BELIEVED: Duration = Duration::from_secs(30);

/// Looks tokens up and remembers them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Directory {
    accounts: DirectoryServiceClient<AuthorizedChannel>,
    tokens: Arc<Mutex<BTreeMap<String, Known>>>,
}

struct Known {
    token: Arc<str>,
    asked: Instant,
}

impl Directory {
    /// Asks over `accounts`.
    pub(crate) fn new(accounts: AuthorizedChannel) -> Self {
        Self {
            accounts: DirectoryServiceClient::new(accounts),
            tokens: Arc::default(),
        }
    }

    /// The token of a number; `None` when the number is not connected. While the accounts service
    /// cannot be asked, the last token is used on.
    pub(crate) async fn token(&self, number: &str) -> Result<Option<Arc<str>>, Status> {
        let mut last = None;
        if let Some(known) = self.lock().get_mut(number) {
            if known.asked.elapsed() < BELIEVED {
                return Ok(Some(Arc::clone(&known.token)));
            }
            // We ask; those who come meanwhile use the last one.
            known.asked = Instant::now();
            last = Some(Arc::clone(&known.token));
        }
        let request = ResolveNumbersRequest {
            number_ids: vec![number.to_owned()],
        };
        let answer = match (self.accounts.clone().resolve_numbers(request).await, last) {
            (Ok(answer), _) => answer,
            (Err(_), Some(last)) => return Ok(Some(last)),
            (Err(status), None) => return Err(status),
        };
        let Some(record) = answer.into_inner().numbers.pop() else {
            self.forget(number);
            return Ok(None);
        };
        let token: Arc<str> = record.access_token.into();
        let known = Known {
            token: Arc::clone(&token),
            asked: Instant::now(),
        };
        self.lock().insert(number.to_owned(), known);
        Ok(Some(token))
    }

    /// Forgets the token of a number, so that the next look-up asks again.
    pub(crate) fn forget(&self, number: &str) {
        self.lock().remove(number);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Known>> {
        // The map is whole after every single operation, so a panic elsewhere spoils nothing.
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
