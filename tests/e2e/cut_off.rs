//! A node that hears nothing of revocations cannot know who was shut out: where a workspace asks for it, tools that are hard to
//! undo wait until it does.

use std::time::Duration;

use anyhow::{Result, ensure};
use toolmesh_tests::cable::Cable;
use toolmesh_tests::node::Node;
use toolmesh_tests::{Mcp, TestResult, eventually};

use crate::Echo;

/// Silence counts after half a minute.
const SILENT: Duration = Duration::from_secs(60);

/// The tools that wait, and others that do not.
const WAIT: [(&str, &str); 2] =
    [("echo_delete_item", r#"{"id":"7"}"#), ("echo_set_policy", r#"{"mode":"open"}"#)];
const GO_ON: [(&str, &str); 2] = [("echo_whoami", "{}"), ("echo_create_item", r#"{"title":"x"}"#)];

/// Why a call was refused, if it was.
async fn refusal(mcp: &Mcp, (tool, arguments): (&str, &str)) -> Result<Option<String>> {
    mcp.call(tool, serde_json::from_str(arguments)?).await?.refusal()
}

async fn offers(mcp: &Mcp) -> TestResult {
    eventually("the node offers the tools", Duration::from_secs(20), || async {
        let names = mcp.names().await.unwrap_or_default();
        Ok(names.iter().any(|name| name == "echo_delete_item").then_some(()))
    })
    .await
}

#[tokio::test]
async fn in_a_strict_workspace_what_is_hard_to_undo_waits_while_a_node_is_cut_off() -> TestResult {
    let (strict, lax) = (Echo::new().await?, Echo::new().await?);
    let system = strict.system;
    let owner = system.console(&strict.workspace.owner).await?;
    let access = format!("/w/{}/settings/access", strict.workspace.slug);
    let cut_off = format!("{access}/cut-off");
    owner.submit(&access, &cut_off, &[("strict_when_cut_off", "true")]).await?.ok()?;
    let page = owner.visit(&access).await?.text();
    ensure!(page.contains("wait from now on"), "the page does not say so: {page}");

    let cable = Cable::to(&system.ready.control_plane.grpc).await?;
    let mut node = Node::start(system, &cable.address.to_string()).await?;
    let on = |node: &Node, echo: &Echo| system.mcp_on(&node.http, &echo.workspace, &echo.workspace.key);
    let (theirs, others) = (on(&node, &strict), on(&node, &lax));
    offers(&theirs).await?;
    offers(&others).await?;
    for call in WAIT {
        ensure!(refusal(&theirs, call).await?.is_none(), "{}: refused while the feed is heard", call.0);
    }

    cable.cut();
    for call in WAIT {
        let said = eventually("it waits", SILENT, || refusal(&theirs, call)).await?;
        ensure!(said.contains("nothing was changed") && said.contains("Try again"), "{said}");
        ensure!(
            refusal(&others, call).await?.is_none(),
            "{}: in a workspace that did not ask for it",
            call.0
        );
    }
    for call in GO_ON {
        ensure!(refusal(&theirs, call).await?.is_none(), "{} waits too", call.0);
    }
    offers(&theirs).await?;

    // One that starts while it is cut off cannot know how old its knowledge is.
    node.kill_and_start().await?;
    let (theirs, others) = (on(&node, &strict), on(&node, &lax));
    ensure!(refusal(&theirs, WAIT[0]).await?.is_some(), "served from the disk");
    ensure!(refusal(&others, WAIT[0]).await?.is_none());

    cable.plug_in();
    for call in WAIT {
        eventually("it works again", Duration::from_secs(20), || async {
            Ok(refusal(&theirs, call).await?.is_none().then_some(()))
        })
        .await?;
    }
    Ok(())
}
