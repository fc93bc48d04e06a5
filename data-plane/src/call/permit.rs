//! Whether a call is made: policy on the tool it names, and what a caller who may not is told.

use std::time::Instant;

use toolmesh_proto::v1::Outcome;

use super::{Asked, Caller, begin};
use crate::catalog::ToolEntry;
use crate::execute::credentials::Opened;
use crate::identity::Reach;
use crate::policy::{Decision, Feed, Reason, authorize};
use crate::record::CallEvent;

/// Why there is no call.
pub(super) struct Refused {
    pub logged: String,
    pub told: String,
}

impl Refused {
    fn new(logged: &impl ToString, name: &str) -> Self {
        // A tool that is switched off is no different from one that never was.
        let told = format!("Unknown tool: {}", name.chars().take(100).collect::<String>());
        Self { logged: logged.to_string(), told }
    }

    fn because(reason: Reason, entry: &ToolEntry) -> Self {
        let told = match reason {
            Reason::ReadOnlyKey => format!(
                "This API key is for reading only, and {} does more than read. Use a key that may use all tools.",
                entry.name
            ),
            Reason::NeedsWriteScope => format!(
                "{} changes things, which needs a permission of its own in this workspace. Allow it in your client, or \
                 connect again.",
                entry.name
            ),
            Reason::CutOff => format!(
                "{} was not called, and nothing was changed. The gateway has not heard for a while whose access was taken \
                 back, and in this workspace such tools wait until it has. Try again in a minute; tools that only read work \
                 meanwhile.",
                entry.name
            ),
            Reason::NotAMember | Reason::SwitchedOff | Reason::Foreign => {
                return Self::new(&reason, &entry.name);
            }
        };
        Self { logged: reason.to_string(), told }
    }
}

/// The tool that was found under a name, if policy says yes.
pub(super) fn permit<'a>(
    caller: &Caller,
    name: &str,
    found: Option<&'a ToolEntry>,
    event: &mut CallEvent,
) -> Result<&'a ToolEntry, Refused> {
    let start = Instant::now();
    let tenant = &caller.visit.tenant;
    let feed = caller.app.table.feed();
    let decision = found.map(|entry| (entry, authorize(tenant, &caller.principal, entry, feed)));
    if let Some((entry, _)) = &decision {
        let facts = event.facts();
        facts.installation_id = entry.installation.id.to_string();
        facts.access = entry.tool.access.to_string();
        // One tool is one name in the log, by whichever it was called.
        facts.tool.clone_from(&entry.name);
    }
    let refused = match decision {
        Some((entry, Decision::Allow)) => {
            event.step("policy", true, start.elapsed(), "allowed");
            return Ok(entry);
        }
        Some((entry, Decision::Deny(reason))) => Refused::because(reason, entry),
        None => Refused::new(&"There is no tool of this name.", name),
    };
    event.step("policy", false, start.elapsed(), refused.logged.clone());
    Err(refused)
}

/// Why a call needs a wider token than the caller's, if it does; such a call is recorded here and goes no further. `asked`
/// is read only where it can matter.
pub fn too_narrow(caller: &Caller, asked: impl FnOnce() -> Option<Asked>) -> Option<String> {
    let tenant = &caller.visit.tenant;
    // Most callers are done here, before anything is read twice.
    if !tenant.writes_need_scope || caller.principal.reach != (Reach::Scoped { write: false }) {
        return None;
    }
    let asked = asked()?;
    let entry = tenant.tool(&asked.name).filter(|entry| !entry.tool.hidden)?;
    let narrow = Decision::Deny(Reason::NeedsWriteScope);
    if authorize(tenant, &caller.principal, entry, Feed::Heard) != narrow {
        return None;
    }
    let mut event = begin(caller, &asked.name, None);
    let refused = permit(caller, &asked.name, Some(entry), &mut event).err()?;
    event.arguments(&asked.arguments.unwrap_or_default(), &Opened::default());
    event.finish(Outcome::Denied, &refused.logged);
    Some(refused.told)
}
