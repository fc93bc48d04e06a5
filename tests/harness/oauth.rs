//! OAuth over HTTP as a client of ours does it, step by step, so that a test can do any step wrong.

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use url::Url;

use crate::workspace::{text, unique};
use crate::{Answer, Console, Page, Person, System, Workspace, html};

/// Where the tests' client takes its code; nothing listens there.
pub const REDIRECT: &str = "https://client.example/callback";

/// Proof key (RFC 7636).
#[derive(Debug, Clone)]
pub struct Pkce {
    pub verifier: String,
    pub challenge: String,
}

impl Pkce {
    /// A new one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each is a new secret")]
    pub fn new() -> Self {
        let verifier = format!("{}{}{}{}", unique(), unique(), unique(), unique());
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
        Self { challenge: URL_SAFE_NO_PAD.encode(hash.as_ref()), verifier }
    }
}

/// The endpoints of one workspace's authorization server, as it publishes them.
#[derive(Debug, Clone)]
pub struct Server {
    http: reqwest::Client,
    pub metadata: Value,
    pub resource: String,
}

/// What a client ends up with.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub client_id: String,
    pub access: String,
    pub refresh: String,
}

impl System {
    /// Discovers a workspace's authorization server.
    ///
    /// # Errors
    /// When it publishes none.
    pub async fn oauth(&self, workspace: &Workspace) -> Result<Server> {
        let url = format!("{}/.well-known/oauth-authorization-server", workspace.origin);
        let metadata = self.http.get(url).send().await?.error_for_status()?.json().await?;
        Ok(Server { http: self.http.clone(), metadata, resource: workspace.mcp_url.clone() })
    }

    /// Registers a client, logs a member in, consents, and takes the tokens.
    ///
    /// # Errors
    /// When any step is refused.
    pub async fn tokens(&self, workspace: &Workspace, person: &Person) -> Result<Tokens> {
        let server = self.oauth(workspace).await?;
        let client_id = server.client(REDIRECT).await?;
        let pkce = Pkce::new();
        let console = self.console(person).await?;
        let query = server.query(&client_id, REDIRECT, &pkce);
        let back = server.consent(&console, &query, "allow").await?;
        let code = parameter(&back, "code").with_context(|| format!("no code in {back}"))?;
        let answer = server.token(&server.code_form(&client_id, REDIRECT, &code, &pkce)).await?;
        Tokens::of(&client_id, &answer)
    }
}

impl Tokens {
    /// # Errors
    /// When the answer is a refusal.
    pub fn of(client_id: &str, answer: &Answer) -> Result<Self> {
        ensure!(
            answer.status == StatusCode::OK,
            "the token endpoint answered {}: {}",
            answer.status,
            answer.body
        );
        let json = answer.json()?;
        Ok(Self {
            client_id: client_id.to_owned(),
            access: text(&json, "access_token")?,
            refresh: text(&json, "refresh_token")?,
        })
    }
}

impl Server {
    /// An endpoint of the metadata document.
    ///
    /// # Errors
    /// When it is not there.
    pub fn endpoint(&self, name: &str) -> Result<String> {
        text(&self.metadata, name)
    }

    /// The issuer.
    ///
    /// # Errors
    /// When it is not there.
    pub fn issuer(&self) -> Result<String> {
        text(&self.metadata, "issuer")
    }

