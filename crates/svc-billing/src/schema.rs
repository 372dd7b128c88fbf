//! The tables of the billing service. Ledger tables only grow: triggers refuse every change, and a
//! journal is checked again by the database, whatever program writes it: on SQLite when its last leg
//! is written, on PostgreSQL at the commit. A journal that stands has all its legs, and no leg can be
//! added after the last one, so a balanced pair appended later is refused too.

use lib_storage::Migration;

/// Every step of the schema.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "ledger",
        sql: LEDGER,
    },
    Migration {
        version: 2,
        name: "the log is followed in parts",
        sql: PARTS,
    },
    Migration {
        version: 3,
        name: "messages are looked up by one index only",
        sql: LOOK_UPS,
    },
];

/// Of two indexes that begin with the number, PostgreSQL may take the wrong one while the ledger is
/// young, and read all messages of the number for each it looks up.
const LOOK_UPS: &str = "
--only postgres
ALTER TABLE usage_record DROP CONSTRAINT usage_record_number_id_opens_conversation_key;
CREATE UNIQUE INDEX usage_by_conversation ON usage_record (opens_conversation, number_id)
    WHERE opens_conversation IS NOT NULL;
--both
";

/// `follow_part.cursor` is what has had its effect for certain; `seen` is for people: every entry of
/// the part up to there was looked at.
const PARTS: &str = "
CREATE TABLE follow_part (
    part BIGINT PRIMARY KEY,
    parts BIGINT NOT NULL,
    cursor TEXT NOT NULL,
    seen TEXT NOT NULL
);
INSERT INTO follow_part (part, parts, cursor, seen)
SELECT 0, 1, cursor, cursor FROM follow WHERE cursor <> '';
DROP TABLE follow;
";

const LEDGER: &str = r#"
CREATE TABLE follow (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    cursor TEXT NOT NULL
);
INSERT INTO follow (id, cursor) VALUES (1, '');

CREATE TABLE usage_record (
    seq BIGINT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    waba_id TEXT NOT NULL,
    number_id TEXT NOT NULL,
    wamid TEXT NOT NULL,
    message_id TEXT NOT NULL,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    month TEXT NOT NULL,
    country TEXT NOT NULL,
    market TEXT NOT NULL,
    category TEXT NOT NULL,
    pricing_type TEXT NOT NULL,
    currency TEXT NOT NULL,
    rate_micros BIGINT NOT NULL CHECK (rate_micros >= 0),
    amount_micros BIGINT NOT NULL CHECK (amount_micros >= 0),
    counts BIGINT NOT NULL,
    opens_conversation TEXT,
    explanation TEXT NOT NULL,
    UNIQUE (number_id, wamid),
    UNIQUE (number_id, opens_conversation)
);
CREATE INDEX usage_by_month ON usage_record (tenant_id, month);
CREATE INDEX usage_by_message ON usage_record (message_id);
CREATE INDEX usage_counted ON usage_record (number_id, month) WHERE counts = 1;
CREATE INDEX usage_counted_waba ON usage_record (waba_id, month) WHERE counts = 1;

CREATE TABLE journal (
    seq BIGINT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    usage_seq BIGINT NOT NULL REFERENCES usage_record (seq),
    tenant_id TEXT NOT NULL,
    legs BIGINT NOT NULL CHECK (legs >= 2),
    posted_at BIGINT NOT NULL,
    reverses TEXT UNIQUE REFERENCES journal (id)
);
CREATE INDEX journal_by_tenant ON journal (tenant_id, seq);

CREATE TABLE posting (
    journal_seq BIGINT NOT NULL REFERENCES journal (seq),
    leg BIGINT NOT NULL CHECK (leg >= 1),
    account TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount_micros BIGINT NOT NULL CHECK (amount_micros <> 0),
    PRIMARY KEY (journal_seq, leg)
);

CREATE TABLE unrated (
    number_id TEXT NOT NULL,
    wamid TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    month TEXT NOT NULL,
    occurred_at BIGINT NOT NULL,
    awaits_price BIGINT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (number_id, wamid)
);
CREATE INDEX unrated_by_month ON unrated (tenant_id, month, occurred_at);

