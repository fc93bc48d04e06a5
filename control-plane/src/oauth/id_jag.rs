//! Assertions of a trusted identity provider in place of a person's consent (RFC 7523, section 2.1, in the profile of the
//! identity assertion authorization grant, ID-JAG): which claims one must hold, how they are checked, and what a client gets
//! for it. It gets no refresh token: the provider is asked again, and may say no.

use std::borrow::Cow;

use http::HeaderMap;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use time::OffsetDateTime;
use toolmesh_proto::claims::{Scopes, Subject};

use super::clients::{self, Client, Standing, documents};
use super::identity_providers::store::{self as providers, Trusted};
use super::key_sets::ALGORITHMS;
use super::machines::CLIENT_CREDENTIALS;
use super::tokens::{Bearer, TokenAnswer, TokenError, TokenRequest};
use super::{Oauth, authorize, scopes, store};
use crate::accounts::external::domains;
use crate::accounts::factors::requirement;
use crate::accounts::members::{self, Membership};
use crate::db::TenantTx;
use crate::error::Error;
use crate::tenants::Tenant;

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// `typ` of an assertion; keeps a provider's other tokens from passing for one.
const TYPE: &str = "oauth-id-jag+jwt";

/// Longest assertion that is looked at, in bytes.
const MAX_BYTES: usize = 8 << 10;

/// How far two clocks may differ, and how old or how long-lived an assertion may be, in seconds.
const SKEW: i64 = 60;
const MAX_AGE: i64 = 3600;

/// What an assertion says before its signature is checked: whose keys to look for.
struct Claimed {
    issuer: String,
    kid: Option<String>,
    algorithm: Algorithm,
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    jti: String,
    client_id: String,
    resource: Option<OneOrMany>,
    scope: Option<String>,
    email: Option<String>,
    email_verified: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// Whether there is at least one, and each fits.
    fn all(&self, fits: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::One(one) => fits(one),
            Self::Many(all) => !all.is_empty() && all.iter().all(|one| fits(one)),
        }
    }
}

fn refused(reason: impl Into<Cow<'static, str>>) -> TokenError {
    TokenError::InvalidAssertion(reason.into())
}

fn untrusted() -> TokenError {
    refused("this workspace does not trust the issuer of the assertion; an admin can add it in the settings")
}

fn nobody() -> TokenError {
    refused("the person of the assertion is no active member of this workspace")
}

/// Of somebody who is no member, or a suspended one.
fn shut_out(error: Error) -> TokenError {
    match error {
        Error::NotFound | Error::Forbidden(_) => nobody(),
        error => error.into(),
    }
}

