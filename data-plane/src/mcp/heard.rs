//! What the MCP servers behind a workspace tell one listener: that a list of theirs changed, or one of their resources.
//!
//! Each server that tells something of what the listener wants is listened to for as long as the listener is there, with the
//! credential that the listener's own calls show. Which servers these are is looked at again whenever access or the workspace
//! changes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_stream::StreamMap;
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::v1::CredentialUse;

use crate::call::{Caller, servers_in_reach};
use crate::catalog::{Installation, Tenant, Work};
use crate::execute::upstream::listen::{Notice, Show, Wanted};
use crate::identity::Principal;
use crate::ingress::Standing;
use crate::members::Members;
use crate::node::App;

/// Most servers that one listener hears, and most resources that it follows.
const SERVERS: usize = 16;
const RESOURCES: usize = 100;
/// Longest wait until the servers can be heard; what they say later is heard all the same.
const OPEN_WITHIN: Duration = Duration::from_secs(1);

/// What a listener wants to hear of.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub tools: bool,
    pub prompts: bool,
    pub resources: bool,
    /// By the URIs that clients know them by.
    pub uris: Vec<String>,
}

/// What a server told.
#[derive(Debug)]
pub(super) enum News {
    Tools,
    Prompts,
    Resources,
    /// The params of `notifications/resources/updated`, with the URI that the client knows.
    Resource(Members),
}

/// One server that is heard.
struct Source {
    installation: Arc<Installation>,
    /// What the stream was opened with; another mark is another stream.
    mark: u64,
    /// The resources that are followed: the server's own URI, and the one that was asked for.
    uris: Vec<(String, String)>,
    open: bool,
}

/// The servers that one listener hears.
pub(super) struct Heard {
    app: Arc<App>,
    standing: Standing,
    about: About,
    tenant: Arc<Tenant>,
    sources: HashMap<InstallationId, Source>,
    streams: StreamMap<InstallationId, BoxStream<'static, Notice>>,
}

impl Heard {
    pub(super) fn new(caller: &Caller, mut about: About) -> Self {
        about.uris.truncate(RESOURCES);
        let mut heard = Self {
            app: Arc::clone(&caller.app),
            standing: caller.standing.clone(),
            about,
            tenant: Arc::clone(&caller.visit.tenant),
            sources: HashMap::new(),
            streams: StreamMap::new(),
        };
        heard.tune(Arc::clone(&caller.visit.tenant), &caller.principal);
        heard
    }

