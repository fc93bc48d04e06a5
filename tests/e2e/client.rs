//! A client of a workspace's authorization server, with the workspace's owner in a browser: what most tests of OAuth begin with.

use anyhow::{Context as _, Result};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::oauth::{Pkce, REDIRECT, Server, Tokens, parameter};
use toolmesh_tests::{Answer, Console, System, Workspace};

/// A workspace, its owner logged in, and a client of it.
pub(crate) struct Flow {
    pub system: &'static System,
    pub workspace: Workspace,
    pub server: Server,
    pub console: Console,
    pub client: String,
    pub pkce: Pkce,
}

impl Flow {
    pub async fn new() -> Result<Self> {
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let server = system.oauth(&workspace).await?;
        let console = system.console(&workspace.owner).await?;
        let client = server.client(REDIRECT).await?;
        Ok(Self { system, workspace, server, console, client, pkce: Pkce::new() })
    }

    pub fn query(&self) -> Vec<(String, String)> {
        self.server.query(&self.client, REDIRECT, &self.pkce)
    }

    /// A code for the owner.
    pub async fn code(&self) -> Result<String> {
        self.code_of(&self.console).await
    }

    /// A code for someone who is logged in and a member.
    pub async fn code_of(&self, console: &Console) -> Result<String> {
        let back = self.server.consent(console, &self.query(), "allow").await?;
        parameter(&back, "code").with_context(|| format!("no code in {back}"))
    }

    pub fn form(&self, code: &str) -> Vec<(String, String)> {
        self.server.code_form(&self.client, REDIRECT, code, &self.pkce)
    }

    pub async fn redeem(&self, code: &str) -> Result<Answer> {
        self.server.token(&self.form(code)).await
    }

    pub async fn tokens(&self) -> Result<Tokens> {
        let code = self.code().await?;
        Tokens::of(&self.client, &self.redeem(&code).await?)
    }

    /// What the endpoint answers to a token.
    pub async fn ping(&self, token: &str) -> Result<Answer> {
        self.system.mcp(&self.workspace, token).request("ping", json!({})).await
    }

    pub async fn works(&self, token: &str) -> Result<bool> {
        Ok(self.ping(token).await?.status == StatusCode::OK)
    }

    /// A page of the workspace.
    pub fn page(&self, rest: &str) -> String {
        format!("/w/{}{rest}", self.workspace.slug)
    }
}

/// The error of an OAuth answer.
pub(crate) fn error_of(answer: &Answer) -> Result<String> {
    let json = answer.json()?;
    let error = json.get("error").and_then(Value::as_str).map(str::to_owned);
    error.with_context(|| format!("no `error` in {json}"))
}
