//! The transport of revision 2024-11-05: a stream on one node, POSTs to it on any, and who may use it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::{Mcp, TestResult};

use crate::Echo;

/// The wait for an event, on a busy machine.
const EVENT: Duration = Duration::from_secs(30);

/// An open stream.
struct Stream {
    response: reqwest::Response,
    held: String,
    /// Where to post, as its first event said.
    endpoint: String,
}

fn request(echo: &Echo, node: usize, token: &str) -> reqwest::RequestBuilder {
    let url = format!("http://{}/mcp", echo.system.ready.nodes[node].http);
    let request = echo.system.http.get(url).header("host", echo.system.tenant_host(&echo.workspace.slug));
    let request = request.header("accept", "text/event-stream");
    if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) }
}

impl Stream {
    async fn open(echo: &Echo, node: usize, token: &str) -> Result<Self> {
        let response = request(echo, node, token).send().await?;
        ensure!(response.status() == StatusCode::OK, "{}", response.status());
        let mut stream = Self { response, held: String::new(), endpoint: String::new() };
        let (event, data) = stream.event().await?;
        ensure!(event == "endpoint" && data.starts_with("/mcp?stream="), "{event}: {data}");
        stream.endpoint = data;
        Ok(stream)
    }

    /// The next event's name and data.
    async fn event(&mut self) -> Result<(String, String)> {
        loop {
            while let Some((event, rest)) = self.held.split_once("\n\n") {
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
                };
                let found = field("event:").zip(field("data:"));
                self.held = rest.to_owned();
                if let Some(found) = found {
                    return Ok(found);
                }
            }
            let more = tokio::time::timeout(EVENT, self.response.chunk()).await.context("nothing came")??;
            let Some(more) = more else { bail!("the stream ended") };
            self.held.push_str(std::str::from_utf8(&more)?);
        }
    }

    async fn message(&mut self) -> Result<Value> {
        let (event, data) = self.event().await?;
        ensure!(event == "message", "{event}: {data}");
        Ok(serde_json::from_str(&data)?)
    }

    fn posting(&self, echo: &Echo, node: usize, token: &str) -> Mcp {
        let url = format!("http://{}{}", echo.system.ready.nodes[node].http, self.endpoint);
        // Such a client knows of no version header.
        Mcp::new(echo.system.http.clone(), &url)
            .host(&echo.system.tenant_host(&echo.workspace.slug))
            .token(token)
            .header("accept", "application/json")
            .header("mcp-protocol-version", "")
    }
}

#[tokio::test]
async fn what_is_posted_to_any_node_is_answered_on_the_stream() -> TestResult {
    let echo = Echo::new().await?;
    let key = echo.workspace.key.clone();
    let mut stream = Stream::open(&echo, 0, &key).await?;
    for node in [0, 1] {
        let posting = stream.posting(&echo, node, &key);
        let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}}});
        let answer = posting.post(hello.to_string()).await?;
        ensure!(
            answer.status == StatusCode::ACCEPTED && answer.body.is_empty(),
            "{}: {}",
            answer.status,
            answer.body
        );
        let welcome = stream.message().await?;
        assert_eq!(
            (&welcome["id"], &welcome["result"]["protocolVersion"]),
            (&json!(1), &json!("2024-11-05"))
        );
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(posting.post(ready.to_string()).await?.status, StatusCode::ACCEPTED);
        let call = json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call",
            "params": {"name": "echo_get_item", "arguments": {"id": "7"}}});
        assert_eq!(posting.post(call.to_string()).await?.status, StatusCode::ACCEPTED);
        let result = stream.message().await?;
        assert_eq!(result["id"], "c", "{result}");
        ensure!(
            result["result"]["content"][0]["text"].as_str().is_some_and(|text| text.contains('7')),
            "{result}"
        );
        // What cannot be carried out is told there as well.
        let wrong = json!({"jsonrpc": "2.0", "id": 3, "method": "no/such"});
        posting.post(wrong.to_string()).await?;
        assert_eq!(stream.message().await?["error"]["code"], -32601);
    }
    // A client of the newest revision has streams of its own; here nobody would notice that it left one.
    let listen = json!({"jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen", "params": {"notifications": {}}});
    assert_eq!(stream.posting(&echo, 1, &key).post(listen.to_string()).await?.status, StatusCode::ACCEPTED);
    let refused = stream.message().await?;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!("l"), &json!(-32601)), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_stream_is_its_callers_own_and_ends_with_them() -> TestResult {
    let echo = Echo::new().await?;
    let key = echo.workspace.key.clone();
    let stream = Stream::open(&echo, 0, &key).await?;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let member = echo.system.person().await?;
    echo.system.join(&echo.workspace, &member, "member").await?;
    let other = echo.system.key(&echo.workspace.slug, &member.email).await?;
    for node in [0, 1] {
        let mcp = echo.system.mcp_on(&echo.system.ready.nodes[node].http, &echo.workspace, &other);
        toolmesh_tests::eventually("the other key works", toolmesh_tests::wait::SOON, || async {
            Ok((mcp.request("ping", json!({})).await?.status == StatusCode::OK).then_some(()))
        })
        .await?;
        let answer = stream.posting(&echo, node, &other).post(ping.clone()).await?;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "somebody else's stream");
        let nobody = stream.posting(&echo, node, "tmk_nobody").post(ping.clone()).await?;
        assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    }
    let posting = stream.posting(&echo, 1, &key);
    drop(stream);
    toolmesh_tests::eventually("the closed stream is gone", toolmesh_tests::wait::SOON, || async {
        Ok((posting.post(ping.clone()).await?.status == StatusCode::NOT_FOUND).then_some(()))
    })
    .await
}

#[tokio::test]
async fn only_who_shows_a_token_and_no_later_revision_gets_a_stream() -> TestResult {
    let echo = Echo::new().await?;
    let key = echo.workspace.key.as_str();
    for (header, value) in
        [("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", "x"), ("last-event-id", "1")]
    {
        let answer = request(&echo, 0, key).header(header, value).send().await?;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{header}");
    }
    assert_eq!(request(&echo, 0, "").send().await?.status(), StatusCode::METHOD_NOT_ALLOWED);
    let nobody = request(&echo, 0, "tmk_nobody").send().await?;
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
    ensure!(nobody.headers().contains_key("www-authenticate"));
    let page = request(&echo, 0, key).header("accept", "text/html").send().await?;
    ensure!(page.headers()["content-type"].to_str()?.starts_with("text/html"));
    let unknown =
        Mcp::new(echo.system.http.clone(), &format!("{}?stream=x", echo.workspace.mcp_url)).token(key);
    assert_eq!(unknown.request("ping", json!({})).await?.status, StatusCode::NOT_FOUND);
    Ok(())
}
