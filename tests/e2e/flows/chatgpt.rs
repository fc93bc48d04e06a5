//! ChatGPT, in Developer Mode: its document and a signed assertion where the server offers both, else a registration per
//! connector with an address of its own.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use toolmesh_tests::oauth::{Pkce, Tokens};
use toolmesh_tests::signer::{Signer, now};
use toolmesh_tests::tls::{Reply, TlsSite};
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Answer, TestResult};

use super::{Ask, Found, OAUTH, OPENID, Scene, client_id};

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

/// ChatGPT's own side, on a host of the tests: its document, its keys, what it signs.
struct ChatGpt {
    scene: Scene,
    found: Found,
    host: TlsSite,
    signer: Signer,
    id: String,
}

impl ChatGpt {
    async fn new() -> Result<Self> {
        let scene = Scene::new().await?;
        let (metadata, _) = scene.challenge().await?;
        let found = scene.discover(&metadata, &[OAUTH, OPENID]).await?;
        let (host, signer) = (TlsSite::start().await?, Signer::rsa()?);
        let id = host.url("/oauth/client.json");
        let document = json!({
            "client_id": id,
            "client_name": "ChatGPT",
            "client_uri": "https://chatgpt.com",
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "token_endpoint_auth_signing_alg": "RS256",
            "jwks_uri": host.url("/oauth/jwks.json"),
        });
        host.put("/oauth/client.json", Reply::json(&document));
        host.put("/oauth/jwks.json", Reply::json(&signer.jwks()));
        Ok(Self { scene, found, host, signer, id })
    }

    /// Answers a code and the form that trades it, still unsigned.
    async fn code(&self) -> Result<Vec<(String, String)>> {
        let ask = Ask { client_id: &self.id, redirect: CALLBACK, scope: Some("mcp:tools"), resource: true };
        let pkce = Pkce::new();
        let code = self.scene.allowed(&self.found, &ask, &pkce).await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &self.id),
            ("redirect_uri", CALLBACK),
            ("code", &code),
            ("code_verifier", &pkce.verifier),
            ("resource", &self.found.typed),
        ];
        Ok(form.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
    }

    fn refresh(&self, tokens: &Tokens) -> Vec<(String, String)> {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &self.id),
            ("refresh_token", &tokens.refresh),
            ("resource", &self.found.typed),
        ];
        form.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// What it signs for one request, with some claims changed.
    fn proof(&self, signer: &Signer, change: &[(&str, Value)]) -> String {
        let mut claims = json!({
            "iss": self.id, "sub": self.id, "aud": self.found.server["token_endpoint"], "iat": now(),
            "exp": now() + 300, "jti": unique(),
        });
        for (name, value) in change {
            claims[*name] = value.clone();
        }
        signer.sign(Some("JWT"), &claims)
    }

    async fn sends(&self, form: &[(String, String)], proof: &str) -> Result<Answer> {
        let mut form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
        form.push(("client_assertion", proof));
        self.scene.token(&self.found, &form).await
    }

    async fn tokens(&self, form: &[(String, String)], proof: &str) -> Result<Tokens> {
        Tokens::of(&self.id, &self.sends(form, proof).await?)
    }
}

#[tokio::test]
async fn chatgpt_signs_for_its_code_and_for_each_refresh() -> TestResult {
    let chatgpt = ChatGpt::new().await?;
    let form = chatgpt.code().await?;
    let tokens = chatgpt.tokens(&form, &chatgpt.proof(&chatgpt.signer, &[])).await?;
    chatgpt.scene.uses(&tokens.access).await?;
    // The issuer is a name of the server's as good as its token endpoint.
    let issuer = [("aud", chatgpt.found.server["issuer"].clone())];
    let again = chatgpt.refresh(&tokens);
    let fresh = chatgpt.tokens(&again, &chatgpt.proof(&chatgpt.signer, &issuer)).await?;
    chatgpt.scene.uses(&fresh.access).await?;
    ensure!(chatgpt.host.hits("/oauth/jwks.json") == 1, "its keys are fetched with each request");
    Ok(())
}

