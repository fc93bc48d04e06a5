//! An API with its own authorization server, for what none written by others does on demand: it counts every exchange, rotates
//! refresh tokens, ends tokens when a test says so, loses answers and goes down. It lets nobody in whom it should not.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use axum::extract::{Form, Json as Body, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use url::Url;

use crate::{net, provider};

/// The client that it knows.
pub const CLIENT: &str = "toolmesh";
pub const SECRET: &str = "the-secret-of-this-client";
/// The first refresh token that it takes.
pub const REFRESH: &str = "refresh-token-number-0";
/// Who may log in for a session.
pub const USER: &str = "ada";
pub const PASSWORD: &str = "correct horse battery staple";

/// How it behaves from now on.
#[derive(Debug, Clone)]
pub struct Manners {
    /// `expires_in`, in seconds; None says nothing and never ends a token.
    pub life: Option<u64>,
    /// Each refresh token is good once.
    pub rotates: bool,
    /// The one before the last is taken too: for clients that have lost an answer.
    pub forgives: bool,
    /// The answer is lost on its way, once.
    pub loses_answer: bool,
    /// Status and code of an error in place of a token.
    pub refuses: Option<(u16, &'static str)>,
    /// How long an exchange takes.
    pub takes: Duration,
    /// How long its answer is on the way, once it is made.
    pub answers_after: Duration,
    /// What it answers who gives a token back, and after how long.
    pub takes_back: (u16, Duration),
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            life: Some(3600),
            rotates: false,
            forgives: false,
            loses_answer: false,
            refuses: None,
            takes: Duration::from_millis(50),
            answers_after: Duration::ZERO,
            takes_back: (200, Duration::ZERO),
        }
    }
}

struct Inner {
    manners: Manners,
    /// Access tokens that are good, and until when.
    access: HashMap<String, Option<Instant>>,
    refresh: String,
    refresh_before: String,
    codes: HashMap<String, String>,
    sessions: Vec<String>,
    issued: u32,
    exchanges: Vec<HashMap<String, String>>,
    given_back: Vec<HashMap<String, String>>,
    logins: u32,
    calls: u32,
}

type Shared = Arc<Mutex<Inner>>;

/// The running server.
pub struct TokenServer {
    pub url: String,
    inner: Shared,
}

fn held(inner: &Shared) -> std::sync::MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TokenServer {
    /// Starts one that lives as long as the test process.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = net::here(listener.local_addr()?.port());
        let inner = Arc::new(Mutex::new(Inner {
            manners: Manners::default(),
            access: HashMap::new(),
            refresh: REFRESH.to_owned(),
            refresh_before: String::new(),
            codes: HashMap::new(),
            sessions: Vec::new(),
            issued: 0,
            exchanges: Vec::new(),
            given_back: Vec::new(),
            logins: 0,
            calls: 0,
        }));
        let app = Router::new()
            .route("/token", post(token))
            .route("/revoke", post(revoke))
            .route("/authorize", get(authorize))
            .route("/login", post(login))
            .route("/api/{*rest}", any(api))
            .route("/session/{*rest}", any(session))
            .with_state(Arc::clone(&inner));
        provider::serve(listener, app)?;
        Ok(Self { url, inner })
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut held(&self.inner).manners);
    }

    /// The forms that its token endpoint was sent.
    #[must_use]
    pub fn exchanges(&self) -> Vec<HashMap<String, String>> {
        held(&self.inner).exchanges.clone()
    }

    /// The forms with which tokens were given back.
    #[must_use]
    pub fn given_back(&self) -> Vec<HashMap<String, String>> {
        held(&self.inner).given_back.clone()
    }

    /// How often somebody logged in for a session.
    #[must_use]
    pub fn logins(&self) -> u32 {
        held(&self.inner).logins
    }

    /// How many calls with a good token or session it has answered.
    #[must_use]
    pub fn calls(&self) -> u32 {
        held(&self.inner).calls
    }

    /// Ends every access token and session that it has given.
    pub fn end_all(&self) {
        let mut inner = held(&self.inner);
        inner.access.clear();
        inner.sessions.clear();
    }

    /// Takes refresh tokens no more.
    pub fn end_refresh(&self) {
        let mut inner = held(&self.inner);
        inner.refresh = "none".to_owned();
        inner.refresh_before = "none".to_owned();
    }

    /// Whether every access token has come to its end.
    #[must_use]
    pub fn has_ended_all(&self) -> bool {
        let now = Instant::now();
        held(&self.inner).access.values().all(|ends| ends.is_some_and(|ends| ends <= now))
    }

    /// Somebody allows the access at the address that the browser was sent to. Answers where the browser goes back to.
    ///
    /// # Errors
    /// When the address lacks what the protocol asks for.
    pub fn allow(&self, address: &Url) -> Result<Url> {
        allowed(&self.inner, address)
    }
}

/// Somebody who has allowed it before is sent back at once.
async fn authorize(State(inner): State<Shared>, uri: Uri) -> Response {
    let address = Url::parse(&format!("http://provider.example{uri}"));
    match address.map_err(anyhow::Error::from).and_then(|address| allowed(&inner, &address)) {
        Ok(back) => Redirect::to(back.as_str()).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}")).into_response(),
    }
}

