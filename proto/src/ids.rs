//! Identifiers as types, so that a user's id cannot be passed where a tenant's is meant.
//!
//! All are UUIDv7: in order of creation, unguessable enough never to be a secret, written in the usual hyphenated form.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, after all that were made before it.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a default id would not be a new one")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The bare UUID, for a query or a message.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// One customer organisation; the console calls it a workspace.
    TenantId
    /// A person, across all workspaces.
    UserId
    /// A connector enabled in a tenant.
    InstallationId
    /// A connector of a tenant's own.
    PrivateConnectorId
    /// An OpenAPI document while operations are picked from it.
    ImportId
    /// A group of a tenant's members.
    GroupId
    /// An API key of a member or a service account.
    ApiKeyId
    /// A caller that is no person.
    ServiceAccountId
    /// An identity provider that a tenant lets vouch for its people.
    IdentityProviderId
    /// A user's consent to a client; `sid` in access tokens.
    GrantId
    /// An invitation to a workspace.
    InvitationId
    /// An entry of the audit log.
    AuditEventId
    /// One HTTP request, as in `x-request-id`.
    RequestId
}
