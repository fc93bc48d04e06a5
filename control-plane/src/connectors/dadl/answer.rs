//! What a tool does with an answer: its own rules in place of the inherited ones.

use toolmesh_proto::v1;

use super::diagnostic::Report;
use super::errors::{self, Errors};
use super::fields::Fields;
use super::tool::Context;
use super::{paging, response};

/// The answer half of a tool.
#[derive(Debug)]
pub(super) struct Answer {
    pub paging: Option<v1::Paging>,
    /// JSON Schema of what the tool gives; empty where the file does not say.
    pub output_schema_json: String,
    response: v1::ResponseRule,
    errors: Errors,
    /// A second request does no harm.
    repeatable: bool,
}

impl Answer {
    /// Whether the caller may give a program of their own.
    pub(super) const fn takes_program(&self) -> bool {
        self.response.allow_jq
    }

    /// Puts the rules into the compiled call.
    pub(super) fn write(self, call: &mut v1::RestCall) {
        call.response = Some(self.response);
        call.retry = self.errors.retry.filter(|_| self.repeatable);
        call.errors = Some(self.errors.rule);
        call.paging = self.paging;
    }
}

/// Reads `response`, `errors`, `pagination`, `retry_unsafe` and `returns` of a tool.
pub(super) fn read(
    fields: &mut Fields<'_>,
    method: Option<&'static str>,
    context: &Context<'_>,
    report: &mut Report,
) -> Answer {
    let inherited = &context.defaults.response;
    // A tool's own rule replaces the inherited one as a whole, but what is masked stays masked.
    let own = fields.get("response").map(|field| response::read(&field, report));
    let response = own.map_or_else(|| inherited.clone(), |own| response::with_inherited(own, inherited));
    let errors = fields.get("errors").map(|field| errors::read(&field, report));
    // Defaults page reads only: a POST that changes something has no second page.
    let paging = match fields.get("pagination") {
        Some(field) => paging::read_tool(&field, report),
        None => context.defaults.paging.clone().filter(|_| method == Some("GET")),
    };
    let paging = paging.filter(|_| !response.file && response.streaming.is_none());
    // A key that is the same on every attempt makes any method one that may be repeated.
    let keyed = fields.get("idempotency").is_some();
    let unsafe_too = fields.boolean("retry_unsafe", report).unwrap_or_default();
    let repeatable = keyed || unsafe_too || !matches!(method, Some("POST" | "PATCH") | None);
    let output_schema_json = fields
        .get("returns")
        .and_then(|field| context.types.schema(&field, report))
        .map(|schema| schema.to_string())
        .unwrap_or_default();
    let errors = errors.unwrap_or_else(|| context.defaults.errors.clone());
    Answer { paging, output_schema_json, response, errors, repeatable }
}
