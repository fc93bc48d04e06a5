//! Who is asking at the token and revocation endpoints: the four ways in which a client proves that it is itself (RFC 6749,
//! section 2.3; RFC 7523, section 2.2).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use jsonwebtoken::jwk::Jwk;
use subtle::{Choice, ConstantTimeEq as _};
use time::OffsetDateTime;
use url::form_urlencoded;

use super::{AuthMethod, Client, Kind, Standing, assertion, store};
use crate::credentials::token;
use crate::oauth::key_sets;
use crate::oauth::tokens::{TokenError, TokenRequest};
use crate::oauth::{Oauth, store as oauth_store};
use crate::tenants::Tenant;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client that has proven what it can prove.
#[derive(Clone, Debug)]
pub struct Authenticated {
    pub client: Client,
    /// How it did.
    pub method: AuthMethod,
}

/// What a request shows.
enum Shown<'a> {
    Nothing { client_id: &'a str },
    Secret { client_id: Cow<'a, str>, secret: Cow<'a, str>, basic: bool },
    Assertion(&'a str),
}

/// Why a client is not believed. Over Basic it is told so in the way that Basic has.
fn invalid(reason: impl Into<Cow<'static, str>>, basic: bool) -> TokenError {
    TokenError::InvalidClient { reason: reason.into(), basic }
}

const UNKNOWN: &str = "this workspace does not know the client; register again";

impl Oauth {
    /// Finds out which client is asking. Whether a grant type is for it, the caller checks.
    ///
    /// # Errors
    /// `InvalidRequest` for a request that shows two proofs, `InvalidClient` for one that is not believed,
    /// `UnauthorizedClient` for a client that admins do not allow.
    pub async fn authenticate_client(
        &self,
        tenant: &Tenant,
        headers: &HeaderMap,
        form: &TokenRequest,
    ) -> Result<Authenticated, TokenError> {
        let authenticated = match shown(headers, form)? {
            Shown::Nothing { client_id } => {
                let client = self.known(tenant, client_id, false).await?;
                match client.auth_method {
                    AuthMethod::None => Authenticated { client, method: AuthMethod::None },
                    method => {
                        let reason = format!("the client must authenticate with {}", method.as_str());
                        return Err(invalid(reason, false));
                    }
                }
            }
            Shown::Secret { client_id, secret, basic } => {
                self.by_secret(tenant, &client_id, &secret, basic).await?
            }
            Shown::Assertion(text) => self.by_assertion(tenant, form, text).await?,
        };
        match authenticated.client.standing {
            Standing::Allowed => Ok(authenticated),
            Standing::Blocked => Err(TokenError::UnauthorizedClient(
                "an admin of this workspace has blocked the client; only they can allow it again",
            )),
            Standing::Pending => Err(TokenError::UnauthorizedClient(
                "the client waits for an admin of this workspace to allow it",
            )),
        }
    }

    async fn known(&self, tenant: &Tenant, client_id: &str, basic: bool) -> Result<Client, TokenError> {
        let mut tx = self.db.tenant(tenant.id).await?;
        self.client(&mut tx, client_id).await?.ok_or_else(|| invalid(UNKNOWN, basic))
    }

    /// Either way of sending a secret is taken from a client that has one: which of them it registered protects nothing, and
    /// clients mix them up.
    async fn by_secret(
        &self,
        tenant: &Tenant,
        client_id: &str,
        secret: &str,
        basic: bool,
    ) -> Result<Authenticated, TokenError> {
        let mut tx = self.db.tenant(tenant.id).await?;
        let client = self.client(&mut tx, client_id).await?.ok_or_else(|| invalid(UNKNOWN, basic))?;
        if !client.auth_method.uses_secret() {
            let reason = match client.auth_method {
                AuthMethod::None => "the client is a public one and has no secret; send client_id alone",
                _ => "the client must authenticate with private_key_jwt",
            };
            return Err(invalid(reason, basic));
        }
        let good = match client.kind {
            Kind::Registered => self.client_secrets.is_good(client_id, secret),
            Kind::Manual | Kind::MetadataDocument => {
                let shown = token::hash(secret);
                let hashes = store::secret_hashes(&mut tx, client_id).await?;
                // All are compared, so that time tells nothing.
                let none = Choice::from(0);
                bool::from(hashes.iter().fold(none, |found, hash| found | hash.ct_eq(&shown)))
            }
        };
        if !good {
            return Err(invalid("the client secret is wrong or was replaced", basic));
        }
        let method = if basic { AuthMethod::SecretBasic } else { AuthMethod::SecretPost };
        Ok(Authenticated { client, method })
    }

    async fn by_assertion(
        &self,
        tenant: &Tenant,
        form: &TokenRequest,
        text: &str,
    ) -> Result<Authenticated, TokenError> {
        if form.client_assertion_type != ASSERTION_TYPE {
            return Err(TokenError::InvalidRequest(
                "client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ));
        }
        let claimed = assertion::claimed(text).map_err(|e| invalid(e.0, false))?;
        if !form.client_id.is_empty() && form.client_id != claimed.client_id {
            return Err(invalid("client_id and client_assertion name two clients", false));
        }
        let client = self.known(tenant, &claimed.client_id, false).await?;
        if client.auth_method != AuthMethod::PrivateKeyJwt {
            let reason = format!("the client must authenticate with {}", client.auth_method.as_str());
            return Err(invalid(reason, false));
        }
        let keys = self.keys_of(&client, &claimed).await?;
        let origin = self.origin(tenant.slug.as_str());
        let audiences = [self.token_endpoint(tenant), origin];
        let now = OffsetDateTime::now_utc();
        let proof =
            assertion::verify(text, &claimed, &keys, &audiences, now).map_err(|e| invalid(e.0, false))?;
        let mut tx = self.db.tenant(tenant.id).await?;
        // The row decides which of two at once is the first, and stays whatever becomes of the request.
        if !oauth_store::use_jti(&mut tx, &claimed.client_id, &proof.jti, proof.expires_at).await? {
            return Err(invalid("client_assertion was used before; sign a new one for each request", false));
        }
        tx.commit().await?;
        Ok(Authenticated { client, method: AuthMethod::PrivateKeyJwt })
    }

    /// The keys that a client may have signed with.
    async fn keys_of(&self, client: &Client, claimed: &assertion::Claimed) -> Result<Vec<Jwk>, TokenError> {
        let kid = claimed.kid.as_deref();
        if let Some(set) = &client.jwks {
            let keys = key_sets::check(set).map_err(|e| invalid(e.to_string(), false))?;
            return Ok(key_sets::candidates(&keys, kid, claimed.algorithm));
        }
        let Some(uri) = &client.jwks_uri else { return Ok(Vec::new()) };
        // What nobody has allowed yet has no claim on our fetching something for it.
        if !client.stored {
            return Err(invalid("nobody in this workspace has allowed the client yet", false));
        }
        let keys = self.key_sets.at(uri, kid, claimed.algorithm).await;
        keys.map_err(|e| invalid(e.to_string(), false))
    }
}

/// Which client a request says it is from, for the record of a refusal. Nothing of it is proven.
#[must_use]
pub fn said<'a>(headers: &HeaderMap, form: &'a TokenRequest) -> Cow<'a, str> {
    if !form.client_id.is_empty() {
        return Cow::Borrowed(&form.client_id);
    }
    let by_header = basic(headers).ok().flatten().map(|(id, _)| id);
    let by_assertion = || assertion::claimed(&form.client_assertion).ok().map(|claimed| claimed.client_id);
    by_header.or_else(by_assertion).map_or(Cow::Borrowed(""), Cow::Owned)
}

/// What a request shows; two proofs are one too many (RFC 6749, section 2.3).
fn shown<'a>(headers: &HeaderMap, form: &'a TokenRequest) -> Result<Shown<'a>, TokenError> {
    let twice = Err(TokenError::InvalidRequest("the client authenticates in more than one way; use one"));
    let in_form = (!form.client_secret.is_empty(), !form.client_assertion.is_empty());
    if let Some((client_id, secret)) = basic(headers)? {
        if in_form != (false, false) {
            return twice;
        }
        if !form.client_id.is_empty() && form.client_id != client_id {
            return Err(invalid("client_id and the Authorization header name two clients", true));
        }
        if !secret.is_empty() {
            return Ok(Shown::Secret { client_id: client_id.into(), secret: secret.into(), basic: true });
        }
        // Some libraries send Basic with an empty password for public clients, and client_id beside it.
        if form.client_id.is_empty() {
            return Err(invalid("the Authorization header holds no client secret", true));
        }
    }
    match in_form {
        (true, true) => twice,
        (true, false) => Ok(Shown::Secret {
            client_id: form.client_id.as_str().into(),
            secret: form.client_secret.as_str().into(),
            basic: false,
        }),
        (false, true) => Ok(Shown::Assertion(&form.client_assertion)),
        (false, false) if form.client_id.is_empty() => {
            Err(TokenError::InvalidRequest("client_id is missing"))
        }
        (false, false) => Ok(Shown::Nothing { client_id: &form.client_id }),
    }
}

