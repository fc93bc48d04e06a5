//! `type: apikey`, and `x-also`: keys that are shown beside the credential, such as the id of an application.
//!
//! A key goes into a header, the query, or, beyond the language, a cookie (`x-cookie`).

use toolmesh_proto::v1::api_key_auth::Place;
use toolmesh_proto::v1::auth::Kind;
use toolmesh_proto::v1::{self, ApiKeyAuth};

use super::super::CredentialField;
use super::super::diagnostic::{Report, quote};
use super::super::fields::{Field, Fields};
use super::super::headers;
use super::{Auth, NO_CREDENTIAL, credential, header, prefix};

/// Most keys beside the credential.
const MOST: usize = 4;

/// Reads the block; `None` only after errors.
pub(super) fn read(fields: &mut Fields<'_>, report: &mut Report) -> Option<Auth> {
    let key = key(fields, report)?;
    fields.skip(&["username_credential", "password_credential"]);
    let Some((key, field)) = key else { return Some(Auth::nothing()) };
    Some(Auth::of(Kind::ApiKey(key), vec![field]))
}

/// Reads `x-also` into what was read of the rest.
pub(super) fn read_also(field: &Field<'_>, auth: &mut Auth, report: &mut Report) {
    let items = field.items(report);
    if matches!(auth.kind, Kind::None(_) | Kind::Session(_)) {
        let help = "write a key that stands alone as `type: apikey`";
        field.error(report, "stands beside a credential, and this kind shows none", help);
        return;
    }
    if items.len() > MOST {
        field.error(report, format!("holds more than {MOST} keys"), "");
        return;
    }
    for item in items {
        let Some(mut fields) = item.fields(report) else { continue };
        let read = key(&mut fields, report);
        fields.finish(report);
        let Some(Some((key, asked))) = read else { continue };
        let same = match &key.place {
            Some(Place::Header(name)) => auth.owns_header(name),
            Some(Place::Query(name)) => auth.owns_query(name),
            Some(Place::Cookie(name)) => auth.owns_cookie(name),
            None => false,
        };
        if same {
            item.error(report, "goes where another credential goes", "name another header, query or cookie");
            continue;
        }
        if is_got_with(&auth.kind, &key.credential) {
            let help = "give the key a name of its own; what a token is got with is shown to nobody else";
            item.error(report, "shows what access tokens are got with", help);
            continue;
        }
        if auth.credentials.iter().all(|known| known.name != asked.name) {
            auth.credentials.push(asked);
        }
        auth.also.push(key);
    }
}

/// Whether a credential is a secret that access tokens are got with. The client's id is none.
fn is_got_with(kind: &Kind, name: &str) -> bool {
    let Kind::Oauth2(auth) = kind else { return false };
    let secrets =
        [&auth.client_secret_credential, &auth.refresh_token_credential, &auth.service_account_credential];
    secrets.iter().any(|own| *own == name)
}

/// A key and the field that asks for it. The outer `None` comes after an error, the inner one says that there is no secret.
fn key(fields: &mut Fields<'_>, report: &mut Report) -> Option<Option<(ApiKeyAuth, CredentialField)>> {
    let credential = credential(fields, "credential", true, report);
    let place = fields.word("inject_into", &["header", "query"], report).unwrap_or("header");
    let header = header(fields, "X-API-Key", report);
    let prefix = prefix(fields, report);
    let query = fields.get("query_param");
    let cookie = fields.get("x-cookie");
    let name = credential?;
    if name == NO_CREDENTIAL {
        return Some(None);
    }
    let prefix = prefix?.unwrap_or_default();
    let (place, help) = if let Some(cookie) = cookie {
        let name = cookie_name(&cookie, report)?;
        if place == "query" || !headers::is_cookie_value(&prefix) {
            cookie.error(report, "cannot be a cookie with this `inject_into` or `prefix`", "take them out");
            return None;
        }
        let help = format!("Sent as the cookie {name} with every call.");
        (Place::Cookie(name), help)
    } else if place == "query" {
        let Some(query) = query.and_then(|field| field.text(report)).filter(|name| !name.is_empty()) else {
            let help = "name the query parameter that carries the key";
            report.error(fields.at, &format!("{}.query_param", fields.path), "is missing", help);
            return None;
        };
        let help = format!("Sent as ?{query}=… with every call.");
        (Place::Query(query), help)
    } else {
        let header = header?;
        let help = format!("Sent as {header}: {prefix}… with every call.");
        (Place::Header(header), help)
    };
    let field = CredentialField::secret(&name, help);
    Some(Some((v1::ApiKeyAuth { credential: name, place: Some(place), prefix }, field)))
}

fn cookie_name(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let name = field.text(report)?;
    if !headers::is_cookie_name(&name) {
        field.error(report, format!("{} is not a name of a cookie", quote(&name)), "");
        return None;
    }
    Some(name)
}