--only sqlite
CREATE TRIGGER usage_record_stays BEFORE UPDATE ON usage_record
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER usage_record_is_kept BEFORE DELETE ON usage_record
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER journal_stays BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'journals are reversed, never changed'); END;
CREATE TRIGGER journal_is_kept BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'journals are reversed, never changed'); END;
CREATE TRIGGER posting_stays BEFORE UPDATE ON posting
BEGIN SELECT RAISE(ABORT, 'journals are reversed, never changed'); END;
CREATE TRIGGER posting_is_kept BEFORE DELETE ON posting
BEGIN SELECT RAISE(ABORT, 'journals are reversed, never changed'); END;
CREATE TRIGGER posting_belongs BEFORE INSERT ON posting
WHEN NEW.leg > (SELECT legs FROM journal WHERE seq = NEW.journal_seq)
BEGIN SELECT RAISE(ABORT, 'the journal has all its legs'); END;
CREATE TRIGGER posting_balances AFTER INSERT ON posting
WHEN NEW.leg = (SELECT legs FROM journal WHERE seq = NEW.journal_seq)
    AND (SELECT SUM(amount_micros) <> 0 OR COUNT(*) <> NEW.leg OR COUNT(DISTINCT currency) <> 1
         FROM posting WHERE journal_seq = NEW.journal_seq)
BEGIN SELECT RAISE(ABORT, 'the journal does not balance'); END;
--only postgres
CREATE SEQUENCE usage_seq;
ALTER TABLE unrated ALTER COLUMN reason TYPE TEXT COLLATE "C";

CREATE FUNCTION ledger_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the ledger only grows; journals are reversed, never changed'; END $$;
CREATE TRIGGER usage_record_stays BEFORE UPDATE OR DELETE ON usage_record
FOR EACH ROW EXECUTE FUNCTION ledger_only_grows();
CREATE TRIGGER usage_record_is_kept BEFORE TRUNCATE ON usage_record
FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();
CREATE TRIGGER journal_stays BEFORE UPDATE OR DELETE ON journal
FOR EACH ROW EXECUTE FUNCTION ledger_only_grows();
CREATE TRIGGER journal_is_kept BEFORE TRUNCATE ON journal
FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();
CREATE TRIGGER posting_stays BEFORE UPDATE OR DELETE ON posting
FOR EACH ROW EXECUTE FUNCTION ledger_only_grows();
CREATE TRIGGER posting_is_kept BEFORE TRUNCATE ON posting
FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();

CREATE FUNCTION posting_belongs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.leg > (SELECT legs FROM journal WHERE seq = NEW.journal_seq) THEN
        RAISE EXCEPTION 'the journal has all its legs';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER posting_belongs BEFORE INSERT ON posting
FOR EACH ROW EXECUTE FUNCTION posting_belongs();

CREATE FUNCTION journal_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM posting WHERE journal_seq = NEW.seq
        HAVING COUNT(*) <> NEW.legs OR COUNT(DISTINCT currency) <> 1 OR SUM(amount_micros) <> 0
    ) THEN
        RAISE EXCEPTION 'the journal does not balance';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER journal_balances AFTER INSERT ON journal
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION journal_balances();
--both
"#;

#[cfg(test)]
mod tests {
    use lib_storage::{Database, sql};

    use super::*;

    #[tokio::test]
    async fn a_ledger_of_the_first_version_goes_on_where_it_stood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("billing.db");
        let first = Database::open_file(&path, &MIGRATIONS[..1]).await.unwrap();
        let mut tx = first.begin().await.unwrap();
        let stood = sql("UPDATE follow SET cursor = '42'");
        stood.execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        drop(first);
        let now = Database::open_file(&path, MIGRATIONS).await.unwrap();
        let row = sql("SELECT part, parts, cursor, seen FROM follow_part");
        let row = row.fetch_one(&now).await.unwrap();
        let part: (i64, i64) = (row.get(0).unwrap(), row.get(1).unwrap());
        assert_eq!(part, (0, 1));
        assert_eq!((row.text(2).unwrap(), row.text(3).unwrap()), ("42", "42"));
    }
}
