//! Real clusters: made, stopped, started again, killed. As root they show the change of user too.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use secrecy::ExposeSecret as _;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::process::{Stopped, is_alive};

async fn stop(cluster: Cluster) {
    assert_eq!(cluster.stop(&CancellationToken::new()).await, Stopped::InTime);
}

async fn count(cluster: &Cluster, sql: &'static str) -> i64 {
    let url = cluster.database_url("shop");
    let mut connection = PgConnection::connect(url.expose_secret()).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

async fn execute(cluster: &Cluster, sql: &'static str) {
    let url = cluster.database_url("shop");
    let mut connection = PgConnection::connect(url.expose_secret()).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
}

fn options(data: &std::path::Path) -> ClusterOptions {
    let place = Place::find(data).unwrap();
    ClusterOptions {
        binaries: Binaries::find(None, Some(&place.cluster())).unwrap(),
        place,
        data: data.to_owned(),
        password: "0123456789abcdef".to_owned().into(),
        log: data.join("postgres.log"),
        durable: false,
    }
}

fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

#[tokio::test]
async fn a_cluster_keeps_its_data_over_a_stop_and_over_a_crash() {
    let folder = open_folder();
    let data = folder.path().join("a folder, with \"quotes\" and spaces");
    std::fs::create_dir(&data).unwrap();
    let cluster = Cluster::start(&options(&data)).await.unwrap();
    cluster.ensure_database("shop").await.unwrap();
    cluster.ensure_database("shop").await.unwrap();
    execute(&cluster, "create table t as select generate_series(1, 3) as n").await;
    stop(cluster).await;

    let cluster = Cluster::start(&options(&data)).await.unwrap();
    assert_eq!(count(&cluster, "select count(*) from t").await, 3);
    kill(Pid::from_raw(i32::try_from(cluster.id()).unwrap()), Signal::SIGQUIT).unwrap();
    let words = cluster.failed().await.to_string();
    assert!(words.contains("PostgreSQL stopped"), "{words}");
    drop(cluster);

    let cluster = Cluster::start(&options(&data)).await.unwrap();
    assert_eq!(count(&cluster, "select count(*) from t").await, 3);
    stop(cluster).await;
}

#[tokio::test]
async fn a_server_that_an_earlier_start_left_behind_is_stopped_first() {
    let folder = open_folder();
    let mut left = options(folder.path());
    left.init().await.unwrap();
    let first = Cluster::start(&left).await.unwrap();
    let pid = i32::try_from(first.id()).unwrap();
    left.log = folder.path().join("second.log");
    let second = Cluster::start(&left).await.unwrap();
    assert!(!is_alive(pid) && is_alive(i32::try_from(second.id()).unwrap()));
    stop(second).await;
}

#[tokio::test]
async fn a_note_of_a_process_that_is_something_else_by_now_does_not_hinder() {
    let folder = open_folder();
    let options = options(folder.path());
    options.init().await.unwrap();
    let note = options.place.cluster().join("postmaster.pid");
    std::fs::write(&note, format!("{}\n/nowhere\n", std::process::id())).unwrap();
    stop(Cluster::start(&options).await.unwrap()).await;
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_makes_it_listen_on_a_port_of_this_machine() {
    let folder = open_folder();
    let data = folder.path().join("d".repeat(110));
    std::fs::create_dir(&data).unwrap();
    let cluster = Cluster::start(&options(&data)).await.unwrap();
    assert!(cluster.database_url("x").expose_secret().contains("@127.0.0.1:"));
    stop(cluster).await;
}

#[tokio::test]
async fn a_server_that_cannot_start_is_reported_with_its_log() {
    let folder = open_folder();
    let options = options(folder.path());
    options.init().await.unwrap();
    std::fs::write(options.place.cluster().join("postgresql.conf"), "no_such_setting = 1\n").unwrap();
    let error =
        tokio::time::timeout(Duration::from_secs(30), Cluster::start(&options)).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

/// Only root becomes another user; for everybody else there is nothing to see.
#[tokio::test]
async fn root_keeps_a_closed_folder_closed_and_puts_the_cluster_where_its_user_can_be() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let options = options(folder.path());
    assert!(options.place.elsewhere);
    let home = options.place.home.clone();
    let cluster = Cluster::start(&options).await.unwrap();
    assert_ne!(home.join("postgres/PG_VERSION").metadata().unwrap().uid(), 0);
    stop(cluster).await;
    assert_eq!(folder.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let again = Place::find(folder.path()).unwrap();
    assert_eq!(again.home, home, "the place is found again");
    std::fs::remove_dir_all(&home).unwrap();
    let error = Place::find(folder.path()).unwrap_err().to_string();
    assert!(error.contains("postgres.location"), "a lost cluster is not replaced by an empty one: {error}");
}
