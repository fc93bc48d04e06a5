//! Where the credential of one call goes in its request, and what it was made of where it can be got anew.

use std::sync::Arc;

use http::header::{COOKIE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use secrecy::ExposeSecret as _;
use toolmesh_proto::seal::ACCESS_TOKEN;
use url::Url;
use zeroize::Zeroizing;

use super::auth::Auth;
use super::opened::{CredentialError, Opened};
use super::scrub::scrub;
use crate::execute::rest::append_query;
use crate::execute::sign_in::session::Session;
use crate::execute::sign_in::tokens::{Held, Secret};

/// Where one call's credential goes in the request.
#[derive(Clone, Default)]
pub struct Placement {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) query: Vec<(String, Zeroizing<String>)>,
    /// Pairs of the `Cookie` header.
    pub(super) cookies: Vec<Zeroizing<String>>,
    /// Secrets that are none of the stored ones: computed forms, access tokens, what a login gave. To be scrubbed too.
    pub(super) derived: Vec<Zeroizing<String>>,
    pub(super) shown: Shown,
}

/// What a placement shows, where it can be got anew.
#[derive(Clone, Default)]
pub(in crate::execute) enum Shown {
    #[default]
    Stored,
    Held(Arc<Held>),
    Session(Arc<Session>),
}

impl Placement {
    pub(super) fn header(name: HeaderName, text: &str, credential: &str) -> Result<Self, CredentialError> {
        let mut value = HeaderValue::from_bytes(text.as_bytes())
            .map_err(|_| CredentialError::Characters(credential.to_owned()))?;
        value.set_sensitive(true);
        Ok(Self { headers: vec![(name, value)], ..Self::default() })
    }

    /// What the control plane has handed out, shown as the connector's auth says.
    pub(in crate::execute) fn held(auth: &Auth, held: Arc<Held>) -> Result<Self, CredentialError> {
        let mut placement = match (&held.secret, auth) {
            (Secret::Token(token), Auth::OAuth2 { header, prefix }) => {
                let text = Zeroizing::new(format!("{prefix}{}", token.expose_secret()));
                let mut placement = Self::header(header.clone(), &text, ACCESS_TOKEN)?;
                placement.derived.push(Zeroizing::new(token.expose_secret().to_owned()));
                placement
            }
            (Secret::Own(own), auth) => {
                let mut placement = own.place(auth)?;
                placement.derived.extend(own.secrets().map(|secret| Zeroizing::new(secret.to_owned())));
                placement
            }
            (Secret::Token(_), _) => {
                let text = "the control plane has given what its connector does not show";
                return Err(CredentialError::Later(text.to_owned()));
            }
        };
        placement.shown = Shown::Held(held);
        Ok(placement)
    }

    pub(in crate::execute) fn session(session: Arc<Session>) -> Self {
        let (headers, derived) = (session.headers(), session.secrets());
        Self { headers, derived, shown: Shown::Session(session), ..Self::default() }
    }

    pub(in crate::execute) const fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Puts the credential into the request, over whatever stood there.
    pub fn apply(&self, headers: &mut HeaderMap, query: &mut String) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        self.add_cookies(headers);
        self.apply_query(query);
    }

    /// Puts what belongs there into a query that replaces the one of a request that is ready.
    pub(in crate::execute) fn apply_query(&self, query: &mut String) {
        for (name, value) in &self.query {
            append_query(query, name, value);
        }
    }

    /// The credential's cookies come first: of two with one name, most servers read the first.
    fn add_cookies(&self, headers: &mut HeaderMap) {
        if self.cookies.is_empty() {
            return;
        }
        let callers = headers.get(COOKIE).and_then(|value| value.to_str().ok());
        let pairs: Vec<&str> = self.cookies.iter().map(|pair| pair.as_str()).chain(callers).collect();
        // Every pair was found fit for a header before.
        if let Ok(mut value) = HeaderValue::from_str(&Zeroizing::new(pairs.join("; "))) {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }

    /// What a member entered, where a key beside it is shown with that too.
    pub(super) fn entered_with(&self, key: &Auth) -> Option<&Opened> {
        let credential = key.credential()?;
        match &self.shown {
            Shown::Held(held) => match &held.secret {
                Secret::Own(own) => own.get(credential).is_ok().then_some(own),
                Secret::Token(_) => None,
            },
            _ => None,
        }
    }

    /// Puts this credential where another one was.
    pub(in crate::execute) fn replace(&self, before: &Self, headers: &mut HeaderMap, url: &mut Url) {
        for (name, _) in &before.headers {
            headers.remove(name);
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        before.take_cookies(headers);
        self.add_cookies(headers);
        if before.query.is_empty() && self.query.is_empty() {
            return;
        }
        let mut stood = Zeroizing::new(String::new());
        before.apply_query(&mut stood);
        let query = url.query().unwrap_or_default();
        // A credential stands at the end.
        let callers = query.strip_suffix(stood.as_str()).map_or(query, |rest| rest.trim_end_matches('&'));
        let mut query = Zeroizing::new(callers.to_owned());
        self.apply_query(&mut query);
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
    }

    /// Takes its cookies out again, which come first.
    fn take_cookies(&self, headers: &mut HeaderMap) {
        let own: Vec<&str> = self.cookies.iter().map(|pair| pair.as_str()).collect();
        let own = Zeroizing::new(own.join("; "));
        let all = headers.get(COOKIE).and_then(|value| value.to_str().ok());
        let Some(rest) = all.and_then(|all| all.strip_prefix(own.as_str())).filter(|_| !own.is_empty())
        else {
            return;
        };
        match HeaderValue::from_str(rest.trim_start_matches("; ")) {
            Ok(rest) if !rest.is_empty() => drop(headers.insert(COOKIE, rest)),
            _ => drop(headers.remove(COOKIE)),
        }
    }

    /// Learns from an answer: whether the API takes what is shown, and the cookies that it sets.
    pub fn learn(&self, status: StatusCode, headers: &HeaderMap) {
        match &self.shown {
            _ if status == StatusCode::UNAUTHORIZED => {}
            Shown::Stored => {}
            Shown::Held(held) => held.prove(),
            Shown::Session(session) => session.prove(headers),
        }
    }

    /// What is not a stored credential and must not be told either.
    pub(in crate::execute) fn derived(&self) -> &[Zeroizing<String>] {
        &self.derived
    }

    /// Takes what is not a stored credential out of a text.
    pub fn scrub(&self, text: &mut String) {
        self.derived().iter().for_each(|derived| scrub(text, derived));
    }
}
