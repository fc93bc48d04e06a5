//! The emulated Google behind a door that signs as the real one does. `emulate` signs its ID tokens with a secret of its own
//! that it tells nobody, which no client can check; this door passes everything on and puts its own signature (ES256, with a
//! published key) under the claims that came.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use aws_lc_rs::rand::SystemRandom;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CONTENT_TYPE, LOCATION};
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
    _emulate: Emulate,
}

struct Door {
    inside: String,
    key: SigningKey,
    http: reqwest::Client,
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
        let door = Arc::new(Door { inside: inside.clone(), key: SigningKey::new()?, http: net::client()? });
        provider::serve(listener, Router::new().fallback(pass).with_state(door))?;
        Ok(Self { url, inside, _emulate: emulate })
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
    async fn pass(&self, method: Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Result<Response> {
        if uri.path() == "/oauth2/v3/certs" {
            return Ok(axum::Json(json!({ "keys": [self.key.jwk()] })).into_response());
        }
        let mut request = self.http.request(method, format!("{}{uri}", self.inside)).body(body);
        for name in ["content-type", "authorization", "cookie", "accept"] {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = answer.bytes().await?;
        if uri.path() == "/oauth2/token" && status.is_success() {
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
