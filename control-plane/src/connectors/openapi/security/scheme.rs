//! One security scheme: how it is shown, and what DADL says of it.

use serde_json::{Map, Value as Json, json};
use url::Url;

use super::super::super::dadl;
use super::super::{Document, names, one_line, params, refs, servers};

/// Authentication schemes of HTTP (IANA's registry) that are more than a token after a word.
const MORE_THAN_A_TOKEN: &[&str] = &[
    "concealed",
    "digest",
    "dpop",
    "gnap",
    "hoba",
    "mutual",
    "negotiate",
    "oauth",
    "privatetoken",
    "scram-sha-1",
    "scram-sha-256",
    "vapid",
];
const MAX_SCHEMES: usize = 100;

/// A scheme of the document.
#[derive(Debug)]
pub(super) struct Scheme<'a> {
    pub name: &'a str,
    json: &'a Json,
    pub way: Way,
}

/// How a scheme is shown. What is equal is the same to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Basic,
    /// `Authorization: WORD token`.
    Token(String),
    Header(String),
    Query(String),
    Cookie(String),
    /// An access token, got by the flow.
    OAuth2(Flow),
    /// Why it cannot be shown; completes the sentence that begins with its name.
    Unknown(&'static str),
}

/// A flow that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// As DADL names it.
    word: &'static str,
    token_url: String,
    authorize_url: String,
}

/// The schemes of a document, in its order.
pub(super) fn all(document: &Document) -> Vec<Scheme<'_>> {
    let pointer = if document.swagger { "/securityDefinitions" } else { "/components/securitySchemes" };
    let all = document.root.pointer(pointer).and_then(Json::as_object);
    all.into_iter()
        .flatten()
        .take(MAX_SCHEMES)
        .filter_map(|(name, scheme)| {
            let json = refs::follow(&document.root, scheme).ok()?;
            Some(Scheme { name, json, way: way(document, json) })
        })
        .collect()
}

fn way(document: &Document, json: &Json) -> Way {
    let text = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default();
    let name = text("name");
    match (text("type").to_ascii_lowercase().as_str(), text("in")) {
        ("basic", _) => Way::Basic,
        ("http", _) => http(text("scheme")),
        ("apikey", "header") if dadl::may_carry_a_credential(name) => Way::Header(name.to_ascii_lowercase()),
        ("apikey", "query") if params::is_sendable(name) => Way::Query(name.to_owned()),
        ("apikey", "cookie") if params::is_cookie_name(name) => Way::Cookie(name.to_owned()),
        ("apikey", _) => Way::Unknown("names no place that a key can go to"),
        ("oauth2", _) => flow(document, json).map_or_else(|| Way::Token("Bearer".to_owned()), Way::OAuth2),
        ("openidconnect", _) => Way::Token("Bearer".to_owned()),
        ("mutualtls", _) => Way::Unknown("is a certificate of the client"),
        _ => Way::Unknown("is of a kind that is not known"),
    }
}

fn http(word: &str) -> Way {
    let lower = word.to_ascii_lowercase();
    match lower.as_str() {
        "basic" => Way::Basic,
        "bearer" => Way::Token("Bearer".to_owned()),
        other if MORE_THAN_A_TOKEN.contains(&other) => {
            Way::Unknown("is signed or negotiated anew with each call")
        }
        other if http::HeaderName::try_from(other).is_ok() => Way::Token(word.to_owned()),
        _ => Way::Unknown("names no scheme of HTTP"),
    }
}

/// The flow that is carried out: people's consent before an application's own access.
fn flow(document: &Document, json: &Json) -> Option<Flow> {
    let flows = json.get("flows").unwrap_or(json);
    // Swagger 2.0 has one flow, in the scheme itself.
    let named = |new: &str, old: &str| match json.get("flow").and_then(Json::as_str) {
        Some(flow) => Some(json).filter(|_| flow == old),
        None => flows.get(new),
    };
    let url = |flow: &Json, key: &str| address(document, flow.get(key)?.as_str()?);
    let consent = named("authorizationCode", "accessCode").and_then(|flow| {
        let (token_url, authorize_url) = (url(flow, "tokenUrl")?, url(flow, "authorizationUrl")?);
        Some(Flow { word: "authorization_code", token_url, authorize_url })
    });
    consent.or_else(|| {
        let token_url = url(named("clientCredentials", "application")?, "tokenUrl")?;
        Some(Flow { word: "client_credentials", token_url, authorize_url: String::new() })
    })
}

