//! Rows of logins elsewhere: attempts, identities, a company's provider and its domains.

use sqlx::types::Json;
use time::OffsetDateTime;
use toolmesh_proto::ids::{TenantId, UserId};
use uuid::Uuid;

use super::company::{Owner, Report, Settings};
use super::domains::Domain;
use super::people::Identity;
use crate::accounts::User;
use crate::credentials::envelope::Sealed;
use crate::db::{GlobalTx, TenantTx, UserTx};
use crate::error::Result;

type Done = std::result::Result<(), sqlx::Error>;

// Attempts -----------------------------------------------------------------------------------------------------------

pub(super) async fn insert_attempt(
    tx: &mut GlobalTx,
    state: &[u8],
    browser: &[u8],
    sealed: &str,
    ends: OffsetDateTime,
) -> Result<()> {
    let sql =
        "INSERT INTO sign_in_attempts (state_hash, browser_hash, sealed, expires_at) VALUES ($1, $2, $3, $4)";
    sqlx::query(sql).bind(state).bind(browser).bind(sealed).bind(ends).execute(tx.conn()).await?;
    Ok(())
}

/// Takes an attempt out, so that it is used once however many bring its state back.
pub(super) async fn take_attempt(tx: &mut GlobalTx, state: &[u8], browser: &[u8]) -> Result<Option<String>> {
    let sql =
        "DELETE FROM sign_in_attempts WHERE state_hash = $1 AND browser_hash = $2 AND expires_at > now()
               RETURNING sealed";
    Ok(sqlx::query_scalar(sql).bind(state).bind(browser).fetch_optional(tx.conn()).await?)
}

pub(super) async fn prune_attempts(tx: &mut GlobalTx) -> Result<()> {
    sqlx::query("DELETE FROM sign_in_attempts WHERE expires_at < now()").execute(tx.conn()).await?;
    Ok(())
}

// People -------------------------------------------------------------------------------------------------------------

pub(super) async fn user_by_email(tx: &mut GlobalTx, email: &str) -> Result<Option<User>> {
    crate::accounts::store::user_by_email(tx, email).await
}

/// The confirmed account of an identity; notes that it was used.
pub(super) async fn use_identity(tx: &mut GlobalTx, issuer: &str, subject: &str) -> Result<Option<User>> {
    let sql = "UPDATE external_identities i SET last_used_at = now() FROM users u
               WHERE i.issuer = $1 AND i.subject = $2 AND u.id = i.user_id AND u.verified_at IS NOT NULL
               RETURNING u.id, u.email, u.name, u.verified_at, u.created_at";
    Ok(sqlx::query_as(sql).bind(issuer).bind(subject).fetch_optional(tx.conn()).await?)
}

/// The same at a company.
pub(super) async fn use_company_identity(
    tx: &mut TenantTx,
    issuer: &str,
    subject: &str,
) -> Result<Option<User>> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE company_identities i SET last_used_at = now() FROM users u
               WHERE i.tenant_id = $1 AND i.issuer = $2 AND i.subject = $3 AND u.id = i.user_id
                 AND u.verified_at IS NOT NULL
               RETURNING u.id, u.email, u.name, u.verified_at, u.created_at";
    Ok(sqlx::query_as(sql).bind(tenant).bind(issuer).bind(subject).fetch_optional(tx.conn()).await?)
}

/// A confirmed account without a password for a proven address, unless there is one already. An unconfirmed one is nobody's
/// yet: whoever made it loses the password they chose, and its links die.
pub(super) async fn new_confirmed_user(tx: &mut GlobalTx, email: &str, name: &str) -> Result<Option<User>> {
    let sql = "INSERT INTO users (id, email, name, password_hash, verified_at) VALUES ($1, $2, $3, NULL, now())
               ON CONFLICT (email) DO UPDATE SET name = excluded.name, password_hash = NULL, verified_at = now()
               WHERE users.verified_at IS NULL
               RETURNING id, email, name, verified_at, created_at";
    let query = sqlx::query_as(sql).bind(UserId::new().uuid()).bind(email).bind(name);
    let user: Option<User> = query.fetch_optional(tx.conn()).await?;
    if let Some(user) = &user {
        let sql = "UPDATE email_tokens SET used_at = now() WHERE user_id = $1 AND used_at IS NULL";
        sqlx::query(sql).bind(user.id.uuid()).execute(tx.conn()).await?;
    }
    Ok(user)
}

