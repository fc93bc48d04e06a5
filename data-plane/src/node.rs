//! A node, put together and taken apart: who is started, with what, and in which order everything ends.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toolmesh_proto::seal::{self, Sealer};

use crate::config::{Config, Limits, PeerConfig};
use crate::error::StartError;
use crate::execute::Executor;
use crate::execute::code::Sandbox;
use crate::execute::outbound::Outbound;
use crate::ingress::{self, Capacity, Rates};
use crate::peer::{self, Peers};
use crate::record::shipper::Shipper;
use crate::record::{Recorder, Spool};
use crate::sealed::Seals;
use crate::sync::apply::Applier;
use crate::sync::channel::ControlPlane;
use crate::sync::probe::Prober;
use crate::sync::reports::Reporter;
use crate::sync::stream::Conversation;
use crate::sync::{Ledger, Table, feed};

/// What a request's handlers share.
#[derive(Debug)]
pub struct App {
    pub table: Arc<Table>,
    pub executor: Executor,
    /// Where code runs.
    pub sandbox: Sandbox,
    pub recorder: Recorder,
    pub limits: Limits,
    /// What there is room for.
    pub capacity: Capacity,
    /// How often callers may ask.
    pub rates: Rates,
    pub trusted_proxies: Vec<IpNet>,
    /// Seals what travels with clients.
    pub seals: Seals,
    /// What waits for clients, here and on other nodes.
    pub peers: Peers,
    /// Which log messages older clients want.
    /// Calls on their way; they end before the node does.
    pub calls: TaskTracker,
    /// Ends the streams that would never end by themselves.
    pub stopping: CancellationToken,
}

/// The data plane's process, as a value: everything it needs is passed in.
#[derive(Debug)]
pub struct Node;

/// A node that serves.
#[derive(Debug)]
pub struct RunningNode {
    /// Where it listens.
    pub local_addr: SocketAddr,
    app: Arc<App>,
    /// Listener first, shipping last: each stops when what feeds it has stopped.
    ingress: Stage,
    /// Calls that end may still be asked about by other nodes.
    peers: Stage,
    sync: Stage,
    record: Stage,
    limits: Limits,
    /// Held for as long as the node uses its folder.
    _lock: File,
}

/// Tasks that stop together.
#[derive(Debug, Default)]
struct Stage {
    stop: CancellationToken,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl Stage {
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push((name, tokio::spawn(task)));
    }

    /// Lets the tasks end; what has not by the deadline is cut off.
    async fn end(self, by: Instant) {
        self.stop.cancel();
        for (name, mut task) in self.tasks {
            match tokio::time::timeout_at(by, &mut task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(task = name, %error, "task ended badly"),
                Err(_) => {
                    task.abort();
                    tracing::warn!(task = name, "task cut off at the end of the stop");
                }
            }
        }
    }
}

impl Node {
    /// Starts a node on a listener that is bound already. It serves at once what its disk holds.
    ///
    /// # Errors
    /// Says what of the configuration or the folder cannot be used.
    pub async fn start(config: Config, listener: TcpListener) -> Result<RunningNode, StartError> {
        let local_addr = listener.local_addr().map_err(StartError::Listener)?;
        let lock = lock(&config)?;
        let control = ControlPlane::new(&config.control_url, &config.join_secret)?;
        let sealer = Sealer::new(&config.join_secret).map_err(|_| StartError::Secret)?;
        let outbound = Outbound::new(config.egress, &config.limits)?;
        let reporter = Reporter::default();
        let executor =
            Executor::new(outbound, sealer).with_control(control.clone()).with_reporter(reporter.clone());
        let (table, limits) = (Arc::new(Table::default()), config.limits);
        let ledger = Ledger::open(&config.state_dir.join("ledger"), &config.join_secret)?;
        let mut applier = Applier::new(Arc::clone(&table), ledger);
        applier.restore().await?;

        let (spool, root) = begin_spool(&config)?;
        let mut record = Stage::default();
        let shipper = Shipper {
            control: control.clone(),
            node: config.node_name.clone(),
            spool: Arc::clone(&spool),
            root,
        };
        record.spawn("ship what happens", shipper.clone().live(record.stop.clone()));
        record.spawn("ship what earlier lives left", shipper.earlier(record.stop.clone()));
        record.spawn("force the spool to disk", Arc::clone(&spool).keep_synced(record.stop.clone()));

        let mut sync = Stage::default();
        let prober = Arc::new(Prober::new(executor.clone()));
        let conversation = Conversation { control, node: config.node_name, applier, prober, reporter };
        sync.spawn("talk with the control plane", conversation.run(sync.stop.clone()));
        sync.spawn("watch the feed of revocations", feed::watch(Arc::clone(&table), sync.stop.clone()));

        let seals = Seals::new(&config.join_secret).map_err(|_| StartError::Secret)?;
        let (mut ingress, mut peers_stage) = (Stage::default(), Stage::default());
        let (door, address) = open_door(config.peer).await?;
        let peers = Peers::new(seals.clone(), &config.join_secret, address, &limits)
            .map_err(|_| StartError::Secret)?;
        if let Some(door) = door {
            let token = seal::join_token(&config.join_secret).map_err(|_| StartError::Secret)?;
            let (peers, stop) = (peers.clone(), peers_stage.stop.clone());
            peers_stage.spawn("serve other nodes", async move {
                if let Err(error) = peer::server::serve(door, peers, token, stop).await {
                    tracing::error!(%error, "other nodes are no longer served");
                }
            });
        }
        let kept = peers.clone().keep(Arc::clone(&table), ingress.stop.clone());
        ingress.spawn("keep what waits for clients", kept);
        let app = Arc::new(App {
            table,
            executor,
            sandbox: Sandbox::default(),
            recorder: Recorder::new(spool),
            limits,
            capacity: Capacity::new(&limits),
            rates: Rates::new(limits.rates),
            trusted_proxies: config.trusted_proxies,
            seals,
            peers,
            calls: TaskTracker::new(),
            stopping: ingress.stop.clone(),
        });
        let router = ingress::router(Arc::clone(&app));
        let stop = ingress.stop.clone();
        ingress.spawn("tell what limits refuse", ingress::tell_refusals(Arc::clone(&app), stop.clone()));
        ingress.spawn("serve", ingress::server::serve(listener, router, limits, stop));
        Ok(RunningNode { local_addr, app, ingress, peers: peers_stage, sync, record, limits, _lock: lock })
    }
}

