//! Clients that are known by a document on the web.

use std::time::Duration;

use anyhow::ensure;
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::oauth::{Tokens, with};
use toolmesh_tests::tls::{Reply, TlsSite};
use toolmesh_tests::{Console, TestResult};

use super::{Place, document};

#[tokio::test]
async fn the_metadata_name_every_way_to_be_a_client() -> TestResult {
    let place = Place::new().await?;
    let metadata = &place.server.metadata;
    assert_eq!(metadata["client_id_metadata_document_supported"], true);
    let methods = json!(["none", "private_key_jwt", "client_secret_basic", "client_secret_post"]);
    for endpoint in ["token", "revocation"] {
        assert_eq!(metadata[format!("{endpoint}_endpoint_auth_methods_supported")], methods);
        let algorithms = &metadata[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
        assert_eq!(*algorithms, json!(["RS256", "PS256", "ES256", "EdDSA"]));
    }
    let origin = &place.workspace.origin;
    let mut texts = Vec::new();
    for path in ["oauth-authorization-server", "openid-configuration"] {
        let url = format!("{origin}/.well-known/{path}");
        texts.push(place.system.http.get(url).send().await?.text().await?);
    }
    assert_eq!(texts[0], texts[1], "the two documents differ");
    Ok(())
}

#[tokio::test]
async fn a_client_is_known_by_its_document() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    site.put("/client.json", Reply::json(&document(&site, "/client.json")));
    let id = site.url("/client.json");

    let text = place.page(&id).await?.ok()?.text();
    assert!(
        text.contains("Example agent") && text.contains(&format!("published by {}", site.host())),
        "{text}"
    );
    assert!(text.contains("client.example"), "where it leads is not shown: {text}");
    let form = place.code_form(&id).await?;
    let tokens = Tokens::of(&id, &place.server.token(&form).await?)?;
    let answer = place.system.mcp(&place.workspace, &tokens.access).request("ping", json!({})).await?;
    assert_eq!(answer.status, StatusCode::OK);
    let again = Tokens::of(&id, &place.server.refresh(&id, &tokens.refresh).await?)?;
    assert_ne!(again.refresh, tokens.refresh);
    assert_eq!(site.hits("/client.json"), 1, "a document is fetched once and kept");
    Ok(())
}

#[tokio::test]
async fn a_stranger_makes_nobody_fetch_a_document() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    site.put("/client.json", Reply::json(&document(&site, "/client.json")));
    let query = place.query(&site.url("/client.json"));

    let nobody = Console::new(place.system)?;
    let page = place.server.authorize(&nobody, &query).await?;
    assert!(page.location().is_some_and(|to| to.path() == "/login"), "{}", page.text());
    let stranger = place.system.console(&place.system.person().await?).await?;
    let page = place.server.authorize(&stranger, &query).await?;
    assert!(page.status.is_client_error() && page.text().contains("not a member"), "{}", page.text());
    assert_eq!(site.hits("/client.json"), 0);
    Ok(())
}

/// Attack case 27.
#[tokio::test]
async fn case_27_documents_that_redirect_lie_or_never_end_make_no_client() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    let lying = |name: &str, value: Value| {
        let mut document = document(&site, &format!("/{name}"));
        document[name] = value;
        (format!("/{name}"), Reply::json(&document))
    };
    let good = |path: &str| Reply::json(&document(&site, path));
    let huge = json!({"client_id": site.url("/huge"), "filler": "x".repeat(100_000)});
    let moved = good("/moved").status(StatusCode::FOUND).header("location", &site.url("/elsewhere"));
    site.put("/elsewhere", good("/moved"));
    let cases = [
        ("/moved".to_owned(), moved),
        ("/huge".to_owned(), Reply::json(&huge)),
        ("/html".to_owned(), Reply::of("text/html", "<h1>Hello</h1>")),
        ("/error".to_owned(), good("/error").status(StatusCode::SERVICE_UNAVAILABLE)),
        ("/slow".to_owned(), good("/slow").after(Duration::from_secs(8))),
        ("/twin".to_owned(), good("/another")),
        lying("client_secret", json!("everybody's")),
        lying("token_endpoint_auth_method", json!("client_secret_post")),
        lying("redirect_uris", json!(["http://evil.example/cb"])),
        lying("client_name", Value::Null),
    ];
    for (path, reply) in cases {
        site.put(&path, reply);
        let page = place.page(&site.url(&path)).await?;
        ensure!(page.status == StatusCode::BAD_REQUEST, "{path}: {} {}", page.status, page.text());
        ensure!(page.location().is_none(), "{path} redirects");
        ensure!(page.text().contains("could not be identified"), "{path}: {}", page.text());
    }
    assert_eq!(site.hits("/elsewhere"), 0, "a redirect was followed");

    // A redirect that is not in the document, and ids that are no addresses of documents.
    site.put("/client.json", good("/client.json"));
    let query = with(place.query(&site.url("/client.json")), "redirect_uri", "https://client.example/other");
    let page = place.server.authorize(&place.console, &query).await?;
    ensure!(page.status == StatusCode::BAD_REQUEST && page.location().is_none(), "{}", page.text());
    for id in [
        format!("https://{}/", site.host()),
        format!("{}#x", site.url("/client.json")),
        format!("https://user@{}/client.json", site.host()),
        format!("https://{}/a/../client.json", site.host()),
        format!("http://{}/client.json", site.host()),
    ] {
        let page = place.page(&id).await?;
        ensure!(page.status == StatusCode::BAD_REQUEST && page.location().is_none(), "{id}: {}", page.text());
    }
    Ok(())
}

/// Attack case 27: a program on the person's computer may pretend to be the one that the document describes.
#[tokio::test]
async fn case_27_a_client_on_this_computer_is_never_taken_at_its_word() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    let mut local = document(&site, "/local");
    local["redirect_uris"] = json!(["http://127.0.0.1/callback", "http://localhost/callback"]);
    site.put("/local", Reply::json(&local));
    let query = place.server.query(&site.url("/local"), "http://127.0.0.1:49999/callback", &place.pkce);
    let text = place.server.authorize(&place.console, &query).await?.ok()?.text();
    assert!(text.contains("nobody can vouch for"), "no warning: {text}");
    Ok(())
}

#[tokio::test]
async fn well_known_clients_are_known_while_their_hosts_are_away() -> TestResult {
    let place = Place::new().await?;
    for (id, redirect, name) in [
        (
            "https://claude.ai/oauth/mcp-oauth-client-metadata",
            "https://claude.ai/api/mcp/auth_callback",
            "Claude",
        ),
        (
            "https://chatgpt.com/oauth/client.json",
            "https://chatgpt.com/connector_platform_oauth_redirect",
            "ChatGPT",
        ),
        ("https://chatgpt.com/oauth/codex/client.json", "http://127.0.0.1:41234/callback", "Codex"),
    ] {
        let query = place.server.query(id, redirect, &place.pkce);
        let text = place.server.authorize(&place.console, &query).await?.ok()?.text();
        ensure!(text.contains(&format!("Allow {name}")), "{id}: {text}");
    }
    Ok(())
}
