//! Connectors of the catalog against services that others wrote, running on this machine, and against recorded answers of
//! public ones.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use toolmesh_proto::names;
use toolmesh_tests::dokuwiki::{self, DokuWiki};
use toolmesh_tests::emulate::{Emulate, Service};
use toolmesh_tests::monitoring::Monitoring;
use toolmesh_tests::recorded::Recorded;
use toolmesh_tests::{Mcp, System, TestResult, Workspace, eventually};

/// A workspace with one connector of the catalog.
async fn with(
    connector: &str,
    url: &str,
    credentials: &[(&str, &str)],
    tool: &str,
) -> anyhow::Result<(Workspace, Mcp)> {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    system.enable(&workspace.slug, &["--connector", connector, "--base-url", url], credentials).await?;
    system.offered_everywhere(&workspace, tool).await?;
    let mcp = system.mcp(&workspace, &workspace.key);
    Ok((workspace, mcp))
}

#[tokio::test]
async fn prometheus_answers_queries_and_says_what_is_wrong_with_one() -> TestResult {
    let prometheus = Monitoring::prometheus().await?;
    let (_workspace, mcp) = with("prometheus", &prometheus.url, &[], "prometheus_query").await?;
    let version = mcp.call("prometheus_get_build_info", json!({})).await?.result_json()?;
    ensure!(version["version"].is_string(), "{version}");

    // It scrapes itself every second.
    eventually("Prometheus sees itself", toolmesh_tests::wait::START, || async {
        let up = mcp.call("prometheus_query", json!({"query": "up{job=\"own\"}"})).await?.result_json()?;
        Ok((up["result"][0]["value"][1] == "1").then_some(()))
    })
    .await?;
    let targets = mcp.call("prometheus_list_targets", json!({})).await?.result_json()?;
    ensure!(targets["activeTargets"][0]["health"] == "up", "{targets}");
    let metrics =
        mcp.call("prometheus_list_metrics", json!({"match": ["{job=\"own\"}"]})).await?.result_json()?;
    ensure!(metrics.as_array().is_some_and(|names| names.iter().any(|name| name == "up")), "{metrics}");
    let series =
        mcp.call("prometheus_find_series", json!({"match": ["up", "go_info"]})).await?.result_json()?;
    ensure!(series.as_array().map(Vec::len) == Some(2), "{series}");
    eventually("the rule fires", toolmesh_tests::wait::START, || async {
        let alerts = mcp.call("prometheus_list_alerts", json!({})).await?.result_json()?;
        Ok((alerts[0]["labels"]["alertname"] == "Awake").then_some(()))
    })
    .await?;

    let refusal = mcp.call("prometheus_query", json!({"query": "up{"})).await?.refusal()?;
    ensure!(refusal.as_ref().is_some_and(|text| text.contains("parse error")), "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn alertmanager_lists_alerts_and_silences_them() -> TestResult {
    let alertmanager = Monitoring::alertmanager().await?;
    let (_workspace, mcp) = with("alertmanager", &alertmanager.url, &[], "alertmanager_list_alerts").await?;
    alertmanager
        .send_alerts(&json!([
            {"labels": {"alertname": "DiskFull", "instance": "db-1", "severity": "critical"}},
            {"labels": {"alertname": "Slow", "instance": "web-1", "severity": "warning"}},
        ]))
        .await?;
    let names = |alerts: &Value| -> Vec<String> {
        let mut names: Vec<String> = alerts
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|alert| alert["labels"]["alertname"].as_str().map(str::to_owned))
            .collect();
        names.sort();
        names
    };
    let all = mcp.call("alertmanager_list_alerts", json!({})).await?.result_json()?;
    ensure!(names(&all) == ["DiskFull", "Slow"], "{all}");
    let critical = json!({"filter": ["severity=\"critical\"", "instance=~\"db.*\""]});
    let some = mcp.call("alertmanager_list_alerts", critical).await?.result_json()?;
    ensure!(names(&some) == ["DiskFull"], "{some}");

    let silence = json!({
        "matchers": [{"name": "alertname", "value": "DiskFull", "isRegex": false, "isEqual": true}],
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "createdBy": "ada", "comment": "New disk",
    });
    let made = mcp.call("alertmanager_create_silence", silence).await?.result_json()?;
    let id = made["silenceID"].as_str().context("no silence")?.to_owned();
    eventually("the alert is quiet", toolmesh_tests::wait::SOON, || async {
        let loud = mcp.call("alertmanager_list_alerts", json!({})).await?.result_json()?;
        Ok((names(&loud) == ["Slow"]).then_some(()))
    })
    .await?;
    mcp.call("alertmanager_end_silence", json!({"id": &id})).await?.text()?;
    let ended = mcp.call("alertmanager_get_silence", json!({"id": &id})).await?.result_json()?;
    ensure!(ended["status"]["state"] == "expired", "{ended}");

    let bad = json!({"filter": ["no condition"]});
    let refusal = mcp.call("alertmanager_list_alerts", bad).await?.refusal()?;
    ensure!(refusal.as_ref().is_some_and(|text| text.contains("400")), "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn slack_posts_and_reads_messages() -> TestResult {
    let slack = Emulate::start(Service::Slack).await?;
    let url = format!("{}/api", slack.url);
    let token = [("slack_bot_token", "test_token_admin")];
    let (_workspace, mcp) = with("slack", &url, &token, "slack_auth_test").await?;
    let me = mcp.call("slack_auth_test", json!({})).await?.result_json()?;
    ensure!(me["ok"] == true, "{me}");
    let channels = mcp.call("slack_list_conversations", json!({})).await?.result_json()?;
    let channel =
        channels["channels"][0]["id"].as_str().with_context(|| format!("no channel: {channels}"))?;
    let post = json!({"channel": channel, "text": "Hello from a tool"});
    let posted = mcp.call("slack_post_message", post).await?.result_json()?;
    ensure!(posted["ok"] == true, "{posted}");
    let history = mcp.call("slack_list_messages", json!({"channel": channel})).await?.result_json()?;
    ensure!(history["messages"][0]["text"] == "Hello from a tool", "{history}");
    // Slack says no with a status of success.
    let nowhere = json!({"channel": "C0000000000", "text": "Hello"});
    let refusal = mcp.call("slack_post_message", nowhere).await?.refusal()?;
    ensure!(refusal.as_ref().is_some_and(|text| text.contains("channel_not_found")), "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn stripe_keeps_customers_and_names_what_is_missing() -> TestResult {
    let stripe = Emulate::start(Service::Stripe).await?;
    let url = format!("{}/v1", stripe.url);
    let key = [("stripe_secret_key", "sk_test_emulated_0001")];
    let (_workspace, mcp) = with("stripe", &url, &key, "stripe_list_customers").await?;
    let customer = json!({"email": "ada@acme.example", "name": "Ada", "metadata": {"crm": "7"}});
    let made = mcp.call("stripe_create_customer", customer).await?.result_json()?;
    ensure!(made["email"] == "ada@acme.example" && made["metadata"]["crm"] == "7", "{made}");
    let id = made["id"].as_str().context("no ID")?;
    let read = mcp.call("stripe_get_customer", json!({"id": id})).await?.result_json()?;
    ensure!(read["name"] == "Ada", "{read}");
    let refusal = mcp.call("stripe_get_customer", json!({"id": "cus_nobody"})).await?.refusal()?;
    ensure!(refusal.as_ref().is_some_and(|text| text.contains("404")), "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn linear_files_an_issue_and_reads_it_with_its_comment() -> TestResult {
    let linear = Emulate::start(Service::Linear).await?;
    let key = [("linear_api_key", "lin_test_admin")];
    let (_workspace, mcp) = with("linear", &linear.url, &key, "linear_get_viewer").await?;
    let me = mcp.call("linear_get_viewer", json!({})).await?.result_json()?;
    ensure!(me["viewer"]["email"].is_string(), "{me}");
    let teams = mcp.call("linear_list_teams", json!({"first": 1})).await?.result_json()?;
    let team = &teams["nodes"][0];
    let done =
        team["states"]["nodes"].as_array().into_iter().flatten().find(|state| state["type"] == "completed");
    let done = done.with_context(|| format!("no last state: {teams}"))?["id"].clone();

    let issue =
        json!({"teamId": team["id"], "title": "Payments fail", "description": "In Safari.", "priority": 1});
    let made = mcp.call("linear_create_issue", issue).await?.result_json()?;
    ensure!(made["success"] == true && made["issue"]["title"] == "Payments fail", "{made}");
    let id = &made["issue"]["id"];
    let comment = json!({"issueId": id, "body": "Seen twice."});
    ensure!(mcp.call("linear_create_comment", comment).await?.result_json()?["success"] == true);
    let moved = mcp.call("linear_update_issue", json!({"id": id, "stateId": done})).await?.result_json()?;
    ensure!(moved["success"] == true && moved["issue"]["title"] == "Payments fail", "{moved}");
    // Linear says no in a list of errors, with whatever status.
    let nobodys = json!({"teamId": "no-such-team", "title": "Payments fail"});
    let refusal = mcp.call("linear_create_issue", nobodys).await?.refusal()?;
    ensure!(refusal.as_ref().is_some_and(|text| text.contains("Team not found")), "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn dokuwiki_keeps_pages_and_finds_them() -> TestResult {
    let wiki = DokuWiki::start().await?;
    let token = [("dokuwiki_token", dokuwiki::TOKEN)];
    let (_workspace, mcp) = with("dokuwiki", &wiki.url, &token, "dokuwiki_get_page").await?;
    let version = mcp.call("dokuwiki_get_wiki_version", json!({})).await?.text()?;
    ensure!(version.contains("Release"), "{version}");
    let page = json!({"page": "team:backup", "text": "====== Backups ======\nEvery night to Falkenstein.", "summary": "New"});
    mcp.call("dokuwiki_save_page", page).await?.text()?;
    let more = json!({"page": "team:backup", "text": "\nRestored every month."});
    mcp.call("dokuwiki_append_page", more).await?.text()?;
    let text = mcp.call("dokuwiki_get_page", json!({"page": "team:backup"})).await?.text()?;
    ensure!(text.contains("Falkenstein") && text.contains("every month"), "{text}");
    let pages = mcp.call("dokuwiki_list_pages", json!({"namespace": "team"})).await?.result_json()?;
    ensure!(pages[0]["id"] == "team:backup", "{pages}");
    let found = mcp.call("dokuwiki_search_pages", json!({"query": "Falkenstein"})).await?.result_json()?;
    ensure!(found[0]["id"] == "team:backup", "{found}");
    let versions =
        mcp.call("dokuwiki_get_page_history", json!({"page": "team:backup"})).await?.result_json()?;
    ensure!(versions.as_array().is_some_and(|versions| !versions.is_empty()), "{versions}");

    let empty = json!({"page": "team:nothing", "text": ""});
    let refusal = mcp.call("dokuwiki_save_page", empty).await?.refusal()?;
    ensure!(refusal.as_ref().is_some_and(|text| text.contains("empty new wiki page")), "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn hacker_news_is_read_and_searched() -> TestResult {
    let news = Recorded::start("hackernews").await?;
    let url = format!("{}/v0", news.url);
    let (_workspace, mcp) = with("hackernews", &url, &[], "hackernews_get_item").await?;
    let top = mcp.call("hackernews_list_top_stories", json!({})).await?.result_json()?;
    ensure!(top[0] == 8863, "{top}");
    let story = mcp.call("hackernews_get_item", json!({"id": 8863})).await?.result_json()?;
    ensure!(story["title"].as_str().is_some_and(|title| title.contains("Dropbox")), "{story}");
    let person = mcp.call("hackernews_get_user", json!({"id": "pg"})).await?.result_json()?;
    ensure!(person["karma"].is_u64(), "{person}");

    let algolia = Recorded::start("algolia").await?;
    let url = format!("{}/api/v1", algolia.url);
    let search = names::tool_name("hackernews-search", "search_stories");
    let (_workspace, mcp) = with("hackernews-search", &url, &[], &search).await?;
    let found = mcp.call(&search, json!({"query": "dropbox"})).await?.result_json()?;
    ensure!(found[0]["objectID"] == "8863" && found[0].get("_highlightResult").is_none(), "{found}");
    let front = mcp
        .call(&names::tool_name("hackernews-search", "list_front_page"), json!({}))
        .await?
        .result_json()?;
    ensure!(front[0]["title"] == "A story of today", "{front}");
    let item = names::tool_name("hackernews-search", "get_item");
    let talk = mcp.call(&item, json!({"id": 8863})).await?.result_json()?;
    ensure!(talk["children"][0]["author"] == "BrandonM", "{talk}");
    let fixed = mcp.call(&search, json!({"query": "dropbox", "tags": "comment"})).await?.refusal()?;
    ensure!(
        fixed.as_ref().is_some_and(|text| text.contains("tags") && !text.contains("attributes")),
        "{fixed:?}"
    );
    let lost = mcp.call(&item, json!({"id": 1})).await?.refusal()?;
    ensure!(lost.as_ref().is_some_and(|text| text.contains("not recorded")), "{lost:?}");
    Ok(())
}

#[tokio::test]
async fn wikipedia_finds_articles_and_reads_them() -> TestResult {
    let wikipedia = Recorded::start("wikipedia").await?;
    let (_workspace, mcp) = with("wikipedia", &wikipedia.url, &[], "wikipedia_search_articles").await?;
    let search = json!({"q": "Ada Lovelace", "limit": 2});
    let found = mcp.call("wikipedia_search_articles", search).await?.result_json()?;
    ensure!(found[0]["title"] == "Ada Lovelace", "{found}");
    let summary = mcp.call("wikipedia_get_summary", json!({"title": "Ada Lovelace"})).await?.result_json()?;
    ensure!(summary["extract"].as_str().is_some_and(|text| text.contains("mathematician")), "{summary}");
    let text =
        mcp.call("wikipedia_get_article_text", json!({"titles": "Ada Lovelace"})).await?.result_json()?;
    ensure!(text["extract"].as_str().is_some_and(|text| text.contains("1815")), "{text}");
    Ok(())
}
