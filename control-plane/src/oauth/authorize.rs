//! Authorization requests: checking one, what the consent page shows, and what follows the decision.

use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use toolmesh_proto::claims;
use toolmesh_proto::ids::{GrantId, UserId};
use url::Url;

use super::clients::{self, Client, Kind, Standing, documents, policy};
use super::redirect;
use super::{Oauth, scopes, store};
use crate::accounts::members::{self, Membership};
use crate::credentials::token::Token;
use crate::db::TenantTx;
use crate::error::{Error, Result};
use crate::tenants::Tenant;

/// Life of a code; a client redeems it at once.
const CODE_LIFE: Duration = Duration::seconds(60);

/// What is said of a page that was answered.
const ANSWERED: &str =
    "You have answered this page already. If the application did not go on, start again from it.";

/// Seconds a person has to decide.
const DECISION_SECONDS: i64 = 600;

/// The parameters of an authorization request as they arrived.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    #[must_use]
    pub fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    /// The client id, as the request says.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.get("client_id").unwrap_or_default()
    }

    /// Whether the client is known by a document, which is fetched for members only.
    #[must_use]
    pub fn names_document(&self) -> bool {
        documents::is_document(self.client_id())
    }

    fn repeated(&self, name: &str) -> bool {
        self.0.iter().filter(|(key, _)| key == name).count() > 1
    }
}

/// A request that may be shown to a person.
#[derive(Clone, Debug)]
pub struct Request {
    pub client: Client,
    pub redirect_uri: String,
    pub state: Option<String>,
    pub challenge: String,
    pub scope: String,
    /// Whether the client wants the person to be asked in any case.
    ask: bool,
}

/// A request that is not shown.
#[derive(Debug)]
pub enum Refusal {
    /// Client or redirect cannot be trusted: the person sees an error page, and nobody is redirected.
    Page(String),
    /// The client is told by redirect.
    Redirect { url: String, error: &'static str, reason: &'static str },
}

/// What a person decides on, sealed into the form.
#[derive(Serialize, Deserialize)]
struct Pending {
    /// One of a kind, so that the page is answered once.
    id: uuid::Uuid,
    tenant: toolmesh_proto::ids::TenantId,
    user: UserId,
    /// The browser that was asked: a page that is shown in another one decides nothing.
    browser: String,
    client_id: String,
    redirect_uri: String,
    state: Option<String>,
    challenge: String,
    scope: String,
    expires_at: i64,
}

