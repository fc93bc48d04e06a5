//! What admins say about clients: which may be used, those they register by hand, what was refused.

use anyhow::{Context as _, ensure};
use http::StatusCode;
use toolmesh_tests::oauth::{REDIRECT, registration, with};
use toolmesh_tests::tls::{Reply, TlsSite};
use toolmesh_tests::{Page, TestResult};

use super::{Place, document};
use crate::client::error_of;

#[tokio::test]
async fn a_blocked_client_loses_what_it_held_and_stays_out_when_it_registers_again() -> TestResult {
    let place = Place::new().await?;
    let client = place.server.client(REDIRECT).await?;
    let tokens = place.tokens(&client).await?;
    let waiting_code = place.code_form(&client).await?;

    place.press("Test client", "block").await?;
    for answer in
        [place.server.refresh(&client, &tokens.refresh).await?, place.server.token(&waiting_code).await?]
    {
        assert_eq!(
            (answer.status, error_of(&answer)?.as_str()),
            (StatusCode::BAD_REQUEST, "unauthorized_client")
        );
    }
    let again = place.server.client(REDIRECT).await?;
    assert_ne!(again, client);
    for client in [&client, &again] {
        let page = place.page(client).await?;
        ensure!(page.status == StatusCode::BAD_REQUEST && page.text().contains("blocked"), "{}", page.text());
        ensure!(page.location().is_none(), "a blocked client is sent to {:?}", page.location());
    }

    place.press("Test client", "allow").await?;
    let back = place.tokens(&again).await?;
    assert!(
        place.server.refresh(&client, &tokens.refresh).await?.status.is_client_error(),
        "what ended came back"
    );
    assert!(place.server.refresh(&again, &back.refresh).await?.status.is_success());
    Ok(())
}

#[tokio::test]
async fn where_admins_allow_clients_first_a_member_waits_and_the_admin_sees_it() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    let rules = place.path("/settings/clients");
    let member = place.system.person().await?;
    let member = place.system.join(&place.workspace, &member, "member").await?;
    place.console.submit(&rules, &rules, &[("policy", "approve")]).await?.ok()?;
    site.put("/client.json", Reply::json(&document(&site, "/client.json")));
    let id = site.url("/client.json");
    let ask = || async { place.server.authorize(&member, &place.query(&id)).await };

    let page = ask().await?;
    assert!(
        page.status == StatusCode::BAD_REQUEST && page.text().contains("waits for an admin"),
        "{}",
        page.text()
    );
    let list = place.console.visit(&place.path("/clients")).await?.text();
    assert!(list.contains("Example agent") && list.contains("waits for you"), "{list}");
    let problems = place.console.visit(&place.path("/clients/refusals")).await?.text();
    assert!(problems.contains("Example agent is noted"), "{problems}");

    place.press("Example agent", "allow").await?;
    assert!(ask().await?.ok()?.text().contains("Allow Example agent"));

    // Members do not get to these pages.
    for path in ["/clients", "/clients/new", "/clients/refusals", "/settings/clients"] {
        let page = member.get(&place.path(path)).await?;
        ensure!(page.status == StatusCode::FORBIDDEN, "{path}: {}", page.status);
    }
    Ok(())
}

#[tokio::test]
async fn where_hosts_are_listed_others_wait() -> TestResult {
    let place = Place::new().await?;
    let rules = place.path("/settings/clients");
    let bad = place.console.submit(&rules, &rules, &[("policy", "hosts"), ("hosts", "not a host!")]).await?;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(bad.body.contains("not a host!"), "what was typed is lost");
    place.console.submit(&rules, &rules, &[("policy", "hosts"), ("hosts", "client.example")]).await?.ok()?;

    let listed = place.server.client(REDIRECT).await?;
    assert!(place.page(&listed).await?.ok()?.text().contains("Allow Test client"));
    let other = "https://client.example.evil/callback";
    let client = place.server.client(other).await?;
    let page =
        place.server.authorize(&place.console, &place.server.query(&client, other, &place.pkce)).await?;
    assert!(page.text().contains("waits for an admin"), "{}", page.text());
    Ok(())
}

