//! Members who are not let in: their clients and keys are told why, and nobody else is told anything.

use anyhow::ensure;
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::oauth::Tokens;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{TestResult, eventually};

use crate::Echo;

#[tokio::test]
async fn who_is_kept_out_is_told_why_on_every_node() -> TestResult {
    let echo = Echo::new().await?;
    let (system, workspace) = (echo.system, &echo.workspace);
    let (suspended, without) = (system.person().await?, system.person().await?);
    let mut shown = Vec::new();
    for person in [&suspended, &without] {
        system.join(workspace, person, "member").await?;
        let key = system.key(&workspace.slug, &person.email).await?;
        shown.push((key, system.tokens(workspace, person).await?));
    }
    let owner = system.console(&workspace.owner).await?;
    owner.set_up_app().await?;
    let suspend = format!("/w/{}/members/{}/suspend", workspace.slug, suspended.user_id);
    owner.submit(&suspend, &suspend, &[]).await?.ok()?;
    let rule = format!("/w/{}/settings/second-factor", workspace.slug);
    owner.submit(&rule, &rule, &[("grace", "now")]).await?.ok()?;
    for ((key, tokens), word) in shown.iter().zip(["is suspended", "requires a second factor"]) {
        let Tokens { access, .. } = tokens;
        for node in &system.ready.nodes {
            for token in [key, access] {
                let mcp = system.mcp_on(&node.http, workspace, token);
                eventually(&format!("{} says {word}", node.name), SOON, || async {
                    let answer = mcp.request("ping", json!({})).await?;
                    let told = answer.header("www-authenticate").contains(word);
                    Ok((answer.status == StatusCode::UNAUTHORIZED && told).then_some(()))
                })
                .await?;
            }
        }
    }
    // Who shows nothing of theirs learns nothing of them.
    let stranger = system.workspace().await?;
    let answer = system.mcp(workspace, &stranger.key).request("ping", json!({})).await?;
    let challenge = answer.header("www-authenticate");
    ensure!(challenge.contains("unknown or was revoked"), "{challenge}");
    Ok(())
}
