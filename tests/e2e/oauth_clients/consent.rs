//! What people allow: in their own browser, and asked again where somebody could stand in between.

use anyhow::{Context as _, ensure};
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::TestResult;
use toolmesh_tests::oauth::{REDIRECT, Tokens, with};
use toolmesh_tests::tls::{Reply, TlsSite};

use super::{Form, Place, document};

#[tokio::test]
async fn a_page_that_was_shown_in_one_browser_decides_nothing_in_another() -> TestResult {
    let place = Place::new().await?;
    let client = place.server.client(REDIRECT).await?;
    let action = format!("/oauth/{}/authorize", place.workspace.slug);
    let theirs = place.page(&client).await?.form(&action)?;
    let sealed = theirs.fields.iter().find(|(name, _)| name == "request").context("no request")?.clone();

    let other = place.system.console(&place.workspace.owner).await?;
    let page = place.server.authorize(&other, &place.query(&client)).await?;
    let mut fields = page.form(&action)?.fields;
    fields.retain(|(name, _)| name != "request" && name != "decision");
    fields.extend([sealed, ("decision".to_owned(), "allow".to_owned())]);
    let answer = other.post(&action, &fields).await?;
    assert!(answer.status == StatusCode::BAD_REQUEST && answer.location().is_none(), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn consent_is_remembered_only_where_nobody_can_stand_in_between() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    let mut agent = document(&site, "/client.json");
    agent["redirect_uris"] = json!([REDIRECT, "https://client.example/second", "http://localhost/cb"]);
    site.put("/client.json", Reply::json(&agent));
    let id = site.url("/client.json");
    let registered = place.server.client(REDIRECT).await?;
    for client in [&id, &registered] {
        let form = place.code_form(client).await?;
        Tokens::of(client, &place.server.token(&form).await?)?;
    }
    let local = place.server.query(&id, "http://localhost:1234/cb", &place.pkce);
    place.server.consent(&place.console, &local, "allow").await?;

    let asked = |query: Form, site: &'static str| {
        let place = &place;
        async move {
            let url = url::Url::parse_with_params(&place.server.endpoint("authorization_endpoint")?, &query)?;
            let page = place.console.get_with(url.as_str(), "sec-fetch-site", site).await?;
            ensure!(page.location().is_some() || page.text().contains("Allow"), "{}", page.text());
            anyhow::Ok(page.location().is_none())
        }
    };
    assert!(!asked(place.query(&id), "none").await?, "the same person is asked for the same again");
    assert!(asked(place.query(&id), "cross-site").await?, "another page may have sent them");
    assert!(
        asked(place.query(&id), "same-origin").await?,
        "they come from the login, and before that from anywhere"
    );
    assert!(asked(with(place.query(&id), "prompt", "consent"), "none").await?, "the client wants it");
    assert!(asked(with(place.query(&id), "redirect_uri", "https://client.example/second"), "none").await?);
    assert!(asked(local, "none").await?, "any program may listen on this computer");
    assert!(asked(place.query(&registered), "none").await?, "nobody vouches for what registered itself");

    let tenant = &place.workspace.tenant_id;
    place
        .system
        .sql(&format!("UPDATE oauth_grants SET revoked_at = now() WHERE tenant_id = '{tenant}'"))
        .await?;
    assert!(asked(place.query(&id), "none").await?, "the memory outlives the grant");
    Ok(())
}
