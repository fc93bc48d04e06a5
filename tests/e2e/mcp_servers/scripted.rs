//! An MCP server on the official SDK whose tools a test writes and rewrites, and servers that lie.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, post};
use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListPromptsResult,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use toolmesh_tests::net;

/// Tools on one page of the list.
const PAGE: usize = 2;

/// The server's handler: what it offers can be changed from outside.
#[derive(Clone, Default)]
struct Handler {
    tools: Arc<Mutex<Vec<Value>>>,
    /// Every answer breaks off.
    broken: Arc<AtomicBool>,
}

impl rmcp::ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_prompts().build())
            .with_instructions("Answers questions about orders.")
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let from: usize =
            request.and_then(|asked| asked.cursor).and_then(|cursor| cursor.parse().ok()).unwrap_or_default();
        let tools = self.tools.lock().map(|tools| tools.clone()).unwrap_or_default();
        let page: Vec<Tool> = tools
            .iter()
            .skip(from)
            .take(PAGE)
            .filter_map(|tool| serde_json::from_value(tool.clone()).ok())
            .collect();
        let mut result = ListToolsResult::with_all_items(page);
        result.next_cursor = (tools.len() > from + PAGE).then(|| (from + PAGE).to_string());
        Ok(result)
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let prompt = json!({ "name": "summary", "description": "Sums orders up." });
        let prompts = serde_json::from_value(json!([prompt])).unwrap_or_default();
        Ok(ListPromptsResult::with_all_items(prompts))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text(format!("called {}", request.name))]).into())
    }
}

/// The server, for as long as this value lives.
pub struct Scripted {
    port: u16,
    handler: Handler,
    serve: tokio::task::JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serve.abort();
    }
}

impl Scripted {
    /// Starts it with these tools; `bearer` is what it wants to be shown, if anything.
    pub async fn start(tools: &[Value], bearer: Option<&'static str>) -> Result<Self> {
        let shown = bearer.map(|token| ("authorization", format!("Bearer {token}")));
        Self::start_behind(tools, shown.into_iter().collect()).await
    }

    /// The same, with headers that it wants to be shown.
    pub async fn start_behind(tools: &[Value], shown: Vec<(&'static str, String)>) -> Result<Self> {
        let shown: &'static [(&'static str, String)] = shown.leak();
        let handler = Handler::default();
        let made = handler.clone();
        let service = StreamableHttpService::new(
            move || Ok(made.clone()),
            Arc::new(LocalSessionManager::default()),
            StreamableHttpServerConfig::default().disable_allowed_hosts(),
        );
        let broken = Arc::clone(&handler.broken);
        let guard = axum::middleware::from_fn(move |request: Request, next: Next| {
            let broken = broken.load(Ordering::Relaxed);
            async move { if broken { breaks_off() } else { guard(shown, request, next).await } }
        });
        let (port, serve) = listen(Router::new().nest_service("/mcp", service).layer(guard)).await?;
        let server = Self { port, handler, serve };
        server.offer(tools);
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("{}/mcp", net::here(self.port))
    }

    /// Offers other tools from now on.
    pub fn offer(&self, tools: &[Value]) {
        if let Ok(mut offered) = self.handler.tools.lock() {
            *offered = tools.to_vec();
        }
    }

    /// Breaks every answer off from now on, or no longer.
    pub fn break_off(&self, broken: bool) {
        self.handler.broken.store(broken, Ordering::Relaxed);
    }

    /// Answers no more.
    pub fn stop(&self) {
        self.serve.abort();
    }
}

async fn guard(wanted: &[(&str, String)], request: Request, next: Next) -> Response {
    // In a function of its own: what looks at a request must be gone before the wait for its answer.
    if shows(&request, wanted) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")]).into_response()
}

fn shows(request: &Request, wanted: &[(&str, String)]) -> bool {
    let shown = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    wanted.iter().all(|(name, value)| shown(name) == Some(value.as_str()))
}

/// An answer that ends in the middle.
fn breaks_off() -> Response {
    let broken = futures_util::stream::iter([Err::<&'static [u8], _>(std::io::Error::other("gone"))]);
    ([("content-type", "application/json")], Body::from_stream(broken)).into_response()
}

async fn listen(app: Router) -> Result<(u16, tokio::task::JoinHandle<()>)> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let serve = tokio::spawn(async move {
        let _ = axum::serve(listener, app).await;
    });
    Ok((port, serve))
}

/// Servers that say what no server should, each at a path of its own. Answers their origin and what ends them.
pub async fn liars() -> Result<(String, tokio::task::JoinHandle<()>)> {
    let app = Router::new()
        .route("/endless", post(|body: String| async move { lie(&body, |id| {
            let tool = tool(&format!("t{}", uuid::Uuid::new_v4().simple()), "One more.", "x");
            json!({ "jsonrpc": "2.0", "id": id, "result": { "tools": [tool], "nextCursor": uuid::Uuid::new_v4().to_string() } }).to_string()
        }) }))
        .route("/huge", post(|body: String| async move { lie(&body, |_| "x".repeat(6 << 20)) }))
        .route("/broken", post(|body: String| async move { lie(&body, |id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"tools\":[")) }))
        .route("/others", post(|body: String| async move { lie(&body, |_| json!({ "jsonrpc": "2.0", "id": 4711, "result": { "tools": [] } }).to_string()) }))
        .route("/page", any(|| async { "<html><body>Welcome</body></html>" }))
        .route("/inside", any(|| async { (StatusCode::FOUND, [("location", "http://169.254.169.254/")]) }));
    let (port, serve) = listen(app).await?;
    Ok((net::here(port), serve))
}

/// Says hello as the older revisions do, and lies about its tools.
fn lie(body: &str, tools: impl Fn(u64) -> String) -> Response {
    let asked: Value = serde_json::from_str(body).unwrap_or_default();
    let id = asked["id"].as_u64().unwrap_or_default();
    let answer = match asked["method"].as_str() {
        Some("initialize") => json!({ "jsonrpc": "2.0", "id": id, "result": {
            "protocolVersion": "2025-06-18", "capabilities": { "tools": {} }, "serverInfo": { "name": "liar", "version": "1" },
        } })
        .to_string(),
        Some("tools/list") => tools(id),
        Some("notifications/initialized") => return StatusCode::ACCEPTED.into_response(),
        _ => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "no" } }).to_string(),
    };
    ([("content-type", "application/json")], answer).into_response()
}

/// A tool as a server offers it.
pub fn tool(name: &str, description: &str, argument: &str) -> Value {
    json!({
        "name": name, "description": description,
        "inputSchema": { "type": "object", "properties": { argument: { "type": "string" } } },
        "annotations": { "readOnlyHint": true },
    })
}
