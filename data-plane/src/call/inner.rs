//! Calls that code makes. Each is a call like a client's: policy looks at it with what is in force by then, its arguments
//! are checked, and it is recorded, with the call on whose behalf it was made.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::names;

use super::line::Line;
use super::{Caller, Said, make, upstream};
use crate::catalog::Installation;
use crate::execute::code::{Answering, Budget, Room, Thrown};
use crate::execute::rest::response::Content;

const NEEDS_CLIENT: &str =
    "The tool asks something of the client first, which code cannot answer. Call it from the list of tools.";

/// A call on whose behalf others are made.
#[derive(Clone)]
pub(super) struct Parent {
    /// `call_id` of its event.
    pub id: String,
    /// Shared with the runs that this one leads to.
    pub budget: Budget,
    /// The room in the sandbox; what it leads to runs in the same.
    pub room: Room,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Composites that it calls run one after the other: each takes memory of its own.
    composites: tokio::sync::Mutex<()>,
    over: AtomicBool,
    trace: Mutex<Vec<Traced>>,
}

/// The calls of one tool, for the answer.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(super) struct Traced {
    pub tool: String,
    pub calls: u32,
    #[serde(skip_serializing_if = "is_none")]
    pub failed: u32,
    /// Milliseconds, all together.
    pub ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

impl Parent {
    pub(super) fn new(id: String, budget: Budget, room: Room) -> Self {
        Self { id, budget, room, shared: Arc::default() }
    }

    /// Waits until a composite may run; `None` if this call has ended meanwhile.
    pub(super) async fn composite_turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let turn = self.shared.composites.lock().await;
        (!self.shared.over.load(Ordering::Acquire)).then_some(turn)
    }

    /// Ends it: what waits for its turn does not begin any more. Answers what was called, in the order of the first calls.
    pub(super) fn end(&self) -> Vec<Traced> {
        self.shared.over.store(true, Ordering::Release);
        self.shared.trace.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, tool: &str, took: Duration, well: bool) {
        let mut trace = self.shared.trace.lock().unwrap_or_else(PoisonError::into_inner);
        let at = trace.iter().position(|traced| traced.tool == tool).unwrap_or(trace.len());
        if at == trace.len() {
            trace.push(Traced { tool: tool.to_owned(), ..Traced::default() });
        }
        if let Some(traced) = trace.get_mut(at) {
            traced.calls += 1;
            traced.failed += u32::from(!well);
            traced.ms += u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        }
    }
}

/// Which tool code calls: the connector's own name for it, and how the code spells it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub installation: InstallationId,
    pub tool: String,
    pub spelled: String,
}

/// Makes a call. It goes on to its end though nobody may wait for it any more.
pub(super) fn answering(
    caller: &Caller,
    parent: &Parent,
    target: Target,
    arguments: Map<String, Value>,
) -> Answering {
    let (caller, parent) = (caller.clone(), parent.clone());
    let tracker = caller.app.calls.clone();
    let task = tracker.spawn(async move {
        let start = Instant::now();
        let said = inner(&caller, &parent, &target, arguments).await;
        parent.note(&target.spelled, start.elapsed(), said.is_ok());
        said
    });
    Box::pin(async move {
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "call ended without an answer");
            Err(Thrown::new("internal", "The call failed inside the gateway. Try again."))
        })
    })
}

async fn inner(
    caller: &Caller,
    parent: &Parent,
    target: &Target,
    arguments: Map<String, Value>,
) -> Result<Content, Thrown> {
    // Code runs for a while; what was taken back meanwhile is gone for it too.
    let gone = || Thrown::new("denied", "Access ended while the code was running. Log in again.");
    let caller = caller.renewed().ok_or_else(gone)?;
    let tenant = Arc::clone(&caller.visit.tenant);
    let room = caller.app.capacity.call(tenant.id);
    let _room = room.map_err(|full| Thrown::new("busy", full.to_string()))?;
    let installed = tenant.installations.iter().find(|one| one.id == target.installation);
    let found = installed.and_then(|one| tenant.tool_of(one.id, &target.tool));
    let name =
        found.map_or_else(|| public_name(installed.map(|one| &**one), target), |entry| entry.name.clone());
    // Code has no client to ask; its caller may still hang up on it.
    let line = Line::silent(caller.line.hung_up().clone());
    let caller = Caller { line, ..caller.clone() };
    match make(&caller, &name, found, Value::Object(arguments), None, Some(parent)).await {
        Said::Result(content, _) => Ok(content),
        Said::Passed(result) => upstream::content(&result),
        Said::Failed(thrown) | Said::Reconnect(thrown) => Err(thrown),
        Said::Unfit(text) => Err(Thrown::new("invalid_arguments", text)),
        Said::Refused(text) => Err(Thrown::new("denied", text)),
        Said::InputRequired(_) => Err(Thrown::new("input_required", NEEDS_CLIENT)),
        Said::Rpc(error) => Err(Thrown::new("upstream_error", error.message)),
    }
}

/// For the log, where a tool is not there any more.
fn public_name(installed: Option<&Installation>, target: &Target) -> String {
    installed.map_or_else(|| target.spelled.clone(), |one| names::tool_name(&one.name, &target.tool))
}
