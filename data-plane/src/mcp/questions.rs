//! What clients ask of what stands behind the endpoint: a tool, a prompt, a resource, a completion. Read from the protocol,
//! answered in it; which era it came by makes a difference here and nowhere below.

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::envelope::{INTERNAL_ERROR, INVALID_PARAMS, Id, MISSING_CAPABILITY};
use super::pass::{self, Kind};
use super::result::CallResult;
use super::revision::Revision;
use super::rounds::{Bound, State};
use super::{modern, reply};
use crate::call::{self, Asked, Caller, InputRequired, Reference, RpcError, Said};
use crate::execute::upstream::Round;
use crate::identity::challenge;

const FOREIGN_STATE: &str =
    "requestState is none of this call's, or more than ten minutes old. Make the call again without it.";

/// A question, read.
pub(super) struct Question {
    kind: Kind,
    revision: Revision,
    asked: What,
    bound: Bound,
}

enum What {
    Tool(Option<Asked>),
    Prompt { name: String, arguments: Option<Value>, round: Option<Round> },
    Resource { uri: String, round: Option<Round> },
    Completion { reference: Reference, argument: Value, context: Option<Value> },
}

/// What a question is answered with.
#[derive(Debug)]
pub(super) enum Finished {
    Result(Box<RawValue>),
    Error { status: StatusCode, code: i64, message: String, data: Option<Value> },
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Params {
    name: Option<Value>,
    uri: Option<Value>,
    arguments: Option<Value>,
    #[serde(rename = "ref")]
    reference: Option<Value>,
    argument: Option<Value>,
    context: Option<Value>,
    input_responses: Option<Value>,
    request_state: Option<Value>,
}

impl Finished {
    pub(super) fn error(code: i64, message: impl Into<String>) -> Self {
        Self::Error { status: StatusCode::OK, code, message: message.into(), data: None }
    }

    /// The reply.
    pub(super) fn body(&self, id: &Id) -> Bytes {
        match self {
            Self::Result(result) => reply::result(id, result),
            Self::Error { code, message, data, .. } => {
                reply::error_with(Some(id), *code, message, data.clone())
            }
        }
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Result(_) => StatusCode::OK,
            Self::Error { status, .. } => *status,
        }
    }

    fn written(result: &impl serde::Serialize) -> Self {
        to_raw_value(result)
            .map_or_else(|_| Self::error(INTERNAL_ERROR, "The result cannot be written."), Self::Result)
    }
}

/// Whether a method asks something that is answered from behind the endpoint.
pub(super) fn kind(method: &str) -> Option<Kind> {
    match method {
        "tools/call" => Some(Kind::Tool),
        "prompts/get" => Some(Kind::Prompt),
        "resources/read" => Some(Kind::Resource),
        "completion/complete" => Some(Kind::Completion),
        _ => None,
    }
}

/// Why a call needs a wider token than the caller's, if it does; such a call is recorded and goes no further.
pub(super) fn too_narrow(caller: &Caller, kind: Kind, params: Option<&RawValue>) -> Option<String> {
    if kind != Kind::Tool {
        return None;
    }
    let asked = || {
        let Params { name, arguments, .. } = read(params);
        Some(Asked { name: text(name)?, arguments, round: None })
    };
    call::too_narrow(caller, asked)
}