impl Oauth {
    /// Checks a request (OAuth 2.1, section 4.1.1; RFC 7636; RFC 8707). Client and redirect come first: until both are known
    /// to be good, nobody is redirected anywhere.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check(
        &self,
        tenant: &Tenant,
        params: &Params,
    ) -> Result<std::result::Result<Request, Refusal>> {
        let page = |text: &str| Ok(Err(Refusal::Page(text.to_owned())));
        if ["client_id", "redirect_uri"].iter().any(|name| params.repeated(name)) {
            return page("The application sent a parameter twice. Start again from the application.");
        }
        let Some(client_id) = params.get("client_id") else {
            return page("The application did not say who it is. Start again from the application.");
        };
        let client = match self.identify(tenant.id, client_id).await? {
            Ok(client) => client,
            Err(why) => return page(&why),
        };
        if !client.may("authorization_code") {
            return page("The application is registered for machines only, which log in without a person.");
        }
        let only = (client.redirect_uris.len() == 1).then(|| client.redirect_uris[0].as_str());
        let Some(redirect_uri) = params.get("redirect_uri").or(only).map(str::to_owned) else {
            return page(
                "The application did not say where to send you back. Start again from the application.",
            );
        };
        if !redirect::is_registered(&redirect_uri, &client.redirect_uris) {
            return page(
                "The application asked to send you to an address that it did not register. Nothing was shared.",
            );
        }
        let state = params.get("state").map(str::to_owned);
        let origin = self.origin(tenant.slug.as_str());
        match rules(params, &origin) {
            Err((error, reason)) => {
                let answer = [("error", error), ("error_description", reason)];
                let url = answer_url(&redirect_uri, &answer, state.as_deref(), &origin)?;
                Ok(Err(Refusal::Redirect { url, error, reason }))
            }
            Ok(challenge) => {
                let ask = params.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|p| p != "none"));
                let mut tx = self.db.tenant(tenant.id).await?;
                let scope = scopes::grantable(&mut tx, params.get("scope").unwrap_or_default()).await?;
                Ok(Ok(Request { client, redirect_uri, state, challenge, scope: scope.to_string(), ask }))
            }
        }
    }

    /// Seals a request for the consent form, bound to who is asked and in which browser.
    ///
    /// # Errors
    /// Only if the system has no randomness.
    pub fn pending(&self, member: &Membership, browser: &str, request: &Request) -> Result<String> {
        self.requests.seal(&Pending::of(member, browser, request))
    }

    /// Answers a request without asking, where that is safe: the same person allowed the same client the same scope and the
    /// same place to be sent to within the last month, and what they allowed is still in use. The client must be one that
    /// somebody vouches for and the place must be on the web, since any program can claim to be one on this computer. And
    /// the person must have come by themselves (`came_alone`): where another page sent them, that page may be in the middle
    /// between them and the client.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remembered(
        &self,
        tenant: &Tenant,
        member: &Membership,
        request: &Request,
        came_alone: bool,
    ) -> Result<Option<String>> {
        let on_the_web = Url::parse(&request.redirect_uri)
            .is_ok_and(|url| url.scheme() == "https" && !redirect::is_loopback(&url));
        if !came_alone || request.ask || !on_the_web || request.client.kind == Kind::Registered {
            return Ok(None);
        }
        let mut tx = self.db.tenant(tenant.id).await?;
        let (client_id, redirect_uri) = (&request.client.client_id, &request.redirect_uri);
        let given = store::consent(&mut tx, member.user, client_id, redirect_uri, &request.scope).await?;
        let Some(given_at) = given else { return Ok(None) };
        let pending = Pending::of(member, "", request);
        self.answer_with_code(tx, tenant, member, request.client.clone(), pending, given_at).await.map(Some)
    }

    /// Carries out a decision and answers where to send the browser. Everything is checked again: the client may be gone, the
    /// person no longer a member.
    ///
    /// # Errors
    /// `Refused` when the form is too old, was answered before, was made for somebody else or shown elsewhere, or the client may
    /// not be used.
    pub async fn decide(
        &self,
        tenant: &Tenant,
        member: &Membership,
        browser: &str,
        sealed: &str,
        allow: bool,
    ) -> Result<String> {
        let pending: Pending = self.requests.open(sealed).ok_or_else(stale)?;
        let now = OffsetDateTime::now_utc();
        let meant = pending.tenant == tenant.id && pending.user == member.user && pending.browser == browser;
        if !meant || pending.expires_at < now.unix_timestamp() {
            return Err(stale());
        }
        // May have to be fetched, which no transaction waits for.
        let client = match allow {
            true => Some(self.identify(tenant.id, &pending.client_id).await?.map_err(|_| stale())?),
            false => None,
        };
        let mut tx = self.db.tenant(tenant.id).await?;
        // With the answer in one transaction: of two that come at once, one waits for the other, and is too late.
        let ends = now + Duration::seconds(DECISION_SECONDS);
        if !store::use_jti(&mut tx, "consent", &pending.id.to_string(), ends).await? {
            return Err(Error::Refused(ANSWERED.to_owned()));
        }
        let Some(client) = client else {
            tx.commit().await?;
            let origin = self.origin(tenant.slug.as_str());
            let answer = [("error", "access_denied"), ("error_description", "The person said no.")];
            return answer_url(&pending.redirect_uri, &answer, pending.state.as_deref(), &origin);
        };
        if !redirect::is_registered(&pending.redirect_uri, &client.redirect_uris) {
            return Err(stale());
        }
        self.answer_with_code(tx, tenant, member, client, pending, now).await
    }

    /// Writes the grant and its code.
    async fn answer_with_code(
        &self,
        mut tx: TenantTx,
        tenant: &Tenant,
        member: &Membership,
        mut client: Client,
        pending: Pending,
        consented_at: OffsetDateTime,
    ) -> Result<String> {
        members::still(&mut tx, member).await?;
        client.standing = policy::standing(&mut tx, &client).await?;
        if client.standing != Standing::Allowed {
            return Err(Error::Refused(format!("{} may not be used in this workspace.", client.name)));
        }
        if !clients::note_use(&mut tx, &client, member.user).await? {
            return Err(stale());
        }
        let grant = store::NewGrant {
            id: GrantId::new(),
            user: member.user,
            client_id: &client.client_id,
            scope: &pending.scope,
            redirect_uri: &pending.redirect_uri,
            consented_at,
        };
        store::insert_grant(&mut tx, &grant).await?;
        let code = Token::new("")?;
        let expires_at = OffsetDateTime::now_utc() + CODE_LIFE;
        let row = store::CodeRow {
            grant_id: grant.id,
            client_id: client.client_id,
            redirect_uri: pending.redirect_uri.clone(),
            challenge: pending.challenge,
            expires_at,
            used_at: None,
        };
        store::insert_code(&mut tx, &code.hash, &row).await?;
        tx.commit().await?;
        let origin = self.origin(tenant.slug.as_str());
        let answer = [("code", code.secret.expose_secret())];
        answer_url(&pending.redirect_uri, &answer, pending.state.as_deref(), &origin)
    }
}

