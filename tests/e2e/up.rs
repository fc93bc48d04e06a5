//! `toolmesh up`: what it keeps, what it says when it cannot start, and what a stranger learns from it.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;
use tonic::Code;
use tonic::transport::Endpoint;
use toolmesh_proto::v1::config_client::ConfigClient;
use toolmesh_proto::v1::telemetry_client::TelemetryClient;
use toolmesh_proto::v1::{AuditBatch, Hello, NodeMessage, node_message};
use toolmesh_tests::admin::toolmesh;
use toolmesh_tests::child::{Kept, Start};
use toolmesh_tests::system::{Options, arguments};
use toolmesh_tests::wait::START;
use toolmesh_tests::{System, TestResult, Upstream, eventually, paths};

#[tokio::test]
async fn a_second_start_keeps_everything_and_stopping_leaves_nothing_behind() -> TestResult {
    let folder = paths::scratch("toolmesh-keep-")?;
    let data = folder.path().join("data");
    let port = toolmesh_tests::net::free_port()?;
    let options = Options { data: Some(data.clone()), port, nodes: 1, ..Options::default() };
    let system = System::start(options.clone()).await?;
    let workspace = system.workspace().await?;
    let upstream = Upstream::start().await?;
    let echo = paths::fixture("echo.dadl");
    system.enable_file(&workspace.slug, &echo, "echo", &upstream.url(), &[("token", "kept")]).await?;
    let pids: Vec<i32> = system
        .ready
        .nodes
        .iter()
        .map(|node| node.pid)
        .chain([system.ready.control_plane.pid, system.ready.pid])
        .collect();
    let postgres =
        std::fs::read_to_string(data.join("postgres/postmaster.pid")).context("no cluster of its own")?;
    let postgres: i32 = postgres.lines().next().unwrap_or_default().parse()?;
    system.stop()?;
    for pid in pids.into_iter().chain([postgres]) {
        eventually(&format!("process {pid} is gone"), Duration::from_secs(10), || async {
            Ok(kill(Pid::from_raw(pid), None).is_err().then_some(()))
        })
        .await?;
    }
    ensure!(!data.join("ready.json").exists(), "ready.json outlives the system");

    let system = System::start(options).await?;
    system.console(&workspace.owner).await.context("the account is kept")?;
    let mcp = system.mcp(&workspace, &workspace.key);
    mcp.call("echo_whoami", json!({})).await?.text()?;
    assert_eq!(upstream.only()?.header("authorization"), "Bearer kept");
    system.stop()
}

/// Starts `toolmesh up` where it must refuse, and returns what it says.
async fn refusal(options: &Options, data: &std::path::Path) -> anyhow::Result<String> {
    let folder = paths::scratch("toolmesh-refused-")?;
    let log = folder.path().join("up.log");
    let program = paths::binary("toolmesh")?;
    let start = Start { name: "toolmesh up", program: &program, log: &log, clean: None, save: None };
    let mut up = Kept::start(&start, &arguments(options, data), &[])?;
    let status = up.end(START).await?;
    ensure!(!status.success(), "it started");
    let said = up.printed();
    ensure!(!said.contains("panicked") && !said.contains("stack backtrace"), "{said}");
    Ok(said)
}

#[tokio::test]
async fn a_port_that_is_in_use_is_named_before_anything_is_made() -> TestResult {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let folder = paths::scratch("toolmesh-port-")?;
    let data = folder.path().join("data");
    let said = refusal(&Options { port, ..Options::default() }, &data).await?;
    assert!(said.contains(&port.to_string()) && said.to_lowercase().contains("in use"), "{said}");
    assert!(said.contains("--port"), "the way out is not named: {said}");
    assert!(!data.join("postgres").exists(), "it made a cluster first");
    Ok(())
}

#[tokio::test]
async fn data_of_a_newer_version_is_left_alone() -> TestResult {
    let folder = paths::scratch("toolmesh-newer-")?;
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data)?;
    std::fs::write(data.join("VERSION"), "999\n")?;
    let said = refusal(&Options::default(), &data).await?;
    assert!(said.to_lowercase().contains("newer") && said.contains("999"), "{said}");
    assert_eq!(std::fs::read_dir(&data)?.count(), 1, "it changed the folder");
    Ok(())
}

#[tokio::test]
async fn a_second_start_on_the_same_folder_says_that_one_is_running() -> TestResult {
    let system = System::shared().await?;
    let said = refusal(&Options::default(), &system.data).await?.to_lowercase();
    assert!(said.contains("running") || said.contains("in use"), "{said}");
    assert!(system.http.get(&system.ready.console_url).send().await?.status().is_success());
    Ok(())
}

