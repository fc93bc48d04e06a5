//! Machines at the token endpoint: a client that acts as a service account (RFC 6749, section 4.4). It proves itself with a
//! key of its own each time, so it needs no refresh token.

use toolmesh_proto::claims::{Scopes, Subject};
use toolmesh_proto::ids::GrantId;

use super::clients::authentication::Authenticated;
use super::clients::{AuthMethod, machines};
use super::tokens::{Bearer, TokenAnswer, TokenError, TokenRequest};
use super::{Oauth, scopes};
use crate::accounts::service_accounts;
use crate::db::TenantTx;

pub(super) const CLIENT_CREDENTIALS: &str = "client_credentials";

impl Oauth {
    pub(super) async fn client_credentials(
        &self,
        mut tx: TenantTx,
        origin: &str,
        caller: &Authenticated,
        request: &TokenRequest,
    ) -> Result<TokenAnswer, TokenError> {
        if caller.method != AuthMethod::PrivateKeyJwt {
            return Err(TokenError::UnauthorizedClient(
                "client_credentials is for clients that sign with a key of their own (private_key_jwt)",
            ));
        }
        let client_id = &caller.client.client_id;
        let account = machines::store::account_of(&mut tx, client_id).await?.ok_or(
            TokenError::UnauthorizedClient("the client acts as no service account of this workspace"),
        )?;
        if !service_accounts::store::is_active(&mut tx, account).await? {
            return Err(TokenError::UnauthorizedClient(
                "the service account is disabled; an admin of this workspace can enable it",
            ));
        }
        let scopes = Scopes { offline: false, ..scopes::grantable(&mut tx, &request.scope).await? };
        let bearer = Bearer {
            origin,
            subject: Subject::Service(account),
            client_id,
            // No consent stands behind it; the id only has to be one of a kind.
            grant: GrantId::new(),
            scopes,
        };
        let answer = self.bearer(&mut tx, &bearer).await?;
        tx.commit().await?;
        Ok(answer)
    }
}
