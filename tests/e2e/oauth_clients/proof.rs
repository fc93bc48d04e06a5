//! How a client proves to be itself: by its signature, or by a secret.

use anyhow::{Context as _, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::TestResult;
use toolmesh_tests::oauth::{REDIRECT, Tokens, registration, with};
use toolmesh_tests::signer::{self, Signer};
use toolmesh_tests::tls::{Reply, TlsSite};

use super::{Place, document, signed};
use crate::client::error_of;

#[tokio::test]
async fn a_client_that_signs_proves_itself_anew_with_each_request_and_is_never_believed_without() -> TestResult
{
    let (place, site, signer) = (Place::new().await?, TlsSite::start().await?, Signer::new()?);
    let mut signing = document(&site, "/client.json");
    signing["token_endpoint_auth_method"] = json!("private_key_jwt");
    signing["token_endpoint_auth_methods_supported"] = json!(["none", "private_key_jwt"]);
    signing["jwks_uri"] = json!(site.url("/keys"));
    site.put("/client.json", Reply::json(&signing));
    site.put("/keys", Reply::json(&signer.jwks()));
    let (id, issuer) = (site.url("/client.json"), place.server.issuer()?);
    let form = place.code_form(&id).await?;

    // None of these uses the code up.
    let token_endpoint = place.server.endpoint("token_endpoint")?;
    let fine = signer.assertion(&id, &issuer, &[]);
    let stranger = Signer::new()?;
    let soon = signer::now();
    let refused = [
        ("nothing", form.clone()),
        ("another key", signed(&form, &stranger.assertion(&id, &issuer, &[]))),
        ("another audience", signed(&form, &signer.assertion(&id, "https://elsewhere.example", &[]))),
        ("another client", signed(&form, &signer.assertion(&site.url("/other"), &issuer, &[]))),
        ("an old one", signed(&form, &signer.assertion(&id, &issuer, &[("exp", json!(soon - 300))]))),
        ("a long one", signed(&form, &signer.assertion(&id, &issuer, &[("exp", json!(soon + 3600))]))),
        ("one without a number", signed(&form, &signer.assertion(&id, &issuer, &[("jti", Value::Null)]))),
        ("a secret", with(form.clone(), "client_secret", "guess")),
    ];
    for (what, form) in refused {
        let answer = place.server.token(&form).await?;
        ensure!(answer.status == StatusCode::UNAUTHORIZED, "{what}: {} {}", answer.status, answer.body);
        ensure!(error_of(&answer)? == "invalid_client", "{what}: {}", answer.body);
    }
    let twice = with(signed(&form, &fine), "client_secret", "guess");
    assert_eq!(error_of(&place.server.token(&twice).await?)?, "invalid_request");
    let kind = with(signed(&form, &fine), "client_assertion_type", "urn:other");
    assert_eq!(error_of(&place.server.token(&kind).await?)?, "invalid_request");

    let tokens = Tokens::of(&id, &place.server.token(&signed(&form, &fine)).await?)?;
    let refresh = vec![
        ("grant_type".to_owned(), "refresh_token".to_owned()),
        ("refresh_token".to_owned(), tokens.refresh.clone()),
    ];
    let replayed = place.server.token(&signed(&refresh, &fine)).await?;
    assert_eq!(error_of(&replayed)?, "invalid_client", "an assertion was good twice: {}", replayed.body);
    // Without a client_id: the assertion says who it is. The token endpoint is a name of ours, too.
    let fresh = signer.assertion(&id, &token_endpoint, &[]);
    Tokens::of(&id, &place.server.token(&signed(&refresh, &fresh)).await?)?;
    assert!(site.hits("/keys") <= 2, "the keys were fetched {} times", site.hits("/keys"));
    Ok(())
}

#[tokio::test]
async fn of_two_requests_at_once_with_one_assertion_one_is_believed() -> TestResult {
    let (place, site, signer) = (Place::new().await?, TlsSite::start().await?, Signer::new()?);
    let mut signing = document(&site, "/client.json");
    signing["token_endpoint_auth_method"] = json!("private_key_jwt");
    signing["jwks"] = signer.jwks();
    site.put("/client.json", Reply::json(&signing));
    let id = site.url("/client.json");
    let form = place.code_form(&id).await?;
    let form = signed(&form, &signer.assertion(&id, &place.server.issuer()?, &[]));
    let (a, b, c) =
        tokio::join!(place.server.token(&form), place.server.token(&form), place.server.token(&form));
    let answers = [a?, b?, c?];
    let good = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    let refused = answers.iter().filter(|answer| answer.status == StatusCode::UNAUTHORIZED).count();
    assert_eq!((good, refused), (1, 2), "{answers:?}");
    Ok(())
}

#[tokio::test]
async fn a_client_with_a_secret_shows_it_in_the_header_or_in_the_form() -> TestResult {
    let place = Place::new().await?;
    for method in ["client_secret_basic", "client_secret_post"] {
        let mut wanted = registration(&[REDIRECT]);
        wanted["token_endpoint_auth_method"] = json!(method);
        let made = place.server.register(&wanted).await?.json()?;
        assert_eq!(made["token_endpoint_auth_method"], method);
        let (id, secret) =
            (made["client_id"].as_str().context("id")?, made["client_secret"].as_str().context("secret")?);
        let form = place.code_form(id).await?;
        let bare = with(form.clone(), "client_id", "");

        let wrong = place.server.token_over_basic(id, "guess", &bare).await?;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{}", wrong.body);
        assert!(
            wrong.header("www-authenticate").starts_with("Basic"),
            "{}",
            wrong.header("www-authenticate")
        );
        for bad in [form.clone(), with(form.clone(), "client_secret", "guess")] {
            let answer = place.server.token(&bad).await?;
            assert_eq!(
                (answer.status, error_of(&answer)?.as_str()),
                (StatusCode::UNAUTHORIZED, "invalid_client")
            );
            assert_eq!(answer.header("www-authenticate"), "");
        }
        let both = with(form.clone(), "client_secret", secret);
        let both = place.server.token_over_basic(id, secret, &both).await?;
        assert_eq!(error_of(&both)?, "invalid_request");
        let answer = if method == "client_secret_basic" {
            place.server.token_over_basic(id, secret, &bare).await?
        } else {
            place.server.token(&with(form, "client_secret", secret)).await?
        };
        Tokens::of(id, &answer)?;
    }
    let mut unknown = registration(&[REDIRECT]);
    unknown["token_endpoint_auth_method"] = json!("tls_client_auth");
    let answer = place.server.register(&unknown).await?;
    assert_eq!(error_of(&answer)?, "invalid_client_metadata");
    Ok(())
}
