//! One conversation with a token endpoint: what is sent for each flow, and what its answer means.
//!
//! Whatever a provider says is read with care: sizes are bounded, and nothing of an error is repeated but its code.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use time::OffsetDateTime;
use toolmesh_proto::v1::OAuth2Auth;
use toolmesh_proto::v1::o_auth2_auth::Flow;
use url::Url;
use zeroize::Zeroizing;

use super::jwt::ServiceAccount;
use super::{Kind, Problem};
use crate::error::{Error, Result};
use crate::outbound::{Incoming, Outbound, OutboundError, Outgoing};

/// Longest wait for a token endpoint.
pub(super) const WITHIN: Duration = Duration::from_secs(8);

/// Most bytes of its answer.
const MAX_ANSWER: usize = 128 * 1024;

/// Longest token that is kept, in bytes; more would not fit into a header.
const MAX_TOKEN: usize = 12 * 1024;

/// How long a token lives where the provider does not say but another can be got.
const USUAL_LIFE: u32 = 3600;

/// The longest life that is believed, in seconds: a year.
const LONGEST_LIFE: u32 = 366 * 86_400;

/// What is exchanged for an access token.
pub(super) enum Proof {
    /// The client's own word.
    Client,
    Refresh(SecretString),
    Account(ServiceAccount),
    /// A person's consent.
    Code {
        code: SecretString,
        verifier: SecretString,
        redirect_uri: String,
    },
}

/// Everything that one exchange needs.
pub(super) struct Request<'a> {
    pub auth: &'a OAuth2Auth,
    /// Absolute; for a service account the key's own where the document names none.
    pub token_url: &'a str,
    pub client_id: Option<&'a SecretString>,
    pub client_secret: Option<&'a SecretString>,
    pub proof: &'a Proof,
    /// What the token is for (RFC 8707); empty where the provider is not told.
    pub resource: &'a str,
}

/// What came back.
pub(super) struct Tokens {
    pub access: SecretString,
    pub refresh: Option<SecretString>,
    /// In seconds; None where the provider says nothing.
    pub life: Option<u32>,
    pub scope: Option<String>,
    /// Whose account it is, as far as the answer says.
    pub account: String,
}

impl Tokens {
    /// How long the access token is used: one that can be replaced is replaced after an hour at the latest where its end is not
    /// known, one that cannot is used until it is refused.
    pub(super) fn life(&self, replaceable: bool) -> Option<u32> {
        self.life.or_else(|| replaceable.then_some(USUAL_LIFE))
    }
}

/// Asks for an access token.
///
/// # Errors
/// What keeps one from being got, and whether a person has to do something.
pub(super) async fn exchange(
    outbound: &Outbound,
    request: &Request<'_>,
) -> std::result::Result<Tokens, Problem> {
    let outgoing = outgoing(outbound, request)?;
    let answer = outbound.send(outgoing).await.map_err(|error| unreachable(&error))?;
    read(&answer, request.auth.flow())
}

