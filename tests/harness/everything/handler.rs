//! The server on `rmcp`. In the era of `initialize` it asks the client itself and goes on with the answers; in the other it
//! hands the questions back, and its state with them, sealed.

#![expect(
    deprecated,
    reason = "clients of the older era are asked, and logged to, in ways that the newer one has given up"
)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, ClientCapabilities, CompleteRequestParams,
    CompleteResult, CompletionInfo, CreateMessageRequestParams, ElicitRequestParams, GetPromptRequestParams,
    GetPromptResponse, Implementation, InputRequests, InputRequiredResult, InputResponses, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, LoggingLevel,
    LoggingMessageNotificationParam, PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, RequestStateCodec,
    ServerCapabilities, ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
    Tool, UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext, SubscriptionSink};
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Eras;
use super::says::{self, BY_CAPABILITIES, Call, Next, TOOLS};
use super::shared::Shared;

/// How often a client of the older era is asked within one call.
const ROUNDS: usize = 8;
const TTL_MS: u64 = 60_000;

type Context = RequestContext<RoleServer>;
type Answered<T> = Result<T, ErrorData>;

/// One server; clones are the same.
#[derive(Clone)]
pub(super) struct Handler {
    eras: Eras,
    shared: Arc<Shared>,
    seal: RequestStateCodec,
    listening: Arc<Mutex<Listening>>,
}

/// Who is told of changes.
#[derive(Default)]
struct Listening {
    streams: BTreeMap<u64, SubscriptionSink>,
    sessions: Vec<Peer<RoleServer>>,
}

