//! The MCP Inspector: runs in a browser, so every document and endpoint must let another origin read it; old versions ask
//! without `resource` and `scope`.

use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::json;
use toolmesh_tests::{Answer, TestResult};

use super::{Ask, OAUTH, OPENID, Scene, client_id};

const ORIGIN: &str = "http://127.0.0.1:6274";

#[tokio::test]
async fn the_inspector_connects_without_naming_resource_or_scope() -> TestResult {
    let scene = Scene::new().await?;
    let (metadata, _) = scene.challenge().await?;
    let found = scene.discover(&metadata, &[OAUTH, OPENID]).await?;
    let redirect = format!("{ORIGIN}/oauth/callback");
    let body = json!({
        "client_name": "MCP Inspector",
        "client_uri": "https://github.com/modelcontextprotocol/inspector",
        "redirect_uris": [redirect],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    let registered = scene.register(&found, body).await?;
    let ask = Ask { client_id: client_id(&registered)?, redirect: &redirect, scope: None, resource: false };
    let tokens = scene.connect(&found, &ask).await?;
    scene.uses(&tokens.access).await
}

#[tokio::test]
async fn the_inspector_may_read_the_documents_and_use_the_endpoints_from_its_own_origin() -> TestResult {
    let scene = Scene::new().await?;
    let (metadata, _) = scene.challenge().await?;
    let found = scene.discover(&metadata, &[OAUTH]).await?;
    let http = &scene.echo.system.http;
    let read = [metadata, format!("{}{OAUTH}", scene.echo.workspace.origin), found.endpoint("jwks_uri")?];
    for url in read {
        let answer = Answer::of(http.get(&url).header("origin", ORIGIN).send().await?).await?;
        ensure!(answer.header("access-control-allow-origin") == "*", "{url}");
    }
    for name in ["registration_endpoint", "token_endpoint", "revocation_endpoint"] {
        let url = found.endpoint(name)?;
        let asked = http
            .request(Method::OPTIONS, &url)
            .header("origin", ORIGIN)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,mcp-protocol-version");
        let answer = Answer::of(asked.send().await?).await?;
        ensure!(answer.status.is_success(), "{name}: {}", answer.status);
        ensure!(answer.header("access-control-allow-origin") == "*", "{name}");
        ensure!(answer.header("access-control-allow-methods").contains("POST"), "{name}");
        let headers = answer.header("access-control-allow-headers").to_ascii_lowercase();
        ensure!(headers.contains("content-type") && headers.contains("authorization"), "{name}: {headers}");
        ensure!(answer.header("access-control-allow-credentials").is_empty(), "{name}");
        let posted = http.post(&url).header("origin", ORIGIN).form(&[("x", "y")]);
        let answer = Answer::of(posted.send().await?).await?;
        ensure!(answer.header("access-control-allow-origin") == "*", "{name} hides its errors");
    }
    // The pages that people decide on are nobody else's to read.
    let page = http.get(found.endpoint("authorization_endpoint")?).header("origin", ORIGIN).send().await?;
    let page = Answer::of(page).await.context("authorize")?;
    ensure!(page.header("access-control-allow-origin").is_empty());
    Ok(())
}
