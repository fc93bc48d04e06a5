//! ChatGPT, in Developer Mode: its document and a signed assertion where the server offers both, else a registration per
//! connector with an address of its own.

use anyhow::ensure;
use serde_json::json;
use toolmesh_tests::TestResult;
use toolmesh_tests::oauth::Pkce;

use super::{Ask, OAUTH, OPENID, Scene, client_id};

const DOCUMENT: &str = "https://chatgpt.com/oauth/client.json";
const CALLBACK: &str = "https://chatgpt.com/connector_platform_oauth_redirect";

#[tokio::test]
async fn chatgpt_finds_all_that_it_refuses_to_go_without() -> TestResult {
    let scene = Scene::new().await?;
    let (metadata, scope) = scene.challenge().await?;
    ensure!(scope.as_deref() == Some("mcp:tools"), "{scope:?}");
    let found = scene.discover(&metadata, &[OAUTH, OPENID]).await?;
    // The stable callback is used only where answers name their issuer.
    ensure!(found.server["authorization_response_iss_parameter_supported"] == true, "{}", found.server);
    ensure!(found.server["client_id_metadata_document_supported"] == true, "{}", found.server);
    ensure!(found.lists("token_endpoint_auth_methods_supported", "private_key_jwt"), "{}", found.server);
    ensure!(found.lists("token_endpoint_auth_signing_alg_values_supported", "RS256"), "{}", found.server);
    ensure!(found.lists("grant_types_supported", "refresh_token"), "{}", found.server);
    // It would ask for identity scopes where they are listed, and there is no identity token here.
    ensure!(!found.lists("scopes_supported", "openid"), "{}", found.server);
    Ok(())
}

#[tokio::test]
async fn chatgpt_is_named_with_its_host_and_must_sign_for_its_code() -> TestResult {
    let scene = Scene::new().await?;
    let (metadata, _) = scene.challenge().await?;
    let found = scene.discover(&metadata, &[OAUTH, OPENID]).await?;
    let ask = Ask { client_id: DOCUMENT, redirect: CALLBACK, scope: Some("mcp:tools"), resource: true };
    let pkce = Pkce::new();
    let page = scene.asked(&found, &ask, &pkce).await?.ok()?;
    for fact in ["ChatGPT", "chatgpt.com"] {
        ensure!(page.text().contains(fact), "the page does not name {fact}: {}", page.text());
    }
    let code = scene.allowed(&found, &ask, &pkce).await?;
    // Somebody who got hold of the code and the proof has not got ChatGPT's key.
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", DOCUMENT),
        ("redirect_uri", CALLBACK),
        ("code", &code),
        ("code_verifier", &pkce.verifier),
        ("resource", &found.typed),
    ];
    let answer = scene.token(&found, &form).await?;
    ensure!(answer.status == 401 && answer.json()?["error"] == "invalid_client", "{}", answer.body);
    Ok(())
}

#[tokio::test]
async fn chatgpt_registers_a_callback_per_connector_where_the_person_chose_registration() -> TestResult {
    let scene = Scene::new().await?;
    let (metadata, _) = scene.challenge().await?;
    let found = scene.discover(&metadata, &[OAUTH, OPENID]).await?;
    let callback = "https://chatgpt.com/connector/oauth/Ab3_xY-9kQ2w";
    let body = json!({
        "client_name": "ChatGPT",
        "redirect_uris": [callback],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    let registered = scene.register(&found, body).await?;
    let id = client_id(&registered)?;
    // It registers for refreshing and does not ask for offline access, and expects a refresh token all the same.
    let ask = Ask { client_id: id, redirect: callback, scope: Some("mcp:tools"), resource: true };
    let tokens = scene.connect(&found, &ask).await?;
    scene.uses(&tokens.access).await?;
    let fresh = scene.refreshed(&found, &tokens, &[("resource", &found.typed)]).await?;
    scene.uses(&fresh.access).await?;
    // Another connector's callback is not this one's.
    let other = "https://chatgpt.com/connector/oauth/another";
    let ask = Ask { redirect: other, ..ask };
    let page = scene.asked(&found, &ask, &Pkce::new()).await?;
    ensure!(page.status == 400 && page.location().is_none(), "{}: {:?}", page.status, page.location());
    Ok(())
}
