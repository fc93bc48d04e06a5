//! What admins decide about a server's definitions.

use std::collections::HashMap;

use toolmesh_proto::access::Access;
use toolmesh_proto::ids::InstallationId;

use super::definitions::Kind;
use super::review::{self, Item, Known, State};
use super::{Upstreams, store};
use crate::accounts::members::{Membership, Permission};
use crate::connectors::exposure::Exposure;
use crate::connectors::store as installed;
use crate::error::{Error, Result};

/// One thing that was picked, by the key of what was looked at.
#[derive(Clone, Debug)]
pub struct Choice {
    pub key: String,
    /// Of tools: the access class; empty for the one that follows from its annotations.
    pub access: String,
}

/// What to do with what was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// The first look: everything is known from now on, and what was picked is on.
    Begin,
    Approve,
    Refuse,
}

/// Access classes that a tool may be given.
const CLASSES: [Access; 4] = [Access::Read, Access::Write, Access::Admin, Access::Dangerous];

impl Upstreams {
    /// Carries out what was decided. Answers how many definitions it was about.
    ///
    /// # Errors
    /// `Refused` where what was picked has changed since it was looked at.
    pub async fn decide(
        &self,
        by: &Membership,
        id: InstallationId,
        decided: Decided,
        picked: Vec<Choice>,
    ) -> Result<usize> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let server = store::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let before = self.installations.load(&mut tx, id).await?;
        let mut known = store::definitions(&mut tx, id).await?;
        let items = review::items(&known);
        let picked: HashMap<String, String> =
            picked.into_iter().map(|choice| (choice.key, choice.access)).collect();
        if picked.keys().any(|key| !items.iter().any(|item| &item.key == key)) {
            let text = "What the server offers has changed since you looked. Look again, then decide.";
            return Err(Error::Refused(text.to_owned()));
        }
        let begins = decided == Decided::Begin && !server.reviewed;
        let mut off = Vec::new();
        let mut count = 0;
        for item in &items {
            let access = picked.get(&item.key);
            match (decided, access) {
                (Decided::Begin, _) if begins && item.state == State::New => {
                    approve(&mut known, item, access.map_or("", String::as_str), access.is_some());
                    if access.is_none() && item.kind == Kind::Tool {
                        off.push(item.name.clone());
                    }
                }
                (Decided::Approve, Some(access)) => {
                    if let Some(old) = item.renamed_from.as_ref().filter(|_| item.kind == Kind::Tool) {
                        installed::rename_tool(&mut tx, id, old, &item.name).await?;
                    } else if item.state == State::Gone && item.kind == Kind::Tool {
                        installed::forget_tool(&mut tx, id, &item.name).await?;
                    }
                    approve(&mut known, item, access, true);
                }
                (Decided::Refuse, Some(_)) => {
                    if let Some(gone) = no_longer_there(item) {
                        installed::forget_tool(&mut tx, id, gone).await?;
                    }
                    refuse(&mut known, item);
                }
                _ => continue,
            }
            count += 1;
        }
        store::replace(&mut tx, id, &known, Some(by.user)).await?;
        if begins {
            store::set_reviewed(&mut tx, id).await?;
            installed::set_tools(&mut tx, id, &off, false, by.user).await?;
            let on = known.iter().filter(|row| row.kind == Kind::Tool).count() - off.len();
            let others = self.installations.load_all(&mut tx).await?;
            installed::set_exposure(&mut tx, id, Exposure::of_new(&others, on).as_str()).await?;
        }
        self.recompile(tx, &before, &server, &known).await?;
        Ok(count)
    }

    /// Switches prompts, resources, templates or the instructions on or off.
    ///
    /// # Errors
    /// `NotFound` for what the server does not offer.
    pub async fn switch(
        &self,
        by: &Membership,
        id: InstallationId,
        kind: Kind,
        name: &str,
        on: bool,
    ) -> Result<()> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let server = store::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let before = self.installations.load(&mut tx, id).await?;
        let mut known = store::definitions(&mut tx, id).await?;
        let row = known.iter_mut().find(|row| row.kind == kind && row.name == name && kind != Kind::Tool);
        row.ok_or(Error::NotFound)?.off = !on;
        store::replace(&mut tx, id, &known, None).await?;
        // Nodes hear of it beside the connector, which has them all.
        if kind == Kind::Instructions {
            return self.recompile(tx, &before, &server, &known).await;
        }
        tx.commit_change().await?;
        Ok(())
    }

    /// Gives a tool another access class.
    ///
    /// # Errors
    /// `NotFound` for a tool that the server does not offer; a field error for an unknown class.
    pub async fn set_class(
        &self,
        by: &Membership,
        id: InstallationId,
        tool: &str,
        class: &str,
    ) -> Result<()> {
        by.require(Permission::Connectors)?;
        let class = CLASSES.iter().find(|known| known.as_str() == class);
        let class = class.ok_or_else(|| Error::field("access", "Choose one of the access classes."))?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let server = store::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let before = self.installations.load(&mut tx, id).await?;
        let mut known = store::definitions(&mut tx, id).await?;
        let row =
            known.iter_mut().find(|row| row.kind == Kind::Tool && row.name == tool).ok_or(Error::NotFound)?;
        class.as_str().clone_into(&mut row.access);
        store::replace(&mut tx, id, &known, None).await?;
        self.recompile(tx, &before, &server, &known).await
    }
}

/// Approves what the server says now; what is gone is taken out for good.
fn approve(known: &mut Vec<Known>, item: &Item, access: &str, on: bool) {
    if let Some(old) = &item.renamed_from {
        known.retain(|row| !(row.kind == item.kind && &row.name == old));
    }
    if item.state == State::Gone {
        known.retain(|row| !(row.kind == item.kind && row.name == item.name));
        return;
    }
    let Some(row) = known.iter_mut().find(|row| row.kind == item.kind && row.name == item.name) else {
        return;
    };
    if row.state() == State::InUse {
        return;
    }
    row.approved.clone_from(&row.found);
    row.refused = false;
    if item.kind == Kind::Tool {
        // The class is fixed when it is approved, so that another word of the server's does not move it.
        let chosen = CLASSES.iter().find(|class| class.as_str() == access);
        row.access = chosen.map_or_else(|| item.access.clone(), |class| class.as_str().to_owned());
    } else if !on {
        row.off = true;
    }
}

/// The tool that is not at the server under its name any more, by what is decided about.
fn no_longer_there(item: &Item) -> Option<&str> {
    let gone = (item.state == State::Gone).then_some(item.name.as_str());
    item.renamed_from.as_deref().or(gone).filter(|_| item.kind == Kind::Tool)
}

/// Keeps off what the server says now. What is gone, also under another name, has nothing to be kept off: it is taken out, and is
/// new should it come back.
fn refuse(known: &mut Vec<Known>, item: &Item) {
    let is = |row: &Known, name: &str| row.kind == item.kind && row.name == name;
    known.retain(|row| !item.renamed_from.as_ref().is_some_and(|old| is(row, old)));
    if item.state == State::Gone {
        known.retain(|row| !is(row, &item.name));
    }
    let row = known.iter_mut().find(|row| is(row, &item.name));
    if let Some(row) = row.filter(|row| matches!(row.state(), State::New | State::Changed)) {
        row.refused = true;
    }
}
