//! Rows of grants.

use std::collections::HashMap;

use time::OffsetDateTime;
use toolmesh_proto::ids::{InstallationId, UserId};
use toolmesh_proto::v1;
use uuid::Uuid;

use super::Problem;
use crate::credentials::Account;
use crate::credentials::envelope::Sealed;
use crate::db::TenantTx;
use crate::error::Result;

/// What is known of one installation's tokens.
#[derive(Clone, sqlx::FromRow)]
pub(super) struct GrantRow {
    pub epoch: i64,
    pub version: i64,
    pub access_basis: Option<String>,
    pub access_nonce: Option<Vec<u8>>,
    pub access_ciphertext: Option<Vec<u8>>,
    pub obtained_at: Option<OffsetDateTime>,
    pub expires_at: Option<OffsetDateTime>,
    pub refresh_basis: Option<String>,
    pub refresh_nonce: Option<Vec<u8>>,
    pub refresh_ciphertext: Option<Vec<u8>>,
    pub problem: String,
    pub problem_code: String,
    pub problem_basis: String,
    pub retry_at: Option<OffsetDateTime>,
    pub leased_until: Option<OffsetDateTime>,
    pub connected_at: Option<OffsetDateTime>,
    /// Service accounts that its member made may use it.
    pub lent: bool,
}

impl GrantRow {
    pub fn access(&self) -> Option<Sealed> {
        let (nonce, ciphertext) = self.access_nonce.clone().zip(self.access_ciphertext.clone())?;
        Some(Sealed { nonce, ciphertext })
    }

    pub fn refresh(&self) -> Option<Sealed> {
        let (nonce, ciphertext) = self.refresh_nonce.clone().zip(self.refresh_ciphertext.clone())?;
        Some(Sealed { nonce, ciphertext })
    }
}

/// The row of an account, made where there is none, locked until the transaction ends.
pub(super) async fn locked(tx: &mut TenantTx, account: Account) -> Result<GrantRow> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO upstream_grants (tenant_id, installation_id, holder) VALUES ($1, $2, $3)
         ON CONFLICT (tenant_id, installation_id, holder) DO NOTHING",
    )
    .bind(tenant)
    .bind(account.installation.uuid())
    .bind(account.holder())
    .execute(tx.conn())
    .await?;
    let sql = "SELECT epoch, version, access_basis, access_nonce, access_ciphertext, obtained_at, expires_at,
                 refresh_basis, refresh_nonce, refresh_ciphertext, problem, problem_code, problem_basis, retry_at,
                 leased_until, connected_at, lent
               FROM upstream_grants
               WHERE tenant_id = $1 AND installation_id = $2 AND holder = $3 FOR UPDATE";
    let query = sqlx::query_as(sql).bind(tenant).bind(account.installation.uuid()).bind(account.holder());
    Ok(query.fetch_one(tx.conn()).await?)
}

/// Nobody else exchanges for so many seconds.
pub(super) async fn lease(tx: &mut TenantTx, account: Account, lease: Uuid, seconds: f64) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "UPDATE upstream_grants SET lease = $3, leased_until = now() + make_interval(secs => $4)
         WHERE tenant_id = $1 AND installation_id = $2 AND holder = $5",
    )
    .bind(tenant)
    .bind(account.installation.uuid())
    .bind(lease)
    .bind(seconds)
    .bind(account.holder())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What an exchange brought, sealed.
pub(super) struct Brought<'a> {
    pub version: i64,
    pub access: &'a Sealed,
    pub access_basis: &'a str,
    /// From now on; None for a token without a known end.
    pub life_seconds: Option<f64>,
    /// A new refresh token, with its basis.
    pub refresh: Option<(&'a Sealed, &'a str)>,
    pub scope: Option<&'a str>,
}