/// An address of a provider, whole, or a path at the API's own origin where the document leaves that open.
fn address(document: &Document, text: &str) -> Option<String> {
    let text = text.trim();
    if text.contains(['{', '}', '\\', '#']) || text.len() > 1_500 {
        return None;
    }
    let base = Url::parse(&servers::base_url(document).url).ok();
    match Url::parse(text).ok().or_else(|| base?.join(text).ok()) {
        Some(url) => {
            let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
            (matches!(url.scheme(), "https" | "http") && plain).then(|| url.to_string())
        }
        None => (text.starts_with('/') && !text.starts_with("//")).then(|| text.to_owned()),
    }
}

/// Whether a text can be a scope (RFC 6749, section 3.3).
pub(super) fn is_scope(text: &str) -> bool {
    (1..=300).contains(&text.len()) && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

impl Way {
    pub(super) const fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    /// A plain key, which can stand beside another credential.
    pub(super) const fn is_key(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Query(_) | Self::Cookie(_))
    }

    pub(super) const fn may_be_optional(&self) -> bool {
        matches!(self, Self::Basic | Self::Token(_)) || self.is_key()
    }

    /// What is simplest to give is the lowest.
    pub(super) const fn preference(&self) -> u8 {
        match self {
            Self::Token(_) => 0,
            Self::Header(_) => 1,
            Self::Query(_) => 2,
            Self::OAuth2(_) => 3,
            Self::Basic => 4,
            Self::Cookie(_) => 5,
            Self::Unknown(_) => 9,
        }
    }

    /// Whether two cannot be in one request.
    pub(super) fn collides(&self, other: &Self) -> bool {
        let header = |way: &Self| match way {
            Self::Basic | Self::Token(_) | Self::OAuth2(_) => Some("authorization".to_owned()),
            Self::Header(name) => Some(name.clone()),
            _ => None,
        };
        let cookie =
            |way: &Self| matches!(way, Self::Cookie(_)) || header(way).is_some_and(|name| name == "cookie");
        match (self, other) {
            (Self::Cookie(one), Self::Cookie(other)) => one.eq_ignore_ascii_case(other),
            (Self::Query(one), Self::Query(other)) => one == other,
            _ => {
                (cookie(self) && cookie(other)) || header(self).is_some_and(|own| header(other) == Some(own))
            }
        }
    }
}

