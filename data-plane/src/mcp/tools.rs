//! `tools/list` and `tools/call`.
//!
//! A call goes its whole way, in this order, and ends where a step does not say yes: identity, policy, arguments,
//! credential, upstream, result; then it is recorded, then answered. It runs to its end even if the client goes away: what
//! was sent cannot be called back, and must be in the log.

use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::task::JoinHandle;
use toolmesh_proto::access::Access;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::v1::{AuditEvent, Outcome};

use super::envelope::{INTERNAL_ERROR, INVALID_PARAMS, Id};
use super::revision::Revision;
use super::{Context, modern, reply};
use crate::catalog::{Tenant, ToolEntry};
use crate::execute::credentials::Opened;
use crate::execute::rest::response::{AnswerError, Content, status_text};
use crate::execute::{Execution, Failure, Trace, arguments};
use crate::identity::{Method, Principal, Reach};
use crate::ingress::CallPermit;
use crate::policy::{Decision, Reason, authorize};
use crate::record::{CallEvent, event::millis};

const REVOKED: &str = "Access was revoked before the call was sent, so nothing was changed. Log in again.";

/// A call on its way.
pub(super) struct Pending {
    id: Id,
    task: JoinHandle<Bytes>,
}

impl Pending {
    pub(super) const fn id(&self) -> &Id {
        &self.id
    }

    /// The reply.
    pub(super) async fn wait(self) -> Bytes {
        self.task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "call ended without a reply");
            reply::error(Some(&self.id), INTERNAL_ERROR, "The call failed inside the gateway. Try again.")
        })
    }
}

/// The tools that this principal may use, and those that a wider token would let them use.
pub(super) fn list(context: &Context, id: &Id, more: &str) -> Bytes {
    let listed = listed(&context.visit.tenant, &context.principal);
    reply::tools(id, listed.map(|entry| &*entry.listing), more)
}

/// What stands in the list of a principal, in its order.
pub(super) fn listed<'a>(
    tenant: &'a Tenant,
    principal: &'a Principal,
) -> impl Iterator<Item = &'a ToolEntry> {
    tenant.tools.iter().filter(move |entry| authorize(tenant, principal, entry).is_listed())
}

/// Why a call needs a wider token than the caller's, if it does; such a call is recorded here and goes no further.
pub(super) fn too_narrow(context: &Context, params: Option<&RawValue>) -> Option<String> {
    let tenant = &context.visit.tenant;
    // Most callers are done here, before anything is read twice.
    if !tenant.writes_need_scope || context.principal.reach != (Reach::Scoped { write: false }) {
        return None;
    }
    let params = params.and_then(|raw| serde_json::from_str::<CallParams>(raw.get()).ok())?;
    let entry = tenant.tool(&params.name)?;
    let narrow = Decision::Deny(Reason::NeedsWriteScope);
    if authorize(tenant, &context.principal, entry) != narrow {
        return None;
    }
    let mut event = begin(context, Some(&params));
    let refused = permitted(context, &params.name, &mut event).err()?;
    event.arguments(&params.arguments.unwrap_or_default(), &Opened::default());
    event.finish(Outcome::Denied, &refused.logged);
    Some(refused.told)
}

/// Begins a call.
pub(super) fn call(
    context: Context,
    revision: Revision,
    id: Id,
    params: Option<&RawValue>,
    permit: CallPermit,
) -> Pending {
    let params = params.map(ToOwned::to_owned);
    let tracker = context.app.calls.clone();
    let call_id = id.clone();
    let task = tracker.spawn(async move {
        // The call's own, not its connection's: it goes on when the client is gone.
        let _permit = permit;
        let said = run(&context, params.as_deref()).await;
        let stamp = Stamp::of(revision, &context.visit.tenant);
        match said {
            Said::Result(content) => reply::result(&call_id, CallResult::good(&content, stamp)),
            Said::Failed(text) => reply::result(&call_id, CallResult::bad(&text, stamp)),
            Said::Unfit(text) if revision.unfit_arguments_are_results() => {
                reply::result(&call_id, CallResult::bad(&text, stamp))
            }
            Said::Unfit(text) | Said::Refused(text) => reply::error(Some(&call_id), INVALID_PARAMS, &text),
        }
    });
    Pending { id, task }
}

