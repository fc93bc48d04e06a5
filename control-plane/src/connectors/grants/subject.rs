//! An installation as it is when a token is asked for, and what one exchange is made from.
//!
//! Tokens remember what they were got with, as a fingerprint: with another secret, address or definition they are not used.

use std::collections::HashMap;

use aws_lc_rs::digest;
use prost::Message as _;
use secrecy::SecretString;
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1::OAuth2Auth;
use toolmesh_proto::v1::o_auth2_auth::Flow;
use uuid::Uuid;

use super::exchange::{self, Proof};
use super::jwt::ServiceAccount;
use super::store::GrantRow;
use crate::credentials::Account;
use crate::error::{Error, Result};

/// An installation as it is when a token is asked for.
pub(super) struct Subject {
    pub(super) auth: OAuth2Auth,
    pub(super) flow: Flow,
    pub(super) token_url: String,
    pub(super) secrets: HashMap<String, (i64, SecretString)>,
    pub(super) access_basis: String,
    pub(super) refresh_basis: String,
    /// Where tokens are taken back (RFC 7009); empty where the provider names no such place.
    pub(super) revocation_url: String,
    /// What the tokens are for (RFC 8707), where the provider is told.
    pub(super) resource: String,
    /// Who the provider says it is (RFC 9207); empty where the connector names its addresses.
    pub(super) issuer: String,
    /// It says so in its answers too.
    pub(super) names_itself: bool,
}

/// What is known of a provider that was found rather than named by the connector.
pub(super) struct Found {
    pub(super) issuer: String,
    pub(super) resource: String,
    pub(super) revocation_url: String,
    pub(super) names_itself: bool,
    pub(super) client_id: String,
}

/// What one exchange is made from.
pub(super) struct Work {
    pub(super) tenant: TenantId,
    pub(super) account: Account,
    pub(super) lease: Uuid,
    pub(super) auth: OAuth2Auth,
    pub(super) token_url: String,
    pub(super) client_id: Option<SecretString>,
    pub(super) client_secret: Option<SecretString>,
    pub(super) proof: Proof,
    pub(super) version: i64,
    pub(super) epoch: u64,
    pub(super) access_basis: String,
    pub(super) refresh_basis: String,
    pub(super) resource: String,
}

impl Subject {
    pub(super) fn new(
        auth: OAuth2Auth,
        base_url: &str,
        secrets: HashMap<String, (i64, SecretString)>,
    ) -> Result<Self> {
        let flow = auth.flow();
        let account = match secrets.get(&auth.service_account_credential) {
            Some((_, secret)) if flow == Flow::JwtBearer => Some(ServiceAccount::read(secret)?),
            _ => None,
        };
        let named = account.as_ref().and_then(ServiceAccount::token_uri);
        let token_url =
            if auth.token_url.is_empty() { named.unwrap_or_default() } else { auth.token_url.as_str() };
        let token_url = if flow == Flow::JwtBearer && token_url.is_empty() {
            String::new()
        } else {
            exchange::resolve(token_url, base_url)?.to_string()
        };
        let mut versions: Vec<_> =
            secrets.iter().map(|(name, (version, _))| format!("{name}={version}")).collect();
        versions.sort();
        let refresh = secrets.get(&auth.refresh_token_credential).map_or(0, |(version, _)| *version);
        let authorize = if auth.authorize_url.is_empty() {
            String::new()
        } else {
            exchange::resolve(&auth.authorize_url, base_url)?.to_string()
        };
        let revocation_url = if auth.revoke_url.is_empty() {
            String::new()
        } else {
            exchange::resolve(&auth.revoke_url, base_url)?.to_string()
        };
        Ok(Self {
            access_basis: fingerprint(&[
                &auth.encode_to_vec(),
                token_url.as_bytes(),
                versions.join("|").as_bytes(),
            ]),
            refresh_basis: fingerprint(&[token_url.as_bytes(), authorize.as_bytes(), &refresh.to_be_bytes()]),
            resource: String::new(),
            revocation_url,
            issuer: String::new(),
            names_itself: false,
            auth,
            flow,
            token_url,
            secrets,
        })
    }

    /// With an authorization server that was found. What was got as another client, from another issuer or for another resource
    /// is not used.
    pub(super) fn found(
        auth: OAuth2Auth,
        secrets: HashMap<String, (i64, SecretString)>,
        found: Found,
    ) -> Result<Self> {
        let base = auth.token_url.clone();
        let subject = Self::new(auth, &base, secrets)?;
        let with = |basis: &str| {
            fingerprint(&[basis, &found.issuer, &found.client_id, &found.resource].map(str::as_bytes))
        };
        Ok(Self {
            access_basis: with(&subject.access_basis),
            refresh_basis: with(&subject.refresh_basis),
            resource: found.resource,
            revocation_url: found.revocation_url,
            issuer: found.issuer,
            names_itself: found.names_itself,
            ..subject
        })
    }

    pub(super) fn secret(&self, name: &str) -> Option<&SecretString> {
        self.secrets.get(name).map(|(_, secret)| secret)
    }

    pub(super) fn client_id(&self) -> Option<&SecretString> {
        self.secret(&self.auth.client_id_credential)
    }

    pub(super) fn client_secret(&self) -> Option<&SecretString> {
        self.secret(&self.auth.client_secret_credential)
    }

    /// What was entered, for the flows that need nobody's consent.
    pub(super) fn own_proof(&self) -> Result<Proof> {
        let none = || Error::internal("a secret that is there was not found");
        match self.flow {
            Flow::ClientCredentials | Flow::Unspecified => Ok(Proof::Client),
            Flow::JwtBearer => {
                let secret = self.secret(&self.auth.service_account_credential).ok_or_else(none)?;
                Ok(Proof::Account(ServiceAccount::read(secret)?))
            }
            Flow::RefreshToken | Flow::AuthorizationCode => {
                Ok(Proof::Refresh(self.secret(&self.auth.refresh_token_credential).ok_or_else(none)?.clone()))
            }
        }
    }

    pub(super) fn request<'a>(&'a self, proof: &'a Proof) -> exchange::Request<'a> {
        exchange::Request {
            auth: &self.auth,
            token_url: &self.token_url,
            client_id: self.client_id(),
            client_secret: self.client_secret(),
            proof,
            resource: &self.resource,
        }
    }

    pub(super) fn work(
        self,
        tenant: TenantId,
        account: Account,
        lease: Uuid,
        proof: Proof,
        row: &GrantRow,
    ) -> Work {
        Work {
            tenant,
            account,
            lease,
            client_id: self.client_id().cloned(),
            client_secret: self.client_secret().cloned(),
            token_url: self.token_url,
            proof,
            version: row.version + 1,
            epoch: row.epoch.cast_unsigned(),
            access_basis: self.access_basis,
            refresh_basis: self.refresh_basis,
            resource: self.resource,
            auth: self.auth,
        }
    }
}

fn fingerprint(parts: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    toolmesh_proto::hex(context.finish().as_ref())
}
