//! How a server is shown who asks: a token, headers of its own, or the account of somebody who has logged in.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::seal::ACCESS_TOKEN;
use toolmesh_proto::v1;
use toolmesh_proto::v1::api_key_auth::Place;
use toolmesh_proto::v1::auth::Kind;

use super::client::Trouble;
use super::{Upstreams, store};
use crate::accounts::members::{Membership, Permission};
use crate::connectors::Installation;
use crate::connectors::grants::provider;
use crate::connectors::installation::shown_headers;
use crate::credentials;
use crate::error::{Error, Result};

/// Most headers that a server is shown.
pub const MOST_HEADERS: usize = 6;

/// What is wrong with the header of a row, and with its value, is told of these fields.
pub const HEADER_FIELDS: [&str; MOST_HEADERS] =
    ["header", "header2", "header3", "header4", "header5", "header6"];
pub const VALUE_FIELDS: [&str; MOST_HEADERS] =
    ["credential", "credential2", "credential3", "credential4", "credential5", "credential6"];

/// The logical name of the first credential that is shown to a server.
const TOKEN: &str = "token";

/// How a server wants to know who asks.
pub enum Authentication {
    None,
    /// `Authorization: Bearer …`
    Bearer(SecretString),
    /// Headers of its own.
    Headers(Vec<SecretHeader>),
    /// Somebody logs in at its authorization server, which is found: for the workspace, or each member for themselves.
    Login {
        personal: bool,
    },
}

/// A header and its value, as a row of a form has them; one that is empty is none.
pub struct SecretHeader {
    pub name: String,
    pub value: SecretString,
}

impl SecretHeader {
    fn value(&self) -> &str {
        self.value.expose_secret().trim()
    }
}

/// What nodes and this plane go by, and the secrets that belong to it.
pub(super) struct Entered {
    pub auth: v1::Auth,
    pub secrets: Vec<(String, SecretString)>,
}

impl Authentication {
    /// # Errors
    /// Names the field that has to be mended.
    pub(super) fn entered(self) -> Result<Entered> {
        let (kind, secrets) = match self {
            Self::None => (Kind::None(v1::NoAuth {}), Vec::new()),
            Self::Bearer(secret) => {
                let bearer = v1::BearerAuth {
                    credential: TOKEN.to_owned(),
                    header: "Authorization".to_owned(),
                    prefix: "Bearer ".to_owned(),
                };
                (Kind::Bearer(bearer), vec![(TOKEN.to_owned(), secret)])
            }
            Self::Headers(rows) => {
                let asked = Asked::read(rows, &[], |_| false)?;
                return Ok(Entered { auth: asked.auth(), secrets: asked.secrets });
            }
            Self::Login { .. } => return Ok(Entered { auth: provider::auth(), secrets: Vec::new() }),
        };
        Ok(Entered { auth: v1::Auth { kind: Some(kind), optional: false, also: Vec::new() }, secrets })
    }
}

/// Headers that somebody asks for, checked.
struct Asked {
    /// Each with its credential's logical name.
    headers: Vec<(HeaderName, String)>,
    /// What was entered for them.
    secrets: Vec<(String, SecretString)>,
}

impl Asked {
    /// Reads the rows of a form. A header that there `was` keeps its credential, and without a value what is stored for it, if
    /// that `is_kept`.
    fn read(rows: Vec<SecretHeader>, was: &[(&str, &str)], is_kept: impl Fn(&str) -> bool) -> Result<Self> {
        let mut asked = Self { headers: Vec::new(), secrets: Vec::new() };
        if rows.len() > MOST_HEADERS {
            return Err(Error::field(HEADER_FIELDS[0], "A server is shown six headers at most."));
        }
        for ((row, at), value_at) in rows.into_iter().zip(HEADER_FIELDS).zip(VALUE_FIELDS) {
            if row.name.trim().is_empty() && row.value().is_empty() {
                continue;
            }
            let name = header_name(&row.name, at)?;
            if asked.headers.iter().any(|(other, _)| *other == name) {
                return Err(Error::field(at, "This header is named twice. Name each once."));
            }
            let known = was.iter().find(|(header, _)| header.eq_ignore_ascii_case(name.as_str()));
            let credential =
                known.map_or_else(|| asked.free(was), |(_, credential)| (*credential).to_owned());
            if HeaderValue::from_str(row.value()).is_err() {
                return Err(Error::field(
                    value_at,
                    "This holds characters that no header takes. Copy it again.",
                ));
            }
            if !row.value().is_empty() {
                asked.secrets.push((credential.clone(), row.value));
            } else if known.is_none() || !is_kept(&credential) {
                return Err(Error::field(value_at, "Enter the value of this header."));
            }
            asked.headers.push((name, credential));
        }
        if asked.headers.is_empty() {
            return Err(Error::field(HEADER_FIELDS[0], "Name the header that carries the credential."));
        }
        Ok(asked)
    }