fn fault(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

/// From JSON into a type of the SDK.
fn typed<T: DeserializeOwned>(value: Value) -> Answered<T> {
    serde_json::from_value(value).map_err(fault)
}

/// A result, from JSON: the SDK takes the mark of the newer era away where a client is of the older.
fn complete<T: DeserializeOwned>(mut result: Value) -> Answered<T> {
    result["resultType"] = json!("complete");
    typed(result)
}

fn plain(value: &impl Serialize) -> Answered<Value> {
    serde_json::to_value(value).map_err(fault)
}

fn is_modern(context: &Context) -> bool {
    context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

impl Handler {
    pub(super) fn new(eras: Eras) -> Result<Self> {
        let key = uuid::Uuid::new_v4().to_string();
        Ok(Self {
            eras,
            shared: Arc::new(Shared::read()?),
            seal: RequestStateCodec::new(key.into_bytes()),
            listening: Arc::default(),
        })
    }

    fn described(&self, name: &str) -> Tool {
        let empty =
            || Map::from_iter([("type".to_owned(), json!("object")), ("properties".to_owned(), json!({}))]);
        let schema = self.shared.schemas.get(name).cloned().unwrap_or_else(empty);
        Tool::new(name.to_owned(), format!("Conformance: {name}"), schema)
    }

    /// Carries a tool or a prompt on until it says something or, in the modern era, asks something.
    async fn carry_out(
        &self,
        kind: fn(&Shared, &Call<'_>) -> Option<Next>,
        (name, arguments): (&str, Map<String, Value>),
        (answers, state): (Option<InputResponses>, Option<String>),
        context: &Context,
    ) -> Answered<Result<Value, InputRequiredResult>> {
        let tampered = |_| ErrorData::invalid_params("requestState is not what this server gave out", None);
        let mut state: Option<Value> =
            state.map(|sealed| self.seal.open_json(&sealed)).transpose().map_err(tampered)?;
        let mut answers: BTreeMap<String, Value> = answers.unwrap_or_default();
        let can = plain(&context.client_capabilities().unwrap_or_default())?;
        for _ in 0..ROUNDS {
            let call =
                Call { name, arguments: &arguments, answers: &answers, state: state.as_ref(), can: &can };
            let next = kind(&self.shared, &call);
            match next.ok_or_else(|| ErrorData::invalid_params(format!("There is no {name}"), None))? {
                Next::Says(result) => return Ok(Ok(result)),
                Next::Asks { requests, state } if is_modern(context) => {
                    let sealed = state.map(|state| self.seal.seal_json(&state)).transpose().map_err(fault)?;
                    return Ok(Err(InputRequiredResult::new(Some(asked(requests)?), sealed)));
                }
                Next::Asks { requests, state: kept } => {
                    for (key, request) in requests {
                        answers.insert(key, ask(context, &request).await?);
                    }
                    state = kept;
                }
            }
        }
        Err(fault("asked too often"))
    }

    /// What some tools say while they are under way.
    async fn on_the_way(&self, name: &str, context: &Context) {
        let wanted = context.meta.log_level();
        let logs = !is_modern(context) || wanted.is_some();
        let level = wanted.unwrap_or(LoggingLevel::Info);
        match name {
            "test_tool_with_logging" if logs => {
                for said in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                    log(context, level, said).await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            "test_logging_tool" if logs => log(context, level, "Heard only by who asked for it").await,
            "test_tool_with_progress" => {
                let Some(token) = context.meta.get_progress_token() else { return };
                for progress in [0.0, 50.0, 100.0] {
                    let params = ProgressNotificationParam::new(token.clone(), progress)
                        .with_total(100.0)
                        .with_message(format!("Step {progress}"));
                    // Who has hung up hears nothing.
                    let _ = context.peer.notify_progress(params).await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            "test_trigger_tool_change" => self.tell(true).await,
            "test_trigger_prompt_change" => self.tell(false).await,
            _ => {}
        }
    }

    /// Tells everybody who listens that the tools have changed, or else the prompts.
    async fn tell(&self, tools: bool) {
        let (streams, sessions) = {
            let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
            (listening.streams.values().cloned().collect::<Vec<_>>(), listening.sessions.clone())
        };
        // Who is gone is told in vain; who did not ask for this kind refuses it.
        for stream in streams {
            let _ = if tools {
                stream.notify_tool_list_changed().await
            } else {
                stream.notify_prompt_list_changed().await
            };
        }
        for session in sessions {
            let _ = if tools {
                session.notify_tool_list_changed().await
            } else {
                session.notify_prompt_list_changed().await
            };
        }
    }
}

async fn log(context: &Context, level: LoggingLevel, said: &str) {
    let params = LoggingMessageNotificationParam::new(level, json!(said)).with_logger("everything");
    let _ = context.peer.notify_logging_message(params).await;
}

fn asked(requests: BTreeMap<String, Value>) -> Answered<InputRequests> {
    requests.into_iter().map(|(key, request)| Ok((key, typed(request)?))).collect()
}

/// Asks a client of the older era, and waits for its answer.
async fn ask(context: &Context, request: &Value) -> Answered<Value> {
    let params = request.get("params").cloned().unwrap_or_default();
    let peer = &context.peer;
    match request.get("method").and_then(Value::as_str) {
        Some("elicitation/create") => {
            plain(&peer.create_elicitation(typed::<ElicitRequestParams>(params)?).await.map_err(fault)?)
        }
        Some("sampling/createMessage") => {
            plain(&peer.create_message(typed::<CreateMessageRequestParams>(params)?).await.map_err(fault)?)
        }
        _ => plain(&peer.list_roots().await.map_err(fault)?),
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_resources_list_changed()
            .enable_completions()
            .enable_logging()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("everything-rust", "1.0.0"))
            .with_instructions("Everything the protocol has, for tests.")
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        let legacy = [
            ProtocolVersion::V_2025_11_25,
            ProtocolVersion::V_2025_06_18,
            ProtocolVersion::V_2025_03_26,
            ProtocolVersion::V_2024_11_05,
        ];
        let modern = [ProtocolVersion::V_2026_07_28];
        match self.eras {
            Eras::Both => modern.into_iter().chain(legacy).collect(),
            Eras::Legacy => legacy.to_vec().into(),
            Eras::Modern => modern.to_vec().into(),
        }
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        TOOLS.contains(&name).then(|| self.described(name))
    }

    async fn on_initialized(&self, context: rmcp::service::NotificationContext<RoleServer>) {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).sessions.push(context.peer);
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Answered<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let listening = || self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        listening().streams.insert(number, context.sink().clone());
        context.cancelled().await;
        listening().streams.remove(&number);
        Ok(())
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: Context) -> Answered<ListToolsResult> {
        let names = TOOLS.into_iter().chain([BY_CAPABILITIES]);
        let tools = names.map(|name| self.described(name)).collect();
        let list = ListToolsResult { tools, ..Default::default() };
        Ok(list.with_ttl_ms(TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Answered<CallToolResponse> {
        let can = context.client_capabilities().unwrap_or_default();
        if request.name == "test_missing_capability" && can.sampling.is_none() {
            let required = ClientCapabilities::builder().enable_sampling().build();
            return Err(ErrorData::missing_required_client_capability(required));
        }
        self.on_the_way(&request.name, &context).await;
        let given = (request.name.as_ref(), request.arguments.unwrap_or_default());
        let before = (request.input_responses, request.request_state);
        match self.carry_out(says::tool, given, before, &context).await? {
            Ok(result) => Ok(CallToolResponse::Complete(complete(result)?)),
            Err(asked) => Ok(CallToolResponse::InputRequired(asked)),
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Answered<ListPromptsResult> {
        let described = |(name, arguments): (&String, &Vec<String>)| {
            let argument =
                |name| json!({ "name": name, "description": format!("Argument {name}"), "required": true });
            let arguments: Vec<_> = arguments.iter().map(argument).collect();
            json!({ "name": name, "description": format!("Conformance: {name}"), "arguments": arguments })
        };
        let prompts = typed(self.shared.prompts.iter().map(described).collect())?;
        let list = ListPromptsResult { prompts, ..Default::default() };
        Ok(list.with_ttl_ms(TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Answered<GetPromptResponse> {
        let arguments = plain(&request.arguments.unwrap_or_default())?;
        let given = (request.name.as_str(), arguments.as_object().cloned().unwrap_or_default());
        let before = (request.input_responses, request.request_state);
        match self.carry_out(says::prompt, given, before, &context).await? {
            Ok(result) => Ok(GetPromptResponse::Complete(complete(result)?)),
            Err(asked) => Ok(GetPromptResponse::InputRequired(asked)),
        }
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Answered<ListResourcesResult> {
        let described = |(name, content): (&String, &Map<String, Value>)| {
            let description = format!("Conformance: {name}");
            json!({ "uri": format!("test://{name}"), "name": name, "description": description, "mimeType": content.get("mimeType") })
        };
        let resources = typed(self.shared.resources.iter().map(described).collect())?;
        let list = ListResourcesResult { resources, ..Default::default() };
        Ok(list.with_ttl_ms(TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Answered<ListResourceTemplatesResult> {
        let resource_templates = typed(json!([{
            "uriTemplate": "test://template/{id}/data",
            "name": "template",
            "description": "Conformance: a template",
            "mimeType": "application/json",
        }]))?;
        let list = ListResourceTemplatesResult { resource_templates, ..Default::default() };
        Ok(list.with_ttl_ms(TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Answered<ReadResourceResponse> {
        let uri = request.uri.as_str();
        let fixed = uri.strip_prefix("test://").and_then(|name| self.shared.resources.get(name)).cloned();
        // What no list has, and a tool gives.
        let unlisted = || {
            let content =
                json!({ "mimeType": "text/plain", "text": "This is an embedded resource content." });
            content.as_object().filter(|_| uri == "test://embedded-resource").cloned()
        };
        let of_template = || {
            let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            Some(Map::from_iter([
                ("mimeType".to_owned(), json!("application/json")),
                ("text".to_owned(), json!(data.to_string())),
            ]))
        };
        let mut content = fixed.or_else(unlisted).or_else(of_template).ok_or_else(|| {
            ErrorData::resource_not_found("There is no such resource", Some(json!({ "uri": uri })))
        })?;
        content.insert("uri".to_owned(), json!(uri));
        let result: ReadResourceResult = complete(json!({ "contents": [content] }))?;
        Ok(result.with_ttl_ms(TTL_MS).with_cache_scope(CacheScope::Public).into())
    }

    async fn complete(&self, request: CompleteRequestParams, _: Context) -> Answered<CompleteResult> {
        let known =
            self.shared.completions.get(&request.argument.name).map(Vec::as_slice).unwrap_or_default();
        let fitting = known.iter().filter(|value| value.starts_with(&request.argument.value));
        Ok(CompleteResult::new(CompletionInfo::new(fitting.cloned().collect()).map_err(fault)?))
    }

    async fn ping(&self, _: Context) -> Answered<()> {
        Ok(())
    }

    // All levels are told of anyway, and nothing changes that anybody could subscribe to.
    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Answered<()> {
        Ok(())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Answered<()> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Answered<()> {
        Ok(())
    }
}
