//! Claude on the web, and Claude Code: documents as client ids, `offline_access` where it is listed, a fresh registration with
//! each connection where there are no documents.

use anyhow::{Context as _, ensure};
use serde_json::json;
use toolmesh_tests::TestResult;

use super::{Ask, OAUTH, OPENID, Scene, client_id};

const CALLBACK: &str = "https://claude.ai/api/mcp/auth_callback";

#[tokio::test]
async fn claude_comes_with_its_document_because_public_clients_are_allowed() -> TestResult {
    let scene = Scene::new().await?;
    let (metadata, scope) = scene.challenge().await?;
    let found = scene.discover(&metadata, &[OAUTH, OPENID]).await?;
    // Both must hold, or Claude registers anew each time.
    ensure!(found.server["client_id_metadata_document_supported"] == true, "{}", found.server);
    ensure!(found.lists("token_endpoint_auth_methods_supported", "none"), "{}", found.server);
    // Claude asks for refresh tokens only where the scope is listed by the server, and never by the resource.
    ensure!(found.lists("scopes_supported", "offline_access"), "{}", found.server);
    ensure!(!found.resource["scopes_supported"].to_string().contains("offline_access"));
    let scope = format!("{} offline_access", scope.context("the challenge names no scope")?);
    let ask = Ask {
        client_id: "https://claude.ai/oauth/mcp-oauth-client-metadata",
        redirect: CALLBACK,
        scope: Some(&scope),
        resource: true,
    };
    let page = scene.asked(&found, &ask, &toolmesh_tests::oauth::Pkce::new()).await?.ok()?;
    for fact in ["Claude", "claude.ai"] {
        ensure!(page.text().contains(fact), "the page does not name {fact}: {}", page.text());
    }
    let tokens = scene.connect(&found, &ask).await?;
    scene.uses(&tokens.access).await?;
    let fresh = scene.refreshed(&found, &tokens, &[("resource", &found.typed), ("scope", &scope)]).await?;
    scene.uses(&fresh.access).await
}

#[tokio::test]
async fn claude_registers_again_with_each_connection_and_each_works() -> TestResult {
    let scene = Scene::new().await?;
    let (metadata, _) = scene.challenge().await?;
    let found = scene.discover(&metadata, &[OAUTH, OPENID]).await?;
    let body = json!({
        "client_name": "Claude",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "mcp:tools offline_access",
    });
    let mut all = Vec::new();
    for _ in 0..2 {
        let registered = scene.register(&found, body.clone()).await?;
        let ask = Ask {
            client_id: client_id(&registered)?,
            redirect: CALLBACK,
            scope: Some("mcp:tools offline_access"),
            resource: true,
        };
        all.push(scene.connect(&found, &ask).await?);
    }
    for tokens in &all {
        scene.uses(&tokens.access).await?;
    }
    Ok(())
}

/// A dead refresh token must be called exactly that, or Claude does not ask the person to connect again.
#[tokio::test]
async fn claude_is_told_invalid_grant_for_a_dead_refresh_token() -> TestResult {
    let scene = Scene::new().await?;
    let (metadata, _) = scene.challenge().await?;
    let found = scene.discover(&metadata, &[OAUTH]).await?;
    let ask = Ask {
        client_id: "https://claude.ai/oauth/mcp-oauth-client-metadata",
        redirect: CALLBACK,
        scope: None,
        resource: true,
    };
    let tokens = scene.connect(&found, &ask).await?;
    let form = [("grant_type", "refresh_token"), ("client_id", ask.client_id), ("refresh_token", "tmr_gone")];
    let answer = scene.token(&found, &form).await?;
    ensure!(answer.status == 400 && answer.json()?["error"] == "invalid_grant", "{}", answer.body);
    scene.uses(&tokens.access).await
}

#[tokio::test]
async fn claude_code_reads_the_documents_first_and_listens_on_any_port() -> TestResult {
    let scene = Scene::new().await?;
    let origin = &scene.echo.workspace.origin;
    // It probes before it calls the endpoint.
    let resource = format!("{origin}/.well-known/oauth-protected-resource/mcp");
    let found = scene.discover(&resource, &[OAUTH]).await?;
    for (port, host) in [(54_321, "localhost"), (40_000, "127.0.0.1")] {
        let redirect = format!("http://{host}:{port}/callback");
        let ask = Ask {
            client_id: "https://claude.ai/oauth/claude-code-client-metadata",
            redirect: &redirect,
            scope: None,
            resource: true,
        };
        let page = scene.asked(&found, &ask, &toolmesh_tests::oauth::Pkce::new()).await?.ok()?;
        ensure!(page.text().contains("Claude Code"), "{}", page.text());
        let tokens = scene.connect(&found, &ask).await?;
        scene.uses(&tokens.access).await?;
    }
    Ok(())
}
