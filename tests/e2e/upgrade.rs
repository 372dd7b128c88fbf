//! A schema is brought up to date under those who still work on it, and a step that fails leaves
//! nothing behind.

use lib_storage::{
    Database, Migration, PostgresSettings, Profile, Servers, Storage, StorageError, sql,
};
use lib_testkit::servers::PostgresServer;

/// What the service of this test has released so far.
const RELEASED: Migration = Migration {
    version: 1,
    name: "notes",
    sql: "CREATE TABLE note (id TEXT PRIMARY KEY, body TEXT NOT NULL);",
};
/// Its next step.
const NEXT: Migration = Migration {
    version: 2,
    name: "who wrote it",
    sql: "ALTER TABLE note ADD COLUMN author TEXT NOT NULL DEFAULT '';
          CREATE INDEX note_by_author ON note (author, id);",
};
/// A step whose third statement cannot work.
const BROKEN: Migration = Migration {
    version: 2,
    name: "half of it",
    sql: "ALTER TABLE note ADD COLUMN author TEXT NOT NULL DEFAULT '';
          CREATE TABLE author (id TEXT PRIMARY KEY);
          CREATE INDEX note_by_colour ON note (colour);",
};

/// The schema `notes` of the database at `url`, brought up to `steps`.
async fn notes(url: &str, steps: &[Migration]) -> Result<Database, StorageError> {
    let storage = Storage::Servers(Servers {
        postgres: Some(PostgresSettings {
            url: url.to_owned(),
            connections: 2,
        }),
        redis: None,
        profile: Profile::A,
    });
    storage.database("notes", steps).await
}

/// What the released version does, in its own statements. They name their columns: PostgreSQL refuses
/// a prepared `SELECT *` once its table has a column more.
async fn writes_as_released(database: &Database, id: &str) {
    let mut tx = database.begin().await.unwrap();
    sql("INSERT INTO note (id, body) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
        .bind(id)
        .bind("tulips")
        .execute(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let row = sql("SELECT body FROM note WHERE id = $1")
        .bind(id)
        .fetch_one(database)
        .await
        .unwrap();
    assert_eq!(row.text(0).unwrap(), "tulips");
}

#[tokio::test]
async fn the_old_version_works_on_when_the_schema_is_newer() {
    let server = PostgresServer::start().await;
    let url = server.create_database().await;
    let old = notes(&url, &[RELEASED]).await.unwrap();
    // Twice, so that its statements are prepared.
    writes_as_released(&old, "before").await;
    writes_as_released(&old, "before").await;
    let new = notes(&url, &[RELEASED, NEXT]).await.unwrap();
    writes_as_released(&old, "after").await;
    writes_as_released(&old, "before").await;
    let rows = sql("SELECT id, author FROM note ORDER BY id")
        .fetch_all(&new)
        .await
        .unwrap();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.text(0).unwrap(), row.text(1).unwrap()))
        .collect();
    assert_eq!(rows, [("after", ""), ("before", "")]);
    // What is started now must not be of the old version.
    let refused = notes(&url, &[RELEASED]).await.unwrap_err();
    assert!(
        matches!(refused, StorageError::Newer { found: 2, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_step_that_fails_leaves_nothing_half_done() {
    let server = PostgresServer::start().await;
    let url = server.create_database().await;
    let old = notes(&url, &[RELEASED]).await.unwrap();
    writes_as_released(&old, "before").await;
    let failed = notes(&url, &[RELEASED, BROKEN]).await.unwrap_err();
    assert!(
        matches!(failed, StorageError::Migrate { version: 2, .. }),
        "{failed}"
    );
    let left = "SELECT (SELECT COUNT(*) FROM information_schema.columns WHERE \
                table_schema = 'notes' AND column_name = 'author'), \
                (SELECT COUNT(*) FROM information_schema.tables WHERE \
                table_schema = 'notes' AND table_name = 'author'), \
                (SELECT MAX(version) FROM schema_version)";
    let row = sql(left).fetch_one(&old).await.unwrap();
    let left: [i64; 3] = [0, 1, 2].map(|column| row.get(column).unwrap());
    assert_eq!(left, [0, 0, 1], "columns, tables, version");
    writes_as_released(&old, "after").await;
    // The step, mended, is taken by the next start.
    notes(&url, &[RELEASED, NEXT]).await.unwrap();
    writes_as_released(&old, "later").await;
}
