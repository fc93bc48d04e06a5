//! The token endpoint: codes and refresh tokens for access tokens (OAuth 2.1, sections 4.1.3 and 4.3; RFC 9068).

use std::borrow::Cow;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use time::{Duration, OffsetDateTime};
use toolmesh_proto::claims::{self, ACCESS_TOKEN_SECONDS, AccessClaims, Scopes, Subject};
use toolmesh_proto::ids::GrantId;

use super::clients::{self, Client, SEEN_EVERY};
use super::id_jag::JWT_BEARER;
use super::machines::CLIENT_CREDENTIALS;
use super::{Oauth, authorize, scopes, store};
use crate::accounts::factors::requirement;
use crate::accounts::members;
use crate::credentials::token::{self, Token};
use crate::db::TenantTx;
use crate::error::Error;
use crate::revocations::{self, Reach, What};
use crate::tenants::Tenant;

/// A refresh token lives this long after its last use, and its family this long in all.
const REFRESH_IDLE: Duration = Duration::days(30);
const REFRESH_ABSOLUTE: Duration = Duration::days(90);

/// A refresh token that was exchanged may come again for this long, this often: clients race themselves.
const GRACE: Duration = Duration::seconds(30);
const GRACE_USES: i32 = 3;

/// The grant types that a client must be registered for. An identity provider's assertion names its client itself.
const GRANT_TYPES: [&str; 3] = ["authorization_code", "refresh_token", CLIENT_CREDENTIALS];

/// What a client sends; also the body of a revocation. It does not print: most of it is secret.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct TokenRequest {
    pub grant_type: String,
    pub client_id: String,
    pub client_secret: String,
    pub client_assertion_type: String,
    pub client_assertion: String,
    pub code: String,
    pub redirect_uri: String,
    pub code_verifier: String,
    pub refresh_token: String,
    pub resource: String,
    pub scope: String,
    pub assertion: String,
    pub token: String,
}

/// What a client gets.
#[derive(Serialize)]
pub struct TokenAnswer {
    pub access_token: String,
    pub token_type: &'static str,
    pub expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    pub scope: String,
}

/// What an access token says.
pub(super) struct Bearer<'a> {
    pub origin: &'a str,
    pub subject: Subject,
    pub client_id: &'a str,
    pub grant: GrantId,
    pub scopes: Scopes,
}

