//! Clients written by others, from discovery to a call's result: each registers, sends a person's browser to log in and
//! consent, lists, calls, and refreshes its token. The browser is Chromium, the API behind the connector the emulated GitHub.
//! Requests go round over three nodes.

mod everything;
mod published;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use toolmesh_tests::browser::Browser;
use toolmesh_tests::child::{Kept, Start};
use toolmesh_tests::emulate::{Emulate, MINE, OTHERS};
use toolmesh_tests::github::{LIST_ISSUES, assigned_to_me};
use toolmesh_tests::oauth::redirected;
use toolmesh_tests::system::Options;
use toolmesh_tests::tls::{Authority, Reply, TlsSite};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Person, System, TestResult, Workspace, eventually, paths};

/// How long a script may take for one step; a cold start of Node on a busy machine is slow.
const STEP: Duration = Duration::from_secs(60);

/// The system that all tests here share: three nodes, which take requests in turn.
async fn system() -> Result<&'static System> {
    static SYSTEM: OnceCell<System> = OnceCell::const_new();
    let start = || async {
        let envs = vec![Authority::shared()?.env()];
        System::start(Options { nodes: 3, envs, ..Options::default() }).await
    };
    SYSTEM.get_or_try_init(start).await
}

/// A workspace with GitHub, and a member who is not its owner.
struct Scene {
    system: &'static System,
    workspace: Workspace,
    member: Person,
    _github: Emulate,
}

impl Scene {
    async fn new() -> Result<Self> {
        let system = system().await?;
        let (github, workspace) = (Emulate::github().await?, system.workspace().await?);
        system.enable_github(&workspace, &github.url).await?;
        let member = system.person().await?;
        system.join(&workspace, &member, "member").await?;
        system.offered_everywhere(&workspace, LIST_ISSUES).await?;
        Ok(Self { system, workspace, member, _github: github })
    }
}

/// A script at work.
struct Script {
    process: Kept,
    folder: tempfile::TempDir,
}

impl Script {
    /// One that is to call the tool of a scene.
    fn start(scene: &Scene, program: &Path, script: &str, envs: &[(&str, &str)]) -> Result<Self> {
        let arguments = assigned_to_me().to_string();
        Self::run(program, script, &[&scene.workspace.mcp_url, LIST_ISSUES, &arguments], envs)
    }

    fn run(program: &Path, script: &str, args: &[&str], envs: &[(&str, &str)]) -> Result<Self> {
        let folder = paths::scratch("toolmesh-client-")?;
        let log = folder.path().join("client.log");
        let script = paths::client(script).display().to_string();
        let home = folder.path().display().to_string();
        let preload = format!("--require {}", paths::client("node/resolve-localhost.cjs").display());
        let resolve = paths::client("python/resolve_localhost").display().to_string();
        let mut all = vec![
            ("HOME", home.as_str()),
            ("NODE_OPTIONS", preload.as_str()),
            ("PYTHONPATH", resolve.as_str()),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ];
        all.extend_from_slice(envs);
        let start = Start { name: "the client", program, log: &log, clean: None, save: None };
        let args = [&[script.as_str()][..], args].concat();
        Ok(Self { process: Kept::start(&start, &args, &all)?, folder })
    }

    /// Waits for a line such as `RESULT …` and returns what follows.
    async fn said(&mut self, kind: &str) -> Result<String> {
        let start = format!("{kind} ");
        self.process
            .until_printed(kind, STEP, |text| {
                // Only whole lines: the last may still be on its way.
                let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
                whole.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
            })
            .await
    }

    async fn json(&mut self, kind: &str) -> Result<Value> {
        let line = self.said(kind).await?;
        serde_json::from_str(&line).with_context(|| format!("{kind} is followed by no JSON: {line}"))
    }

    async fn end(mut self) -> TestResult {
        let status = self.process.end(STEP).await?;
        ensure!(status.success(), "the client ended with {status}:\n{}", self.process.printed());
        drop(self.folder);
        Ok(())
    }
}

