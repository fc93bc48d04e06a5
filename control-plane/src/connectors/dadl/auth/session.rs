//! `type: session`: a login request, what is taken out of its answer, and where that is shown.
//!
//! In the body of the login, the text `credential:NAME` at any depth stands for a secret, and so does a key that ends in
//! `_credential`: `password_credential: NAME` is sent as `password`. `username_credential` and `password_credential` beside
//! `login` are sent as `username` and `password` where the body has none. Cookies that the API sets are kept and shown with
//! every call; whoever lives on cookies alone injects nothing.

use serde_json::{Map, Value as Json};
use toolmesh_proto::v1;
use toolmesh_proto::v1::auth::Kind;

use super::super::diagnostic::{Report, quote};
use super::super::fields::{Field, Fields, join, one_of};
use super::super::yaml::Value;
use super::super::{CredentialField, headers, jsonpath};
use super::{Auth, credential, credential_name, is_credential_name};

const METHODS: &[&str] = &["POST", "GET", "PUT", "PATCH"];

/// What stands before the name of a credential in a value of the body.
const REFERENCE: &str = "credential:";
/// What ends a key whose value names a credential.
const SUFFIX: &str = "_credential";

/// Most values that are extracted, injected or secret.
const MAX_LISTED: usize = 32;

/// Reads the block; `None` only after errors.
pub(super) fn read(fields: &mut Fields<'_>, report: &mut Report) -> Option<Auth> {
    let had = report.error_count();
    let beside: Vec<_> = [("username", "username_credential"), ("password", "password_credential")]
        .into_iter()
        .filter_map(|(key, name)| Some((key, credential(fields, name, false, report)?)))
        .collect();
    let help = "describe the request that logs in: method, path, body and what to extract";
    let login = fields.need("login", report, help).and_then(|field| read_login(&field, &beside, report));
    let inject = fields.need("inject", report, "list the headers that show the session, or write []");
    let extract = login.as_ref().map_or(&[][..], |login| &login.extract);
    let inject = inject.map(|field| read_inject(&field, extract, report)).unwrap_or_default();
    if let Some(field) = fields.get("refresh") {
        read_refresh(&field, report);
    }
    fields.skip(&["header_name", "prefix", "inject_into", "query_param"]);
    let session = v1::SessionAuth { inject, ..login? };
    let credentials = asked_for(&session);
    (report.error_count() == had).then(|| Auth::of(Kind::Session(session), credentials))
}

fn read_login(field: &Field<'_>, beside: &[(&str, String)], report: &mut Report) -> Option<v1::SessionAuth> {
    let mut fields = field.fields(report)?;
    fields.need("method", report, &one_of(METHODS));
    let method = fields.word("method", METHODS, report);
    let path = fields.need("path", report, "write it as /path below the base URL")?;
    let path = path.text(report).filter(|text| is_path(&path, text, report));
    let mut body = Body::default();
    let written = fields.get("body");
    let mut object = match written {
        Some(field) => match body.read(&field, "", report) {
            Some(Json::Object(object)) => object,
            Some(_) => {
                field.error(report, "must be a mapping", "write `key: value` lines below it");
                return None;
            }
            None => return None,
        },
        None => Map::new(),
    };
    for (key, name) in beside {
        if !object.contains_key(*key) && body.secrets.iter().all(|known| known.credential != *name) {
            object.insert((*key).to_owned(), Json::Null);
            body.secrets.push(v1::SessionSecret { pointer: format!("/{key}"), credential: name.clone() });
        }
    }
    if body.secrets.len() > MAX_LISTED {
        field.error(report, format!("names more than {MAX_LISTED} credentials"), "");
    }
    let extract = fields.get("extract").map(|field| read_extract(&field, report)).unwrap_or_default();
    fields.finish(report);
    Some(v1::SessionAuth {
        method: method?.to_owned(),
        path: path?,
        body_json: if object.is_empty() { String::new() } else { Json::Object(object).to_string() },
        secrets: body.secrets,
        extract,
        inject: Vec::new(),
    })
}

/// The credentials go nowhere but to the installation's own address.
fn is_path(field: &Field<'_>, text: &str, report: &mut Report) -> bool {
    let climbs = text.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."));
    let fits = text.starts_with('/')
        && !text.starts_with("//")
        && !climbs
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#' | b'{' | b'}'));
    if !fits {
        let message = format!("{} is not a path below the base URL", quote(text));
        field.error(report, message, "write it as /path, without a host or `..`");
    }
    fits
}

/// A login's body, with nothing where secrets come.
#[derive(Default)]
struct Body {
    secrets: Vec<v1::SessionSecret>,
}