impl Scheme<'_> {
    fn text(&self, key: &str) -> &str {
        self.json.get(key).and_then(Json::as_str).unwrap_or_default()
    }

    /// Why it cannot be shown.
    pub(super) fn problem(&self) -> Option<String> {
        match self.way {
            Way::Unknown(reason) => Some(format!("{} {reason}", one_line(self.name, 40))),
            _ => None,
        }
    }

    /// The credential's logical name: its own word where it is one of several.
    pub(super) fn credential(&self, among: bool) -> String {
        let usual = if self.way.is_key() { "api_key" } else { "access_token" };
        let own = names::snake(self.name);
        let own = own.get(..own.len().min(48)).unwrap_or_default().trim_matches('_');
        if among && !own.is_empty() && self.way.is_key() { own.to_owned() } else { usual.to_owned() }
    }

    /// What the document says of getting it.
    pub(super) fn step(&self, among: bool) -> Option<String> {
        let described = one_line(self.text("description"), 400);
        let said = match described.as_str() {
            "" if self.text("type").eq_ignore_ascii_case("openIdConnect") => {
                format!("Get an access token from the provider that {} describes.", self.discovery()?)
            }
            "" => return None,
            _ => described,
        };
        Some(if among { format!("{}: {said}", one_line(self.name, 60)) } else { said })
    }

    fn discovery(&self) -> Option<String> {
        let url = Url::parse(self.text("openIdConnectUrl")).ok()?;
        matches!(url.scheme(), "https" | "http").then(|| one_line(url.as_str(), 300))
    }

    /// DADL's `auth` for it.
    pub(super) fn lines(&self, credential: &str, scopes: &[String]) -> Vec<(&'static str, Json)> {
        match &self.way {
            Way::Basic => vec![
                ("type", "basic".into()),
                ("username_credential", "username".into()),
                ("password_credential", "password".into()),
            ],
            Way::Token(word) if word == "Bearer" => {
                vec![("type", "bearer".into()), ("credential", credential.into())]
            }
            Way::Token(word) => vec![
                ("type", "bearer".into()),
                ("credential", credential.into()),
                ("prefix", format!("{word} ").into()),
            ],
            Way::OAuth2(flow) => flow.lines(scopes),
            _ => {
                let mut lines = vec![("type", json!("apikey"))];
                lines.extend(self.key(credential));
                lines
            }
        }
    }

    fn key(&self, credential: &str) -> Vec<(&'static str, Json)> {
        let mut lines = vec![("credential", json!(credential))];
        // A header is named as the document spells it.
        let name = json!(self.text("name"));
        match &self.way {
            Way::Query(_) => lines.extend([("inject_into", json!("query")), ("query_param", name)]),
            Way::Cookie(_) => lines.push(("x-cookie", name)),
            _ => lines.push(("header_name", name)),
        }
        lines
    }

    /// The same as a key beside another credential.
    pub(super) fn key_lines(&self, credential: &str) -> Map<String, Json> {
        self.key(credential).into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// What an admin should know of it.
    pub(super) fn note(&self) -> Option<String> {
        let kind = self.text("type").to_ascii_lowercase();
        match (kind.as_str(), &self.way) {
            ("oauth2", Way::OAuth2(flow)) if flow.word == "authorization_code" => Some(
                "The document asks for OAuth 2: register an app at the provider and enter its client id and secret when you \
                 enable the connector."
                    .to_owned(),
            ),
            ("oauth2", Way::Token(_)) => {
                let flows = self.json.get("flows").and_then(Json::as_object);
                let named = flows.map(|flows| flows.keys().take(6).cloned().collect::<Vec<_>>().join(", "));
                let named = named.unwrap_or_else(|| self.text("flow").to_owned());
                Some(format!(
                    "The document asks for OAuth 2 by a flow that is not carried out here ({}). Give an access token, or edit \
                     `auth` to have one fetched.",
                    one_line(&named, 120)
                ))
            }
            ("openidconnect", _) => {
                let place = self.discovery().map(|url| format!(" ({url})")).unwrap_or_default();
                Some(format!(
                    "The document asks for OpenID Connect{place}, whose addresses are not in it. Give an access token, or edit \
                     `auth` to have one fetched."
                ))
            }
            _ => None,
        }
    }

    /// Names of scopes, from every flow.
    pub(super) fn all_scopes(&self) -> Vec<String> {
        let flows = self.json.get("flows").and_then(Json::as_object);
        let mut all: Vec<&Json> = flows.into_iter().flat_map(Map::values).collect();
        // Swagger 2.0 has one flow in the scheme itself.
        all.push(self.json);
        let mut names: Vec<String> = Vec::new();
        for scope in all.iter().filter_map(|flow| flow.get("scopes")?.as_object()).flat_map(Map::keys) {
            if is_scope(scope) && !names.contains(scope) && names.len() < 200 {
                names.push(scope.clone());
            }
        }
        names
    }
}

impl Flow {
    fn lines(&self, scopes: &[String]) -> Vec<(&'static str, Json)> {
        let mut lines = vec![("type", json!("oauth2")), ("flow", json!(self.word))];
        if !self.authorize_url.is_empty() {
            lines.push(("authorize_url", json!(self.authorize_url)));
        }
        lines.push(("token_url", json!(self.token_url)));
        lines.push(("client_id_credential", json!("client_id")));
        lines.push(("client_secret_credential", json!("client_secret")));
        if self.word == "authorization_code" {
            lines.push(("refresh_token_credential", json!("refresh_token")));
        }
        if !scopes.is_empty() {
            lines.push(("scopes", json!(scopes)));
        }
        lines
    }
}
