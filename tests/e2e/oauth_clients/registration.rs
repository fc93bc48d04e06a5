//! Clients that register themselves, and those that run in a page.

use anyhow::{Context as _, ensure};
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::oauth::{REDIRECT, registration};
use toolmesh_tests::{Answer, TestResult};

use super::Place;

/// Attack case 28.
#[tokio::test]
async fn case_28_a_flood_of_registrations_is_slowed_and_costs_no_rows() -> TestResult {
    let place = Place::new().await?;
    // Straight to the control plane as from one network, so that other tests are not slowed down with it.
    let url =
        format!("http://{}/oauth/{}/register", place.system.ready.control_plane.http, place.workspace.slug);
    let (mut made, mut slowed) = (0, None);
    for _ in 0..120 {
        let request = place.system.http.post(&url).header("x-forwarded-for", "198.51.100.28");
        let answer = Answer::of(request.json(&registration(&[REDIRECT])).send().await?).await?;
        match answer.status {
            StatusCode::CREATED => made += 1,
            StatusCode::TOO_MANY_REQUESTS => {
                slowed = Some(answer);
                break;
            }
            other => anyhow::bail!("{other}: {}", answer.body),
        }
    }
    let slowed = slowed.context("120 registrations in a row were taken")?;
    assert!(made >= 60, "only {made} registrations were taken; a vendor's shared network needs more");
    assert!(slowed.header("retry-after").parse::<u64>().is_ok());
    let count = format!("DELETE FROM oauth_clients WHERE tenant_id = '{}'", place.workspace.tenant_id);
    assert_eq!(place.system.sql(&count).await?, 0, "registrations left rows");

    let of_size = |bytes: usize| {
        let mut document = registration(&[REDIRECT]);
        document["filler"] = json!("x".repeat(bytes));
        document
    };
    let answer = place.server.register(&of_size(20_000)).await?;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    // Of a megabyte nobody reads the end: what is in between may find the connection closed.
    let answer = place.server.register(&of_size(1 << 20)).await?;
    assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{}", answer.status);
    place.server.client(REDIRECT).await?;
    Ok(())
}

/// Attack case 28.
#[tokio::test]
async fn case_28_a_name_cannot_turn_its_letters_and_one_bad_redirect_does_not_cost_the_good_ones()
-> TestResult {
    let place = Place::new().await?;
    let mut document = registration(&["javascript:alert(1)", REDIRECT, "https://u:p@client.example/cb"]);
    document["client_name"] = json!("Chat\u{202e}TPG\u{0007}");
    let made = place.server.register(&document).await?.json()?;
    assert_eq!(made["client_name"], "ChatTPG");
    assert_eq!(made["redirect_uris"], json!([REDIRECT]));
    let text = place.page(made["client_id"].as_str().context("id")?).await?.ok()?.text();
    assert!(text.contains("nobody vouches for the name") && text.contains("Anybody can register"), "{text}");
    Ok(())
}

#[tokio::test]
async fn pages_of_other_origins_may_use_the_endpoints_of_clients() -> TestResult {
    let place = Place::new().await?;
    for name in ["registration_endpoint", "token_endpoint", "revocation_endpoint"] {
        let request = place.system.http.request(http::Method::OPTIONS, place.server.endpoint(name)?);
        let request =
            request.header("origin", "http://127.0.0.1:6274").header("access-control-request-method", "POST");
        let answer = Answer::of(request.send().await?).await?;
        ensure!(answer.status == StatusCode::NO_CONTENT, "{name}: {}", answer.status);
        ensure!(answer.header("access-control-allow-origin") == "*", "{name}");
        ensure!(answer.header("access-control-allow-credentials").is_empty(), "{name}");
    }
    let answer = place.server.refresh("nobody", "nothing").await?;
    assert_eq!(answer.header("access-control-allow-origin"), "*", "an error is for the page, too");
    Ok(())
}
