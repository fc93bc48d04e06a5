//! The product from outside: real processes, HTTP, the command line. One file per subject; each test makes its own people and
//! workspaces in a system that all share, or starts a system of its own where it stops or breaks one.

mod accounts;
mod answers;
mod any_node;
mod attacks;
mod audit;
mod authors;
mod break_glass;
mod catalog_google;
mod catalog_outlook;
mod catalog_requests;
mod catalog_services;
mod cli;
mod client;
mod code_mode;

mod company_groups;
mod connected_apps;
mod connections;
mod cut_off;
mod emulated_apis;
mod endpoint;
mod endpoint_settings;
mod files;
mod flows;
mod giving_back;
mod groups;
mod headers;
mod http_sse;
mod identity_assertions;
mod invitations;
mod isolation;
mod kept_out;
mod linked_resources;
mod live_changes;
mod machines;
mod mcp_servers;
mod members;
mod microsoft;
mod modern_era;
mod oauth;
mod oauth_clients;
mod openapi;
mod openapi_calls;
mod own_connectors;
mod rest;
mod revocation;
mod routes;
mod second_factor;
mod server_accounts;
mod sign_in;
mod signup_and_mail;
mod take_back;
mod up;
mod upstream_auth;
mod workspaces;
mod write_scope;

use anyhow::Result;
use toolmesh_tests::upstream::{Auth, connector};
use toolmesh_tests::workspace::Installation;
use toolmesh_tests::{Mcp, System, Upstream, Workspace, paths};

/// A workspace with the connector of `fixtures/echo.dadl` against an API of our own.
struct Echo {
    system: &'static System,
    workspace: Workspace,
    installation: Installation,
    upstream: Upstream,
    mcp: Mcp,
}

impl Echo {
    async fn new() -> Result<Self> {
        Self::with(Auth::Bearer, &[("token", "s3cret-upstream-token")]).await
    }

    async fn with(auth: Auth, credentials: &[(&str, &str)]) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let url = upstream.url();
        Self::at(&url, upstream, auth, credentials).await
    }

    async fn at(url: &str, upstream: Upstream, auth: Auth, credentials: &[(&str, &str)]) -> Result<Self> {
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let folder = paths::scratch("toolmesh-echo-")?;
        let dadl = connector(folder.path(), auth)?;
        let installation = system.enable_file(&workspace.slug, &dadl, "echo", url, credentials).await?;
        let mcp = system.mcp(&workspace, &workspace.key);
        // The nodes learn of what was just made within a second; all of them do, before a test begins.
        system.offered_everywhere(&workspace, "echo_whoami").await?;
        Ok(Self { system, workspace, installation, upstream, mcp })
    }

    /// A page of the installation.
    fn page(&self, rest: &str) -> String {
        format!("/w/{}/connectors/{}{rest}", self.workspace.slug, self.installation.id)
    }
}
