//! The same clients with a server behind the workspace's endpoint that has everything: lists, resources, prompts, completion, logging,
//! progress, and questions to the client in the middle of a call. Each request goes to another node than the one before.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use toolmesh_tests::child::{Kept, Start};
use toolmesh_tests::everything::{Eras, Sdk};
use toolmesh_tests::everywhere::Everywhere;
use toolmesh_tests::relay::Held;
use toolmesh_tests::{System, TestResult, paths};

/// All steps of a client.
const WALK: Duration = Duration::from_secs(90);

async fn everywhere() -> anyhow::Result<&'static Everywhere> {
    static SCENE: OnceCell<Everywhere> = OnceCell::const_new();
    let make = || async { Everywhere::new(System::shared().await?, Sdk::Rust, Eras::Both, &[]).await };
    SCENE.get_or_try_init(make).await
}

fn expect(found: &Value, key: &str, expected: &Value) -> TestResult {
    ensure!(found[key] == *expected, "{key} is {} and not {expected}", found[key]);
    Ok(())
}

fn check(found: &Value) -> TestResult {
    let has = |key: &str, name: &str| found[key].as_array().is_some_and(|all| all.contains(&json!(name)));
    ensure!(has("tools", "test_simple_text") && has("tools", "json_schema_2020_12_tool"), "{found}");
    ensure!(has("prompts", "test_prompt_with_arguments"), "{found}");
    ensure!(
        has("resources", "test://static-text") && has("templates", "test://template/{id}/data"),
        "{found}"
    );
    expect(found, "simple", &json!("This is a simple text response for testing."))?;
    expect(found, "prompt", &json!("Prompt with arguments: arg1='a', arg2='b'"))?;
    expect(found, "read", &json!("This is the content of the static text resource."))?;
    expect(found, "made", &json!("7"))?;
    expect(found, "completed", &json!(["paris", "park", "party"]))?;
    let progress: Vec<_> =
        found["progress"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    ensure!(progress == [0.0, 50.0, 100.0], "progress is {progress:?}");
    expect(
        found,
        "logged",
        &json!(["Tool execution started", "Tool processing data", "Tool execution completed"]),
    )?;
    expect(found, "sampled", &json!("LLM response: Paris"))?;
    expect(found, "several", &json!("Ada likes blue"))?;
    let (elicited, kinds) = (found["elicited"].to_string(), found["kinds"].to_string());
    ensure!(elicited.contains("ada@example.org"), "elicited: {elicited}");
    ensure!(kinds.contains("Paris Ada"), "kinds: {kinds}");
    Ok(())
}

async fn walks(program: &Path, script: &str, more: &[&str]) -> TestResult {
    let everywhere = everywhere().await?;
    let front = everywhere.front(usize::MAX, Held::Everything)?;
    let folder = paths::scratch("toolmesh-client-")?;
    let log = folder.path().join("client.log");
    let script = paths::client(script).display().to_string();
    let url = format!("{}/mcp", front.url);
    let resolve = paths::client("python/resolve_localhost").display().to_string();
    let home = folder.path().display().to_string();
    let envs = [
        ("HOME", home.as_str()),
        ("API_KEY", everywhere.workspace.key.as_str()),
        ("PYTHONPATH", resolve.as_str()),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ];
    let mut args = vec![script.as_str(), url.as_str()];
    args.extend_from_slice(more);
    let start = Start { name: "the client", program, log: &log, clean: None, save: None };
    let mut client = Kept::start(&start, &args, &envs)?;
    let walked = client
        .until_printed("it had walked", WALK, |text| {
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            whole.lines().find_map(|line| line.strip_prefix("WALKED ")).map(str::to_owned)
        })
        .await?;
    check(&serde_json::from_str(&walked).with_context(|| walked.clone())?)?;
    let status = client.end(WALK).await?;
    ensure!(status.success(), "the client ended with {status}:\n{}", client.printed());
    front.clean()
}

#[tokio::test]
async fn the_typescript_sdk_of_the_first_generation_walks_through_everything() -> TestResult {
    walks(Path::new("node"), "node/everything/client-v1.mjs", &[]).await
}

#[tokio::test]
async fn the_typescript_sdk_of_the_second_generation_walks_through_everything_in_both_eras() -> TestResult {
    for era in ["legacy", "modern"] {
        walks(Path::new("node"), "node/everything/client-v2.mjs", &[era]).await.context(era)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_python_sdk_walks_through_everything_in_both_eras() -> TestResult {
    for mode in ["legacy", "auto"] {
        walks(&paths::python()?, "python/everything.py", &[mode]).await.context(mode)?;
    }
    Ok(())
}
