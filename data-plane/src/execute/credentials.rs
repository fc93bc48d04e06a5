//! Credentials at the moment of use: opened for one call, put in their place in the request, dropped.
//!
//! Also owns keeping them out of everything else: what comes back from an API or goes to the audit log is scrubbed of them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::seal::{ACCESS_TOKEN, Sealer};
use toolmesh_proto::v1;
use url::Url;
use zeroize::Zeroizing;

use super::rest::plan::{Plan, is_cookie_name, is_cookie_value, is_reserved};
use super::sign_in::session::{Session, SessionPlan};
use super::sign_in::tokens::{Held, Secret};
use crate::catalog::Holder;

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// Shorter values are not looked for in texts: they would be found where they are not meant.
const SHORTEST_SCRUBBED: usize = 8;
/// The same for values of digits alone, which are found in any number.
const SHORTEST_DIGITS: usize = 16;

/// How a connector shows who is calling, with logical names of credentials.
#[derive(Clone, Debug)]
pub enum Auth {
    None,
    Header {
        credential: String,
        header: HeaderName,
        prefix: String,
    },
    Basic {
        username: String,
        password: Option<String>,
    },
    Query {
        credential: String,
        name: String,
        prefix: String,
    },
    Cookie {
        credential: String,
        name: String,
        prefix: String,
    },
    /// An access token that the control plane hands out.
    OAuth2 {
        header: HeaderName,
        prefix: String,
    },
    /// A login that the node makes itself.
    Session(Box<SessionPlan>),
    /// Shown where one has been entered; without, the call leaves as it is.
    Optional(Box<Auth>),
    /// A credential and the keys beside it.
    With(Box<Auth>, Vec<Auth>),
}

/// An auth block that cannot be executed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the kind of authentication is unknown")]
    Kind,
    #[error("the credential goes to {0:?}, which is no header that may be set")]
    Header(String),
    #[error("the credential has no place")]
    Place,
    #[error("the login cannot be made: its {0} is unusable")]
    Session(&'static str),
}

impl Auth {
    /// Reads a connector's auth block; one that is missing means none.
    ///
    /// # Errors
    /// When its kind is unknown or its place is malformed.
    pub fn compile(auth: Option<&v1::Auth>) -> Result<Self, AuthError> {
        let Some(auth) = auth else { return Ok(Self::None) };
        let mut compiled = Self::of_kind(auth)?;
        if !auth.also.is_empty() {
            // A login's cookies have any names, and no credential has no company.
            if matches!(compiled, Self::None | Self::Session(_)) {
                return Err(AuthError::Place);
            }
            let keys = auth.also.iter().map(Self::key).collect::<Result<_, _>>()?;
            compiled = Self::With(Box::new(compiled), keys);
        }
        Ok(if auth.optional { Self::Optional(Box::new(compiled)) } else { compiled })
    }

    fn of_kind(auth: &v1::Auth) -> Result<Self, AuthError> {
        use v1::auth::Kind;
        match auth.kind.as_ref().ok_or(AuthError::Kind)? {
            Kind::None(_) => Ok(Self::None),
            Kind::Bearer(bearer) => Ok(Self::Header {
                credential: bearer.credential.clone(),
                header: header(if bearer.header.is_empty() { "authorization" } else { &bearer.header })?,
                prefix: bearer.prefix.clone(),
            }),
            Kind::Basic(basic) => Ok(Self::Basic {
                username: basic.username_credential.clone(),
                password: Some(basic.password_credential.clone()).filter(|name| !name.is_empty()),
            }),
            Kind::Oauth2(oauth2) => {
                Ok(Self::OAuth2 { header: header(&oauth2.header)?, prefix: oauth2.prefix.clone() })
            }
            Kind::Session(session) => Ok(Self::Session(Box::new(SessionPlan::compile(session)?))),
            Kind::ApiKey(key) => Self::key(key),
        }
    }

