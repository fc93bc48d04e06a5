//! All parts of a running installation: started in the order in which they need each other, stopped in the reverse.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use super::UpError;
use crate::cli::UpArgs;
use crate::config::Environment;
use crate::data_dir::DataDir;
use crate::edge::{self, Loopback, Routes, Server};
use crate::mailbox::{self, Mailbox, SmtpServer};
use crate::origins::Origins;
use crate::plane::{ControlPlaneReady, NodeReady, Plane, PlaneCommand, Programs};
use crate::postgres::{self, Binaries, Cluster, ClusterOptions, Place};
use crate::process::Stopped;
use crate::ready::{self, Ready, RunningControlPlane, RunningNode};
use crate::secrets::Secrets;
use crate::steps::Steps;

/// A first start migrates an empty database; an update may have much to migrate.
const CONTROL_PLANE_DEADLINE: Duration = Duration::from_secs(300);
const NODE_DEADLINE: Duration = Duration::from_secs(60);
/// What is left of requests when the planes are gone cannot be answered any more.
const EDGE_PATIENCE: Duration = Duration::from_secs(1);
/// Settings of the control plane that a node has no business with.
const NOT_FOR_NODES: &[&str] =
    &["DATABASE_URL", "SMTP_URL", "TOOLMESH_KEK_FILE", "TOOLMESH_MAIL_FROM", "TOOLMESH_MAILBOX_URL"];

/// The data folder, and what has been started on it so far.
pub(super) struct System {
    data: DataDir,
    secrets: Secrets,
    postgres: Option<Cluster>,
    smtp: Option<SmtpServer>,
    mailbox_site: Option<Server>,
    control_plane: Option<Plane>,
    nodes: Vec<Plane>,
    edge: Option<Server>,
}

/// Where mail goes.
struct Mail {
    smtp_url: SecretString,
    mailbox: Option<Arc<Mailbox>>,
    /// Where a person reads it.
    page: Option<String>,
}

impl System {
    /// Takes the data folder for this process and stops what an earlier one left on it.
    pub(super) async fn open(path: &Path) -> Result<Self, UpError> {
        let mut data = DataDir::open(path)?;
        let stopped = ready::stop_leftovers(data.root()).await.map_err(UpError::Ready)?;
        if !stopped.is_empty() {
            tracing::warn!(pids = ?stopped, "stopped processes that an earlier start left behind");
        }
        let secrets = Secrets::open(data.secrets(), data.in_use())?;
        data.mark_in_use()?;
        Ok(Self {
            data,
            secrets,
            postgres: None,
            smtp: None,
            mailbox_site: None,
            control_plane: None,
            nodes: Vec::new(),
            edge: None,
        })
    }

    /// Starts everything; gives the lines that say where it is.
    pub(super) async fn start(
        &mut self,
        args: &UpArgs,
        env: &Environment,
        public: Option<Origins>,
        steps: &Steps,
    ) -> Result<Vec<String>, UpError> {
        let programs = Programs::beside(env.program_dir.as_deref().ok_or(UpError::NoProgramDir)?)?;
        let port = Loopback::bind(args.port).await?;
        let number = port.port();
        let origins = public.unwrap_or_else(|| Origins::local(number));
        let mail = self.set_up_mail(env, &origins).await?;
        let database_url = self.start_database(env, steps).await?;

        let command = self.control_plane_command(&programs, args, env, &origins, &database_url, &mail);
        let control_plane = self.start_control_plane(command, steps).await?;
        let mut nodes = Vec::new();
        for n in 1..=args.nodes {
            let name = format!("node-{n}");
            let command = self.node_command(&name, &programs, args, control_plane.grpc)?;
            nodes.push(self.start_node(name, command, steps).await?);
        }

        let routes = Routes {
            origins: origins.clone(),
            control_plane: control_plane.http,
            nodes: nodes.iter().map(|node| node.http).collect(),
            mailbox: mail.mailbox.filter(|_| !origins.public),
        };
        self.edge = Some(edge::start(port, routes));
        let ready = Ready {
            console_url: origins.console.clone(),
            tenant_url: origins.tenant.clone(),
            mailbox_url: mail.page,
            nodes,
            control_plane,
            pid: std::process::id(),
            database_url: database_url.expose_secret().to_owned(),
            allow_private_upstreams: args.allow_private_upstreams,
            smtp_url: mail.smtp_url.expose_secret().to_owned(),
            mail_from: sender(env, &origins),
        };
        ready.write(self.data.root()).map_err(UpError::Ready)?;
        Ok(summary(&ready, &origins, number))
    }

