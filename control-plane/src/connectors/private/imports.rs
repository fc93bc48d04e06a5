//! OpenAPI documents on their way to a connector: read, kept while somebody picks operations, then written as DADL.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;
use toolmesh_proto::ids::{ImportId, PrivateConnectorId};
use url::Url;

use super::{PrivateConnectors, store};
use crate::accounts::members::{Membership, Permission};
use crate::connectors::openapi::{self, Document, Generated, Outline, Refused};
use crate::error::{Error, Result};
use crate::outbound::{OutboundError, Outgoing};

/// Imports that are kept of one workspace.
const MAX_IMPORTS: i64 = 5;
/// Where a document has no more operations, all are picked at first.
const FEW: usize = 40;
/// Longest wait for a document that is fetched.
const FETCH: Duration = Duration::from_secs(20);

/// Access class by operation.
pub(super) type Picked = BTreeMap<String, String>;

/// A document that operations are picked from.
#[derive(Clone, Debug)]
pub struct Import {
    pub id: ImportId,
    /// The file's name or the address.
    pub origin: String,
    pub outline: Outline,
    /// Access class by operation.
    pub picked: BTreeMap<String, String>,
    pub at: OffsetDateTime,
}

/// What becomes of one operation of the selection.
#[derive(Clone, Debug)]
pub struct Pick {
    pub operation: String,
    /// The access class; `None` to leave it out.
    pub access: Option<String>,
}

impl PrivateConnectors {
    /// Reads a document that was uploaded.
    ///
    /// # Errors
    /// A field error for `file` that says why it is not read.
    pub async fn import(&self, by: &Membership, file_name: &str, document: String) -> Result<ImportId> {
        by.require(Permission::Connectors)?;
        let origin: String = file_name.chars().filter(|c| !c.is_control()).take(200).collect();
        self.keep(by, origin, document, "file", None).await
    }

    /// Fetches a document and reads it.
    ///
    /// # Errors
    /// A field error for `url` that says why there is none.
    pub async fn import_from(&self, by: &Membership, address: &str) -> Result<ImportId> {
        by.require(Permission::Connectors)?;
        let refused = |message: String| Error::field("url", message);
        let url = self
            .outbound
            .policy()
            .parse(address.trim())
            .map_err(|error| refused(format!("This address is not fetched: {error}.")))?;
        let turn = self.turn().await?;
        let mut request = Outgoing::get(url.clone(), openapi::MAX_SOURCE, FETCH);
        let accept =
            http::HeaderValue::from_static("application/json, application/yaml, text/yaml, */*;q=0.5");
        request.headers.insert(http::header::ACCEPT, accept);
        let answer = self.outbound.send(request).await.map_err(|error| match error {
            OutboundError::TooLarge(_) => {
                refused(format!("The document is larger than {} MB.", openapi::MAX_SOURCE >> 20))
            }
            other => refused(format!("The document could not be fetched: {other}.")),
        })?;
        drop(turn);
        if answer.status.is_redirection() {
            let to = answer.headers.get(http::header::LOCATION).and_then(|to| to.to_str().ok());
            let to =
                to.map(|to| format!(" to {}", to.chars().take(200).collect::<String>())).unwrap_or_default();
            return Err(refused(format!(
                "The address points elsewhere{to}, which is not followed. Use that address."
            )));
        }
        if !answer.status.is_success() {
            return Err(refused(format!("The server answered {} instead of a document.", answer.status)));
        }
        let document = String::from_utf8(answer.body.to_vec())
            .map_err(|_| refused("What was fetched is not text.".to_owned()))?;
        self.keep(by, url.to_string(), document, "url", Some(url)).await
    }