fn outgoing(outbound: &Outbound, request: &Request<'_>) -> std::result::Result<Outgoing, Problem> {
    let auth = request.auth;
    let url = outbound
        .policy()
        .parse(request.token_url)
        .map_err(|_| Problem::new(Kind::Provider, "its token endpoint is an address that is not called"))?;
    let scope = auth.scopes.join(" ");
    let mut fields: Vec<(&str, Zeroizing<String>)> = Vec::new();
    let mut add = |name, value: &str| fields.push((name, Zeroizing::new(value.to_owned())));
    match request.proof {
        Proof::Client => {
            add("grant_type", "client_credentials");
            if !scope.is_empty() {
                add("scope", &scope);
            }
        }
        Proof::Refresh(token) => {
            add("grant_type", "refresh_token");
            add("refresh_token", token.expose_secret());
        }
        Proof::Account(account) => {
            let now = OffsetDateTime::now_utc().unix_timestamp();
            let assertion = account.assertion(url.as_str(), &scope, &auth.subject, now);
            let assertion = assertion.map_err(|_| Problem::new(Kind::Client, "its key does not sign"))?;
            add("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
            add("assertion", assertion.expose_secret());
        }
        Proof::Code { code, verifier, redirect_uri } => {
            add("grant_type", "authorization_code");
            add("code", code.expose_secret());
            add("redirect_uri", redirect_uri);
            add("code_verifier", verifier.expose_secret());
        }
    }
    if !request.resource.is_empty() {
        add("resource", request.resource);
    }
    let secret = request.client_secret;
    let by_header = auth.basic_client_auth && secret.is_some();
    if let (false, Some(id)) = (by_header, request.client_id) {
        add("client_id", id.expose_secret());
    }
    if let (false, Some(secret)) = (by_header, secret) {
        add("client_secret", secret.expose_secret());
    }
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut outgoing = Outgoing::form(url, &fields, MAX_ANSWER, WITHIN);
    if let (true, Some(id), Some(secret)) = (by_header, request.client_id, secret) {
        let basic = basic(id, secret)
            .ok_or_else(|| Problem::new(Kind::Client, "its client id or secret cannot be sent"))?;
        outgoing.headers.insert(header::AUTHORIZATION, basic);
    }
    Ok(outgoing)
}

/// A token that its holder no longer wants.
pub(super) struct Revocation<'a> {
    pub url: &'a str,
    pub token: &'a SecretString,
    /// `refresh_token` or `access_token`.
    pub kind: &'static str,
    pub client_id: Option<&'a SecretString>,
    pub client_secret: Option<&'a SecretString>,
    /// The client shows its secret in a header.
    pub by_header: bool,
}

/// Takes a token back at its provider (RFC 7009).
///
/// # Errors
/// What kept it from being done.
pub(super) async fn revoke(
    outbound: &Outbound,
    revocation: &Revocation<'_>,
    answer_bytes: usize,
    within: Duration,
) -> std::result::Result<(), Problem> {
    let url = outbound.policy().parse(revocation.url).map_err(|_| {
        Problem::new(Kind::Provider, "its revocation endpoint is an address that is not called")
    })?;
    let mut fields = vec![("token", revocation.token.expose_secret()), ("token_type_hint", revocation.kind)];
    let by_header = revocation.by_header && revocation.client_secret.is_some();
    if !by_header {
        fields.extend(revocation.client_id.map(|id| ("client_id", id.expose_secret())));
        fields.extend(revocation.client_secret.map(|secret| ("client_secret", secret.expose_secret())));
    }
    let mut outgoing = Outgoing::form(url, &fields, answer_bytes, within);
    if let (true, Some(id), Some(secret)) = (by_header, revocation.client_id, revocation.client_secret) {
        let basic = basic(id, secret)
            .ok_or_else(|| Problem::new(Kind::Client, "its client id or secret cannot be sent"))?;
        outgoing.headers.insert(header::AUTHORIZATION, basic);
    }
    let answer = outbound.send(outgoing).await.map_err(|error| unreachable(&error))?;
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        Ok(())
    } else {
        Err(Problem::new(Kind::Provider, format!("status {status}")))
    }
}

/// RFC 6749, 2.3.1: both halves are form-encoded before they are joined.
fn basic(id: &SecretString, secret: &SecretString) -> Option<HeaderValue> {
    use base64::Engine as _;
    let encoded = |text: &SecretString| {
        url::form_urlencoded::byte_serialize(text.expose_secret().as_bytes()).collect::<String>()
    };
    let pair = Zeroizing::new(format!("{}:{}", encoded(id), encoded(secret)));
    let text = Zeroizing::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(&*pair)));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn unreachable(error: &OutboundError) -> Problem {
    Problem::new(Kind::Provider, error.to_string())
}

fn read(answer: &Incoming, flow: Flow) -> std::result::Result<Tokens, Problem> {
    let value: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let error = value.as_ref().and_then(|value| value.get("error")).filter(|error| !error.is_null());
    // Some providers answer 200 with an error in it.
    if let Some(error) = error {
        let code = error.as_str().or_else(|| error.get("code").and_then(Value::as_str));
        return Err(refused(code_word(code.unwrap_or_default()), flow));
    }
    if answer.status != StatusCode::OK && answer.status != StatusCode::CREATED {
        let status = answer.status.as_u16();
        let kind = if status == 401 { Kind::Client } else { Kind::Provider };
        return Err(Problem::new(kind, format!("status {status}")));
    }
    let unusable = || Problem::new(Kind::Provider, "its token endpoint answered without a token");
    let value = value.ok_or_else(unusable)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| is_token(text));
    let access = text("access_token").ok_or_else(unusable)?;
    Ok(Tokens {
        access: SecretString::from(access),
        refresh: text("refresh_token").map(SecretString::from),
        life: life(value.get("expires_in")),
        scope: value.get("scope").and_then(Value::as_str).map(|scope| shown(scope, 2000)),
        account: account(&value),
    })
}

