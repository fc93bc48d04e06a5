//! The emulated Google behind a door that signs as the real one does. `emulate` signs its ID tokens with a secret of its own
//! that it tells nobody, which no client can check; this door passes everything on and puts its own signature (ES256, with a
//! published key) under the claims that came. `emulate` also takes a token that it does not know for its first user's, and lets
//! none end; the door takes the ones away that Google never handed out or that have ended, so that it says no by itself.

use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::rand::SystemRandom;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};

use crate::emulate::{Emulate, Service};
use crate::provider::{self, SigningKey};
use crate::{net, paths};

/// The running door, and Google behind it.
pub struct Google {
    pub url: String,
    /// Google itself, whose signature nobody can check.
    pub inside: String,
    door: Arc<Door>,
    _emulate: Emulate,
}

struct Door {
    inside: String,
    key: SigningKey,
    http: reqwest::Client,
    issued: Mutex<Issued>,
}

/// What was handed out over the door.
#[derive(Default)]
struct Issued {
    /// Access tokens that have not ended.
    access: HashSet<String>,
    refresh: Vec<String>,
    /// The forms that tokens were asked for with.
    exchanges: Vec<BTreeMap<String, String>>,
}

impl Google {
    /// A Google with these people and clients.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(seed: &Value) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let emulate = Emulate::start_with(Service::Google, Some(seed), Some(&url)).await?;
        let inside = emulate.url.clone();
        let door = Door {
            inside: inside.clone(),
            key: SigningKey::new()?,
            http: net::client()?,
            issued: Mutex::default(),
        };
        let door = Arc::new(door);
        provider::serve(listener, Router::new().fallback(pass).with_state(Arc::clone(&door)))?;
        Ok(Self { url, inside, door, _emulate: emulate })
    }

    /// Asks Google itself, past the door, as somebody whose token is in the seed.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn ask(&self, path: &str, token: &str) -> Result<Value> {
        let answer = self.door.http.get(format!("{}{path}", self.inside)).bearer_auth(token).send().await?;
        ensure!(answer.status().is_success(), "{path}: {}: {}", answer.status(), answer.text().await?);
        Ok(answer.json().await?)
    }

    /// The forms that tokens were asked for with, in order.
    #[must_use]
    pub fn exchanges(&self) -> Vec<BTreeMap<String, String>> {
        self.door.issued().exchanges.clone()
    }

    /// Ends all access tokens, as an hour does.
    pub fn end_access(&self) {
        self.door.issued().access.clear();
    }

    /// Takes all refresh tokens back, as somebody does on the page of their account.
    ///
    /// # Errors
    /// When Google refuses.
    pub async fn end_refresh(&self) -> Result<()> {
        let refresh = std::mem::take(&mut self.door.issued().refresh);
        for token in refresh {
            let url = format!("{}/oauth2/revoke", self.inside);
            self.door.http.post(url).form(&[("token", token)]).send().await?.error_for_status()?;
        }
        Ok(())
    }
}

async fn pass(
    State(door): State<Arc<Door>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match door.pass(method, &uri, &headers, body).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

impl Door {
    fn issued(&self) -> MutexGuard<'_, Issued> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a token is shown that Google never handed out, or that has ended.
    fn shows_nothing_good(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        shown.is_some_and(|token| !self.issued().access.contains(token))
    }

    async fn pass(&self, method: Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Result<Response> {
        if uri.path() == "/oauth2/v3/certs" {
            return Ok(axum::Json(json!({ "keys": [self.key.jwk()] })).into_response());
        }
        let asks_for_token = uri.path() == "/oauth2/token";
        if asks_for_token {
            let form = url::form_urlencoded::parse(&body).into_owned().collect();
            self.issued().exchanges.push(form);
        }
        let refused = self.shows_nothing_good(headers);
        let mut request = self.http.request(method, format!("{}{uri}", self.inside)).body(body);
        for name in ["content-type", "authorization", "cookie", "accept"] {
            if let Some(value) = headers.get(name).filter(|_| !(refused && name == "authorization")) {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = answer.bytes().await?;
        if asks_for_token && status.is_success() {
            body = self.signed(&body)?.into();
        }
        let mut response = (status, body).into_response();
        for name in [CONTENT_TYPE, LOCATION, http::header::SET_COOKIE] {
            if let Some(value) = headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok(response)
    }

    /// The same answer, with the same claims under a signature that can be checked.
    fn signed(&self, answer: &[u8]) -> Result<String> {
        let mut answer: Value = serde_json::from_slice(answer)?;
        let named = |name: &str| answer[name].as_str().map(str::to_owned);
        let (access, refresh) = (named("access_token"), named("refresh_token"));
        let mut issued = self.issued();
        issued.access.extend(access);
        issued.refresh.extend(refresh);
        drop(issued);
        if let Some(token) = answer["id_token"].as_str() {
            let claims = token.split('.').nth(1).context("no claims")?;
            let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
            let head = provider::head("ES256", "1", &claims);
            answer["id_token"] = json!(self.key.sign(&SystemRandom::new(), &head)?);
        }
        Ok(answer.to_string())
    }
}

/// A file with a secret, for the product to read; it outlives the test.
///
/// # Errors
/// When it cannot be written.
pub fn secret_file(secret: &str) -> Result<String> {
    let file = paths::scratch("toolmesh-secret-")?.keep().join("secret");
    std::fs::write(&file, secret)?;
    Ok(file.display().to_string())
}