    fn key(key: &v1::ApiKeyAuth) -> Result<Self, AuthError> {
        use v1::api_key_auth::Place;
        let (credential, prefix) = (key.credential.clone(), key.prefix.clone());
        match key.place.as_ref().ok_or(AuthError::Place)? {
            Place::Header(name) => Ok(Self::Header { credential, header: header(name)?, prefix }),
            Place::Query(name) if !name.is_empty() => {
                Ok(Self::Query { credential, name: name.clone(), prefix })
            }
            Place::Cookie(name) if is_cookie_name(name) => {
                Ok(Self::Cookie { credential, name: name.clone(), prefix })
            }
            Place::Query(_) | Place::Cookie(_) => Err(AuthError::Place),
        }
    }

    /// Whether a credential is a user's name beside a password: needed to log in, and no secret. Results and arguments are
    /// full of such names.
    fn is_public(&self, name: &str) -> bool {
        match self {
            Self::Basic { username, password: Some(_) } => username == name,
            Self::Optional(auth) | Self::With(auth, _) => auth.is_public(name),
            _ => false,
        }
    }

    /// This, or what is in it: the credential and the keys beside it one by one.
    fn each(&self) -> Vec<&Self> {
        match self {
            Self::Optional(auth) => auth.each(),
            Self::With(auth, keys) => auth.each().into_iter().chain(keys).collect(),
            one => vec![one],
        }
    }

    /// The credential that a single header, parameter or cookie shows.
    fn credential(&self) -> Option<&str> {
        match self {
            Self::Header { credential, .. }
            | Self::Query { credential, .. }
            | Self::Cookie { credential, .. } => Some(credential),
            _ => None,
        }
    }

    /// Whether a credential is one of the keys beside the one that says who calls.
    #[must_use]
    pub fn shows_beside(&self, name: &str) -> bool {
        match self {
            Self::With(_, keys) => keys.iter().any(|key| key.credential() == Some(name)),
            Self::Optional(auth) => auth.shows_beside(name),
            _ => false,
        }
    }

    /// Takes the places of the credential out of the callers' hands.
    pub fn reserve(&self, plan: &mut Plan) {
        for auth in self.each() {
            match auth {
                Self::Query { name, .. } => plan.reserve_query(name),
                Self::Cookie { name, .. } => plan.reserve_cookies(Some(name)),
                Self::Session(_) => plan.reserve_cookies(None),
                Self::Header { header, .. } | Self::OAuth2 { header, .. } if *header == COOKIE => {
                    plan.reserve_cookies(None);
                }
                _ => {}
            }
        }
    }
}

/// `Authorization` and `Cookie` are where credentials go; other reserved headers are the connection's.
pub(super) fn header(name: &str) -> Result<HeaderName, AuthError> {
    let error = || AuthError::Header(name.to_owned());
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| error())?;
    let allowed = !is_reserved(&header) || matches!(header.as_str(), "authorization" | "cookie");
    if allowed { Ok(header) } else { Err(error()) }
}

/// Why a call has no credential; each says what to do, to somebody who may not be able to do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("the credential {0:?} has not been set")]
    Missing(String),
    #[error("the credential {0:?} cannot be opened on this node; enter it again")]
    Sealed(String),
    #[error("the credential {0:?} holds characters that cannot be sent; enter it again")]
    Characters(String),
    /// Somebody has to do what the text says.
    #[error("{0}")]
    Person(String),
    /// It will mend by itself.
    #[error("{0}")]
    Later(String),
    /// The caller has to connect an account of their own, on a page of the console.
    #[error("{why}")]
    Connect { why: String, url: String },
}

/// The credentials of one installation, open, for the length of one call.
#[derive(Debug, Default)]
pub struct Opened {
    all: Vec<OpenedOne>,
    /// Whose own account the call uses, where that is not the workspace's.
    holder: Option<Holder>,
    /// Of what the holder entered; 0 elsewhere.
    version: u64,
}

#[derive(Debug)]
struct OpenedOne {
    name: String,
    secret: Result<SecretString, CredentialError>,
    /// Not to be taken out of texts.
    public: bool,
}