/// An identity of one of the deployment's providers.
pub(super) struct NewIdentity<'a> {
    pub user: UserId,
    pub provider: String,
    pub issuer: &'a str,
    pub subject: &'a str,
    pub label: &'a str,
}

pub(super) async fn insert_identity(tx: &mut GlobalTx, row: &NewIdentity<'_>) -> Done {
    let sql = "INSERT INTO external_identities (id, user_id, provider, issuer, subject, label, last_used_at)
               VALUES ($1, $2, $3, $4, $5, $6, now())";
    sqlx::query(sql)
        .bind(Uuid::now_v7())
        .bind(row.user.uuid())
        .bind(&row.provider)
        .bind(row.issuer)
        .bind(row.subject)
        .bind(row.label)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn insert_company_identity(
    tx: &mut TenantTx,
    issuer: &str,
    subject: &str,
    user: UserId,
    label: &str,
) -> Done {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO company_identities (tenant_id, issuer, subject, user_id, label, last_used_at)
               VALUES ($1, $2, $3, $4, $5, now())";
    sqlx::query(sql)
        .bind(tenant)
        .bind(issuer)
        .bind(subject)
        .bind(user.uuid())
        .bind(label)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn identities(tx: &mut UserTx) -> Result<Vec<Identity>> {
    let user = tx.user().uuid();
    let sql = "SELECT id, provider, label, linked_at, last_used_at FROM external_identities WHERE user_id = $1
               UNION ALL
               SELECT NULL, 'company', label, linked_at, last_used_at FROM company_identities WHERE user_id = $1
               ORDER BY linked_at LIMIT 200";
    Ok(sqlx::query_as(sql).bind(user).fetch_all(tx.conn()).await?)
}

pub(super) async fn has_password(tx: &mut GlobalTx, user: UserId) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM users WHERE id = $1 AND password_hash IS NOT NULL)";
    Ok(sqlx::query_scalar(sql).bind(user.uuid()).fetch_one(tx.conn()).await?)
}

pub(super) async fn lock_user(tx: &mut GlobalTx, user: UserId) -> Result<()> {
    sqlx::query("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE")
        .bind(user.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn count_identities(tx: &mut GlobalTx, user: UserId) -> Result<i64> {
    let sql = "SELECT count(*) FROM external_identities WHERE user_id = $1";
    Ok(sqlx::query_scalar(sql).bind(user.uuid()).fetch_one(tx.conn()).await?)
}

pub(super) async fn delete_identity(tx: &mut GlobalTx, user: UserId, id: Uuid) -> Result<bool> {
    let sql = "DELETE FROM external_identities WHERE user_id = $1 AND id = $2";
    Ok(sqlx::query(sql).bind(user.uuid()).bind(id).execute(tx.conn()).await?.rows_affected() == 1)
}

// A company's provider -----------------------------------------------------------------------------------------------

/// One change at a time to how a workspace's people log in.
pub(super) async fn lock_sign_in(tx: &mut TenantTx) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query("SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE")
        .bind(tenant)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn provider(tx: &mut TenantTx) -> Result<Option<Settings>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT issuer, client_id, secret_nonce, secret, secret_last4, secret_version, groups_claim,
                      default_role, version, test_report, tested_version, tested_at, enforced_at
               FROM sign_in_providers WHERE tenant_id = $1";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_optional(tx.conn()).await?)
}

/// A provider as it is written.
pub(super) struct ProviderRow<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub groups_claim: &'a str,
    pub default_role: &'a str,
    pub version: i64,
    pub secret: Option<Sealed>,
    pub secret_version: i64,
    pub secret_last4: String,
}