    /// Asks to register a client.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn register(&self, document: &Value) -> Result<Answer> {
        let endpoint = self.endpoint("registration_endpoint")?;
        Answer::of(self.http.post(endpoint).json(document).send().await?).await
    }

    /// A registered public client with one redirect address.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn client(&self, redirect: &str) -> Result<String> {
        let answer = self.register(&registration(&[redirect])).await?;
        ensure!(
            answer.status == StatusCode::CREATED,
            "registration answered {}: {}",
            answer.status,
            answer.body
        );
        text(&answer.json()?, "client_id")
    }

    /// The parameters of an authorization request; a test may change any.
    #[must_use]
    pub fn query(&self, client_id: &str, redirect: &str, pkce: &Pkce) -> Vec<(String, String)> {
        let pairs = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", redirect),
            ("scope", "mcp:tools"),
            ("state", "the state"),
            ("code_challenge", &pkce.challenge),
            ("code_challenge_method", "S256"),
            ("resource", &self.resource),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// Opens the authorization endpoint; redirects are shown.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn authorize(&self, console: &Console, query: &[(String, String)]) -> Result<Page> {
        let url = Url::parse_with_params(&self.endpoint("authorization_endpoint")?, query)?;
        console.get(url.as_str()).await
    }

    /// Opens the consent page as someone who is logged in, presses a button, and says where the browser is sent.
    ///
    /// # Errors
    /// When there is no consent page or it leads nowhere.
    pub async fn consent(
        &self,
        console: &Console,
        query: &[(String, String)],
        decision: &str,
    ) -> Result<Url> {
        let page = self.authorize(console, query).await?;
        if page.status.is_redirection() {
            return page.location().context("a redirect without a place");
        }
        let action = Url::parse(&self.endpoint("authorization_endpoint")?)?.path().to_owned();
        let mut fields = page.form(&action)?.fields;
        fields.retain(|(name, _)| name != "decision");
        fields.push(("decision".to_owned(), decision.to_owned()));
        let answer = console.post(&action, &fields).await?;
        redirected(&answer)
    }

    /// Sends a form to the token endpoint.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn token(&self, form: &[(String, String)]) -> Result<Answer> {
        let endpoint = self.endpoint("token_endpoint")?;
        Answer::of(self.http.post(endpoint).form(form).send().await?).await
    }

    /// Sends a form to the token endpoint with client id and secret in the header.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn token_over_basic(
        &self,
        client_id: &str,
        secret: &str,
        form: &[(String, String)],
    ) -> Result<Answer> {
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let endpoint = self.endpoint("token_endpoint")?;
        let request = self.http.post(endpoint).basic_auth(encoded(client_id), Some(encoded(secret)));
        Answer::of(request.form(form).send().await?).await
    }

    /// The form that trades a code.
    #[must_use]
    pub fn code_form(
        &self,
        client_id: &str,
        redirect: &str,
        code: &str,
        pkce: &Pkce,
    ) -> Vec<(String, String)> {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("client_id", client_id),
            ("redirect_uri", redirect),
            ("code", code),
            ("code_verifier", &pkce.verifier),
            ("resource", &self.resource),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// Trades a refresh token.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn refresh(&self, client_id: &str, refresh_token: &str) -> Result<Answer> {
        let pairs =
            [("grant_type", "refresh_token"), ("client_id", client_id), ("refresh_token", refresh_token)];
        self.token(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))).await
    }
}

/// A registration document of a public client.
#[must_use]
pub fn registration(redirects: &[&str]) -> Value {
    json!({
        "client_name": "Test client",
        "redirect_uris": redirects,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

/// Changes one parameter; an empty value takes it away.
#[must_use]
pub fn with(mut pairs: Vec<(String, String)>, name: &str, value: &str) -> Vec<(String, String)> {
    pairs.retain(|(given, _)| given != name);
    if !value.is_empty() {
        pairs.push((name.to_owned(), value.to_owned()));
    }
    pairs
}

/// A parameter of the address a browser is sent to.
#[must_use]
pub fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(given, _)| given == name).map(|(_, value)| value.into_owned())
}

/// Where a page sends the browser: by redirect, or as a page that leads on by itself or by a link.
///
/// # Errors
/// When it leads nowhere.
pub fn redirected(page: &Page) -> Result<Url> {
    if let Some(to) = page.location() {
        return Ok(to);
    }
    for tag in html::tags(&page.body) {
        let refresh = tag.attribute("http-equiv").is_some_and(|kind| kind.eq_ignore_ascii_case("refresh"));
        let content = tag.attribute("content").unwrap_or_default();
        let to = if refresh { content.split_once("url=").map(|(_, to)| to) } else { tag.attribute("href") };
        let to = to.and_then(|to| Url::parse(to).ok());
        if let Some(to) = to.filter(|to| parameter(to, "state").is_some()) {
            return Ok(to);
        }
    }
    bail!("{} ({}) leads nowhere: {}", page.url, page.status, page.text())
}
