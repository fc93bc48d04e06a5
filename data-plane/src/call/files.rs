//! Files that are too large for an answer: a link that is good for a while, and what becomes of whoever follows it.
//!
//! The node keeps nothing. The link holds, sealed, which call gives the file and what its caller showed; whoever follows it
//! makes that call once more, with what is in force by then, on any node. Only tools that read are called so: people follow
//! links twice, and programs that look ahead follow them unasked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;
use toolmesh_proto::access::Access;
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::v1::Outcome;

use super::carry_out::{fitting, outcome};
use super::line::Line;
use super::permit::permit;
use super::{Caller, begin};
use crate::catalog::{Call, ToolEntry};
use crate::execute::Failure;
use crate::execute::download::Download;
use crate::execute::rest::Plan;
use crate::execute::rest::response::{AnswerError, Content, status_text};
use crate::identity::{self, Proof};
use crate::ingress::{CallPermit, Standing, Visit};
use crate::node::App;
use crate::record::{CallEvent, event::millis};
use crate::sealed::Purpose;

/// How long a link is good where the connector does not say.
const SECONDS: u32 = 600;
/// Longest arguments that a link holds, as JSON.
const ARGUMENTS_BYTES: usize = 2 << 10;

/// What a link holds.
#[derive(Debug, Serialize, Deserialize)]
struct Ticket {
    installation: InstallationId,
    /// The connector's own name of the tool.
    tool: String,
    arguments: Map<String, Value>,
    proof: Proof,
}

/// A file on its way.
#[derive(Debug)]
pub struct Handed {
    pub media_type: String,
    pub name: String,
    pub length: Option<u64>,
    pub content: Rest,
}

/// Why a link gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFile {
    #[error("This link has expired, or is not complete. Ask for the file again.")]
    Link,
    #[error("This file may no longer be fetched by whoever asked for it.")]
    Denied,
    #[error("The gateway has too much to do. Follow the link again in a moment.")]
    Busy,
    /// What the API did instead.
    #[error("{0}")]
    Failed(String),
}

/// What a caller is given in place of a file that is too large; `None` where there can be no link.
pub(super) fn link(
    caller: &Caller,
    entry: &ToolEntry,
    plan: &Plan,
    arguments: &Map<String, Value>,
    most: usize,
) -> Option<Content> {
    let long = serde_json::to_string(arguments).ok()?.len() > ARGUMENTS_BYTES;
    if long || !may_be_linked(entry, plan) {
        return None;
    }
    let ticket = Ticket {
        installation: entry.installation.id,
        tool: entry.tool.name.clone(),
        arguments: arguments.clone(),
        proof: caller.standing.proof()?,
    };
    let seconds = if plan.answer.link_seconds == 0 { SECONDS } else { plan.answer.link_seconds };
    let until = OffsetDateTime::now_utc() + time::Duration::seconds(seconds.into());
    let tenant = &caller.visit.tenant;
    let ticket = serde_json::to_vec(&ticket).ok()?;
    let bound = tenant.id.to_string();
    let sealed = caller.app.seals.seal(Purpose::File, &[&bound], until.unix_timestamp(), &ticket).ok()?;
    let told = json!({
        "download_url": format!("{}/files/{sealed}", tenant.origin),
        "expires_at": until.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()?,
        "note": format!(
            "The file is larger than {} MiB, too large to be shown here. Whoever opens the link gets it, without logging in.",
            most >> 20
        ),
    });
    RawValue::from_string(told.to_string()).ok().map(Content::Json)
}

fn may_be_linked(entry: &ToolEntry, plan: &Plan) -> bool {
    plan.answer.file && plan.method == Method::GET && entry.tool.access == Access::Read
}