/// Keeps what an exchange brought, if the lease is still held: otherwise somebody disconnected or took over meanwhile. Answers
/// whether it was kept.
pub(super) async fn keep(
    tx: &mut TenantTx,
    account: Account,
    lease: Uuid,
    brought: &Brought<'_>,
) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let done = sqlx::query(
        "UPDATE upstream_grants
         SET version = $4, access_basis = $5, access_nonce = $6, access_ciphertext = $7, obtained_at = now(),
             expires_at = now() + make_interval(secs => $8),
             refresh_basis = coalesce($9, refresh_basis), refresh_nonce = coalesce($10, refresh_nonce),
             refresh_ciphertext = coalesce($11, refresh_ciphertext), scope = coalesce($12, scope),
             problem = '', problem_code = '', problem_basis = '', problem_at = NULL, retry_at = NULL, told_at = NULL,
             lease = NULL, leased_until = NULL
         WHERE tenant_id = $1 AND installation_id = $2 AND holder = $13 AND lease = $3",
    )
    .bind(tenant)
    .bind(account.installation.uuid())
    .bind(lease)
    .bind(brought.version)
    .bind(brought.access_basis)
    .bind(&brought.access.nonce)
    .bind(&brought.access.ciphertext)
    .bind(brought.life_seconds)
    .bind(brought.refresh.map(|(_, basis)| basis))
    .bind(brought.refresh.map(|(sealed, _)| &sealed.nonce))
    .bind(brought.refresh.map(|(sealed, _)| &sealed.ciphertext))
    .bind(brought.scope)
    .bind(account.holder())
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Keeps why an exchange brought nothing, if the lease is still held, and when the next may be tried.
pub(super) async fn keep_problem(
    tx: &mut TenantTx,
    account: Account,
    lease: Uuid,
    problem: &Problem,
    basis: &str,
    wait_seconds: f64,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "UPDATE upstream_grants
         SET problem = $4, problem_code = $5, problem_basis = $6, problem_at = now(),
             retry_at = now() + make_interval(secs => $7), lease = NULL, leased_until = NULL
         WHERE tenant_id = $1 AND installation_id = $2 AND holder = $8 AND lease = $3",
    )
    .bind(tenant)
    .bind(account.installation.uuid())
    .bind(lease)
    .bind(problem.kind.as_str())
    .bind(&problem.code)
    .bind(basis)
    .bind(wait_seconds)
    .bind(account.holder())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes that people are told of the end of an account that worked once. False where they were told already.
pub(super) async fn tell(tx: &mut TenantTx, account: Account) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE upstream_grants SET told_at = now()
               WHERE tenant_id = $1 AND installation_id = $2 AND holder = $3
                 AND told_at IS NULL AND obtained_at IS NOT NULL AND problem = 'reconnect'";
    let query = sqlx::query(sql).bind(tenant).bind(account.installation.uuid()).bind(account.holder());
    Ok(query.execute(tx.conn()).await?.rows_affected() > 0)
}

/// Notes a problem that no exchange has found.
pub(super) async fn note_problem(
    tx: &mut TenantTx,
    account: Account,
    problem: &Problem,
    basis: &str,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "UPDATE upstream_grants SET problem = $4, problem_code = $5, problem_basis = $6, problem_at = now()
         WHERE tenant_id = $1 AND installation_id = $2 AND holder = $3",
    )
    .bind(tenant)
    .bind(account.installation.uuid())
    .bind(account.holder())
    .bind(problem.kind.as_str())
    .bind(&problem.code)
    .bind(basis)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps what somebody's consent brought, in place of all that was.
