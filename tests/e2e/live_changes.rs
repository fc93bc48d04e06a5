//! A change in the console is in force on every node within one second; a node that is cut off keeps serving and catches up.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::cable::Cable;
use toolmesh_tests::node::Node;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Mcp, Page, TestResult, eventually};

use crate::Echo;

const PROMISED: Duration = Duration::from_secs(1);

/// Makes a change and measures, on each node's own port, how long after the console's answer it is in force.
async fn in_force<C, F, Fut>(echo: &Echo, token: &str, what: &str, change: C, check: F) -> TestResult
where
    C: Future<Output = Result<Page>>,
    F: Fn(Mcp) -> Fut,
    Fut: Future<Output = Result<bool>>,
{
    let nodes = &echo.system.ready.nodes;
    ensure!(nodes.len() >= 2, "one node proves little");
    let clients: Vec<_> =
        nodes.iter().map(|node| echo.system.mcp_on(&node.http, &echo.workspace, token)).collect();
    for mcp in &clients {
        ensure!(!check(mcp.clone()).await?, "{what}: in force before the change");
    }
    change.await?.ok()?;
    let start = Instant::now();
    let waits = clients.iter().map(|mcp| {
        let check = &check;
        async move {
            eventually(what, SOON, || async { Ok(check(mcp.clone()).await?.then_some(())) }).await?;
            anyhow::Ok(start.elapsed())
        }
    });
    for (took, node) in futures_util::future::join_all(waits).await.into_iter().zip(nodes) {
        let took = took?;
        ensure!(took <= PROMISED, "{what}: {took:?} on {}", node.name);
    }
    Ok(())
}

