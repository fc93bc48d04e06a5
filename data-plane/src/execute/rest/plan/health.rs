//! When an API counts as well.

use std::time::Duration;

use http::StatusCode;
use toolmesh_proto::v1;

use crate::execute::rest::jsonpath::{PathError, ResultPath};

/// The rule of a call that asks whether the API is well.
#[derive(Clone, Debug)]
pub struct Health {
    /// `None` for any success.
    pub status: Option<StatusCode>,
    /// What must be in the answer.
    pub expected: Option<ResultPath>,
    /// Where it says when the credential expires.
    pub expires: Option<ResultPath>,
    pub within: Duration,
}

impl Health {
    /// The usual time for an answer, where the definition has none.
    const USUAL: Duration = Duration::from_secs(5);

    pub(super) fn compile(rule: &v1::HealthRule) -> Result<Self, PathError> {
        let within = Duration::from_millis(rule.timeout_ms.into());
        Ok(Self {
            status: u16::try_from(rule.expect_status).ok().and_then(|code| StatusCode::from_u16(code).ok()),
            expected: ResultPath::parse(&rule.expect_path)?,
            expires: ResultPath::parse(&rule.auth_expires_path)?,
            within: if within.is_zero() { Self::USUAL } else { within },
        })
    }
}
