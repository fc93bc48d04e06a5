//! Names without a prefix for single tools. ChatGPT's deep research and company knowledge ask for a tool that is named exactly
//! `search` and one that is named exactly `fetch`, both of which only read.

use toolmesh_proto::access::Access;
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::v1;

use super::installation::Installation;
use super::{Installations, store};
use crate::accounts::members::{self, Membership, Permission};
use crate::db::TenantTx;
use crate::error::{Error, Result};

/// The names that can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    Search,
    Fetch,
}

impl Alias {
    pub const ALL: [Self; 2] = [Self::Search, Self::Fetch];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Fetch => "fetch",
        }
    }
}

/// A tool that goes by such a name.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Aliased {
    pub alias: String,
    #[sqlx(try_from = "uuid::Uuid")]
    pub installation_id: InstallationId,
    /// The connector's own name.
    pub tool: String,
}

/// A tool that can be given such a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub installation_id: InstallationId,
    pub tool: String,
    pub public_name: String,
}

/// Aliases as nodes are told them.
///
/// # Errors
/// When the database fails.
pub async fn for_nodes(tx: &mut TenantTx) -> Result<Vec<v1::ToolAlias>> {
    let sent = |aliased: Aliased| v1::ToolAlias {
        alias: aliased.alias,
        installation_id: aliased.installation_id.to_string(),
        tool: aliased.tool,
    };
    Ok(store::aliases(tx).await?.into_iter().map(sent).collect())
}

/// Tools that only read, are on and are for clients.
#[must_use]
pub fn candidates(installations: &[Installation]) -> Vec<Candidate> {
    let of = |installation: &Installation| {
        let id = installation.id;
        let tools = installation.tools().into_iter();
        let fit = tools.filter(|row| row.enabled && !row.hidden && row.access == Access::Read);
        fit.map(move |row| Candidate { installation_id: id, tool: row.tool, public_name: row.public_name })
            .collect::<Vec<_>>()
    };
    installations.iter().flat_map(of).collect()
}

impl Installations {
    /// What goes by which name, and what could.
    ///
    /// # Errors
    /// `Forbidden` for who may not see settings.
    pub async fn aliases(&self, by: &Membership) -> Result<(Vec<Aliased>, Vec<Candidate>)> {
        by.require(Permission::Settings)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let chosen = store::aliases(&mut tx).await?;
        Ok((chosen, candidates(&self.load_all(&mut tx).await?)))
    }

    /// Gives the names to tools, each named as clients call it; an empty text takes a name away.
    ///
    /// # Errors
    /// `Forbidden` for who may not change settings; `search` or `fetch` for a tool that cannot have the name.
    pub async fn set_aliases(&self, by: &Membership, search: &str, fetch: &str) -> Result<()> {
        let mut tx = self.db.tenant(by.tenant).await?;
        let by = members::still(&mut tx, by).await?;
        by.require(Permission::Settings)?;
        let fit = candidates(&self.load_all(&mut tx).await?);
        for (alias, wanted) in [(Alias::Search, search), (Alias::Fetch, fetch)] {
            if wanted.is_empty() {
                store::remove_alias(&mut tx, alias.as_str()).await?;
                continue;
            }
            let chosen = fit.iter().find(|candidate| candidate.public_name == wanted).ok_or_else(|| {
                Error::field(alias.as_str(), "Choose a tool that only reads and is switched on.")
            })?;
            let aliased = Aliased {
                alias: alias.as_str().to_owned(),
                installation_id: chosen.installation_id,
                tool: chosen.tool.clone(),
            };
            store::set_alias(&mut tx, &aliased, by.user).await?;
        }
        tx.commit_change().await?;
        Ok(())
    }
}