/// What the caller is told.
enum Said {
    Result(Content),
    /// A result that is an error, for the model to read.
    Failed(String),
    /// Arguments that do not fit; what that is depends on the revision.
    Unfit(String),
    /// An error of the protocol.
    Refused(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallResult<'a> {
    content: [TextContent<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<&'a RawValue>,
    is_error: bool,
    #[serde(flatten)]
    stamp: Option<Stamp>,
}

/// What every result of the modern era says beside its content.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stamp {
    result_type: &'static str,
    #[serde(rename = "_meta")]
    meta: Map<String, Value>,
}

impl Stamp {
    fn of(revision: Revision, tenant: &Tenant) -> Option<Self> {
        let modern = revision == Revision::MODERN;
        modern.then(|| Self { result_type: "complete", meta: modern::meta(tenant) })
    }
}

#[derive(Serialize)]
struct TextContent<'a> {
    r#type: &'static str,
    text: &'a str,
}

impl<'a> CallResult<'a> {
    fn good(content: &'a Content, stamp: Option<Stamp>) -> Self {
        let text = TextContent { r#type: "text", text: content.text() };
        Self { content: [text], structured_content: content.object(), is_error: false, stamp }
    }

    fn bad(text: &'a str, stamp: Option<Stamp>) -> Self {
        let content = [TextContent { r#type: "text", text }];
        Self { content, structured_content: None, is_error: true, stamp }
    }
}

#[derive(Deserialize)]
struct CallParams {
    name: String,
    #[serde(default)]
    arguments: Option<Value>,
}

async fn run(context: &Context, params: Option<&RawValue>) -> Said {
    let parsed = params.and_then(|raw| serde_json::from_str::<CallParams>(raw.get()).ok());
    let mut event = begin(context, parsed.as_ref());
    let Some(CallParams { name, arguments }) = parsed else {
        let reason = "params.name must be the name of a tool.";
        event.finish(Outcome::Invalid, reason);
        return Said::Refused(reason.to_owned());
    };
    let arguments = arguments.filter(|value| !value.is_null()).unwrap_or_else(|| Value::Object(Map::new()));
    let entry = match permitted(context, &name, &mut event) {
        Ok(entry) => entry,
        Err(refused) => {
            event.arguments(&arguments, &Opened::default());
            event.finish(Outcome::Denied, &refused.logged);
            return Said::Refused(refused.told);
        }
    };
    let opened = context.app.executor.open(&entry.installation);
    event.arguments(&arguments, &opened);
    let arguments = match fitting(entry, arguments, &mut event) {
        Ok(arguments) => arguments,
        Err(unfit) => {
            event.finish(Outcome::Invalid, &unfit.logged);
            return Said::Unfit(unfit.told);
        }
    };
    execute(context, entry, &opened, &arguments, event).await
}

fn begin(context: &Context, params: Option<&CallParams>) -> CallEvent {
    let (client_id, api_key_id, detail) = match &context.principal.method {
        Method::OAuth { client } => (client.clone(), String::new(), "access token"),
        Method::ApiKey { id } => (String::new(), id.to_string(), "API key"),
    };
    let visit = &context.visit;
    let (user_id, service_account_id) = match context.principal.subject {
        Subject::User(id) => (id.to_string(), String::new()),
        Subject::Service(id) => (String::new(), id.to_string()),
    };
    let facts = AuditEvent {
        tenant_id: visit.tenant.id.to_string(),
        request_id: visit.request_id.to_string(),
        user_id,
        service_account_id,
        client_id,
        api_key_id,
        client_agent: visit.client_agent.clone(),
        remote_addr: visit.remote_addr.to_string(),
        method: "tools/call".to_owned(),
        tool: params.map(|params| params.name.clone()).unwrap_or_default(),
        arguments_json: "{}".to_owned(),
        ..AuditEvent::default()
    };
    let mut event = CallEvent::begin(context.app.recorder.clone(), facts, visit.started);
    event.step("identity", true, context.identified_in, detail);
    event
}

/// Why there is no call.
struct Refused {
    logged: String,
    told: String,
}

impl Refused {
    fn new(logged: &impl ToString, name: &str) -> Self {
        // A tool that is switched off is no different from one that never was.
        let told = format!("Unknown tool: {}", name.chars().take(100).collect::<String>());
        Self { logged: logged.to_string(), told }
    }

    fn because(reason: Reason, entry: &ToolEntry) -> Self {
        let told = match reason {
            Reason::ReadOnlyKey => format!(
                "This API key is for reading only, and {} does more than read. Use a key that may use all tools.",
                entry.name
            ),
            Reason::NeedsWriteScope => format!(
                "{} changes things, which needs a permission of its own in this workspace. Allow it in your client, or \
                 connect again.",
                entry.name
            ),
            Reason::NotAMember | Reason::SwitchedOff | Reason::Foreign => {
                return Self::new(&reason, &entry.name);
            }
        };
        Self { logged: reason.to_string(), told }
    }
}

/// The tool of that name, if there is one and policy says yes.
fn permitted<'a>(context: &'a Context, name: &str, event: &mut CallEvent) -> Result<&'a ToolEntry, Refused> {
    let start = Instant::now();
    let tenant = &context.visit.tenant;
    let decision = tenant.tool(name).map(|entry| (entry, authorize(tenant, &context.principal, entry)));
    if let Some((entry, _)) = &decision {
        let facts = event.facts();
        facts.installation_id = entry.installation.id.to_string();
        facts.access = entry.tool.access.to_string();
    }
    let refused = match decision {
        Some((entry, Decision::Allow)) => {
            event.step("policy", true, start.elapsed(), "allowed");
            return Ok(entry);
        }
        Some((entry, Decision::Deny(reason))) => Refused::because(reason, entry),
        None => Refused::new(&"There is no tool of this name.", name),
    };
    event.step("policy", false, start.elapsed(), refused.logged.clone());
    Err(refused)
}

fn fitting(
    entry: &ToolEntry,
    arguments: Value,
    event: &mut CallEvent,
) -> Result<Map<String, Value>, arguments::Unfit> {
    let start = Instant::now();
    let checked = match &arguments {
        Value::Object(_) => {
            arguments::check(&entry.name, &entry.tool.validator, &entry.tool.plan, &arguments)
        }
        _ => Err(arguments::Unfit {
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

async fn execute(
    context: &Context,
    entry: &ToolEntry,
    opened: &Opened,
    arguments: &Map<String, Value>,
    mut event: CallEvent,
) -> Said {
    // A read that is lost with its node has changed nothing.
    if entry.tool.access != Access::Read {
        if !context.standing.holds() {
            event.step("policy", false, std::time::Duration::ZERO, REVOKED);
            event.finish(Outcome::Denied, REVOKED);
            return Said::Refused(REVOKED.to_owned());
        }
        event.intend();
    }
    let Execution { result, trace } =
        context.app.executor.call(&entry.installation, &entry.tool, opened, arguments).await;
    note(&mut event, &trace, &result);
    match result {
        Ok(content) => {
            event.facts().result_bytes = content.text().len() as u64;
            event.finish(Outcome::Ok, "");
            Said::Result(content)
        }
        Err(failure) => {
            let told = failure.told(&entry.installation.connector.spoken(), &context.visit.tenant.name);
            event.finish(outcome(&failure), &told);
            match failure {
                Failure::Argument(_) => Said::Unfit(told),
                _ => Said::Failed(told),
            }
        }
    }
}

const fn outcome(failure: &Failure) -> Outcome {
    match failure {
        Failure::Argument(_) => Outcome::Invalid,
        Failure::Answer(AnswerError::Status { .. }) => Outcome::UpstreamError,
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
    if let Some(took) = trace.upstream {
        let detail = match failure {
            Some(Failure::Outbound(error)) => error.to_string(),
            _ => trace.status.map(status_text).unwrap_or_default(),
        };
        let ok = trace.status.is_some_and(|status| status.is_success());
        event.step("upstream", ok, took, detail);
        event.facts().upstream_status = trace.status.map_or(0, |status| u32::from(status.as_u16()));
        event.facts().upstream_millis = millis(took);
    }
    if let Some(took) = trace.read {
        let detail = match failure {
            Some(Failure::Answer(AnswerError::Status { .. })) => "the API answered with an error".to_owned(),
            Some(Failure::Answer(error)) => error.to_string(),
            _ => String::new(),
        };
        event.step("result", failure.is_none(), took, detail);
    }
}