    async fn keep(
        &self,
        by: &Membership,
        origin: String,
        document: String,
        field: &'static str,
        url: Option<Url>,
    ) -> Result<ImportId> {
        // The database keeps no such character.
        if document.contains('\0') {
            return Err(Error::field(field, "The document is not text."));
        }
        let read = self
            .work(move || -> std::result::Result<(Outline, String), Refused> {
                let outline = Document::read(&document, url)?.outline()?;
                Ok((outline, document))
            })
            .await?;
        let (outline, document) = read.map_err(|Refused(message)| Error::field(field, message))?;
        let usable = outline.operations.iter().filter(|operation| operation.problem.is_none());
        let picked: Picked = if outline.operations.len() <= FEW {
            let wanted = usable.filter(|operation| !operation.deprecated);
            wanted.map(|operation| (operation.key.clone(), operation.access.clone())).collect()
        } else {
            Picked::new()
        };
        let id = ImportId::new();
        let mut tx = self.db.tenant(by.tenant).await?;
        store::prune_imports(&mut tx, MAX_IMPORTS - 1).await?;
        store::insert_import(&mut tx, id, &origin, &document, &outline, &picked, by.user).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// An import and what is picked from it.
    ///
    /// # Errors
    /// `NotFound` for an import of no or another workspace, or one that is over.
    pub async fn opened(&self, by: &Membership, id: ImportId) -> Result<Import> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let row = store::import(&mut tx, id).await?.ok_or(Error::NotFound)?;
        Ok(Import {
            id,
            origin: row.origin,
            outline: row.outline.0,
            picked: row.picked.0,
            at: row.created_at,
        })
    }

    /// Changes what is picked. Operations that there are not, or that cannot be tools, are passed over.
    ///
    /// # Errors
    /// `NotFound` for an unknown import.
    pub async fn pick(&self, by: &Membership, id: ImportId, picks: &[Pick]) -> Result<()> {
        let import = self.opened(by, id).await?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let mut picked = store::lock_import(&mut tx, id).await?.ok_or(Error::NotFound)?;
        for pick in picks {
            let known = import.outline.operations.iter().find(|operation| operation.key == pick.operation);
            match (&pick.access, known.filter(|operation| operation.problem.is_none())) {
                (Some(access), Some(operation)) => {
                    let word = CLASSES.iter().find(|class| *class == access);
                    let access = word.map_or_else(|| operation.access.clone(), |word| (*word).to_owned());
                    picked.insert(operation.key.clone(), access);
                }
                (_, _) => drop(picked.remove(&pick.operation)),
            }
        }
        store::set_picked(&mut tx, id, &picked).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Writes the connector with what is picked and saves it; the import is over then. Answers the connector and what its reader
    /// should know.
    ///
    /// # Errors
    /// A field error for `name` or `picked`.
    pub async fn finish(
        &self,
        by: &Membership,
        id: ImportId,
        name: &str,
    ) -> Result<(PrivateConnectorId, Vec<String>)> {
        let import = self.opened(by, id).await?;
        let name = name.trim().to_owned();
        if !toolmesh_proto::names::is_installation_name(&name) {
            let message = "Use 1 to 24 lower-case letters, digits and hyphens, starting with a letter, such as pet-store.";
            return Err(Error::field("name", message));
        }
        let (origin, document) = {
            let mut tx = self.db.tenant(by.tenant).await?;
            store::document(&mut tx, id).await?.ok_or(Error::NotFound)?
        };
        let picked = import.picked.into_iter().collect();
        let written = self
            .work(move || -> std::result::Result<Generated, Refused> {
                Document::read(&document, Url::parse(&origin).ok())?.generate(&name, &picked)
            })
            .await?;
        let Generated { dadl, notes } =
            written.map_err(|Refused(message)| Error::field("picked", message))?;
        let connector = self.create(by, &dadl).await.map_err(|error| match error {
            Error::Field { message, .. } => Error::field("name", message),
            other => other,
        })?;
        let mut tx = self.db.tenant(by.tenant).await?;
        store::delete_import(&mut tx, id).await?;
        tx.commit().await?;
        Ok((connector, notes))
    }
}

/// The access classes that may be chosen.
pub const CLASSES: &[&str] = &["read", "write", "admin", "dangerous"];
