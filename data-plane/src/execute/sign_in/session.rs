//! Login at an API that wants a session: one login for all callers, shown as headers, cookies or both.
//!
//! The request goes to the installation's own base URL and nowhere else. What comes back is kept in memory for an hour, or
//! until the API answers 401, or until somebody replaces a credential.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use moka::sync::Cache;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::v1;
use zeroize::Zeroizing;

use super::cookies::Jar;
use super::{FRESH, Failed};
use crate::catalog::Installation;
use crate::execute::credentials::{AuthError, CredentialError, Opened, header};
use crate::execute::outbound::{Outbound, OutboundRequest, Reply};
use crate::execute::rest::jsonpath::ResultPath;
use crate::execute::rest::response::status_text;

/// How long a login is used.
const LIFE: Duration = Duration::from_secs(3600);
/// Longest wait for a login.
const WITHIN: Duration = Duration::from_secs(15);
/// Installations and callers whose logins are kept.
const KEPT: u64 = 100_000;
/// Longest value that is taken out of an answer.
const MAX_VALUE: usize = 12 * 1024;

/// How to log in, compiled.
#[derive(Clone, Debug)]
pub struct SessionPlan {
    method: Method,
    path: String,
    query: Option<String>,
    body: Option<Value>,
    /// JSON pointers into the body, with names of credentials.
    secrets: Vec<(String, String)>,
    /// `None` stands for the whole answer.
    extract: Vec<(String, Option<ResultPath>)>,
    inject: Vec<(HeaderName, Vec<Piece>)>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    /// What was extracted under this name.
    Value(String),
}

