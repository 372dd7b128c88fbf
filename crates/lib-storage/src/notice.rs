//! Hearing what other replicas announce with [`crate::Tx::notify`].

use std::time::Duration;

use crate::database::Database;

/// How long after a lost connection listening is taken up again.
const AGAIN: Duration = Duration::from_secs(1);

impl Database {
    /// Calls `heard` with every announcement on `channel`, until it is dropped. `None` means that
    /// announcements may have been missed: at the start, and whenever the connection was lost.
    /// Whoever keeps copies forgets them all then. On SQLite, which has no other replicas, nothing
    /// is ever heard.
    ///
    /// A connection that dies without a word is noticed by TCP only: copies need an age limit too.
    pub async fn heed(&self, channel: &str, mut heard: impl FnMut(Option<&str>) + Send) {
        if self.postgres().is_none() {
            return std::future::pending().await;
        }
        loop {
            if let Ok(Some(mut listener)) = self.listen(channel).await {
                heard(None);
                while let Ok(Some(told)) = listener.try_recv().await {
                    heard(Some(told.payload()));
                }
            }
            heard(None);
            tokio::time::sleep(AGAIN).await;
        }
    }
}
