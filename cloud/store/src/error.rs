//! What can go wrong with a database, told apart by what a caller can do about it.

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nobody answers, or a conflict between transactions was resolved against this one. Trying again may help.
    #[error("the database is out of reach for now: {0}")]
    Unavailable(#[source] Cause),
    /// A row that cannot be: somebody wrote past this crate, or a migration is wrong.
    #[error("row {row} of table {table} has an impossible {column}: {reason}")]
    Inconsistency {
        /// Which table.
        table: &'static str,
        /// Which column.
        column: &'static str,
        /// Which row, by its key.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database refused a statement: a constraint that the caller should have kept, or a schema of another version.
    #[error("the database refused a statement: {0}")]
    Refused(#[source] Cause),
    /// The schema could not be brought up to date.
    #[error("the database's schema could not be brought up to date: {0}")]
    Migration(#[source] Cause),
    /// The address is none.
    #[error("the database's address cannot be used: {0}")]
    Address(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            Self::Unavailable(Box::new(error))
        } else {
            Self::Refused(Box::new(error))
        }
    }
}

fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(refused) => {
            refused.code().is_some_and(|code| is_transient_code(&code))
        }
        _ => false,
    }
}

/// SQLSTATE classes: 08 connection, 40 rolled back for another's sake, 53 out of resources, 57P shutting down.
fn is_transient_code(code: &str) -> bool {
    ["08", "40", "53", "57P"]
        .iter()
        .any(|class| code.starts_with(class))
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(cause) if is_transient(&cause) => {
                Self::Unavailable(Box::new(cause))
            }
            other => Self::Migration(Box::new(other)),
        }
    }
}

/// What became of a write that depended on what was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It happened.
    Updated,
    /// It did not: the row had moved on.
    NotUpdated,
    /// There is no such row.
    Absent,
}

/// Whether this call's insertion is the one that counts.
pub(crate) const fn happened(rows_affected: u64) -> bool {
    rows_affected > 0
}
