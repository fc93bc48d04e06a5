//! Putting the plane together: capabilities from the configuration, then listeners and background tasks, and stopping them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use toolmesh_proto::seal::{self, Sealer};
use toolmesh_proto::v1;
use tower_http::timeout::TimeoutLayer;

use crate::accounts::Accounts;
use crate::accounts::codes::Codes;
use crate::accounts::external::{self, External};
use crate::accounts::factors::Factors;
use crate::accounts::password::Passwords;
use crate::config::Config;
use crate::connectors::catalog::Catalog;
use crate::connectors::private::PrivateConnectors;
use crate::connectors::{Connections, Grants, Installations, Upstreams};
use crate::console::{self, Console, FormTokens, Route, Routes, get, post};
use crate::credentials::envelope::Vault;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::jobs::{FactorsDue, Jobs, Keys, Servers, Tidy};
use crate::mail::{self, MailWorker, Mailer};
use crate::oauth::http::{self as oauth_http, OauthState};
use crate::oauth::keys::{KeyRing, wall_clock};
use crate::oauth::{Oauth, Places};
use crate::outbound::Outbound;
use crate::peer::TrustedProxies;
use crate::push::Hub;
use crate::push::compile::Compiler;
use crate::push::lane::Lane;
use crate::push::relay::Relay;
use crate::push::server::{self, NodeDoor};

/// Connections to the database.
const CONNECTIONS: u32 = 20;

/// What nodes say of MCP servers and nobody has taken yet.
const REPORTS: usize = 1024;

/// The longest that a page or answer may take; a connection test is the slowest.
const REQUEST_DEADLINE: Duration = Duration::from_secs(40);

/// The longest that the end waits for an exchange of tokens, so that no refresh token is lost.
const EXCHANGES_END: Duration = Duration::from_secs(10);

/// The capabilities without listeners: what the operator's command line works with too.
pub struct Core {
    pub db: Db,
    pub vault: Vault,
    pub accounts: Accounts,
    pub factors: Factors,
    pub installations: Installations,
    pub grants: Grants,
    pub upstreams: Upstreams,
    pub catalog: Arc<Catalog>,
    pub mailer: Mailer,
    pub outbound: Outbound,
    pub external: External,
    pub private: PrivateConnectors,
}

impl Core {
    /// Connects and makes the capabilities; the worker sends their mail when it is run.
    ///
    /// # Errors
    /// When the database cannot be reached or a setting cannot be used.
    pub async fn new(config: &Config, connections: u32) -> Result<(Self, MailWorker)> {
        let db = Db::connect(&config.database_url, connections).await?;
        let vault = Vault::new(&config.kek)?;
        let sealer = Sealer::new(&config.join_secret).map_err(Error::internal)?;
        let (mailer, worker) = mail::mailer(&config.smtp_url, &config.mail_from)?;
        let places = std::thread::available_parallelism().map_or(1, |n| n.get() / 2);
        let catalog = Arc::new(Catalog::default());
        let outbound = Outbound::new(config.egress, &config.extra_roots)?;
        let external = External::new(external::Parts {
            db: db.clone(),
            vault: vault.clone(),
            mailer: mailer.clone(),
            outbound: outbound.clone(),
            known: config.sign_in.clone(),
            console_origin: config.console_origin.clone(),
            dns_server: config.dns_server,
        })?;
        let grants = Grants::new(
            db.clone(),
            vault.clone(),
            sealer.clone(),
            outbound.clone(),
            mailer.clone(),
            config.console_origin.clone(),
        );
        let installations =
            Installations::new(db.clone(), vault.clone(), sealer, Arc::clone(&catalog), config.egress);
        let core = Self {
            upstreams: Upstreams::new(
                db.clone(),
                vault.clone(),
                outbound.clone(),
                installations.clone(),
                grants.clone(),
            ),
            installations,
            accounts: Accounts::new(
                db.clone(),
                Passwords::new(places, &*vault.derive("password pepper v1")?)?,
                Codes::new(&*vault.derive("codes of mails v1")?),
                mailer.clone(),
                config.console_origin.clone(),
            ),
            grants,
            factors: Factors::new(db.clone(), vault.clone(), mailer.clone(), config.console_origin.clone())?,
            private: PrivateConnectors::new(db.clone(), outbound.clone()),
            outbound,
            external,
            db,
            vault,
            catalog,
            mailer,
        };
        Ok((core, worker))
    }
}

/// A running control plane.
pub struct ControlPlane {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    jobs: Jobs,
    db: Db,
    grants: Grants,
}

