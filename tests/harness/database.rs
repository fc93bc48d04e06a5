//! The database, for the two things that no request can do: to let time pass, and to try what a forgotten condition in a query
//! would show.

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::System;

impl System {
    /// A connection as the owner of the schema.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn database(&self) -> Result<PgConnection> {
        PgConnection::connect(&self.ready.database_url)
            .await
            .context("cannot connect to the system's database")
    }

    /// Runs one statement, e.g. to move an expiry into the past, and says how many rows it changed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn sql(&self, statement: &str) -> Result<u64> {
        let mut connection = self.database().await?;
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await;
        connection.close().await?;
        Ok(done.with_context(|| statement.to_owned())?.rows_affected())
    }
}