impl Opened {
    /// Opens every credential of an installation. One that cannot be opened is a failure only where it is used.
    #[must_use]
    pub fn open(
        sealer: &Sealer,
        tenant: TenantId,
        installation: InstallationId,
        sealed: &[v1::SealedCredential],
        auth: &Auth,
    ) -> Self {
        let open = |one: &v1::SealedCredential| OpenedOne {
            name: one.name.clone(),
            secret: sealer
                .open(tenant, installation, one)
                .map_err(|_| CredentialError::Sealed(one.name.clone())),
            public: auth.is_public(&one.name),
        };
        Self { all: sealed.iter().map(open).collect(), holder: None, version: 0 }
    }

    /// The same, for a caller who uses an account of their own.
    #[must_use]
    pub fn of(self, holder: Option<Holder>) -> Self {
        Self { holder, ..self }
    }

    /// The same, as what its holder entered.
    pub(super) fn entered(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// Whose own account the call uses, where that is not the workspace's.
    #[must_use]
    pub const fn holder(&self) -> Option<Holder> {
        self.holder
    }

    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// Whether an access token is among them, as in a test of settings.
    pub(super) fn has_access_token(&self) -> bool {
        self.all.iter().any(|one| one.name == ACCESS_TOKEN)
    }

    pub(super) fn get(&self, name: &str) -> Result<&SecretString, CredentialError> {
        let found = self.all.iter().find(|one| one.name == name);
        let one = found.ok_or_else(|| CredentialError::Missing(name.to_owned()))?;
        one.secret.as_ref().map_err(Clone::clone)
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let private = self.all.iter().filter(|one| !one.public);
        private.filter_map(|one| one.secret.as_ref().ok()).map(|secret| secret.expose_secret())
    }

    /// The credential as a connector wants it shown.
    ///
    /// # Errors
    /// When one is missing or cannot be sent.
    pub fn place(&self, auth: &Auth) -> Result<Placement, CredentialError> {
        match auth {
            Auth::None => Ok(Placement::default()),
            Auth::Optional(_) if self.all.is_empty() => Ok(Placement::default()),
            Auth::Optional(auth) => self.place(auth),
            Auth::Header { credential, header, prefix } => {
                let secret = self.get(credential)?;
                let text = Zeroizing::new(format!("{prefix}{}", secret.expose_secret()));
                Placement::header(header.clone(), &text, credential)
            }
            Auth::Basic { username, password } => {
                let name = self.get(username)?.expose_secret();
                let password = password.as_deref().map(|name| self.get(name)).transpose()?;
                let pair = format!("{name}:{}", password.map_or("", |secret| secret.expose_secret()));
                let encoded = Zeroizing::new(STANDARD.encode(Zeroizing::new(pair).as_bytes()));
                let text = Zeroizing::new(format!("Basic {}", *encoded));
                let mut placement = Placement::header(AUTHORIZATION, &text, username)?;
                placement.derived.push(encoded);
                Ok(placement)
            }
            Auth::OAuth2 { header, prefix } => {
                let secret = self.get(ACCESS_TOKEN)?;
                let text = Zeroizing::new(format!("{prefix}{}", secret.expose_secret()));
                Placement::header(header.clone(), &text, ACCESS_TOKEN)
            }
            // Made by `sign_in`, which does not come here.
            Auth::Session(_) => Err(CredentialError::Missing("login".to_owned())),
            Auth::Query { credential, name, prefix } => {
                let secret = self.get(credential)?;
                let text = Zeroizing::new(format!("{prefix}{}", secret.expose_secret()));
                Ok(Placement { query: vec![(name.clone(), text)], ..Placement::default() })
            }
            Auth::Cookie { credential, name, prefix } => {
                let secret = self.get(credential)?.expose_secret();
                if !is_cookie_value(prefix) || !is_cookie_value(secret) {
                    return Err(CredentialError::Characters(credential.clone()));
                }
                let pair = Zeroizing::new(format!("{name}={prefix}{secret}"));
                Ok(Placement { cookies: vec![pair], ..Placement::default() })
            }
            Auth::With(auth, keys) => self.beside(self.place(auth)?, keys),
        }
    }

    /// A placement with further keys beside it.
    ///
    /// # Errors
    /// When one is missing or cannot be sent.
    pub(super) fn beside(&self, mut shown: Placement, keys: &[Auth]) -> Result<Placement, CredentialError> {
        for key in keys {
            let key = shown.entered_with(key).unwrap_or(self).place(key)?;
            shown.headers.extend(key.headers);
            shown.query.extend(key.query);
            shown.cookies.extend(key.cookies);
            shown.derived.extend(key.derived);
        }
        Ok(shown)
    }

    /// Takes every credential out of a text, also in the form JSON would write it.
    pub fn scrub(&self, text: &mut String) {
        self.secrets().for_each(|secret| scrub(text, secret));
    }

    /// Whether a text is exactly one of the credentials.
    #[must_use]
    pub fn is_secret(&self, text: &str) -> bool {
        self.secrets().any(|secret| !secret.is_empty() && secret == text)
    }
}

/// Where one call's credential goes in the request.
#[derive(Clone, Default)]
pub struct Placement {
    headers: Vec<(HeaderName, HeaderValue)>,
    query: Vec<(String, Zeroizing<String>)>,
    /// Pairs of the `Cookie` header.
    cookies: Vec<Zeroizing<String>>,
    /// Secrets that are none of the stored ones: computed forms, access tokens, what a login gave. To be scrubbed too.
    derived: Vec<Zeroizing<String>>,
    shown: Shown,
}

/// What a placement shows, where it can be got anew.
#[derive(Clone, Default)]
pub(super) enum Shown {
    #[default]
    Stored,
    Held(Arc<Held>),
    Session(Arc<Session>),
}

impl Placement {
    fn header(name: HeaderName, text: &str, credential: &str) -> Result<Self, CredentialError> {
        let mut value = HeaderValue::from_bytes(text.as_bytes())
            .map_err(|_| CredentialError::Characters(credential.to_owned()))?;
        value.set_sensitive(true);
        Ok(Self { headers: vec![(name, value)], ..Self::default() })
    }

