//! The audit log: every call, within a second, with who and what and how it ended, and without secrets.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use toolmesh_tests::{Console, Page, TestResult, eventually};

use crate::Echo;

/// The detail page of the event with this request id, once it is the newest of the list.
async fn detail(echo: &Echo, console: &Console, request_id: &str, limit: Duration) -> Result<Page> {
    let log = format!("/w/{}/audit", echo.workspace.slug);
    eventually("the call is the newest in the log", limit, || async {
        let page = console.visit(&log).await?.ok()?;
        let Some(link) = page.links(&format!("{log}/")).into_iter().next() else { return Ok(None) };
        let page = console.visit(&link).await?.ok()?;
        Ok(page.text().contains(request_id).then_some(page))
    })
    .await
}

#[tokio::test]
async fn a_call_is_in_the_log_within_a_second_with_its_secrets_redacted() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let arguments = json!({"title": "Quarterly report", "password": "hunter2-never-shown", "options": {"api_key": "k-never-shown"}});
    let mcp = echo.mcp.clone().header("user-agent", "audit-test/9.1");
    let answer = mcp.call("echo_create_item", arguments).await?;
    answer.text()?;
    let page = detail(&echo, &console, answer.header("x-request-id"), Duration::from_secs(1)).await?;
    let text = page.text();
    for wanted in [
        "echo_create_item",
        "Quarterly report",
        answer.header("x-request-id"),
        echo.workspace.owner.email.as_str(),
        "audit-test/9.1",
        "test",
    ] {
        ensure!(text.contains(wanted), "no {wanted:?} in: {text}");
    }
    for secret in ["never-shown", "s3cret-upstream-token", echo.workspace.key.as_str()] {
        ensure!(!page.body.contains(secret), "{secret} is on the page");
    }
    ensure!(text.to_lowercase().contains("redacted"), "nothing says that something is missing: {text}");
    ensure!(text.contains(" ms"), "no duration: {text}");
    Ok(())
}

#[tokio::test]
async fn refused_and_failed_calls_are_in_the_log_with_their_outcome() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    for (tool, arguments, words) in [
        ("echo_no_such", json!({}), ["denied", "refused", "unknown"].as_slice()),
        ("echo_get_item", json!({"id": 7}), ["invalid"].as_slice()),
        ("echo_fail", json!({"status": 503}), ["503"].as_slice()),
        ("echo_html", json!({}), ["failed"].as_slice()),
    ] {
        let answer = echo.mcp.call(tool, arguments).await?;
        ensure!(answer.refusal()?.is_some(), "{tool} was a success");
        let id = answer.header("x-request-id");
        let page =
            detail(&echo, &console, id, Duration::from_secs(5)).await.with_context(|| tool.to_owned())?;
        let text = page.text().to_lowercase();
        ensure!(text.contains(tool), "{tool}: {text}");
        ensure!(words.iter().any(|word| text.contains(word)), "{tool}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_came_by_oauth_is_named() -> TestResult {
    let echo = Echo::new().await?;
    let tokens = echo.system.tokens(&echo.workspace, &echo.workspace.owner).await?;
    let answer = echo.system.mcp(&echo.workspace, &tokens.access).call("echo_whoami", json!({})).await?;
    answer.text()?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let page = detail(&echo, &console, answer.header("x-request-id"), Duration::from_secs(5)).await?;
    assert!(page.text().contains("Test client"), "{}", page.text());
    Ok(())
}

#[tokio::test]
async fn the_log_can_be_filtered_and_read_on() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    for n in 0..5 {
        echo.mcp.call("echo_get_item", json!({"id": format!("item-{n}")})).await?.text()?;
    }
    let failed = echo.mcp.call("echo_fail", json!({"status": 500})).await?;
    detail(&echo, &console, failed.header("x-request-id"), Duration::from_secs(5)).await?;
    let log = format!("/w/{}/audit", echo.workspace.slug);
    let shown = |page: Page| page.links(&format!("{log}/")).len();
    let (id, owner) = (failed.header("x-request-id"), echo.workspace.owner.email.as_str());
    for (query, calls) in [
        (String::new(), 6),
        ("?tool=echo_get_item".to_owned(), 5),
        ("?q=get_item".to_owned(), 5),
        ("?outcome=ok".to_owned(), 5),
        (format!("?user={}", echo.workspace.owner.user_id), 6),
        (format!("?q={id}"), 1),
        (format!("?q={owner}"), 6),
        ("?q=no-such-thing".to_owned(), 0),
    ] {
        let found = shown(console.visit(&format!("{log}{query}")).await?.ok()?);
        ensure!(found == calls, "{query} shows {found} calls, not {calls}");
    }
    for odd in ["?before=nonsense", "?outcome=nonsense", "?q=%27%22%3Cscript%3E", "?user=nonsense"] {
        let page = console.get(&format!("{log}{odd}")).await?;
        ensure!(!page.status.is_server_error(), "{odd}: {}", page.status);
        ensure!(!page.body.contains("'\"<script>"), "{odd} comes back unescaped");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_client_says_is_shown_as_text() -> TestResult {
    let echo = Echo::new().await?;
    let evil = "<img src=x onerror=alert(1)>";
    let mcp = echo.mcp.clone().header("user-agent", evil);
    let answer =
        mcp.call("echo_create_item", json!({"title": evil, "options": {"\"><script>": evil}})).await?;
    answer.text()?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let page = detail(&echo, &console, answer.header("x-request-id"), Duration::from_secs(5)).await?;
    ensure!(
        !page.body.contains("<img src=x") && !page.body.contains("\"><script>"),
        "markup of a client is on the page"
    );
    ensure!(page.text().contains("onerror"), "what was sent is not shown: {}", page.text());
    Ok(())
}
