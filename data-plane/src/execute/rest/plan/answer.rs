//! How the answer of a call is read.

use toolmesh_proto::v1;

use super::PlanError;
use crate::execute::rest::jsonpath::ResultPath;

/// Everything about an answer that does not depend on it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub result: Option<ResultPath>,
    /// 0 for no cut.
    pub max_items: usize,
    /// Where an error hides the API's own message.
    pub message: Option<ResultPath>,
}

impl Answer {
    pub(super) fn compile(call: &v1::RestCall) -> Result<Self, PlanError> {
        let rule = call.response.clone().unwrap_or_default();
        let errors = call.errors.clone().unwrap_or_default();
        Ok(Self {
            result: ResultPath::parse(&rule.result_path)?,
            max_items: rule.max_items as usize,
            message: ResultPath::parse(&errors.message_path)?,
        })
    }
}
