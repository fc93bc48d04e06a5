//! How an API wants its credential, and which fields a person fills in for it. The kinds that get what they show from a login
//! stand in files of their own.

mod keys;
mod oauth2;
mod session;

use toolmesh_proto::v1;
use toolmesh_proto::v1::api_key_auth::Place;
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
    /// `x-also`: keys that are shown beside it.
    pub also: Vec<v1::ApiKeyAuth>,
}

impl Auth {
    const fn nothing() -> Self {
        Self::of(Kind::None(v1::NoAuth {}), Vec::new())
    }

    const fn of(kind: Kind, credentials: Vec<CredentialField>) -> Self {
        Self { kind, credentials, optional: false, also: Vec::new() }
    }

    /// Where keys go, the only one or those beside another credential.
    fn keys(&self) -> impl Iterator<Item = &Place> {
        let own = match &self.kind {
            Kind::ApiKey(key) => Some(key),
            _ => None,
        };
        own.into_iter().chain(&self.also).filter_map(|key| key.place.as_ref())
    }

    /// Whether a header parameter of this name would collide with the credential.
    pub(super) fn owns_header(&self, name: &str) -> bool {
        let same = |own: &str| own.eq_ignore_ascii_case(name);
        let own = match &self.kind {
            Kind::Bearer(bearer) => same(&bearer.header),
            Kind::Oauth2(oauth2) => same(&oauth2.header),
            Kind::Session(session) => same("cookie") || session.inject.iter().any(|own| same(&own.name)),
            Kind::Basic(_) => same("authorization"),
            Kind::ApiKey(_) | Kind::None(_) => false,
        };
        own || self.keys().any(|place| matches!(place, Place::Header(header) if same(header)))
    }

    /// Whether a query parameter of this name would collide with the credential.
    pub(super) fn owns_query(&self, name: &str) -> bool {
        self.keys().any(|place| matches!(place, Place::Query(own) if own == name))
    }

    /// Whether a cookie of this name would collide with the credential: it is the same, or the whole header is the credential's.
    pub(super) fn owns_cookie(&self, name: &str) -> bool {
        let same = |place: &Place| matches!(place, Place::Cookie(own) if own.eq_ignore_ascii_case(name));
        self.owns_header("cookie") || self.keys().any(same)
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
        "apikey" | "api_key" => keys::read(&mut fields, report),
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
    let also = fields.get("x-also");
    let Some(mut auth) = auth else {
        fields.finish(report);
        return Auth::nothing();
    };
    if let Some(also) = also {
        keys::read_also(&also, &mut auth, report);
    }
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
    let help = format!("Sent as {header}: {prefix}… with every call.");
    let credentials = vec![CredentialField::secret(&name, help)];
    let kind = Kind::Bearer(v1::BearerAuth { credential: name, header, prefix });
    Some(Auth::of(kind, credentials))
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
    Some(Auth::of(kind, credentials))
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
