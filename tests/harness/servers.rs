//! Adding other MCP servers to a workspace, as an admin does it in the console.

use anyhow::{Context as _, Result};

use crate::workspace::{Installation, Workspace};
use crate::{Console, System, html};

/// How a server wants to know who asks.
#[derive(Debug, Clone, Copy)]
pub enum ServerAuth<'a> {
    None,
    Bearer(&'a str),
    /// Name of the header, and the secret.
    Header(&'a str, &'a str),
    /// Somebody logs in for all.
    Login,
    /// Each member logs in for themselves.
    OwnLogin,
}

impl ServerAuth<'_> {
    /// As the form has it.
    #[must_use]
    pub const fn way(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bearer(_) => "bearer",
            Self::Header(..) => "header",
            Self::Login => "login",
            Self::OwnLogin => "own-login",
        }
    }
}

impl System {
    /// Adds an MCP server and switches on everything that it offers.
    ///
    /// # Errors
    /// When any step is refused.
    pub async fn add_mcp_server(
        &self,
        workspace: &Workspace,
        name: &str,
        url: &str,
        auth: ServerAuth<'_>,
    ) -> Result<Installation> {
        let console = self.console(&workspace.owner).await?;
        let id = console.find_mcp_server(&workspace.slug, name, url, auth).await?;
        let tools = console.begin_mcp_server(&workspace.slug, &id).await?;
        Ok(Installation { id, name: name.to_owned(), tools })
    }
}

impl Console {
    /// Adds an MCP server and answers its id; nothing of it is on yet, and of one that asks for a login nothing is known.
    ///
    /// # Errors
    /// When the form is refused.
    pub async fn find_mcp_server(
        &self,
        slug: &str,
        name: &str,
        url: &str,
        auth: ServerAuth<'_>,
    ) -> Result<String> {
        let form = format!("/w/{slug}/servers/new");
        let (way, header, credential) = match auth {
            ServerAuth::None | ServerAuth::Login | ServerAuth::OwnLogin => (auth.way(), "", ""),
            ServerAuth::Bearer(secret) => ("bearer", "", secret),
            ServerAuth::Header(header, secret) => ("header", header, secret),
        };
        let fields = [
            ("name", name),
            ("url", url),
            ("authentication", way),
            ("header", header),
            ("credential", credential),
        ];
        let page = self.submit(&form, &form, &fields).await?.ok()?;
        let to = page.location().with_context(|| format!("{name} was not added: {}", page.text()))?;
        let kind = match auth {
            ServerAuth::Login => "connectors",
            ServerAuth::OwnLogin => "connections",
            _ => "servers",
        };
        let id = to.path().strip_prefix(&format!("/w/{slug}/{kind}/"));
        id.map(str::to_owned).with_context(|| format!("led to {to}"))
    }

    /// Switches on everything that a server offers which was just added. Answers how many tools that are.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn begin_mcp_server(&self, slug: &str, id: &str) -> Result<u64> {
        let path = format!("/w/{slug}/servers/{id}");
        let page = self.get(&path).await?.ok()?;
        let mut fields = page.form(&path)?.fields;
        let all: Vec<_> =
            fields.iter().filter(|(name, _)| name == "shown").map(|(_, key)| key.clone()).collect();
        fields.retain(|(name, _)| name != "pick");
        // Tools alone have a class to choose.
        let has_class =
            |tag: &html::Tag| tag.attribute("name").is_some_and(|name| name.starts_with("access."));
        let tools = html::tags(&page.body).iter().filter(|tag| has_class(tag)).count();
        fields.extend(all.into_iter().map(|key| ("pick".to_owned(), key)));
        fields.push(("do".to_owned(), "begin".to_owned()));
        self.post(&path, &fields).await?.ok()?;
        Ok(u64::try_from(tools)?)
    }
}

/// The keys of the definitions that a page shows whose name is this.
#[must_use]
pub fn definition_keys(page: &str, name: &str) -> Vec<String> {
    let label = format!("Pick {name}");
    let boxes = html::tags(page).into_iter().filter(|tag| tag.attribute("aria-label") == Some(&label));
    boxes.filter_map(|tag| tag.attribute("value").map(str::to_owned)).collect()
}