fn read(params: Option<&RawValue>) -> Params {
    params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

impl Question {
    /// Reads a question.
    ///
    /// # Errors
    /// Gives the answer to one that cannot be asked.
    pub(super) fn read(
        caller: &Caller,
        kind: Kind,
        revision: Revision,
        raw: Option<&RawValue>,
    ) -> Result<Self, Finished> {
        let mut params = read(raw);
        let name = match kind {
            Kind::Tool | Kind::Prompt => text(params.name.take()),
            Kind::Resource => text(params.uri.take()),
            Kind::Completion => Some(String::new()),
        };
        let (tenant, subject) = (caller.visit.tenant.id, caller.principal.subject);
        let method = method(kind);
        let bound = Bound::new(
            tenant,
            subject,
            method,
            name.as_deref().unwrap_or_default(),
            params.arguments.as_ref(),
        );
        let round = if revision == Revision::MODERN { round(caller, &bound, &mut params)? } else { None };
        let asked = match (kind, name) {
            (Kind::Tool, name) => {
                What::Tool(name.map(|name| Asked { name, arguments: params.arguments.take(), round }))
            }
            (Kind::Prompt, Some(name)) => What::Prompt { name, arguments: params.arguments.take(), round },
            (Kind::Resource, Some(uri)) => What::Resource { uri, round },
            (Kind::Prompt, None) => {
                return Err(Finished::error(INVALID_PARAMS, "params.name must be the name of a prompt."));
            }
            (Kind::Resource, None) => {
                return Err(Finished::error(INVALID_PARAMS, "params.uri must be the URI of a resource."));
            }
            (Kind::Completion, _) => completion(params)?,
        };
        Ok(Self { kind, revision, asked, bound })
    }

    /// Asks it and writes the answer.
    pub(super) async fn ask(self, caller: &Caller) -> Finished {
        let Self { kind, revision, asked, bound } = self;
        let said = match asked {
            What::Tool(asked) => call::run(caller, asked).await,
            What::Prompt { name, arguments, round } => {
                call::get_prompt(caller, &name, arguments, round).await
            }
            What::Resource { uri, round } => call::read_resource(caller, &uri, round).await,
            What::Completion { reference, argument, context } => {
                call::complete(caller, reference, argument, context).await
            }
        };
        answer(caller, kind, revision, &bound, said)
    }
}

const fn method(kind: Kind) -> &'static str {
    match kind {
        Kind::Tool => "tools/call",
        Kind::Prompt => "prompts/get",
        Kind::Resource => "resources/read",
        Kind::Completion => "completion/complete",
    }
}

/// The client's answers to an earlier round.
fn round(caller: &Caller, bound: &Bound, params: &mut Params) -> Result<Option<Round>, Finished> {
    let responses = match params.input_responses.take() {
        None | Some(Value::Null) => None,
        Some(Value::Object(responses)) => Some(responses),
        Some(_) => {
            return Err(Finished::error(INVALID_PARAMS, "params.inputResponses must be an object."));
        }
    };
    let state = match params.request_state.take() {
        None | Some(Value::Null) => return Ok(responses.map(|responses| Round { responses, state: None })),
        Some(Value::String(sealed)) => bound.open(&caller.app.seals, &sealed),
        Some(_) => Err(super::rounds::Foreign),
    };
    let state = state.map_err(|_| Finished::error(INVALID_PARAMS, FOREIGN_STATE))?;
    let mut responses = responses.unwrap_or_default();
    responses.retain(|key, _| state.keys.contains(key));
    Ok(Some(Round { responses, state: state.server }))
}

fn completion(params: Params) -> Result<What, Finished> {
    let reference = params.reference.unwrap_or_default();
    let of = |name: &str| reference.get(name).and_then(Value::as_str).map(str::to_owned);
    let reference = match (of("type").as_deref(), of("name"), of("uri")) {
        (Some("ref/prompt"), Some(name), _) => Reference::Prompt(name),
        (Some("ref/resource"), _, Some(uri)) => Reference::Resource(uri),
        _ => {
            let text = "params.ref must be a ref/prompt with a name or a ref/resource with a uri.";
            return Err(Finished::error(INVALID_PARAMS, text));
        }
    };
    let argument = params.argument.filter(|value| value.get("name").is_some_and(Value::is_string));
    let Some(argument) = argument else {
        return Err(Finished::error(INVALID_PARAMS, "params.argument must have a name and a value."));
    };
    Ok(What::Completion { reference, argument, context: params.context })
}

