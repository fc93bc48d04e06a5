//! What is taken back is refused on every node, at once and for good; and the keys that tokens are signed with.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::cable::Cable;
use toolmesh_tests::node::Node;
use toolmesh_tests::oauth::{Server, Tokens};
use toolmesh_tests::system::Options;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{System, TestResult, Workspace, eventually};

/// From the answer to the click, or the commit, to the refusal.
const PROMISED: Duration = Duration::from_secs(1);

async fn status(system: &System, node: &str, workspace: &Workspace, token: &str) -> Result<StatusCode> {
    Ok(system.mcp_on(node, workspace, token).request("ping", json!({})).await?.status)
}

async fn good_everywhere(system: &System, workspace: &Workspace, token: &str) -> Result<bool> {
    for node in &system.ready.nodes {
        if status(system, &node.http, workspace, token).await? != StatusCode::OK {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits until every node refuses a token, and makes sure that it did not take longer than promised.
async fn refused_everywhere(system: &System, workspace: &Workspace, token: &str) -> TestResult {
    let start = Instant::now();
    for node in &system.ready.nodes {
        eventually(&format!("{} refuses the token", node.name), SOON, || async {
            let status = status(system, &node.http, workspace, token).await?;
            Ok((status == StatusCode::UNAUTHORIZED).then_some(()))
        })
        .await?;
    }
    ensure!(start.elapsed() <= PROMISED, "it took {:?}", start.elapsed());
    Ok(())
}

async fn give_back(server: &Server, system: &System, tokens: &Tokens) -> TestResult {
    let form = [("token", tokens.refresh.as_str()), ("client_id", tokens.client_id.as_str())];
    let answer = system.http.post(server.endpoint("revocation_endpoint")?).form(&form).send().await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    Ok(())
}

fn error_of(body: &str) -> String {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    json["error"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_token_that_a_client_gives_back_is_refused_on_every_node_within_a_second_and_others_are_not()
-> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let server = system.oauth(&workspace).await?;
    let tokens = system.tokens(&workspace, &workspace.owner).await?;
    let others = system.tokens(&workspace, &workspace.owner).await?;
    assert!(good_everywhere(system, &workspace, &tokens.access).await?);
    give_back(&server, system, &tokens).await?;
    refused_everywhere(system, &workspace, &tokens.access).await?;
    let refused = system.mcp(&workspace, &tokens.access).request("ping", json!({})).await?;
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains("invalid_token") && challenge.contains("revoked"), "{challenge}");
    assert!(good_everywhere(system, &workspace, &others.access).await?, "another grant of the same person");
    assert!(good_everywhere(system, &workspace, &workspace.key).await?, "their key");
    Ok(())
}

#[tokio::test]
async fn the_access_token_dies_too_when_a_stolen_refresh_token_comes_back() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let server = system.oauth(&workspace).await?;
    let first = system.tokens(&workspace, &workspace.owner).await?;
    let second = Tokens::of(&first.client_id, &server.refresh(&first.client_id, &first.refresh).await?)?;
    let tenant = &workspace.tenant_id;
    let past = format!(
        "UPDATE refresh_tokens SET rotated_at = rotated_at - interval '10 minutes' \
         WHERE tenant_id = '{tenant}' AND rotated_at IS NOT NULL"
    );
    assert!(system.sql(&past).await? >= 1);
    assert!(good_everywhere(system, &workspace, &second.access).await?);
    let stolen = server.refresh(&first.client_id, &first.refresh).await?;
    assert_eq!(error_of(&stolen.body), "invalid_grant");
    refused_everywhere(system, &workspace, &second.access).await?;
    refused_everywhere(system, &workspace, &first.access).await
}

#[tokio::test]
async fn fifty_refreshes_of_one_token_at_once_end_in_one_family() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let server = system.oauth(&workspace).await?;
    let tokens = system.tokens(&workspace, &workspace.owner).await?;
    let answers = futures_util::future::try_join_all(
        (0..50).map(|_| server.refresh(&tokens.client_id, &tokens.refresh)),
    )
    .await?;
    let (mut good, mut refused) = (Vec::new(), 0);
    for answer in answers {
        match answer.status {
            StatusCode::OK => good.push(Tokens::of(&tokens.client_id, &answer)?),
            StatusCode::BAD_REQUEST => {
                assert_eq!(error_of(&answer.body), "invalid_grant");
                refused += 1;
            }
            other => anyhow::bail!("{other}: {}", answer.body),
        }
    }
    // The first, and as often again as a client may race itself.
    assert_eq!((good.len(), refused), (4, 46));
    let sids: std::collections::BTreeSet<String> =
        good.iter().map(|tokens| claim(&tokens.access, "sid")).collect::<Result<_>>()?;
    assert_eq!(sids.len(), 1, "one family");

    // Of the siblings, the first to be exchanged goes on. The others end, all at once or one after the other.
    let next = futures_util::future::try_join_all(
        good.iter().map(|tokens| server.refresh(&tokens.client_id, &tokens.refresh)),
    )
    .await?;
    let heirs: Vec<_> = next.iter().filter(|answer| answer.status == StatusCode::OK).collect();
    assert_eq!(heirs.len(), 1, "no fork outlives the race");
    let heir = Tokens::of(&tokens.client_id, heirs[0])?;

    // The grandparent is a thief's by now, however short ago it was good.
    let stolen = server.refresh(&tokens.client_id, &tokens.refresh).await?;
    assert_eq!(error_of(&stolen.body), "invalid_grant");
    let dead = server.refresh(&heir.client_id, &heir.refresh).await?;
    assert_eq!(error_of(&dead.body), "invalid_grant", "a descendant outlives its family");
    refused_everywhere(system, &workspace, &heir.access).await
}

/// A claim of a token, as anybody can read it.
fn claim(token: &str, name: &str) -> Result<String> {
    let body = token.split('.').nth(1).context("no JWT")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body)?)?;
    claims[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {claims}"))
}

