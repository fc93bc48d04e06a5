//! What a service account signs to get an access token (RFC 7523, section 2.1).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// How long an assertion is good, in seconds; providers take an hour at most.
const LIFE: i64 = 600;

/// A service account's key, as its provider hands it out; other parts of the file are passed over.
#[derive(Deserialize)]
pub(super) struct ServiceAccount {
    client_email: String,
    private_key: Zeroizing<String>,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default)]
    token_uri: Option<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    sub: &'a str,
}

impl ServiceAccount {
    /// Reads a key file.
    ///
    /// # Errors
    /// A field error that says what is missing, and shows nothing of the file.
    pub(super) fn read(secret: &SecretString) -> Result<Self> {
        let account: Self = serde_json::from_str(secret.expose_secret()).map_err(|_| {
            Error::field(
                "credential",
                "This is not the JSON key of a service account: it needs client_email and private_key. Copy the whole file.",
            )
        })?;
        account.key()?;
        Ok(account)
    }

    /// Where the key says that tokens are got.
    pub(super) fn token_uri(&self) -> Option<&str> {
        self.token_uri.as_deref().filter(|uri| !uri.is_empty())
    }

    /// The key, from PEM of either form: PKCS#8, or PKCS#1 as older files have it.
    fn key(&self) -> Result<KeyPair> {
        let unusable = || {
            Error::field(
                "credential",
                "The private_key in this file is no RSA key in PEM form. Copy the whole file.",
            )
        };
        let body = self.private_key.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        let body = Zeroizing::new(body.collect::<String>());
        let der = Zeroizing::new(STANDARD.decode(body.as_bytes()).map_err(|_| unusable())?);
        let key = if self.private_key.contains("BEGIN RSA PRIVATE KEY") {
            KeyPair::from_der(&der)
        } else {
            KeyPair::from_pkcs8(&der)
        };
        key.map_err(|_| unusable())
    }

    /// A signed assertion for a token endpoint.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub(super) fn assertion(
        &self,
        audience: &str,
        scope: &str,
        subject: &str,
        now: i64,
    ) -> Result<SecretString> {
        let key = self.key()?;
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(id) = &self.private_key_id {
            header["kid"] = id.as_str().into();
        }
        let claims =
            Claims { iss: &self.client_email, aud: audience, iat: now, exp: now + LIFE, scope, sub: subject };
        let claims = serde_json::to_vec(&claims).map_err(Error::internal)?;
        let message =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| Error::internal("a service account's key does not sign"))?;
        Ok(SecretString::from(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// A key file in one line, as it is kept.
///
/// # Errors
/// As for [`ServiceAccount::read`].
pub(super) fn in_one_line(secret: &SecretString) -> Result<SecretString> {
    ServiceAccount::read(secret)?;
    let value: Zeroizing<String> = serde_json::from_str::<serde_json::Value>(secret.expose_secret())
        .map(|value| Zeroizing::new(value.to_string()))
        .map_err(Error::internal)?;
    Ok(SecretString::from(value.as_str()))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::KeyPair as _;
    use serde_json::Value;

    use super::*;

    fn key_file() -> (SecretString, KeyPair) {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let body = STANDARD.encode(der.as_ref());
        let lines: Vec<_> =
            body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        let file = json!({
            "type": "service_account", "client_email": "robot@example.iam", "private_key": pem,
            "private_key_id": "k1", "token_uri": "https://oauth2.example/token",
        });
        (SecretString::from(serde_json::to_string_pretty(&file).unwrap()), pair)
    }

    #[test]
    fn an_assertion_says_who_signs_for_whom_and_verifies_under_the_accounts_key() {
        let (file, pair) = key_file();
        let kept = in_one_line(&file).unwrap();
        assert!(!kept.expose_secret().contains('\n'));
        let account = ServiceAccount::read(&kept).unwrap();
        assert_eq!(account.token_uri(), Some("https://oauth2.example/token"));
        let signed = account.assertion("https://aud.example", "a b", "ana@example.com", 1000).unwrap();
        let parts: Vec<&str> = signed.expose_secret().split('.').collect();
        let read =
            |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        assert_eq!(read(parts[0]), json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        let wanted = json!({
            "iss": "robot@example.iam", "aud": "https://aud.example", "iat": 1000, "exp": 1600,
            "scope": "a b", "sub": "ana@example.com",
        });
        assert_eq!(read(parts[1]), wanted);
        let public = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256,
            pair.public_key().as_ref(),
        );
        let message = format!("{}.{}", parts[0], parts[1]);
        public.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
    }

    #[test]
    fn what_is_no_key_file_is_refused_and_not_shown() {
        for bad in [
            "",
            "not json",
            "{\"client_email\": \"s3cret\"}",
            r#"{"client_email": "a", "private_key": "s3cret"}"#,
        ] {
            let error = in_one_line(&SecretString::from(bad)).err().unwrap().to_string();
            assert!(error.contains("Copy the whole file") && !error.contains("s3cret"), "{error}");
        }
    }
}