fn node() -> Result<PathBuf> {
    paths::node_module("@modelcontextprotocol/sdk/package.json")?;
    Ok(PathBuf::from("node"))
}

/// A person who is not logged in follows the client's address, logs in on the way, reads the consent page and allows.
async fn allow(scene: &Scene, url: &str, client_name: &str) -> TestResult {
    let browser = Browser::open().await?;
    browser.go(url).await?;
    browser.at("/login").await?;
    browser.fill("email", &scene.member.email).await?;
    browser.fill("password", &scene.member.password).await?;
    browser.click("log in").await?;
    browser.read(client_name).await?;
    browser.read("localhost").await?;
    browser.click("allow").await?;
    browser.read("you can close this window").await?;
    let landed = browser.at("/callback").await?;
    let issuer = toolmesh_tests::oauth::parameter(&landed, "iss");
    ensure!(issuer.as_deref() == Some(scene.workspace.origin.as_str()), "iss is {issuer:?}");
    browser.close().await
}

/// The same without a screen, for somebody who is logged in.
async fn approve(system: &System, person: &Person, url: &str, client_name: &str) -> TestResult {
    let console = system.console(person).await?;
    let page = console.get(url).await?;
    // Who has allowed it before may not be asked twice.
    let back = match page.location() {
        Some(back) => back,
        None => {
            ensure!(page.text().contains(client_name), "{client_name} is not named: {}", page.text());
            let action = page.url.path().to_owned();
            let mut fields = page.form(&action)?.fields;
            fields.retain(|(name, _)| name != "decision");
            fields.push(("decision".to_owned(), "allow".to_owned()));
            redirected(&console.post(&action, &fields).await?)?
        }
    };
    let landed = system.http.get(back.clone()).send().await?;
    ensure!(landed.status().is_success(), "the client answered {} at {back}", landed.status());
    Ok(())
}

fn check_list(tools: &Value) -> TestResult {
    let tools = tools.as_array().context("no list")?;
    ensure!(tools.len() >= 25, "{} tools", tools.len());
    let tool = tools.iter().find(|tool| tool["name"] == LIST_ISSUES);
    let tool = tool.with_context(|| format!("{LIST_ISSUES} is not in the list"))?;
    ensure!(tool["annotations"]["readOnlyHint"] == true, "{tool}");
    ensure!(tool["title"].is_string(), "{tool}");
    Ok(())
}

fn check_result(result: &Value) -> TestResult {
    ensure!(result["isError"] != json!(true), "{result}");
    let text = result["content"][0]["text"].as_str().with_context(|| format!("no text in {result}"))?;
    for title in MINE {
        ensure!(text.contains(title), "{title:?} is not in {text}");
    }
    ensure!(!text.contains(OTHERS), "someone else's issue is in {text}");
    Ok(())
}

/// The whole way of a client that speaks OAuth.
async fn journey(program: &Path, script: &str, client_name: &str) -> TestResult {
    let scene = Scene::new().await?;
    let mut client = Script::start(&scene, program, script, &[])?;
    let url = client.said("AUTHORIZE").await?;
    ensure!(url.starts_with(&scene.system.ready.console_url), "the person is sent to {url}");
    allow(&scene, &url, client_name).await?;
    client.json("CONNECTED").await?;
    check_list(&client.json("TOOLS").await?)?;
    check_result(&client.json("RESULT").await?)?;
    check_result(&client.json("REFRESHED").await?).context("after refreshing")?;
    client.end().await?;

    // What the client did is in the log under its name.
    let console = scene.system.console(&scene.workspace.owner).await?;
    let log = format!("/w/{}/audit", scene.workspace.slug);
    eventually("the calls are in the log", SOON, || async {
        let page = console.visit(&format!("{log}?user={}", scene.member.user_id)).await?.ok()?;
        let calls = page.links(&format!("{log}/")).len();
        Ok((calls == 2 && page.text().contains(&format!("with {client_name}"))).then_some(()))
    })
    .await
}

#[tokio::test]
async fn the_typescript_sdk_of_the_first_generation() -> TestResult {
    journey(&node()?, "node/sdk-v1.mjs", "TypeScript SDK test").await
}

