//! The database: the pool, migrations, and the transactions that carry who they act for.
//!
//! Knows no capability and holds no query of one. A [`TenantTx`] is the only way to a tenant's rows: it sets `app.tenant`
//! for row-level security, and hands the tenant's id to the queries of the stores.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use toolmesh_proto::ids::{TenantId, UserId};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// The role that the application acts as; it owns nothing and cannot bypass row-level security.
const APP_ROLE: &str = "toolmesh_app";

/// Where a committed change is announced; a wake-up for the relay, which reads the outbox.
pub const CHANGES_CHANNEL: &str = "toolmesh_changes";

/// Something between us and the database failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database failed")]
    Sqlx(#[from] sqlx::Error),
    #[error("the database could not be brought to this version's schema")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl DbError {
    /// Whether the statement failed for what it was given (SQLSTATE class 22, data exception), and would fail again.
    #[must_use]
    pub fn is_bad_data(&self) -> bool {
        match self {
            Self::Sqlx(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("22"))
            }
            Self::Sqlx(_) | Self::Migrate(_) => false,
        }
    }

    /// Whether the database itself is away, rather than something wrong with what was asked of it.
    #[must_use]
    pub fn is_away(&self) -> bool {
        use sqlx::Error as E;
        match self {
            Self::Sqlx(
                E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::BeginFailed,
            ) => true,
            // SQLSTATE class 08: the connection broke; 57P01 to 57P03: the server stops or starts.
            Self::Sqlx(E::Database(error)) => error
                .code()
                .is_some_and(|code| code.starts_with("08") || ["57P01", "57P02", "57P03"].contains(&&*code)),
            Self::Sqlx(_) | Self::Migrate(_) => false,
        }
    }

    /// The name of the constraint that a statement broke, if that is why it failed.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Sqlx(sqlx::Error::Database(error)) => error.constraint(),
            Self::Sqlx(_) | Self::Migrate(_) => None,
        }
    }
}

/// The pool. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: PgPool,
}

/// A transaction that sees what belongs to no tenant: users, sessions, signing keys, the index of tenants.
pub struct GlobalTx(Transaction<'static, Postgres>);

/// A transaction of one user, who also sees their own memberships in every workspace.
pub struct UserTx {
    tx: Transaction<'static, Postgres>,
    user: UserId,
}

/// A transaction inside one tenant.
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    tenant: TenantId,
}

impl Db {
    /// Brings the schema to this version, as the owner; safe when several start at once.
    ///
    /// # Errors
    /// When the database cannot be reached or a migration fails.
    pub async fn migrate(url: &SecretString) -> Result<(), DbError> {
        let pool = PgPoolOptions::new().max_connections(1).connect(url.expose_secret()).await?;
        MIGRATIONS.run(&pool).await?;
        pool.close().await;
        Ok(())
    }

    /// Connects as the application's role.
    ///
    /// # Errors
    /// When the database cannot be reached within ten seconds.
    pub async fn connect(url: &SecretString, max_connections: u32) -> Result<Self, DbError> {
        let options: PgConnectOptions = url.expose_secret().parse()?;
        let options = options.application_name("toolmesh-control-plane").options([
            ("role", APP_ROLE),
            ("statement_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "15s"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }

    /// # Errors
    /// When no connection is to be had.
    pub async fn global(&self) -> Result<GlobalTx, DbError> {
        Ok(GlobalTx(self.pool.begin().await?))
    }

    /// # Errors
    /// When no connection is to be had.
    pub async fn user(&self, user: UserId) -> Result<UserTx, DbError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("SELECT set_config('app.user', $1, true)")
            .bind(user.to_string())
            .execute(&mut *tx)
            .await?;
        Ok(UserTx { tx, user })
    }

    /// # Errors
    /// When no connection is to be had.
    pub async fn tenant(&self, tenant: TenantId) -> Result<TenantTx, DbError> {
        TenantTx::inside(self.pool.begin().await?, tenant).await
    }

    /// A transaction inside one tenant that only reads, and sees one moment of the database however many statements it takes.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn tenant_snapshot(&self, tenant: TenantId) -> Result<TenantTx, DbError> {
        let tx = self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        TenantTx::inside(tx, tenant).await
    }

    /// A connection that hears notifications; a wake-up, never the message.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn listener(&self) -> Result<PgListener, DbError> {
        Ok(PgListener::connect_with(&self.pool).await?)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), DbError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Waits for open transactions and closes the pool.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl GlobalTx {
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.0
    }

    /// # Errors
    /// When the database refuses to commit.
    pub async fn commit(self) -> Result<(), DbError> {
        Ok(self.0.commit().await?)
    }
}

impl UserTx {
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// # Errors
    /// When the database refuses to commit.
    pub async fn commit(self) -> Result<(), DbError> {
        Ok(self.tx.commit().await?)
    }
}

impl TenantTx {
    async fn inside(mut tx: Transaction<'static, Postgres>, tenant: TenantId) -> Result<Self, DbError> {
        sqlx::query("SELECT set_config('app.tenant', $1, true)")
            .bind(tenant.to_string())
            .execute(&mut *tx)
            .await?;
        Ok(Self { tx, tenant })
    }

    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// The tenant, for the query's own filter.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Waits until no other transaction of this tenant does the same, and keeps others waiting until this one ends: for what
    /// has to be counted before it is added to. To be asked for first, before any row is locked.
    ///
    /// # Errors
    /// When another takes longer than a statement may.
    pub async fn one_at_a_time(&mut self, what: &str) -> Result<(), DbError> {
        let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        let name = format!("{what} of {}", self.tenant);
        sqlx::query(sql).bind(name).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// # Errors
    /// When the database refuses to commit.
    pub async fn commit(self) -> Result<(), DbError> {
        Ok(self.tx.commit().await?)
    }

    /// Commits a change that nodes must learn of: bumps the tenant's revision, writes the outbox row and wakes the relay, all
    /// in this transaction. Answers the new revision.
    ///
    /// # Errors
    /// When the database refuses to commit.
    pub async fn commit_change(mut self) -> Result<u64, DbError> {
        let sql =
            "UPDATE tenants SET revision = revision + 1, updated_at = now() WHERE id = $1 RETURNING revision";
        let revision = sqlx::query_scalar(sql).bind(self.tenant.uuid()).fetch_one(&mut *self.tx).await?;
        self.announce(revision).await
    }

    /// Lifts the tenant's revision above one that nodes hold and this database has not come to, so that they take what is
    /// here. Answers the new revision, or `None` where there was nothing to lift.
    ///
    /// # Errors
    /// When the database refuses to commit.
    pub async fn commit_change_above(mut self, held: u64) -> Result<Option<u64>, DbError> {
        let sql = "UPDATE tenants SET revision = $2 + 1, updated_at = now() WHERE id = $1 AND revision < $2
                   RETURNING revision";
        let query = sqlx::query_scalar(sql).bind(self.tenant.uuid()).bind(held.cast_signed());
        let Some(revision) = query.fetch_optional(&mut *self.tx).await? else { return Ok(None) };
        self.announce(revision).await.map(Some)
    }

    async fn announce(mut self, revision: i64) -> Result<u64, DbError> {
        let tenant = self.tenant.uuid();
        let sql = "INSERT INTO outbox (tenant_id, revision) VALUES ($1, $2)";
        sqlx::query(sql).bind(tenant).bind(revision).execute(&mut *self.tx).await?;
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANGES_CHANNEL)
            .bind(tenant.to_string())
            .execute(&mut *self.tx)
            .await?;
        self.tx.commit().await?;
        Ok(revision.cast_unsigned())
    }
}
