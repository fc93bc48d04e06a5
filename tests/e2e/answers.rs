//! What becomes of an API's answers: programs, masks, pages, retries, files and streams, and answers meant to do harm.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toolmesh_tests::{Mcp, System, TestResult, Upstream, Workspace, eventually, paths};

/// A workspace with the connector of `fixtures/answers.dadl` against an API of our own.
struct Api {
    system: &'static System,
    workspace: Workspace,
    upstream: Upstream,
    mcp: Mcp,
}

impl Api {
    async fn new() -> Result<Self> {
        let (system, upstream) = (System::shared().await?, Upstream::start().await?);
        let workspace = system.workspace().await?;
        let dadl = paths::fixture("answers.dadl");
        let credentials = [("token", "s3cret-key-0001")];
        system.enable_file(&workspace.slug, &dadl, "api", &upstream.url(), &credentials).await?;
        system.offered_everywhere(&workspace, "api_whoami").await?;
        Ok(Self { mcp: system.mcp(&workspace, &workspace.key), system, workspace, upstream })
    }

    async fn text(&self, tool: &str, arguments: Value) -> Result<String> {
        self.mcp.call(tool, arguments).await?.text().with_context(|| tool.to_owned())
    }

    async fn refusal(&self, tool: &str, arguments: Value) -> Result<String> {
        let answer = self.mcp.call(tool, arguments).await?;
        answer.refusal()?.with_context(|| format!("{tool} passed for a success: {:.300}", answer.body))
    }

    /// The content blocks of a result.
    async fn content(&self, tool: &str, arguments: Value) -> Result<Vec<Value>> {
        let answer = self.mcp.call(tool, arguments).await?.json()?;
        let content = answer.pointer("/result/content").and_then(Value::as_array).cloned();
        content.with_context(|| format!("{tool}: {answer}"))
    }
}

