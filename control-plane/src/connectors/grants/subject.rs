//! An installation as it is when a token is asked for, and what one exchange is made from.
//!
//! Tokens remember what they were got with, as a fingerprint: with another secret, address or definition they are not used.

use std::collections::HashMap;

use aws_lc_rs::digest;
use prost::Message as _;
use secrecy::SecretString;
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::v1::OAuth2Auth;
use toolmesh_proto::v1::o_auth2_auth::Flow;
use uuid::Uuid;

use super::exchange::{self, Proof};
use super::jwt::ServiceAccount;
use super::store::GrantRow;
use crate::error::{Error, Result};

/// An installation as it is when a token is asked for.
pub(super) struct Subject {
    pub(super) auth: OAuth2Auth,
    pub(super) flow: Flow,
    pub(super) token_url: String,
    pub(super) secrets: HashMap<String, (i64, SecretString)>,
    pub(super) access_basis: String,
    pub(super) refresh_basis: String,
}

/// What one exchange is made from.
pub(super) struct Work {
    pub(super) tenant: TenantId,
    pub(super) id: InstallationId,
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
        Ok(Self {
            access_basis: fingerprint(&[
                &auth.encode_to_vec(),
                token_url.as_bytes(),
                versions.join("|").as_bytes(),
            ]),
            refresh_basis: fingerprint(&[token_url.as_bytes(), authorize.as_bytes(), &refresh.to_be_bytes()]),
            auth,
            flow,
            token_url,
            secrets,
        })
    }

    pub(super) fn secret(&self, name: &str) -> Option<&SecretString> {
        self.secrets.get(name).map(|(_, secret)| secret)
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
            client_id: self.secret(&self.auth.client_id_credential),
            client_secret: self.secret(&self.auth.client_secret_credential),
            proof,
        }
    }

    pub(super) fn work(
        self,
        tenant: TenantId,
        id: InstallationId,
        lease: Uuid,
        proof: Proof,
        row: &GrantRow,
    ) -> Work {
        Work {
            tenant,
            id,
            lease,
            client_id: self.secret(&self.auth.client_id_credential).cloned(),
            client_secret: self.secret(&self.auth.client_secret_credential).cloned(),
            token_url: self.token_url,
            proof,
            version: row.version + 1,
            epoch: row.epoch.cast_unsigned(),
            access_basis: self.access_basis,
            refresh_basis: self.refresh_basis,
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