    /// The first logical name that no header has or had.
    fn free(&self, was: &[(&str, &str)]) -> String {
        let taken = |name: &String| {
            let named = self.headers.iter().map(|(_, other)| other.as_str());
            named.chain(was.iter().map(|(_, other)| *other)).any(|other| other == name)
        };
        let numbered = (2..).map(|number| format!("{TOKEN}-{number}"));
        std::iter::once(TOKEN.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
    }

    fn auth(&self) -> v1::Auth {
        let mut keys = self.headers.iter().map(|(header, credential)| v1::ApiKeyAuth {
            credential: credential.clone(),
            place: Some(Place::Header(header.to_string())),
            prefix: String::new(),
        });
        let first = keys.next().unwrap_or_default();
        v1::Auth { kind: Some(Kind::ApiKey(first)), optional: false, also: keys.collect() }
    }
}

/// Headers that belong to the connection, to whoever passes a request on, or to what is sent, and are nobody's to set.
const RESERVED: [&str; 23] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "last-event-id",
    "origin",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-real-ip",
];

/// The same by how they begin; those of the protocol are among them.
const RESERVED_STARTS: [&str; 3] = ["mcp-", "proxy-", "x-forwarded-"];

fn header_name(name: &str, at: &'static str) -> Result<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(name.trim().as_bytes()) else {
        return Err(Error::field(at, "Use the name of a header of the server's own, such as X-Api-Key."));
    };
    let reserved = RESERVED.contains(&name.as_str())
        || RESERVED_STARTS.iter().any(|start| name.as_str().starts_with(start));
    if reserved {
        let message = format!(
            "{name} belongs to the connection or to MCP. Use a header of the server's own, such as X-Api-Key."
        );
        return Err(Error::field(at, message));
    }
    Ok(name)
}

impl Upstreams {
    /// Shows a server these headers from now on, in place of those that it was shown. A row without a value keeps what is stored
    /// for its header; headers that are not among the rows are forgotten with their values.
    ///
    /// # Errors
    /// Names the field that has to be mended; `Refused` for a server that is shown no headers.
    pub async fn set_headers(
        &self,
        by: &Membership,
        id: InstallationId,
        rows: Vec<SecretHeader>,
    ) -> Result<()> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let server = store::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let before = self.installations.load(&mut tx, id).await?;
        let was = shown_headers(&before.connector);
        if was.is_empty() {
            let text =
                "This server is not shown headers of its own. Add it again to authenticate in another way.";
            return Err(Error::Refused(text.to_owned()));
        }
        let stored = |name: &str| before.credentials.iter().any(|one| one.name == name);
        // What members enter for themselves is theirs to enter.
        let asked = Asked::read(rows, &was, |name| stored(name) || !before.is_of_workspace(name))?;
        for (_, credential) in &was {
            if asked.headers.iter().all(|(_, kept)| kept != credential) {
                credentials::forget_named(&mut tx, id, credential).await?;
            }
        }
        let auth = asked.auth();
        let mut connector = (*before.connector).clone();
        connector.auth = Some(auth);
        let after = Installation { connector: connector.into(), ..before.clone() };
        for (name, secret) in asked.secrets.iter().filter(|(name, _)| after.is_of_workspace(name)) {
            credentials::set(&mut tx, &self.vault, id, name, secret, by.user).await?;
        }
        if after.connector.auth == before.connector.auth {
            tx.commit_change().await?;
            return Ok(());
        }
        let known = store::definitions(&mut tx, id).await?;
        self.recompile(tx, &after, &server, &known).await
    }
}

/// What the server is shown with each request.
pub(super) fn headers(
    auth: Option<&v1::Auth>,
    plain: &[v1::Header],
    secrets: &HashMap<String, SecretString>,
) -> std::result::Result<HeaderMap, Trouble> {
    let mut headers = HeaderMap::new();
    for header in plain {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| unusable())?;
        headers.insert(name, HeaderValue::from_str(&header.value).map_err(|_| unusable())?);
    }
    let Some(auth) = auth else { return Ok(headers) };
    match &auth.kind {
        None | Some(Kind::None(_)) => return Ok(headers),
        Some(Kind::Bearer(auth)) => {
            show(&mut headers, secrets, &auth.credential, &auth.header, &auth.prefix)?
        }
        Some(Kind::ApiKey(key)) => show_key(&mut headers, secrets, key)?,
        Some(Kind::Oauth2(auth)) => show(&mut headers, secrets, ACCESS_TOKEN, &auth.header, &auth.prefix)?,
        Some(_) => return Err(unusable()),
    }
    auth.also.iter().try_for_each(|key| show_key(&mut headers, secrets, key))?;
    Ok(headers)
}