    async fn set_up_mail(&mut self, env: &Environment, origins: &Origins) -> Result<Mail, UpError> {
        if let Some(url) = &env.smtp_url {
            return Ok(Mail { smtp_url: url.clone(), mailbox: None, page: None });
        }
        let mailbox = Arc::new(Mailbox::open(self.data.mail()).map_err(UpError::Mailbox)?);
        let (smtp, address) = mailbox::listen(Arc::clone(&mailbox)).await.map_err(UpError::Mailbox)?;
        self.smtp = Some(smtp);
        let page = if origins.public {
            // The mailbox holds links that log people in: it must not be where the tunnel leads.
            let port = Loopback::bind(0).await?;
            let page = format!("http://localhost:{}{}", port.port(), mailbox::PATH);
            self.mailbox_site = Some(mailbox::serve(port, Arc::clone(&mailbox)));
            page
        } else {
            format!("{}{}", origins.console, mailbox::PATH)
        };
        let smtp_url = SecretString::from(format!("smtp://{address}"));
        Ok(Mail { smtp_url, mailbox: Some(mailbox), page: Some(page) })
    }

    async fn start_database(&mut self, env: &Environment, steps: &Steps) -> Result<SecretString, UpError> {
        if let Some(url) = &env.database_url {
            steps.run("Connecting to the database of DATABASE_URL", postgres::check_external(url)).await?;
            return Ok(url.clone());
        }
        let data = &self.data;
        let place = Place::find(data.root())?;
        let options = ClusterOptions {
            binaries: Binaries::find(env.pg_bin.as_deref(), Some(&place.cluster()))?,
            place,
            data: data.root().to_owned(),
            password: self.secrets.pg_password()?,
            log: data.log("postgres"),
            durable: true,
        };
        let version = options.binaries.version.clone();
        if options.is_new() {
            let place = options.place.cluster();
            let label = format!("Making a database cluster of PostgreSQL {version} in {}", place.display());
            steps.run(&label, options.init()).await?;
        }
        steps.run(&format!("Starting PostgreSQL {version}"), self.start_cluster(&options)).await
    }

    async fn start_cluster(&mut self, options: &ClusterOptions) -> Result<SecretString, UpError> {
        options.init().await?;
        let cluster = self.postgres.insert(Cluster::spawn(options).await?);
        cluster.wait_ready().await?;
        cluster.ensure_database(postgres::DATABASE).await?;
        Ok(cluster.database_url(postgres::DATABASE))
    }

    fn control_plane_command(
        &self,
        programs: &Programs,
        args: &UpArgs,
        env: &Environment,
        origins: &Origins,
        database_url: &SecretString,
        mail: &Mail,
    ) -> PlaneCommand {
        let mut set = common_environment(args);
        set.extend([
            ("DATABASE_URL", database_url.expose_secret().into()),
            ("SMTP_URL", mail.smtp_url.expose_secret().into()),
            ("TOOLMESH_CONSOLE_URL", origins.console.as_str().into()),
            ("TOOLMESH_TENANT_URL", origins.tenant.as_str().into()),
            ("TOOLMESH_GRPC_LISTEN", "127.0.0.1:0".into()),
            ("TOOLMESH_KEK_FILE", self.secrets.kek_file().into()),
            ("TOOLMESH_JOIN_SECRET_FILE", self.secrets.join_secret_file().into()),
            ("TOOLMESH_MAIL_FROM", sender(env, origins).into()),
            // Shown after sign-up; with an outside mail server there is none.
            ("TOOLMESH_MAILBOX_URL", mail.page.clone().unwrap_or_default().into()),
        ]);
        PlaneCommand {
            name: "control plane".to_owned(),
            program: programs.control_plane.clone(),
            directory: self.data.root().to_owned(),
            log: self.data.log("control-plane"),
            set,
            unset: &[],
        }
    }

    fn node_command(
        &self,
        name: &str,
        programs: &Programs,
        args: &UpArgs,
        grpc: SocketAddr,
    ) -> Result<PlaneCommand, UpError> {
        let state = self.data.node(name)?;
        let mut set = common_environment(args);
        set.extend([
            ("TOOLMESH_CONTROL_URL", format!("http://{grpc}").into()),
            ("TOOLMESH_JOIN_SECRET_FILE", self.secrets.join_secret_file().into()),
            ("TOOLMESH_STATE_DIR", state.clone().into()),
            ("TOOLMESH_NODE_NAME", name.into()),
            ("TOOLMESH_PEER_LISTEN", "127.0.0.1:0".into()),
        ]);
        Ok(PlaneCommand {
            name: name.to_owned(),
            program: programs.data_plane.clone(),
            directory: state,
            log: self.data.log(name),
            set,
            unset: NOT_FOR_NODES,
        })
    }

    async fn start_control_plane(
        &mut self,
        command: PlaneCommand,
        steps: &Steps,
    ) -> Result<RunningControlPlane, UpError> {
        let plane = self.control_plane.insert(Plane::spawn(command)?);
        let ready = plane.wait_ready::<ControlPlaneReady>(CONTROL_PLANE_DEADLINE);
        let ready = steps.run("Migrating the database and starting the control plane", ready).await?;
        Ok(RunningControlPlane { http: ready.http, grpc: ready.grpc, pid: plane.id() })
    }

