//! One running product: `toolmesh up` in a folder of its own, on a port of its own.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::child::{Kept, Start, tail};
use crate::tls::Authority;
use crate::wait::START;
use crate::{net, paths};

/// What `toolmesh up` says about itself when it is ready (`DATA/ready.json`).
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    pub console_url: String,
    /// With `{slug}` in it.
    pub tenant_url: String,
    pub mailbox_url: String,
    pub nodes: Vec<ReadyNode>,
    pub control_plane: ReadyControlPlane,
    pub pid: i32,
    pub database_url: String,
}

/// One data-plane process.
#[derive(Debug, Clone, Deserialize)]
pub struct ReadyNode {
    pub name: String,
    /// `127.0.0.1:PORT`.
    pub http: String,
    pub pid: i32,
}

/// The control-plane process.
#[derive(Debug, Clone, Deserialize)]
pub struct ReadyControlPlane {
    pub http: String,
    pub grpc: String,
    pub pid: i32,
}

/// A running product.
#[derive(Debug)]
pub struct System {
    pub ready: Ready,
    pub data: PathBuf,
    pub http: reqwest::Client,
    up: Mutex<Kept>,
}

/// How to start one. The default: a fresh folder, any port, two nodes, private upstreams allowed.
#[derive(Debug, Clone)]
pub struct Options {
    /// A folder that outlives the system; a fresh one that is removed without.
    pub data: Option<PathBuf>,
    pub port: u16,
    pub nodes: u32,
    pub private_upstreams: bool,
    /// The address under which a proxy in front would serve it.
    pub public_url: Option<String>,
    pub envs: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { data: None, port: 0, nodes: 2, private_upstreams: true, public_url: None, envs: Vec::new() }
    }
}

static SHARED: tokio::sync::OnceCell<System> = tokio::sync::OnceCell::const_new();

impl System {
    /// The system that all tests of this binary share; started by the first that asks, stopped by its keeper when the test
    /// process ends.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn shared() -> Result<&'static Self> {
        let trusting = || async {
            // Tests that need https sites start them with certificates of this authority.
            let envs = vec![Authority::shared()?.env()];
            Self::start(Options { envs, ..Options::default() }).await
        };
        SHARED.get_or_try_init(trusting).await
    }

    /// Starts a system of its own.
    ///
    /// # Errors
    /// When it does not get ready in time; with the end of what it printed.
    pub async fn start(options: Options) -> Result<Self> {
        let (data, clean) = match &options.data {
            Some(data) => (data.clone(), None),
            None => {
                // Kept past this function: its keeper removes it, when the last process that uses it is gone.
                let folder = paths::scratch("toolmesh-test-")?.keep();
                (folder.join("data"), Some(folder))
            }
        };
        let save =
            paths::output("logs")?.join(format!("up-{}-{}", std::process::id(), &crate::workspace::unique()));
        let log = save.with_extension("log");
        let start = Start {
            name: "toolmesh up",
            program: &paths::binary("toolmesh")?,
            log: &log,
            clean: clean.as_deref(),
            save: Some(&save),
        };
        let envs: Vec<_> = options.envs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let mut up = Kept::start(&start, &arguments(&options, &data), &envs)?;
        let file = data.join("ready.json");
        let found = up.until_printed("it was ready", START, |_| std::fs::read_to_string(&file).ok()).await;
        let ready = match found {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("ready.json is not as promised: {text}"))?,
            Err(error) => bail!("{error:#}\n{}", planes_logs(&data)),
        };
        Ok(Self { ready, data, http: net::client()?, up: Mutex::new(up) })
    }

    /// Tells it to stop as Ctrl-C does and waits until it has.
    ///
    /// # Errors
    /// When it has to be killed or ends with an error.
    pub fn stop(self) -> Result<()> {
        let mut up =
            self.up.into_inner().map_err(|_| anyhow::anyhow!("a test panicked while it held the system"))?;
        let status = up.stop()?;
        anyhow::ensure!(status.success(), "toolmesh up ended with {status}:\n{}", tail(&up.printed()));
        Ok(())
    }

    /// A workspace's origin, `http://SLUG.localhost:PORT`.
    #[must_use]
    pub fn tenant(&self, slug: &str) -> String {
        self.ready.tenant_url.replace("{slug}", slug)
    }

    /// The `Host` of a workspace, for requests that go straight to a node.
    #[must_use]
    pub fn tenant_host(&self, slug: &str) -> String {
        let origin = self.tenant(slug);
        origin.split_once("://").map_or_else(|| origin.clone(), |(_, host)| host.to_owned())
    }

    /// A page of the console.
    #[must_use]
    pub fn console_url(&self, path: &str) -> String {
        format!("{}{path}", self.ready.console_url)
    }
}

/// The command line of `toolmesh up`.
#[must_use]
pub fn arguments(options: &Options, data: &Path) -> Vec<String> {
    let mut args = vec![
        "up".to_owned(),
        "--port".to_owned(),
        options.port.to_string(),
        "--data".to_owned(),
        data.display().to_string(),
        "--nodes".to_owned(),
        options.nodes.to_string(),
    ];
    if let Some(url) = &options.public_url {
        args.extend(["--public-url".to_owned(), url.clone()]);
    }
    if options.private_upstreams {
        args.push("--allow-private-upstreams".to_owned());
    }
    args
}

fn planes_logs(data: &Path) -> String {
    let Ok(files) = std::fs::read_dir(data.join("logs")) else { return String::new() };
    files
        .flatten()
        .filter_map(|file| {
            let text = std::fs::read_to_string(file.path()).ok()?;
            Some(format!("--- {}\n{}\n", file.path().display(), tail(&text)))
        })
        .collect()
}
