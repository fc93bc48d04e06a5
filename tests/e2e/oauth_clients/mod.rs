//! Clients of the authorization server: by which way they are known, how they prove who they are, and which of them a
//! workspace lets in.

mod admins;
mod consent;
mod documents;
mod proof;
mod registration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use toolmesh_tests::oauth::{Pkce, REDIRECT, Server, Tokens, parameter, with};
use toolmesh_tests::tls::TlsSite;
use toolmesh_tests::{Console, Page, System, TestResult, Workspace};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A workspace with its owner logged in.
struct Place {
    system: &'static System,
    workspace: Workspace,
    server: Server,
    console: Console,
    pkce: Pkce,
}

type Form = Vec<(String, String)>;

impl Place {
    async fn new() -> Result<Self> {
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let server = system.oauth(&workspace).await?;
        let console = system.console(&workspace.owner).await?;
        Ok(Self { system, workspace, server, console, pkce: Pkce::new() })
    }

    fn query(&self, client: &str) -> Form {
        self.server.query(client, REDIRECT, &self.pkce)
    }

    async fn page(&self, client: &str) -> Result<Page> {
        self.server.authorize(&self.console, &self.query(client)).await
    }

    /// A code for a client, and the form that trades it.
    async fn code_form(&self, client: &str) -> Result<Form> {
        let back = self.server.consent(&self.console, &self.query(client), "allow").await?;
        let code = parameter(&back, "code").with_context(|| format!("no code in {back}"))?;
        Ok(self.server.code_form(client, REDIRECT, &code, &self.pkce))
    }
}

fn document(site: &TlsSite, path: &str) -> Value {
    json!({
        "client_id": site.url(path),
        "client_name": "Example agent",
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
        "something_new": {"x": 1},
    })
}

fn signed(form: &Form, assertion: &str) -> Form {
    let form = with(form.clone(), "client_assertion_type", ASSERTION_TYPE);
    with(form, "client_assertion", assertion)
}

impl Place {
    fn path(&self, rest: &str) -> String {
        format!("/w/{}{rest}", self.workspace.slug)
    }

    /// Presses a button beside a client in the admin's list.
    async fn press(&self, client: &str, button: &str) -> TestResult {
        let list = self.console.visit(&self.path("/clients")).await?.ok()?;
        let prefix = self.path("/clients/");
        let own = |path: &&String| !path.ends_with("/new") && !path.ends_with("/refusals");
        for path in list.links(&prefix).iter().filter(own) {
            let page = self.console.visit(path).await?.ok()?;
            if page.text().contains(client) {
                self.console.submit(path, &format!("{path}/{button}"), &[]).await?.ok()?;
                return Ok(());
            }
        }
        anyhow::bail!("{client} is not in the list: {}", list.text())
    }

    async fn tokens(&self, client: &str) -> Result<Tokens> {
        let form = self.code_form(client).await?;
        Tokens::of(client, &self.server.token(&form).await?)
    }
}