#[tokio::test]
async fn chatgpt_changes_its_key_and_stays_connected() -> TestResult {
    let chatgpt = ChatGpt::new().await?;
    let form = chatgpt.code().await?;
    let tokens = chatgpt.tokens(&form, &chatgpt.proof(&chatgpt.signer, &[])).await?;
    let next = Signer::rsa()?;
    chatgpt.host.put("/oauth/jwks.json", Reply::json(&next.jwks()));
    let fresh = chatgpt.tokens(&chatgpt.refresh(&tokens), &chatgpt.proof(&next, &[])).await?;
    chatgpt.scene.uses(&fresh.access).await?;
    // The key that it has withdrawn is nobody's any more, and does not make us ask again and again.
    for _ in 0..3 {
        let old = chatgpt.sends(&chatgpt.refresh(&fresh), &chatgpt.proof(&chatgpt.signer, &[])).await?;
        ensure!(old.status == 401 && old.json()?["error"] == "invalid_client", "{}", old.body);
    }
    ensure!(chatgpt.host.hits("/oauth/jwks.json") == 2, "{}", chatgpt.host.hits("/oauth/jwks.json"));
    // None of these cost it the refresh token.
    chatgpt.tokens(&chatgpt.refresh(&fresh), &chatgpt.proof(&next, &[])).await?;
    Ok(())
}

#[tokio::test]
async fn chatgpt_is_not_believed_for_a_proof_that_was_used_or_meant_for_somebody_else() -> TestResult {
    let chatgpt = ChatGpt::new().await?;
    let form = chatgpt.code().await?;
    let stranger = {
        let mut signer = Signer::rsa()?;
        signer.kid.clone_from(&chatgpt.signer.kid);
        signer
    };
    let neighbour = chatgpt.scene.echo.system.workspace().await?;
    let neighbour = chatgpt.scene.echo.system.oauth(&neighbour).await?;
    for (what, signer, change) in [
        ("the endpoint itself", &chatgpt.signer, ("aud", json!(chatgpt.found.typed))),
        ("a neighbour's issuer", &chatgpt.signer, ("aud", json!(neighbour.issuer()?))),
        ("a neighbour's endpoint", &chatgpt.signer, ("aud", json!(neighbour.endpoint("token_endpoint")?))),
        (
            "ours among others",
            &chatgpt.signer,
            ("aud", json!([chatgpt.found.server["issuer"], "https://elsewhere.example"])),
        ),
        ("nobody", &chatgpt.signer, ("aud", Value::Null)),
        ("another client", &chatgpt.signer, ("sub", json!(chatgpt.host.url("/oauth/codex/client.json")))),
        ("an expired proof", &chatgpt.signer, ("exp", json!(now() - 61))),
        ("one without an end", &chatgpt.signer, ("exp", Value::Null)),
        ("one without a number", &chatgpt.signer, ("jti", Value::Null)),
        ("one signed by a stranger", &stranger, ("iat", json!(now()))),
    ] {
        let answer = chatgpt.sends(&form, &chatgpt.proof(signer, &[change])).await?;
        ensure!(answer.status == 401, "{what}: {} {}", answer.status, answer.body);
        ensure!(answer.json()?["error"] == "invalid_client", "{what}: {}", answer.body);
    }
    let proof = chatgpt.proof(&chatgpt.signer, &[]);
    let tokens = chatgpt.tokens(&form, &proof).await?;
    let replayed = chatgpt.sends(&chatgpt.refresh(&tokens), &proof).await?;
    ensure!(replayed.status == 401 && replayed.body.contains("used before"), "{}", replayed.body);
    // Nor without any proof, though its document lists `none` among what it could do.
    let bare: Vec<_> = chatgpt.refresh(&tokens);
    let bare: Vec<_> = bare.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = chatgpt.scene.token(&chatgpt.found, &bare).await?;
    ensure!(answer.status == 401 && answer.json()?["error"] == "invalid_client", "{}", answer.body);
    chatgpt.tokens(&chatgpt.refresh(&tokens), &chatgpt.proof(&chatgpt.signer, &[])).await?;
    Ok(())
}