    /// What the control plane has handed out, shown as the connector's auth says.
    pub(super) fn held(auth: &Auth, held: Arc<Held>) -> Result<Self, CredentialError> {
        let mut placement = match (&held.secret, auth) {
            (Secret::Token(token), Auth::OAuth2 { header, prefix }) => {
                let text = Zeroizing::new(format!("{prefix}{}", token.expose_secret()));
                let mut placement = Self::header(header.clone(), &text, ACCESS_TOKEN)?;
                placement.derived.push(Zeroizing::new(token.expose_secret().to_owned()));
                placement
            }
            (Secret::Own(own), auth) => {
                let mut placement = own.place(auth)?;
                placement.derived.extend(own.secrets().map(|secret| Zeroizing::new(secret.to_owned())));
                placement
            }
            (Secret::Token(_), _) => {
                let text = "the control plane has given what its connector does not show";
                return Err(CredentialError::Later(text.to_owned()));
            }
        };
        placement.shown = Shown::Held(held);
        Ok(placement)
    }

    pub(super) fn session(session: Arc<Session>) -> Self {
        let (headers, derived) = (session.headers(), session.secrets());
        Self { headers, derived, shown: Shown::Session(session), ..Self::default() }
    }

    pub(super) const fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Puts the credential into the request, over whatever stood there.
    pub fn apply(&self, headers: &mut HeaderMap, query: &mut String) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        self.add_cookies(headers);
        self.apply_query(query);
    }

    /// Puts what belongs there into a query that replaces the one of a request that is ready.
    pub(super) fn apply_query(&self, query: &mut String) {
        for (name, value) in &self.query {
            super::rest::append_query(query, name, value);
        }
    }

