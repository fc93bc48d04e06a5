//! The call that asks whether an API is well: whatever happens, its result is a verdict.
//!
//! It is one request without retries, judged by the answer as it came. Of the answer nothing is passed on but the API's own
//! message and when the credential expires.

use std::time::Instant;

use http::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::credentials::{Opened, Placement};
use super::outbound::{OutboundError, Reply};
use super::rest::Plan;
use super::rest::plan::Health;
use super::rest::response::{AnswerError, Content, status_text};
use super::{Execution, Executor, Failure, Trace, prepare, read};
use crate::catalog::Installation;

/// Longest moment of expiry that is passed on, in characters.
const MOMENT_CHARS: usize = 64;

/// Makes the call and gives its verdict.
pub(super) async fn call(
    executor: &Executor,
    installation: &Installation,
    plan: &Plan,
    opened: &Opened,
    rule: &Health,
) -> Execution {
    let mut trace = Trace::default();
    let started = Instant::now();
    let placement = executor.sign_in.placement(installation, opened, plan.credential).await;
    let prepared = placement
        .map_err(Failure::Credential)
        .and_then(|placement| Ok((prepare(installation, plan, &placement, &Map::new())?, placement)));
    trace.credential = Some(started.elapsed());
    let asked = Instant::now();
    let verdict = match prepared {
        Err(failure) => Verdict { error: Some(words(&failure)), ..Verdict::default() },
        Ok((request, placement)) => {
            let sent = executor.outbound.send_within(request, rule.within).await;
            trace.upstream = Some(asked.elapsed());
            trace.status = sent.as_ref().ok().map(|reply| reply.status);
            match sent {
                Ok(reply) => judge(rule, plan, &reply, opened, &placement),
                Err(error) => unreachable(&error),
            }
        }
    };
    let text = verdict.json(asked.elapsed().as_millis()).to_string();
    let content = RawValue::from_string(text.clone()).map_or(Content::Text(text), Content::Json);
    Execution { result: Ok(content), aside: super::Aside::default(), trace }
}

/// What is wrong with an answer by the rule, if anything is, and when the credential expires.
pub fn judge(rule: &Health, plan: &Plan, reply: &Reply, opened: &Opened, placement: &Placement) -> Verdict {
    let mut verdict = Verdict { status: Some(reply.status), ..Verdict::default() };
    let fits = rule.status.map_or_else(|| reply.status.is_success(), |wanted| wanted == reply.status);
    if !fits {
        verdict.error = Some(refusal(plan, reply, opened, placement));
        return verdict;
    }
    let told = read(plan, reply, false, opened, placement);
    if let Err(Failure::Answer(error @ AnswerError::Refused { .. })) = told {
        verdict.error = Some(error.to_string());
        return verdict;
    }
    let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let at = |path: &super::rest::jsonpath::ResultPath| body.as_ref().and_then(|body| path.find(body));
    let missing = rule.expected.as_ref().filter(|path| at(path).is_none_or(|found| is_nothing(&found)));
    if let Some(path) = missing {
        verdict.error = Some(format!("its answer has nothing at {}", path.source()));
        return verdict;
    }
    verdict.ok = true;
    verdict.expires = rule.expires.as_ref().and_then(at).and_then(|found| moment(&found)).map(|mut text| {
        opened.scrub(&mut text);
        placement.scrub(&mut text);
        text
    });
    verdict
}

/// Whether an API is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub ok: bool,
    pub status: Option<StatusCode>,
    /// What kind of failure, where no answer came.
    pub code: Option<&'static str>,
    pub expires: Option<String>,
    pub error: Option<String>,
}

impl Verdict {
    fn json(&self, millis: u128) -> Value {
        let mut verdict = Map::from_iter([("ok".to_owned(), json!(self.ok))]);
        if let Some(status) = self.status {
            verdict.insert("http_status".to_owned(), json!(status.as_u16()));
        }
        if let Some(code) = self.code {
            verdict.insert("error_code".to_owned(), json!(code));
        }
        verdict.insert("latency_ms".to_owned(), json!(u64::try_from(millis).unwrap_or(u64::MAX)));
        let now = OffsetDateTime::now_utc();
        verdict.insert("checked_at".to_owned(), json!(now.format(&Rfc3339).unwrap_or_default()));
        if let Some(expires) = &self.expires {
            verdict.insert("auth_expires_at".to_owned(), json!(expires));
        }
        if let Some(error) = &self.error {
            verdict.insert("error".to_owned(), json!(error));
        }
        Value::Object(verdict)
    }
}

