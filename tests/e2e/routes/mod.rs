//! A walk over every route of the control plane: who may ask for it, and that whoever may not changes nothing. Held three times:
//! as the product is, with row-level security off, and with the queries' own filter off, since either must hold alone.

mod scene;
mod table;
mod walk;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use toolmesh_tests::pg_proxy::PgProxy;
use toolmesh_tests::system::Options;
use toolmesh_tests::{System, TestResult, paths};

use scene::Scene;
use table::TABLE;

/// What the control plane says that it serves.
async fn served() -> Result<BTreeSet<String>> {
    let program = paths::binary("toolmesh-control-plane")?;
    let output = tokio::process::Command::new(program).arg("routes").output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn every_route_that_is_served_has_its_line_in_the_table() -> TestResult {
    let served = served().await?;
    ensure!(served.len() > 40, "only {} routes: {served:?}", served.len());
    let mut listed = BTreeSet::new();
    for line in TABLE {
        ensure!(listed.insert(line.route.to_owned()), "{} has two lines", line.route);
    }
    let new: Vec<_> = served.difference(&listed).collect();
    ensure!(new.is_empty(), "say in e2e/routes/table.rs who may use these: {new:#?}");
    let gone: Vec<_> = listed.difference(&served).collect();
    ensure!(gone.is_empty(), "these lines of e2e/routes/table.rs are for no route: {gone:#?}");
    Ok(())
}

#[tokio::test]
async fn each_route_answers_whom_it_is_for_and_changes_nothing_for_others() -> TestResult {
    walk::all(System::shared().await?).await
}

#[tokio::test]
async fn a_form_without_its_token_or_from_another_site_changes_nothing() -> TestResult {
    walk::forged(System::shared().await?).await
}

#[tokio::test]
async fn the_queries_own_filter_holds_with_row_level_security_off() -> TestResult {
    let system = System::start(Options { nodes: 1, ..Options::default() }).await?;
    let count = "SET ROLE toolmesh_app; SELECT count(*) FROM connectors";
    let first = Scene::new(&system).await?;
    let mut connection = system.database().await?;
    // Without a tenant the policies do not answer at all.
    let shut = number(&mut connection, count).await;
    ensure!(shut.is_err(), "row-level security lets a query without a tenant see {shut:?} rows");
    system.sql("ALTER ROLE toolmesh_app BYPASSRLS").await?;
    let open =
        number(&mut connection, count).await.context("the role is bound by row-level security still")?;
    ensure!(open > 0, "the query that nothing holds back sees nothing");
    connection.close().await?;
    drop(first);
    walk::strangers(&system).await?;
    system.stop()
}

// The proxy works on while the system is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_level_security_holds_with_the_queries_own_filter_off() -> TestResult {
    // The first system lends its database server; the second reaches it through the proxy.
    let lender = System::start(Options { nodes: 1, ..Options::default() }).await?;
    lender.sql("CREATE DATABASE unfiltered").await?;
    let proxy = PgProxy::before(&lender.ready.database_url, "unfiltered").await?;
    let envs = vec![("DATABASE_URL".to_owned(), proxy.url.clone())];
    let system = System::start(Options { nodes: 1, envs, ..Options::default() }).await?;
    let (mut ours, theirs) = (Scene::new(&system).await?, Scene::new(&system).await?);

    // As the owner, whom no policy binds: a query for one workspace finds another's rows too.
    let mut connection = system.database().await?;
    let found: i64 =
        sqlx::query_scalar("SELECT count(DISTINCT tenant_id) FROM installations WHERE tenant_id = $1")
            .bind(uuid::Uuid::parse_str(&ours.workspace.tenant_id)?)
            .fetch_one(&mut connection)
            .await?;
    ensure!(found > 1, "the filter on the tenant is in force still");
    ensure!(proxy.unfiltered() > 40, "only {} statements lost their filter", proxy.unfiltered());
    connection.close().await?;
    walk::strangers(&system).await?;

    // With both off the walk must find what neither keeps back, or it proves nothing about either.
    system.sql("ALTER ROLE toolmesh_app BYPASSRLS").await?;
    let found = walk::foreign_ids(&system, &mut ours, &theirs).await?;
    ensure!(
        found.iter().any(|wrong| wrong.contains("changed something")),
        "without any lock only this went wrong: {found:#?}"
    );
    system.stop()?;
    lender.stop()
}

async fn number(connection: &mut PgConnection, sql: &str) -> Result<i64> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut *connection).await;
    // The next may be asked as anybody again.
    sqlx::raw_sql("RESET ROLE").execute(connection).await?;
    Ok(rows?.first().context("no row")?.try_get(0)?)
}
