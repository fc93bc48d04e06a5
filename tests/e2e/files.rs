//! Files through a node: named by a URL and sent on, given back with an answer, fetched over a link where they are large, and in
//! the hands of code.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toolmesh_tests::workspace::Installation;
use toolmesh_tests::{Mcp, System, TestResult, Upstream, Workspace, eventually, paths};

const KEY: &str = "s3cret-key-0001";

/// A workspace with the connector of `fixtures/answers.dadl` against an API that takes and gives files.
struct Files {
    system: &'static System,
    workspace: Workspace,
    installation: Installation,
    upstream: Upstream,
    mcp: Mcp,
}

impl Files {
    async fn new() -> Result<Self> {
        let (system, upstream) = (System::shared().await?, Upstream::start().await?);
        let workspace = system.workspace().await?;
        let dadl = paths::fixture("answers.dadl");
        let credentials = [("token", KEY)];
        let installation =
            system.enable_file(&workspace.slug, &dadl, "api", &upstream.url(), &credentials).await?;
        system.offered_everywhere(&workspace, "api_upload").await?;
        Ok(Self { mcp: system.mcp(&workspace, &workspace.key), system, workspace, installation, upstream })
    }

    fn url(&self, name: &str) -> String {
        format!("{}/files/{name}", self.upstream.url())
    }

    /// The link to a file that is too large for an answer.
    async fn link(&self, name: &str) -> Result<String> {
        let told = self.mcp.call("api_file", json!({ "name": name })).await?.result_json()?;
        ensure!(told["expires_at"].is_string(), "{told}");
        ensure!(told["note"].as_str().is_some_and(|note| note.contains("4 MiB")), "{told}");
        told["download_url"].as_str().map(str::to_owned).with_context(|| format!("no link: {told}"))
    }
}

#[tokio::test]
async fn a_file_named_by_its_url_is_sent_in_a_part_of_its_own() -> TestResult {
    let files = Files::new().await?;
    let arguments = json!({"file": files.url("dot.png"), "note": "Étage 2", "tags": ["a", "b"]});
    let parts = files.mcp.call("api_upload", arguments).await?.result_json()?;
    let part = |name: &str| {
        let found = parts.as_array().into_iter().flatten().find(|part| part["name"] == name);
        found.cloned().with_context(|| format!("no part {name}: {parts}"))
    };
    let file = part("file")?;
    ensure!(
        (&file["file"], &file["type"], &file["bytes"]) == (&json!("dot.png"), &json!("image/png"), &json!(9)),
        "{file}"
    );
    ensure!(part("note")?["begins"] == "Étage 2" && part("note")?["file"].is_null(), "{parts}");
    // Whoever keeps the file is shown no credential.
    let fetched = files.upstream.seen().into_iter().find(|seen| seen.path == "/files/dot.png");
    let fetched = fetched.context("the file was not fetched")?;
    ensure!(!fetched.query.contains("key") && fetched.header("authorization").is_empty(), "{fetched:?}");

    let inline = json!({"file": "data:text/plain;base64,SGVsbG8="});
    let parts = files.mcp.call("api_upload", inline).await?.result_json()?;
    ensure!((&parts[0]["bytes"], &parts[0]["begins"]) == (&json!(5), &json!("Hello")), "{parts}");
    Ok(())
}

