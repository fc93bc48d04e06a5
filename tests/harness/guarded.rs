//! An MCP server that lets in who brings a token of its own authorization server. The server is the official SDK's; its
//! authorization server is ours, since it registers clients, ends tokens and lies as a test says. It lets nobody in whom it
//! should not: a code is good once, with its verifier, for the client and the resource that it was given for.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest;
use axum::extract::{Form, Json as Body, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode, Uri, request};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, ServerHandler};
use serde_json::{Value, json};
use url::Url;

use crate::{net, provider};

/// How it behaves from now on.
#[derive(Debug, Clone)]
pub struct Manners {
    /// Whether clients can register themselves.
    pub registers: bool,
    /// Members that replace those of the authorization server's document; null leaves one out.
    pub says: Value,
    /// Members that replace those of the protected resource's document.
    pub resource_says: Value,
    /// The `iss` of answers; `None` for the right one.
    pub answers_as: Option<String>,
    /// Scopes that calls of tools need beside `use`.
    pub needs: Option<&'static str>,
}

impl Default for Manners {
    fn default() -> Self {
        Self { registers: true, says: json!({}), resource_says: json!({}), answers_as: None, needs: None }
    }
}

/// A code that was given out.
struct Given {
    client: String,
    challenge: String,
    resource: String,
    scope: String,
    who: String,
}

/// What a token stands for.
#[derive(Debug, Clone)]
struct Token {
    client: String,
    who: String,
    scope: String,
}

#[derive(Default)]
struct Inner {
    manners: Manners,
    /// By id, with the secret.
    clients: HashMap<String, String>,
    codes: HashMap<String, Given>,
    access: HashMap<String, Token>,
    refresh: HashMap<String, Token>,
    issued: u32,
    registrations: Vec<Value>,
    revoked: Vec<String>,
    /// Who called the tool, in order.
    calls: Vec<String>,
}

type Shared = Arc<Mutex<Inner>>;

#[derive(Clone)]
struct App {
    url: String,
    inner: Shared,
}

/// The running server, until the test process ends.
pub struct Guarded {
    /// Its origin.
    pub origin: String,
    inner: Shared,
}

fn held(inner: &Shared) -> std::sync::MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guarded {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let origin = net::here(listener.local_addr()?.port());
        let inner = Shared::default();
        let app = App { url: origin.clone(), inner: Arc::clone(&inner) };
        let service = StreamableHttpService::new(
            {
                let handler = Handler { inner: Arc::clone(&inner) };
                move || Ok(handler.clone())
            },
            Arc::new(LocalSessionManager::default()),
            StreamableHttpServerConfig::default(),
        );
        let guarded = Router::new()
            .nest_service("/mcp", service)
            .layer(axum::middleware::from_fn_with_state(app.clone(), guard));
        let open = Router::new()
            .route("/.well-known/oauth-protected-resource/mcp", get(resource))
            .route("/.well-known/oauth-authorization-server/tenant", get(metadata))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/register", post(register))
            .route("/revoke", post(revoke))
            .with_state(app);
        provider::serve(listener, open.merge(guarded))?;
        Ok(Self { origin, inner })
    }

    /// Its endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/mcp", self.origin)
    }

    /// Its authorization server's name, which has a path.
    #[must_use]
    pub fn issuer(&self) -> String {
        issuer(&self.origin)
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut held(&self.inner).manners);
    }

    /// Makes a client as its admin would.
    pub fn client(&self, id: &str, secret: &str) {
        held(&self.inner).clients.insert(id.to_owned(), secret.to_owned());
    }

    /// What clients registered with.
    #[must_use]
    pub fn registrations(&self) -> Vec<Value> {
        held(&self.inner).registrations.clone()
    }

    /// Tokens that were given back.
    #[must_use]
    pub fn revoked(&self) -> Vec<String> {
        held(&self.inner).revoked.clone()
    }

    /// Who called the tool, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        held(&self.inner).calls.clone()
    }

    /// Takes no access token any more that it has given.
    pub fn end_access(&self) {
        held(&self.inner).access.clear();
    }

    /// Takes no refresh token any more either.
    pub fn end_all(&self) {
        let mut inner = held(&self.inner);
        inner.access.clear();
        inner.refresh.clear();
    }

    /// Somebody logs in at the address that the browser was sent to and allows the access. Answers where they go back to.
    ///
    /// # Errors
    /// When the address lacks what the protocol asks for.
    pub fn allow(&self, address: &Url, who: &str) -> Result<Url> {
        allowed(&App { url: self.origin.clone(), inner: Arc::clone(&self.inner) }, address, who)
    }
}