    async fn start_node(
        &mut self,
        name: String,
        command: PlaneCommand,
        steps: &Steps,
    ) -> Result<RunningNode, UpError> {
        let plane = self.nodes.push_mut(Plane::spawn(command)?);
        let ready =
            steps.run(&format!("Starting {name}"), plane.wait_ready::<NodeReady>(NODE_DEADLINE)).await?;
        Ok(RunningNode { name, http: ready.http, pid: plane.id() })
    }

    /// Waits until a part ends by itself.
    pub(super) async fn failed(&self) -> UpError {
        let mut parts: Vec<Pin<Box<dyn Future<Output = UpError> + '_>>> = Vec::new();
        if let Some(cluster) = &self.postgres {
            parts.push(Box::pin(async { cluster.failed().await.into() }));
        }
        for plane in self.control_plane.iter().chain(&self.nodes) {
            parts.push(Box::pin(async { plane.failed().await.into() }));
        }
        select_all(parts).await.0
    }

    /// Stops what was started, the last first; `now` stops the waiting.
    pub(super) async fn stop(mut self, now: &CancellationToken, steps: &Steps) {
        if let Err(error) = Ready::remove(self.data.root()) {
            tracing::warn!(%error, "cannot remove ready.json");
        }
        if let Some(edge) = &self.edge {
            edge.close();
        }
        let nodes = std::mem::take(&mut self.nodes);
        if !nodes.is_empty() {
            let stopping = async { join_all(nodes.iter().map(|node| node.stop(now))).await };
            let stopped = shown(steps, "Stopping the nodes", stopping).await;
            mention_killed(steps, "A node", stopped.contains(&Stopped::Killed));
        }
        if let Some(plane) = self.control_plane.take() {
            let stopped = shown(steps, "Stopping the control plane", plane.stop(now)).await;
            mention_killed(steps, "The control plane", stopped == Stopped::Killed);
        }
        for server in [self.edge.take(), self.mailbox_site.take()].into_iter().flatten() {
            server.stop(EDGE_PATIENCE).await;
        }
        if let Some(smtp) = self.smtp.take() {
            smtp.stop().await;
        }
        if let Some(cluster) = self.postgres.take() {
            let stopped = shown(steps, "Stopping PostgreSQL", cluster.stop(now)).await;
            mention_killed(steps, "PostgreSQL", stopped == Stopped::Killed);
        }
    }
}

/// Whom mail is from.
fn sender(env: &Environment, origins: &Origins) -> String {
    env.mail_from.clone().unwrap_or_else(|| format!("ToolMesh <no-reply@{}>", origins.console_host))
}

/// What both planes are told alike.
fn common_environment(args: &UpArgs) -> Vec<(&'static str, std::ffi::OsString)> {
    vec![
        ("TOOLMESH_HTTP_LISTEN", "127.0.0.1:0".into()),
        ("TOOLMESH_TRUSTED_PROXIES", "127.0.0.1/32".into()),
        ("TOOLMESH_ALLOW_PRIVATE_UPSTREAMS", args.allow_private_upstreams.to_string().into()),
        ("TOOLMESH_LOG_FORMAT", args.log_format.as_str().into()),
    ]
}

async fn shown<T>(steps: &Steps, label: &str, work: impl Future<Output = T>) -> T {
    let work = async { Ok::<T, Infallible>(work.await) };
    match steps.run(label, work).await {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

fn mention_killed(steps: &Steps, what: &str, killed: bool) {
    if killed {
        steps.line(&format!("{what} did not stop when asked and was killed."));
    }
}

fn summary(ready: &Ready, origins: &Origins, port: u16) -> Vec<String> {
    let mail = ready.mailbox_url.as_ref().map(|url| format!("mail: {url}, ")).unwrap_or_default();
    let mut lines = vec![format!("ToolMesh is ready: {}  ({mail}stop with Ctrl-C)", ready.console_url)];
    lines.push(match &ready.mailbox_url {
        Some(url) => format!(
            "Next: open it in a browser, and sign up or log in. The mail that confirms your address lands in {url}."
        ),
        None => "Next: open it in a browser, and sign up or log in.".to_owned(),
    });
    if origins.public {
        let host = &origins.console_host;
        lines.push(format!(
            "Let your TLS proxy or tunnel pass {host} and *.{host} on to http://localhost:{port}, with the Host header as it came."
        ));
    } else {
        lines.push(format!(
            "Workspaces are at {}. Browsers and curl find them; for a tool that does not, add a line like \
             \"127.0.0.1 SLUG.localhost\" to /etc/hosts.",
            ready.tenant_url.replace("{slug}", "SLUG")
        ));
        lines.push(
            "ChatGPT and Claude on the web cannot reach this machine. For them put a TLS proxy or tunnel in front, and start \
             with --public-url."
                .to_owned(),
        );
    }
    lines
}