    /// Hears the servers that are in the listener's reach now, and no other.
    pub(super) fn tune(&mut self, tenant: Arc<Tenant>, principal: &Principal) {
        let mut wanted = self.wanted(&tenant, principal);
        wanted.truncate(SERVERS);
        self.tenant = tenant;
        let gone: Vec<InstallationId> = self
            .sources
            .iter()
            .filter(|(id, source)| {
                !wanted.iter().any(|(one, _)| one.installation.id == **id && one.mark == source.mark)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.sources.remove(&id);
            self.streams.remove(&id);
        }
        for (source, what) in wanted {
            let id = source.installation.id;
            if self.sources.contains_key(&id) {
                continue;
            }
            let installation = Arc::clone(&source.installation);
            let show = show(Arc::clone(&self.app), self.standing.clone(), Arc::clone(&installation));
            let stream = self.app.executor.upstreams.listen(installation, principal.subject, show, what);
            self.streams.insert(id, stream.boxed());
            self.sources.insert(id, source);
        }
    }

    /// The servers that tell something of what is wanted, each with what it is to tell.
    fn wanted(&self, tenant: &Tenant, principal: &Principal) -> Vec<(Source, Wanted)> {
        let about = &self.about;
        let followed = follow(tenant, principal, &about.uris);
        let mut all = Vec::new();
        for installation in servers_in_reach(tenant, principal, |_| true) {
            let Some(server) = &installation.connector.server else { continue };
            let uris: Vec<(String, String)> = followed
                .iter()
                .filter(|(id, ..)| *id == installation.id)
                .map(|(_, own, asked)| (own.clone(), asked.clone()))
                .collect();
            let what = Wanted {
                tools: about.tools && server.tells("tools", "listChanged"),
                prompts: about.prompts && server.tells("prompts", "listChanged"),
                resources: about.resources && server.tells("resources", "listChanged"),
                uris: uris.iter().map(|(own, _)| own.clone()).collect(),
            };
            if !(what.tools || what.prompts || what.resources || !what.uris.is_empty()) {
                continue;
            }
            let mark = mark(tenant, principal, installation, &what);
            all.push((Source { installation: Arc::clone(installation), mark, uris, open: false }, what));
        }
        all
    }

    /// The resources that are followed, as they were asked for.
    pub(super) fn followed(&self) -> Vec<&str> {
        let followed = |uri: &&String| {
            self.sources.values().any(|source| source.uris.iter().any(|(_, asked)| asked == *uri))
        };
        self.about.uris.iter().filter(followed).map(String::as_str).collect()
    }

    /// Waits until the servers can be heard; what they say meanwhile.
    pub(super) async fn open(&mut self) -> Vec<News> {
        let (by, mut said) = (Instant::now() + OPEN_WITHIN, Vec::new());
        while self.sources.values().any(|source| !source.open) {
            match tokio::time::timeout_at(by, self.streams.next()).await {
                Ok(Some((id, notice))) => said.extend(self.news(id, notice)),
                Ok(None) | Err(_) => break,
            }
        }
        said
    }

    /// The next that a server tells. Waits for ever where there is none to hear. May be given up while it waits.
    pub(super) async fn next(&mut self) -> News {
        while let Some((id, notice)) = self.streams.next().await {
            if let Some(news) = self.news(id, notice) {
                return news;
            }
        }
        std::future::pending().await
    }

    fn news(&mut self, id: InstallationId, notice: Notice) -> Option<News> {
        let source = self.sources.get_mut(&id)?;
        match notice {
            Notice::Open => {
                source.open = true;
                None
            }
            Notice::Tools => Some(News::Tools),
            Notice::Prompts => Some(News::Prompts),
            Notice::Resources => Some(News::Resources),
            Notice::Resource(params) => renamed(&self.tenant, source, &params).map(News::Resource),
        }
    }
}

/// The servers of which a change of these resources can be heard: installation, the server's own URI, the one that was asked for.
fn follow(tenant: &Tenant, principal: &Principal, uris: &[String]) -> Vec<(InstallationId, String, String)> {
    let servers = servers_in_reach(tenant, principal, crate::catalog::Server::has_resources);
    let work = Work::of_request();
    let follow = |uri: &String| {
        let route = tenant.offers.route(&servers, uri, &work)?;
        let server = route.installation.connector.server.as_ref()?;
        server
            .tells("resources", "subscribe")
            .then(|| (route.installation.id, route.uri.clone(), uri.clone()))
    };
    uris.iter().filter_map(follow).collect()
}

/// What a stream depends on.
fn mark(tenant: &Tenant, principal: &Principal, installation: &Installation, what: &Wanted) -> u64 {
    let mut mark = DefaultHasher::new();
    installation.connector.hash.hash(&mut mark);
    installation.base.hash(&mut mark);
    installation.grant_epoch.hash(&mut mark);
    tenant.holder(installation, principal.subject).map(|holder| holder.epoch).hash(&mut mark);
    for credential in &installation.credentials {
        (&credential.name, credential.version).hash(&mut mark);
    }
    (what.tools, what.prompts, what.resources, &what.uris).hash(&mut mark);
    mark.finish()
}

/// Gets the credential that the listener's own calls would show now.
fn show(app: Arc<App>, standing: Standing, installation: Arc<Installation>) -> Show {
    Arc::new(move || {
        let (app, standing) = (Arc::clone(&app), standing.clone());
        let installation = Arc::clone(&installation);
        async move {
            let (tenant, principal) = standing.principal()?;
            let holder = tenant.holder(&installation, principal.subject);
            let opened = app.executor.open_for(&installation, holder);
            let sign_in = &app.executor.sign_in;
            sign_in.placement(&installation, &opened, CredentialUse::Unspecified).await.ok()
        }
        .boxed()
    })
}

/// What a server says of a resource, under the URI that the client knows it by.
fn renamed(tenant: &Tenant, source: &Source, params: &RawValue) -> Option<Members> {
    let mut members = Members::read(params.get())?;
    let own: String = members.read_as("uri")?;
    let asked = source.uris.iter().find(|(one, _)| *one == own).map(|(_, asked)| asked.clone());
    // A server may name a part of what is followed.
    let public = || {
        let work = Work::of_answer();
        tenant.offers.public_uri(&tenant.readable(), &source.installation, &own, &work)
    };
    if let Some(known) = asked.or_else(public) {
        members.set_value("uri", &known);
    }
    Some(members)
}
