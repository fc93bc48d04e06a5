//! The pages on OAuth clients, and what people see when they connect one.

use anyhow::Context as _;
use serde_json::json;
use toolmesh_tests::browser::Browser;
use toolmesh_tests::oauth::{Pkce, REDIRECT, Tokens, parameter};
use toolmesh_tests::tls::{Reply, TlsSite};
use toolmesh_tests::{System, TestResult};
use url::Url;

use crate::log_in;

#[tokio::test]
async fn admins_decide_about_clients_on_finished_pages() -> TestResult {
    let (system, site) = (System::shared().await?, TlsSite::start().await?);
    let workspace = system.workspace().await?;
    let page = |rest: &str| system.console_url(&format!("/w/{}{rest}", workspace.slug));
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    browser.go(&page("/clients")).await?;
    browser.read("No clients yet").await?;
    browser.inspect("70-clients-empty").await?;
    browser.go(&page("/clients/refusals")).await?;
    browser.read("Nothing was refused").await?;
    browser.inspect("71-problems-empty").await?;

    browser.go(&page("/clients/new")).await?;
    browser.inspect("72-client-new").await?;
    browser.fill("name", "Nightly report").await?;
    browser.fill("redirects", "http://evil.example/cb").await?;
    browser.submit("/clients/new").await?;
    browser.read("cannot be used").await?;
    browser.pictures("73-client-new-refused").await?;
    browser.accessible().await?;
    // The browser notes that the page is an answer 422, and later one 400; that is what they are.
    browser.complaints().await?;
    browser.fill("redirects", "https://report.example/cb").await?;
    browser.see("input[value=client_secret_basic]").await?.click().await?;
    browser.submit("/clients/new").await?;
    browser.read("shown this once").await?;
    browser.inspect("74-client-secret").await?;

    // Another registers itself twice, a third has a document; one of them asks for nonsense.
    let server = system.oauth(&workspace).await?;
    let console = system.console(&workspace.owner).await?;
    let pkce = Pkce::new();
    for _ in 0..2 {
        let client = server.client("https://client.example/callback").await?;
        let back = server.consent(&console, &server.query(&client, REDIRECT, &pkce), "allow").await?;
        let code = parameter(&back, "code").context("no code")?;
        Tokens::of(&client, &server.token(&server.code_form(&client, REDIRECT, &code, &pkce)).await?)?;
        server.refresh(&client, "invented").await?;
    }
    let id = site.url("/client.json");
    let document = json!({"client_id": id, "client_name": "Example agent",
                          "redirect_uris": [REDIRECT, "http://localhost/cb"]});
    site.put("/client.json", Reply::json(&document));
    browser.go(&page("/settings/clients")).await?;
    browser.see("input[value=approve]").await?.click().await?;
    browser.submit("/settings/clients").await?;
    browser.read("The rule is saved").await?;
    browser.inspect("75-client-rules").await?;

    let authorize = server.endpoint("authorization_endpoint")?;
    let consent = |redirect: &str| Url::parse_with_params(&authorize, server.query(&id, redirect, &pkce));
    browser.go(consent(REDIRECT)?.as_str()).await?;
    browser.read("waits for an admin").await?;
    browser.pictures("76-client-waits").await?;
    browser.accessible().await?;
    browser.complaints().await?;
    browser.go(&page("/clients")).await?;
    browser.read("waits for you").await?;
    browser.inspect("77-clients").await?;
    browser.submit("/allow").await?;
    browser.read("is allowed").await?;
    browser.go(&page("/clients/refusals")).await?;
    browser.read("the refresh token is unknown").await?;
    browser.inspect("78-problems").await?;
    for (name, redirect) in
        [("79-consent-document", REDIRECT), ("80-consent-local", "http://localhost:4711/cb")]
    {
        browser.go(consent(redirect)?.as_str()).await?;
        browser.read("Allow Example agent").await?;
        browser.inspect(name).await?;
    }
    browser.go(&page("/clients")).await?;
    let list = console.visit(&format!("/w/{}/clients", workspace.slug)).await?;
    let own = list.links(&format!("/w/{}/clients/", workspace.slug));
    let by_hand = own.iter().rfind(|path| path.len() > 80).context("no client")?;
    browser.go(&system.console_url(by_hand)).await?;
    browser.read("What is known of it").await?;
    browser.inspect("81-client").await?;
    browser.close().await
}
