//! A whole start and stop with the real PostgreSQL. In the planes' places stand scripts that note what they are told and die
//! when a test says so; the planes themselves are started this way by the end-to-end tests.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::cli::LogFormat;
use crate::process;
use crate::ready::Ready;

fn script(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

struct Scene {
    folder: tempfile::TempDir,
    env: Environment,
    args: UpArgs,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let programs = folder.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let note = r#"env > "$(basename "$0").env""#;
    script(
        &programs,
        "toolmesh-control-plane",
        &format!(r#"{note}; echo 'ready {{"http":"127.0.0.1:1","grpc":"127.0.0.1:2"}}'; exec sleep 600"#),
    );
    script(
        &programs,
        "toolmesh-data-plane",
        &format!(r#"{note}; echo 'ready {{"http":"127.0.0.1:3"}}'; exec sleep 600"#),
    );
    let args = UpArgs {
        port: 0,
        data: folder.path().join("data"),
        nodes: 2,
        public_url: None,
        allow_private_upstreams: false,
        log_format: LogFormat::Text,
    };
    let env = Environment { program_dir: Some(programs), ..Environment::default() };
    Scene { folder, env, args }
}

impl Scene {
    fn data(&self) -> PathBuf {
        self.folder.path().join("data").canonicalize().unwrap()
    }

    fn told(&self, file: &str) -> String {
        std::fs::read_to_string(self.data().join(file)).unwrap()
    }

    async fn start(&self, public: Option<Origins>) -> Result<(System, Vec<String>), UpError> {
        let mut system = System::open(&self.args.data).await?;
        let outcome = system.start(&self.args, &self.env, public, &Steps::silent()).await;
        match outcome {
            Ok(lines) => Ok((system, lines)),
            Err(error) => {
                system.stop(&CancellationToken::new(), &Steps::silent()).await;
                Err(error)
            }
        }
    }
}

async fn stop(system: System) {
    system.stop(&CancellationToken::new(), &Steps::silent()).await;
}

#[tokio::test]
async fn everything_starts_says_where_it_is_stops_without_remains_and_starts_again_on_the_same_data() {
    let scene = scene();
    let (system, lines) = scene.start(None).await.unwrap();
    let ready = Ready::read(&scene.data()).unwrap();
    assert!(lines[0].starts_with(&format!("ToolMesh is ready: {}  (mail: ", ready.console_url)), "{lines:?}");
    assert!(lines[1].starts_with("Next: ") && lines[1].contains("/_mailbox"), "{lines:?}");
    assert_eq!(ready.mailbox_url.as_deref(), Some(format!("{}/_mailbox", ready.console_url).as_str()));
    assert_eq!(ready.nodes.len(), 2);
    let control = scene.told("toolmesh-control-plane.env");
    assert!(control.contains(&format!("DATABASE_URL={}", ready.database_url)), "{control}");
    assert!(control.contains("SMTP_URL=smtp://127.0.0.1:"), "{control}");
    let node = scene.told("nodes/node-2/toolmesh-data-plane.env");
    assert!(node.contains("TOOLMESH_CONTROL_URL=http://127.0.0.1:2\n"), "{node}");
    assert!(!node.contains("DATABASE_URL") && !node.contains("SMTP_URL"), "{node}");

    let second = scene.start(None).await.err().unwrap().to_string();
    assert!(second.contains("already in use"), "{second}");
    assert!(Ready::read(&scene.data()).is_some(), "the second start leaves the first one's file alone");

    stop(system).await;
    assert!(Ready::read(&scene.data()).is_none());
    for node in &ready.nodes {
        assert!(!process::is_alive(i32::try_from(node.pid).unwrap()));
    }

    let (system, _) = scene.start(None).await.unwrap();
    assert_eq!(Ready::read(&scene.data()).unwrap().database_url, ready.database_url);
    stop(system).await;
}

#[tokio::test]
async fn a_part_that_ends_is_named_with_its_last_words() {
    let scene = scene();
    let programs = scene.env.program_dir.clone().unwrap();
    script(
        &programs,
        "toolmesh-data-plane",
        r#"echo 'ready {"http":"127.0.0.1:3"}'; read -r _ < pipe; echo 'ledger is full' >&2; exit 3"#,
    );
    let nodes = scene.folder.path().join("data/nodes");
    std::fs::create_dir_all(&nodes).unwrap();
    for name in ["node-1", "node-2"] {
        std::fs::create_dir(nodes.join(name)).unwrap();
        nix::unistd::mkfifo(&nodes.join(name).join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let (system, _) = scene.start(None).await.unwrap();
    std::fs::write(nodes.join("node-2/pipe"), "end\n").unwrap();
    let error = system.failed().await.to_string();
    assert!(error.contains("node-2 stopped") && error.contains("ledger is full"), "{error}");
    stop(system).await;
}

#[tokio::test]
async fn with_a_public_url_the_mailbox_is_on_a_port_that_the_tunnel_does_not_lead_to() {
    let scene = scene();
    let origins = Origins::public("https://tools.example.com").unwrap();
    let (system, lines) = scene.start(Some(origins)).await.unwrap();
    let ready = Ready::read(&scene.data()).unwrap();
    assert_eq!(ready.tenant_url, "https://{slug}.tools.example.com");
    assert!(ready.mailbox_url.unwrap().starts_with("http://localhost:"));
    assert!(lines[2].contains("*.tools.example.com"), "{lines:?}");
    assert!(scene.told("toolmesh-control-plane.env").contains("no-reply@tools.example.com"));
    stop(system).await;
}

#[tokio::test]
async fn a_mail_server_of_ones_own_leaves_no_mailbox() {
    let mut scene = scene();
    scene.env.smtp_url = Some("smtps://user:secret@mail.example.com".into());
    let (system, lines) = scene.start(None).await.unwrap();
    assert!(Ready::read(&scene.data()).unwrap().mailbox_url.is_none());
    assert!(!lines[0].contains("mail:"), "{lines:?}");
    assert!(
        scene.told("toolmesh-control-plane.env").contains("SMTP_URL=smtps://user:secret@mail.example.com")
    );
    stop(system).await;
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_reported_without_its_password() {
    let mut scene = scene();
    scene.env.database_url = Some("postgres://me:hunter2@127.0.0.1:1/x".into());
    let error = scene.start(None).await.err().unwrap().to_string();
    assert!(error.contains("DATABASE_URL") && !error.contains("hunter2"), "{error}");
}
