//! What clients ask of what stands behind the endpoint: a tool, a prompt, a resource, a completion. Read from the protocol,
//! answered in it; which era it came by makes a difference here and nowhere below.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::envelope::{self, INTERNAL_ERROR, INVALID_PARAMS, Id, MISSING_CAPABILITY};
use super::pass::{self, Kind};
use super::result::CallResult;
use super::revision::Revision;
use super::rounds::{Bound, State};
use super::{modern, reply};
use crate::call::line::Answered;
use crate::call::{self, Asked, Caller, InputRequired, Reference, RpcError, Said};
use crate::execute::upstream::Round;
use crate::identity::challenge;
use crate::members::Members;
use crate::peer::Undeliverable;

const FOREIGN_STATE: &str =
    "requestState is none of this call's, or more than ten minutes old. Make the call again without it.";

/// How a client is asked that is not told how.
const FORM: &str = "form";

const OVER: &str =
    "The call does not wait for this answer any more. Make the call again without requestState.";
const AWAY: &str = "The call cannot be gone on with now. Make it again, without requestState.";

/// A question, read.
pub(super) struct Question {
    kind: Kind,
    revision: Revision,
    asked: What,
    bound: Bound,
}

enum What {
    /// Or why no tool can be called, which is recorded as a call.
    Tool(Result<Asked, String>),
    Prompt {
        name: String,
        arguments: Option<Value>,
        round: Option<Round>,
    },
    Resource {
        uri: String,
        round: Option<Round>,
    },
    Completion {
        reference: Reference,
        argument: Value,
        context: Option<Value>,
    },
}

/// What a question is answered with.
#[derive(Debug)]
pub(super) enum Finished {
    Result(Box<RawValue>),
    Error { code: i64, message: String, data: Option<Box<RawValue>> },
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

/// A call that waits for the client's answers, and these.
pub(super) struct Resumption {
    pub parked: String,
    pub answers: BTreeMap<String, Answered>,
    pub bound: Bound,
}

/// What a request asks for.
pub(super) enum Wanted {
    Call(Question),
    Resumption(Resumption),
}

impl Finished {
    /// An answer as nodes tell it each other.
    pub(super) fn answered(self) -> Answered {
        match self {
            Self::Result(result) => Answered::Result(result),
            Self::Error { code, message, data } => {
                let mut error = Members::default();
                error.set_value("code", &code);
                error.set_value("message", &message);
                if let Some(data) = data {
                    error.set("data", data);
                }
                Answered::Error(error.write())
            }
        }
    }

    pub(super) fn of(answered: Answered) -> Self {
        #[derive(Deserialize)]
        struct Failure {
            code: i64,
            message: String,
            #[serde(default)]
            data: Option<Box<RawValue>>,
        }
        match answered {
            Answered::Result(result) => Self::Result(result),
            Answered::Error(error) => match serde_json::from_str(error.get()) {
                Ok(Failure { code, message, data }) => Self::Error { code, message, data },
                Err(_) => Self::error(INTERNAL_ERROR, "The call failed inside the gateway. Try again."),
            },
        }
    }

    /// Why a call that waited does not go on.
    pub(super) fn not_resumed(error: &Undeliverable) -> Self {
        match error {
            Undeliverable::Unknown | Undeliverable::Gone => Self::error(INVALID_PARAMS, OVER),
            Undeliverable::Busy | Undeliverable::Away => Self::error(INTERNAL_ERROR, AWAY),
        }
    }

    /// What a call that waits now asks the client.
    pub(super) fn asks(
        caller: &Caller,
        bound: &Bound,
        parked: String,
        questions: BTreeMap<String, (String, Box<RawValue>)>,
    ) -> Self {
        let state = State { server: None, keys: questions.keys().cloned().collect(), parked: Some(parked) };
        let Some(sealed) = bound.seal(&caller.app.seals, &state) else {
            return Self::error(INTERNAL_ERROR, "The call cannot be continued here. Try again.");
        };
        let mut requests = Members::default();
        for (key, (method, params)) in questions {
            let mut request = Members::default();
            request.set_value("method", &method);
            request.set("params", params);
            requests.set(&key, request.write());
        }
        required(caller, &requests, Some(sealed))
    }

