//! A workspace with nothing but a server that has everything, as an admin adds one, and what stands around it: a proxy in front of
//! the server and one in front of the nodes, both of which hold what passes to the protocol's schemas.

use anyhow::Result;

use crate::everything::{Eras, Everything, Sdk};
use crate::relay::{Held, Relay, Route};
use crate::servers::ServerAuth;
use crate::{Mcp, System, Workspace, net};

/// What a tool of the server is called behind the workspace's endpoint: without a prefix.
const SEEN: &str = "test_simple_text";

/// The workspace.
pub struct Everywhere {
    pub workspace: Workspace,
    /// The console's page of the server.
    pub page: String,
    /// Between the nodes and the server.
    pub upstream: Relay,
    nodes: Vec<String>,
    host: String,
    http: reqwest::Client,
    _everything: Option<Everything>,
}

impl Everywhere {
    /// Makes one. `more` are nodes of the caller's own.
    ///
    /// # Errors
    /// When anything of it is refused.
    pub async fn new(system: &System, sdk: Sdk, eras: Eras, more: &[&str]) -> Result<Self> {
        let everything = Everything::start(sdk, eras).await?;
        let over = Self::over(system, &everything.url, SEEN, more).await?;
        Ok(Self { _everything: Some(everything), ..over })
    }

    /// Makes one with a server that somebody else keeps running. `seen` is one of its tools.
    ///
    /// # Errors
    /// When anything of it is refused.
    pub async fn over(system: &System, url: &str, seen: &str, more: &[&str]) -> Result<Self> {
        let upstream = Relay::before(url)?;
        let workspace = system.workspace().await?;
        let path = url::Url::parse(url)?.path().to_owned();
        let url = format!("{}{path}", upstream.url.replace("localhost", "127.0.0.1"));
        let added = system.add_mcp_server(&workspace, "everything", &url, ServerAuth::None).await?;
        let console = system.console(&workspace.owner).await?;
        let page = format!("/w/{}/connectors/{}", workspace.slug, added.id);
        let bare = [("bare_names", "true"), ("timeout", "")];
        console.submit(&page, &format!("{page}/offering"), &bare).await?.ok()?;
        system.offered_everywhere(&workspace, seen).await?;
        let own = system.ready.nodes.iter().map(|node| node.http.as_str());
        let nodes = own.chain(more.iter().copied()).map(|address| format!("http://{address}")).collect();
        let host = system.tenant_host(&workspace.slug);
        Ok(Self { workspace, page, upstream, nodes, host, http: net::client()?, _everything: None })
    }

    /// A proxy over so many of the nodes, which shows the owner's key for clients that show none.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn front(&self, nodes: usize, held: Held) -> Result<Relay> {
        let targets = self.nodes.iter().take(nodes).cloned().collect();
        let (host, token) = (Some(self.host.clone()), Some(self.workspace.key.clone()));
        Relay::start(Route { targets, host, token, held })
    }

    /// A raw client of such a proxy.
    #[must_use]
    pub fn client(&self, front: &Relay) -> Mcp {
        Mcp::new(self.http.clone(), &format!("{}/mcp", front.url))
    }
}