fn allowed(inner: &Shared, address: &Url) -> Result<Url> {
    let query: HashMap<String, String> = address.query_pairs().into_owned().collect();
    let get = |name: &str| query.get(name).cloned().with_context(|| format!("no {name} in {address}"));
    anyhow::ensure!(get("code_challenge_method")? == "S256", "no PKCE: {address}");
    anyhow::ensure!(get("response_type")? == "code" && get("client_id")? == CLIENT, "{address}");
    let code = uuid::Uuid::new_v4().simple().to_string();
    held(inner).codes.insert(code.clone(), get("code_challenge")?);
    let mut back = Url::parse(&get("redirect_uri")?)?;
    back.query_pairs_mut().append_pair("code", &code).append_pair("state", &get("state")?);
    Ok(back)
}

async fn token(
    State(inner): State<Shared>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let takes = held(&inner).manners.takes;
    tokio::time::sleep(takes).await;
    let (answer, lost, after) = {
        let mut inner = held(&inner);
        inner.exchanges.push(form.clone());
        let lost = std::mem::take(&mut inner.manners.loses_answer);
        (inner.exchange(&headers, &form), lost, inner.manners.answers_after)
    };
    tokio::time::sleep(after).await;
    if lost {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    match answer {
        Ok(tokens) => Json(tokens).into_response(),
        Err((status, error)) => (status, Json(json!({ "error": error }))).into_response(),
    }
}

/// RFC 7009.
async fn revoke(State(inner): State<Shared>, Form(form): Form<HashMap<String, String>>) -> StatusCode {
    let (status, after) = {
        let mut inner = held(&inner);
        inner.given_back.push(form);
        inner.manners.takes_back
    };
    tokio::time::sleep(after).await;
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)
}

impl Inner {
    fn exchange(
        &mut self,
        headers: &HeaderMap,
        form: &HashMap<String, String>,
    ) -> Result<Value, (StatusCode, &'static str)> {
        if let Some((status, error)) = self.manners.refuses {
            return Err((StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), error));
        }
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{SECRET}")));
        let shown = headers.get("authorization").and_then(|value| value.to_str().ok());
        let grant = field("grant_type");
        let by_form = (field("client_id"), field("client_secret")) == (CLIENT, SECRET);
        let by_key = grant.ends_with("jwt-bearer");
        if !by_key && !by_form && shown != Some(basic.as_str()) {
            return Err((StatusCode::UNAUTHORIZED, "invalid_client"));
        }
        let mut refresh = None;
        match grant {
            "client_credentials" => {}
            _ if by_key => {}
            "refresh_token" => {
                let given = field("refresh_token");
                let forgiven = self.manners.forgives && given == self.refresh_before;
                if given != self.refresh && !forgiven {
                    return Err((StatusCode::BAD_REQUEST, "invalid_grant"));
                }
                if self.manners.rotates {
                    refresh = Some(self.next_refresh());
                }
            }
            "authorization_code" => {
                let challenge = self.codes.remove(field("code"));
                let verifier = digest::digest(&digest::SHA256, field("code_verifier").as_bytes());
                if challenge != Some(URL_SAFE_NO_PAD.encode(verifier)) {
                    return Err((StatusCode::BAD_REQUEST, "invalid_grant"));
                }
                refresh = Some(self.next_refresh());
            }
            _ => return Err((StatusCode::BAD_REQUEST, "unsupported_grant_type")),
        }
        self.issued += 1;
        let access = format!("access-token-number-{}", self.issued);
        let ends = self.manners.life.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        self.access.insert(access.clone(), ends);
        let mut answer = json!({
            "access_token": access, "token_type": "Bearer", "scope": "read write", "email": "ada@provider.example",
        });
        if let Some(life) = self.manners.life {
            answer["expires_in"] = json!(life);
        }
        if let Some(refresh) = refresh {
            answer["refresh_token"] = json!(refresh);
        }
        Ok(answer)
    }

    fn next_refresh(&mut self) -> String {
        let next = format!("refresh-token-of-exchange-{}", self.exchanges.len());
        self.refresh_before = std::mem::replace(&mut self.refresh, next.clone());
        next
    }
}

/// Answers with what was shown, which no caller must see.
async fn api(State(inner): State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    let shown = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = shown.strip_prefix("Bearer ").unwrap_or_default();
    let mut inner = held(&inner);
    match inner.access.get(token) {
        Some(ends) if ends.is_none_or(|ends| Instant::now() < ends) => {
            inner.calls += 1;
            Json(json!({ "path": uri.path(), "shown": shown })).into_response()
        }
        _ => refused(),
    }
}

async fn login(State(inner): State<Shared>, Body(body): Body<Value>) -> Response {
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut inner = held(&inner);
    inner.logins += 1;
    if (body["user"]["name"].as_str(), body["user"]["password"].as_str()) != (Some(USER), Some(PASSWORD)) {
        return refused();
    }
    let session = format!("session-{}-{}", inner.logins, uuid::Uuid::new_v4().simple());
    inner.sessions.push(session.clone());
    let cookie = format!("crumb=cookie-of-{session}; Path=/; HttpOnly");
    ([(SET_COOKIE, cookie)], Json(json!({ "data": { "token": session } }))).into_response()
}

async fn session(State(inner): State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    let get = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = get("x-session").strip_prefix("T ").unwrap_or_default().to_owned();
    let mut inner = held(&inner);
    if !inner.sessions.contains(&token) || get("cookie") != format!("crumb=cookie-of-{token}") {
        return refused();
    }
    inner.calls += 1;
    Json(json!({ "path": uri.path(), "shown": token })).into_response()
}

fn refused() -> Response {
    (StatusCode::UNAUTHORIZED, Json(json!({ "error": { "message": "Who are you?" } }))).into_response()
}