    pub(super) fn error(code: i64, message: impl Into<String>) -> Self {
        Self::Error { code, message: message.into(), data: None }
    }

    /// The reply.
    pub(super) fn body(&self, id: &Id) -> Bytes {
        match self {
            Self::Result(result) => reply::result(id, result),
            Self::Error { code, message, data } => {
                reply::error_with(Some(id), *code, message, data.as_deref())
            }
        }
    }

    /// The status of a response that is nothing else.
    pub(super) fn status(&self, revision: Revision) -> StatusCode {
        match self {
            Self::Error { code: MISSING_CAPABILITY, .. } if revision == Revision::MODERN => {
                StatusCode::BAD_REQUEST
            }
            Self::Error { .. } | Self::Result(_) => StatusCode::OK,
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
        let Params { name, arguments, .. } = envelope::params(params).ok()?;
        Some(Asked { name: text(name)?, arguments, round: None })
    };
    call::too_narrow(caller, asked)
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
    ) -> Result<Wanted, Finished> {
        let mut params: Params = match envelope::params(raw) {
            Ok(params) => params,
            Err(reason) => return Self::unreadable(caller, kind, revision, reason),
        };
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
        let round = match round {
            None => None,
            Some(Continued::Round(round)) => Some(round),
            Some(Continued::Parked(parked, answers)) => {
                return Ok(Wanted::Resumption(Resumption { parked, answers, bound }));
            }
        };
        let asked = match (kind, name) {
            (Kind::Tool, Some(name)) => {
                What::Tool(Ok(Asked { name, arguments: params.arguments.take(), round }))
            }
            (Kind::Tool, None) => What::Tool(Err("params.name must be the name of a tool.".to_owned())),
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
        Ok(Wanted::Call(Self { kind, revision, asked, bound }))
    }

    /// A question whose params cannot be read. A call of a tool is recorded all the same.
    fn unreadable(
        caller: &Caller,
        kind: Kind,
        revision: Revision,
        reason: String,
    ) -> Result<Wanted, Finished> {
        if kind != Kind::Tool {
            return Err(Finished::error(INVALID_PARAMS, reason));
        }
        let (tenant, subject) = (caller.visit.tenant.id, caller.principal.subject);
        let bound = Bound::new(tenant, subject, method(kind), "", None);
        Ok(Wanted::Call(Self { kind, revision, asked: What::Tool(Err(reason)), bound }))
    }

    pub(super) const fn bound(&self) -> &Bound {
        &self.bound
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

/// What a further round goes on with.
enum Continued {
    /// A question to the server, with the client's answers.
    Round(Round),
    /// A call that waits for them.
    Parked(String, BTreeMap<String, Answered>),
}

/// The client's answers to an earlier round.
fn round(caller: &Caller, bound: &Bound, params: &mut Params) -> Result<Option<Continued>, Finished> {
    let responses = match params.input_responses.take() {
        None | Some(Value::Null) => None,
        Some(Value::Object(responses)) => Some(responses),
        Some(_) => return Err(no_objects()),
    };
    let state = match params.request_state.take() {
        None | Some(Value::Null) => {
            let responses = responses.map(results).transpose()?;
            return Ok(responses.map(|responses| Continued::Round(Round { responses, state: None })));
        }
        Some(Value::String(sealed)) => bound.open(&caller.app.seals, &sealed),
        Some(_) => Err(super::rounds::Foreign),
    };
    let state = state.map_err(|_| Finished::error(INVALID_PARAMS, FOREIGN_STATE))?;
    let mut responses = responses.unwrap_or_default();
    responses.retain(|key, _| state.keys.contains(key));
    let responses = results(responses)?;
    let Some(parked) = state.parked else {
        return Ok(Some(Continued::Round(Round { responses, state: state.server })));
    };
    let answers = responses
        .into_iter()
        .filter_map(|(key, response)| Some((key, Answered::Result(to_raw_value(&response).ok()?))));
    Ok(Some(Continued::Parked(parked, answers.collect())))
}

/// The answers, if each is the result of what was asked: results are objects.
fn results(responses: Map<String, Value>) -> Result<Map<String, Value>, Finished> {
    if responses.values().all(Value::is_object) { Ok(responses) } else { Err(no_objects()) }
}

fn no_objects() -> Finished {
    let text = "params.inputResponses must be an object, and each of its members one.";
    Finished::error(INVALID_PARAMS, text)
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
    let is_text = |value: &Value, name: &str| value.get(name).is_some_and(Value::is_string);
    let argument = params.argument.filter(|value| is_text(value, "name") && is_text(value, "value"));
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
            Finished::Error { code, message, data }
        }
    }
}

/// What a server wants to know first, for a client of the newest revision.
fn input_required(caller: &Caller, bound: &Bound, wanted: InputRequired) -> Finished {
    let client = caller.line.client();
    let requests = wanted.requests.iter();
    let missing: Map<String, Value> =
        requests.filter_map(|(_, request)| undeclared(&client.capabilities, request)).collect();
    if !missing.is_empty() {
        return needs(missing);
    }
    let keys = wanted.requests.iter().map(|(key, _)| key.to_owned()).collect();
    let state = wanted.state.map(|server| State { server: Some(server), keys, parked: None });
    let sealed = match state {
        None => None,
        Some(state) => match bound.seal(&caller.app.seals, &state) {
            Some(sealed) => Some(sealed),
            None => return Finished::error(INTERNAL_ERROR, "The call cannot be continued here. Try again."),
        },
    };
    required(caller, &wanted.requests, sealed)
}

/// The result that asks the client.
fn required(caller: &Caller, requests: &impl serde::Serialize, state: Option<String>) -> Finished {
    let mut result = Members::default();
    result.set_value("resultType", &"input_required");
    result.set_value("inputRequests", requests);
    if let Some(state) = state {
        result.set_value("requestState", &state);
    }
    result.set_value("_meta", &modern::meta(&caller.visit.tenant));
    Finished::Result(result.write())
}

fn needs(missing: Map<String, Value>) -> Finished {
    let names: Vec<&str> = missing.keys().map(String::as_str).collect();
    let message = format!("This needs a client with the capabilities {}.", names.join(", "));
    let data = to_raw_value(&json!({ "requiredCapabilities": missing })).ok();
    Finished::Error { code: MISSING_CAPABILITY, message, data }
}

/// The capability that a request needs and the client did not declare.
fn undeclared(declared: &Map<String, Value>, request: &RawValue) -> Option<(String, Value)> {
    let request = Members::read(request.get()).unwrap_or_default();
    let method: String = request.read_as("method").unwrap_or_default();
    let Some(needed) = call::capability(&method) else { return Some((method, json!({}))) };
    let Some(Value::Object(own)) = declared.get(needed) else { return Some((needed.to_owned(), json!({}))) };
    if needed != "elicitation" {
        return None;
    }
    let params: Members = request.read_as("params").unwrap_or_default();
    let mode = params.read_as::<String>("mode").unwrap_or_else(|| FORM.to_owned());
    // A bare `elicitation` means forms.
    let can = own.contains_key(&mode) || (mode == FORM && !own.contains_key("url"));
    (!can).then(|| (needed.to_owned(), Value::Object(Map::from_iter([(mode, json!({}))]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(declared: Value, mode: Option<&str>) -> Option<(String, Value)> {
        let params = mode.map_or_else(|| json!({}), |mode| json!({ "mode": mode }));
        let request = json!({ "method": "elicitation/create", "params": params });
        let Value::Object(declared) = declared else { panic!("{declared}") };
        undeclared(&declared, &to_raw_value(&request).unwrap())
    }

    #[test]
    fn a_client_is_asked_in_the_way_that_it_declared() {
        let url = json!({ "elicitation": { "url": {} } });
        let needs = |mode: &str| Some(("elicitation".to_owned(), json!({ mode: {} })));
        assert_eq!(asked(json!({ "elicitation": {} }), None), None);
        assert_eq!(asked(json!({ "elicitation": {} }), Some("form")), None);
        assert_eq!(asked(json!({ "elicitation": {} }), Some("url")), needs("url"));
        assert_eq!(asked(url.clone(), Some("url")), None);
        assert_eq!(asked(url.clone(), Some("form")), needs("form"));
        assert_eq!(asked(url, None), needs("form"));
        assert_eq!(asked(json!({ "sampling": {} }), None), Some(("elicitation".to_owned(), json!({}))));
    }
}
