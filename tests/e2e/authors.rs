//! The command line for authors of connectors: lint, try, import.

use anyhow::{Context as _, Result, ensure};
use toolmesh_tests::admin::{Ran, toolmesh};
use toolmesh_tests::{TestResult, Upstream, paths};

async fn connector(args: &[&str]) -> Result<Ran> {
    let all: Vec<&str> = ["connector"].iter().chain(args).copied().collect();
    toolmesh(&all, &[]).await
}

fn echo() -> String {
    paths::fixture("echo.dadl").display().to_string()
}

#[tokio::test]
async fn a_file_that_compiles_is_counted_and_one_that_does_not_is_named_line_by_line() -> TestResult {
    let good = connector(&["lint", &echo()]).await?;
    ensure!(good.code == Some(0) && good.stdout.trim_end().ends_with(" tools"), "{good:?}");
    let folder = paths::scratch("toolmesh-lint-")?;
    let bad = folder.path().join("bad.dadl");
    std::fs::write(
        &bad,
        std::fs::read_to_string(paths::fixture("echo.dadl"))?.replace("method: GET", "method: FETCH"),
    )?;
    let bad = bad.display().to_string();
    let ran = connector(&["lint", &echo(), &bad]).await?;
    ensure!(ran.code == Some(1), "{ran:?}");
    let first = ran.stdout.lines().find(|line| line.starts_with("error: ")).context("no error is named")?;
    let place = first.trim_start_matches("error: ").strip_prefix(&bad).context("the file is not named")?;
    let numbers: Vec<_> = place.split(':').skip(1).take(2).map(str::parse::<u32>).collect();
    ensure!(matches!(numbers.as_slice(), [Ok(line), Ok(_)] if *line > 10), "{first}");
    let missing = connector(&["lint", "/nowhere/x.dadl"]).await?;
    ensure!(missing.code == Some(1) && missing.stderr.contains("/nowhere/x.dadl"), "{missing:?}");
    Ok(())
}

#[tokio::test]
async fn a_dry_run_shows_the_request_without_the_secret_and_sends_nothing() -> TestResult {
    let upstream = Upstream::start().await?;
    let file = echo();
    let url = upstream.url();
    let call = [
        "try",
        &file,
        "get_item",
        "--arguments",
        r#"{"id": "a/b", "limit": 5}"#,
        "--base-url",
        &url,
        "--credential",
        "token=s3cret",
        "--dry-run",
    ];
    let ran = connector(&call).await?;
    ensure!(ran.code == Some(0), "{ran:?}");
    ensure!(ran.stdout.contains(&format!("> GET {url}/echo/items/a%2Fb?limit=5")), "{}", ran.stdout);
    ensure!(ran.stdout.contains("authorization: ****"), "{}", ran.stdout);
    ensure!(!ran.stdout.contains("s3cret") && !ran.stderr.contains("s3cret"), "{ran:?}");
    ensure!(upstream.seen().is_empty(), "it was sent");
    Ok(())
}

#[tokio::test]
async fn a_call_that_is_tried_is_made_as_a_node_makes_it() -> TestResult {
    let upstream = Upstream::start().await?;
    let (file, url) = (echo(), upstream.url());
    let ran =
        connector(&["try", &file, "whoami", "--base-url", &url, "--credential", "token=s3cret-of-echo"])
            .await?;
    ensure!(ran.code == Some(0) && ran.stdout.contains("< 200"), "{ran:?}");
    ensure!(!ran.stdout.contains("s3cret-of-echo"), "{}", ran.stdout);
    ensure!(upstream.only()?.header("authorization") == "Bearer s3cret-of-echo", "not the credential");
    for (call, word) in [
        (["try", &file, "no_such_tool", "--base-url", &url], "has no tool"),
        (["try", &file, "get_item", "--base-url", &url], "/id"),
        (["try", &file, "whoami", "--credential", "other=x"], "has no credential"),
        (["try", &file, "whoami", "--arguments", "[]"], "not a JSON object"),
    ] {
        let refused = connector(&call).await?;
        ensure!(refused.code == Some(1) && refused.stderr.contains(word), "{word}: {refused:?}");
    }
    Ok(())
}