impl SessionPlan {
    /// # Errors
    /// Says which part cannot be executed.
    pub(in crate::execute) fn compile(session: &v1::SessionAuth) -> Result<Self, AuthError> {
        let wrong = AuthError::Session;
        let method = Method::from_bytes(session.method.as_bytes()).map_err(|_| wrong("method"))?;
        let (path, query) = match session.path.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (session.path.as_str(), None),
        };
        if !path.starts_with('/') || path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(wrong("path"));
        }
        let body = match session.body_json.as_str() {
            "" => None,
            json => Some(serde_json::from_str::<Value>(json).map_err(|_| wrong("body"))?),
        };
        let there = |pointer: &str| body.as_ref().is_some_and(|body| body.pointer(pointer).is_some());
        if !session.secrets.iter().all(|secret| there(&secret.pointer)) {
            return Err(wrong("place of a credential"));
        }
        let extract = session.extract.iter().map(|value| {
            Ok((value.name.clone(), ResultPath::parse(&value.path).map_err(|_| wrong("path of a value"))?))
        });
        let extract: Vec<_> = extract.collect::<Result<_, AuthError>>()?;
        let known = |name: &str| extract.iter().any(|(known, _)| known == name);
        let inject = session.inject.iter().map(|injected| {
            let pieces = pieces(&injected.value).ok_or_else(|| wrong("header"))?;
            let named = |piece: &Piece| matches!(piece, Piece::Value(name) if !known(name));
            if pieces.iter().any(named) {
                return Err(wrong("header"));
            }
            Ok((header(&injected.name)?, pieces))
        });
        Ok(Self {
            inject: inject.collect::<Result<_, AuthError>>()?,
            method,
            path: path.to_owned(),
            query,
            body,
            secrets: session.secrets.iter().map(|s| (s.pointer.clone(), s.credential.clone())).collect(),
            extract,
        })
    }

    fn request(
        &self,
        installation: &Installation,
        opened: &Opened,
    ) -> Result<OutboundRequest, CredentialError> {
        let mut url = installation.base.clone();
        let path = format!("{}{}", url.path().trim_end_matches('/'), self.path);
        url.set_path(&path);
        url.set_query(self.query.as_deref());
        let mut headers = installation.connector.default_headers.clone();
        headers.remove(CONTENT_TYPE);
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json, */*;q=0.5"));
        let mut body = self.body.clone();
        for (pointer, credential) in &self.secrets {
            let secret = opened.get(credential)?;
            if let Some(place) = body.as_mut().and_then(|body| body.pointer_mut(pointer)) {
                *place = Value::String(secret.expose_secret().to_owned());
            }
        }
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let body = body.map(|body| body.to_string().into_bytes().into());
        Ok(OutboundRequest { method: self.method.clone(), url, headers, body })
    }

    /// What the login's answer gives.
    fn read(&self, reply: &Reply) -> Result<Session, CredentialError> {
        check(reply, !self.extract.is_empty())?;
        let json: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        let mut values = Vec::with_capacity(self.extract.len());
        for (name, path) in &self.extract {
            let found = path.as_ref().map_or_else(|| Some(json.clone()), |path| path.find(&json));
            let text = match found {
                Some(Value::String(text)) => text,
                Some(Value::Number(number)) => number.to_string(),
                _ => String::new(),
            };
            if text.is_empty() || text.len() > MAX_VALUE {
                let text = format!("its login answered without {name:?}, which the calls are made with");
                return Err(CredentialError::Person(format!("{text}, so the connector has to be mended")));
            }
            values.push((name.clone(), Zeroizing::new(text)));
        }
        let mut headers = Vec::with_capacity(self.inject.len());
        for (name, pieces) in &self.inject {
            headers.push((name.clone(), fill(pieces, &values)?));
        }
        let mut jar = Jar::default();
        jar.take(&reply.headers, OffsetDateTime::now_utc());
        if headers.is_empty() && jar.is_empty() {
            let text = "its login set no cookie, so the connector has to be mended";
            return Err(CredentialError::Person(text.to_owned()));
        }
        let values = values.into_iter().map(|(_, value)| value).collect();
        Ok(Session {
            made: Instant::now(),
            basis: String::new(),
            headers,
            values,
            jar: Lock::new(jar),
            in_place: false,
            taken: AtomicBool::new(false),
        })
    }
}

/// The text with `{{name}}` taken apart; `None` where an opening has no end.
fn pieces(template: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once("{{") {
        let (name, next) = after.split_once("}}")?;
        pieces.push(Piece::Text(text.to_owned()));
        pieces.push(Piece::Value(name.trim().to_owned()));
        rest = next;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Some(pieces)
}

fn fill(pieces: &[Piece], values: &[(String, Zeroizing<String>)]) -> Result<HeaderValue, CredentialError> {
    let mut text = Zeroizing::new(String::new());
    for piece in pieces {
        match piece {
            Piece::Text(fixed) => text.push_str(fixed),
            Piece::Value(name) => {
                let found = values.iter().find(|(known, _)| known == name);
                text.push_str(found.map_or("", |(_, value)| value.as_str()));
            }
        }
    }
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        let text =
            "its login answered with characters that cannot be sent, so the connector has to be mended";
        CredentialError::Person(text.to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a login went well. An API that lives on cookies may send its visitors elsewhere after a login.
fn check(reply: &Reply, wants_values: bool) -> Result<(), CredentialError> {
    let sent_on = reply.status.is_redirection() && !wants_values;
    if reply.status.is_success() || sent_on {
        return Ok(());
    }
    let status = status_text(reply.status);
    match reply.status {
        StatusCode::BAD_REQUEST
        | StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::UNPROCESSABLE_ENTITY => Err(CredentialError::Person(format!(
            "its login was refused ({status}), so the user name and password have to be entered again"
        ))),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Err(CredentialError::Person(format!(
            "there is no login at its address ({status}), so the base URL has to be corrected"
        ))),
        _ => Err(CredentialError::Later(format!("its login answered {status}"))),
    }
}

/// A login. Does not print.
pub struct Session {
    made: Instant,
    /// What it was made with.
    basis: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    values: Vec<Zeroizing<String>>,
    jar: Lock<Jar>,
    /// It was made because the one before was refused.
    in_place: bool,
    /// Whether the API has taken it.
    taken: AtomicBool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    /// The headers that show it.
    pub(in crate::execute) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let cookies = self.jar().header().map(|value| (http::header::COOKIE, value));
        self.headers.iter().cloned().chain(cookies).collect()
    }

    /// Everything of it that must not be in a text.
    pub(in crate::execute) fn secrets(&self) -> Vec<Zeroizing<String>> {
        let cookies: Vec<_> = self.jar().values().map(|value| Zeroizing::new(value.to_owned())).collect();
        self.values.iter().cloned().chain(cookies).collect()
    }

    /// The API has taken it; its answer may set cookies.
    pub(in crate::execute) fn prove(&self, headers: &HeaderMap) {
        self.taken.store(true, Ordering::Relaxed);
        if headers.contains_key(http::header::SET_COOKIE) {
            self.jar().take(headers, OffsetDateTime::now_utc());
        }
    }

    fn jar(&self) -> std::sync::MutexGuard<'_, Jar> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Slot {
    session: ArcSwapOption<Session>,
    failed: ArcSwapOption<Failed>,
    /// One logs in at a time.
    turn: Mutex<()>,
}

/// Keeps logins. Cheap to clone; clones share what is kept.
#[derive(Clone, Debug)]
pub struct Sessions {
    outbound: Outbound,
    slots: Cache<(TenantId, InstallationId, Option<Subject>), Arc<Slot>>,
}

impl Sessions {
    #[must_use]
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound, slots: Cache::builder().max_capacity(KEPT).time_to_idle(LIFE).build() }
    }

    /// The login of an installation, made if there is none.
    ///
    /// # Errors
    /// Says why there is none.
    pub async fn get(
        &self,
        installation: &Installation,
        plan: &SessionPlan,
        opened: &Opened,
    ) -> Result<Arc<Session>, CredentialError> {
        self.got(installation, plan, opened, false).await
    }

    async fn got(
        &self,
        installation: &Installation,
        plan: &SessionPlan,
        opened: &Opened,
        in_place: bool,
    ) -> Result<Arc<Session>, CredentialError> {
        let began = Instant::now();
        let (slot, basis) = (self.slot(installation, opened), basis(installation, opened));
        let good = || slot.session.load_full().filter(|s| s.basis == basis && s.made.elapsed() < LIFE);
        if let Some(session) = good() {
            return Ok(session);
        }
        let _turn = slot.turn.lock().await;
        if let Some(session) = good() {
            return Ok(session);
        }
        let failed = slot.failed.load().as_ref().filter(|failed| failed.at >= began).map(|f| f.error.clone());
        match failed {
            Some(error) => Err(error),
            None => {
                let made = self.log_in(installation, plan, opened).await;
                keep(&slot, made.map(|session| Session { basis, in_place, ..session }))
            }
        }
    }

    /// Another login than the one that was refused; `None` where there is none.
    ///
    /// # Errors
    /// Says why none could be made.
    pub async fn instead_of(
        &self,
        installation: &Installation,
        plan: &SessionPlan,
        opened: &Opened,
        refused: &Arc<Session>,
    ) -> Result<Option<Arc<Session>>, CredentialError> {
        let proven = !refused.in_place || refused.taken.load(Ordering::Relaxed);
        if !proven && refused.made.elapsed() < FRESH {
            let slot = self.slot(installation, opened);
            return Ok(slot.session.load_full().filter(|session| !Arc::ptr_eq(session, refused)));
        }
        let slot = self.slot(installation, opened);
        // Whoever comes first takes it away; the others find the next one.
        slot.session.rcu(|held| held.clone().filter(|held| !Arc::ptr_eq(held, refused)));
        self.got(installation, plan, opened, true).await.map(Some)
    }

    fn slot(&self, installation: &Installation, opened: &Opened) -> Arc<Slot> {
        let caller = opened.holder().map(|holder| holder.subject);
        self.slots.get_with((installation.tenant, installation.id, caller), Arc::default)
    }

    async fn log_in(
        &self,
        installation: &Installation,
        plan: &SessionPlan,
        opened: &Opened,
    ) -> Result<Session, CredentialError> {
        let made = self.try_log_in(installation, plan, opened).await;
        let (tenant, id) = (installation.tenant, installation.id);
        match &made {
            Ok(_) => tracing::info!(tenant = %tenant, installation = %id, "logged in at an API"),
            Err(error) => tracing::warn!(tenant = %tenant, installation = %id, %error, "no login at an API"),
        }
        made
    }

    async fn try_log_in(
        &self,
        installation: &Installation,
        plan: &SessionPlan,
        opened: &Opened,
    ) -> Result<Session, CredentialError> {
        let request = plan.request(installation, opened)?;
        let reply = self.outbound.send_within(request, WITHIN).await;
        let reply = reply.map_err(|error| CredentialError::Later(format!("its login failed: {error}")))?;
        plan.read(&reply)
    }
}

/// Keeps what came of a login, for whoever waits.
fn keep(slot: &Slot, made: Result<Session, CredentialError>) -> Result<Arc<Session>, CredentialError> {
    match made {
        Ok(session) => {
            let session = Arc::new(session);
            slot.session.store(Some(Arc::clone(&session)));
            Ok(session)
        }
        Err(error) => {
            slot.failed.store(Some(Arc::new(Failed { at: Instant::now(), error: error.clone() })));
            Err(error)
        }
    }
}

/// What a login is made with: another credential, address or definition wants another login.
fn basis(installation: &Installation, opened: &Opened) -> String {
    let mut basis = format!("{}|{}", installation.connector.hash, installation.base);
    for credential in &installation.credentials {
        basis.push_str(&format!("|{}={}", credential.name, credential.version));
    }
    if let Some(holder) = opened.holder() {
        basis.push_str(&format!("|{}={}", holder.epoch, opened.version()));
    }
    basis
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> SessionPlan {
        SessionPlan::compile(&v1::SessionAuth {
            method: "POST".into(),
            path: "/login".into(),
            body_json: r#"{"name":null}"#.into(),
            secrets: vec![v1::SessionSecret { pointer: "/name".into(), credential: "user".into() }],
            extract: vec![v1::SessionValue { name: "token".into(), path: "$.data.token".into() }],
            inject: vec![v1::Header { name: "X-Session".into(), value: "T {{ token }}!".into() }],
        })
        .unwrap()
    }

    fn reply(status: u16, body: &str, cookie: Option<&'static str>) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(cookie) = cookie {
            headers.insert(http::header::SET_COOKIE, HeaderValue::from_static(cookie));
        }
        Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_owned().into() }
    }

    #[test]
    fn a_login_is_shown_as_its_template_says_and_with_its_cookies() {
        let session = plan().read(&reply(200, r#"{"data":{"token":"abc123"}}"#, Some("sid=xyz"))).unwrap();
        let headers = session.headers();
        assert_eq!(headers[0], (HeaderName::from_static("x-session"), HeaderValue::from_static("T abc123!")));
        assert_eq!(headers[1].1, "sid=xyz");
        assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
        let secrets: Vec<String> = session.secrets().iter().map(|secret| secret.to_string()).collect();
        assert_eq!(secrets, ["abc123", "xyz"]);
        assert!(!format!("{session:?}").contains("abc123"));
    }

    #[test]
    fn a_login_that_failed_says_who_has_to_do_what() {
        let told = |reply: &Reply| plan().read(reply).map(|_| ()).unwrap_err().to_string();
        assert!(told(&reply(401, "bad s3cret", None)).contains("entered again"));
        assert!(told(&reply(404, "", None)).contains("base URL"));
        assert!(matches!(plan().read(&reply(503, "", None)), Err(CredentialError::Later(_))));
        for body in ["{}", "no json", r#"{"data":{"token":""}}"#, r#"{"data":{"token":{"a":1}}}"#] {
            assert!(told(&reply(200, body, None)).contains("\"token\""), "{body}");
        }
        assert!(told(&reply(200, r#"{"data":{"token":"a\nb"}}"#, None)).contains("cannot be sent"));
    }

    #[test]
    fn cookies_alone_are_a_login_where_nothing_is_injected() {
        let session = v1::SessionAuth { method: "POST".into(), path: "/login".into(), ..Default::default() };
        let plan = SessionPlan::compile(&session).unwrap();
        assert!(plan.read(&reply(302, "", Some("sid=1"))).is_ok());
        assert!(plan.read(&reply(200, "", None)).is_err());
    }

    #[test]
    fn a_plan_that_leads_elsewhere_or_misses_a_part_is_refused() {
        let good = v1::SessionAuth { method: "POST".into(), path: "/l".into(), ..Default::default() };
        let header = |value: &str| vec![v1::Header { name: "X-A".into(), value: value.into() }];
        let secret = v1::SessionSecret { pointer: "/a".into(), credential: "c".into() };
        for bad in [
            v1::SessionAuth { path: "https://evil.example".into(), ..good.clone() },
            v1::SessionAuth { path: "/../l".into(), ..good.clone() },
            v1::SessionAuth { body_json: "{".into(), ..good.clone() },
            v1::SessionAuth { secrets: vec![secret], ..good.clone() },
            v1::SessionAuth { inject: header("{{t}}"), ..good.clone() },
            v1::SessionAuth { inject: header("{{t"), ..good.clone() },
            v1::SessionAuth { inject: vec![v1::Header { name: "Host".into(), value: "a".into() }], ..good },
        ] {
            assert!(SessionPlan::compile(&bad).is_err(), "{bad:?}");
        }
    }
}
