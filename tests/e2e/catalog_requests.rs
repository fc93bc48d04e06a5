//! What the connectors of the catalog send: method, path, query, body and credential, written down from each API's own
//! documentation in `fixtures/catalog_requests.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;
use toolmesh_proto::names;
use toolmesh_tests::upstream::Seen;
use toolmesh_tests::{System, TestResult, Upstream, paths};

#[derive(Deserialize)]
struct Row {
    connector: String,
    credentials: BTreeMap<String, String>,
    /// Name and value of the header that shows the credential; without one, there must be none.
    header: (String, String),
    #[serde(default)]
    by_consent: bool,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    tool: String,
    arguments: Value,
    /// `GET /path?query`, below the base URL.
    wants: String,
    body: Option<Value>,
    form: Option<String>,
}

fn rows() -> anyhow::Result<Vec<Row>> {
    Ok(serde_json::from_slice(&std::fs::read(paths::fixture("catalog_requests.json"))?)?)
}

#[tokio::test]
async fn every_connector_of_the_catalog_sends_what_its_api_documents() -> TestResult {
    let system = System::shared().await?;
    // A few at a time: each has a workspace and an API of its own.
    stream::iter(rows()?).map(Ok).try_for_each_concurrent(4, |row| assert_row(system, row)).await
}

async fn assert_row(system: &System, row: Row) -> TestResult {
    let (upstream, workspace) = (Upstream::start().await?, system.workspace().await?);
    let url = format!("{}/echo", upstream.url());
    let credentials: Vec<_> = row.credentials.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let made = if row.by_consent {
        let folder = paths::scratch("toolmesh-catalog-")?;
        let file = with_a_token(&row.connector, folder.path())?;
        system.enable_file(&workspace.slug, &file, &row.connector, &url, &credentials).await?
    } else {
        let args = ["--connector", &row.connector, "--base-url", &url];
        system.enable(&workspace.slug, &args, &credentials).await?
    };
    let public = |tool: &str| names::tool_name(&made.name, tool);
    let mcp = system.mcp(&workspace, &workspace.key);
    // All tools of a connector come with one push.
    if let Some(first) = row.calls.first() {
        system.offered_everywhere(&workspace, &public(&first.tool)).await?;
    }
    for call in &row.calls {
        let name = public(&call.tool);
        let before = upstream.seen().len();
        mcp.call(&name, call.arguments.clone()).await.with_context(|| name.clone())?;
        let seen = upstream.seen();
        ensure!(seen.len() == before + 1, "{name}: {} requests left", seen.len() - before);
        let seen = seen.last().context("no request")?;
        assert_request(call, seen).with_context(|| format!("{name} sent {seen:?}"))?;
        let (header, value) = &row.header;
        ensure!(seen.header(header) == value, "{name} sent {header}: {:?}", seen.header(header));
    }
    Ok(())
}

/// The connector's file, but with a token of its own instead of somebody's consent, which has its own tests.
fn with_a_token(connector: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let source = paths::root().join(format!("control-plane/catalog/{connector}.dadl"));
    let text = std::fs::read_to_string(&source)?;
    let (before, rest) = text.split_once("\n  auth:\n").context("no auth")?;
    let (_, after) = rest.split_once("\n\n").context("auth does not end")?;
    let file = folder.join(format!("{connector}.dadl"));
    std::fs::write(&file, format!("{before}\n  auth: {{type: bearer, credential: token}}\n\n{after}"))?;
    Ok(file)
}

fn assert_request(call: &Call, seen: &Seen) -> TestResult {
    let (method, url) = call.wants.split_once(' ').context("wants is METHOD /path")?;
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    ensure!(seen.method == method, "not {method}");
    ensure!(seen.path == format!("/echo{path}"), "not {path}");
    ensure!(pairs(&seen.query) == pairs(query), "not {query}");
    match (&call.body, &call.form) {
        (Some(body), _) => {
            let sent: Value = serde_json::from_str(&seen.body)?;
            ensure!(&sent == body, "not {body}");
            ensure!(seen.header("content-type").starts_with("application/json"), "no JSON");
        }
        (None, Some(form)) => {
            ensure!(pairs(&seen.body) == pairs(form), "not {form}");
            ensure!(seen.header("content-type") == "application/x-www-form-urlencoded", "no form");
        }
        (None, None) => ensure!(seen.body.is_empty(), "a body where none was wanted"),
    }
    Ok(())
}

/// Decoded and in order of their names; values of one name stay in their order.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    pairs
}

#[tokio::test]
async fn no_connector_of_the_catalog_is_left_out_of_the_table() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = system.console(&workspace.owner).await?;
    let catalog = format!("/w/{}/catalog", workspace.slug);
    let page = console.visit(&catalog).await?.ok()?;
    let rows = rows()?;
    let mut names: Vec<String> = page.links(&format!("{catalog}/"));
    names.dedup();
    ensure!(names.len() >= 24, "{names:?}");
    for link in names {
        let name =
            link.trim_start_matches(&format!("{catalog}/")).split(['/', '?']).next().unwrap_or_default();
        let row = rows.iter().find(|row| row.connector == name);
        ensure!(row.is_some_and(|row| row.calls.len() >= 3), "{name} is not tried");
    }
    Ok(())
}
