//! How the answer of a call is read.

use std::time::Duration;

use toolmesh_proto::jq::Program;
use toolmesh_proto::v1;

use super::{PlanError, Programs};
use crate::execute::rest::jsonpath::ResultPath;
use crate::execute::rest::pages::Paging;
use crate::execute::rest::retry::Retry;

/// Everything about an answer that does not depend on it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub result: Option<ResultPath>,
    pub transform: Option<Program>,
    /// What is hidden.
    pub masks: Vec<ResultPath>,
    /// The caller may give a program of their own.
    pub takes_program: bool,
    /// 0 for no cut.
    pub max_items: usize,
    /// Facts beside the answer.
    pub metadata: Option<ResultPath>,
    pub file: bool,
    /// What kind of file, where the API does not say.
    pub media_type: Option<String>,
    /// How long a link to a large one is good; 0 for the usual time.
    pub link_seconds: u32,
    pub streaming: Option<Streaming>,
    pub errors: Errors,
    pub retry: Option<Retry>,
    pub paging: Option<Paging>,
}

/// An answer that comes item by item.
#[derive(Clone, Copy, Debug)]
pub struct Streaming {
    pub skip: bool,
    pub longest: Option<Duration>,
    pub most: usize,
}

/// Where an error hides what it says.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    pub message: Option<ResultPath>,
    pub code: Option<ResultPath>,
    /// Where answers of success have an error, if they are one.
    pub refusal: Option<ResultPath>,
    plain: bool,
    codes: Vec<(u16, String)>,
}

impl Answer {
    pub(super) fn compile(call: &v1::RestCall, programs: &mut Programs) -> Result<Self, PlanError> {
        let rule = call.response.clone().unwrap_or_default();
        let transform = match rule.transform.as_str() {
            "" => None,
            text => Some(match programs.get(text) {
                Some(known) => known.clone(),
                None => {
                    let new =
                        Program::compile(text).map_err(|error| PlanError::Program(error.to_string()))?;
                    programs.entry(text.to_owned()).or_insert(new).clone()
                }
            }),
        };
        let masks = rule.redact.iter().map(|path| ResultPath::parse(path));
        Ok(Self {
            result: ResultPath::parse(&rule.result_path)?,
            transform,
            // A mask that names nothing would hide nothing.
            masks: masks.map(|mask| mask?.ok_or(PlanError::Mask)).collect::<Result<_, _>>()?,
            takes_program: rule.allow_jq,
            max_items: rule.max_items as usize,
            metadata: ResultPath::whole_or_part(&rule.metadata_path)?,
            file: rule.file,
            link_seconds: rule.link_seconds,
            media_type: Some(rule.media_type).filter(|media| !media.is_empty()),
            streaming: rule.streaming.map(|streaming| Streaming {
                skip: streaming.skip,
                longest: (streaming.max_millis > 0)
                    .then(|| Duration::from_millis(streaming.max_millis.into())),
                most: streaming.max_items as usize,
            }),
            errors: Errors::compile(&call.errors.clone().unwrap_or_default())?,
            retry: call.retry.as_ref().map(Retry::compile),
            paging: call.paging.as_ref().map(Paging::compile).transpose()?.flatten(),
        })
    }
}

impl Errors {
    fn compile(rule: &v1::ErrorRule) -> Result<Self, PlanError> {
        let code = |code: &v1::StatusCode| Some((u16::try_from(code.status).ok()?, code.code.clone()));
        Ok(Self {
            message: ResultPath::parse(&rule.message_path)?,
            code: ResultPath::parse(&rule.code_path)?,
            refusal: ResultPath::parse(&rule.refusal_path)?,
            plain: rule.plain,
            codes: rule.codes.iter().filter_map(code).collect(),
        })
    }

    /// Whether an error's body is text, whatever else it may look like.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.plain
    }

    /// What kind of error a status is, in one word.
    #[must_use]
    pub fn kind(&self, status: u16) -> String {
        let own = self.codes.iter().find(|(known, _)| *known == status).map(|(_, code)| code.as_str());
        own.unwrap_or_else(|| match status {
            400 | 422 => "invalid_input",
            401 => "unauthorized",
            403 => "forbidden",
            404 | 410 => "not_found",
            408 => "timeout",
            409 => "conflict",
            429 => "rate_limited",
            500 => "internal",
            502..=504 => "unavailable",
            status if (400..500).contains(&status) => "client_error",
            status if (500..600).contains(&status) => "server_error",
            _ => "unexpected_status",
        })
        .to_owned()
    }
}