fn answer(caller: &Caller, kind: Kind, revision: Revision, bound: &Bound, said: Said) -> Finished {
    let tenant = &caller.visit.tenant;
    match said {
        Said::Result(content, aside) => {
            Finished::written(&CallResult::good(&content, &aside, revision, tenant))
        }
        Said::Passed(result) => Finished::Result(pass::result(result, kind, revision, tenant)),
        Said::InputRequired(wanted) => input_required(caller, bound, wanted),
        Said::Failed(thrown) | Said::Reconnect(thrown) if kind != Kind::Tool => {
            Finished::error(INTERNAL_ERROR, thrown.message)
        }
        Said::Failed(thrown) => Finished::written(&CallResult::bad(&thrown.message, revision, tenant)),
        Said::Reconnect(thrown) => {
            let result = CallResult::bad(&thrown.message, revision, tenant);
            let reads_challenges = revision == Revision::MODERN
                || caller.visit.client_agent.to_ascii_lowercase().contains("openai");
            let challenge = reads_challenges.then(|| challenge::reconnect(&tenant.origin));
            Finished::written(&result.with_challenge(challenge))
        }
        Said::Unfit(text) if revision.unfit_arguments_are_results() => {
            Finished::written(&CallResult::bad(&text, revision, tenant))
        }
        Said::Unfit(text) | Said::Refused(text) => Finished::error(INVALID_PARAMS, text),
        Said::Rpc(error) => {
            let RpcError { code, message, data } = pass::error(error, kind, revision);
            let status = if code == MISSING_CAPABILITY { StatusCode::BAD_REQUEST } else { StatusCode::OK };
            Finished::Error { status, code, message, data }
        }
    }
}

/// What a server wants to know first, for a client of the newest revision.
fn input_required(caller: &Caller, bound: &Bound, wanted: InputRequired) -> Finished {
    let client = caller.line.client();
    let missing: Map<String, Value> =
        wanted.requests.values().filter_map(|request| undeclared(&client.capabilities, request)).collect();
    if !missing.is_empty() {
        return needs(missing);
    }
    let keys = wanted.requests.keys().cloned().collect();
    let state = wanted.state.map(|server| State { server: Some(server), keys, parked: None });
    let sealed = match state {
        None => None,
        Some(state) => match bound.seal(&caller.app.seals, &state) {
            Some(sealed) => Some(sealed),
            None => return Finished::error(INTERNAL_ERROR, "The call cannot be continued here. Try again."),
        },
    };
    required(caller, wanted.requests, sealed)
}

/// The result that asks the client.
pub(super) fn required(caller: &Caller, requests: Map<String, Value>, state: Option<String>) -> Finished {
    let mut result = json!({
        "resultType": "input_required",
        "inputRequests": requests,
        "_meta": modern::meta(&caller.visit.tenant),
    });
    if let (Some(state), Value::Object(members)) = (state, &mut result) {
        members.insert("requestState".to_owned(), state.into());
    }
    Finished::written(&result)
}

fn needs(missing: Map<String, Value>) -> Finished {
    let names: Vec<&str> = missing.keys().map(String::as_str).collect();
    let message = format!("This needs a client with the capabilities {}.", names.join(", "));
    let data = Some(json!({ "requiredCapabilities": missing }));
    Finished::Error { status: StatusCode::BAD_REQUEST, code: MISSING_CAPABILITY, message, data }
}

/// The capability that a request needs and the client did not declare.
fn undeclared(declared: &Map<String, Value>, request: &Value) -> Option<(String, Value)> {
    let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
    let Some(needed) = call::capability(method) else { return Some((method.to_owned(), json!({}))) };
    let Some(Value::Object(own)) = declared.get(needed) else { return Some((needed.to_owned(), json!({}))) };
    let mode = request.get("params").and_then(|params| params.get("mode")).and_then(Value::as_str);
    // A bare `elicitation` means forms.
    let by_url = needed == "elicitation" && mode == Some("url") && !own.contains_key("url");
    by_url.then(|| (needed.to_owned(), json!({ "url": {} })))
}