#[tokio::test]
async fn a_client_registered_by_hand_has_a_secret_that_is_replaced_with_an_overlap() -> TestResult {
    let place = Place::new().await?;
    let new = place.path("/clients/new");
    let fields = [("name", "Nightly report"), ("redirects", REDIRECT), ("method", "client_secret_basic")];
    for (name, value) in [("name", ""), ("redirects", "http://evil.example/cb"), ("method", "guess")] {
        let mut wrong = fields.to_vec();
        wrong.retain(|(given, _)| *given != name);
        wrong.push((name, value));
        let page = place.console.submit(&new, &new, &wrong).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{name}={value}: {}", page.status);
        ensure!(name == "name" || page.body.contains("Nightly report"), "what was typed is lost");
    }
    let made = place.console.submit(&new, &new, &fields).await?.ok()?;
    let shown = |page: &Page, start: &str| {
        let text = page.text();
        let found = text.split_whitespace().find(|word| word.starts_with(start)).map(str::to_owned);
        found.with_context(|| format!("no {start} in {text}"))
    };
    let (id, first) = (shown(&made, "tmc_")?, shown(&made, "tmcs_")?);
    let text = place.page(&id).await?.ok()?.text();
    assert!(text.contains("registered by an admin"), "{text}");
    let works = |secret: String| {
        let (place, id) = (&place, &id);
        async move {
            let form = with(place.code_form(id).await?, "client_id", "");
            anyhow::Ok(place.server.token_over_basic(id, &secret, &form).await?.status)
        }
    };
    assert_eq!(works(first.clone()).await?, StatusCode::OK);

    let list = place.console.visit(&place.path("/clients")).await?.ok()?;
    let own =
        list.links(&place.path("/clients/")).into_iter().find(|path| path.len() > 80).context("no client")?;
    let rotate = format!("{own}/secret");
    let second = shown(&place.console.submit(&own, &rotate, &[("overlap", "3600")]).await?.ok()?, "tmcs_")?;
    assert!(!place.console.visit(&own).await?.body.contains(&second), "the secret is shown twice");
    assert_eq!(works(first.clone()).await?, StatusCode::OK, "the overlap");
    assert_eq!(works(second.clone()).await?, StatusCode::OK);
    let third = shown(&place.console.submit(&own, &rotate, &[("overlap", "0")]).await?.ok()?, "tmcs_")?;
    for (secret, status) in
        [(first, StatusCode::UNAUTHORIZED), (second, StatusCode::UNAUTHORIZED), (third, StatusCode::OK)]
    {
        assert_eq!(works(secret).await?, status);
    }

    let redirects = format!("{own}/redirects");
    let moved = [("redirects", "https://client.example/moved")];
    place.console.submit(&own, &redirects, &moved).await?.ok()?;
    assert_eq!(place.page(&id).await?.status, StatusCode::BAD_REQUEST, "the old redirect is still good");
    place.console.submit(&own, &format!("{own}/delete"), &[]).await?.ok()?;
    let gone = place.server.refresh(&id, "any").await?;
    assert_eq!(error_of(&gone)?, "invalid_client");
    Ok(())
}

#[tokio::test]
async fn what_was_refused_stands_with_its_reason_where_admins_look() -> TestResult {
    let place = Place::new().await?;
    let empty = place.console.visit(&place.path("/clients/refusals")).await?.text();
    assert!(empty.contains("Nothing was refused"), "{empty}");
    let client = place.server.client(REDIRECT).await?;
    let tokens = place.tokens(&client).await?;
    for _ in 0..3 {
        place.server.refresh(&client, "invented").await?;
    }
    place.server.refresh("nobody", &tokens.refresh).await?;
    place.server.register(&registration(&["javascript:alert(1)"])).await?;
    place
        .server
        .authorize(&place.console, &with(place.query(&client), "redirect_uri", "https://evil.example/"))
        .await?;
    place.server.authorize(&place.console, &with(place.query(&client), "code_challenge", "")).await?;

    let text = place.console.visit(&place.path("/clients/refusals")).await?.ok()?.text();
    for expected in [
        "Test client",
        "the refresh token is unknown",
        "does not know the client",
        "redirect_uris must hold",
        "did not register",
        "PKCE is required",
        "times",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing: {text}");
    }
    assert!(!text.contains("invented"), "a token stands in the page");
    let other = place.system.workspace().await?;
    let theirs = place.system.console(&other.owner).await?;
    let theirs = theirs.visit(&format!("/w/{}/clients/refusals", other.slug)).await?.text();
    assert!(theirs.contains("Nothing was refused"), "another workspace sees them: {theirs}");
    Ok(())
}