impl Body {
    fn read(&mut self, field: &Field<'_>, pointer: &str, report: &mut Report) -> Option<Json> {
        match &field.node.value {
            Value::Map(_) => {
                let mut object = Map::new();
                for (key, child) in field.children(report) {
                    let named = key.name.strip_suffix(SUFFIX).filter(|name| !name.is_empty());
                    let secret = named.filter(|_| matches!(child.node.value, Value::String(_)));
                    let name = secret.unwrap_or(&key.name);
                    let below = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                    let value = match secret {
                        Some(_) => self.secret(&below, credential_name(&child, report)?),
                        None => self.read(&child, &below, report)?,
                    };
                    if object.insert(name.to_owned(), value).is_some() {
                        report.error(key.at, &join(&field.path, &key.name), "is there twice", "");
                    }
                }
                Some(Json::Object(object))
            }
            Value::Seq(_) => {
                let items = field.items(report);
                let each = items.iter().enumerate();
                each.map(|(index, item)| self.read(item, &format!("{pointer}/{index}"), report))
                    .collect::<Option<_>>()
                    .map(Json::Array)
            }
            Value::String(text) => match text.strip_prefix(REFERENCE) {
                Some(name) => {
                    if !is_credential_name(name) {
                        let message = format!("{} is not a name of a credential", quote(name));
                        field.error(report, message, "write credential:NAME with letters, digits and `_`");
                        return None;
                    }
                    Some(self.secret(pointer, name.to_owned()))
                }
                None => Some(Json::String(text.clone())),
            },
            _ => Some(field.node.to_json()),
        }
    }

    /// Nothing stands where the node puts the secret.
    fn secret(&mut self, pointer: &str, credential: String) -> Json {
        self.secrets.push(v1::SessionSecret { pointer: pointer.to_owned(), credential });
        Json::Null
    }
}

fn read_extract(field: &Field<'_>, report: &mut Report) -> Vec<v1::SessionValue> {
    let mut values = Vec::new();
    for (key, child) in field.children(report) {
        let Some(text) = child.text(report) else { continue };
        if !is_value_name(&key.name) {
            let message = format!("{} is not a name of a value", quote(&key.name));
            report.error(key.at, &child.path, message, "use letters, digits, `_` and `-`");
        } else if values.len() >= MAX_LISTED {
            child.error(report, format!("is beyond the {MAX_LISTED} values that are read"), "");
            break;
        } else {
            match jsonpath::normalise(&text) {
                Ok(path) if path.contains('*') => {
                    child.error(report, "may find several values", "name one value, without `*`");
                }
                Ok(path) => {
                    let path = if path.is_empty() { "$".to_owned() } else { path };
                    values.push(v1::SessionValue { name: key.name.clone(), path });
                }
                Err(message) => child.error(report, message, "write it as $.key"),
            }
        }
    }
    values
}

fn is_value_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn read_inject(field: &Field<'_>, extract: &[v1::SessionValue], report: &mut Report) -> Vec<v1::Header> {
    let mut inject = Vec::new();
    for item in field.items(report).into_iter().take(MAX_LISTED) {
        let Some(mut fields) = item.fields(report) else { continue };
        let name = fields.need("header", report, "name the header");
        let value = fields.need("value", report, "write `{{name}}` for what was extracted as `name`");
        fields.finish(report);
        let (Some(name), Some(value)) = (name, value) else { continue };
        let (Some(header), Some(template)) = (name.text(report), value.text(report)) else { continue };
        if !headers::may_carry_a_credential(&header) {
            name.error(
                report,
                format!("{} cannot carry a credential", quote(&header)),
                "name another header",
            );
        } else if !headers::is_value(&template) {
            value.error(report, "holds characters that no header may hold", "write it in one line");
        } else if let Some(unknown) = unknown_name(&template, extract) {
            let message = format!("{} is not extracted by the login", quote(&unknown));
            value.error(report, message, "name it under `login.extract`");
        } else {
            inject.push(v1::Header { name: header, value: template });
        }
    }
    inject
}

/// The first name in `{{…}}` that nothing is extracted for; an opening without its end is one too.
fn unknown_name(template: &str, extract: &[v1::SessionValue]) -> Option<String> {
    let mut rest = template;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((name, next)) = after.split_once("}}") else { return Some(after.to_owned()) };
        if extract.iter().all(|value| value.name != name.trim()) {
            return Some(name.trim().to_owned());
        }
        rest = next;
    }
    None
}

/// A login that has ended is always made anew when the API answers 401; nothing else can be asked for.
fn read_refresh(field: &Field<'_>, report: &mut Report) {
    let Some(mut fields) = field.fields(report) else { return };
    fields.word("action", &["re_login"], report);
    if let Some(trigger) = fields.get("trigger") {
        let text = trigger.text(report).unwrap_or_default();
        if !matches!(text.as_str(), "401" | "status_401" | "http_401" | "on_401" | "unauthorized" | "") {
            trigger.warn(
                report,
                "has no effect: a login is made anew when the API answers 401",
                "write \"401\"",
            );
        }
    }
    fields.finish(report);
}

fn asked_for(session: &v1::SessionAuth) -> Vec<CredentialField> {
    let mut asked: Vec<CredentialField> = Vec::new();
    for secret in &session.secrets {
        if asked.iter().any(|known| known.name == secret.credential) {
            continue;
        }
        let key = secret.pointer.rsplit('/').next().unwrap_or_default();
        let help = format!("Sent as {key} when the gateway logs in; every call then shows that login.");
        let public =
            matches!(key.to_ascii_lowercase().as_str(), "user" | "username" | "login" | "email" | "name");
        let field = CredentialField::secret(&secret.credential, help);
        asked.push(CredentialField { secret: !public, ..field });
    }
    asked
}