#[tokio::test]
async fn the_typescript_sdk_of_the_second_generation() -> TestResult {
    journey(&node()?, "node/sdk-v2.mjs", "TypeScript SDK test").await
}

#[tokio::test]
async fn the_python_sdk() -> TestResult {
    journey(&paths::python()?, "python/sdk.py", "Python SDK test").await
}

/// The way of a client that is known by a document on the web, and registers nowhere. In the end it gives back what it was
/// granted: its tokens are refused then, and the person is asked again.
async fn by_document(program: &Path, script: &str) -> TestResult {
    let (scene, site) = (Scene::new().await?, TlsSite::start().await?);
    let id = site.url("/client.json");
    site.put(
        "/client.json",
        Reply::json(&json!({
            "client_id": id,
            "client_name": "Documented client",
            "redirect_uris": ["http://localhost/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        })),
    );
    let envs = [("CLIENT_METADATA_URL", id.as_str()), ("GIVES_BACK", "1")];
    let mut client = Script::start(&scene, program, script, &envs)?;
    let url = client.said("AUTHORIZE").await?;
    let asked = url::Url::parse(&url)?;
    ensure!(toolmesh_tests::oauth::parameter(&asked, "client_id").as_deref() == Some(id.as_str()), "{url}");
    approve(scene.system, &scene.member, &url, "Documented client").await?;
    client.json("CONNECTED").await?;
    check_list(&client.json("TOOLS").await?)?;
    check_result(&client.json("RESULT").await?)?;
    check_result(&client.json("REFRESHED").await?).context("after refreshing")?;
    approve(scene.system, &scene.member, &client.said("AGAIN").await?, "Documented client").await?;
    check_result(&client.json("ALLOWED").await?).context("after asking again")?;
    client.end().await
}

#[tokio::test]
async fn the_typescript_sdk_of_the_first_generation_known_by_a_document() -> TestResult {
    by_document(&node()?, "node/sdk-v1.mjs").await
}

#[tokio::test]
async fn the_typescript_sdk_of_the_second_generation_known_by_a_document() -> TestResult {
    by_document(&node()?, "node/sdk-v2.mjs").await
}

#[tokio::test]
async fn the_python_sdk_known_by_a_document() -> TestResult {
    by_document(&paths::python()?, "python/sdk.py").await
}

/// The way of a client that is given an API key.
async fn with_a_key(program: &Path, script: &str, envs: &[(&str, &str)]) -> TestResult {
    let scene = Scene::new().await?;
    let key = scene.system.key(&scene.workspace.slug, &scene.member.email).await?;
    for node in &scene.system.ready.nodes {
        let mcp = scene.system.mcp_on(&node.http, &scene.workspace, &key);
        eventually("the key works", SOON, || async {
            Ok((mcp.request("ping", json!({})).await?.status == 200).then_some(()))
        })
        .await?;
    }
    let envs = [&[("API_KEY", key.as_str())], envs].concat();
    let mut client = Script::start(&scene, program, script, &envs)?;
    client.json("CONNECTED").await?;
    check_list(&client.json("TOOLS").await?)?;
    check_result(&client.json("RESULT").await?)?;
    client.end().await
}

#[tokio::test]
async fn mcp_remote_with_an_api_key() -> TestResult {
    with_a_key(&node()?, "node/mcp-remote.mjs", &[]).await
}

// The POSTs of these reach the node of their stream and others.

#[tokio::test]
async fn mcp_remote_over_the_transport_of_2024() -> TestResult {
    with_a_key(&node()?, "node/mcp-remote.mjs", &[("TRANSPORT", "sse-only")]).await
}

#[tokio::test]
async fn the_typescript_sdk_over_the_transport_of_2024() -> TestResult {
    with_a_key(&node()?, "node/sdk-sse.mjs", &[]).await
}

#[tokio::test]
async fn the_python_sdk_over_the_transport_of_2024() -> TestResult {
    with_a_key(&paths::python()?, "python/sdk_sse.py", &[]).await
}
