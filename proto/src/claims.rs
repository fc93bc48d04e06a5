//! Access tokens and API keys: what the control plane issues and a node checks.

use serde::{Deserialize, Serialize};

/// `typ` of an access token (RFC 9068, section 2.1); keeps other tokens of ours from passing for one.
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// Life of an access token, in seconds.
pub const ACCESS_TOKEN_SECONDS: i64 = 600;

/// Clocks of two machines may differ by this many seconds.
pub const LEEWAY_SECONDS: u64 = 30;

/// The one scope there is: use of the workspace's tools.
pub const SCOPE_TOOLS: &str = "mcp:tools";

/// What every API key starts with, so that secret scanners and people know it.
pub const API_KEY_PREFIX: &str = "tmk_";

/// Claims of an access token (RFC 9068) with ours: `tid` and `sid`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The tenant's origin.
    pub iss: String,
    /// The tenant's `/mcp` URL (RFC 8707).
    pub aud: String,
    /// User id.
    pub sub: String,
    pub client_id: String,
    /// Tenant id.
    pub tid: String,
    /// Grant id.
    pub sid: String,
    pub jti: String,
    /// Seconds since the epoch.
    pub iat: i64,
    pub exp: i64,
    /// Space-separated.
    pub scope: String,
}

/// The URL of a tenant's MCP endpoint, the `resource` of RFC 8707 and 9728.
#[must_use]
pub fn resource(origin: &str) -> String {
    format!("{origin}/mcp")
}
