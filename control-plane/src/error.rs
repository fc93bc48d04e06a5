//! Errors of the capabilities, as their callers see them; `console` and `oauth` map them to pages and answers.
//!
//! A refusal is something the person can mend and is told of in a sentence; everything else is ours, is logged whole where
//! it happened, and reaches nobody in detail.

use crate::db::DbError;

/// What a capability answers when it does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Input that can be mended, by the field's name.
    #[error("{field}: {message}")]
    Field { field: &'static str, message: String },
    /// Not possible as things are; says why and what to do.
    #[error("{0}")]
    Refused(String),
    /// It does not exist, or belongs to somebody else; nobody learns which.
    #[error("not found")]
    NotFound,
    /// A link that was good once, or never; says what to do.
    #[error("{0}")]
    Gone(&'static str),
    /// The role does not allow it.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Too often; try again after so many seconds.
    #[error("too many attempts; try again in {0} seconds")]
    TooMany(u64),
    /// Busy; try again soon.
    #[error("the service is busy; try again in a moment")]
    Busy,
    #[error(transparent)]
    Db(#[from] DbError),
    /// Ours; the text is for the log.
    #[error("internal error: {0}")]
    Internal(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn field(field: &'static str, message: impl Into<String>) -> Self {
        Self::Field { field, message: message.into() }
    }

    pub fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Names the broken constraint's meaning where the database found what no earlier look can rule out.
pub trait OnConstraint<T> {
    /// Turns a violation of `name` into `error`, leaves everything else as it is.
    ///
    /// # Errors
    /// The mapped error, or the database's.
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T>;
}

impl<T> OnConstraint<T> for std::result::Result<T, sqlx::Error> {
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T> {
        self.map_err(|e| {
            let e = DbError::from(e);
            if e.constraint() == Some(name) { error() } else { Error::Db(e) }
        })
    }
}
