//! Cursor: registers as soon as it is configured, with a loopback address or one of its own scheme, asks for every scope that
//! the resource lists.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use toolmesh_tests::TestResult;

use super::{Ask, OAUTH, OPENID, Scene, client_id};

const REDIRECTS: [&str; 4] = [
    "http://localhost:8787/callback",
    "https://www.cursor.com/agents/mcp/oauth/callback",
    "https://www.cursor.com/bot/mcp/oauth/callback",
    "cursor://anysphere.cursor-mcp/oauth/callback",
];

#[tokio::test]
async fn cursor_connects_on_each_of_its_ways_back() -> TestResult {
    let scene = Scene::new().await?;
    let (metadata, _) = scene.challenge().await?;
    let found = scene.discover(&metadata, &[OAUTH, OPENID]).await?;
    let body = json!({
        "client_name": "Cursor",
        "redirect_uris": REDIRECTS,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    let registered = scene.register(&found, body).await?;
    let scopes = found.resource["scopes_supported"].as_array().context("no scopes")?;
    let scopes: Vec<_> = scopes.iter().filter_map(Value::as_str).collect();
    ensure!(scopes.len() <= 2, "Cursor asks for all of {scopes:?}");
    let scope = scopes.join(" ");
    // Another program has the first port: Cursor takes the next, and a loopback address may have any.
    for redirect in REDIRECTS.into_iter().chain(["http://localhost:18787/callback"]) {
        let id = client_id(&registered)?;
        let ask = Ask { client_id: id, redirect, scope: Some(&scope), resource: true };
        let tokens = scene.connect(&found, &ask).await.with_context(|| redirect.to_owned())?;
        scene.uses(&tokens.access).await?;
    }
    Ok(())
}