#[tokio::test]
async fn a_tool_is_off_and_on_again_everywhere_within_a_second() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let (page, action) = (echo.page(""), echo.page("/tools"));
    for (enabled, works) in [("false", false), ("true", true)] {
        let fields = [("tool", "whoami"), ("enabled", enabled)];
        let change = console.submit(&page, &action, &fields);
        in_force(&echo, &echo.workspace.key, "tool switched", change, |mcp| async move {
            Ok(mcp.call("echo_whoami", json!({})).await?.refusal()?.is_none() == works)
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_replaced_credential_is_used_everywhere_within_a_second() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let (page, action) = (echo.page(""), echo.page("/credential"));
    let change = console.submit(&page, &action, &[("credential.token", "the-new-one")]);
    let upstream = &echo.upstream;
    in_force(&echo, &echo.workspace.key, "credential replaced", change, |mcp| async move {
        // What reaches the API counts; the answer might hide it.
        let id = unique();
        mcp.call("echo_get_item", json!({"id": id})).await?.text()?;
        let seen = upstream.seen();
        let call = seen.iter().find(|seen| seen.path.ends_with(&id)).context("the call did not arrive")?;
        Ok(call.header("authorization") == "Bearer the-new-one")
    })
    .await
}

#[tokio::test]
async fn a_changed_base_url_is_called_everywhere_within_a_second() -> TestResult {
    let echo = Echo::new().await?;
    let other = toolmesh_tests::Upstream::start().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let (page, url) = (echo.page(""), other.url());
    let host = url.trim_start_matches("http://").to_owned();
    // The credential was given for the old address and does not go to the new one.
    let change = async {
        let moved = console.submit(&page, &echo.page("/settings"), &[("base_url", url.as_str())]).await?;
        console.submit(&page, &echo.page("/credential"), &[("credential.token", "for-the-new-one")]).await?;
        Ok(moved)
    };
    in_force(&echo, &echo.workspace.key, "base URL changed", change, |mcp| {
        let host = host.clone();
        async move { Ok(mcp.call("echo_whoami", json!({})).await?.text().is_ok_and(|text| text.contains(&host))) }
    })
    .await
}

#[tokio::test]
async fn a_credential_does_not_follow_its_connector_to_another_address() -> TestResult {
    let echo = Echo::new().await?;
    let other = toolmesh_tests::Upstream::start().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    console.submit(&echo.page(""), &echo.page("/settings"), &[("base_url", &other.url())]).await?.ok()?;
    let page = console.visit(&echo.page("")).await?;
    ensure!(page.text().contains("deleted"), "the page does not say that the credential is gone");
    let test = console.submit(&echo.page(""), &echo.page("/test"), &[]).await?;
    ensure!(other.seen().iter().all(|seen| seen.header("authorization").is_empty()), "{}", test.text());
    Ok(())
}

#[tokio::test]
async fn a_removed_member_is_out_on_every_node_within_a_second() -> TestResult {
    let echo = Echo::new().await?;
    let member = echo.system.person().await?;
    echo.system.join(&echo.workspace, &member, "member").await?;
    let tokens = echo.system.tokens(&echo.workspace, &member).await?;
    let key = echo.system.key(&echo.workspace.slug, &member.email).await?;
    for node in &echo.system.ready.nodes {
        for token in [&tokens.access, &key] {
            let mcp = echo.system.mcp_on(&node.http, &echo.workspace, token);
            eventually("the member is in", SOON, || async {
                Ok((mcp.request("ping", json!({})).await?.status == StatusCode::OK).then_some(()))
            })
            .await?;
        }
    }
    let owner = echo.system.console(&echo.workspace.owner).await?;
    let members = format!("/w/{}/members", echo.workspace.slug);
    let remove = format!("{members}/{}/remove", member.user_id);
    let out = |mcp: Mcp| async move {
        Ok(mcp.request("ping", json!({})).await?.status == StatusCode::UNAUTHORIZED)
    };
    in_force(&echo, &tokens.access, "member removed", owner.submit(&members, &remove, &[]), out).await?;
    for node in &echo.system.ready.nodes {
        let mcp = echo.system.mcp_on(&node.http, &echo.workspace, &key);
        ensure!(out(mcp).await?, "the member's key outlives the membership on {}", node.name);
    }
    Ok(())
}

#[tokio::test]
async fn a_new_key_works_and_a_revoked_one_does_not_within_a_second() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let keys = format!("/w/{}/keys", echo.workspace.slug);
    let before = console.visit(&keys).await?.ok()?;
    let shown = console.submit(&keys, &keys, &[("name", "laptop")]).await?.ok()?;
    let shown = console.follow(shown).await?;
    let key = key_in(&shown.body).with_context(|| format!("no key on the page: {}", shown.text()))?;
    for node in &echo.system.ready.nodes {
        let mcp = echo.system.mcp_on(&node.http, &echo.workspace, &key);
        eventually("the new key works", PROMISED, || async {
            Ok((mcp.request("ping", json!({})).await?.status == StatusCode::OK).then_some(()))
        })
        .await?;
    }
    let after = console.visit(&keys).await?.ok()?;
    assert!(!after.body.contains(&key), "a key is shown once");
    let old = before.links(&format!("{keys}/"));
    let new = after.links(&format!("{keys}/")).into_iter().find(|link| !old.contains(link));
    let (new, action) =
        new.map(|link| (link.clone(), format!("{link}/revoke"))).context("the key has no page")?;
    in_force(&echo, &key, "key revoked", console.submit(&new, &action, &[]), |mcp| async move {
        Ok(mcp.request("ping", json!({})).await?.status == StatusCode::UNAUTHORIZED)
    })
    .await
}

/// The key on the page that shows it once.
fn key_in(body: &str) -> Option<String> {
    let start = body.find("tmk_").or_else(|| body.find("tm_"))?;
    let rest = &body[start..];
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')?;
    Some(rest[..end].to_owned())
}

#[tokio::test]
async fn a_node_that_starts_gets_the_whole_state() -> TestResult {
    let echo = Echo::new().await?;
    let node = Node::start(echo.system, &echo.system.ready.control_plane.grpc).await?;
    let mcp = echo.system.mcp_on(&node.http, &echo.workspace, &echo.workspace.key);
    mcp.call("echo_whoami", json!({})).await?.text().context("ready, but without the workspace")?;
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_cut_off_keeps_serving_and_catches_up() -> TestResult {
    let echo = Echo::new().await?;
    let cable = Cable::to(&echo.system.ready.control_plane.grpc).await?;
    let node = Node::start(echo.system, &cable.address.to_string()).await?;
    let mcp = echo.system.mcp_on(&node.http, &echo.workspace, &echo.workspace.key);
    mcp.call("echo_whoami", json!({})).await?.text()?;

    cable.cut();
    let console = echo.system.console(&echo.workspace.owner).await?;
    let fields = [("tool", "whoami"), ("enabled", "false")];
    console.submit(&echo.page(""), &echo.page("/tools"), &fields).await?.ok()?;
    eventually("the other nodes know", PROMISED, || async {
        Ok(echo.mcp.call("echo_whoami", json!({})).await?.refusal()?.map(|_| ()))
    })
    .await?;
    mcp.call("echo_whoami", json!({})).await?.text().context("it serves what it had")?;
    let alone = mcp.call("echo_get_item", json!({"id": "while-cut-off"})).await?;
    alone.text()?;

    cable.plug_in();
    eventually("the node has caught up", Duration::from_secs(20), || async {
        Ok(mcp.call("echo_whoami", json!({})).await?.refusal()?.map(|_| ()))
    })
    .await?;
    let log = format!("/w/{}/audit", echo.workspace.slug);
    let only = format!("{log}?tool=echo_get_item");
    eventually("what it served alone is in the log", Duration::from_secs(20), || async {
        Ok((!console.visit(&only).await?.links(&format!("{log}/")).is_empty()).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_killed_node_serves_again_from_its_disk_without_the_control_plane() -> TestResult {
    let echo = Echo::new().await?;
    let cable = Cable::to(&echo.system.ready.control_plane.grpc).await?;
    let mut node = Node::start(echo.system, &cable.address.to_string()).await?;
    let first = echo.system.mcp_on(&node.http, &echo.workspace, &echo.workspace.key);
    first.call("echo_whoami", json!({})).await?.text()?;

    cable.cut();
    node.kill_and_start().await?;
    let mcp = echo.system.mcp_on(&node.http, &echo.workspace, &echo.workspace.key);
    mcp.call("echo_whoami", json!({})).await?.text().context("after kill -9, from the ledger alone")?;
    assert_eq!(mcp.clone().token("wrong").request("ping", json!({})).await?.status, StatusCode::UNAUTHORIZED);

    cable.plug_in();
    let console = echo.system.console(&echo.workspace.owner).await?;
    let fields = [("tool", "whoami"), ("enabled", "false")];
    console.submit(&echo.page(""), &echo.page("/tools"), &fields).await?.ok()?;
    eventually("it hears of changes again", Duration::from_secs(20), || async {
        Ok(mcp.call("echo_whoami", json!({})).await?.refusal()?.map(|_| ()))
    })
    .await
}

#[tokio::test]
async fn a_nodes_disk_holds_no_secret_in_the_clear() -> TestResult {
    let echo = Echo::new().await?;
    echo.mcp
        .call("echo_create_item", json!({"title": "x", "password": "hunter2-in-the-clear"}))
        .await?
        .text()?;
    let mut files = vec![echo.system.data.join("nodes")];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
            continue;
        }
        // A file may be replaced while we look.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        read += 1;
        for secret in [
            "s3cret-upstream-token",
            "hunter2-in-the-clear",
            &echo.workspace.key,
            &echo.workspace.owner.email,
        ] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            ensure!(!found, "{} holds {secret}", path.display());
        }
    }
    ensure!(read > 0, "the nodes have nothing on disk");
    Ok(())
}
