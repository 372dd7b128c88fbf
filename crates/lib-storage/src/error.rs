//! What can go wrong with a database, named, with what to do about it.

/// What can go wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It cannot be opened.
    #[error("cannot open the database {database}: {}", told(.cause))]
    Open {
        /// Which one: a file, or host, port and name. Never a password.
        database: String,
        /// Why. Not the source, which would be told once more.
        cause: sqlx::Error,
    },
    /// The address of a database server cannot be read.
    #[error(
        "postgres.url cannot be used: {problem}; write postgres://user:password@host:5432/name"
    )]
    Address {
        /// What is wrong with it. Never quotes it: it may hold a password.
        problem: String,
    },
    /// The server is not fit to keep records.
    #[error("{database}: {problem}")]
    Unfit {
        /// Which one.
        database: String,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A migration failed; nothing of it was kept.
    #[error("migration {version} ({name}) of {database} failed: {}", told(.cause))]
    Migrate {
        /// Which one.
        database: String,
        /// Which step.
        version: i64,
        /// Its name.
        name: &'static str,
        /// Why.
        cause: sqlx::Error,
    },
    /// The database was written by a newer Frontdesk.
    #[error(
        "{database} has schema {found}, this program knows {known}: run the newer version of \
         Frontdesk, or restore the backup made before the upgrade"
    )]
    Newer {
        /// Which one.
        database: String,
        /// Schema found.
        found: i64,
        /// Newest schema known here.
        known: i64,
    },
    /// A query failed.
    #[error("the database refused: {}", told(.0))]
    Query(sqlx::Error),
    /// The lease under which the work was begun is another's now; nothing was written.
    #[error("partition {partition} of {group} belongs to another replica now")]
    Fenced {
        /// Which work.
        group: String,
        /// Which part of it.
        partition: u16,
    },
    /// A stored row cannot be read back; it is never guessed at.
    #[error("row {id} of {table} cannot be read: {problem}")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// Which row.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        Self::Query(error)
    }
}

impl StorageError {
    /// A stored row that cannot be read back.
    pub fn corrupt(table: &'static str, id: impl Into<String>, problem: impl ToString) -> Self {
        Self::Corrupt {
            table,
            id: id.into(),
            problem: problem.to_string(),
        }
    }

    /// Whether it is the violation of a unique index.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Query(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Whether a lease was lost: the work goes on elsewhere.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }

    /// Whether the database is away, full or busy at the moment: the same thing may be tried again.
    pub fn is_passing(&self) -> bool {
        let (Self::Query(error)
        | Self::Open { cause: error, .. }
        | Self::Migrate { cause: error, .. }) = self
        else {
            return false;
        };
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => true,
            sqlx::Error::Database(refused) => {
                refused.code().is_some_and(|code| is_passing_code(&code))
            }
            _ => false,
        }
    }

    /// Whether trying again by itself cannot help: a person has to do something first. A migration
    /// that a lost connection or a full disk broke off may be tried again: nothing of it was kept.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Newer { .. } | Self::Address { .. } => true,
            Self::Migrate { .. } => !self.is_passing(),
            _ => false,
        }
    }
}

/// An error and what to do about it. A server's own words come with their code, and without the line
/// of its source.
fn told(error: &sqlx::Error) -> String {
    let remedy = remedy(error);
    match error {
        sqlx::Error::Database(refused) => {
            let code = refused.code().unwrap_or_default();
            format!("{} ({code}){remedy}", refused.message())
        }
        _ => format!("{error}{remedy}"),
    }
}

/// What to do about an error, as the end of a sentence; empty when there is nothing to add.
fn remedy(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Io(_) => "; check that the server runs and that host and port are right",
        sqlx::Error::PoolTimedOut => {
            "; every connection is in use, or the server does not answer: see \
             postgres.connections and the server's max_connections"
        }
        sqlx::Error::Tls(_) => "; check the server's certificate, or sslmode in the URL",
        sqlx::Error::Database(refused) => refused.code().map_or("", |code| code_remedy(&code)),
        _ => "",
    }
}

/// By SQLSTATE class: connection, transaction rolled back, resources, intervention, system; and a
/// read-only server (a failover is under way), a transaction that was idle for too long, a lock that
/// was not to be had in time. SQLite: busy, locked, full.
fn is_passing_code(code: &str) -> bool {
    ["08", "40", "53", "57", "58"]
        .iter()
        .any(|class| code.len() == 5 && code.starts_with(class))
        || ["25006", "25P03", "55P03", "5", "6", "13"].contains(&code)
}

/// By SQLSTATE (PostgreSQL documentation, appendix A) and SQLite's result codes.
fn code_remedy(code: &str) -> &'static str {
    match code {
        "28P01" | "28000" => "; check user and password in postgres.url",
        "3D000" => "; create the database, or correct its name in postgres.url",
        "42501" => {
            "; grant the role CREATE on the database and ownership of its schemas, or make it a \
             member of the role that has both: GRANT owner TO role"
        }
        "25006" => {
            "; the server takes no writes: point postgres.url at the primary, or, where \
             default_transaction_read_only is on, free its storage"
        }
        "53100" => "; the server's disk is full: free space, nothing was lost",
        "53300" => "; raise max_connections or lower postgres.connections",
        "57P03" => "; the server is starting up: this is tried again",
        "57P01" | "57P02" => "; the server is shutting down: this is tried again",
        "42P01" => "; a table is missing: was the schema changed by hand? Restore the backup",
        // SQLITE_FULL and SQLITE_READONLY.
        "13" => "; the disk is full: free space, nothing was lost",
        "8" | "1032" => "; the file or its folder is read-only: give this user write access",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "refused");
        let error = StorageError::from(sqlx::Error::Io(refused)).to_string();
        assert!(error.contains("check that the server runs"), "{error}");
        assert!(code_remedy("25006").contains("primary"));
        assert!(
            is_passing_code("57P01")
                && is_passing_code("55P03")
                && !is_passing_code("23505")
                && !is_passing_code("2067")
        );
    }

    #[test]
    fn a_migration_that_was_broken_off_is_tried_again_and_a_wrong_one_is_not() {
        let migrate = |cause| StorageError::Migrate {
            database: "notes".to_owned(),
            version: 1,
            name: "notes",
            cause,
        };
        let broken = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "closed");
        let broken = migrate(sqlx::Error::Io(broken));
        assert!(broken.is_passing() && !broken.needs_a_person());
        let wrong = migrate(sqlx::Error::RowNotFound);
        assert!(!wrong.is_passing() && wrong.needs_a_person());
        // PostgreSQL's and SQLite's full disk.
        assert!(is_passing_code("53100") && is_passing_code("13"));
    }
}
