//! The same clients with a server behind the workspace's endpoint that has everything: lists, resources, prompts, completion, logging,
//! progress, and questions to the client in the middle of a call. Each request goes to another node than the one before. The
//! server speaks both eras of the protocol, or the one that the client does not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use toolmesh_tests::child::{Kept, Start};
use toolmesh_tests::everything::{Eras, Sdk};
use toolmesh_tests::everywhere::Everywhere;
use toolmesh_tests::relay::Held;
use toolmesh_tests::{TestResult, paths};

use crate::system;

/// All steps of a client.
const WALK: Duration = Duration::from_secs(90);

/// A client at work: what runs, the script, and how it is to speak.
pub struct Walker(PathBuf, &'static str, &'static [&'static str]);

impl Walker {
    pub fn typescript_first() -> Self {
        Self("node".into(), "node/everything/client-v1.mjs", &[])
    }

    fn typescript_in(era: &'static [&'static str]) -> Self {
        Self("node".into(), "node/everything/client-v2.mjs", era)
    }

    pub fn typescript_modern() -> Self {
        Self::typescript_in(&["modern"])
    }

    fn typescript_legacy() -> Self {
        Self::typescript_in(&["legacy"])
    }

    fn python(mode: &'static [&'static str]) -> Result<Self> {
        Ok(Self(paths::python()?, "python/everything.py", mode))
    }
}

async fn everywhere() -> Result<&'static Everywhere> {
    static SCENE: OnceCell<Everywhere> = OnceCell::const_new();
    let make = || async { Everywhere::new(system().await?, Sdk::Rust, Eras::Both, &[]).await };
    SCENE.get_or_try_init(make).await
}

fn expect(found: &Value, key: &str, expected: &Value) -> TestResult {
    ensure!(found[key] == *expected, "{key} is {} and not {expected}", found[key]);
    Ok(())
}

/// What is there without a word on the way to an answer.
pub fn check_plain(found: &Value) -> TestResult {
    let has = |key: &str, name: &str| found[key].as_array().is_some_and(|all| all.contains(&json!(name)));
    ensure!(has("tools", "test_simple_text"), "{found}");
    ensure!(has("prompts", "test_prompt_with_arguments"), "{found}");
    ensure!(
        has("resources", "test://static-text") && has("templates", "test://template/{id}/data"),
        "{found}"
    );
    expect(found, "simple", &json!("This is a simple text response for testing."))?;
    expect(found, "prompt", &json!("Prompt with arguments: arg1='a', arg2='b'"))?;
    expect(found, "read", &json!("This is the content of the static text resource."))?;
    expect(found, "made", &json!("7"))?;
    expect(found, "completed", &json!(["paris", "park", "party"]))
}

/// What is said on the way.
pub fn check_told(found: &Value) -> TestResult {
    let progress: Vec<_> =
        found["progress"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    ensure!(progress == [0.0, 50.0, 100.0], "progress is {progress:?}");
    expect(
        found,
        "logged",
        &json!(["Tool execution started", "Tool processing data", "Tool execution completed"]),
    )
}

/// What the client is asked.
pub fn check_asked(found: &Value) -> TestResult {
    expect(found, "sampled", &json!("LLM response: Paris"))?;
    let elicited = found["elicited"].to_string();
    ensure!(elicited.contains("ada@example.org"), "elicited: {elicited}");
    Ok(())
}

fn check(found: &Value) -> TestResult {
    check_plain(found)?;
    check_told(found)?;
    check_asked(found)?;
    expect(found, "several", &json!("Ada likes blue"))?;
    let kinds = found["kinds"].to_string();
    ensure!(kinds.contains("Paris Ada"), "kinds: {kinds}");
    Ok(())
}

/// Has a client go all its steps. Answers what came of each.
pub async fn walked(everywhere: &Everywhere, walker: &Walker) -> Result<Value> {
    let Walker(program, script, more) = walker;
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
    let start = Start { name: "the client", program: Path::new(program), log: &log, clean: None, save: None };
    let mut client = Kept::start(&start, &args, &envs)?;
    let walked = client
        .until_printed("it had walked", WALK, |text| {
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            whole.lines().find_map(|line| line.strip_prefix("WALKED ")).map(str::to_owned)
        })
        .await?;
    let status = client.end(WALK).await?;
    ensure!(status.success(), "the client ended with {status}:\n{}", client.printed());
    front.clean()?;
    serde_json::from_str(&walked).with_context(|| walked.clone())
}

async fn walks(walker: Walker) -> TestResult {
    check(&walked(everywhere().await?, &walker).await?)
}

#[tokio::test]
async fn the_typescript_sdk_of_the_first_generation_walks_through_everything() -> TestResult {
    walks(Walker::typescript_first()).await
}

#[tokio::test]
async fn the_typescript_sdk_of_the_second_generation_walks_through_everything_in_both_eras() -> TestResult {
    walks(Walker::typescript_legacy()).await.context("legacy")?;
    walks(Walker::typescript_modern()).await.context("modern")
}

#[tokio::test]
async fn the_python_sdk_walks_through_everything_in_both_eras() -> TestResult {
    walks(Walker::python(&["legacy"])?).await.context("legacy")?;
    walks(Walker::python(&["auto"])?).await.context("auto")
}

/// Clients through a server that speaks one era only, and how many calls reach it for the seven that each of them makes.
async fn through(sdk: Sdk, eras: Eras, calls: usize, walkers: &[Walker]) -> TestResult {
    let everywhere = Everywhere::new(system().await?, sdk, eras, &[]).await?;
    for walker in walkers {
        let before = everywhere.upstream.asked("tools/call");
        let said = || format!("{} {:?}", walker.1, walker.2);
        check(&walked(&everywhere, walker).await.with_context(said)?).with_context(said)?;
        let asked = everywhere.upstream.asked("tools/call") - before;
        ensure!(asked == calls, "{}: {asked} calls reached the server, not {calls}", said());
    }
    everywhere.upstream.clean()
}

/// A call stays open while its client is asked, over whichever node the answers come.
#[tokio::test]
async fn a_server_of_the_older_era_alone_has_clients_of_both() -> TestResult {
    let walkers = [Walker::typescript_modern(), Walker::python(&["auto"])?, Walker::typescript_first()];
    through(Sdk::TypeScript, Eras::Legacy, 7, &walkers).await
}

/// Each round is a call: three that ask nothing, two rounds each of three that ask once, three of the one that asks twice.
#[tokio::test]
async fn a_server_of_the_newer_era_alone_has_clients_of_both() -> TestResult {
    let walkers = [
        Walker::typescript_first(),
        Walker::typescript_legacy(),
        Walker::python(&["legacy"])?,
        Walker::typescript_modern(),
    ];
    through(Sdk::Rust, Eras::Modern, 12, &walkers).await
}