#[tokio::test]
async fn masks_hide_and_every_digit_of_a_number_stays() -> TestResult {
    let api = Api::new().await?;
    let shown = api.text("api_people", json!({})).await?;
    assert!(shown.contains("9007199254740993") && shown.contains("12345678901234567890123"), "{shown}");
    assert!(!shown.contains("t-ada") && shown.matches("[REDACTED]").count() == 2, "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_program_of_the_callers_own_sees_what_the_caller_may_see() -> TestResult {
    let api = Api::new().await?;
    let program = json!({"_jq": "map(.token) + [.[] | .id]"});
    let shown = api.text("api_people", program).await?;
    assert_eq!(shown, r#"["[REDACTED]","[REDACTED]",9007199254740993,12345678901234567890123]"#);
    assert!(!api.upstream.only()?.query.contains("_jq"), "it is no part of the request");
    for (program, words) in [("map(", "line 1, column"), ("map(foo)", "no filter foo"), (".a.b", "failed")] {
        let refusal = api.refusal("api_people", json!({ "_jq": program })).await?;
        ensure!(refusal.contains(words) && refusal.contains("_jq"), "{program}: {refusal}");
        ensure!(!refusal.contains("t-ada"), "{program}: {refusal}");
    }
    let refusal = api.refusal("api_people_cut", json!({"_jq": "."})).await?;
    assert!(refusal.contains("_jq"), "where it is not allowed, it is unknown: {refusal}");
    Ok(())
}

#[tokio::test]
async fn a_transform_gives_what_the_connector_means_or_nothing() -> TestResult {
    let api = Api::new().await?;
    let shown = api.text("api_people_cut", json!({})).await?;
    assert!(shown.starts_with(r#"[{"id":9007199254740993,"who":"ada"}]"#), "{shown}");
    assert!(shown.contains("Only the first item is shown"), "{shown}");
    for tool in ["api_people_broken", "api_people_endless"] {
        let start = Instant::now();
        let refusal = api.refusal(tool, json!({})).await?;
        ensure!(refusal.contains("jq program"), "{tool}: {refusal}");
        ensure!(!refusal.contains("t-ada") && !refusal.contains("Ada"), "{tool}: {refusal}");
        ensure!(start.elapsed() < Duration::from_secs(25), "{tool}: {:?}", start.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn programs_that_run_away_and_answers_that_nest_end_in_bounded_time() -> TestResult {
    let api = Api::new().await?;
    for program in
        ["def f: f; f", "[repeat(.)]", "reduce range(60) as $i (.; [., .])", "def f: [f]; f", "\"x\" * 1e12"]
    {
        let start = Instant::now();
        let refusal = api.refusal("api_wide", json!({ "_jq": program })).await?;
        ensure!(refusal.contains("_jq"), "{program}: {refusal}");
        ensure!(start.elapsed() < Duration::from_secs(25), "{program}: {:?}", start.elapsed());
    }
    let refusal = api.refusal("api_deep", json!({})).await?;
    assert!(refusal.contains("JSON") || refusal.contains("text"), "{refusal}");
    assert!(api.text("api_wide", json!({})).await?.starts_with("[[1,2,3],[1,2,3]]"), "the node lives on");
    Ok(())
}

#[tokio::test]
async fn facts_beside_the_answer_are_for_programs_and_not_in_its_text() -> TestResult {
    let api = Api::new().await?;
    let answer = api.mcp.call("api_people_facts", json!({})).await?;
    assert_eq!(answer.text()?, r#"["Ada","Bob"]"#);
    assert_eq!(answer.json()?.pointer("/result/_meta/toolmesh~1metadata"), Some(&json!({"page": 1})));
    let masked = api.mcp.call("api_people", json!({})).await?.json()?;
    assert_eq!(masked.pointer("/result/_meta"), None, "where something is hidden, there are none");
    Ok(())
}

#[tokio::test]
async fn pages_are_followed_to_the_last_in_every_way_of_paging() -> TestResult {
    for (tool, requests) in [("api_pages", 3), ("api_offset", 3), ("api_cursor", 3), ("api_link", 3)] {
        let api = Api::new().await?;
        let shown = api.text(tool, json!({})).await?;
        ensure!(shown == "[1,2,3,4,5]", "{tool}: {shown}");
        let seen = api.upstream.seen();
        ensure!(seen.len() == requests, "{tool}: {} requests", seen.len());
        for request in &seen {
            let keys: Vec<_> = request.pairs().into_iter().filter(|(name, _)| name == "key").collect();
            ensure!(keys == [("key".to_owned(), "s3cret-key-0001".to_owned())], "{tool}: {}", request.query);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_who_pages_is_told_how_to_go_on() -> TestResult {
    let api = Api::new().await?;
    for (tool, arguments, ids, words) in [
        ("api_pages_told", json!({}), "[1,2,3]", "call again with page=2"),
        ("api_pages_told", json!({"page": 2}), "[4,5]", ""),
        ("api_cursor_told", json!({}), "[1,2]", "call again with cursor=after-2"),
        ("api_cursor_told", json!({"cursor": "after-4"}), "[5]", ""),
        ("api_link_told", json!({}), "[1,2]", "call again with after=2"),
    ] {
        let blocks = api.content(tool, arguments).await?;
        ensure!(blocks[0]["text"] == ids, "{tool}: {blocks:?}");
        let note = blocks.get(1).and_then(|block| block["text"].as_str()).unwrap_or_default();
        ensure!(note.contains(words) && note.is_empty() == words.is_empty(), "{tool}: {note}");
        ensure!(!note.contains("s3cret"), "{tool}: {note}");
    }
    Ok(())
}

#[tokio::test]
async fn a_list_that_is_not_whole_says_so() -> TestResult {
    let api = Api::new().await?;
    let breaks = api.text("api_breaks", json!({})).await?;
    assert!(breaks.starts_with("[1,2]") && breaks.contains("not all") && breaks.contains("500"), "{breaks}");
    assert!(breaks.contains("page=2"), "{breaks}");
    let endless = api.text("api_endless", json!({})).await?;
    assert!(endless.contains("not all: 8 items of 4 pages") && endless.contains("page=5"), "{endless}");
    let stuck = api.text("api_stuck", json!({})).await?;
    assert!(stuck.starts_with("[1,1]"), "a cursor that repeats ends the walk: {stuck}");
    Ok(())
}

#[tokio::test]
async fn what_may_be_sent_twice_is_tried_again_and_nothing_else() -> TestResult {
    let api = Api::new().await?;
    assert_eq!(api.text("api_flaky", json!({"times": 2})).await?, r#"{"ok":true}"#);
    assert_eq!(api.upstream.seen().len(), 3);
    let refusal = api.refusal("api_flaky", json!({"times": 9})).await?;
    assert!(refusal.contains("503") && refusal.contains("busy"), "{refusal}");
    assert_eq!(api.upstream.seen().len(), 6, "a request and two more");
    api.refusal("api_flaky_write", json!({"times": 7})).await?;
    assert_eq!(api.upstream.seen().len(), 7, "a write leaves once");
    let start = Instant::now();
    let refusal = api.refusal("api_limited", json!({})).await?;
    assert!(refusal.contains("quota") && refusal.contains("600 seconds"), "{refusal}");
    assert!(start.elapsed() < Duration::from_secs(10), "a wait beyond the deadline is not begun");
    assert_eq!(api.upstream.seen().len(), 8);
    Ok(())
}

#[tokio::test]
async fn further_requests_of_a_call_are_in_the_log() -> TestResult {
    let api = Api::new().await?;
    let console = api.system.console(&api.workspace.owner).await?;
    let log = format!("/w/{}/audit", api.workspace.slug);
    for (tool, arguments, words) in [
        ("api_flaky", json!({"times": 1}), "503 Service Unavailable; tried again"),
        ("api_pages", json!({}), "3 pages"),
    ] {
        let answer = api.mcp.call(tool, arguments).await?;
        answer.text()?;
        let id = answer.header("x-request-id");
        eventually(&format!("{words:?} is in the log"), Duration::from_secs(10), || async {
            let page = console.visit(&log).await?.ok()?;
            let Some(link) = page.links(&format!("{log}/")).into_iter().next() else { return Ok(None) };
            let text = console.visit(&link).await?.ok()?.text();
            Ok((text.contains(id) && text.contains(words)).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn files_come_as_what_they_are() -> TestResult {
    let api = Api::new().await?;
    let image = api.content("api_file", json!({"name": "dot.png"})).await?;
    assert_eq!((&image[0]["type"], &image[0]["mimeType"]), (&json!("image"), &json!("image/png")));
    assert_eq!(image[0]["data"], "iVBORw0KGgoA");
    let sound = api.content("api_file", json!({"name": "note.wav"})).await?;
    assert_eq!((&sound[0]["type"], &sound[0]["mimeType"]), (&json!("audio"), &json!("audio/wav")));
    let archive = api.content("api_file", json!({"name": "logs.gz"})).await?;
    let told = archive[0]["text"].as_str().unwrap_or_default();
    assert!(told.contains("logs.gz") && told.contains("application/gzip"), "the declared type: {told}");
    assert_eq!(archive[1]["resource"]["mimeType"], "application/gzip");
    assert_eq!(
        (&archive[1]["resource"]["blob"], &archive[1]["resource"]["uri"]),
        (&json!("H4sA/w=="), &json!("file:///logs.gz"))
    );
    assert_eq!(api.text("api_file", json!({"name": "table.csv"})).await?, "a,b\n1,2\n");
    let made = api.refusal("api_file_made", json!({"name": "large.bin"})).await?;
    assert!(made.contains("4 MiB"), "what may change something is not done again for a link: {made}");
    Ok(())
}

#[tokio::test]
async fn streams_are_read_as_far_as_the_connector_says() -> TestResult {
    let api = Api::new().await?;
    let start = Instant::now();
    assert_eq!(api.text("api_events", json!({})).await?, r#"[{"n":1},{"n":2},{"n":3}]"#);
    assert!(api.text("api_lines", json!({})).await?.starts_with("[1,2,3]"));
    assert!(api.text("api_skipped", json!({})).await?.contains("200"));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    Ok(())
}