/// Begins to hand on the file of a link.
///
/// # Errors
/// Says what whoever follows the link is told.
pub async fn follow(app: &Arc<App>, visit: Visit, sealed: &str) -> Result<Handed, NoFile> {
    let start = Instant::now();
    let tenant = Arc::clone(&visit.tenant);
    let bound = tenant.id.to_string();
    let opened = app.seals.open(Purpose::File, &[&bound], sealed).map_err(|_| NoFile::Link)?;
    let ticket: Ticket = serde_json::from_slice(&opened).map_err(|_| NoFile::Link)?;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let principal = identity::stands(&tenant, &app.table.revoked(), &ticket.proof, now);
    let principal = principal.map_err(|_| NoFile::Denied)?;
    app.rates.take(&tenant, &principal).map_err(|_| NoFile::Busy)?;
    // Nothing is asked of the standing: it is for calls that change something or go on for long.
    let standing = Standing::new(Arc::clone(app), tenant.id, &HeaderMap::new());
    let identified_in = start.elapsed();
    let line = Line::silent(CancellationToken::new());
    let caller = Caller { app: Arc::clone(app), visit, principal, standing, identified_in, line };

    let found = tenant.entries_of(ticket.installation).iter().find(|entry| entry.tool.name == ticket.tool);
    let name = found.map_or_else(|| ticket.tool.clone(), |entry| entry.name.clone());
    let mut event = begin(&caller, &name, None);
    "files".clone_into(&mut event.facts().method);
    let entry = match permit(&caller, &name, found, &mut event) {
        Ok(entry) => entry,
        Err(refused) => {
            event.finish(Outcome::Denied, &refused.logged);
            return Err(NoFile::Denied);
        }
    };
    match &entry.tool.call {
        Call::Rest(plan) if may_be_linked(entry, plan) => {
            hand(&caller, entry, plan, ticket.arguments, event).await
        }
        // It has become another tool since.
        _ => {
            event.finish(Outcome::Denied, "The tool gives no file to read any more.");
            Err(NoFile::Link)
        }
    }
}

async fn hand(
    caller: &Caller,
    entry: &ToolEntry,
    plan: &Plan,
    arguments: Map<String, Value>,
    mut event: CallEvent,
) -> Result<Handed, NoFile> {
    let room = match caller.app.capacity.call(caller.visit.tenant.id) {
        Ok(room) => room,
        Err(full) => {
            event.finish(Outcome::Denied, &full.to_string());
            return Err(NoFile::Busy);
        }
    };
    let holder = caller.visit.tenant.holder(&entry.installation, caller.principal.subject);
    let opened = caller.app.executor.open_for(&entry.installation, holder);
    let arguments = Value::Object(arguments);
    event.arguments(&arguments, &opened);
    let arguments = match fitting(entry, arguments, &mut event) {
        Ok(arguments) => arguments,
        Err(unfit) => {
            event.finish(Outcome::Invalid, &unfit.logged);
            return Err(NoFile::Link);
        }
    };
    let start = Instant::now();
    match caller.app.executor.download(&entry.installation, plan, opened, &arguments).await {
        Ok(download) => {
            event.step("credential", true, download.credential, "");
            event.facts().upstream_status = u32::from(download.status.as_u16());
            let (media_type, name, length) =
                (download.media_type.clone(), download.name.clone(), download.length);
            let content = Rest { download, event: Some(event), start, _room: room };
            Ok(Handed { media_type, name, length, content })
        }
        Err(failure) => {
            let told = failure.told(&entry.installation.connector.spoken(), &caller.visit.tenant.name);
            note(&mut event, &failure, start.elapsed());
            event.finish(outcome(&failure), &told);
            Err(NoFile::Failed(told))
        }
    }
}

/// Writes down at which step there was no file.
fn note(event: &mut CallEvent, failure: &Failure, took: Duration) {
    let (step, detail) = match failure {
        Failure::Credential(error) => ("credential", error.to_string()),
        Failure::Argument(error) => ("credential", error.to_string()),
        Failure::Program(error) => ("arguments", error.clone()),
        Failure::Outbound(error) => ("upstream", error.to_string()),
        Failure::Answer(AnswerError::Status { status, .. }) => {
            event.facts().upstream_status = u32::from(status.as_u16());
            event.facts().upstream_millis = millis(took);
            ("upstream", status_text(*status))
        }
        Failure::Answer(error) => ("upstream", error.to_string()),
    };
    event.step(step, false, took, detail);
}

/// The bytes of a file, as they come. Whatever becomes of them, it is recorded.
#[derive(Debug)]
pub struct Rest {
    download: Download,
    event: Option<CallEvent>,
    start: Instant,
    _room: CallPermit,
}

impl Rest {
    /// The next of them; `None` after the last. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        match self.download.next().await {
            Ok(Some(bytes)) => Some(Ok(bytes)),
            Ok(None) => {
                self.end(Outcome::Ok, "");
                None
            }
            Err(error) => {
                self.end(Outcome::UpstreamFailed, &error.to_string());
                Some(Err(std::io::Error::other(error)))
            }
        }
    }

    fn end(&mut self, outcome: Outcome, reason: &str) {
        let Some(mut event) = self.event.take() else { return };
        let took = self.start.elapsed();
        let status = status_text(self.download.status);
        let detail = if reason.is_empty() { status } else { format!("{status}; {reason}") };
        event.step("upstream", outcome == Outcome::Ok, took.saturating_sub(self.download.credential), detail);
        event.facts().upstream_millis = millis(took);
        event.facts().result_bytes = self.download.handed;
        event.finish(outcome, reason);
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.end(Outcome::Ok, "Whoever followed the link stopped before the end.");
    }
}