pub(super) async fn connect(
    tx: &mut TenantTx,
    account: Account,
    by: UserId,
    whose: &str,
    brought: &Brought<'_>,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "UPDATE upstream_grants
         SET epoch = greatest(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
             version = $3, access_basis = $4, access_nonce = $5, access_ciphertext = $6,
             obtained_at = now(), expires_at = now() + make_interval(secs => $7),
             refresh_basis = $8, refresh_nonce = $9, refresh_ciphertext = $10, scope = coalesce($11, ''),
             account = $12, connected_by = $13, connected_at = now(), told_at = NULL,
             problem = '', problem_code = '', problem_basis = '', problem_at = NULL, retry_at = NULL,
             lease = NULL, leased_until = NULL
         WHERE tenant_id = $1 AND installation_id = $2 AND holder = $14",
    )
    .bind(tenant)
    .bind(account.installation.uuid())
    .bind(brought.version)
    .bind(brought.access_basis)
    .bind(&brought.access.nonce)
    .bind(&brought.access.ciphertext)
    .bind(brought.life_seconds)
    .bind(brought.refresh.map(|(_, basis)| basis))
    .bind(brought.refresh.map(|(sealed, _)| &sealed.nonce))
    .bind(brought.refresh.map(|(sealed, _)| &sealed.ciphertext))
    .bind(brought.scope)
    .bind(whose)
    .bind(by.uuid())
    .bind(account.holder())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes that a member entered what their account is used with.
pub(super) async fn enter(tx: &mut TenantTx, account: Account, by: UserId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "UPDATE upstream_grants
         SET epoch = greatest(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
             version = version + 1, connected_by = $4, connected_at = now(),
             problem = '', problem_code = '', problem_basis = '', problem_at = NULL, retry_at = NULL
         WHERE tenant_id = $1 AND installation_id = $2 AND holder = $3",
    )
    .bind(tenant)
    .bind(account.installation.uuid())
    .bind(account.holder())
    .bind(by.uuid())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes that the API refused what a member entered.
pub(super) async fn refused(tx: &mut TenantTx, account: Account, version: i64, code: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "UPDATE upstream_grants SET problem = 'reconnect', problem_code = $5, problem_at = now()
         WHERE tenant_id = $1 AND installation_id = $2 AND holder = $3 AND version = $4",
    )
    .bind(tenant)
    .bind(account.installation.uuid())
    .bind(account.holder())
    .bind(version)
    .bind(code)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Lets the service accounts that a member made use their account, or no longer.
pub(super) async fn lend(tx: &mut TenantTx, account: Account, lent: bool) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "UPDATE upstream_grants
         SET lent = $4, epoch = greatest(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
         WHERE tenant_id = $1 AND installation_id = $2 AND holder = $3",
    )
    .bind(tenant)
    .bind(account.installation.uuid())
    .bind(account.holder())
    .bind(lent)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets what was got for everybody at an installation; the rows stay for their epochs, which nodes compare.
pub(super) async fn end_all(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "UPDATE upstream_grants
         SET epoch = greatest(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
             access_basis = NULL, access_nonce = NULL, access_ciphertext = NULL, obtained_at = NULL,
             expires_at = NULL, refresh_basis = NULL, refresh_nonce = NULL, refresh_ciphertext = NULL, account = '',
             scope = '', connected_by = NULL, connected_at = NULL, lent = false, problem = '', problem_code = '',
             problem_basis = '', problem_at = NULL, retry_at = NULL, lease = NULL, leased_until = NULL
         WHERE tenant_id = $1 AND installation_id = $2",
    )
    .bind(tenant)
    .bind(id.uuid())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ends what nodes hold, and what is being exchanged now. The refresh token stays unless everything is to be forgotten.
pub(super) async fn end(tx: &mut TenantTx, account: Account, forget: bool) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "UPDATE upstream_grants
         SET epoch = greatest(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
             access_basis = NULL, access_nonce = NULL, access_ciphertext = NULL,
             obtained_at = NULL, expires_at = NULL,
             refresh_basis = CASE WHEN $3 THEN NULL ELSE refresh_basis END,
             refresh_nonce = CASE WHEN $3 THEN NULL ELSE refresh_nonce END,
             refresh_ciphertext = CASE WHEN $3 THEN NULL ELSE refresh_ciphertext END,
             account = CASE WHEN $3 THEN '' ELSE account END, scope = CASE WHEN $3 THEN '' ELSE scope END,
             connected_by = CASE WHEN $3 THEN NULL ELSE connected_by END,
             connected_at = CASE WHEN $3 THEN NULL ELSE connected_at END,
             problem = '', problem_code = '', problem_basis = '', problem_at = NULL, retry_at = NULL,
             lease = NULL, leased_until = NULL
         WHERE tenant_id = $1 AND installation_id = $2 AND holder = $4",
    )
    .bind(tenant)
    .bind(account.installation.uuid())
    .bind(forget)
    .bind(account.holder())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Epochs of the workspace's grants.
pub(super) async fn epochs(tx: &mut TenantTx) -> Result<HashMap<InstallationId, u64>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT installation_id, epoch FROM upstream_grants WHERE tenant_id = $1 AND member_id IS NULL";
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|(id, epoch)| (id.into(), epoch.cast_unsigned())).collect())
}