pub(super) async fn save_provider(tx: &mut TenantTx, row: &ProviderRow<'_>) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let (nonce, secret) = row.secret.as_ref().map(|sealed| (&sealed.nonce, &sealed.ciphertext)).unzip();
    let sql = "INSERT INTO sign_in_providers (tenant_id, issuer, client_id, groups_claim, default_role, version,
                      secret_nonce, secret, secret_version, secret_last4)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
               ON CONFLICT (tenant_id) DO UPDATE
               SET issuer = excluded.issuer, client_id = excluded.client_id, groups_claim = excluded.groups_claim,
                   default_role = excluded.default_role, version = excluded.version,
                   secret_nonce = excluded.secret_nonce, secret = excluded.secret,
                   secret_version = excluded.secret_version, secret_last4 = excluded.secret_last4, updated_at = now()";
    sqlx::query(sql)
        .bind(tenant)
        .bind(row.issuer)
        .bind(row.client_id)
        .bind(row.groups_claim)
        .bind(row.default_role)
        .bind(row.version)
        .bind(nonce)
        .bind(secret)
        .bind(row.secret_version)
        .bind(&row.secret_last4)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn delete_provider(tx: &mut TenantTx) -> Result<()> {
    let tenant = tx.tenant().uuid();
    for sql in [
        "DELETE FROM company_identities WHERE tenant_id = $1",
        "DELETE FROM sign_in_providers WHERE tenant_id = $1",
    ] {
        sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    }
    Ok(())
}

pub(super) async fn save_report(tx: &mut TenantTx, by: UserId, report: &Report) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE sign_in_providers SET test_report = $2, tested_version = version, tested_by = $3, tested_at = now()
               WHERE tenant_id = $1";
    sqlx::query(sql).bind(tenant).bind(Json(report)).bind(by.uuid()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn set_enforced(tx: &mut TenantTx, enforced: bool) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE sign_in_providers SET enforced_at = CASE WHEN $2 THEN coalesce(enforced_at, now()) END
               WHERE tenant_id = $1";
    sqlx::query(sql).bind(tenant).bind(enforced).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn owners(tx: &mut TenantTx) -> Result<Vec<Owner>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT m.user_id, u.name, u.email, u.password_hash IS NOT NULL AS has_password,
                      EXISTS (SELECT FROM authenticator_apps a WHERE a.user_id = m.user_id)
                        OR EXISTS (SELECT FROM passkeys p WHERE p.user_id = m.user_id) AS has_second_factor,
                      b.user_id IS NOT NULL AS exempt
               FROM memberships m JOIN users u ON u.id = m.user_id
               LEFT JOIN sign_in_break_glass b ON b.tenant_id = m.tenant_id AND b.user_id = m.user_id
               WHERE m.tenant_id = $1 AND m.role = 'owner' AND m.suspended_at IS NULL ORDER BY u.email";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn set_exempt(tx: &mut TenantTx, owners: &[UserId]) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let owners: Vec<Uuid> = owners.iter().map(|owner| owner.uuid()).collect();
    sqlx::query("DELETE FROM sign_in_break_glass WHERE tenant_id = $1")
        .bind(tenant)
        .execute(tx.conn())
        .await?;
    let sql = "INSERT INTO sign_in_break_glass (tenant_id, user_id) SELECT $1, unnest($2::uuid[])";
    sqlx::query(sql).bind(tenant).bind(owners).execute(tx.conn()).await?;
    Ok(())
}

/// Whether a member has to log in through the provider: it is required, and they are none of the named owners, nor any owner
/// where none of the named can come in any more. Of owners, only those with a second factor count.
pub(super) async fn must_use_provider(tx: &mut TenantTx, user: UserId) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "WITH able AS (
                 SELECT m.user_id, b.user_id IS NOT NULL AS named FROM memberships m
                 LEFT JOIN sign_in_break_glass b ON b.tenant_id = m.tenant_id AND b.user_id = m.user_id
                 WHERE m.tenant_id = $1 AND m.role = 'owner' AND m.suspended_at IS NULL
                   AND (EXISTS (SELECT FROM authenticator_apps a WHERE a.user_id = m.user_id)
                     OR EXISTS (SELECT FROM passkeys p WHERE p.user_id = m.user_id)))
               SELECT EXISTS (
                 SELECT FROM sign_in_providers p JOIN memberships m ON m.tenant_id = p.tenant_id
                 WHERE p.tenant_id = $1 AND p.enforced_at IS NOT NULL AND m.user_id = $2
                   AND NOT EXISTS (SELECT FROM able WHERE able.user_id = $2
                                   AND (able.named OR NOT EXISTS (SELECT FROM able WHERE able.named))))";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(user.uuid()).fetch_one(tx.conn()).await?)
}