#[tokio::test]
async fn wrong_options_are_explained() -> TestResult {
    for args in [
        &["up", "--port", "99999"][..],
        &["up", "--nodes", "0"],
        &["up", "--public-url", "nonsense"],
        &["down"],
    ] {
        let folder = paths::scratch("toolmesh-options-")?;
        let data = folder.path().join("data").display().to_string();
        let mut all = args.to_vec();
        if args[0] == "up" {
            all.extend(["--data", &data]);
        }
        let ran = toolmesh(&all, &[]).await?;
        ensure!(ran.code.is_some_and(|code| code != 0), "{args:?} was taken");
        ensure!(
            !ran.stderr.trim().is_empty() && !ran.stderr.contains("panicked"),
            "{args:?}: {}",
            ran.stderr
        );
    }
    Ok(())
}

#[tokio::test]
async fn secrets_are_readable_by_their_owner_only() -> TestResult {
    use std::os::unix::fs::PermissionsExt as _;
    let system = System::shared().await?;
    let mode = |path: &str| -> anyhow::Result<u32> {
        let path = system.data.join(path);
        Ok(std::fs::metadata(&path).with_context(|| path.display().to_string())?.permissions().mode() & 0o777)
    };
    assert_eq!(mode("secrets")?, 0o700);
    assert_eq!(mode("ready.json")?, 0o600);
    for entry in std::fs::read_dir(system.data.join("secrets"))?.flatten() {
        let mode = entry.metadata()?.permissions().mode() & 0o077;
        ensure!(mode == 0, "{} can be read by others", entry.path().display());
    }
    Ok(())
}

#[tokio::test]
async fn a_stranger_on_the_nodes_port_learns_nothing() -> TestResult {
    let system = System::shared().await?;
    system.workspace().await?;
    let url = format!("http://{}", system.ready.control_plane.grpc);
    for token in [None, Some(""), Some("Bearer "), Some("Bearer wrong"), Some("Basic eDp5"), Some("wrong")] {
        let channel = Endpoint::from_shared(url.clone())?.timeout(Duration::from_secs(10)).connect().await?;
        let hello = Hello { node: "stranger".into(), ..Hello::default() };
        let message = NodeMessage { message: Some(node_message::Message::Hello(hello)) };
        let mut sync = tonic::Request::new(tokio_stream::iter([message]));
        let mut record = tonic::Request::new(AuditBatch { node: "stranger".into(), ..AuditBatch::default() });
        if let Some(token) = token {
            sync.metadata_mut().insert("authorization", token.parse()?);
            record.metadata_mut().insert("authorization", token.parse()?);
        }
        let synced = match ConfigClient::new(channel.clone()).sync(sync).await {
            Err(status) => status,
            Ok(stream) => stream.into_inner().message().await.err().context("a stranger got a message")?,
        };
        let recorded = TelemetryClient::new(channel)
            .record(record)
            .await
            .err()
            .context("a stranger's batch was taken")?;
        for status in [synced, recorded] {
            ensure!(status.code() == Code::Unauthenticated, "{token:?}: {status}");
            ensure!(status.message().is_empty() && status.details().is_empty(), "{token:?} learns: {status}");
        }
    }
    let plain = system.http.get(format!("{url}/")).version(http::Version::HTTP_11).send().await;
    ensure!(plain.is_err() || !plain?.status().is_success(), "the port answers browsers");
    Ok(())
}

#[tokio::test]
async fn private_addresses_are_not_called_unless_the_operator_says_so() -> TestResult {
    let system = System::start(Options { nodes: 1, private_upstreams: false, ..Options::default() }).await?;
    let workspace = system.workspace().await?;
    let upstream = Upstream::start().await?;
    let echo = paths::fixture("echo.dadl");
    let port = upstream.address.port();
    for base in [
        format!("http://127.0.0.1:{port}"),
        format!("https://127.0.0.1:{port}"),
        "https://169.254.169.254".to_owned(),
        "https://[::1]".to_owned(),
        "https://[::ffff:10.0.0.1]".to_owned(),
        "https://0x7f000001".to_owned(),
        "https://2130706433".to_owned(),
        "https://10.0.0.1".to_owned(),
        "https://user:pw@example.org".to_owned(),
        "ftp://example.org".to_owned(),
    ] {
        let made = system.enable_file(&workspace.slug, &echo, "echo", &base, &[("token", "t")]).await;
        ensure!(made.is_err(), "{base} was taken");
    }
    // A name that leads to this machine can only be noticed when it is resolved.
    let named = system
        .enable_file(&workspace.slug, &echo, "named", "https://localhost:8443", &[("token", "t")])
        .await;
    if named.is_ok() {
        let mcp = system.mcp(&workspace, &workspace.key);
        let refusal = eventually("the call is refused", Duration::from_secs(30), || async {
            let answer = mcp.call("named_whoami", json!({})).await?;
            Ok(answer.json()?.get("result").is_some().then_some(answer))
        })
        .await?
        .refusal()?
        .context("it was called")?;
        ensure!(refusal.to_lowercase().contains("private") || refusal.contains("not call"), "{refusal}");
    }
    assert!(upstream.seen().is_empty());
    system.stop()
}