impl ControlPlane {
    /// Migrates, binds and serves.
    ///
    /// # Errors
    /// When the database cannot be reached, a listener cannot be bound, or a setting cannot be used.
    pub async fn start(config: Config) -> Result<Self> {
        Db::migrate(&config.database_url).await?;
        let (core, mail) = Core::new(&config, CONNECTIONS).await?;
        let catalog = Arc::clone(&core.catalog);
        let checked = tokio::task::spawn_blocking(move || catalog.check());
        checked.await.map_err(Error::internal)?.map_err(Error::internal)?;
        let keys = Arc::new(KeyRing::load(&core.db, &core.vault, wall_clock()).await?);
        let settings = v1::NodeSettings { console_origin: config.console_origin.clone() };
        let hub = Hub::new(settings, keys.key_set());
        let places =
            Places { origins: config.tenant_origins.clone(), console_origin: config.console_origin.clone() };
        let oauth =
            Oauth::new(core.db.clone(), &core.vault, Arc::clone(&keys), places, core.outbound.clone())?;
        let jobs = Jobs::default();
        let db = core.db.clone();

        let relay = Relay {
            db: db.clone(),
            compiler: Compiler {
                db: db.clone(),
                installations: core.installations.clone(),
                origins: config.tenant_origins.clone(),
                console_origin: config.console_origin.clone(),
            },
            hub: hub.clone(),
        };
        jobs.spawn("relay", relay.run(jobs.stop.clone()));
        let lane = Lane { db: db.clone(), hub: hub.clone() };
        jobs.spawn("revocations", lane.run(jobs.stop.clone()));
        let keys = Keys { db: db.clone(), ring: keys };
        jobs.spawn("keys", keys.run(jobs.stop.clone()));
        jobs.spawn("mail", mail.run(jobs.stop.clone()));
        let tidy = Tidy {
            db: db.clone(),
            accounts: core.accounts.clone(),
            factors: core.factors.clone(),
            external: core.external.clone(),
            oauth: oauth.clone(),
            upstreams: core.upstreams.clone(),
        };
        jobs.spawn("tidy", tidy.run(jobs.stop.clone()));
        let due = FactorsDue { db: db.clone() };
        jobs.spawn("second factors due", due.run(jobs.stop.clone()));

        let (reports, told) = tokio::sync::mpsc::channel(REPORTS);
        let servers = Servers { upstreams: core.upstreams.clone(), told };
        jobs.spawn("MCP servers", servers.run(jobs.stop.clone()));
        let grants = core.grants.clone();
        let door = NodeDoor {
            hub: hub.clone(),
            db: db.clone(),
            grants: grants.clone(),
            reports,
            stop: jobs.stop.clone(),
            tasks: jobs.tasks.clone(),
        };
        let grpc = serve_nodes(&config, &jobs, door).await?;
        let http = serve_people(&config, &jobs, core, oauth, hub).await?;
        Ok(Self { http, grpc, jobs, db, grants })
    }

    /// Stops taking requests, lets what is under way finish, and closes the database.
    pub async fn shut_down(self) {
        self.jobs.shut_down().await;
        if tokio::time::timeout(EXCHANGES_END, self.grants.finish()).await.is_err() {
            tracing::warn!("an exchange of tokens did not end in time");
        }
        self.db.close().await;
    }
}

async fn serve_nodes(config: &Config, jobs: &Jobs, door: NodeDoor) -> Result<SocketAddr> {
    let listener = bind(config.grpc_listen, "TOOLMESH_GRPC_LISTEN").await?;
    let address = listener.local_addr().map_err(Error::internal)?;
    let join_token = seal::join_token(&config.join_secret).map_err(Error::internal)?;
    jobs.spawn("nodes", async move {
        if let Err(error) = server::serve(listener, door, join_token).await {
            tracing::error!(%error, "the listener for nodes failed");
        }
    });
    Ok(address)
}

async fn serve_people(
    config: &Config,
    jobs: &Jobs,
    core: Core,
    oauth: Oauth,
    hub: Hub,
) -> Result<SocketAddr> {
    let listener = bind(config.http_listen, "TOOLMESH_HTTP_LISTEN").await?;
    let address = listener.local_addr().map_err(Error::internal)?;
    let app = router(config, core, oauth, hub)?.into_make_service_with_connect_info::<SocketAddr>();
    let stop = jobs.stop.clone();
    jobs.spawn("http", async move {
        let server = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the listener for people failed");
        }
    });
    Ok(address)
}

/// Every route that people and clients can ask for.
#[must_use]
pub fn routes() -> Vec<Route> {
    let mut all = console::routes();
    all.extend(endpoints().into_list());
    all.extend(health().into_list());
    all.sort();
    all
}

fn endpoints() -> Routes<OauthState> {
    Routes::new()
        .route("/oauth/{slug}/register", post(oauth_http::register))
        .route("/oauth/{slug}/token", post(oauth_http::token))
        .route("/oauth/{slug}/revoke", post(oauth_http::revoke))
        .route("/oauth/{slug}/jwks.json", get(oauth_http::jwks))
}

fn health() -> Routes<Db> {
    Routes::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(ready))
}

fn router(config: &Config, core: Core, oauth: Oauth, hub: Hub) -> Result<Router> {
    let endpoints = endpoints()
        .into_router()
        .layer(DefaultBodyLimit::max(16 * 1024))
        .layer(from_fn(oauth_http::any_origin))
        .with_state(OauthState { oauth: oauth.clone(), db: core.db.clone() });
    let health = health().into_router().with_state(core.db.clone());
    let https = config.is_https();
    let console = Console {
        forms: FormTokens::new(&core.vault)?,
        db: core.db,
        vault: core.vault,
        accounts: core.accounts,
        factors: core.factors,
        installations: core.installations,
        connections: Connections::new(core.grants.clone()),
        grants: core.grants,
        upstreams: core.upstreams,
        catalog: core.catalog,
        mailer: core.mailer,
        outbound: core.outbound,
        external: core.external,
        private: core.private,
        uploads: Console::upload_turns(),
        oauth,
        hub,
        origins: config.tenant_origins.clone(),
        console_origin: config.console_origin.clone(),
        https,
        mailbox_url: config.mailbox_url.clone(),
    };
    let trusted = TrustedProxies(Arc::new(config.trusted_proxies.clone()));
    Ok(console::router(Arc::new(console))
        .merge(endpoints)
        .merge(health)
        .layer(Extension(trusted))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_DEADLINE))
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        // Outermost, so that what fails or takes too long has them too.
        .layer(from_fn(move |request, next| console::security_headers(https, request, next))))
}

async fn ready(State(db): State<Db>) -> (StatusCode, &'static str) {
    match db.ping().await {
        Ok(()) => (StatusCode::OK, "ready"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}

async fn bind(address: SocketAddr, name: &'static str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|e| Error::Internal(format!("{name}: cannot listen on {address}: {e}")))
}
