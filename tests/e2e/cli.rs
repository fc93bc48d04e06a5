//! The operator's command line: what it answers, and what it says when it does not.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{System, TestResult, paths};

fn fields(value: &Value) -> Vec<String> {
    let mut names: Vec<_> = value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
    names.sort();
    names
}

#[tokio::test]
async fn each_command_answers_with_the_promised_fields() -> TestResult {
    let system = System::shared().await?;
    let (email, slug) = (format!("{}@example.org", unique()), format!("w{}", unique()));
    let user = system
        .admin(&[
            "create-user",
            "--email",
            &email,
            "--password",
            "a phrase with seven odd words 4Q",
            "--verified",
        ])
        .await?;
    assert_eq!(fields(&user), ["email", "user_id"]);

    let args = ["create-workspace", "--slug", &slug, "--name", "Acme", "--owner", &email];
    let workspace = system.admin(&args).await?;
    assert_eq!(fields(&workspace), ["mcp_url", "origin", "slug", "tenant_id"]);
    assert_eq!(workspace["mcp_url"], format!("{}/mcp", system.tenant(&slug)));

    let dadl = paths::fixture("echo.dadl").display().to_string();
    let args = [
        "enable-connector",
        "--workspace",
        &slug,
        "--dadl",
        &dadl,
        "--as",
        "echo2",
        "--credential",
        "token=abcd1234",
    ];
    let installation = system.admin(&args).await?;
    assert_eq!(fields(&installation), ["disabled", "installation_id", "name", "tools"]);
    assert_eq!((&installation["name"], &installation["tools"]), (&Value::from("echo2"), &Value::from(15)));

    let key =
        system.admin(&["create-api-key", "--workspace", &slug, "--user", &email, "--name", "ci"]).await?;
    assert_eq!(fields(&key), ["api_key_id", "key"]);

    let tools = system.admin(&["list-tools", "--workspace", &slug, "--user", &email]).await?;
    let tools = tools.as_array().context("list-tools gives no array")?;
    assert_eq!(tools.len(), 15);
    assert_eq!(fields(&tools[0]), ["access", "description", "enabled", "installation", "name", "title"]);
    let delete =
        tools.iter().find(|tool| tool["name"] == "echo2_delete_item").context("no echo2_delete_item")?;
    assert_eq!(
        (&delete["access"], &delete["installation"]),
        (&Value::from("dangerous"), &Value::from("echo2"))
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_done_is_one_sentence_and_exit_code_1() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let (slug, owner) = (workspace.slug.as_str(), workspace.owner.email.as_str());
    let bad = paths::scratch("toolmesh-cli-")?;
    let bad_file = bad.path().join("bad.dadl");
    std::fs::write(&bad_file, "spec: nonsense\nbackend:\n  name: [")?;
    let bad_file = bad_file.display().to_string();
    let phrase = "a phrase with seven odd words 4Q";
    let cases: [&[&str]; 9] = [
        &["create-user", "--email", owner, "--password", phrase, "--verified"],
        &["create-user", "--email", "not an address", "--password", phrase, "--verified"],
        &["create-user", "--email", "new@example.org", "--password", "password", "--verified"],
        &["create-workspace", "--slug", "admin", "--name", "x", "--owner", owner],
        &["create-workspace", "--slug", "fine-slug", "--name", "x", "--owner", "nobody@example.org"],
        &["enable-connector", "--workspace", "no-such-one", "--connector", "github"],
        &["enable-connector", "--workspace", slug, "--connector", "no-such-connector"],
        &["enable-connector", "--workspace", slug, "--dadl", &bad_file],
        &["create-api-key", "--workspace", slug, "--user", "nobody@example.org"],
    ];
    for args in cases {
        let ran = system.run_admin(args).await?;
        ensure!(ran.code == Some(1), "{args:?}: exit {:?}, {} {}", ran.code, ran.stdout, ran.stderr);
        ensure!(ran.stdout.is_empty(), "{args:?} printed {}", ran.stdout);
        let said = ran.stderr.trim();
        ensure!(!said.is_empty() && said.lines().count() <= 3, "{args:?}: {said}");
        ensure!(!said.contains("panicked") && !said.contains("Error {"), "{args:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn the_line_and_column_of_a_mistake_in_a_connector_are_named() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let folder = paths::scratch("toolmesh-cli-")?;
    let file = folder.path().join("bad.dadl");
    let text = std::fs::read_to_string(paths::fixture("echo.dadl"))?;
    let broken = text.replace("method: DELETE", "method: REMOVE");
    let line = broken.lines().position(|line| line.contains("REMOVE")).context("no such line")? + 1;
    std::fs::write(&file, broken)?;
    let ran = system
        .run_admin(&[
            "enable-connector",
            "--workspace",
            &workspace.slug,
            "--dadl",
            &file.display().to_string(),
        ])
        .await?;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains(&line.to_string()) && ran.stderr.contains("REMOVE"), "{}", ran.stderr);
    assert!(
        system
            .admin(&["list-tools", "--workspace", &workspace.slug])
            .await?
            .as_array()
            .is_some_and(Vec::is_empty)
    );
    Ok(())
}