/// A connector with what an author tries and no catalog file has.
const WORKSHOP: &str = "spec: https://dadl.ai/spec/dadl-spec-v0.2.md
backend:
  name: workshop
  type: rest
  description: A workshop.
  base_url: https://api.example.com
  auth: {type: oauth2, token_url: 'https://api.example.com/token', client_id_credential: id, client_secret_credential: secret}
  tools:
    whoami: {method: GET, path: /echo/me, access: read, description: W., params: {q: {type: string, in: query}}}
    upload:
      method: POST
      path: /echo/upload
      access: write
      description: U.
      content_type: multipart/form-data
      params:
        note: {type: string, in: body}
        file: {type: file_url, in: body}
  composites:
    twice:
      description: Asks twice.
      params: {q: {type: string, default: a}}
      code: |
        const both = await Promise.all([api.whoami({ q: params.q }), api.whoami({ q: 'b' })]);
        console.log('asked', both.length);
        return both.length;
    wrong: {description: Asks for too much., code: 'return await api.whoami({ nothing: 1 })'}
";

#[tokio::test]
async fn a_composite_is_tried_with_every_call_that_it_makes() -> TestResult {
    let (folder, upstream) = (paths::scratch("toolmesh-workshop-")?, Upstream::start().await?);
    let (file, url) = (folder.path().join("workshop.dadl"), upstream.url());
    std::fs::write(&file, WORKSHOP)?;
    let file = file.display().to_string();
    let token = "access_token=s3cret-of-mine";
    let ran = connector(&["try", &file, "twice", "--base-url", &url, "--credential", token]).await?;
    for line in ["api.whoami({\"q\":\"a\"}): 200 OK", "console: asked 2", "\n2\n"] {
        ensure!(ran.code == Some(0) && ran.stdout.contains(line), "{line}: {ran:?}");
    }
    let shown = upstream.seen().iter().all(|seen| seen.header("authorization") == "Bearer s3cret-of-mine");
    ensure!(shown && upstream.seen().len() == 2 && !ran.stdout.contains("s3cret"), "{ran:?}");
    let wrong = connector(&["try", &file, "wrong", "--base-url", &url, "--credential", token]).await?;
    ensure!(wrong.code == Some(1) && wrong.stdout.contains("there is no such argument"), "{wrong:?}");
    Ok(())
}

#[tokio::test]
async fn a_dry_run_shows_the_parts_of_a_form_and_says_what_stands_for_a_login() -> TestResult {
    let folder = paths::scratch("toolmesh-workshop-")?;
    let file = folder.path().join("workshop.dadl");
    std::fs::write(&file, WORKSHOP)?;
    let file = file.display().to_string();
    let arguments = r#"{"note": "hello", "file": "https://files.example.com/a.png"}"#;
    let ran = connector(&["try", &file, "upload", "--arguments", arguments, "--dry-run"]).await?;
    for line in
        ["note: hello", "file: (the file at https://files.example.com/a.png)", "> authorization: ********"]
    {
        ensure!(ran.code == Some(0) && ran.stdout.contains(line), "{line}: {ran:?}");
    }
    let refused = connector(&["try", &file, "whoami", "--credential", "secret=x"]).await?;
    ensure!(
        refused.code == Some(1) && refused.stderr.contains("it uses access_token; nothing logs in here"),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_openapi_document_is_written_as_a_file_that_compiles() -> TestResult {
    let folder = paths::scratch("toolmesh-import-")?;
    let (document, file) = (folder.path().join("api.yaml"), folder.path().join("api.dadl"));
    std::fs::write(
        &document,
        "openapi: 3.0.0\ninfo: {title: Tiny API, version: '1.0'}\nservers: [{url: 'https://t.example.com'}]\n\
        paths:\n  /a:\n    get: {operationId: getA, parameters: [{name: 'sid;', in: cookie, required: true}]}\n  /b:\n    get: {operationId: getB}\n",
    )?;
    let ran = connector(&["import", &document.display().to_string()]).await?;
    ensure!(ran.code == Some(0), "{ran:?}");
    ensure!(
        ran.stdout.contains("# GET /a has a cookie whose name cannot be sent")
            && ran.stdout.contains("name: tiny"),
        "{}",
        ran.stdout
    );
    std::fs::write(&file, &ran.stdout)?;
    let lint = connector(&["lint", &file.display().to_string()]).await?;
    ensure!(lint.code == Some(0) && lint.stdout.contains("1 tools"), "{lint:?}");
    let no_document = connector(&["import", &echo()]).await?;
    ensure!(no_document.code == Some(1) && no_document.stderr.contains("OpenAPI"), "{no_document:?}");
    Ok(())
}