fn unreachable(error: &OutboundError) -> Verdict {
    let code = match error {
        OutboundError::Name(_) | OutboundError::NameTimeout(_) => Some("dns_error"),
        OutboundError::Tls(_) => Some("tls_error"),
        OutboundError::ConnectionRefused | OutboundError::Unreachable => Some("connection_refused"),
        OutboundError::Timeout(_) => Some("timeout"),
        OutboundError::TooLarge(_) | OutboundError::Packed(_) | OutboundError::Broken => {
            Some("protocol_error")
        }
        // Nothing was asked.
        OutboundError::Refused(_) | OutboundError::File { .. } | OutboundError::BodyTooLarge(_) => None,
    };
    Verdict { code, error: Some(error.to_string()), ..Verdict::default() }
}

/// The status, and the API's own message where it is an error.
fn refusal(plan: &Plan, reply: &Reply, opened: &Opened, placement: &Placement) -> String {
    let status = status_text(reply.status);
    match read(plan, reply, false, opened, placement) {
        Err(Failure::Answer(AnswerError::Status { message, .. })) if !message.is_empty() => {
            format!("it answered {status}: {message}")
        }
        _ => format!("it answered {status}"),
    }
}

fn words(failure: &Failure) -> String {
    match failure {
        Failure::Credential(error) => error.to_string(),
        Failure::Argument(error) => error.to_string(),
        Failure::Outbound(error) => error.to_string(),
        Failure::Answer(error) => error.to_string(),
        Failure::Program(error) => error.clone(),
    }
}

/// Null, false, and a list in which nothing was found.
fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false)) || value.as_array().is_some_and(Vec::is_empty)
}

fn moment(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.chars().take(MOMENT_CHARS).collect()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use toolmesh_proto::v1;

    use super::*;
    use crate::catalog::{Connector, samples};

    fn verdict(rule: v1::HealthRule, status: u16, body: &str) -> Verdict {
        let mut definition = samples::connector();
        let Some(v1::tool::Call::Rest(call)) = &mut definition.tools[0].call else { panic!("no call") };
        call.health = Some(rule);
        let connector = Connector::compile(&definition).unwrap();
        let tool = &connector.tools[0];
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        let crate::catalog::Call::Rest(plan) = &tool.call else { panic!("no request") };
        judge(plan.health.as_ref().unwrap(), plan, &reply, &Opened::default(), &Placement::default())
    }

    #[test]
    fn any_success_is_well_unless_the_rule_wants_more() {
        let rule = |status: u32, path: &str| v1::HealthRule {
            expect_status: status,
            expect_path: path.into(),
            auth_expires_path: "$.until".into(),
            timeout_ms: 100,
        };
        assert!(verdict(rule(0, ""), 204, "").ok);
        assert!(verdict(rule(401, ""), 401, "").ok);
        assert!(!verdict(rule(200, ""), 204, "").ok);
        let well = verdict(rule(200, "$.ok"), 200, r#"{"ok": "yes", "until": "2030-01-01", "inner": 1}"#);
        assert!(well.ok, "{well:?}");
        let json = well.json(12);
        assert_eq!((&json["http_status"], &json["auth_expires_at"]), (&json!(200), &json!("2030-01-01")));
        assert_eq!(json["latency_ms"], 12);
        assert!(json.get("error").is_none() && json.get("inner").is_none());
        for body in ["{}", r#"{"ok": null}"#, r#"{"ok": false}"#, "no json"] {
            let ill = verdict(rule(0, "$.ok"), 200, body);
            assert_eq!(ill.error.as_deref(), Some("its answer has nothing at $.ok"), "{body}");
        }
        let ill = verdict(rule(0, ""), 503, "down for repairs");
        assert_eq!(ill.error.as_deref(), Some("it answered 503 Service Unavailable: down for repairs"));
    }

    #[test]
    fn what_kept_an_answer_away_has_a_code() {
        assert_eq!(unreachable(&OutboundError::Name("x".into())).code, Some("dns_error"));
        assert_eq!(unreachable(&OutboundError::ConnectionRefused).code, Some("connection_refused"));
        assert_eq!(unreachable(&OutboundError::Broken).json(1)["ok"], false);
    }
}
