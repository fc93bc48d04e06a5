//! Attacks on what stands behind the product: its backups, its nodes' secret, their records.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tonic::Code;
use tonic::transport::Endpoint;
use toolmesh_proto::seal;
use toolmesh_proto::v1::telemetry_client::TelemetryClient;
use toolmesh_proto::v1::{AuditBatch, AuditEvent, Outcome};
use toolmesh_tests::rows::Rows;
use toolmesh_tests::system::Options;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{System, TestResult, Workspace, eventually, net, paths};

use crate::Echo;

/// Copies a folder as it is, owners included.
async fn copy(from: &Path, to: &Path) -> TestResult {
    let status = tokio::process::Command::new("cp").arg("-a").arg(from).arg(to).status().await?;
    ensure!(status.success(), "cp -a {} {}: {status}", from.display(), to.display());
    Ok(())
}

async fn status(system: &System, workspace: &Workspace, token: &str) -> Result<StatusCode> {
    Ok(system.mcp(workspace, token).request("ping", json!({})).await?.status)
}

/// A backup was put back, and with it what had been revoked.
#[tokio::test]
async fn a_restored_backup_brings_back_nothing_that_was_taken_back() -> TestResult {
    let folder = paths::scratch("toolmesh-restore-")?;
    let data = folder.path().join("data");
    let (cluster, backup) = (data.join("postgres"), folder.path().join("backup"));
    let port = net::free_port()?;
    let options = Options { data: Some(data), port, nodes: 1, ..Options::default() };
    let system = System::start(options.clone()).await?;
    let workspace = system.workspace().await?;
    let tokens = system.tokens(&workspace, &workspace.owner).await?;
    let stolen = system.console(&workspace.owner).await?;
    system.stop()?;
    copy(&cluster, &backup).await?;

    // After the backup, all of it is taken back.
    let system = System::start(options.clone()).await?;
    let owner = system.console(&workspace.owner).await?;
    let page = format!("/w/{}/connected-apps/end", workspace.slug);
    let fields = [("confirm", workspace.slug.as_str()), ("api_keys", "true")];
    owner.submit(&page, &page, &fields).await?.ok()?;
    owner.submit("/account/sessions", "/account/sessions/end-others", &[]).await?.ok()?;
    let server = system.oauth(&workspace).await?;
    let answer = server.refresh(&tokens.client_id, &tokens.refresh).await?;
    ensure!(answer.status == StatusCode::BAD_REQUEST, "nothing was taken back: {}", answer.body);
    ensure!(stolen.get("/workspaces").await?.location().is_some(), "the session goes on");
    system.stop()?;
    std::fs::remove_dir_all(&cluster)?;
    copy(&backup, &cluster).await?;

    let system = System::start(options).await?;
    system.admin(&["after-restore"]).await?;
    let answer = server.refresh(&tokens.client_id, &tokens.refresh).await?;
    ensure!(answer.status == StatusCode::BAD_REQUEST, "the refresh token is back: {}", answer.body);
    let page = stolen.get("/workspaces").await?;
    ensure!(page.location().is_some_and(|to| to.path() == "/login"), "the session is back: {}", page.status);
    for (what, token) in [("access token", &tokens.access), ("API key", &workspace.key)] {
        eventually(&format!("the {what} is refused"), SOON, || async {
            Ok((status(&system, &workspace, token).await? == StatusCode::UNAUTHORIZED).then_some(()))
        })
        .await?;
    }
    // Whoever may comes in again, on nodes that knew later revisions than the backup holds.
    let fresh = system.tokens(&workspace, &workspace.owner).await?;
    let key = system.key(&workspace.slug, &workspace.owner.email).await?;
    for (what, token) in [("access token", &fresh.access), ("API key", &key)] {
        eventually(&format!("a new {what} works"), SOON, || async {
            Ok((status(&system, &workspace, token).await? == StatusCode::OK).then_some(()))
        })
        .await?;
    }
    system.stop()
}

