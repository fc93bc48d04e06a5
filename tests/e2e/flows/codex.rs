//! Codex, on the command line: a document of its own, loopback on any port, a refresh without `resource`.

use anyhow::ensure;
use toolmesh_tests::TestResult;

use super::{Ask, OAUTH, OPENID, Scene};

#[tokio::test]
async fn codex_refreshes_without_naming_the_resource() -> TestResult {
    let scene = Scene::new().await?;
    let (metadata, _) = scene.challenge().await?;
    let found = scene.discover(&metadata, &[OAUTH, OPENID]).await?;
    ensure!(found.server["authorization_response_iss_parameter_supported"] == true, "{}", found.server);
    let ask = Ask {
        client_id: "https://chatgpt.com/oauth/codex/client.json",
        redirect: "http://127.0.0.1:51234/callback",
        scope: Some("mcp:tools"),
        resource: true,
    };
    let page = scene.asked(&found, &ask, &toolmesh_tests::oauth::Pkce::new()).await?.ok()?;
    ensure!(page.text().contains("Codex") && page.text().contains("chatgpt.com"), "{}", page.text());
    let tokens = scene.connect(&found, &ask).await?;
    let fresh = scene.refreshed(&found, &tokens, &[]).await?;
    scene.uses(&fresh.access).await
}