/// Why a client gets nothing (RFC 6749, section 5.2).
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("{0}")]
    InvalidGrant(&'static str),
    /// The same of an identity provider's assertion, which can be wrong in more ways than one can list.
    #[error("{0}")]
    InvalidAssertion(Cow<'static, str>),
    /// It is not who it says; `basic` where it said so in the header.
    #[error("{reason}")]
    InvalidClient { reason: Cow<'static, str>, basic: bool },
    /// It is, and may not.
    #[error("{0}")]
    UnauthorizedClient(&'static str),
    #[error("resource must be this workspace's MCP endpoint")]
    InvalidTarget,
    #[error(
        "grant_type must be authorization_code, refresh_token, client_credentials or urn:ietf:params:oauth:grant-type:jwt-bearer"
    )]
    UnsupportedGrantType,
    #[error(transparent)]
    Internal(#[from] Error),
}

type Result<T> = std::result::Result<T, TokenError>;

impl From<crate::db::DbError> for TokenError {
    fn from(error: crate::db::DbError) -> Self {
        Self::Internal(error.into())
    }
}

impl Oauth {
    /// Answers a token request.
    ///
    /// # Errors
    /// As RFC 6749 names them.
    pub async fn token(
        &self,
        tenant: &Tenant,
        headers: &HeaderMap,
        request: &TokenRequest,
    ) -> Result<TokenAnswer> {
        let origin = self.origin(tenant.slug.as_str());
        if !request.resource.is_empty() && !authorize::is_resource(&request.resource, &origin) {
            return Err(TokenError::InvalidTarget);
        }
        if request.grant_type == JWT_BEARER {
            return self.identity_assertion(tenant, headers, request).await;
        }
        let caller = self.authenticate_client(tenant, headers, request).await?;
        let client = &caller.client;
        if GRANT_TYPES.contains(&request.grant_type.as_str()) && !client.may(&request.grant_type) {
            return Err(TokenError::UnauthorizedClient("the client is not registered for this grant_type"));
        }
        let mut tx = self.db.tenant(tenant.id).await?;
        clients::store::seen(&mut tx, &client.client_id, OffsetDateTime::now_utc() - SEEN_EVERY).await?;
        match request.grant_type.as_str() {
            "authorization_code" => self.redeem_code(tx, &origin, client, request).await,
            "refresh_token" => self.refresh(tx, &origin, client, request).await,
            CLIENT_CREDENTIALS => self.client_credentials(tx, &origin, &caller, request).await,
            _ => Err(TokenError::UnsupportedGrantType),
        }
    }

    async fn redeem_code(
        &self,
        mut tx: TenantTx,
        origin: &str,
        client: &Client,
        request: &TokenRequest,
    ) -> Result<TokenAnswer> {
        let dead = TokenError::InvalidGrant(
            "the code is unknown, was used, has expired, or belongs to another client",
        );
        let hash = token::hash(&request.code);
        let Some(id) = store::grant_of_code(&mut tx, &hash).await? else { return Err(dead) };
        // Grant first, as everything else that locks both.
        let grant = store::lock_grant(&mut tx, id).await?;
        let Some(code) = store::lock_code(&mut tx, &hash).await? else { return Err(dead) };
        if code.used_at.is_some() {
            // Somebody holds a copy: what came of the first use ends too.
            self.end_grant(tx, code.grant_id, "its code was used twice").await?;
            return Err(dead);
        }
        let same_redirect = request.redirect_uri.is_empty() || request.redirect_uri == code.redirect_uri;
        if code.client_id != client.client_id || !same_redirect || code.expires_at < OffsetDateTime::now_utc()
        {
            return Err(dead);
        }
        if !verifier_fits(&request.code_verifier, &code.challenge) {
            return Err(TokenError::InvalidGrant("code_verifier does not fit the code's challenge"));
        }
        store::mark_code_used(&mut tx, &hash).await?;
        let grant = grant.filter(|g| g.revoked_at.is_none()).ok_or(dead)?;
        let scopes = Scopes::parse(&grant.scope);
        self.issue(tx, origin, &grant, scopes, None).await
    }

    async fn refresh(
        &self,
        mut tx: TenantTx,
        origin: &str,
        client: &Client,
        request: &TokenRequest,
    ) -> Result<TokenAnswer> {
        let dead =
            || TokenError::InvalidGrant("the refresh token is unknown, was used, has expired or was revoked");
        let hash = token::hash(&request.refresh_token);
        let Some(grant_id) = store::grant_of_refresh(&mut tx, &hash).await? else { return Err(dead()) };
        // The grant's row is the family's lock: refreshes of one family happen one after the other.
        let grant = store::lock_grant(&mut tx, grant_id).await?.ok_or_else(dead)?;
        let row = store::refresh_token(&mut tx, &hash).await?.ok_or_else(dead)?;
        let now = OffsetDateTime::now_utc();
        let over = row.expires_at < now || grant.created_at + REFRESH_ABSOLUTE < now;
        if grant.client_id != client.client_id || grant.revoked_at.is_some() || over {
            return Err(dead());
        }
        if let Some(rotated_at) = row.rotated_at {
            if row.child_rotated || rotated_at + GRACE < now {
                self.end_grant(tx, grant_id, "a refresh token was used again").await?;
                return Err(dead());
            }
            if row.grace_uses >= GRACE_USES {
                return Err(dead());
            }
        }
        store::mark_rotated(&mut tx, &hash).await?;
        let scopes = scopes::narrowed(&grant.scope, &request.scope);
        self.issue(tx, origin, &grant, scopes, Some(hash)).await
    }

    /// An access token with a refresh token of the same grant. The scopes may be fewer than the grant's, which keeps its own.
    async fn issue(
        &self,
        mut tx: TenantTx,
        origin: &str,
        grant: &store::GrantRow,
        scopes: Scopes,
        parent: Option<Vec<u8>>,
    ) -> Result<TokenAnswer> {
        if requirement::stops(&mut tx, grant.user_id).await? {
            return Err(TokenError::InvalidGrant(
                "this workspace requires a second factor; add one to your account in the console, then connect again",
            ));
        }
        // Asked at every step, not only at consent: a suspended member's clients get nothing.
        if !members::is_active(&mut tx, grant.user_id).await? {
            return Err(TokenError::InvalidGrant("the member is suspended"));
        }
        let refresh = Token::new("")?;
        let expires_at = OffsetDateTime::now_utc() + REFRESH_IDLE;
        store::insert_refresh(&mut tx, &refresh.hash, grant.id, expires_at, parent.as_deref()).await?;
        let bearer = Bearer {
            origin,
            subject: Subject::User(grant.user_id),
            client_id: &grant.client_id,
            grant: grant.id,
            scopes,
        };
        let answer = self.bearer(&mut tx, &bearer).await?;
        tx.commit().await?;
        Ok(TokenAnswer { refresh_token: Some(refresh.secret.expose_secret().to_owned()), ..answer })
    }

    /// An access token alone.
    pub(super) async fn bearer(&self, tx: &mut TenantTx, bearer: &Bearer<'_>) -> Result<TokenAnswer> {
        let after = revocations::issue_after(tx, bearer.client_id, bearer.subject).await?;
        let iat = OffsetDateTime::now_utc().unix_timestamp().max(after + 1);
        store::set_last_iat(tx, bearer.grant, iat).await?;
        let scope = bearer.scopes.to_string();
        let claims = AccessClaims {
            iss: bearer.origin.to_owned(),
            aud: claims::resource(bearer.origin),
            sub: bearer.subject.to_string(),
            client_id: bearer.client_id.to_owned(),
            tid: tx.tenant().to_string(),
            sid: bearer.grant.to_string(),
            jti: uuid::Uuid::new_v4().to_string(),
            iat,
            exp: iat + ACCESS_TOKEN_SECONDS,
            scope: scope.clone(),
        };
        Ok(TokenAnswer {
            access_token: self.keys.sign(&claims)?,
            token_type: "Bearer",
            expires_in: ACCESS_TOKEN_SECONDS,
            refresh_token: None,
            scope,
        })
    }

    /// Ends a grant with everything that came of it, everywhere.
    pub(super) async fn end_grant(
        &self,
        mut tx: TenantTx,
        id: GrantId,
        reason: &str,
    ) -> crate::error::Result<()> {
        let ended = revocations::revoke(&mut tx, &What::Grant(id), Reach::Tokens, reason).await?;
        tx.commit().await?;
        tracing::info!(grant = %id, reason, grants = ended.grants, "grant ended");
        Ok(())
    }
}

/// RFC 7636, section 4.6, for S256.
fn verifier_fits(verifier: &str, challenge: &str) -> bool {
    let valid = (43..=128).contains(&verifier.len());
    let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
    valid && bool::from(URL_SAFE_NO_PAD.encode(hash.as_ref()).as_bytes().ct_eq(challenge.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_fits_only_its_own_challenge() {
        // RFC 7636, appendix B
        let (verifier, challenge) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(verifier_fits(verifier, challenge));
        assert!(!verifier_fits(challenge, challenge), "plain must not pass");
        assert!(!verifier_fits("", challenge));
    }
}
