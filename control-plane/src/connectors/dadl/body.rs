//! How a tool's request carries its body: encoding, content type, size, and the key that makes a repetition harmless.

use toolmesh_proto::v1::{self, BodyEncoding, param::Place};

use super::diagnostic::{Report, quote};
use super::fields::{Field, Fields};
use super::params::Params;
use super::tool::Context;
use super::{headers, rules};

/// No body is larger, whatever a file says.
const MOST: u64 = 100 << 20;

/// The body half of a request.
#[derive(Debug, Default)]
pub(super) struct Body {
    encoding: BodyEncoding,
    content_type: String,
    nest_keys: bool,
    most: u64,
    idempotency_header: String,
}

impl Body {
    /// Puts the rules into the compiled call.
    pub(super) fn write(self, call: &mut v1::RestCall) {
        call.body = self.encoding.into();
        call.content_type = self.content_type;
        call.nest_body_keys = self.nest_keys;
        call.max_body_bytes = self.most;
        call.idempotency_header = self.idempotency_header;
    }
}

/// Reads `content_type`, `nest_body_keys`, `max_body_size` and `idempotency` of a tool.
pub(super) fn read(
    fields: &mut Fields<'_>,
    params: &Params,
    context: &Context<'_>,
    report: &mut Report,
) -> Body {
    let field = fields.get("content_type");
    let own = field.as_ref().and_then(|field| rules::media_type(field, report));
    let inherits = context.defaults.nest_body_keys;
    let mut body = Body {
        nest_keys: fields.boolean("nest_body_keys", report).unwrap_or(inherits),
        most: fields.get("max_body_size").and_then(|field| read_size(&field, report)).unwrap_or_default(),
        idempotency_header: read_idempotency(fields, params, context, report).unwrap_or_default(),
        ..Body::default()
    };
    let (count, files) = (params.count_in(Place::Body), params.files());
    // An inherited content type says nothing about a call without a body, nor about a file.
    let inherited = context.defaults.content_type.clone().filter(|_| count > 0 && files == 0);
    let content_type = own.or(inherited);
    let essence = essence(content_type.as_deref());
    body.encoding = encoding(&essence, count, files);
    if params.whole_body {
        if body.encoding != BodyEncoding::Json || count != 1 {
            let message = "hold one that is marked x-whole-body beside others, or in a body that is not JSON";
            let help = "leave x-whole-body out, or make it the one body parameter of a JSON body";
            report.error(fields.at, &format!("{}.params", fields.path), message, help);
        }
        body.encoding = BodyEncoding::WholeJson;
    }
    let replaced = body.encoding == BodyEncoding::Multipart && essence != "multipart/form-data";
    if replaced && let Some(field) = &field {
        let message = "has no room for a file and other parameters; they are sent as multipart/form-data";
        field.warn(report, message, "write multipart/form-data");
    } else if body.encoding == BodyEncoding::Json && !is_json(&essence) {
        let message = format!("{} carries one parameter as it is; these are sent as JSON", quote(&essence));
        report.warn(fields.at, &format!("{}.content_type", fields.path), message, "keep one body parameter");
    }
    if !replaced && body.encoding != BodyEncoding::None {
        body.content_type = content_type.unwrap_or_default();
    }
    body
}

fn essence(content_type: Option<&str>) -> String {
    let essence = content_type.unwrap_or("application/json").split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn is_json(essence: &str) -> bool {
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// How a body is written, from its media type and its parameters.
fn encoding(essence: &str, count: usize, files: usize) -> BodyEncoding {
    match (essence, count, files) {
        (_, 0, _) => BodyEncoding::None,
        ("multipart/form-data", ..) => BodyEncoding::Multipart,
        (_, 1, 1) => BodyEncoding::Raw,
        (_, _, 1..) => BodyEncoding::Multipart,
        ("application/x-www-form-urlencoded", ..) => BodyEncoding::Form,
        (json, ..) if is_json(json) => BodyEncoding::Json,
        (other, 1, _) if is_text(other) => BodyEncoding::Text,
        (_, 1, _) => BodyEncoding::Raw,
        _ => BodyEncoding::Json,
    }
}

fn is_text(essence: &str) -> bool {
    essence.starts_with("text/") || essence.ends_with("xml") || essence.ends_with("yaml")
}

/// A size such as `100MB`, `128 KiB` or a number of bytes; K, M and G are powers of 1024 with and without an `i`.
fn read_size(field: &Field<'_>, report: &mut Report) -> Option<u64> {
    let text = field.text(report)?;
    let Some(bytes) = size(&text).filter(|bytes| *bytes > 0) else {
        field.error(
            report,
            format!("{} is not a size", quote(&text)),
            "write one such as 20MB, 128 KiB or 4096",
        );
        return None;
    };
    if bytes > MOST {
        field.warn(report, "is more than is ever sent; 100 MiB is the limit", "write 100MB or less");
    }
    Some(bytes.min(MOST))
}

fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" | "byte" | "bytes" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(1 << shift),
        Some((whole, part)) if part.len() <= 3 => {
            let scale = 10_u64.pow(u32::try_from(part.len()).ok()?);
            let thousandths =
                whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(part.parse().ok()?)?;
            Some(thousandths.checked_mul(1 << shift)? / scale)
        }
        Some(_) => None,
    }
}

/// The header of the keys; the gateway draws them, so that nothing else may set it.
fn read_idempotency(
    fields: &mut Fields<'_>,
    params: &Params,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<String> {
    let field = fields.get("idempotency")?;
    let mut inner = field.fields(report)?;
    inner.word("generate", &["uuid_v4"], report);
    let header = inner.need("header", report, "write `header: Idempotency-Key`, or as the API names it");
    inner.finish(report);
    let header = header?;
    let name = header.text(report)?;
    let same = |other: &str| other.eq_ignore_ascii_case(&name);
    let problem = if !headers::is_name(&name) {
        Some("is not a header name")
    } else if headers::is_reserved(&name) || same("content-type") || context.auth.owns_header(&name) {
        Some("is set by the gateway for something else")
    } else if context.defaults.headers.iter().any(|default| same(&default.name)) {
        Some("is also set by defaults.headers")
    } else if params.has_header(&name) {
        Some("is also a parameter, but callers do not choose the key")
    } else {
        None
    };
    if let Some(problem) = problem {
        header.error(
            report,
            problem,
            "name the header that the API reads the key from, and set it nowhere else",
        );
        return None;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        for (text, bytes) in [
            ("4096", Some(4096)),
            ("1KB", Some(1024)),
            ("128 KiB", Some(128 << 10)),
            ("20mb", Some(20 << 20)),
            ("1.5 MB", Some(3 << 19)),
            ("2G", Some(2 << 30)),
            ("0", Some(0)),
            ("", None),
            ("MB", None),
            ("1.2.3MB", None),
            ("-1", None),
            ("10 parsecs", None),
            ("99999999999999999999", None),
            ("18446744073709551615G", None),
            ("1e3", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }
}
