//! Clients that an admin registers by hand: for programs that can neither register themselves nor publish a document.

use secrecy::SecretString;
use serde_json::Value;
use toolmesh_proto::ids::UserId;
use uuid::Uuid;

use super::registered::SECRET_PREFIX;
use super::{AuthMethod, Client, Kind, MAX_REDIRECTS, Standing, policy, store};
use crate::accounts::is_invisible;
use crate::credentials::token::Token;
use crate::db::TenantTx;
use crate::error::{Error, Result};
use crate::oauth::{key_sets, redirect};

/// Starts the id of a client that was made by hand.
const PREFIX: &str = "tmc_";

/// What an admin says of a client.
pub struct NewClient {
    pub name: String,
    pub redirect_uris: Vec<String>,
    pub auth_method: AuthMethod,
    /// For `private_key_jwt`: the keys, or where they are.
    pub keys: Keys,
    pub grant_types: Vec<String>,
}

/// Public keys of a client, as an admin gives them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keys {
    pub jwks: Option<Value>,
    pub jwks_uri: Option<String>,
}

impl Keys {
    /// Reads what was typed: a key set, one key, or an address.
    ///
    /// # Errors
    /// On the field `keys`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |error: key_sets::KeySetError| Error::field("keys", format!("{error}."));
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::field("keys", "Paste a JSON Web Key Set, or enter the https address of one."));
        }
        if !text.starts_with('{') {
            key_sets::address(text).map_err(wrong)?;
            return Ok(Self { jwks: None, jwks_uri: Some(text.to_owned()) });
        }
        let value: Value =
            serde_json::from_str(text).map_err(|e| Error::field("keys", format!("This is no JSON: {e}.")))?;
        let set = if value.get("kty").is_some() { serde_json::json!({ "keys": [value] }) } else { value };
        key_sets::check(&set).map_err(wrong)?;
        Ok(Self { jwks: Some(set), jwks_uri: None })
    }
}

/// Makes a client, and its secret where it has one; the secret is shown once.
///
/// # Errors
/// Names the field that has to be mended.
pub async fn create(tx: &mut TenantTx, by: UserId, new: NewClient) -> Result<(Client, Option<SecretString>)> {
    let interactive = new.grant_types.iter().any(|grant| grant == "authorization_code");
    let signs = new.auth_method == AuthMethod::PrivateKeyJwt;
    let client = Client {
        client_id: format!("{PREFIX}{}", Uuid::new_v4().simple()),
        name: name(&new.name)?,
        redirect_uris: redirects(new.redirect_uris, interactive)?,
        kind: Kind::Manual,
        auth_method: new.auth_method,
        jwks: new.keys.jwks.filter(|_| signs),
        jwks_uri: new.keys.jwks_uri.filter(|_| signs),
        grant_types: new.grant_types,
        standing: Standing::Allowed,
        stored: true,
    };
    if signs && client.jwks.is_none() && client.jwks_uri.is_none() {
        return Err(Error::field("keys", "Paste a JSON Web Key Set, or enter the https address of one."));
    }
    store::upsert(tx, &client, &policy::fingerprint(&client), Some(by)).await?;
    let secret =
        if client.auth_method.uses_secret() { Some(add_secret(tx, &client.client_id).await?) } else { None };
    Ok((client, secret))
}

/// Gives a client another secret.
///
/// # Errors
/// When the database fails.
pub(super) async fn add_secret(tx: &mut TenantTx, client_id: &str) -> Result<SecretString> {
    let token = Token::new(SECRET_PREFIX)?;
    store::insert_secret(tx, client_id, &token.hash, &token.last4()).await?;
    Ok(token.secret)
}

fn name(text: &str) -> Result<String> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Error::field("name", "Enter a name, as members shall read it when they allow the client.")),
        1..=80 if !text.chars().any(is_invisible) => Ok(text.to_owned()),
        1..=80 => Err(Error::field("name", "The name holds invisible characters. Type it anew.")),
        _ => Err(Error::field("name", "Use 80 characters or fewer.")),
    }
}

/// The redirect URIs as they may be registered.
///
/// # Errors
/// On the field `redirects`, naming the first that cannot be used.
pub(super) fn redirects(uris: Vec<String>, needed: bool) -> Result<Vec<String>> {
    let wrong = |text: String| Err(Error::field("redirects", text));
    let mut kept: Vec<String> = Vec::new();
    for uri in uris.into_iter().map(|uri| uri.trim().to_owned()).filter(|uri| !uri.is_empty()) {
        if !redirect::is_acceptable(&uri) {
            let shown: String = uri.chars().take(100).collect();
            return wrong(format!(
                "{shown} cannot be used. Enter an https URL, an http URL on localhost, or an application's own scheme; no \
                 wildcard, no fragment."
            ));
        }
        if !kept.contains(&uri) {
            kept.push(uri);
        }
    }
    if kept.len() > MAX_REDIRECTS {
        return wrong("Use 20 redirect URIs or fewer.".to_owned());
    }
    if needed && kept.is_empty() {
        return wrong(
            "Enter at least one redirect URI: where people are sent after they said yes.".to_owned(),
        );
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_set_one_key_or_an_address() {
        let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        assert!(Keys::parse(key).unwrap().jwks.is_some());
        assert!(Keys::parse(&format!("{{\"keys\":[{key}]}}")).unwrap().jwks.is_some());
        assert!(Keys::parse(" https://client.example/keys ").unwrap().jwks_uri.is_some());
        for bad in [
            "",
            "{",
            "http://client.example/keys",
            "{\"keys\":[]}",
            &key.replace("\"x\"", "\"d\":\"s\",\"x\""),
        ] {
            assert!(matches!(Keys::parse(bad), Err(Error::Field { field: "keys", .. })), "{bad}");
        }
    }

    #[test]
    fn redirects_are_checked_one_by_one() {
        let list = |uris: &[&str]| uris.iter().map(|uri| (*uri).to_owned()).collect::<Vec<_>>();
        let good = list(&["https://a.example/cb", "", " http://localhost/cb ", "https://a.example/cb"]);
        assert_eq!(redirects(good, true).unwrap(), list(&["https://a.example/cb", "http://localhost/cb"]));
        assert!(redirects(list(&["https://a.example/cb", "http://evil.example/cb"]), true).is_err());
        assert!(redirects(list(&[""]), true).is_err());
        assert!(redirects(list(&[]), false).is_ok());
    }
}
