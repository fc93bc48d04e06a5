//! How a connector shows who is calling: read from its auth block, by the names of credentials and without their values.

use http::header::{COOKIE, HeaderName};
use toolmesh_proto::v1;

use crate::execute::rest::plan::{Plan, is_cookie_name, is_reserved};
use crate::execute::sign_in::session::SessionPlan;

/// How a connector shows who is calling, with logical names of credentials.
#[derive(Clone, Debug)]
pub enum Auth {
    None,
    Header {
        credential: String,
        header: HeaderName,
        prefix: String,
    },
    Basic {
        username: String,
        password: Option<String>,
    },
    Query {
        credential: String,
        name: String,
        prefix: String,
    },
    Cookie {
        credential: String,
        name: String,
        prefix: String,
    },
    /// An access token that the control plane hands out.
    OAuth2 {
        header: HeaderName,
        prefix: String,
    },
    /// A login that the node makes itself.
    Session(Box<SessionPlan>),
    /// Shown where one has been entered; without, the call leaves as it is.
    Optional(Box<Auth>),
    /// A credential and the keys beside it.
    With(Box<Auth>, Vec<Auth>),
}

/// An auth block that cannot be executed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the kind of authentication is unknown")]
    Kind,
    #[error("the credential goes to {0:?}, which is no header that may be set")]
    Header(String),
    #[error("the credential has no place")]
    Place,
    #[error("the login cannot be made: its {0} is unusable")]
    Session(&'static str),
}

impl Auth {
    /// Reads a connector's auth block; one that is missing means none.
    ///
    /// # Errors
    /// When its kind is unknown or its place is malformed.
    pub fn compile(auth: Option<&v1::Auth>) -> Result<Self, AuthError> {
        let Some(auth) = auth else { return Ok(Self::None) };
        let mut compiled = Self::of_kind(auth)?;
        if !auth.also.is_empty() {
            // A login's cookies have any names, and no credential has no company.
            if matches!(compiled, Self::None | Self::Session(_)) {
                return Err(AuthError::Place);
            }
            let keys = auth.also.iter().map(Self::key).collect::<Result<_, _>>()?;
            compiled = Self::With(Box::new(compiled), keys);
        }
        Ok(if auth.optional { Self::Optional(Box::new(compiled)) } else { compiled })
    }

    fn of_kind(auth: &v1::Auth) -> Result<Self, AuthError> {
        use v1::auth::Kind;
        match auth.kind.as_ref().ok_or(AuthError::Kind)? {
            Kind::None(_) => Ok(Self::None),
            Kind::Bearer(bearer) => Ok(Self::Header {
                credential: bearer.credential.clone(),
                header: header(if bearer.header.is_empty() { "authorization" } else { &bearer.header })?,
                prefix: bearer.prefix.clone(),
            }),
            Kind::Basic(basic) => Ok(Self::Basic {
                username: basic.username_credential.clone(),
                password: Some(basic.password_credential.clone()).filter(|name| !name.is_empty()),
            }),
            Kind::Oauth2(oauth2) => {
                Ok(Self::OAuth2 { header: header(&oauth2.header)?, prefix: oauth2.prefix.clone() })
            }
            Kind::Session(session) => Ok(Self::Session(Box::new(SessionPlan::compile(session)?))),
            Kind::ApiKey(key) => Self::key(key),
        }
    }

    fn key(key: &v1::ApiKeyAuth) -> Result<Self, AuthError> {
        use v1::api_key_auth::Place;
        let (credential, prefix) = (key.credential.clone(), key.prefix.clone());
        match key.place.as_ref().ok_or(AuthError::Place)? {
            Place::Header(name) => Ok(Self::Header { credential, header: header(name)?, prefix }),
            Place::Query(name) if !name.is_empty() => {
                Ok(Self::Query { credential, name: name.clone(), prefix })
            }
            Place::Cookie(name) if is_cookie_name(name) => {
                Ok(Self::Cookie { credential, name: name.clone(), prefix })
            }
            Place::Query(_) | Place::Cookie(_) => Err(AuthError::Place),
        }
    }

    /// Whether a credential is a user's name beside a password: needed to log in, and no secret. Results and arguments are
    /// full of such names.
    pub(super) fn is_public(&self, name: &str) -> bool {
        match self {
            Self::Basic { username, password: Some(_) } => username == name,
            Self::Optional(auth) | Self::With(auth, _) => auth.is_public(name),
            _ => false,
        }
    }

    /// This, or what is in it: the credential and the keys beside it one by one.
    fn each(&self) -> Vec<&Self> {
        match self {
            Self::Optional(auth) => auth.each(),
            Self::With(auth, keys) => auth.each().into_iter().chain(keys).collect(),
            one => vec![one],
        }
    }

    /// The credential that a single header, parameter or cookie shows.
    pub(super) fn credential(&self) -> Option<&str> {
        match self {
            Self::Header { credential, .. }
            | Self::Query { credential, .. }
            | Self::Cookie { credential, .. } => Some(credential),
            _ => None,
        }
    }

    /// Whether a credential is one of the keys beside the one that says who calls.
    #[must_use]
    pub fn shows_beside(&self, name: &str) -> bool {
        match self {
            Self::With(_, keys) => keys.iter().any(|key| key.credential() == Some(name)),
            Self::Optional(auth) => auth.shows_beside(name),
            _ => false,
        }
    }

    /// What a call shows: with an account of the caller's own there is something to show in any case.
    #[must_use]
    pub fn for_account(&self, own: bool) -> &Self {
        match self {
            Self::Optional(auth) if own => auth,
            auth => auth,
        }
    }

    /// Takes the places of the credential out of the callers' hands.
    pub fn reserve(&self, plan: &mut Plan) {
        for auth in self.each() {
            match auth {
                Self::Query { name, .. } => plan.reserve_query(name),
                Self::Cookie { name, .. } => plan.reserve_cookies(Some(name)),
                Self::Session(_) => plan.reserve_cookies(None),
                Self::Header { header, .. } | Self::OAuth2 { header, .. } if *header == COOKIE => {
                    plan.reserve_cookies(None);
                }
                _ => {}
            }
        }
    }
}

/// `Authorization` and `Cookie` are where credentials go; other reserved headers are the connection's.
pub(in crate::execute) fn header(name: &str) -> Result<HeaderName, AuthError> {
    let error = || AuthError::Header(name.to_owned());
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| error())?;
    let allowed = !is_reserved(&header) || matches!(header.as_str(), "authorization" | "cookie");
    if allowed { Ok(header) } else { Err(error()) }
}