impl RunningNode {
    /// Waits until the node has a whole state: what its disk held, or the first word of the control plane.
    pub async fn ready(&self) {
        self.app.table.ready().await;
    }

    /// Stops: no new requests, open ones end, calls end and are recorded, events are shipped as far as possible. All of it
    /// shares one deadline, [`Limits::stop`], so that whoever stops the node knows how long to wait.
    pub async fn shutdown(self) {
        let start = Instant::now();
        let (drained, stopped) = (start + self.limits.drain, start + self.limits.stop);
        self.ingress.end(stopped).await;
        self.app.calls.close();
        if tokio::time::timeout_at(drained, self.app.calls.wait()).await.is_err() {
            tracing::warn!(calls = self.app.calls.len(), "calls left behind");
        }
        self.peers.end(stopped).await;
        self.sync.end(stopped).await;
        self.record.end(stopped).await;
    }
}

/// Binds the door for other nodes; what they reach it by.
async fn open_door(config: Option<PeerConfig>) -> Result<(Option<TcpListener>, Option<String>), StartError> {
    let Some(PeerConfig { listen, address }) = config else { return Ok((None, None)) };
    let failed = |error| StartError::PeerListener(listen, error);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((Some(listener), Some(address.unwrap_or_else(|| bound.to_string()))))
}

/// Makes the node's folder its own: two nodes in one folder would ship and remove each other's events.
fn lock(config: &Config) -> Result<File, StartError> {
    let folder = || config.state_dir.clone();
    let failed = |error| StartError::Folder(folder(), error);
    std::fs::create_dir_all(&config.state_dir).map_err(failed)?;
    let file = File::create(config.state_dir.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::FolderTaken(folder())),
        Err(TryLockError::Error(error)) => Err(StartError::Folder(folder(), error)),
    }
}

fn begin_spool(config: &Config) -> Result<(Arc<Spool>, PathBuf), StartError> {
    let root = config.state_dir.join("spool");
    let boot_id = uuid::Uuid::now_v7().to_string();
    let spool = Spool::begin(&root, &boot_id, config.limits.spool_bytes)?;
    Ok((Arc::new(spool), root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_does_not_end_is_cut_off_at_the_deadline_and_the_others_end() {
        let (mut stage, ended) = (Stage::default(), CancellationToken::new());
        let (stop, told) = (stage.stop.clone(), ended.clone());
        stage.spawn("never ends", std::future::pending());
        stage.spawn("ends when told", async move {
            stop.cancelled().await;
            told.cancel();
        });
        stage.end(Instant::now() + std::time::Duration::from_millis(50)).await;
        assert!(ended.is_cancelled());
    }

    #[test]
    fn a_stop_leaves_time_to_ship_what_the_last_calls_did() {
        let limits = Limits::default();
        assert!(limits.drain + std::time::Duration::from_secs(3) < limits.stop);
    }
}
