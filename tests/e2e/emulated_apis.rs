//! Connectors of the catalog against APIs written by others.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use toolmesh_tests::emulate::{Emulate, MINE, OTHERS, REPOSITORY, TOKEN};
use toolmesh_tests::github::{LIST_ISSUES, assigned_to_me};
use toolmesh_tests::{System, TestResult, Upstream};

#[tokio::test]
async fn the_github_connector_lists_makes_and_closes_issues() -> TestResult {
    let system = System::shared().await?;
    let (github, workspace) = (Emulate::github().await?, system.workspace().await?);
    let installation = system.enable_github(&workspace, &github.url).await?;
    ensure!(installation.tools >= 25, "{} tools", installation.tools);
    let mcp = system.mcp(&workspace, &workspace.key);
    system.offered_everywhere(&workspace, LIST_ISSUES).await?;

    let mine = mcp.call(LIST_ISSUES, assigned_to_me()).await?.text()?;
    for title in MINE {
        ensure!(mine.contains(title), "{title:?} is not in {mine}");
    }
    ensure!(!mine.contains(OTHERS), "someone else's issue is in {mine}");

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

/// The emulated GitHub has no `/issues`, so what leaves is checked instead, against GitHub's documentation.
#[tokio::test]
async fn listing_my_issues_without_arguments_asks_github_for_those_assigned_to_me() -> TestResult {
    let system = System::shared().await?;
    let (upstream, workspace) = (Upstream::start().await?, system.workspace().await?);
    system.enable_github(&workspace, &format!("{}/echo", upstream.url())).await?;
    let mcp = system.mcp(&workspace, &workspace.key);
    system.offered_everywhere(&workspace, LIST_ISSUES).await?;
    // The echo is no list of issues, so the answer is refused; the question is what is looked at.
    mcp.call("github_list_my_issues", json!({})).await?;
    let seen = upstream.only()?;
    ensure!((seen.method.as_str(), seen.path.as_str()) == ("GET", "/echo/issues"), "{seen:?}");
    let pairs = seen.pairs();
    for (name, value) in [("filter", "assigned"), ("state", "open")] {
        ensure!(pairs.contains(&(name.to_owned(), value.to_owned())), "{pairs:?}");
    }
    ensure!(seen.header("authorization") == format!("Bearer {TOKEN}"), "{seen:?}");
    ensure!(seen.header("accept").contains("application/vnd.github+json"), "{seen:?}");
    ensure!(!seen.header("user-agent").is_empty(), "GitHub refuses requests without a User-Agent");
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