/// Whether a text can be shown in a header or a form again.
fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Seconds as a number, or as a text that holds one. Nothing and zero say nothing.
fn life(value: Option<&Value>) -> Option<u32> {
    let seconds = match value? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let most = f64::from(LONGEST_LIFE);
    let seconds = if seconds.is_finite() && seconds >= 1.0 { seconds.min(most) as u32 } else { 0 };
    (seconds > 0).then_some(seconds)
}

/// RFC 6749, 5.2: what an error code asks of whom.
fn refused(code: &str, flow: Flow) -> Problem {
    let kind = match code {
        "invalid_grant"
        | "bad_refresh_token"
        | "bad_verification_code"
        | "token_expired"
        | "token_revoked" => {
            // Of a service account the key is all there is.
            if flow == Flow::JwtBearer { Kind::Client } else { Kind::Reconnect }
        }
        "invalid_client"
        | "unauthorized_client"
        | "incorrect_client_credentials"
        | "bad_client_secret"
        | "invalid_client_id" => Kind::Client,
        "invalid_scope" | "access_denied" => Kind::Scope,
        _ => Kind::Provider,
    };
    Problem::new(kind, code)
}

/// A provider's error code, if it is one: nothing else of what a stranger sent is repeated.
pub(super) fn code_word(text: &str) -> &str {
    let plain = (1..=60).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if plain { text } else { "an error without a name" }
}

/// Whose account it is: what an ID token says, which came straight from the provider, or one of the names that providers put
/// beside their tokens. For people to recognise; nothing is decided by it.
fn account(answer: &Value) -> String {
    let claims = answer.get("id_token").and_then(Value::as_str).and_then(id_claims);
    let from = |value: &Value, path: &[&str]| {
        let found = path.iter().try_fold(value, |value, key| value.get(key))?;
        found.as_str().map(str::trim).filter(|text| !text.is_empty()).map(|text| shown(text, 120))
    };
    let claimed = claims.as_ref().and_then(|claims| {
        ["email", "preferred_username", "name"].iter().find_map(|name| from(claims, &[name]))
    });
    let beside = || {
        let paths: [&[&str]; 8] = [
            &["email"],
            &["user", "email"],
            &["account", "name"],
            &["workspace_name"],
            &["team", "name"],
            &["owner", "user", "name"],
            &["user", "name"],
            &["stripe_user_id"],
        ];
        paths.iter().find_map(|path| from(answer, path))
    };
    claimed.or_else(beside).unwrap_or_default()
}

fn id_claims(token: &str) -> Option<Value> {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).filter(|part| part.len() <= 16 * 1024)?;
    let bytes =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Text of a stranger for a page: one line, without what is invisible or reorders, and cut.
fn shown(text: &str, most: usize) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().filter(|c| !hidden(*c)).take(most).collect()
}

