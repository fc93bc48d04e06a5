//! Public APIs that no test may depend on, as they answered once: `fixtures/recorded.json` holds each answer under its request.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{net, paths};

/// Answers by request: `GET /v0/item/8863.json`.
type Answers = Arc<BTreeMap<String, Value>>;

/// A running stand-in for one service.
#[derive(Debug)]
pub struct Recorded {
    /// Its origin, without a trailing slash.
    pub url: String,
    serve: JoinHandle<()>,
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.serve.abort();
    }
}

impl Recorded {
    /// The service of that name in the fixture.
    ///
    /// # Errors
    /// When it is not in the fixture or there is no free port.
    pub async fn start(service: &str) -> Result<Self> {
        let text = std::fs::read(paths::fixture("recorded.json"))?;
        let mut services: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_slice(&text)?;
        let answers = services.remove(service);
        let answers: Answers = Arc::new(anyhow::Context::context(answers, "no such service is recorded")?);
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = net::here(listener.local_addr()?.port());
        let app = Router::new().fallback(answer).with_state(answers);
        let serve = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { url, serve })
    }
}

/// What was recorded, whatever the order of the parameters; 404 for what was not.
async fn answer(State(answers): State<Answers>, method: Method, uri: Uri) -> Response {
    let asked = normal(&format!("{method} {uri}"));
    let found = answers.iter().find(|(request, _)| normal(request) == asked);
    match found {
        Some((_, body)) => Json(body.clone()).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({ "message": format!("not recorded: {asked}") })))
            .into_response(),
    }
}

fn normal(request: &str) -> String {
    let (path, query) = request.split_once('?').unwrap_or((request, ""));
    let mut pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    pairs.sort();
    format!("{path} {pairs:?}")
}
