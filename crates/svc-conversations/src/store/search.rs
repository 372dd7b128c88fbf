//! Looking for messages by their words. Both engines find the messages that have every word, in any
//! order, whatever the case and the accents; words are never operators. SQLite's index cuts texts
//! into words and takes accents off itself (FTS5, `unicode61`); PostgreSQL is given the words as
//! [`index_words`] cuts them. They differ where Unicode's tables of the two differ, for one with
//! scripts that write vowels as marks.

use std::collections::BTreeSet;

use lib_storage::{Database, Engine, StorageError, sql};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use super::load::{StoredMessage, stored_message};

/// Longest word that is indexed, in characters; the rest of a longer one is not looked at.
const WORD_MOST: usize = 100;
/// Most different words of a message that are indexed.
const WORDS_MOST: usize = 2_000;

/// Text without case and accents.
pub(crate) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let plain: String = text
        .nfd()
        .filter(|mark| !is_combining_mark(*mark))
        .collect();
    plain.to_lowercase().nfc().collect()
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(WORD_MOST).collect())
        .take(WORDS_MOST)
        .collect()
}

/// The words of a text as PostgreSQL's index takes them.
pub(crate) fn index_words(text: &str) -> String {
    let words: Vec<String> = words(&folded(text)).into_iter().collect();
    words.join(" ")
}

/// What a person typed, as a condition for `engine`; `None` without a word.
fn condition(query: &str, engine: Engine) -> Option<String> {
    let terms: Vec<String> = match engine {
        Engine::Sqlite => {
            // FTS5 folds by itself; marks stay with their letters.
            let whole: String = query.nfc().collect();
            let terms = words(&whole).into_iter();
            terms.map(|word| format!("text:\"{word}\"")).collect()
        }
        Engine::Postgres => words(&folded(query)).into_iter().collect(),
    };
    let and = match engine {
        Engine::Sqlite => " AND ",
        Engine::Postgres => " & ",
    };
    (!terms.is_empty()).then(|| terms.join(and))
}

/// Messages whose text has all words of `query`, newest first, before place `before` of the index;
/// each with its place.
pub(crate) async fn search(
    database: &Database,
    tenant: &str,
    query: &str,
    before: Option<i64>,
    most: i64,
) -> Result<Vec<(i64, StoredMessage)>, StorageError> {
    let Some(condition) = condition(query, database.engine()) else {
        return Ok(Vec::new());
    };
    let found = match database.engine() {
        Engine::Sqlite => {
            "SELECT message_id, MAX(rowid) AS place FROM message_text \
             WHERE message_text MATCH $1 AND ($2 = '' OR tenant = $2) GROUP BY message_id"
        }
        Engine::Postgres => {
            "SELECT message_id, MAX(place) AS place FROM message_text \
             WHERE CAST(words AS tsvector) @@ CAST($1 AS tsquery) \
             AND ($2 = '' OR tenant = $2) GROUP BY message_id"
        }
    };
    let text = format!(
        "SELECT m.id, m.conversation_id, m.record, m.traceparent, t.place FROM ({found}) t \
         JOIN message m ON m.id = t.message_id WHERE t.place < $3 \
         ORDER BY t.place DESC LIMIT $4"
    );
    let rows = sql(text)
        .bind(condition)
        .bind(tenant)
        .bind(before.unwrap_or(i64::MAX))
        .bind(most)
        .fetch_all(database)
        .await?;
    rows.iter()
        .map(|row| Ok((row.get(4)?, stored_message(row, 0)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_terms_and_never_operators() {
        for engine in [Engine::Sqlite, Engine::Postgres] {
            assert_eq!(condition("  \t-- ", engine), None);
        }
        let typed = "a\"b OR NEAR(c) !x & 'y'";
        assert_eq!(
            condition(typed, Engine::Sqlite).unwrap(),
            "text:\"NEAR\" AND text:\"OR\" AND text:\"a\" AND text:\"b\" AND text:\"c\" \
             AND text:\"x\" AND text:\"y\""
        );
        assert_eq!(
            condition(typed, Engine::Postgres).unwrap(),
            "a & b & c & near & or & x & y"
        );
    }

    #[test]
    fn case_and_accents_do_not_count() {
        assert_eq!(folded("GRÜNE Straße 한국어"), "grune straße 한국어");
        assert_eq!(
            index_words("Où est ma commande n°12-A?"),
            "12 a commande est ma n ou"
        );
    }
}
