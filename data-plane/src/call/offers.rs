//! Prompts, resources and completion: asked of the MCP server that offers them, if policy says yes, and recorded as calls are.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};
use toolmesh_proto::v1::Outcome;

use super::{Caller, RpcError, Said, begin, upstream, uris};
use crate::catalog::{Installation, Tenant, Work};
use crate::execute::upstream::{Question, Round};
use crate::identity::Principal;
use crate::members::Members;
use crate::policy::authorize_reading;
use crate::record::CallEvent;

/// What a completion is for.
#[derive(Debug)]
pub enum Reference {
    Prompt(String),
    /// A template, or a resource's URI.
    Resource(String),
}

/// The installations whose server offers something of a kind, for a caller who may use it.
#[must_use]
pub fn servers_in_reach<'a>(
    tenant: &'a Tenant,
    principal: &Principal,
    offers: impl Fn(&crate::catalog::Server) -> bool,
) -> Vec<&'a Arc<Installation>> {
    let all = tenant.servers().filter(|(_, server)| offers(server)).map(|(installation, _)| installation);
    all.filter(|one| authorize_reading(tenant, principal, one, true).is_allow()).collect()
}

/// `prompts/get`.
pub async fn get_prompt(caller: &Caller, name: &str, arguments: Option<Value>, round: Option<Round>) -> Said {
    let mut event = begun(caller, "prompts/get", name);
    let tenant = &caller.visit.tenant;
    let found = tenant.offers.prompt(name);
    let found = found.filter(|one| may(caller, &one.installation, one.enabled, &mut event));
    let Some(prompt) = found else {
        return refuse(event, Said::Refused(format!("Unknown prompt: {}", cut(name))));
    };
    let mut params = Map::from_iter([("name".to_owned(), Value::from(prompt.own.clone()))]);
    if let Some(arguments) = arguments.filter(|value| !value.is_null()) {
        params.insert("arguments".to_owned(), arguments);
    }
    let question = Question { method: "prompts/get", params, round };
    ask(caller, &prompt.installation, question, event).await
}

/// `resources/read`.
pub async fn read_resource(caller: &Caller, uri: &str, round: Option<Round>) -> Said {
    let mut event = begun(caller, "resources/read", uri);
    let tenant = &caller.visit.tenant;
    let servers = servers_in_reach(tenant, &caller.principal, crate::catalog::Server::has_resources);
    let route = tenant.offers.route(&servers, uri, &Work::of_request());
    let Some(route) = route.filter(|route| may(caller, route.installation, true, &mut event)) else {
        return refuse(event, Said::Rpc(not_found(uri)));
    };
    let params = Map::from_iter([("uri".to_owned(), Value::from(route.uri.clone()))]);
    let question = Question { method: "resources/read", params, round };
    let said = ask(caller, route.installation, question, event).await;
    match said {
        Said::Passed(result) => Said::Passed(uris::read(caller, &route, uri, result)),
        // The error names the URI that the client knows.
        Said::Rpc(RpcError { code: -32002 | -32602, message, data }) => {
            let mut data = data.and_then(|data| Members::read(data.get())).unwrap_or_default();
            data.set_value("uri", &uri);
            Said::Rpc(RpcError { code: -32002, message, data: Some(data.write()) })
        }
        said => said,
    }
}

/// `completion/complete`.
pub async fn complete(
    caller: &Caller,
    reference: Reference,
    argument: Value,
    context: Option<Value>,
) -> Said {
    let (Reference::Prompt(name) | Reference::Resource(name)) = &reference;
    let mut event = begun(caller, "completion/complete", name);
    let tenant = &caller.visit.tenant;
    let found = match &reference {
        Reference::Prompt(name) => tenant
            .offers
            .prompt(name)
            .map(|one| (&one.installation, one.enabled, json!({ "type": "ref/prompt", "name": one.own }))),
        Reference::Resource(uri) => resource(caller, uri),
    };
    let found = found.filter(|(installation, enabled, _)| may(caller, installation, *enabled, &mut event));
    let Some((installation, _, reference)) = found else {
        return refuse(event, Said::Refused(format!("Nothing is offered here as {}", cut(name))));
    };
    if !installation.connector.server.as_ref().is_some_and(|server| server.can("completions")) {
        event.step("result", true, std::time::Duration::ZERO, "the server completes nothing");
        event.finish(Outcome::Ok, "");
        let nothing = json!({ "completion": { "values": [], "total": 0, "hasMore": false } });
        return serde_json::value::to_raw_value(&nothing)
            .map_or_else(|_| Said::Refused("There is nothing to complete.".to_owned()), Said::Passed);
    }
    let mut params = Map::from_iter([("ref".to_owned(), reference), ("argument".to_owned(), argument)]);
    params.extend(context.map(|context| ("context".to_owned(), context)));
    let question = Question { method: "completion/complete", params, round: None };
    ask(caller, installation, question, event).await
}

fn resource<'a>(caller: &'a Caller, uri: &str) -> Option<(&'a Arc<Installation>, bool, Value)> {
    let tenant = &caller.visit.tenant;
    if let Some(one) = tenant.offers.template(uri) {
        return Some((&one.installation, one.enabled, json!({ "type": "ref/resource", "uri": one.own })));
    }
    let servers = servers_in_reach(tenant, &caller.principal, crate::catalog::Server::has_resources);
    let route = tenant.offers.route(&servers, uri, &Work::of_request())?;
    Some((route.installation, true, json!({ "type": "ref/resource", "uri": route.uri })))
}

fn begun(caller: &Caller, method: &str, name: &str) -> CallEvent {
    let mut event = begin(caller, name, None);
    event.facts().method = method.to_owned();
    event.facts().access = "read".to_owned();
    event
}

fn may(caller: &Caller, installation: &Installation, enabled: bool, event: &mut CallEvent) -> bool {
    let start = Instant::now();
    let decision = authorize_reading(&caller.visit.tenant, &caller.principal, installation, enabled);
    event.facts().installation_id = installation.id.to_string();
    let detail = match decision {
        crate::policy::Decision::Allow => "allowed".to_owned(),
        crate::policy::Decision::Deny(reason) => reason.to_string(),
    };
    event.step("policy", decision.is_allow(), start.elapsed(), detail);
    decision.is_allow()
}

fn refuse(event: CallEvent, said: Said) -> Said {
    event.finish(Outcome::Denied, "Nothing of this name is offered to the caller.");
    said
}

async fn ask(caller: &Caller, installation: &Installation, question: Question, mut event: CallEvent) -> Said {
    let holder = caller.visit.tenant.holder(installation, caller.principal.subject);
    let opened = caller.app.executor.open_for(installation, holder);
    event.arguments(question.params.get("arguments").unwrap_or(&json!({})), &opened);
    upstream::pass(caller, installation, &opened, question, event).await
}

fn not_found(uri: &str) -> RpcError {
    let data = serde_json::value::to_raw_value(&json!({ "uri": uri })).ok();
    RpcError { code: -32002, message: format!("Resource not found: {}", cut(uri)), data }
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}
