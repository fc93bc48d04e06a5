//! What a tool does with an answer: its own rules in place of the inherited ones, and the verdict on what this version
//! does not execute.

use toolmesh_proto::v1;

use super::diagnostic::Report;
use super::fields::Fields;
use super::rules::{self, Paging, Response};
use super::tool::Context;

/// The answer half of a tool.
#[derive(Debug)]
pub(super) struct Answer {
    pub paging: Option<Paging>,
    /// What this version does not execute.
    pub blocked: Vec<&'static str>,
    response: v1::ResponseRule,
    errors: v1::ErrorRule,
}

impl Answer {
    /// Puts the rules into the compiled call.
    pub(super) fn write(self, call: &mut v1::RestCall) {
        call.response = Some(self.response);
        call.errors = Some(self.errors);
    }
}

/// Reads `response`, `errors`, `pagination`, `retry_unsafe` and `returns` of a tool.
pub(super) fn read(
    fields: &mut Fields<'_>,
    method: Option<&'static str>,
    context: &Context<'_>,
    report: &mut Report,
) -> Answer {
    let mut blocked = Vec::new();
    let response = read_response(fields, context, &mut blocked, report);
    let errors = fields.get("errors").map(|field| rules::read_errors(&field, report));
    let paging = read_paging(fields, method, context, report);
    if paging.as_ref().is_some_and(|paging| !paging.exposed) {
        blocked.push("automatic paging");
    }
    fields.boolean("retry_unsafe", report);
    fields.skip(&["returns"]);
    let errors = errors.unwrap_or_else(|| context.defaults.errors.clone());
    Answer { paging, blocked, response: response.rule, errors }
}

fn read_response(
    fields: &mut Fields<'_>,
    context: &Context<'_>,
    blocked: &mut Vec<&'static str>,
    report: &mut Report,
) -> Response {
    let inherited = &context.defaults.response;
    // A tool's own rule replaces the inherited one as a whole, but what is masked stays masked.
    let own = fields.get("response").map(|field| rules::read_response(&field, report));
    let response = own.unwrap_or_else(|| inherited.clone());
    blocked.extend(&response.blocked);
    if response.redacts || inherited.redacts {
        blocked.push("masking of fields in the answer");
    }
    response
}

/// Defaults page reads only: a POST that changes something has no second page.
fn read_paging(
    fields: &mut Fields<'_>,
    method: Option<&'static str>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<Paging> {
    match fields.get("pagination") {
        Some(field) => rules::read_tool_paging(&field, report),
        None => context.defaults.paging.clone().filter(|_| method == Some("GET")),
    }
}