/// Hands in a node's records with a join secret.
async fn record(system: &System, secret: &str, batch: AuditBatch) -> Result<Result<u64, Code>> {
    let token = seal::join_token(&SecretString::from(secret.trim().to_owned()))?;
    let url = format!("http://{}", system.ready.control_plane.grpc);
    let channel = Endpoint::from_shared(url)?.timeout(Duration::from_secs(10)).connect().await?;
    let mut request = tonic::Request::new(batch);
    request.metadata_mut().insert("authorization", format!("Bearer {}", token.expose_secret()).parse()?);
    let answer = TelemetryClient::new(channel).record(request).await;
    Ok(answer.map(|receipt| receipt.into_inner().stored_through).map_err(|status| status.code()))
}

/// What nodes join with got into wrong hands.
#[tokio::test]
async fn a_stolen_join_secret_opens_nothing_once_it_is_replaced() -> TestResult {
    let folder = paths::scratch("toolmesh-join-")?;
    let data = folder.path().join("data");
    let port = net::free_port()?;
    let options = Options { data: Some(data.clone()), port, nodes: 1, ..Options::default() };
    let system = System::start(options.clone()).await?;
    let workspace = system.workspace().await?;
    let place = data.join("secrets/join_secret");
    let stolen = std::fs::read_to_string(&place)?;
    let hello = AuditBatch { node: "thief".into(), boot_id: "thief".into(), ..AuditBatch::default() };
    ensure!(record(&system, &stolen, hello.clone()).await?.is_ok(), "this is not the secret of nodes");
    // Beside this thread, on which the thief's connection has to be closed meanwhile.
    tokio::task::spawn_blocking(|| system.stop()).await??;
    std::fs::write(&place, [unique(), unique(), unique(), unique(), unique(), unique()].concat())?;

    let system = System::start(options).await?;
    let refused = record(&system, &stolen, hello).await?;
    ensure!(refused == Err(Code::Unauthenticated), "{refused:?}");
    // The nodes have everything again, though what they kept was sealed under the old one.
    eventually("the node serves", SOON, || async {
        Ok((status(&system, &workspace, &workspace.key).await? == StatusCode::OK).then_some(()))
    })
    .await?;
    tokio::task::spawn_blocking(|| system.stop()).await?
}

/// Records of a node were sent again in another's name, to fill the log with what never happened twice.
#[tokio::test]
async fn a_record_that_is_sent_again_in_another_nodes_name_adds_nothing() -> TestResult {
    let echo = Echo::new().await?;
    echo.mcp.call("echo_whoami", json!({})).await?.text()?;
    let mut rows = Rows::of(echo.system, &echo.workspace.tenant_id).await?;
    let found = tokio::sync::Mutex::new(&mut rows);
    let known = "SELECT boot_id || ' ' || sequence || ' ' || request_id || ' ' || user_id FROM audit_events \
                 WHERE tenant_id = {tenant} AND tool = 'echo_whoami'";
    let known = eventually("the call is in the log", SOON, || async {
        Ok(found.lock().await.value(known).await.ok())
    })
    .await?;
    let before = rows.snapshot().await?;
    let [boot_id, sequence, request_id, user_id] = known.split(' ').collect::<Vec<_>>()[..] else {
        anyhow::bail!("{known}")
    };
    let event = AuditEvent {
        sequence: sequence.parse()?,
        tenant_id: echo.workspace.tenant_id.clone(),
        request_id: request_id.to_owned(),
        user_id: user_id.to_owned(),
        method: "tools/call".into(),
        tool: "echo_delete_item".into(),
        outcome: Outcome::Ok.into(),
        ..AuditEvent::default()
    };
    let secret = std::fs::read_to_string(echo.system.data.join("secrets/join_secret"))?;
    for node in ["node-1", "node-2", "another"] {
        let batch =
            AuditBatch { node: node.into(), boot_id: boot_id.to_owned(), events: vec![event.clone()] };
        let stored = record(echo.system, &secret, batch).await?;
        ensure!(stored.is_ok(), "{node}: {stored:?}");
    }
    let after = rows.snapshot().await?;
    let events = |rows: &toolmesh_tests::rows::Snapshot| rows.get("audit_events").cloned().context("no log");
    assert_eq!(events(&before)?, events(&after)?);
    Ok(())
}