fn issuer(origin: &str) -> String {
    format!("{origin}/tenant")
}

fn over(mut document: Value, with: &Value) -> Value {
    if let (Some(document), Some(with)) = (document.as_object_mut(), with.as_object()) {
        for (name, value) in with {
            if value.is_null() {
                document.remove(name);
            } else {
                document.insert(name.clone(), value.clone());
            }
        }
    }
    document
}

async fn resource(State(app): State<App>) -> Json<Value> {
    let document = json!({
        "resource": format!("{}/mcp", app.url),
        "authorization_servers": [issuer(&app.url)],
        "scopes_supported": ["use", "everything"],
    });
    Json(over(document, &held(&app.inner).manners.resource_says))
}

async fn metadata(State(app): State<App>) -> Json<Value> {
    let url = &app.url;
    let inner = held(&app.inner);
    let mut document = json!({
        "issuer": issuer(url),
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "revocation_endpoint": format!("{url}/revoke"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "authorization_response_iss_parameter_supported": true,
    });
    if inner.manners.registers {
        document["registration_endpoint"] = json!(format!("{url}/register"));
    }
    Json(over(document, &inner.manners.says))
}

async fn register(State(app): State<App>, Body(asked): Body<Value>) -> Response {
    let mut inner = held(&app.inner);
    if !inner.manners.registers || !asked["redirect_uris"].is_array() {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_client_metadata" })))
            .into_response();
    }
    let number = inner.registrations.len() + 1;
    let (id, secret) = (format!("client-{number}"), format!("the-secret-of-client-{number}"));
    inner.clients.insert(id.clone(), secret.clone());
    inner.registrations.push(asked.clone());
    let told = json!({ "client_id": id, "client_secret": secret, "client_secret_expires_at": 0 });
    (StatusCode::CREATED, Json(over(asked, &told))).into_response()
}

/// Whoever's browser comes here is Ada.
async fn authorize(State(app): State<App>, uri: Uri) -> Response {
    let address = Url::parse(&format!("http://provider.example{uri}"));
    match address.map_err(anyhow::Error::from).and_then(|address| allowed(&app, &address, "ada")) {
        Ok(back) => Redirect::to(back.as_str()).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}")).into_response(),
    }
}

fn allowed(app: &App, address: &Url, who: &str) -> Result<Url> {
    let query: HashMap<String, String> = address.query_pairs().into_owned().collect();
    let value = |name: &str| query.get(name).cloned().with_context(|| format!("no {name} in {address}"));
    ensure!(value("code_challenge_method")? == "S256" && value("response_type")? == "code", "{address}");
    let mut inner = held(&app.inner);
    let client = value("client_id")?;
    ensure!(inner.clients.contains_key(&client), "{client} is no client: {address}");
    let code = uuid::Uuid::new_v4().simple().to_string();
    let given = Given {
        client,
        challenge: value("code_challenge")?,
        resource: value("resource")?,
        scope: value("scope")?,
        who: who.to_owned(),
    };
    ensure!(given.resource == format!("{}/mcp", app.url), "for another resource: {address}");
    inner.codes.insert(code.clone(), given);
    let iss = inner.manners.answers_as.clone().unwrap_or_else(|| issuer(&app.url));
    let mut back = Url::parse(&value("redirect_uri")?)?;
    back.query_pairs_mut().append_pair("code", &code).append_pair("state", &value("state")?);
    if !iss.is_empty() {
        back.query_pairs_mut().append_pair("iss", &iss);
    }
    Ok(back)
}

async fn token(
    State(app): State<App>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    match held(&app.inner).exchange(&headers, &form) {
        Ok(tokens) => Json(tokens).into_response(),
        Err((status, error)) => (status, Json(json!({ "error": error }))).into_response(),
    }
}

