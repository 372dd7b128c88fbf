//! The service's tables. The committer writes them, in one transaction per batch; everything else
//! only reads. The log (`event`) and what is derived from it never disagree: they are committed
//! together, and `replay` proves it.

pub(crate) mod load;
pub(crate) mod log;
pub(crate) mod read;
pub(crate) mod replay;
pub(crate) mod write;

use lib_storage::Migration;

/// The schema.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "conversations",
    sql: "
CREATE TABLE conversation (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    number_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    phone TEXT NOT NULL,
    username TEXT NOT NULL,
    display_name TEXT NOT NULL,
    last_activity BIGINT NOT NULL,
    state TEXT NOT NULL
);
CREATE INDEX conversation_by_activity ON conversation (tenant, last_activity, id);
CREATE TABLE contact_key (
    tenant TEXT NOT NULL,
    number_id TEXT NOT NULL,
    key TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    PRIMARY KEY (tenant, number_id, key)
);
CREATE TABLE message (
    id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL,
    engagement_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    number_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    wamid TEXT,
    traceparent TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE UNIQUE INDEX message_by_wamid ON message (number_id, wamid) WHERE wamid IS NOT NULL;
CREATE INDEX message_by_conversation ON message (conversation_id, seq);
CREATE VIRTUAL TABLE message_text USING fts5 (
    text, tenant UNINDEXED, message_id UNINDEXED, tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TABLE engagement (
    id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    stage TEXT NOT NULL,
    agent TEXT NOT NULL,
    queue TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX engagement_by_time ON engagement (tenant, opened_at, id);
CREATE INDEX engagement_by_conversation ON engagement (conversation_id);
CREATE TABLE event (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    engagement_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    number_id TEXT NOT NULL,
    waba_id TEXT NOT NULL,
    traceparent TEXT NOT NULL,
    event TEXT NOT NULL
);
CREATE UNIQUE INDEX event_by_conversation ON event (conversation_id, seq)
    WHERE conversation_id <> '';
CREATE TABLE dedupe (key TEXT PRIMARY KEY, at BIGINT NOT NULL);
CREATE INDEX dedupe_by_time ON dedupe (at);
CREATE TABLE orphan_status (
    number_id TEXT NOT NULL,
    wamid TEXT NOT NULL,
    key TEXT NOT NULL,
    at BIGINT NOT NULL,
    traceparent TEXT NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (number_id, wamid, key)
);
CREATE INDEX orphan_status_by_time ON orphan_status (at);
CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    message_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_by_time ON idempotency (at);
CREATE TABLE timer (conversation_id TEXT PRIMARY KEY, due BIGINT NOT NULL);
CREATE TABLE outbox (
    conversation_id TEXT PRIMARY KEY,
    ready_at BIGINT NOT NULL,
    message_id TEXT NOT NULL,
    attempt BIGINT NOT NULL
);
",
}];
