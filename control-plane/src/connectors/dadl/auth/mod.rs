//! How an API wants its credential, and which fields a person fills in for it. The kinds that get what they show from a login
//! stand in files of their own.

mod oauth2;
mod session;

use toolmesh_proto::v1;
use toolmesh_proto::v1::auth::Kind;

use super::diagnostic::{Report, quote};
use super::fields::{Field, Fields, one_of};
use super::{CredentialField, headers, text};

/// The last is another spelling of the third.
const TYPES: &[&str] = &["bearer", "basic", "apikey", "oauth2", "session", "none", "api_key"];

/// Keys that say something in one kind alone; in another they are a mistake that nobody could make sense of.
const OAUTH2_ALONE: &[&str] = &[
    "flow",
    "token_url",
    "authorize_url",
    "client_id_credential",
    "client_secret_credential",
    "refresh_token_credential",
    "rotates_refresh_token",
    "service_account_credential",
    "subject",
    "scopes",
    "token_auth",
    "authorization_params",
    "redirect_uri",
    "token_cache_key",
    "refresh_before_expiry",
];
const SESSION_ALONE: &[&str] = &["login", "inject", "refresh"];

/// The name that stands for "no secret".
const NO_CREDENTIAL: &str = "none";

/// What the document says about authentication.
#[derive(Debug)]
pub(super) struct Auth {
    pub kind: Kind,
    pub credentials: Vec<CredentialField>,
    /// `x-optional`: without a credential, calls leave as they are.
    pub optional: bool,
}

impl Auth {
    const fn nothing() -> Self {
        Self { kind: Kind::None(v1::NoAuth {}), credentials: Vec::new(), optional: false }
    }

    /// Whether a header parameter of this name would collide with the credential.
    pub(super) fn owns_header(&self, name: &str) -> bool {
        let header = match &self.kind {
            Kind::Bearer(bearer) => bearer.header.as_str(),
            Kind::Oauth2(oauth2) => oauth2.header.as_str(),
            Kind::Session(session) => {
                return name.eq_ignore_ascii_case("cookie")
                    || session.inject.iter().any(|own| own.name.eq_ignore_ascii_case(name));
            }
            Kind::ApiKey(v1::ApiKeyAuth { place: Some(v1::api_key_auth::Place::Header(header)), .. }) => {
                header
            }
            Kind::Basic(_) => "authorization",
            Kind::ApiKey(_) | Kind::None(_) => return false,
        };
        header.eq_ignore_ascii_case(name)
    }

    /// Whether a query parameter of this name would collide with the credential.
    pub(super) fn owns_query(&self, name: &str) -> bool {
        matches!(&self.kind, Kind::ApiKey(v1::ApiKeyAuth { place: Some(v1::api_key_auth::Place::Query(own)), .. })
            if own == name)
    }
}

pub(super) fn read(field: Option<Field<'_>>, report: &mut Report) -> Auth {
    let Some(field) = field else { return Auth::nothing() };
    let Some(mut fields) = field.fields(report) else { return Auth::nothing() };
    let Some(kind) = fields.get("type") else {
        field.warn(report, "names no type, so that no credential is sent", one_of(&TYPES[..6]));
        fields.finish(report);
        return Auth::nothing();
    };
    let word = kind.text(report).unwrap_or_default();
    match word.as_str() {
        "oauth2" => refuse_keys(&mut fields, &[SESSION_ALONE, &SECRETS], &word, report),
        "session" => refuse_keys(&mut fields, &[OAUTH2_ALONE, &["credential"]], &word, report),
        _ => refuse_keys(&mut fields, &[OAUTH2_ALONE, SESSION_ALONE], &word, report),
    }
    let auth = match word.as_str() {
        "bearer" => bearer(&mut fields, report),
        "basic" => basic(&mut fields, report),
        "apikey" | "api_key" => api_key(&mut fields, report),
        "oauth2" => oauth2::read(&mut fields, report),
        "session" => session::read(&mut fields, report),
        "none" => Some(Auth::nothing()),
        "" => None,
        other => {
            kind.error(
                report,
                format!("{} is not a kind of authentication", quote(other)),
                one_of(&TYPES[..6]),
            );
            return Auth::nothing();
        }
    };
    let mut auth = auth.unwrap_or_else(Auth::nothing);
    if fields.boolean("x-optional", report) == Some(true) {
        make_optional(&kind, &mut auth, report);
    }
    fields.finish(report);
    auth
}

/// Many servers ask for no credential at home and for one behind a proxy; what a login is for is never optional.
fn make_optional(kind: &Field<'_>, auth: &mut Auth, report: &mut Report) {
    if !matches!(auth.kind, Kind::Bearer(_) | Kind::Basic(_) | Kind::ApiKey(_)) {
        kind.error(report, "cannot be optional", "take x-optional out; bearer, basic and apikey may have it");
        return;
    }
    auth.optional = true;
    for credential in &mut auth.credentials {
        credential.optional = true;
    }
}

/// Names of credentials that OAuth 2 has its own keys for.
const SECRETS: [&str; 3] = ["credential", "username_credential", "password_credential"];

/// Reports keys that belong to another kind.
fn refuse_keys(fields: &mut Fields<'_>, keys: &[&[&'static str]], kind: &str, report: &mut Report) {
    for key in keys.iter().copied().flatten() {
        if let Some(field) = fields.take(key) {
            let help = format!("take it out, or name another `type` than {kind}");
            field.error(report, format!("is not for {} authentication", quote(kind)), help);
        }
    }
}