/// The absolute form of an address that a document names by its path alone.
///
/// # Errors
/// When neither is a URL.
pub(super) fn resolve(address: &str, base_url: &str) -> Result<Url> {
    let base = Url::parse(base_url).map_err(Error::internal)?;
    base.join(address)
        .map_err(|_| Error::Refused("The connector names no usable address of its provider.".to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;
    use toolmesh_proto::egress::EgressPolicy;

    use super::*;

    fn answered(status: u16, body: &Value) -> std::result::Result<Tokens, Problem> {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Incoming { status, headers: HeaderMap::new(), body: body.to_string().into() };
        read(&answer, Flow::RefreshToken)
    }

    fn problem(status: u16, body: &Value) -> (Kind, String) {
        let problem = answered(status, body).err().unwrap();
        (problem.kind, problem.code)
    }

    #[test]
    fn an_answer_is_read_as_providers_write_it() {
        let tokens = answered(
            200,
            &json!({"access_token": "at", "expires_in": "120", "refresh_token": "rt", "scope": "a b"}),
        );
        let tokens = tokens.ok().unwrap();
        assert_eq!((tokens.access.expose_secret(), tokens.life), ("at", Some(120)));
        assert_eq!((tokens.refresh.unwrap().expose_secret(), tokens.scope.as_deref()), ("rt", Some("a b")));
        for (expires_in, life) in [
            (json!(0), None),
            (json!(null), None),
            (json!(-5), None),
            (json!(90.7), Some(90)),
            (json!(1e300), Some(LONGEST_LIFE)),
        ] {
            let tokens =
                answered(200, &json!({"access_token": "at", "expires_in": expires_in})).ok().unwrap();
            assert_eq!(tokens.life, life, "{expires_in}");
        }
        let tokens = answered(200, &json!({"access_token": "at"})).ok().unwrap();
        assert_eq!((tokens.life(true), tokens.life(false)), (Some(3600), None));
    }

    #[test]
    fn what_a_refusal_asks_for_follows_its_code() {
        assert_eq!(
            problem(400, &json!({"error": "invalid_grant"})),
            (Kind::Reconnect, "invalid_grant".into())
        );
        assert_eq!(problem(401, &json!({"error": "invalid_client"})).0, Kind::Client);
        assert_eq!(problem(200, &json!({"error": "bad_refresh_token"})).0, Kind::Reconnect);
        assert_eq!(problem(400, &json!({"error": "invalid_scope"})).0, Kind::Scope);
        assert_eq!(problem(503, &json!({})), (Kind::Provider, "status 503".into()));
        assert_eq!(problem(200, &json!({"access_token": "a\nb"})).0, Kind::Provider);
        assert_eq!(problem(200, &json!([1])).0, Kind::Provider);
        let told = problem(400, &json!({"error": "<b>your token abc</b>"})).1;
        assert_eq!(told, "an error without a name");
    }

    #[test]
    fn whose_account_it_is_is_found_where_providers_say_it() {
        use base64::Engine as _;
        let claims =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"email":"ana@example.com"}"#);
        assert_eq!(account(&json!({"id_token": format!("h.{claims}.s")})), "ana@example.com");
        assert_eq!(account(&json!({"team": {"name": "Acme\u{202e}\n"}})), "Acme");
        assert_eq!(account(&json!({"access_token": "at", "id_token": "no token"})), "");
    }

    #[test]
    fn the_client_shows_its_secret_where_the_document_says() {
        let outbound = Outbound::new(EgressPolicy { allow_private: false }, b"").unwrap();
        let (id, secret) = (SecretString::from("my id"), SecretString::from("a:b"));
        let request = |auth: &OAuth2Auth| {
            let request = Request {
                auth,
                token_url: "https://provider.example/token",
                client_id: Some(&id),
                client_secret: Some(&secret),
                proof: &Proof::Client,
                resource: "",
            };
            let outgoing = outgoing(&outbound, &request).ok().unwrap();
            let basic = outgoing.headers.get(header::AUTHORIZATION).cloned();
            (String::from_utf8(outgoing.body.unwrap().to_vec()).unwrap(), basic)
        };
        let post = OAuth2Auth { scopes: vec!["a".into(), "b".into()], ..OAuth2Auth::default() };
        let (body, basic) = request(&post);
        assert_eq!(body, "grant_type=client_credentials&scope=a+b&client_id=my+id&client_secret=a%3Ab");
        assert_eq!(basic, None);
        let (body, basic) = request(&OAuth2Auth { basic_client_auth: true, ..OAuth2Auth::default() });
        assert_eq!(body, "grant_type=client_credentials");
        assert_eq!(basic.unwrap(), "Basic bXkraWQ6YSUzQWI=");
    }

    #[test]
    fn a_path_alone_is_at_the_origin_of_the_base_url() {
        let at = |address| resolve(address, "https://git.example/api/v4").unwrap().to_string();
        assert_eq!(at("/oauth/token"), "https://git.example/oauth/token");
        assert_eq!(at("https://login.example/token"), "https://login.example/token");
    }
}
