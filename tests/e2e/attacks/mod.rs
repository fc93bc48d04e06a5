//! Known attacks on login, sessions, the authorization server and the walls between workspaces, each tried as it was done
//! elsewhere. `tests/ATTACKS.md` is their table, with those that other files try.

mod login;
mod oauth;
mod sessions;
mod tenants;

use anyhow::{Context as _, Result};
use serde_json::json;
use toolmesh_tests::oauth::{Pkce, REDIRECT, Server, Tokens, parameter};
use toolmesh_tests::{Answer, Console, System, Workspace};

/// A workspace, its owner logged in, and a client of it.
struct Target {
    system: &'static System,
    workspace: Workspace,
    server: Server,
    console: Console,
    client: String,
    pkce: Pkce,
}

impl Target {
    async fn new() -> Result<Self> {
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let server = system.oauth(&workspace).await?;
        let console = system.console(&workspace.owner).await?;
        let client = server.client(REDIRECT).await?;
        Ok(Self { system, workspace, server, console, client, pkce: Pkce::new() })
    }

    /// A code for someone who is logged in and a member.
    async fn code(&self, console: &Console) -> Result<String> {
        let query = self.server.query(&self.client, REDIRECT, &self.pkce);
        let back = self.server.consent(console, &query, "allow").await?;
        parameter(&back, "code").with_context(|| format!("no code in {back}"))
    }

    async fn redeem(&self, code: &str) -> Result<Answer> {
        self.server.token(&self.server.code_form(&self.client, REDIRECT, code, &self.pkce)).await
    }

    async fn tokens(&self) -> Result<Tokens> {
        let code = self.code(&self.console).await?;
        Tokens::of(&self.client, &self.redeem(&code).await?)
    }

    /// What the endpoint answers to a token.
    async fn ping(&self, token: &str) -> Result<Answer> {
        self.system.mcp(&self.workspace, token).request("ping", json!({})).await
    }

    fn page(&self, rest: &str) -> String {
        format!("/w/{}{rest}", self.workspace.slug)
    }
}

/// The error of an OAuth answer.
fn error_of(answer: &Answer) -> Result<String> {
    let json = answer.json()?;
    let error = json.get("error").and_then(serde_json::Value::as_str).map(str::to_owned);
    error.with_context(|| format!("no `error` in {json}"))
}
