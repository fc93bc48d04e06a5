//! The credentials of one installation, open for the length of one call.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret as _, SecretString};
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::seal::{ACCESS_TOKEN, Sealer};
use toolmesh_proto::v1;
use zeroize::Zeroizing;

use super::auth::Auth;
use super::placement::Placement;
use super::scrub::scrub;
use crate::catalog::Holder;
use crate::execute::rest::plan::is_cookie_value;

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
    pub(in crate::execute) fn entered(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// Whose own account the call uses, where that is not the workspace's.
    #[must_use]
    pub const fn holder(&self) -> Option<Holder> {
        self.holder
    }

    pub(in crate::execute) const fn version(&self) -> u64 {
        self.version
    }

    /// Whether an access token is among them, as in a test of settings.
    pub(in crate::execute) fn has_access_token(&self) -> bool {
        self.all.iter().any(|one| one.name == ACCESS_TOKEN)
    }

    pub(in crate::execute) fn get(&self, name: &str) -> Result<&SecretString, CredentialError> {
        let found = self.all.iter().find(|one| one.name == name);
        let one = found.ok_or_else(|| CredentialError::Missing(name.to_owned()))?;
        one.secret.as_ref().map_err(Clone::clone)
    }

    pub(in crate::execute) fn secrets(&self) -> impl Iterator<Item = &str> {
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
    pub(in crate::execute) fn beside(
        &self,
        mut shown: Placement,
        keys: &[Auth],
    ) -> Result<Placement, CredentialError> {
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