#[tokio::test]
async fn a_large_file_is_sent_as_it_is_and_a_lost_one_is_named() -> TestResult {
    let files = Files::new().await?;
    let large = json!({"file": files.url("large.bin")});
    let taken = files.mcp.call("api_upload_raw", large).await?.result_json()?;
    ensure!(taken["bytes"] == 6 << 20 && taken["whole"] == true, "{taken}");
    for (url, words) in [
        (format!("{}/nowhere", files.upstream.url()), "404"),
        ("ftp://files.example/x".to_owned(), "http, https or data URL"),
        ("https://ada:pw@files.example/x".to_owned(), "user name or password"),
    ] {
        let refusal = files.mcp.call("api_upload_raw", json!({ "file": url })).await?;
        let told = refusal.refusal()?.unwrap_or_default();
        ensure!(told.contains(words) && told.contains("file"), "{url}: {told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_too_large_for_an_answer_is_fetched_over_a_link() -> TestResult {
    let files = Files::new().await?;
    let link = files.link("large.bin").await?;
    ensure!(link.starts_with(&files.system.tenant(&files.workspace.slug)), "{link}");
    // By a browser, without a token; and more than once.
    for _ in 0..2 {
        let answer = files.system.http.get(&link).send().await?;
        let header =
            |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        ensure!(answer.status() == 200, "{}", answer.status());
        ensure!(header("content-disposition").contains("attachment; filename=\"large.bin\""));
        ensure!(header("x-content-type-options") == "nosniff" && header("cache-control") == "no-store");
        ensure!(header("content-security-policy").contains("sandbox"));
        ensure!(
            header("content-type") == "application/gzip",
            "the declared type: {}",
            header("content-type")
        );
        let bytes = answer.bytes().await?;
        ensure!(bytes.len() == 6 << 20 && bytes.iter().all(|byte| *byte == 0xff), "{} bytes", bytes.len());
    }
    let text = files.system.http.get(files.link("large.csv").await?).send().await?.text().await?;
    ensure!(text.starts_with("key,[redacted]\n") && !text.contains(KEY), "{text:.100}");
    ensure!(text.lines().count() == 300_000, "{} lines", text.lines().count());

    let console = files.system.console(&files.workspace.owner).await?;
    let log = format!("/w/{}/audit", files.workspace.slug);
    eventually("the download is in the log", Duration::from_secs(10), || async {
        let page = console.visit(&log).await?.ok()?;
        Ok((page.text().matches("api_file").count() >= 5).then_some(()))
    })
    .await?;
    // The newest is what followed the last link: what the API said stands at the step that asked it.
    let list = console.visit(&log).await?.ok()?;
    let newest = list.links(&format!("{log}/")).into_iter().next().context("nothing is in the log")?;
    let page = console.visit(&newest).await?.ok()?;
    ensure!(page.text().contains("files"), "{}", page.text());
    let called = page.body.split("Called").nth(1).and_then(|rest| rest.split("Recorded").next());
    ensure!(called.is_some_and(|step| step.contains("200 OK")), "{}", page.text());
    Ok(())
}

#[tokio::test]
async fn a_link_opens_nothing_else_and_ends_with_the_right_of_who_asked() -> TestResult {
    let files = Files::new().await?;
    let link = files.link("large.bin").await?;
    let get = async |url: &str| -> Result<(u16, String)> {
        let answer = files.system.http.get(url).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    };
    let (origin, sealed) = link.rsplit_once('/').context("no link")?;
    let other = files.system.workspace().await?;
    for wrong in [
        format!("{origin}/{}", sealed.replacen('A', "B", 1)),
        format!("{origin}/{}", &sealed[..sealed.len() - 3]),
        format!("{origin}/x"),
        format!("{}/files/{sealed}", files.system.tenant(&other.slug)),
    ] {
        let (status, text) = get(&wrong).await?;
        ensure!(
            wrong == link || (status == 404 && text.contains("Ask for the file again")),
            "{wrong}: {status} {text}"
        );
    }
    let posted = files.system.http.post(&link).send().await?;
    ensure!(posted.status() == 405, "{}", posted.status());

    // The key goes, and with it what was asked for with it.
    let console = files.system.console(&files.workspace.owner).await?;
    let keys = format!("/w/{}/keys", files.workspace.slug);
    let page = console.visit(&keys).await?.ok()?;
    let key = page.links(&format!("{keys}/")).into_iter().next().context("no key on the page")?;
    console.submit(&key, &format!("{key}/revoke"), &[]).await?.ok()?;
    eventually("the link has ended", Duration::from_secs(10), || async {
        let (status, _) = get(&link).await?;
        Ok((status == 403).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn code_has_a_files_bytes_in_hand() -> TestResult {
    let files = Files::new().await?;
    let code =
        "const f = await tools.api.file({name: 'dot.png'}); return [f.name, f.mediaType, f.bytes, f.base64];";
    let connector = format!("/w/{}/connectors/{}", files.workspace.slug, files.installation.id);
    let console = files.system.console(&files.workspace.owner).await?;
    console.submit(&connector, &format!("{connector}/exposure"), &[("exposure", "both")]).await?.ok()?;
    files.system.offered_everywhere(&files.workspace, "execute_code").await?;
    let ran = files.mcp.call("execute_code", json!({ "code": code })).await?.result_json()?;
    ensure!(ran["returned"] == json!(["dot.png", "image/png", 9, "iVBORw0KGgoA"]), "{ran}");
    let large = "return await tools.api.file({name: 'large.bin'})";
    let ran = files.mcp.call("execute_code", json!({ "code": large })).await?.result_json()?;
    ensure!(ran.pointer("/returned/download_url").is_some_and(Value::is_string), "{ran}");
    Ok(())
}
