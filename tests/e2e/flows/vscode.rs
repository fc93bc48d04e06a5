//! VS Code: registers several addresses at once, listens on a port of its own or comes back over vscode.dev.

use anyhow::{Context as _, ensure};
use serde_json::json;
use toolmesh_tests::TestResult;

use super::{Ask, OAUTH, OPENID, Scene, client_id};

#[tokio::test]
async fn vscode_registers_many_addresses_and_comes_back_at_any_of_them() -> TestResult {
    let scene = Scene::new().await?;
    let (metadata, scope) = scene.challenge().await?;
    let found = scene.discover(&metadata, &[OAUTH, OPENID]).await?;
    let body = json!({
        "client_name": "Visual Studio Code",
        "client_uri": "https://code.visualstudio.com",
        "redirect_uris": [
            "https://insiders.vscode.dev/redirect",
            "https://vscode.dev/redirect",
            "http://localhost/",
            "http://127.0.0.1/",
            "http://localhost:33418/",
            "http://127.0.0.1:33418/",
        ],
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    });
    let registered = scene.register(&found, body).await?;
    ensure!(registered["redirect_uris"].as_array().is_some_and(|all| all.len() == 6), "{registered}");
    let grants = registered["grant_types"].as_array().context("no grants")?;
    ensure!(!grants.iter().any(|grant| grant.as_str().is_some_and(|g| g.contains("device"))), "{registered}");
    let id = client_id(&registered)?;
    // The usual port was taken, so that it listens on another.
    for redirect in ["http://127.0.0.1:33418/", "http://127.0.0.1:50123/", "https://vscode.dev/redirect"] {
        let ask = Ask { client_id: id, redirect, scope: scope.as_deref(), resource: true };
        let tokens = scene.connect(&found, &ask).await.with_context(|| redirect.to_owned())?;
        scene.uses(&tokens.access).await?;
    }
    Ok(())
}
