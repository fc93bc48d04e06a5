//! Connectors of the catalog against APIs written by others.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use toolmesh_tests::emulate::{Emulate, MINE, REPOSITORY};
use toolmesh_tests::github::assigned_issues_tool;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{System, TestResult, eventually};

#[tokio::test]
async fn the_github_connector_lists_makes_and_closes_issues() -> TestResult {
    let system = System::shared().await?;
    let (github, workspace) = (Emulate::github().await?, system.workspace().await?);
    let installation = system.enable_github(&workspace, &github.url).await?;
    ensure!(installation.tools >= 25, "{} tools", installation.tools);
    let mcp = system.mcp(&workspace, &workspace.key);
    eventually("the tools are there", SOON, || async {
        Ok(mcp.names().await.is_ok_and(|names| !names.is_empty()).then_some(()))
    })
    .await?;

    let mine = mcp.call(&assigned_issues_tool(&mcp).await?, json!({})).await?.text()?;
    for title in MINE {
        ensure!(mine.contains(title), "{title:?} is not in {mine}");
    }

    let (owner, repo) = REPOSITORY.split_once('/').context("no slash")?;
    let issue = json!({"owner": owner, "repo": repo, "title": "Made by a tool", "body": "Hello"});
    let made = mcp.call("github_create_issue", issue).await?.result_json()?;
    let number = made["number"].as_u64().with_context(|| format!("no number in {made}"))?;
    let path = format!("/repos/{REPOSITORY}/issues/{number}");
    ensure!(github.get(&path).await?["title"] == "Made by a tool");

    let closing = json!({"owner": owner, "repo": repo, "issue_number": number, "state": "closed"});
    mcp.call("github_update_issue", closing).await?.text()?;
    let closed: Value = github.get(&path).await?;
    ensure!(closed["state"] == "closed", "{closed}");

    let lost = json!({"owner": owner, "repo": "no-such-repo", "issue_number": 1});
    let refusal = mcp.call("github_get_issue", lost).await?.refusal()?.context("it passed for a success")?;
    ensure!(refusal.contains("404") && refusal.contains("Not Found"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn the_catalog_has_a_connector_that_needs_no_credential() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = system.console(&workspace.owner).await?;
    let catalog = format!("/w/{}/catalog", workspace.slug);
    let page = console.visit(&catalog).await?.ok()?;
    let mut free = Vec::new();
    for link in page.links(&format!("{catalog}/")) {
        let name =
            link.trim_start_matches(&format!("{catalog}/")).split('/').next().unwrap_or_default().to_owned();
        let enable = console.visit(&format!("{catalog}/{name}/enable")).await?.ok()?;
        if !enable.body.contains("name=\"credential.") && !free.contains(&name) {
            free.push(name);
        }
    }
    let name =
        free.first().with_context(|| format!("every connector wants a credential: {}", page.text()))?;
    let made = system.enable(&workspace.slug, &["--connector", name], &[]).await?;
    assert!(made.tools > 0);
    Ok(())
}
