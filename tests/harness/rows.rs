//! All rows that belong to a workspace and its people, read beside the product: whether something changed, and back to what
//! it was.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::System;

/// Tables that tell what was tried, and one that is pruned by the clock.
const LEFT_OUT: &[&str] = &["outbox", "oauth_refusals"];

/// The rows of each table, as JSON, in order.
pub type Snapshot = BTreeMap<String, Vec<String>>;

/// A look at a workspace's rows from the side.
#[derive(Debug)]
pub struct Rows {
    connection: PgConnection,
    tables: Vec<String>,
    tenant: String,
}

impl Rows {
    /// Of one workspace.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn of(system: &System, tenant: &str) -> Result<Self> {
        let mut connection = system.database().await?;
        let tables = tables_with(&mut connection, "tenant_id").await?;
        Ok(Self { connection, tables, tenant: tenant.to_owned() })
    }

    /// What belongs to the workspace now.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn snapshot(&mut self) -> Result<Snapshot> {
        let of = |table: &String| {
            format!("SELECT '{table}', to_jsonb(r)::text FROM {table} r WHERE tenant_id = '{}'", self.tenant)
        };
        let mut parts: Vec<_> = self.tables.iter().map(of).collect();
        parts
            .push(format!("SELECT 'tenants', to_jsonb(r)::text FROM tenants r WHERE id = '{}'", self.tenant));
        self.read(&parts).await
    }

    /// What belongs to its people, in whatever workspace or none: their accounts, sessions, factors.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn people(&mut self) -> Result<Snapshot> {
        let members = format!("SELECT user_id FROM memberships WHERE tenant_id = '{}'", self.tenant);
        let all = tables_with(&mut self.connection, "user_id").await?;
        let of = |table: &String| {
            format!("SELECT '{table}', to_jsonb(r)::text FROM {table} r WHERE user_id IN ({members})")
        };
        let mut parts: Vec<_> = all.iter().filter(|table| !self.tables.contains(table)).map(of).collect();
        parts.push(format!("SELECT 'users', to_jsonb(r)::text FROM users r WHERE id IN ({members})"));
        self.read(&parts).await
    }

    async fn read(&mut self, parts: &[String]) -> Result<Snapshot> {
        let sql = format!("{} ORDER BY 1, 2", parts.join(" UNION ALL "));
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut self.connection).await?;
        let mut found = Snapshot::new();
        for row in rows {
            found.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
        }
        Ok(found)
    }

    /// Brings the workspace's rows back to what they were; only its revision goes on.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn restore(&mut self, before: &Snapshot) -> Result<()> {
        let now = self.snapshot().await?;
        let mut transaction = self.connection.begin().await?;
        // Without triggers and checks of foreign keys: the whole was consistent, and will be.
        let mut statements = vec!["SET LOCAL session_replication_role = replica".to_owned()];
        for table in self.tables.iter().filter(|table| before.get(*table) != now.get(*table)) {
            statements.push(format!("DELETE FROM {table} WHERE tenant_id = '{}'", self.tenant));
            let columns = columns(&mut transaction, table).await?.join(", ");
            for row in before.get(table).into_iter().flatten() {
                let row = row.replace('\'', "''");
                statements.push(format!(
                    "INSERT INTO {table} ({columns}) \
                     SELECT {columns} FROM jsonb_populate_record(NULL::{table}, '{row}'::jsonb)"
                ));
            }
        }
        let tenant = before.get("tenants").and_then(|rows| rows.first()).context("no such workspace")?;
        let columns = columns(&mut transaction, "tenants").await?;
        let kept = |name: &&String| !["id", "revision", "updated_at"].contains(&name.as_str());
        let columns: Vec<_> = columns.iter().filter(kept).map(String::as_str).collect();
        let tenant = tenant.replace('\'', "''");
        statements.push(format!(
            "UPDATE tenants t SET ({0}) = (SELECT {0} FROM jsonb_populate_record(NULL::tenants, '{tenant}'::jsonb)) \
             WHERE t.id = '{1}'",
            columns.join(", "),
            self.tenant
        ));
        for statement in statements {
            let ran = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *transaction).await;
            ran.with_context(|| statement)?;
        }
        Ok(transaction.commit().await?)
    }

    /// The one value that a query finds, as text; `{tenant}` stands for the workspace.
    ///
    /// # Errors
    /// When it finds none.
    pub async fn value(&mut self, sql: &str) -> Result<String> {
        let sql = sql.replace("{tenant}", &format!("'{}'", self.tenant));
        let row = sqlx::raw_sql(AssertSqlSafe(sql.clone())).fetch_optional(&mut self.connection).await;
        let row = row.with_context(|| sql.clone())?.with_context(|| format!("no row: {sql}"))?;
        row.try_get(0).with_context(|| sql)
    }
}

/// What differs, for people: each row that is only there before or only after.
#[must_use]
pub fn difference(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let empty = Vec::new();
    let mut found = Vec::new();
    for table in before.keys().chain(after.keys().filter(|table| !before.contains_key(*table))) {
        let (old, new) = (before.get(table).unwrap_or(&empty), after.get(table).unwrap_or(&empty));
        let gone = old.iter().filter(|row| !new.contains(row)).map(|row| format!("- {table}: {row}"));
        let come = new.iter().filter(|row| !old.contains(row)).map(|row| format!("+ {table}: {row}"));
        found.extend(gone.chain(come));
    }
    found
}

async fn tables_with(connection: &mut PgConnection, column: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT c.table_name::text FROM information_schema.columns c JOIN information_schema.tables t \
         USING (table_schema, table_name) WHERE c.column_name = '{column}' AND c.table_schema = 'public' \
         AND t.table_type = 'BASE TABLE' ORDER BY 1"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
    let mut names = Vec::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        if !LEFT_OUT.contains(&name.as_str()) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Those that a row is written with, in order.
async fn columns(connection: &mut PgConnection, table: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT quote_ident(column_name) FROM information_schema.columns WHERE table_schema = 'public' \
         AND table_name = '{table}' AND is_generated = 'NEVER' ORDER BY ordinal_position"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
