//! `type: oauth2`: which flow gets the access token, where, and with which credentials.
//!
//! Every flow needs keys of its own and has no use for some of the others; the table of [`Keys`] says which. Beyond the
//! language: `token_url` and `authorize_url` may begin with `/`, for APIs that everybody hosts themselves, and `header_name`
//! and `prefix` hold for access tokens too; `x-revoke-url` says where the tokens of somebody's consent are taken back. A
//! `redirect_uri` has no effect: people come back to the console.

use std::time::Duration;

use toolmesh_proto::v1;
use toolmesh_proto::v1::auth::Kind;
use toolmesh_proto::v1::o_auth2_auth::Flow;
use url::Url;

use super::super::CredentialField;
use super::super::diagnostic::{Report, quote};
use super::super::fields::{Field, Fields};
use super::{Auth, credential, header, prefix};

const FLOWS: &[&str] = &["client_credentials", "refresh_token", "jwt_bearer", "authorization_code"];

/// How long before its end a token is replaced, where a document does not say.
const REFRESH_BEFORE: Duration = Duration::from_secs(30);
/// The longest that makes sense; most tokens live an hour.
const MOST_BEFORE: Duration = Duration::from_secs(30 * 60);

/// Longest list of scopes, and of parameters.
const MAX_LISTED: usize = 100;

/// Parameters of the address that a person is sent to which the console fills in.
const OWN_PARAMS: &[&str] = &[
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "redirect_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// What a flow does with a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Needed,
    Optional,
    /// Known, and without effect.
    Idle,
}

/// What a flow does with the keys that not every flow has.
struct Keys {
    token_url: Use,
    client: Use,
    secret: Use,
    refresh: Use,
    service_account: Use,
    authorize: Use,
    revoke: Use,
}

impl Keys {
    const fn of(flow: Flow) -> Self {
        use Use::{Idle, Needed, Optional};
        match flow {
            Flow::Unspecified | Flow::ClientCredentials => Self {
                token_url: Needed,
                client: Needed,
                secret: Needed,
                refresh: Idle,
                service_account: Idle,
                authorize: Idle,
                revoke: Idle,
            },
            Flow::RefreshToken => Self {
                token_url: Needed,
                client: Needed,
                secret: Optional,
                refresh: Needed,
                service_account: Idle,
                authorize: Idle,
                revoke: Idle,
            },
            Flow::JwtBearer => Self {
                token_url: Optional,
                client: Idle,
                secret: Idle,
                refresh: Idle,
                service_account: Needed,
                authorize: Idle,
                revoke: Idle,
            },
            Flow::AuthorizationCode => Self {
                token_url: Needed,
                client: Needed,
                secret: Optional,
                refresh: Needed,
                service_account: Idle,
                authorize: Needed,
                revoke: Optional,
            },
        }
    }
}

/// Reads the block; `None` only after errors.
pub(super) fn read(fields: &mut Fields<'_>, report: &mut Report) -> Option<Auth> {
    let had = report.error_count();
    let flow = match fields.word("flow", FLOWS, report) {
        Some("refresh_token") => Flow::RefreshToken,
        Some("jwt_bearer") => Flow::JwtBearer,
        Some("authorization_code") => Flow::AuthorizationCode,
        _ => Flow::ClientCredentials,
    };
    let keys = Keys::of(flow);
    let named = |fields: &mut Fields<'_>, key, wanted, report: &mut Report| match wanted {
        Use::Idle => idle(fields, key, report),
        wanted => credential(fields, key, wanted == Use::Needed, report).unwrap_or_default(),
    };
    let oauth2 = v1::OAuth2Auth {
        flow: flow.into(),
        token_url: address(fields, "token_url", keys.token_url, report),
        authorize_url: address(fields, "authorize_url", keys.authorize, report),
        client_id_credential: named(fields, "client_id_credential", keys.client, report),
        client_secret_credential: named(fields, "client_secret_credential", keys.secret, report),
        refresh_token_credential: named(fields, "refresh_token_credential", keys.refresh, report),
        service_account_credential: named(fields, "service_account_credential", keys.service_account, report),
        rotates_refresh_token: fields.boolean("rotates_refresh_token", report).unwrap_or_default(),
        subject: fields.text("subject", report).unwrap_or_default(),
        scopes: fields.get("scopes").map(|field| scopes(&field, report)).unwrap_or_default(),
        basic_client_auth: fields.word("token_auth", &["post", "basic"], report) == Some("basic"),
        authorization_params: fields
            .get("authorization_params")
            .map(|field| authorization_params(&field, report))
            .unwrap_or_default(),
        refresh_before_seconds: refresh_before(fields, report),
        revoke_url: address(fields, "x-revoke-url", keys.revoke, report),
        header: header(fields, "Authorization", report).unwrap_or_default(),
        prefix: prefix(fields, report).flatten().unwrap_or_else(|| "Bearer ".to_owned()),
    };
    fields.skip(&["token_cache_key", "inject_into", "query_param"]);
    if let Some(field) = fields.get("redirect_uri") {
        field.warn(report, "has no effect: the console has an address of its own that it shows", "");
    }
    if oauth2.basic_client_auth && oauth2.client_secret_credential.is_empty() && flow != Flow::JwtBearer {
        let help = "name the `client_secret_credential`, or take `token_auth` out";
        report.error(fields.at, &format!("{}.token_auth", fields.path), "needs a client secret", help);
    }
    let credentials = asked_for(&oauth2, flow);
    (report.error_count() == had).then(|| Auth::of(Kind::Oauth2(oauth2), credentials))
}

