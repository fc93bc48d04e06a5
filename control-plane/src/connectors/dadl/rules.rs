//! `backend.defaults`: what holds for every tool that does not say otherwise.

use toolmesh_proto::v1;

use super::auth::Auth;
use super::diagnostic::Report;
use super::errors::{self, Errors};
use super::fields::Field;
use super::{headers, paging, response};

/// `backend.defaults`.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    pub headers: Vec<v1::Header>,
    pub content_type: Option<String>,
    pub nest_body_keys: bool,
    pub paging: Option<v1::Paging>,
    pub response: v1::ResponseRule,
    pub errors: Errors,
}

pub(super) fn read_defaults(field: Option<Field<'_>>, auth: &Auth, report: &mut Report) -> Defaults {
    let mut defaults = Defaults::default();
    let Some(mut fields) = field.and_then(|field| field.fields(report)) else { return defaults };
    if let Some(field) = fields.get("headers") {
        let (mut all, content_type) = headers::read_defaults(&field, report);
        all.retain(|header| !auth.owns_header(&header.name));
        defaults.headers = all;
        defaults.content_type = content_type;
    }
    if let Some(field) = fields.get("content_type") {
        defaults.content_type = media_type(&field, report);
    }
    defaults.nest_body_keys = fields.boolean("nest_body_keys", report).unwrap_or_default();
    defaults.paging = fields.get("pagination").and_then(|field| paging::read(&field, report));
    defaults.response =
        fields.get("response").map(|field| response::read(&field, report)).unwrap_or_default();
    defaults.errors = fields.get("errors").map(|field| errors::read(&field, report)).unwrap_or_default();
    fields.finish(report);
    defaults
}

/// Whether a content type can be sent.
pub(super) fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim();
    headers::is_value(text) && essence.split('/').filter(|part| !part.is_empty()).count() == 2
}

/// A content type as it is sent.
pub(super) fn media_type(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.text(report)?;
    if !is_media_type(&text) {
        field.error(report, "is not a media type", "write one such as application/json");
        return None;
    }
    Some(text)
}
