//! The part of a call behind policy: arguments that fit, the request, what became of it, all of it written down.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use toolmesh_proto::access::Access;
use toolmesh_proto::v1::Outcome;

use super::inner::Parent;
use super::{Caller, Said, composite, files, upstream};
use crate::catalog::{Call, ToolEntry};
use crate::execute::credentials::Opened;
use crate::execute::rest::Plan;
use crate::execute::rest::response::{AnswerError, Content, status_text};
use crate::execute::upstream::{Question, Round};
use crate::execute::{Execution, Failure, Trace, arguments};
use crate::record::{CallEvent, event::millis};

const REVOKED: &str = "Access was revoked before the call was sent, so nothing was changed. Log in again.";

/// The arguments, if they fit the tool.
pub(super) fn fitting(
    entry: &ToolEntry,
    mut arguments: Value,
    event: &mut CallEvent,
) -> Result<Map<String, Value>, arguments::Unfit> {
    let start = Instant::now();
    let filled = match &mut arguments {
        Value::Object(given) => entry.presets.fill(given),
        _ => Ok(()),
    };
    let checked = match (&filled, &arguments) {
        (Err(name), _) => Err(arguments::Unfit {
            told: format!(
                "The arguments do not fit {}. /{name}: it is set by the workspace and cannot be given.",
                entry.name
            ),
            logged: format!("The arguments do not fit: /{name} is set by the workspace."),
        }),
        (Ok(()), Value::Object(_)) => {
            arguments::check(&entry.name, &entry.tool.validator, &entry.tool.call, &arguments)
        }
        (Ok(()), _) => Err(arguments::Unfit {
            told: format!("The arguments of {} must be an object.", entry.name),
            logged: "The arguments are not an object.".to_owned(),
        }),
    };
    match (checked, arguments) {
        (Ok(()), Value::Object(arguments)) => {
            event.step("arguments", true, start.elapsed(), "");
            Ok(arguments)
        }
        (Err(unfit), _) => {
            event.step("arguments", false, start.elapsed(), unfit.logged.clone());
            Err(unfit)
        }
        (Ok(()), _) => Ok(Map::new()),
    }
}

/// Makes a call that policy has allowed, with arguments that fit, and records what became of it.
pub(super) async fn carry_out(
    caller: &Caller,
    entry: &ToolEntry,
    opened: &Opened,
    arguments: Map<String, Value>,
    round: Option<Round>,
    mut event: CallEvent,
    parent: Option<&Parent>,
) -> Said {
    // A read that is lost with its node has changed nothing.
    if entry.tool.access != Access::Read {
        if !caller.standing.holds() {
            event.step("policy", false, Duration::ZERO, REVOKED);
            event.finish(Outcome::Denied, REVOKED);
            return Said::Refused(REVOKED.to_owned());
        }
        event.intend();
    }
    match &entry.tool.call {
        Call::Rest(plan) => request(caller, entry, plan, opened, &arguments, event).await,
        Call::Composite(composite) => {
            composite::run(caller, entry, composite, &arguments, event, parent).await
        }
        Call::Upstream(_) => {
            let params =
                [("name", Value::from(entry.tool.name.clone())), ("arguments", Value::Object(arguments))];
            let params = params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let question = Question { method: "tools/call", params, round };
            upstream::pass(caller, &entry.installation, opened, question, event).await
        }
    }
}

/// The one request of a call.
async fn request(
    caller: &Caller,
    entry: &ToolEntry,
    plan: &Plan,
    opened: &Opened,
    arguments: &Map<String, Value>,
    mut event: CallEvent,
) -> Said {
    let start = Instant::now();
    let calling = caller.app.executor.call(&entry.installation, plan, opened, arguments);
    let Some(execution) = caller.line.hung_up().run_until_cancelled(calling).await else {
        return upstream::hung_up(event, start.elapsed(), &entry.installation.connector.spoken());
    };
    let Execution { result, aside, trace } = execution;
    note(&mut event, &trace, &result);
    if let Err(Failure::Answer(AnswerError::LargeFile(most))) = &result
        && let Some(link) = files::link(caller, entry, plan, arguments, *most)
    {
        event.finish(Outcome::Ok, "");
        return Said::Result(link, aside);
    }
    match result {
        Ok(content) => {
            event.facts().result_bytes = content.bytes() as u64;
            event.finish(Outcome::Ok, "");
            Said::Result(content, aside)
        }
        Err(failure) => {
            let told = failure.told(&entry.installation.connector.spoken(), &caller.visit.tenant.name);
            event.finish(outcome(&failure), &told);
            match failure {
                Failure::Argument(_) | Failure::Program(_) => Said::Unfit(told),
                failure => Said::Failed(failure.thrown(told)),
            }
        }
    }
}

pub(super) const fn outcome(failure: &Failure) -> Outcome {
    match failure {
        // The caller's own program, over an answer that came.
        Failure::Argument(_) | Failure::Program(_) | Failure::Answer(AnswerError::Program(_)) => {
            Outcome::Invalid
        }
        Failure::Answer(AnswerError::Status { .. } | AnswerError::Refused { .. }) => Outcome::UpstreamError,
        // A credential that is missing or unreadable: the API gave no usable answer since it was not asked.
        Failure::Credential(_) | Failure::Outbound(_) | Failure::Answer(_) => Outcome::UpstreamFailed,
    }
}

/// Writes down the steps of the execution.
fn note(event: &mut CallEvent, trace: &Trace, result: &Result<Content, Failure>) {
    let failure = result.as_ref().err();
    if let Some(took) = trace.credential {
        let detail = match failure {
            Some(Failure::Credential(error)) => Some(error.to_string()),
            Some(Failure::Argument(error)) => Some(error.to_string()),
            _ => None,
        };
        event.step("credential", detail.is_none(), took, detail.unwrap_or_default());
    }
    for earlier in &trace.tries {
        let detail = format!("{}; tried again after {} ms", earlier.outcome, millis(earlier.wait));
        event.step("upstream", false, earlier.took, detail);
    }
    if let Some(took) = trace.upstream {
        let detail = match failure {
            Some(Failure::Outbound(error)) => error.to_string(),
            _ => {
                let status = trace.status.map(status_text).unwrap_or_default();
                if trace.pages > 1 { format!("{status}, {} pages", trace.pages) } else { status }
            }
        };
        let ok = trace.status.is_some_and(|status| status.is_success());
        event.step("upstream", ok, took, detail);
        event.facts().upstream_status = trace.status.map_or(0, |status| u32::from(status.as_u16()));
        event.facts().upstream_millis = millis(took);
    }
    if let Some(took) = trace.read {
        let detail = match failure {
            Some(Failure::Answer(AnswerError::Status { .. } | AnswerError::Refused { .. })) => {
                "the API answered with an error".to_owned()
            }
            Some(Failure::Answer(error)) => error.to_string(),
            _ => String::new(),
        };
        event.step("result", failure.is_none(), took, detail);
    }
}