/// Ends the sessions of all who have to log in through the provider and did not; of the named owners, those that began
/// without a second factor.
pub(super) async fn end_other_sessions(tx: &mut TenantTx, but: UserId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM sessions s USING memberships m, users u, domain_owners d
               WHERE m.tenant_id = $1 AND m.user_id = s.user_id AND u.id = m.user_id AND d.owner = $1
                 AND d.domain = split_part(u.email, '@', 2) AND s.method NOT LIKE 'company%' AND m.user_id <> $2
                 AND NOT ((s.method = 'passkey' OR s.method LIKE '%+%')
                          AND EXISTS (SELECT FROM sign_in_break_glass b
                                      WHERE b.tenant_id = m.tenant_id AND b.user_id = m.user_id))";
    sqlx::query(sql).bind(tenant).bind(but.uuid()).execute(tx.conn()).await?;
    Ok(())
}

// Domains ------------------------------------------------------------------------------------------------------------

pub(super) async fn domains(tx: &mut TenantTx) -> Result<Vec<Domain>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT domain, challenge, added_at, verified_at, verified_by FROM sign_in_domains
               WHERE tenant_id = $1 ORDER BY domain LIMIT 200";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn insert_domain(tx: &mut TenantTx, domain: &str, challenge: &str) -> Done {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO sign_in_domains (tenant_id, domain, challenge) VALUES ($1, $2, $3)";
    sqlx::query(sql).bind(tenant).bind(domain).bind(challenge).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn delete_domain(tx: &mut TenantTx, domain: &str) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    sqlx::query("DELETE FROM domain_owners WHERE owner = $1 AND domain = $2")
        .bind(tenant)
        .bind(domain)
        .execute(tx.conn())
        .await?;
    let sql = "DELETE FROM sign_in_domains WHERE tenant_id = $1 AND domain = $2";
    Ok(sqlx::query(sql).bind(tenant).bind(domain).execute(tx.conn()).await?.rows_affected() == 1)
}

pub(super) async fn mark_domain_verified(tx: &mut TenantTx, domain: &str, how: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE sign_in_domains SET verified_at = now(), verified_by = $3 WHERE tenant_id = $1 AND domain = $2";
    sqlx::query(sql).bind(tenant).bind(domain).bind(how).execute(tx.conn()).await?;
    Ok(())
}

/// Makes the tenant a domain's owner; false where another is.
pub(super) async fn own_domain(tx: &mut TenantTx, domain: &str) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    sqlx::query("INSERT INTO domain_owners (domain, owner) VALUES ($1, $2) ON CONFLICT (domain) DO NOTHING")
        .bind(domain)
        .bind(tenant)
        .execute(tx.conn())
        .await?;
    owns_domain(tx, domain).await
}

/// Whether the tenant is a domain's owner.
pub(super) async fn owns_domain(tx: &mut TenantTx, domain: &str) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT EXISTS (SELECT FROM domain_owners WHERE domain = $1 AND owner = $2)";
    Ok(sqlx::query_scalar(sql).bind(domain).bind(tenant).fetch_one(tx.conn()).await?)
}

pub(super) async fn domain_owner(tx: &mut GlobalTx, domain: &str) -> Result<Option<TenantId>> {
    let sql = "SELECT owner FROM domain_owners WHERE domain = $1";
    let owner: Option<Uuid> = sqlx::query_scalar(sql).bind(domain).fetch_optional(tx.conn()).await?;
    Ok(owner.map(TenantId::from))
}