/// A key that another flow uses.
fn idle(fields: &mut Fields<'_>, key: &'static str, report: &mut Report) -> String {
    if let Some(field) = fields.get(key) {
        field.warn(report, "has no effect in this flow", "");
    }
    String::new()
}

/// A web address, or a path at the origin of the base URL.
fn address(fields: &mut Fields<'_>, key: &'static str, wanted: Use, report: &mut Report) -> String {
    let help = "write it as https://host/path, or as /path where the API is self-hosted";
    let field = match wanted {
        Use::Idle => return idle(fields, key, report),
        Use::Needed => fields.need(key, report, help),
        Use::Optional => fields.get(key),
    };
    let Some(field) = field else { return String::new() };
    let Some(text) = field.text(report) else { return String::new() };
    let text = text.trim();
    let own = text.starts_with('/') && !text.starts_with("//") && !text.contains(['\\', '#']);
    let problem = match Url::parse(text) {
        _ if text.len() > 2000 => Some("is longer than 2000 characters"),
        Err(_) if own => None,
        Err(_) => Some("is not a URL"),
        Ok(url) if !matches!(url.scheme(), "https" | "http") => Some("must start with https://"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Some("must not hold a user name or password")
        }
        Ok(url) if url.fragment().is_some() => Some("must not hold `#`"),
        Ok(_) => None,
    };
    if let Some(problem) = problem {
        field.error(report, problem, help);
        return String::new();
    }
    text.to_owned()
}

/// Scopes, each as RFC 6749 allows them: they are joined by spaces.
fn scopes(field: &Field<'_>, report: &mut Report) -> Vec<String> {
    let items = field.items(report);
    if items.len() > MAX_LISTED {
        field.error(report, format!("holds more than {MAX_LISTED} scopes"), "");
        return Vec::new();
    }
    let mut scopes = Vec::new();
    for item in items {
        let Some(scope) = item.text(report) else { continue };
        let fits = !scope.is_empty() && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if fits {
            scopes.push(scope);
        } else {
            let help = "write each scope as its own item, without spaces";
            item.error(report, format!("{} is not a scope", quote(&scope)), help);
        }
    }
    scopes
}

fn authorization_params(field: &Field<'_>, report: &mut Report) -> Vec<v1::Header> {
    let mut params = Vec::new();
    for (key, child) in field.children(report) {
        let Some(value) = child.text(report) else { continue };
        if OWN_PARAMS.contains(&key.name.as_str()) {
            report.error(key.at, &child.path, "is filled in by the console", "take it out");
        } else if params.len() >= MAX_LISTED {
            child.error(report, format!("is beyond the {MAX_LISTED} parameters that are read"), "");
            break;
        } else {
            params.push(v1::Header { name: key.name.clone(), value });
        }
    }
    params
}

fn refresh_before(fields: &mut Fields<'_>, report: &mut Report) -> u32 {
    let read = |field: Field<'_>, report: &mut Report| {
        let text = field.text(report)?;
        let found = duration(&text).filter(|found| *found <= MOST_BEFORE);
        if found.is_none() {
            field.error(
                report,
                format!("{} is not a span of time", quote(&text)),
                "write 30s, or 5m at most 30m",
            );
        }
        found
    };
    let found = fields.get("refresh_before_expiry").and_then(|field| read(field, report));
    u32::try_from(found.unwrap_or(REFRESH_BEFORE).as_secs()).unwrap_or(30)
}

/// `90s`, `5m` or `1m30s`; a bare number counts seconds.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds)?)?;
        rest = next;
    }
    (total > 0).then(|| Duration::from_secs(total))
}

/// The fields that an admin fills in. The refresh token of a person's consent is none of them: it comes back with the person.
fn asked_for(oauth2: &v1::OAuth2Auth, flow: Flow) -> Vec<CredentialField> {
    let mut asked = Vec::new();
    let mut ask = |name: &str, help: &str, secret: bool| {
        if !name.is_empty() && asked.iter().all(|known: &CredentialField| known.name != name) {
            let field = CredentialField::secret(name, help.to_owned());
            asked.push(CredentialField { secret, ..field });
        }
    };
    ask(
        &oauth2.client_id_credential,
        "Names ToolMesh to the provider: the client id of an OAuth app that you register there.",
        false,
    );
    ask(
        &oauth2.client_secret_credential,
        "The secret of that OAuth app. It stays in the control plane.",
        true,
    );
    if flow == Flow::RefreshToken {
        let help = if oauth2.rotates_refresh_token {
            "Exchanged for access tokens. It changes with each use and is then kept here alone."
        } else {
            "Exchanged for access tokens. It stays in the control plane."
        };
        ask(&oauth2.refresh_token_credential, help, true);
    }
    ask(
        &oauth2.service_account_credential,
        "The whole JSON key file of the service account, with client_email and private_key in it.",
        true,
    );
    asked
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn spans_of_time_are_read_as_people_write_them() {
        for (text, seconds) in
            [("30s", Some(30)), ("5m", Some(300)), ("1m30s", Some(90)), ("1h", Some(3600)), ("45", Some(45))]
        {
            assert_eq!(duration(text).map(|d| d.as_secs()), seconds, "{text}");
        }
        for bad in ["", "s", "5x", "m5", "-3s", "99999999999999999999h", "5ms"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