impl Pending {
    fn of(member: &Membership, browser: &str, request: &Request) -> Self {
        Self {
            id: uuid::Uuid::new_v4(),
            tenant: member.tenant,
            user: member.user,
            browser: browser.to_owned(),
            client_id: request.client.client_id.clone(),
            redirect_uri: request.redirect_uri.clone(),
            state: request.state.clone(),
            challenge: request.challenge.clone(),
            scope: request.scope.clone(),
            expires_at: OffsetDateTime::now_utc().unix_timestamp() + DECISION_SECONDS,
        }
    }
}

fn stale() -> Error {
    Error::Refused("This page is too old. Start again from the application.".to_owned())
}

/// The rules whose breach the client is told of; answers the PKCE challenge.
fn rules(params: &Params, origin: &str) -> std::result::Result<String, (&'static str, &'static str)> {
    let invalid = |description| Err(("invalid_request", description));
    for name in ["response_type", "code_challenge", "code_challenge_method", "state", "scope"] {
        if params.repeated(name) {
            return invalid("a parameter was sent twice");
        }
    }
    if params.get("response_type") != Some("code") {
        return Err(("unsupported_response_type", "response_type must be code"));
    }
    let Some(challenge) = params.get("code_challenge") else {
        return invalid("code_challenge is missing: PKCE is required");
    };
    if params.get("code_challenge_method") != Some("S256") {
        return invalid("code_challenge_method must be S256");
    }
    let urlsafe = challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if challenge.len() != 43 || !urlsafe {
        return invalid("code_challenge must be the base64url of a SHA-256, 43 characters");
    }
    let foreign =
        params.0.iter().filter(|(key, _)| key == "resource").any(|(_, value)| !is_resource(value, origin));
    if foreign {
        return Err(("invalid_target", "resource must be this workspace's MCP endpoint"));
    }
    Ok(challenge.to_owned())
}

/// Whether a `resource` means this tenant: its `/mcp` URL or origin, with or without a slash at the end, in any case of host.
pub(super) fn is_resource(value: &str, origin: &str) -> bool {
    let (Ok(url), Ok(own)) = (Url::parse(value), Url::parse(&claims::resource(origin))) else { return false };
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    plain && url.origin() == own.origin() && matches!(url.path(), "/mcp" | "/mcp/" | "/")
}

/// The client's redirect with our answer; `iss` always, also with an error (RFC 9207).
fn answer_url(
    redirect_uri: &str,
    answer: &[(&str, &str)],
    state: Option<&str>,
    origin: &str,
) -> Result<String> {
    let mut url = Url::parse(redirect_uri).map_err(Error::internal)?;
    {
        let mut pairs = url.query_pairs_mut();
        pairs.extend_pairs(answer);
        if let Some(state) = state {
            pairs.append_pair("state", state);
        }
        pairs.append_pair("iss", origin);
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://acme.example.net";

    #[test]
    fn a_resource_of_another_tenant_or_path_is_foreign() {
        for good in
            ["https://acme.example.net/mcp", "https://ACME.example.net/mcp/", "https://acme.example.net"]
        {
            assert!(is_resource(good, ORIGIN), "{good}");
        }
        for bad in [
            "https://beta.example.net/mcp",
            "http://acme.example.net/mcp",
            "https://acme.example.net/mcp?x=1",
            "x",
        ] {
            assert!(!is_resource(bad, ORIGIN), "{bad}");
        }
    }

    #[test]
    fn a_request_without_pkce_or_with_plain_is_refused() {
        let challenge = "a".repeat(43);
        let ok = format!("response_type=code&code_challenge={challenge}&code_challenge_method=S256");
        assert!(rules(&Params::parse(&ok), ORIGIN).is_ok());
        for (query, error) in [
            ("response_type=token".to_owned(), "unsupported_response_type"),
            ("response_type=code".to_owned(), "invalid_request"),
            (format!("response_type=code&code_challenge={challenge}"), "invalid_request"),
            (ok.replace("S256", "plain"), "invalid_request"),
            (ok.replace(&challenge, "short"), "invalid_request"),
            (format!("{ok}&state=a&state=b"), "invalid_request"),
            (format!("{ok}&resource=https://beta.example.net/mcp"), "invalid_target"),
        ] {
            assert_eq!(rules(&Params::parse(&query), ORIGIN).unwrap_err().0, error, "{query}");
        }
    }

    #[test]
    fn the_answer_keeps_the_redirects_own_query_and_names_the_issuer() {
        let url = answer_url("cursor://app/cb?x=1", &[("code", "c")], Some("s t"), ORIGIN).unwrap();
        assert_eq!(url, "cursor://app/cb?x=1&code=c&state=s+t&iss=https%3A%2F%2Facme.example.net");
    }
}
