//! People and workspaces, fresh for each test, so that no test sees another's.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::wait::{SOON, eventually};
use crate::{Console, Mcp, System};

/// A text no other test has: twelve hexadecimal digits.
#[must_use]
pub fn unique() -> String {
    let text = uuid::Uuid::new_v4().simple().to_string();
    text[..12].to_owned()
}

/// Someone with a verified address.
#[derive(Debug, Clone)]
pub struct Person {
    pub user_id: String,
    pub email: String,
    pub password: String,
}

/// A workspace, its owner, and a key of theirs.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub tenant_id: String,
    pub slug: String,
    pub origin: String,
    pub mcp_url: String,
    pub owner: Person,
    pub key: String,
}

/// A connector that has been enabled.
#[derive(Debug, Clone)]
pub struct Installation {
    pub id: String,
    pub name: String,
    pub tools: u64,
}

/// A text field of an answer.
///
/// # Errors
/// When it is missing or no text.
pub fn text(value: &Value, field: &str) -> Result<String> {
    let found = value.get(field).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("no text `{field}` in {value}"))
}

impl System {
    /// A new person with a verified address.
    ///
    /// # Errors
    /// When the command line refuses.
    pub async fn person(&self) -> Result<Person> {
        self.person_at("example.org").await
    }

    /// The same, with an address in some domain.
    ///
    /// # Errors
    /// When the command line refuses.
    pub async fn person_at(&self, domain: &str) -> Result<Person> {
        let email = format!("{}@{domain}", unique());
        let password = format!("correct horse {}", unique());
        let args = ["create-user", "--email", &email, "--password", &password, "--verified"];
        let made = self.admin(&args).await?;
        Ok(Person { user_id: text(&made, "user_id")?, email, password })
    }

    /// A new workspace with a new owner and a key of theirs.
    ///
    /// # Errors
    /// When the command line refuses.
    pub async fn workspace(&self) -> Result<Workspace> {
        let owner = self.person().await?;
        self.workspace_of(owner).await
    }

    /// A new workspace of someone who exists.
    ///
    /// # Errors
    /// When the command line refuses.
    pub async fn workspace_of(&self, owner: Person) -> Result<Workspace> {
        let slug = format!("w{}", unique());
        let args = ["create-workspace", "--slug", &slug, "--name", "Test workspace", "--owner", &owner.email];
        let made = self.admin(&args).await?;
        let key = self.key(&slug, &owner.email).await?;
        let workspace = Workspace {
            tenant_id: text(&made, "tenant_id")?,
            origin: text(&made, "origin")?,
            mcp_url: text(&made, "mcp_url")?,
            slug,
            owner,
            key,
        };
        self.known_everywhere(&workspace).await?;
        Ok(workspace)
    }

    /// A new API key of a member.
    ///
    /// # Errors
    /// When the command line refuses.
    pub async fn key(&self, slug: &str, email: &str) -> Result<String> {
        let made =
            self.admin(&["create-api-key", "--workspace", slug, "--user", email, "--name", "test"]).await?;
        text(&made, "key")
    }

    /// Enables a connector from a file.
    ///
    /// # Errors
    /// When the command line refuses.
    pub async fn enable_file(
        &self,
        slug: &str,
        dadl: &Path,
        name: &str,
        base_url: &str,
        credentials: &[(&str, &str)],
    ) -> Result<Installation> {
        let dadl = dadl.display().to_string();
        self.enable(slug, &["--dadl", &dadl, "--as", name, "--base-url", base_url], credentials).await
    }

    /// Enables a connector; `args` say which.
    ///
    /// # Errors
    /// When the command line refuses.
    pub async fn enable(
        &self,
        slug: &str,
        args: &[&str],
        credentials: &[(&str, &str)],
    ) -> Result<Installation> {
        let credentials: Vec<_> = credentials.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut all = vec!["enable-connector", "--workspace", slug];
        all.extend_from_slice(args);
        for credential in &credentials {
            all.extend_from_slice(&["--credential", credential]);
        }
        let made = self.admin(&all).await?;
        Ok(Installation {
            id: text(&made, "installation_id")?,
            name: text(&made, "name")?,
            tools: made.get("tools").and_then(Value::as_u64).context("no `tools`")?,
        })
    }

    /// Someone's browser, logged in, without a screen.
    ///
    /// # Errors
    /// When the login is refused.
    pub async fn console(&self, person: &Person) -> Result<Console> {
        let console = Console::new(self)?;
        console.login(person).await?;
        Ok(console)
    }

    /// Makes someone a member of a workspace, as people become members: invited, and accepting.
    ///
    /// # Errors
    /// When any step is refused.
    pub async fn join(&self, workspace: &Workspace, person: &Person, role: &str) -> Result<Console> {
        let owner = self.console(&workspace.owner).await?;
        let members = format!("/w/{}/members", workspace.slug);
        let invite = format!("{members}/invite");
        let before = self.mails_with(&person.email, "/invitation").await?.len();
        owner.submit(&members, &invite, &[("email", &person.email), ("role", role)]).await?.ok()?;
        let mail = self.mail_with_after(&person.email, "/invitation", before).await?;
        let link = mail.link("/invitation").context("the mail has no invitation in it")?;
        let member = self.console(person).await?;
        let path = member.path_of(link)?;
        member.submit(&path, "/invitation", &[]).await?.ok()?;
        Ok(member)
    }

    /// A client of a workspace's endpoint, with a key or token.
    #[must_use]
    pub fn mcp(&self, workspace: &Workspace, token: &str) -> Mcp {
        Mcp::new(self.http.clone(), &workspace.mcp_url).token(token)
    }

    /// The same, but straight to one node: `address` is its own `127.0.0.1:PORT`.
    #[must_use]
    pub fn mcp_on(&self, address: &str, workspace: &Workspace, token: &str) -> Mcp {
        let host = self.tenant_host(&workspace.slug);
        Mcp::new(self.http.clone(), &format!("http://{address}/mcp")).host(&host).token(token)
    }

    /// Waits until every node lets the workspace's owner in.
    async fn known_everywhere(&self, workspace: &Workspace) -> Result<()> {
        for node in &self.ready.nodes {
            let mcp = self.mcp_on(&node.http, workspace, &workspace.key);
            eventually(&format!("{} knows {}", node.name, workspace.slug), SOON, || async {
                let answer = mcp.request("ping", json!({})).await?;
                Ok(answer.status.is_success().then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until every node offers a tool to the workspace's owner. Requests go round over the nodes, so a tool that one of
    /// them knows may be missing from the next answer.
    ///
    /// # Errors
    /// When one does not in time.
    pub async fn offered_everywhere(&self, workspace: &Workspace, tool: &str) -> Result<()> {
        for node in &self.ready.nodes {
            let mcp = self.mcp_on(&node.http, workspace, &workspace.key);
            eventually(&format!("{} offers {tool}", node.name), SOON, || async {
                let names = mcp.names().await.unwrap_or_default();
                Ok(names.iter().any(|name| name == tool).then_some(()))
            })
            .await?;
        }
        Ok(())
    }
}
