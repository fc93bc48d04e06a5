//! A composite on its way: the connector's own code, with the tools it names in reach.

use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::v1::Outcome;

use super::inner::{Parent, Target, answering};
use super::{Caller, Said};
use crate::catalog::{Composite, ToolEntry};
use crate::execute::Aside;
use crate::execute::code::{Answering, Api, Budget, Finished, Given, Program, Returned, Stopped, Thrown};
use crate::execute::rest::response::Content;
use crate::record::CallEvent;

const ENDED: &str = "The code that asked for this ended before its turn came, so nothing was called.";

/// Runs a composite that policy has allowed, with arguments that fit, and records what became of it.
pub(super) async fn run(
    caller: &Caller,
    entry: &ToolEntry,
    composite: &Composite,
    arguments: &Map<String, Value>,
    mut event: CallEvent,
    parent: Option<&Parent>,
) -> Said {
    let start = Instant::now();
    let turn = match parent {
        Some(parent) => parent.composite_turn().await.map(Some),
        None => Some(None),
    };
    let room = match (&turn, parent) {
        (None, _) => Err(Thrown::new("late", ENDED)),
        (Some(_), Some(parent)) => Ok(parent.room.clone()),
        (Some(_), None) => caller
            .app
            .sandbox
            .room(caller.visit.tenant.id)
            .map_err(|full| Thrown::new("busy", full.to_string())),
    };
    let room = match room {
        Ok(room) => room,
        Err(thrown) => {
            event.step("code", false, start.elapsed(), thrown.message.clone());
            event.finish(Outcome::CodeFailed, &thrown.message);
            return Said::Failed(thrown);
        }
    };
    let budget = parent.map_or_else(Budget::default, |parent| parent.budget.clone());
    let own = Parent::new(event.calls_others(), budget.clone(), room.clone());
    let tools = ConnectorTools {
        caller: caller.clone(),
        installation: entry.installation.id,
        names: composite.calls.clone(),
        parent: own.clone(),
    };
    let program = Program {
        source: composite.source.clone(),
        given: Given::Params(composite.params_with_defaults(arguments)),
        within: composite.within,
    };
    let finished = room.run(program, Arc::new(tools), budget).await;
    let calls: u32 = own.end().iter().map(|traced| traced.calls).sum();
    let said = outcome(&entry.name, &finished);
    let detail = match &said {
        Ok(_) => format!("{calls} calls"),
        Err(thrown) => thrown.message.clone(),
    };
    event.step("code", said.is_ok(), start.elapsed(), detail);
    match said {
        Ok(content) => {
            event.facts().result_bytes = content.bytes() as u64;
            event.finish(Outcome::Ok, "");
            Said::Result(content, Aside::default())
        }
        Err(thrown) => {
            event.finish(Outcome::CodeFailed, &thrown.message);
            Said::Failed(thrown)
        }
    }
}

fn outcome(name: &str, finished: &Finished) -> Result<Content, Thrown> {
    match &finished.result {
        Ok(Returned(Some(json))) => {
            let json = RawValue::from_string(json.clone());
            json.map(Content::Json).map_err(|_| Thrown::new("internal", Stopped::Fault.to_string()))
        }
        Ok(Returned(None)) => Ok(Content::Text("Done.".to_owned())),
        // The words of a call that failed say enough.
        Err(Stopped::Threw { message, code: Some(code), .. }) => Err(Thrown::new(code, message)),
        Err(Stopped::Threw { message, .. }) => {
            Err(Thrown::new("code_failed", format!("{name} failed: {message}")))
        }
        Err(stopped) => Err(Thrown::new("code_failed", format!("{name} failed: {stopped}"))),
    }
}

/// The tools of one connector that its composite names.
struct ConnectorTools {
    caller: Caller,
    installation: InstallationId,
    names: Vec<String>,
    parent: Parent,
}

impl Api for ConnectorTools {
    fn names(&self, _: &str) -> Vec<String> {
        self.names.clone()
    }

    fn namespace(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn find(&self, _: &str, tool: &str) -> Result<u32, String> {
        let at = self.names.iter().position(|name| name == tool).and_then(|at| u32::try_from(at).ok());
        at.ok_or_else(|| format!("api has no tool {tool:?}"))
    }

    fn spelled(&self, tool: u32) -> String {
        let name = usize::try_from(tool).ok().and_then(|at| self.names.get(at));
        format!("api.{}", name.map_or("?", String::as_str))
    }

    fn call(&self, tool: u32, arguments: Map<String, Value>) -> Answering {
        let name = usize::try_from(tool).ok().and_then(|at| self.names.get(at)).cloned().unwrap_or_default();
        let target = Target { installation: self.installation, tool: name, spelled: self.spelled(tool) };
        answering(&self.caller, &self.parent, target, arguments)
    }
}