/// Epochs of members' own accounts that changed within so many seconds.
pub(super) async fn changed_lately(
    tx: &mut TenantTx,
    seconds: f64,
) -> Result<HashMap<InstallationId, Vec<v1::ConnectionEpoch>>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT installation_id, member_id, epoch FROM upstream_grants
               WHERE tenant_id = $1 AND member_id IS NOT NULL
                 AND epoch > ((extract(epoch FROM now()) - $2) * 1000000)::bigint
               ORDER BY installation_id, member_id";
    let query = sqlx::query_as(sql).bind(tenant).bind(seconds);
    let rows: Vec<(Uuid, Uuid, i64)> = query.fetch_all(tx.conn()).await?;
    let mut found: HashMap<InstallationId, Vec<v1::ConnectionEpoch>> = HashMap::new();
    for (id, user, epoch) in rows {
        let epoch = v1::ConnectionEpoch { user_id: user.to_string(), epoch: epoch.cast_unsigned() };
        found.entry(id.into()).or_default().push(epoch);
    }
    Ok(found)
}

/// How many members have connected an account of their own, by installation.
pub(super) async fn connected(tx: &mut TenantTx, id: InstallationId) -> Result<i64> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT count(*) FROM upstream_grants
               WHERE tenant_id = $1 AND installation_id = $2 AND member_id IS NOT NULL AND connected_at IS NOT NULL";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(id.uuid()).fetch_one(tx.conn()).await?)
}

/// Whose own account a server is looked at with: that of who wants to, or of one who may decide about it.
pub(super) async fn looker(
    tx: &mut TenantTx,
    id: InstallationId,
    by: Option<UserId>,
) -> Result<Option<UserId>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT g.member_id FROM upstream_grants g
               JOIN memberships m ON m.tenant_id = g.tenant_id AND m.user_id = g.member_id
               WHERE g.tenant_id = $1 AND g.installation_id = $2 AND g.connected_at IS NOT NULL
                 AND m.suspended_at IS NULL AND m.role IN ('owner', 'admin', 'connector_manager')
               ORDER BY (g.member_id = $3) DESC NULLS LAST, g.connected_at LIMIT 1";
    let query = sqlx::query_scalar(sql).bind(tenant).bind(id.uuid()).bind(by.map(UserId::uuid));
    let found: Option<Uuid> = query.fetch_optional(tx.conn()).await?;
    Ok(found.map(Into::into))
}

/// What people may know of a grant.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct GrantFacts {
    pub scope: String,
    pub account: String,
    /// Whether there is a token to be used or exchanged.
    pub connected: bool,
    pub connected_at: Option<OffsetDateTime>,
    pub connected_by: Option<String>,
    pub connected_by_email: Option<String>,
    pub obtained_at: Option<OffsetDateTime>,
    pub expires_at: Option<OffsetDateTime>,
    pub renewable: bool,
    pub problem: String,
    pub problem_code: String,
    pub problem_at: Option<OffsetDateTime>,
    /// Service accounts that its member made may use it.
    pub lent: bool,
}

#[derive(sqlx::FromRow)]
struct FactsRow {
    #[sqlx(try_from = "uuid::Uuid")]
    installation_id: InstallationId,
    #[sqlx(flatten)]
    facts: GrantFacts,
}

/// What the console shows of the workspace's grants of all installations, or of one; or of a member's own.
pub(super) async fn facts(
    tx: &mut TenantTx,
    only: Option<InstallationId>,
    member: Option<UserId>,
) -> Result<HashMap<InstallationId, GrantFacts>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT g.installation_id, g.scope, g.account, g.connected_at, u.name AS connected_by,
                 u.email AS connected_by_email, g.obtained_at, g.expires_at, g.problem, g.problem_code, g.problem_at, g.lent,
                 g.refresh_ciphertext IS NOT NULL AS renewable,
                 (g.refresh_ciphertext IS NOT NULL OR g.access_ciphertext IS NOT NULL
                   OR g.member_id IS NOT NULL AND g.connected_at IS NOT NULL) AS connected
               FROM upstream_grants g LEFT JOIN users u ON u.id = g.connected_by
               WHERE g.tenant_id = $1 AND ($2::uuid IS NULL OR g.installation_id = $2)
                 AND g.member_id IS NOT DISTINCT FROM $3";
    let query = sqlx::query_as(sql).bind(tenant).bind(only.map(InstallationId::uuid));
    let query = query.bind(member.map(UserId::uuid));
    let rows: Vec<FactsRow> = query.fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|row| (row.installation_id, row.facts)).collect())
}