/// Client id and secret of an `Authorization: Basic` header, both form-encoded inside (RFC 6749, section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, TokenError> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(TokenError::InvalidRequest("the Authorization header was sent twice"));
    }
    let unreadable = || invalid("the Authorization header must be Basic with client id and secret", true);
    let text = value.to_str().map_err(|_| unreadable())?;
    let (scheme, rest) = text.split_once(' ').ok_or_else(unreadable)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(unreadable());
    }
    let plain = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let plain = plain.ok_or_else(unreadable)?;
    let (id, secret) = plain.split_once(':').ok_or_else(unreadable)?;
    match (decoded(id), decoded(secret)) {
        (Some(id), Some(secret)) => Ok(Some((id, secret))),
        _ => Err(unreadable()),
    }
}

/// One form-encoded value.
fn decoded(text: &str) -> Option<String> {
    let pair = format!("v={}", text.replace('&', "%26").replace('=', "%3D"));
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        headers
    }

    fn form(client_id: &str, secret: &str, assertion: &str) -> TokenRequest {
        TokenRequest {
            client_id: client_id.to_owned(),
            client_secret: secret.to_owned(),
            client_assertion: assertion.to_owned(),
            ..TokenRequest::default()
        }
    }

    #[test]
    fn id_and_secret_in_the_header_are_form_decoded() {
        let header = |plain: &str| headers(&format!("Basic {}", STANDARD.encode(plain)));
        let read = |plain: &str| basic(&header(plain)).ok().flatten();
        assert_eq!(
            read("https%3A%2F%2Fc.example%2Fdoc:a%2Bb%3D%26+c"),
            Some(("https://c.example/doc".to_owned(), "a+b=& c".to_owned()))
        );
        assert_eq!(read("id:a:b"), Some(("id".to_owned(), "a:b".to_owned())));
        assert_eq!(read("id:a=b&c"), Some(("id".to_owned(), "a=b&c".to_owned())));
        for bad in ["Basic", "Basic !!!", "Bearer abc", "Basic aWQ="] {
            assert!(
                matches!(basic(&headers(bad)), Err(TokenError::InvalidClient { basic: true, .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_request_shows_one_proof_and_no_more() {
        let with_secret = headers(&format!("Basic {}", STANDARD.encode("id:secret")));
        let nothing = HeaderMap::new();
        for (headers, form) in [
            (&with_secret, form("", "secret", "")),
            (&with_secret, form("id", "", "jwt")),
            (&nothing, form("id", "secret", "jwt")),
        ] {
            assert!(matches!(shown(headers, &form), Err(TokenError::InvalidRequest(_))));
        }
        assert!(matches!(shown(&with_secret, &form("other", "", "")), Err(TokenError::InvalidClient { .. })));
        assert!(matches!(shown(&with_secret, &form("id", "", "")), Ok(Shown::Secret { basic: true, .. })));
        assert!(matches!(shown(&nothing, &form("id", "s", "")), Ok(Shown::Secret { basic: false, .. })));
        assert!(matches!(shown(&nothing, &form("", "", "jwt")), Ok(Shown::Assertion("jwt"))));
        assert!(matches!(shown(&nothing, &form("", "", "")), Err(TokenError::InvalidRequest(_))));
        let empty = headers(&format!("Basic {}", STANDARD.encode("id:")));
        assert!(matches!(shown(&empty, &form("id", "", "")), Ok(Shown::Nothing { client_id: "id" })));
    }
}