impl Oauth {
    /// Answers an assertion with an access token for the member it speaks of. The assertion comes first: only one that a
    /// trusted provider has signed gives a client, whom nobody here may have seen before, a claim on being looked up.
    pub(super) async fn identity_assertion(
        &self,
        tenant: &Tenant,
        headers: &HeaderMap,
        request: &TokenRequest,
    ) -> Result<TokenAnswer, TokenError> {
        let origin = self.origin(tenant.slug.as_str());
        let (provider, claims) = self.vouched(tenant, &origin, &request.assertion).await?;
        self.use_up(tenant, &claims).await?;
        let member = self.person(tenant, &provider, &claims).await?;
        let client = self.bringer(tenant, headers, request, &member, &claims).await?;
        let mut tx = self.db.tenant(tenant.id).await?;
        still_good(&mut tx, &provider, &member).await?;
        let scopes = granted(&mut tx, &claims, &request.scope).await?;
        if !clients::note_use(&mut tx, &client, member.user).await? {
            return Err(TokenError::UnauthorizedClient("an admin of this workspace has removed the client"));
        }
        // Of two at once that name two people by one subject, the first stays.
        if providers::link(&mut tx, provider.id, &claims.sub, member.user).await? != Some(member.user) {
            return Err(nobody());
        }
        let grant = providers::grant(&mut tx, member.user, &client.client_id, &scopes.to_string()).await?;
        providers::used(&mut tx, provider.id).await?;
        let bearer = Bearer {
            origin: &origin,
            subject: Subject::User(member.user),
            client_id: &client.client_id,
            grant,
            scopes,
        };
        let answer = self.bearer(&mut tx, &bearer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// What a provider that the workspace trusts has signed, checked but for the client that brings it.
    async fn vouched(
        &self,
        tenant: &Tenant,
        origin: &str,
        assertion: &str,
    ) -> Result<(Trusted, Claims), TokenError> {
        let claimed = claimed(assertion)?;
        let mut tx = self.db.tenant(tenant.id).await?;
        let provider = providers::by_issuer(&mut tx, &claimed.issuer).await?;
        // The keys may have to be fetched; nothing is held meanwhile.
        drop(tx);
        let provider = provider.ok_or_else(untrusted)?;
        let keys = self.key_sets.at(&provider.jwks_uri, claimed.kid.as_deref(), claimed.algorithm).await;
        let claims = verify(assertion, &claimed, &keys.map_err(|error| refused(error.to_string()))?)?;
        judge(&claims, &claimed, origin, OffsetDateTime::now_utc().unix_timestamp())?;
        if provider.client_ids.is_empty() || provider.client_ids.contains(&claims.client_id) {
            Ok((provider, claims))
        } else {
            Err(refused("the identity provider may not vouch for this client in this workspace"))
        }
    }

    /// The client that brings an assertion, which must be the one that it names.
    async fn bringer(
        &self,
        tenant: &Tenant,
        headers: &HeaderMap,
        request: &TokenRequest,
        member: &Membership,
        claims: &Claims,
    ) -> Result<Client, TokenError> {
        let introduced = self.introduced(member, &claims.client_id).await?;
        let caller = self.authenticate_client(tenant, headers, request).await?;
        if caller.client.client_id != claims.client_id {
            return Err(refused("the assertion was made for another client"));
        }
        let client = introduced.unwrap_or(caller.client);
        if client.grant_types == [CLIENT_CREDENTIALS] {
            return Err(TokenError::UnauthorizedClient(
                "the client is registered for machines only, which act for no person",
            ));
        }
        may_be_used(self.admit(member, &client).await?)?;
        Ok(client)
    }

    /// A client that is known by a document, as that is now, with its row made if it is new and the workspace's rules allow it.
    async fn introduced(&self, member: &Membership, client_id: &str) -> Result<Option<Client>, TokenError> {
        if !documents::is_document(client_id) {
            return Ok(None);
        }
        let client = self.identify(member.tenant, client_id).await?.map_err(refused)?;
        if !client.stored {
            may_be_used(self.admit(member, &client).await?)?;
            let mut tx = self.db.tenant(member.tenant).await?;
            clients::note_use(&mut tx, &client, member.user).await?;
            tx.commit().await?;
        }
        Ok(Some(client))
    }

    /// The member that an assertion speaks of: known by the provider's subject, or, the first time, by the address. The
    /// provider speaks for the workspace's own domains only: whoever may add one could else act as any other member.
    async fn person(
        &self,
        tenant: &Tenant,
        provider: &Trusted,
        claims: &Claims,
    ) -> Result<Membership, TokenError> {
        let mut tx = self.db.tenant(tenant.id).await?;
        let user = match providers::linked(&mut tx, provider.id, &claims.sub).await? {
            Some(user) => user,
            None => {
                let vouched = claims.email_verified != Some(false);
                let email = claims.email.as_deref().filter(|_| vouched).ok_or_else(nobody)?;
                let email = email.trim().to_lowercase();
                providers::member_with(&mut tx, &email).await?.ok_or_else(nobody)?
            }
        };
        let email = providers::address_of(&mut tx, user).await?.ok_or_else(nobody)?;
        if !domains::speaks_for(&mut tx, &email).await? {
            return Err(refused(
                "the person's address is in no domain that this workspace has proven to be its own; an admin can do that in \
                 the settings, under Sign-in",
            ));
        }
        drop(tx);
        members::membership(&self.db, tenant.id, user).await.map_err(shut_out)
    }

    /// Makes an assertion good for nothing more, whatever becomes of this request.
    async fn use_up(&self, tenant: &Tenant, claims: &Claims) -> Result<(), TokenError> {
        let until = OffsetDateTime::from_unix_timestamp(claims.exp.saturating_add(SKEW));
        let until = until.map_err(|_| refused("the exp of the assertion is no time"))?;
        let mut tx = self.db.tenant(tenant.id).await?;
        let issuer = format!("identity provider {}", claims.iss);
        if !store::use_jti(&mut tx, &issuer, &claims.jti, until).await? {
            return Err(refused("the assertion was used before; ask the identity provider for a new one"));
        }
        Ok(tx.commit().await?)
    }
}

/// Looks again at what was found before, and keeps it as it is until the token is made.
async fn still_good(tx: &mut TenantTx, provider: &Trusted, member: &Membership) -> Result<(), TokenError> {
    members::still(tx, member).await.map_err(shut_out)?;
    if !providers::lock(tx, provider.id).await? {
        return Err(untrusted());
    }
    if requirement::stops(tx, member.user).await? {
        return Err(refused(
            "this workspace requires a second factor; the person has to add one to their account in the console",
        ));
    }
    Ok(())
}

/// What is granted: what the provider or the client asks for, where both do what both do.
async fn granted(tx: &mut TenantTx, claims: &Claims, asked: &str) -> Result<Scopes, TokenError> {
    let most = scopes::grantable(tx, claims.scope.as_deref().unwrap_or(asked)).await?;
    let granted = if asked.is_empty() { most } else { scopes::narrowed(&most.to_string(), asked) };
    Ok(Scopes { offline: false, ..granted })
}

fn may_be_used(standing: Standing) -> Result<(), TokenError> {
    match standing {
        Standing::Allowed => Ok(()),
        Standing::Blocked => Err(TokenError::UnauthorizedClient(
            "an admin of this workspace has blocked the client; only they can allow it again",
        )),
        Standing::Pending => {
            Err(TokenError::UnauthorizedClient("the client waits for an admin of this workspace to allow it"))
        }
    }
}

fn claimed(assertion: &str) -> Result<Claimed, TokenError> {
    if assertion.is_empty() {
        return Err(TokenError::InvalidRequest("assertion is missing"));
    }
    if assertion.len() > MAX_BYTES {
        return Err(refused("the assertion is longer than 8 KiB"));
    }
    let header = jsonwebtoken::decode_header(assertion)
        .map_err(|_| refused("the assertion must be a JWT signed with RS256, PS256, ES256 or EdDSA"))?;
    let kind = header.typ.as_deref().unwrap_or_default();
    if kind.strip_prefix("application/").unwrap_or(kind) != TYPE {
        return Err(refused("the typ of the assertion must be oauth-id-jag+jwt"));
    }
    if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
        return Err(refused(
            "the assertion must be signed with RS256, PS256, ES256 or EdDSA, without extensions",
        ));
    }
    let issuer: Issuer = jsonwebtoken::dangerous::insecure_decode(assertion)
        .map_err(|_| refused("the assertion names no issuer"))?
        .claims;
    Ok(Claimed { issuer: issuer.iss, kid: header.kid, algorithm: header.alg })
}

/// Checks the signature; what the claims say is judged afterwards.
fn verify(assertion: &str, claimed: &Claimed, keys: &[Jwk]) -> Result<Claims, TokenError> {
    if keys.is_empty() {
        return Err(refused(
            "the assertion is signed with a key that the identity provider does not publish",
        ));
    }
    let mut rules = Validation::new(claimed.algorithm);
    rules.set_required_spec_claims::<&str>(&[]);
    rules.validate_exp = false;
    rules.validate_aud = false;
    let signed = keys.iter().find_map(|key| {
        let key = DecodingKey::from_jwk(key).ok()?;
        jsonwebtoken::decode::<serde_json::Value>(assertion, &key, &rules).ok()
    });
    let signed = signed.ok_or_else(|| refused("the signature of the assertion is wrong"))?;
    serde_json::from_value(signed.claims)
        .map_err(|error| refused(format!("a claim of the assertion is missing or malformed: {error}")))
}

fn judge(claims: &Claims, claimed: &Claimed, origin: &str, now: i64) -> Result<(), TokenError> {
    let rules = [
        (claims.iss == claimed.issuer, "the assertion names two issuers"),
        (
            claims.aud.all(|aud| aud == origin),
            "the aud of the assertion must be this workspace's issuer, exactly",
        ),
        (
            claims.resource.as_ref().is_none_or(|r| r.all(|one| authorize::is_resource(one, origin))),
            "the resource of the assertion must be this workspace's MCP endpoint",
        ),
        (claims.exp > now - SKEW, "the assertion has expired"),
        (claims.exp <= now + MAX_AGE + SKEW, "the assertion must expire within an hour"),
        (
            claims.iat <= now + SKEW && claims.nbf.is_none_or(|nbf| nbf <= now + SKEW),
            "the assertion is from the future; is the identity provider's clock right?",
        ),
        (claims.iat >= now - MAX_AGE, "the assertion was made more than an hour ago"),
        ((1..=255).contains(&claims.sub.len()), "the sub of the assertion must have 1 to 255 characters"),
        ((1..=255).contains(&claims.jti.len()), "the jti of the assertion must have 1 to 255 characters"),
    ];
    match rules.into_iter().find(|(kept, _)| !kept) {
        Some((_, broken)) => Err(refused(broken)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ORIGIN: &str = "https://acme.example.net";
    const NOW: i64 = 1_800_000_000;

    fn claims() -> Value {
        json!({
            "iss": "https://idp.example", "sub": "u1", "aud": ORIGIN, "exp": NOW + 300, "iat": NOW, "jti": "j",
            "client_id": "c", "resource": format!("{ORIGIN}/mcp"), "email": "ada@example.com"
        })
    }

    fn judged(claims: Value) -> Result<(), String> {
        let claims: Claims = serde_json::from_value(claims).map_err(|e| e.to_string())?;
        let claimed =
            Claimed { issuer: "https://idp.example".into(), kid: None, algorithm: Algorithm::RS256 };
        judge(&claims, &claimed, ORIGIN, NOW).map_err(|e| e.to_string())
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    #[test]
    fn an_assertion_for_this_workspace_and_client_is_good() {
        judged(claims()).unwrap();
        judged(with("aud", json!([ORIGIN]))).unwrap();
        judged(with("exp", json!(NOW - 59))).unwrap();
        let mut without = claims();
        without.as_object_mut().unwrap().remove("resource");
        judged(without).unwrap();
    }

    #[test]
    fn an_assertion_with_one_wrong_claim_is_refused_and_the_claim_is_named() {
        for (name, value, word) in [
            ("iss", json!("https://other.example"), "issuers"),
            ("aud", json!(format!("{ORIGIN}/")), "aud"),
            ("aud", json!("https://beta.example.net"), "aud"),
            ("aud", json!([ORIGIN, "https://beta.example.net"]), "aud"),
            ("aud", json!([]), "aud"),
            ("resource", json!("https://beta.example.net/mcp"), "resource"),
            ("resource", json!([]), "resource"),
            ("exp", json!(NOW - 60), "expired"),
            ("exp", json!(NOW + 7200), "within an hour"),
            ("iat", json!(NOW + 61), "future"),
            ("nbf", json!(NOW + 61), "future"),
            ("iat", json!(NOW - 3601), "hour ago"),
            ("sub", json!(""), "sub"),
            ("jti", json!("x".repeat(256)), "jti"),
            ("sub", json!(7), "string"),
        ] {
            let error = judged(with(name, value.clone())).unwrap_err();
            assert!(error.contains(word), "{name}={value}: {error}");
        }
        for name in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            assert!(judged(claims).unwrap_err().contains(name), "{name}");
        }
    }

    #[test]
    fn another_kind_of_token_is_no_assertion() {
        let encode = |value: &Value| {
            use base64::Engine as _;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
        };
        let token = |header: &Value| format!("{}.{}.c2ln", encode(header), encode(&claims()));
        for (typ, alg, good) in [
            ("oauth-id-jag+jwt", "RS256", true),
            ("application/oauth-id-jag+jwt", "EdDSA", true),
            ("JWT", "RS256", false),
            ("at+jwt", "RS256", false),
            ("oauth-id-jag+jwt", "HS256", false),
            ("oauth-id-jag+jwt", "none", false),
        ] {
            let found = claimed(&token(&json!({"typ": typ, "alg": alg})));
            assert_eq!(found.is_ok(), good, "{typ} {alg}");
        }
        assert!(claimed("").is_err() && claimed("a.b.c").is_err() && claimed(&"x".repeat(9000)).is_err());
    }
}
