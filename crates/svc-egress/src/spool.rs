//! Outcomes that could not be reported before a stop. They are kept and reported first at the next
//! start, so that a planned restart leaves nothing ambiguous behind. Other replicas hear of them and
//! report them at once: the log takes an outcome in once, whoever tells it.

use lib_proto::conversations::AttemptResult;
use lib_storage::{Database, Migration, StorageError, sql};
use prost::Message as _;

/// Every step of the schema.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "unreported outcomes",
        sql: "
CREATE TABLE unreported (
    message_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    result BLOB NOT NULL,
    PRIMARY KEY (message_id, attempt)
);
",
    },
    Migration {
        version: 2,
        name: "whose attempt it was",
        sql: "ALTER TABLE unreported ADD COLUMN sender TEXT NOT NULL DEFAULT '';",
    },
];

/// On which replicas announce that they left an outcome.
const LEFT: &str = "egress_unreported";

/// The table of outcomes still to be reported. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    database: Database,
    sender: String,
}

/// An outcome that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    /// How the attempt ended.
    pub(crate) result: AttemptResult,
    /// Who made it.
    pub(crate) sender: String,
}

impl Spool {
    /// The spool of `sender` in `database`.
    pub(crate) fn new(database: Database, sender: &str) -> Self {
        Self {
            database,
            sender: sender.to_owned(),
        }
    }

    /// Keeps an outcome, and announces it to the other replicas.
    pub(crate) async fn keep(&self, result: &AttemptResult) -> Result<(), StorageError> {
        let key = result.attempt.clone().unwrap_or_default();
        let mut tx = self.database.begin_concurrent().await?;
        sql(
            "INSERT INTO unreported (message_id, attempt, result, sender) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (message_id, attempt) DO NOTHING",
        )
        .bind(&key.message_id)
        .bind(key.attempt)
        .bind(result.encode_to_vec())
        .bind(&self.sender)
        .execute(&mut tx)
        .await?;
        tx.notify(LEFT, &self.sender).await?;
        tx.commit().await
    }

    /// All that is kept, by whomever.
    pub(crate) async fn all(&self) -> Result<Vec<Left>, StorageError> {
        let rows =
            sql("SELECT message_id, result, sender FROM unreported ORDER BY message_id, attempt")
                .fetch_all(&self.database)
                .await?;
        rows.iter()
            .map(|row| {
                let result = AttemptResult::decode(row.bytes(1)?).map_err(|error| {
                    let id = row.text(0).unwrap_or_default();
                    StorageError::corrupt("unreported", id, error)
                })?;
                let sender = row.get(2)?;
                Ok(Left { result, sender })
            })
            .collect()
    }

    /// Forgets outcomes: these, and no others, have been reported.
    pub(crate) async fn forget(&self, reported: &[&AttemptResult]) -> Result<(), StorageError> {
        let mut tx = self.database.begin_concurrent().await?;
        for result in reported {
            let key = result.attempt.clone().unwrap_or_default();
            sql("DELETE FROM unreported WHERE message_id = $1 AND attempt = $2")
                .bind(&key.message_id)
                .bind(key.attempt)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await
    }

    /// Calls `heard` whenever another replica may have left something.
    pub(crate) async fn heed(&self, heard: impl Fn() + Send + Sync) {
        let heard = |from: Option<&str>| {
            if from != Some(self.sender.as_str()) {
                heard();
            }
        };
        self.database.heed(LEFT, heard).await;
    }
}

#[cfg(test)]
mod tests {
    use lib_proto::conversations::AttemptKey;
    use lib_storage::{PostgresSettings, Profile, Servers, Storage};
    use lib_testkit::servers::PostgresServer;

    use super::*;

    fn result(message: &str) -> AttemptResult {
        AttemptResult {
            attempt: Some(AttemptKey {
                message_id: message.to_owned(),
                attempt: 1,
            }),
            outcome: None,
        }
    }

    /// What the first version did, in its own words.
    async fn kept_by_the_first_version(database: &Database, message: &str) {
        let mut tx = database.begin().await.unwrap();
        sql(
            "INSERT INTO unreported (message_id, attempt, result) VALUES ($1, $2, $3) \
             ON CONFLICT (message_id, attempt) DO NOTHING",
        )
        .bind(message)
        .bind(1_i64)
        .bind(result(message).encode_to_vec())
        .execute(&mut tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let rows = sql("SELECT result FROM unreported ORDER BY message_id, attempt")
            .fetch_all(database)
            .await
            .unwrap();
        assert!(!rows.is_empty());
    }

    #[tokio::test]
    async fn a_replica_of_the_first_version_works_on_when_the_schema_is_newer() {
        let server = PostgresServer::start().await;
        let settings = PostgresSettings {
            url: server.create_database().await,
            connections: 2,
        };
        let storage = Storage::Servers(Servers {
            postgres: Some(settings),
            redis: None,
            profile: Profile::A,
        });
        let old = storage.database("egress", &MIGRATIONS[..1]).await.unwrap();
        kept_by_the_first_version(&old, "cnv.m1").await;
        let new = storage.database("egress", MIGRATIONS).await.unwrap();
        kept_by_the_first_version(&old, "cnv.m2").await;
        let new = Spool::new(new, "egress-0");
        new.keep(&result("cnv.m3")).await.unwrap();
        kept_by_the_first_version(&old, "cnv.m4").await;
        let kept = new.all().await.unwrap();
        let kept: Vec<_> = kept
            .iter()
            .map(|left| (left.result.clone(), left.sender.as_str()))
            .collect();
        let expected = [("m1", ""), ("m2", ""), ("m3", "egress-0"), ("m4", "")];
        let expected = expected.map(|(id, sender)| (result(&format!("cnv.{id}")), sender));
        assert_eq!(kept, expected);
    }
}