async fn revoke(
    State(app): State<App>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> StatusCode {
    let mut inner = held(&app.inner);
    if inner.authenticated(&headers).is_none() {
        return StatusCode::UNAUTHORIZED;
    }
    let token = form.get("token").cloned().unwrap_or_default();
    inner.refresh.remove(&token);
    inner.revoked.push(token);
    StatusCode::OK
}

impl Inner {
    fn authenticated(&self, headers: &HeaderMap) -> Option<String> {
        let shown = headers.get("authorization")?.to_str().ok()?.strip_prefix("Basic ")?;
        let pair = String::from_utf8(STANDARD.decode(shown).ok()?).ok()?;
        let (id, secret) = pair.split_once(':')?;
        (self.clients.get(id).map(String::as_str) == Some(secret)).then(|| id.to_owned())
    }

    fn exchange(
        &mut self,
        headers: &HeaderMap,
        form: &HashMap<String, String>,
    ) -> Result<Value, (StatusCode, &'static str)> {
        let client = self.authenticated(headers).ok_or((StatusCode::UNAUTHORIZED, "invalid_client"))?;
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let dead = (StatusCode::BAD_REQUEST, "invalid_grant");
        let token = match field("grant_type") {
            "authorization_code" => {
                let given = self.codes.remove(field("code")).ok_or(dead)?;
                let verifier = digest::digest(&digest::SHA256, field("code_verifier").as_bytes());
                if given.challenge != URL_SAFE_NO_PAD.encode(verifier) || given.client != client {
                    return Err(dead);
                }
                if field("resource") != given.resource {
                    return Err((StatusCode::BAD_REQUEST, "invalid_target"));
                }
                Token { client, who: given.who, scope: given.scope }
            }
            "refresh_token" => {
                let token = self.refresh.remove(field("refresh_token")).ok_or(dead)?;
                if token.client != client {
                    return Err(dead);
                }
                token
            }
            _ => return Err((StatusCode::BAD_REQUEST, "unsupported_grant_type")),
        };
        self.issued += 1;
        let (access, refresh) =
            (format!("access-token-{}", self.issued), format!("refresh-token-{}", self.issued));
        self.access.insert(access.clone(), token.clone());
        self.refresh.insert(refresh.clone(), token.clone());
        Ok(json!({
            "access_token": access, "token_type": "Bearer", "expires_in": 3600, "refresh_token": refresh,
            "scope": token.scope, "email": format!("{}@provider.example", token.who),
        }))
    }
}

async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let token = shown.and_then(|shown| shown.strip_prefix("Bearer "));
    let known = token.and_then(|token| held(&app.inner).access.get(token).cloned());
    let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", app.url);
    let challenge = |status: StatusCode, more: &str| {
        let text = format!("Bearer resource_metadata=\"{metadata}\", {more}");
        (status, [("www-authenticate", text)]).into_response()
    };
    let Some(token) = known else {
        return challenge(StatusCode::UNAUTHORIZED, "scope=\"use\"");
    };
    let needs = held(&app.inner).manners.needs;
    if let Some(needs) = needs.filter(|needs| !token.scope.split(' ').any(|scope| scope == *needs)) {
        let more = format!("error=\"insufficient_scope\", scope=\"use {needs}\"");
        return challenge(StatusCode::FORBIDDEN, &more);
    }
    request.extensions_mut().insert(token);
    next.run(request).await
}

/// One tool, which says who calls.
#[derive(Clone)]
struct Handler {
    inner: Shared,
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = json!({
            "name": "whoami", "description": "Says who is calling.", "inputSchema": { "type": "object" },
            "annotations": { "readOnlyHint": true },
        });
        let tool: Tool = serde_json::from_value(tool)
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(ListToolsResult::with_all_items(vec![tool]))
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = context.extensions.get::<request::Parts>();
        let who = parts.and_then(|parts| parts.extensions.get::<Token>()).map(|token| token.who.clone());
        let who = who.unwrap_or_else(|| "nobody".to_owned());
        held(&self.inner).calls.push(who.clone());
        Ok(CallToolResult::success(vec![ContentBlock::text(format!("You are {who}."))]).into())
    }
}