#[tokio::test]
async fn a_node_that_was_cut_off_or_killed_does_not_serve_who_was_shut_out() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let server = system.oauth(&workspace).await?;
    let cable = Cable::to(&system.ready.control_plane.grpc).await?;
    let mut node = Node::start(system, &cable.address.to_string()).await?;
    let early = system.tokens(&workspace, &workspace.owner).await?;
    let late = system.tokens(&workspace, &workspace.owner).await?;
    assert_eq!(status(system, &node.http, &workspace, &early.access).await?, StatusCode::OK);

    give_back(&server, system, &early).await?;
    eventually("the node refuses it", SOON, || async {
        let status = status(system, &node.http, &workspace, &early.access).await?;
        Ok((status == StatusCode::UNAUTHORIZED).then_some(()))
    })
    .await?;
    cable.cut();
    give_back(&server, system, &late).await?;
    node.kill_and_start().await?;
    let after = status(system, &node.http, &workspace, &early.access).await?;
    assert_eq!(after, StatusCode::UNAUTHORIZED, "from its disk alone");
    let unknown = status(system, &node.http, &workspace, &late.access).await?;
    assert_eq!(unknown, StatusCode::OK, "it cannot know");

    cable.plug_in();
    eventually("it learns what it missed", Duration::from_secs(20), || async {
        let status = status(system, &node.http, &workspace, &late.access).await?;
        Ok((status == StatusCode::UNAUTHORIZED).then_some(()))
    })
    .await
}

#[tokio::test]
async fn who_is_removed_and_comes_back_at_once_gets_tokens_that_work() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let person = system.person().await?;
    system.join(&workspace, &person, "member").await?;
    let before = system.tokens(&workspace, &person).await?;
    let owner = system.console(&workspace.owner).await?;
    let members = format!("/w/{}/members", workspace.slug);
    let remove = format!("{members}/{}/remove", person.user_id);
    owner.submit(&members, &remove, &[]).await?.ok()?;
    refused_everywhere(system, &workspace, &before.access).await?;

    system.join(&workspace, &person, "member").await?;
    let after = system.tokens(&workspace, &person).await?;
    for node in &system.ready.nodes {
        eventually("the new token works", SOON, || async {
            let status = status(system, &node.http, &workspace, &after.access).await?;
            Ok((status == StatusCode::OK).then_some(()))
        })
        .await?;
    }
    let old = status(system, &system.ready.nodes[0].http, &workspace, &before.access).await?;
    assert_eq!(old, StatusCode::UNAUTHORIZED, "the old token came back with its owner");
    Ok(())
}

