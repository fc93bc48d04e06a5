//! Servers of revision 2026-07-28: every request says all there is to say, and nothing is kept between two.

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use toolmesh_proto::mcp_headers::encode;

use super::envelope::{Message, RpcError};
use super::exchange::{Answering, Refusal, supported};
use super::server::{Era, LEGACY, MODERN};
use super::{Answer, Call, Failure, Question, Refused, converse, meta, result};

pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Header mismatch, missing capability, unsupported version: only servers of this era know these.
const MODERN_ERRORS: std::ops::RangeInclusive<i64> = -32099..=-32020;
const UNSUPPORTED_VERSION: i64 = -32022;

/// Asks once, with one request.
pub(super) async fn ask(call: &Call<'_>, question: Question) -> Result<Answer, Refused> {
    let id = call.server.next_id();
    let headers = headers(call, &question)?;
    let method = question.method;
    let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params(call, question)});
    let incoming = call.send(call.door().post(headers, body.to_string().into_bytes())).await?;
    if !incoming.status.is_success() {
        let refusal = Refusal::of(incoming).await?;
        let speaks = other_era(&refusal);
        return Err(Refused::by(refusal.failure(), speaks));
    }
    let mut answering = Answering::read(incoming, call.upstreams.outbound.answer_bytes(), false).await?;
    loop {
        match answering.next().await? {
            Some(Message::Answer { id: theirs, outcome }) => {
                let outcome = converse::ours(&theirs, id, outcome)?;
                call.proved(Era::Modern);
                return Ok(result::answer(method, outcome, true)?);
            }
            Some(Message::Notification { method, params }) => {
                converse::told(call, &method, params, None).await;
            }
            Some(Message::Request { .. }) => {
                let what = "sent a request of its own, which revision 2026-07-28 forbids";
                return Err(Failure::broken(what).into());
            }
            None => return Err(Failure::broken("ended its answer before the result").into()),
        }
    }
}

fn params(call: &Call<'_>, question: Question) -> Map<String, Value> {
    let mut params = question.params;
    params.insert("_meta".to_owned(), meta::modern(call.line).into());
    if let Some(round) = question.round {
        params.insert("inputResponses".to_owned(), round.responses.into());
        if let Some(state) = round.state {
            params.insert("requestState".to_owned(), state.into());
        }
    }
    params
}

/// The headers that repeat the body for whoever stands between.
fn headers(call: &Call<'_>, question: &Question) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(VERSION, HeaderValue::from_static(MODERN));
    headers.insert(METHOD, HeaderValue::from_static(question.method));
    let name = match question.method {
        "tools/call" | "prompts/get" => question.params.get("name"),
        "resources/read" => question.params.get("uri"),
        _ => None,
    };
    if let Some(name) = name.and_then(Value::as_str) {
        headers.insert(NAME, value(name)?);
        if question.method == "tools/call" {
            let arguments = question.params.get("arguments").and_then(Value::as_object);
            let asked = call.server.param_headers(&call.installation.connector, name);
            for param in asked {
                let Some(text) = arguments.and_then(|arguments| param.text(arguments)) else { continue };
                let name = HeaderName::try_from(param.header.as_str());
                let name = name.map_err(|_| Failure::broken("asks for a header that cannot be sent"))?;
                headers.insert(name, value(&text)?);
            }
        }
    }
    Ok(headers)
}

fn value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::try_from(encode(text).as_ref())
        .map_err(|_| Failure::broken("has a name that cannot be sent"))
}

/// Whether a refusal says that the server speaks an older revision.
fn other_era(refusal: &Refusal) -> Option<Era> {
    let older = matches!(
        refusal.status,
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    );
    match &refusal.error {
        Some(error) if error.code == UNSUPPORTED_VERSION => Era::among(&supported(error)),
        Some(RpcError { code, .. }) if MODERN_ERRORS.contains(code) => None,
        // What an older server says to a request without a session.
        Some(RpcError { code: -32600 | -32019..=-32000, .. }) | None if older => Some(Era::Legacy(LEGACY[0])),
        _ => None,
    }
}
