//! Code mode: two tools of our own, in place of a list that would fill a model's context.
//!
//! Owns their names, how they are listed, and whom they are offered to: callers who may use at least one tool that the
//! workspace offers to code.

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use toolmesh_proto::access::Access;
use toolmesh_proto::names::{DISCOVER_TOOLS, EXECUTE_CODE};
use toolmesh_proto::v1::Outcome;

use super::{Caller, Said, discover, workspace_code};
use crate::catalog::{Tenant, spelling};
use crate::execute::code::{CODE_WITHIN, MOST_CALLS};
use crate::execute::credentials::Opened;
use crate::identity::Principal;
use crate::policy::{Feed, authorize};
use crate::record::CallEvent;

/// Most connectors that a description names.
const NAMED: usize = 20;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    Discover,
    Execute,
}

/// What a caller can reach from code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Nothing,
    /// Tools that only read.
    Reading,
    Writing,
}

impl Own {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            DISCOVER_TOOLS => Some(Self::Discover),
            EXECUTE_CODE => Some(Self::Execute),
            _ => None,
        }
    }

    const fn takes(self) -> &'static str {
        match self {
            Self::Discover => "query, names, namespace and limit, all optional",
            Self::Execute => "code, a text",
        }
    }
}

fn reach(tenant: &Tenant, principal: &Principal) -> Reach {
    let usable = tenant.tools.iter().filter(|entry| {
        entry.installation.exposure.in_code()
            && !entry.tool.hidden
            && authorize(tenant, principal, entry, Feed::Heard).is_listed()
    });
    let mut reach = Reach::Nothing;
    for entry in usable {
        if entry.tool.access != Access::Read {
            return Reach::Writing;
        }
        reach = Reach::Reading;
    }
    reach
}

/// Entries of the list of tools, for a caller who has a use for them.
#[must_use]
pub fn listings(tenant: &Tenant, principal: &Principal) -> Vec<Box<RawValue>> {
    let reading = match reach(tenant, principal) {
        Reach::Nothing => return Vec::new(),
        Reach::Reading => true,
        Reach::Writing => false,
    };
    let all = [discover_listing(tenant), execute_listing(reading)];
    all.into_iter().filter_map(|listing| serde_json::value::to_raw_value(&listing).ok()).collect()
}

fn discover_listing(tenant: &Tenant) -> Value {
    let offered: Vec<String> = tenant
        .installations
        .iter()
        .filter(|one| one.exposure.in_code())
        .take(NAMED)
        .map(|one| spelling::namespace(&one.name))
        .collect();
    let text = format!(
        "Finds tools that execute_code can call, with their TypeScript signatures. Search by what you want to do before you \
         write code. There are tools for {}.",
        offered.join(", ")
    );
    json!({
        "name": DISCOVER_TOOLS,
        "title": "Find tools",
        "description": text,
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": { "type": "string", "description": "What to do, in a few words: create an issue" },
                "names": {
                    "type": "array", "items": { "type": "string" },
                    "description": "Tools to describe in full: github.create_issue"
                },
                "namespace": { "type": "string", "description": "Look only here: github. Alone, lists all that is there" },
                "limit": { "type": "integer", "minimum": 1, "maximum": 25, "default": 8 }
            },
            "additionalProperties": false
        },
        "annotations": {
            "title": "Find tools", "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false
        }
    })
}

fn execute_listing(reading: bool) -> Value {
    let text = format!(
        "Runs JavaScript that calls tools and gives back what it returns. `await tools.github.list_issues({{ owner, repo }})` \
         is the tool's result; one that fails throws an Error with `code` and `http_status`. Get names and arguments from \
         discover_tools. Make independent calls at once with Promise.all. Filter and shorten in the code: return only what \
         is needed. At most {MOST_CALLS} calls and {} seconds; no network, modules or timers.",
        CODE_WITHIN.as_secs()
    );
    json!({
        "name": EXECUTE_CODE,
        "title": "Run code with tools",
        "description": text,
        "inputSchema": {
            "type": "object",
            "properties": {
                "code": { "type": "string", "description": "Body of an async function. Ends with return and a value" }
            },
            "required": ["code"],
            "additionalProperties": false
        },
        "annotations": {
            "title": "Run code with tools", "readOnlyHint": reading, "destructiveHint": !reading, "openWorldHint": true
        }
    })
}

/// Carries out a call of one of the two; it has been recorded when the answer comes.
pub(super) async fn run(caller: &Caller, own: Own, arguments: Value, mut event: CallEvent) -> Said {
    let start = Instant::now();
    let reach = reach(&caller.visit.tenant, &caller.principal);
    let access = if own == Own::Discover || reach != Reach::Writing { Access::Read } else { Access::Write };
    event.facts().access = access.to_string();
    event.arguments(&arguments, &Opened::default());
    if reach == Reach::Nothing {
        let reason = "The workspace offers no tools to code that this caller may use.";
        event.step("policy", false, start.elapsed(), reason);
        event.finish(Outcome::Denied, reason);
        let name = if own == Own::Discover { DISCOVER_TOOLS } else { EXECUTE_CODE };
        return Said::Refused(format!("Unknown tool: {name}"));
    }
    event.step("policy", true, start.elapsed(), "allowed; each call in it is decided by itself");
    match own {
        Own::Discover => match read::<discover::Arguments>(own, arguments, &mut event) {
            Ok(arguments) => discover::run(caller, &arguments, event),
            Err(unfit) => refuse(unfit, event),
        },
        Own::Execute => match read::<workspace_code::Arguments>(own, arguments, &mut event) {
            Ok(arguments) => workspace_code::run(caller, arguments, event).await,
            Err(unfit) => refuse(unfit, event),
        },
    }
}

fn refuse(unfit: String, event: CallEvent) -> Said {
    event.finish(Outcome::Invalid, "The arguments do not fit.");
    Said::Unfit(unfit)
}

fn read<T: DeserializeOwned>(own: Own, arguments: Value, event: &mut CallEvent) -> Result<T, String> {
    let read = serde_json::from_value(arguments);
    event.step("arguments", read.is_ok(), Duration::ZERO, if read.is_ok() { "" } else { "they do not fit" });
    read.map_err(|error| format!("The arguments do not fit: {error}. It takes {}.", own.takes()))
}