    /// The credential's cookies come first: of two with one name, most servers read the first.
    fn add_cookies(&self, headers: &mut HeaderMap) {
        if self.cookies.is_empty() {
            return;
        }
        let callers = headers.get(COOKIE).and_then(|value| value.to_str().ok());
        let pairs: Vec<&str> = self.cookies.iter().map(|pair| pair.as_str()).chain(callers).collect();
        // Every pair was found fit for a header before.
        if let Ok(mut value) = HeaderValue::from_str(&Zeroizing::new(pairs.join("; "))) {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }

    /// What a member entered, where a key beside it is shown with that too.
    fn entered_with(&self, key: &Auth) -> Option<&Opened> {
        let credential = key.credential()?;
        match &self.shown {
            Shown::Held(held) => match &held.secret {
                Secret::Own(own) => own.get(credential).is_ok().then_some(own),
                Secret::Token(_) => None,
            },
            _ => None,
        }
    }

    /// Puts this credential where another one was.
    pub(super) fn replace(&self, before: &Self, headers: &mut HeaderMap, url: &mut Url) {
        for (name, _) in &before.headers {
            headers.remove(name);
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        before.take_cookies(headers);
        self.add_cookies(headers);
        if before.query.is_empty() && self.query.is_empty() {
            return;
        }
        let mut stood = Zeroizing::new(String::new());
        before.apply_query(&mut stood);
        let query = url.query().unwrap_or_default();
        // A credential stands at the end.
        let callers = query.strip_suffix(stood.as_str()).map_or(query, |rest| rest.trim_end_matches('&'));
        let mut query = Zeroizing::new(callers.to_owned());
        self.apply_query(&mut query);
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
    }

    /// Takes its cookies out again, which come first.
    fn take_cookies(&self, headers: &mut HeaderMap) {
        let own: Vec<&str> = self.cookies.iter().map(|pair| pair.as_str()).collect();
        let own = Zeroizing::new(own.join("; "));
        let all = headers.get(COOKIE).and_then(|value| value.to_str().ok());
        let Some(rest) = all.and_then(|all| all.strip_prefix(own.as_str())).filter(|_| !own.is_empty())
        else {
            return;
        };
        match HeaderValue::from_str(rest.trim_start_matches("; ")) {
            Ok(rest) if !rest.is_empty() => drop(headers.insert(COOKIE, rest)),
            _ => drop(headers.remove(COOKIE)),
        }
    }

    /// Learns from an answer: whether the API takes what is shown, and the cookies that it sets.
    pub fn learn(&self, status: StatusCode, headers: &HeaderMap) {
        match &self.shown {
            _ if status == StatusCode::UNAUTHORIZED => {}
            Shown::Stored => {}
            Shown::Held(held) => held.prove(),
            Shown::Session(session) => session.prove(headers),
        }
    }

    /// What is not a stored credential and must not be told either.
    pub(super) fn derived(&self) -> &[Zeroizing<String>] {
        &self.derived
    }

    /// Takes what is not a stored credential out of a text.
    pub fn scrub(&self, text: &mut String) {
        self.derived().iter().for_each(|derived| scrub(text, derived));
    }
}

pub(super) fn scrub(text: &mut String, secret: &str) {
    let digits = secret.bytes().all(|b| b.is_ascii_digit());
    if secret.len() < if digits { SHORTEST_DIGITS } else { SHORTEST_SCRUBBED } {
        return;
    }
    if text.contains(secret) {
        *text = text.replace(secret, REDACTED);
    }
    // Within JSON a secret with quotes, backslashes or control characters is written otherwise.
    if let Ok(written) = serde_json::to_string(secret) {
        let inner = &written[1..written.len() - 1];
        if inner != secret && text.contains(inner) {
            *text = text.replace(inner, REDACTED);
        }
    }
    // An API that repeats the URL of the request repeats the secret as it stood there; some use lower-case digits.
    let encoded = Zeroizing::new(super::rest::percent(secret));
    if *encoded == secret {
        return;
    }
    for form in
        [&encoded, &Zeroizing::new(lower_digits(&encoded)), &Zeroizing::new(encoded.replace("%20", "+"))]
    {
        if text.contains(form.as_str()) {
            *text = text.replace(form.as_str(), REDACTED);
        }
    }
}

/// `%2F` as `%2f`.
fn lower_digits(encoded: &str) -> String {
    let mut digits = 0;
    let lower = |c: char| {
        digits = if c == '%' { 2 } else { i32::max(digits - 1, -1) };
        if digits >= 0 { c.to_ascii_lowercase() } else { c }
    };
    encoded.chars().map(lower).collect()
}

#[cfg(test)]
mod tests {
    use toolmesh_proto::seal::CredentialPlace;

    use super::*;

    fn opened(secrets: &[(&str, &str)]) -> Opened {
        let sealer = Sealer::new(&SecretString::from("join")).unwrap();
        let (tenant, installation) = (TenantId::new(), InstallationId::new());
        let sealed: Vec<_> = secrets
            .iter()
            .map(|(name, secret)| {
                let place = CredentialPlace { tenant, installation, name };
                sealer.seal(place, 1, &SecretString::from(*secret)).unwrap()
            })
            .collect();
        Opened::open(&sealer, tenant, installation, &sealed, &Auth::None)
    }

    fn placed(auth: &Auth, secrets: &[(&str, &str)]) -> (HeaderMap, String) {
        let (mut headers, mut query) = (HeaderMap::new(), String::new());
        headers.insert("x-token", HeaderValue::from_static("an argument"));
        opened(secrets).place(auth).unwrap().apply(&mut headers, &mut query);
        (headers, query)
    }

    #[test]
    fn each_kind_of_credential_goes_to_its_place() {
        let header = |name: &'static str, prefix: &str| Auth::Header {
            credential: "token".into(),
            header: HeaderName::from_static(name),
            prefix: prefix.into(),
        };
        let (headers, _) = placed(&header("authorization", "Bearer "), &[("token", "s3cret")]);
        assert_eq!(headers["authorization"], "Bearer s3cret");
        assert!(headers["authorization"].is_sensitive());

        let (headers, _) = placed(&header("x-token", "key "), &[("token", "s3cret")]);
        assert_eq!(headers["x-token"], "key s3cret");

        let basic = Auth::Basic { username: "user".into(), password: Some("password".into()) };
        let (headers, _) = placed(&basic, &[("user", "ada"), ("password", "pw")]);
        assert_eq!(headers["authorization"], "Basic YWRhOnB3");

        let query = Auth::Query { credential: "token".into(), name: "api_key".into(), prefix: String::new() };
        assert_eq!(placed(&query, &[("token", "a&b")]).1, "api_key=a%26b");
    }

    #[test]
    fn a_credential_that_is_missing_foreign_or_unsendable_is_named_and_not_shown() {
        let auth =
            Auth::Header { credential: "token".into(), header: AUTHORIZATION, prefix: "Bearer ".into() };
        assert_eq!(opened(&[]).place(&auth).err(), Some(CredentialError::Missing("token".into())));
        let error = opened(&[("token", "a\nb")]).place(&auth).err();
        assert_eq!(error, Some(CredentialError::Characters("token".into())));

        let sealer = Sealer::new(&SecretString::from("join")).unwrap();
        let (tenant, installation) = (TenantId::new(), InstallationId::new());
        let place = CredentialPlace { tenant, installation, name: "token" };
        let sealed = [sealer.seal(place, 1, &SecretString::from("s3cret")).unwrap()];
        let foreign = Opened::open(&sealer, TenantId::new(), installation, &sealed, &auth);
        assert_eq!(foreign.place(&auth).err(), Some(CredentialError::Sealed("token".into())));
        assert!(!format!("{foreign:?}").contains("s3cret"));
    }

    #[test]
    fn a_text_is_scrubbed_of_credentials_in_every_form() {
        let opened = opened(&[("token", "se\"cret-token"), ("pin", "123"), ("number", "123456789")]);
        let mut text =
            r#"{"a":"Bearer se\"cret-token","pin":"123","n":9123456789,"raw":"se"cret-token"}"#.to_owned();
        opened.scrub(&mut text);
        assert_eq!(text, r#"{"a":"Bearer [redacted]","pin":"123","n":9123456789,"raw":"[redacted]"}"#);
    }

    #[test]
    fn a_secret_is_scrubbed_as_it_stands_in_a_url() {
        let opened = opened(&[("token", "Aa/ Bb=12")]);
        for form in ["Aa%2F%20Bb%3D12", "Aa%2f%20Bb%3d12", "Aa%2F+Bb%3D12"] {
            let mut text = format!("GET /x?key={form}&q=1");
            opened.scrub(&mut text);
            assert_eq!(text, "GET /x?key=[redacted]&q=1", "{form}");
        }
    }

    fn key(credential: &str, place: v1::api_key_auth::Place) -> v1::ApiKeyAuth {
        v1::ApiKeyAuth { credential: credential.into(), place: Some(place), prefix: String::new() }
    }

    fn beside(also: Vec<v1::ApiKeyAuth>) -> Result<Auth, AuthError> {
        let bearer =
            v1::BearerAuth { credential: "token".into(), prefix: "Bearer ".into(), ..Default::default() };
        let kind = Some(v1::auth::Kind::Bearer(bearer));
        Auth::compile(Some(&v1::Auth { kind, also, optional: false }))
    }

    #[test]
    fn keys_stand_beside_the_credential_and_cookies_before_the_callers() {
        use v1::api_key_auth::Place;
        let also = vec![
            key("app", Place::Header("X-App".into())),
            key("part", Place::Query("part".into())),
            key("sid", Place::Cookie("sid".into())),
        ];
        let auth = beside(also).unwrap();
        let secrets = [("token", "t0ken"), ("app", "my-app"), ("part", "a&b"), ("sid", "c00kie==")];
        let placement = opened(&secrets).place(&auth).unwrap();
        let (mut headers, mut query) = (HeaderMap::new(), "q=1".to_owned());
        headers.insert(COOKIE, HeaderValue::from_static("lang=de"));
        placement.apply(&mut headers, &mut query);
        assert_eq!(
            (headers[AUTHORIZATION].as_bytes(), headers["x-app"].as_bytes()),
            (&b"Bearer t0ken"[..], &b"my-app"[..])
        );
        assert_eq!(
            (headers[COOKIE].to_str().unwrap(), query.as_str()),
            ("sid=c00kie==; lang=de", "q=1&part=a%26b")
        );
        assert!(headers[COOKIE].is_sensitive());
        assert!(opened(&secrets[..3]).place(&auth).is_err(), "one of them is missing");
    }

    #[test]
    fn another_credential_stands_where_the_one_before_stood_and_the_callers_own_stays() {
        use v1::api_key_auth::Place;
        let also = vec![key("part", Place::Query("part".into())), key("sid", Place::Cookie("sid".into()))];
        let auth = beside(also).unwrap();
        let placement = |secrets: &[(&str, &str)]| opened(secrets).place(&auth).unwrap();
        let old = placement(&[("token", "old"), ("part", "a&b"), ("sid", "c1")]);
        let new = placement(&[("token", "new"), ("part", "c d"), ("sid", "c2")]);
        for (query, cookies, expected) in [
            ("q=1", Some("lang=de"), ("q=1&part=c%20d", "sid=c2; lang=de")),
            ("", None, ("part=c%20d", "sid=c2")),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(cookies) = cookies {
                headers.insert(COOKIE, HeaderValue::from_static(cookies));
            }
            let mut query = query.to_owned();
            old.apply(&mut headers, &mut query);
            let mut url = Url::parse(&format!("https://api.example/x?{query}")).unwrap();
            new.replace(&old, &mut headers, &mut url);
            assert_eq!((url.query().unwrap(), headers[COOKIE].to_str().unwrap()), expected);
            assert_eq!(headers[AUTHORIZATION], "Bearer new");
        }
    }

    #[test]
    fn a_cookies_value_cannot_hold_a_second_cookie() {
        let auth = beside(vec![key("sid", v1::api_key_auth::Place::Cookie("sid".into()))]).unwrap();
        for bad in ["a; admin=1", "a b", "a\r\nX: y", "a,b", "ä"] {
            let error = opened(&[("token", "t"), ("sid", bad)]).place(&auth).err();
            assert_eq!(error, Some(CredentialError::Characters("sid".into())), "{bad}");
        }
        assert!(beside(vec![key("sid", v1::api_key_auth::Place::Cookie("a;b".into()))]).is_err());
    }

    #[test]
    fn a_users_name_beside_a_password_is_no_secret() {
        let auth = |password: Option<&str>| Auth::Basic {
            username: "user".into(),
            password: password.map(str::to_owned),
        };
        assert!(auth(Some("password")).is_public("user") && !auth(Some("password")).is_public("password"));
        assert!(!auth(None).is_public("user"), "some APIs take their key as the name");
    }
}
