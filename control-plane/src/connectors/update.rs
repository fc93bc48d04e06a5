//! Bringing an installation to a newer version of its connector, built in or the workspace's own, with what changes in sight.
//!
//! What an admin has set stays: switched-off tools, what is said of tools in place of the connector, which stand in the list, the
//! base URL, credentials. It goes along with a tool that has another name now, and waits for one that is gone, should it come
//! back. New tools that do more than read arrive switched off, and so does a tool that does more than before.

use std::collections::BTreeSet;

use prost::Message as _;
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::{names, v1};

use super::changes::{Changes, ToolNote};
use super::overrides::Override;
use super::private::PrivateConnectors;
use super::{Installation, Installations, overrides, store};
use crate::accounts::members::{Membership, Permission};
use crate::error::{Error, Result};

/// What an update came to.
#[derive(Clone, Debug)]
pub struct Updated {
    pub changes: Changes,
    /// New tools whose names an admin has given to others, with what they go by instead.
    pub displaced: Vec<(String, String)>,
}

/// A newer version of an installation's connector.
#[derive(Clone, Debug)]
pub struct Newer {
    /// Identity of the compiled connector.
    pub hash: String,
    /// What people call the version.
    pub version: String,
    pub connector: v1::Connector,
    source: String,
    built_in: bool,
}

impl Installations {
    /// Whether there is a newer version, without looking into it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_newer(
        &self,
        private: &PrivateConnectors,
        by: &Membership,
        installation: &Installation,
    ) -> Result<bool> {
        let newest = match installation.private {
            Some(id) => Some(private.get(by, id).await?.0.hash),
            None => self.catalog_entry(installation).map(|entry| entry.connector_hash.clone()),
        };
        Ok(newest.is_some_and(|hash| hash != installation.connector_hash))
    }

    /// The newer version, where there is one.
    ///
    /// # Errors
    /// `Refused` when it does not compile any more.
    pub async fn newer(
        &self,
        private: &PrivateConnectors,
        by: &Membership,
        installation: &Installation,
    ) -> Result<Option<Newer>> {
        let newer = match installation.private {
            Some(id) => {
                let opened = private.open(by, id, None).await?;
                let connector = opened.compiled.connector.clone();
                Some(Newer {
                    hash: toolmesh_proto::connector_hash(&connector),
                    version: opened.version.number.to_string(),
                    connector,
                    source: opened.source,
                    built_in: false,
                })
            }
            None => self.catalog_entry(installation).map(|entry| Newer {
                hash: entry.connector_hash.clone(),
                version: entry.version(),
                connector: entry.compiled.connector.clone(),
                source: entry.source.to_string(),
                built_in: true,
            }),
        };
        Ok(newer.filter(|newer| newer.hash != installation.connector_hash))
    }

    /// Brings an installation to the version that was looked at.
    ///
    /// # Errors
    /// `Refused` when there is another one by now, or none.
    pub async fn update(
        &self,
        private: &PrivateConnectors,
        by: &Membership,
        id: InstallationId,
        hash: &str,
    ) -> Result<Updated> {
        by.require(Permission::Connectors)?;
        let seen = self.get(by.tenant, id).await?;
        let newer = self.newer(private, by, &seen).await?.filter(|newer| newer.hash == hash);
        let Some(newer) = newer else {
            let message = "The connector has changed since you looked. Look at the changes again.";
            return Err(Error::Refused(message.to_owned()));
        };
        let mut tx = self.db.tenant(by.tenant).await?;
        store::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let before = self.load(&mut tx, id).await?;
        let changes = Changes::between(&before.connector, &newer.connector);
        let compiled = newer.connector.encode_to_vec();
        let named = (newer.hash.as_str(), newer.connector.name.as_str());
        store::insert_connector(&mut tx, named, &newer.source, &compiled, newer.built_in).await?;
        store::set_connector(&mut tx, id, &newer.hash).await?;
        for change in &changes.changed {
            if let Some(before) = &change.renamed_from {
                // What waits under the name was set of a tool that is gone.
                store::forget_tool(&mut tx, id, &change.name).await?;
                store::rename_tool(&mut tx, id, before, &change.name).await?;
            }
        }
        let off = changes.to_switch_off();
        if !off.is_empty() {
            store::set_tools(&mut tx, id, &off, false, by.user).await?;
        }
        let mut after = self.load(&mut tx, id).await?;
        for tool in outdated(&after, &changes.added) {
            if let Some(set) = after.overrides.get_mut(&tool) {
                set.name.clear();
                overrides::store::set(&mut tx, id, &tool, set, by.user).await?;
            }
        }
        let displaced = displaced(&after);
        for (tool, name) in &displaced {
            let set = after.overrides.get(tool).cloned().unwrap_or_default();
            let set = Override { name: name.clone(), ..set };
            overrides::store::set(&mut tx, id, tool, &set, by.user).await?;
        }
        tx.commit_change().await?;
        Ok(Updated { changes, displaced })
    }
}

/// What an admin calls a tool, where it is not the tool's own name.
fn given_name<'a>(installation: &'a Installation, tool: &v1::Tool) -> Option<&'a str> {
    installation.overrides.get(&tool.name).map(|set| set.name.as_str()).filter(|name| !name.is_empty())
}

/// Tools that come back, and were called what clients know another by meanwhile: they come under their own names.
fn outdated(installation: &Installation, added: &[ToolNote]) -> Vec<String> {
    let tools = &installation.connector.tools;
    let is_new = |tool: &v1::Tool| added.iter().any(|new| new.name == tool.name);
    let is_known_by = |other: &v1::Tool, name: &str| match given_name(installation, other) {
        Some(given) => given == name,
        None => other.name == name && !is_new(other),
    };
    let taken = |tool: &v1::Tool| {
        let others = || tools.iter().filter(|other| other.name != tool.name);
        given_name(installation, tool).is_some_and(|name| others().any(|other| is_known_by(other, name)))
    };
    tools.iter().filter(|tool| is_new(tool) && taken(tool)).map(|tool| tool.name.clone()).collect()
}

/// Tools whose own name is what an admin calls another, with a name that is free: what clients know by a name stays what it was.
fn displaced(installation: &Installation) -> Vec<(String, String)> {
    let tools = &installation.connector.tools;
    let set = |tool: &v1::Tool| given_name(installation, tool);
    let given: BTreeSet<&str> = tools.iter().filter_map(set).collect();
    let own = tools.iter().map(|tool| tool.name.as_str());
    let mut taken: BTreeSet<String> = own.chain(given.iter().copied()).map(str::to_owned).collect();
    let most = names::MAX_TOOL_NAME.saturating_sub(installation.name.len() + 1);
    let mut displaced = Vec::new();
    for tool in tools.iter().filter(|tool| set(tool).is_none() && given.contains(tool.name.as_str())) {
        let mut numbered = (2..=99_u32).map(|number| {
            let end = format!("_{number}");
            let start: String = tool.name.chars().take(most.saturating_sub(end.len())).collect();
            format!("{start}{end}")
        });
        if let Some(name) = numbered.find(|name| !taken.contains(name)) {
            taken.insert(name.clone());
            displaced.push((tool.name.clone(), name));
        }
    }
    displaced
}