#[tokio::test]
async fn an_emergency_rotation_ends_every_token_within_a_second_and_refreshing_goes_on() -> TestResult {
    // Its own: what it does ends the tokens of all workspaces.
    let system = System::start(Options::default()).await?;
    let workspace = system.workspace().await?;
    let server = system.oauth(&workspace).await?;
    let tokens = system.tokens(&workspace, &workspace.owner).await?;
    let before = kids(&system, &server).await?;
    assert!(good_everywhere(&system, &workspace, &tokens.access).await?);

    let answer = system.admin(&["rotate-keys", "--now"]).await?;
    refused_everywhere(&system, &workspace, &tokens.access).await?;
    let after = kids(&system, &server).await?;
    assert!(after.len() == 1 && !before.contains(&after[0]), "{before:?} {after:?}");
    assert_eq!(answer["keys"][0]["kid"], after[0]);
    assert_eq!(answer["keys"][0]["state"], "signs");
    assert_eq!(answer["keys"][1]["state"], "retired");

    let fresh = Tokens::of(&tokens.client_id, &server.refresh(&tokens.client_id, &tokens.refresh).await?)?;
    for node in &system.ready.nodes {
        eventually("the refreshed token works", SOON, || async {
            let status = status(&system, &node.http, &workspace, &fresh.access).await?;
            Ok((status == StatusCode::OK).then_some(()))
        })
        .await?;
    }
    // The wiped key is nowhere any more.
    let left = "SELECT FROM signing_keys WHERE retired_at IS NOT NULL AND (wrapped <> '' OR nonce <> '')";
    assert_eq!(system.sql(left).await?, 0);

    // Before its time, but in peace: both are published, and the old one signs.
    system.admin(&["rotate-keys"]).await?;
    eventually("the next key is published", SOON, || async {
        Ok((kids(&system, &server).await?.len() == 2).then_some(()))
    })
    .await?;
    assert!(good_everywhere(&system, &workspace, &fresh.access).await?);
    let listed = system.admin(&["keys"]).await?;
    let states: Vec<_> =
        listed.as_array().context("no list")?.iter().map(|key| key["state"].clone()).collect();
    assert_eq!(states, ["next", "signs", "retired"]);
    let again = system.run_admin(&["rotate-keys"]).await?;
    assert!(again.code != Some(0) && again.stderr.contains("--now"), "{}", again.stderr);
    system.stop()
}

async fn kids(system: &System, server: &Server) -> Result<Vec<String>> {
    let url = server.endpoint("jwks_uri")?;
    let jwks: Value = system.http.get(url).send().await?.error_for_status()?.json().await?;
    let keys = jwks["keys"].as_array().context("no keys")?;
    Ok(keys.iter().filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect())
}

#[tokio::test]
async fn a_new_password_disconnects_the_apps_of_all_workspaces() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let other = system.workspace_of(workspace.owner.clone()).await?;
    let here = system.tokens(&workspace, &workspace.owner).await?;
    let there = system.tokens(&other, &workspace.owner).await?;
    assert!(good_everywhere(system, &workspace, &here.access).await?);
    assert!(good_everywhere(system, &other, &there.access).await?);
    let console = system.console(&workspace.owner).await?;
    let fields =
        [("current", workspace.owner.password.as_str()), ("password", "another horse of 2026, please")];
    console.submit("/account/password", "/account/password", &fields).await?.ok()?;
    refused_everywhere(system, &workspace, &here.access).await?;
    refused_everywhere(system, &other, &there.access).await?;
    assert!(good_everywhere(system, &workspace, &workspace.key).await?, "keys go on");
    Ok(())
}

#[tokio::test]
async fn signing_out_everywhere_ends_other_sessions_and_disconnects_apps_of_all_workspaces() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let other = system.workspace_of(workspace.owner.clone()).await?;
    let server = system.oauth(&workspace).await?;
    let here = system.tokens(&workspace, &workspace.owner).await?;
    let there = system.tokens(&other, &workspace.owner).await?;
    assert!(good_everywhere(system, &workspace, &here.access).await?);
    assert!(good_everywhere(system, &other, &there.access).await?);
    let console = system.console(&workspace.owner).await?;
    let phone = system.console(&workspace.owner).await?;
    let page = "/account/sessions";
    console.submit(page, "/account/sessions/end-everywhere", &[]).await?.ok()?;
    refused_everywhere(system, &workspace, &here.access).await?;
    refused_everywhere(system, &other, &there.access).await?;
    let refreshed = server.refresh(&here.client_id, &here.refresh).await?;
    assert_eq!(error_of(&refreshed.body), "invalid_grant");
    assert!(good_everywhere(system, &workspace, &workspace.key).await?, "keys go on");
    assert_ne!(phone.get("/workspaces").await?.status, StatusCode::OK, "another session lives on");
    let text = console.visit(page).await?.ok()?.text();
    ensure!(text.contains("2 connected apps") && text.contains("Signed out everywhere"), "{text}");
    Ok(())
}