fn show_key(
    headers: &mut HeaderMap,
    secrets: &HashMap<String, SecretString>,
    key: &v1::ApiKeyAuth,
) -> std::result::Result<(), Trouble> {
    match &key.place {
        Some(Place::Header(header)) => show(headers, secrets, &key.credential, header, &key.prefix),
        _ => Err(unusable()),
    }
}

fn show(
    headers: &mut HeaderMap,
    secrets: &HashMap<String, SecretString>,
    credential: &str,
    header: &str,
    prefix: &str,
) -> std::result::Result<(), Trouble> {
    let secret = secrets.get(credential).filter(|secret| !secret.expose_secret().trim().is_empty());
    let secret = secret.ok_or_else(|| Trouble::NoCredential("Enter the credential.".to_owned()))?;
    let name = HeaderName::from_bytes(header.as_bytes()).map_err(|_| unusable())?;
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose_secret().trim()))
        .map_err(|_| unusable())?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

fn unusable() -> Trouble {
    Trouble::NoCredential("The credential holds characters that no header takes. Enter it again.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[(&str, &str)]) -> Vec<SecretHeader> {
        let row = |(name, value): &(&str, &str)| SecretHeader {
            name: (*name).to_owned(),
            value: SecretString::from(*value),
        };
        rows.iter().map(row).collect()
    }

    fn refused(given: &[(&str, &str)]) -> (&'static str, String) {
        match Asked::read(rows(given), &[], |_| false) {
            Err(Error::Field { field, message }) => (field, message),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("{given:?} were taken"),
        }
    }

    #[test]
    fn headers_of_the_connection_and_of_the_protocol_are_nobodys_to_set() {
        for name in [
            "Host",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authorization",
            "Content-Length",
            "Content-Type",
            "Accept",
            "Cookie",
            "Origin",
            "Mcp-Session-Id",
            "MCP-Protocol-Version",
            "Mcp-Method",
            "Last-Event-ID",
            "X-Forwarded-For",
        ] {
            let (field, message) = refused(&[("X-Api-Key", "a"), (name, "b")]);
            assert_eq!(field, "header2", "{name}");
            assert!(message.contains("belongs to"), "{name}: {message}");
        }
        for name in ["", "a b", "x:y", "ä"] {
            assert_eq!(refused(&[(name, "value")]).0, "header", "{name:?}");
        }
    }

    #[test]
    fn each_header_is_named_once_and_has_a_value_of_its_own() {
        assert_eq!(refused(&[]).0, "header");
        assert_eq!(refused(&[("X-One", "1"), ("x-one", "2")]).0, "header2");
        assert_eq!(refused(&[("X-One", "1"), ("X-Two", " ")]).0, "credential2");
        assert_eq!(refused(&[("X-One", "a\nb")]).0, "credential");
        let asked = Asked::read(rows(&[("X-One", "1"), ("", ""), ("X-Two", "2")]), &[], |_| false).unwrap();
        let auth = asked.auth();
        let secrets: HashMap<_, _> = asked.secrets.into_iter().collect();
        let shown = headers(Some(&auth), &[], &secrets).unwrap();
        assert_eq!(
            (&shown["x-one"], &shown["x-two"]),
            (&HeaderValue::from_static("1"), &HeaderValue::from_static("2"))
        );
        assert!(shown["x-two"].is_sensitive());
    }

    #[test]
    fn a_header_that_stays_keeps_its_credential_and_a_new_one_takes_none_that_was() {
        let was = [("x-one", "token"), ("x-two", "token-2")];
        let given = rows(&[("X-Two", ""), ("X-Three", "3")]);
        let asked = Asked::read(given, &was, |_| true).unwrap();
        let named: Vec<_> =
            asked.headers.iter().map(|(header, name)| (header.as_str(), name.as_str())).collect();
        assert_eq!(named, [("x-two", "token-2"), ("x-three", "token-3")]);
        let entered: Vec<_> = asked.secrets.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(entered, ["token-3"]);
    }
}