fn bearer(fields: &mut Fields<'_>, report: &mut Report) -> Option<Auth> {
    let credential = credential(fields, "credential", true, report);
    let header = header(fields, "Authorization", report);
    let prefix = prefix(fields, report);
    fields.skip(&["query_param", "username_credential", "password_credential"]);
    if let Some(place) = fields.get("inject_into")
        && fields.word("inject_into", &["header", "query"], report) == Some("query")
    {
        let help = "use `type: apikey` with `query_param` for a key in the query";
        place.warn(report, "a bearer token goes into a header; this is ignored", help);
    }
    let name = credential?;
    if name == NO_CREDENTIAL {
        return Some(Auth::nothing());
    }
    let (header, prefix) = (header?, prefix?.unwrap_or_else(|| "Bearer ".to_owned()));
    let help = format!("Sent as `{header}: {prefix}…` with every call.");
    let credentials = vec![CredentialField::secret(&name, help)];
    let kind = Kind::Bearer(v1::BearerAuth { credential: name, header, prefix });
    Some(Auth { kind, credentials, optional: false })
}

fn basic(fields: &mut Fields<'_>, report: &mut Report) -> Option<Auth> {
    let username = credential(fields, "username_credential", true, report);
    let password = credential(fields, "password_credential", false, report);
    fields.skip(&["credential", "inject_into", "query_param"]);
    for ignored in ["header_name", "prefix"] {
        if let Some(field) = fields.get(ignored) {
            field.warn(report, "has no effect on basic authentication", "");
        }
    }
    let username = username?;
    if username == NO_CREDENTIAL {
        return Some(Auth::nothing());
    }
    let password = password.filter(|name| name != NO_CREDENTIAL).unwrap_or_default();
    let mut user_field =
        CredentialField::secret(&username, "User name of HTTP basic authentication.".to_owned());
    user_field.secret = false;
    let mut credentials = vec![user_field];
    if !password.is_empty() && password != username {
        let help = "Password, or the token that stands for it.".to_owned();
        credentials.push(CredentialField::secret(&password, help));
    }
    let kind = Kind::Basic(v1::BasicAuth { username_credential: username, password_credential: password });
    Some(Auth { kind, credentials, optional: false })
}

fn api_key(fields: &mut Fields<'_>, report: &mut Report) -> Option<Auth> {
    let credential = credential(fields, "credential", true, report);
    let place = fields.word("inject_into", &["header", "query"], report).unwrap_or("header");
    let header = header(fields, "X-API-Key", report);
    let prefix = prefix(fields, report);
    let query = fields.get("query_param");
    fields.skip(&["username_credential", "password_credential"]);
    let name = credential?;
    if name == NO_CREDENTIAL {
        return Some(Auth::nothing());
    }
    let prefix = prefix?.unwrap_or_default();
    let (place, help) = if place == "query" {
        let Some(query) = query.and_then(|field| field.text(report)).filter(|name| !name.is_empty()) else {
            let help = "name the query parameter that carries the key";
            report.error(fields.at, &format!("{}.query_param", fields.path), "is missing", help);
            return None;
        };
        let help = format!("Sent as `?{query}=…` with every call.");
        (v1::api_key_auth::Place::Query(query), help)
    } else {
        let header = header?;
        let help = format!("Sent as `{header}: {prefix}…` with every call.");
        (v1::api_key_auth::Place::Header(header), help)
    };
    let credentials = vec![CredentialField::secret(&name, help)];
    let kind = Kind::ApiKey(v1::ApiKeyAuth { credential: name, place: Some(place), prefix });
    Some(Auth { kind, credentials, optional: false })
}

/// Reads the logical name of a credential.
fn credential(
    fields: &mut Fields<'_>,
    key: &'static str,
    needed: bool,
    report: &mut Report,
) -> Option<String> {
    let help = "give the credential a name, such as `api_token`, or `none` where there is no secret";
    let field = if needed { fields.need(key, report, help) } else { fields.get(key) }?;
    credential_name(&field, report)
}

/// A value that is the logical name of a credential.
fn credential_name(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let name = field.text(report)?;
    if !is_credential_name(&name) {
        let message = format!("{} is not a name of a credential", quote(&name));
        field.error(
            report,
            message,
            "use letters, digits and `_`; the secret itself is never written in a file",
        );
        return None;
    }
    Some(name)
}

fn is_credential_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/'))
}

/// The header that carries the credential; `None` after an error.
fn header(fields: &mut Fields<'_>, default: &str, report: &mut Report) -> Option<String> {
    let Some(field) = fields.get("header_name") else { return Some(default.to_owned()) };
    let name = field.text(report)?;
    if name.is_empty() {
        return Some(default.to_owned());
    }
    if !headers::may_carry_a_credential(&name) {
        field.error(report, format!("{} cannot carry a credential", quote(&name)), "name another header");
        return None;
    }
    Some(name)
}

/// The prefix as it is written; an empty one stays empty. The outer `None` comes after an error.
fn prefix(fields: &mut Fields<'_>, report: &mut Report) -> Option<Option<String>> {
    let Some(field) = fields.get("prefix") else { return Some(None) };
    let text = field.text(report)?;
    if !headers::is_value(&text) {
        field.error(report, "holds characters that no header may hold", "");
        return None;
    }
    Some(Some(text))
}

impl CredentialField {
    fn secret(name: &str, help: String) -> Self {
        let label = text::title(name);
        Self { name: name.to_owned(), label, help, optional: false, secret: true }
    }
}
