//! A composite that its author tries: its code is run as a node runs it, and each call that it makes is a line.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use toolmesh_data_plane::catalog::{Call, Composite, Installation};
use toolmesh_data_plane::execute::code::{
    Answering, Api, Budget, Given, Program, Returned, Sandbox, Stopped, Thrown,
};
use toolmesh_data_plane::execute::{Executor, arguments};

use super::{Bench, Printed, Try, cut};

/// Runs the code of a composite with arguments that fit.
pub(super) async fn run(
    bench: &Bench,
    call: &Try,
    name: &str,
    composite: &Composite,
    arguments: &Map<String, Value>,
) -> anyhow::Result<Printed> {
    let tools = Arc::new(Tools {
        executor: bench.executor.clone(),
        installation: Arc::new(bench.installation(&call.credentials)?),
        names: composite.calls.clone(),
        lines: Arc::default(),
    });
    let room = Sandbox::default().room(bench.tenant)?;
    let program = Program {
        source: composite.source.clone(),
        given: Given::Params(composite.params_with_defaults(arguments)),
        within: composite.within,
    };
    let api: Arc<dyn Api> = Arc::clone(&tools) as Arc<dyn Api>;
    let finished = room.run(program, api, Budget::default()).await;
    let mut text = String::new();
    for line in tools.lines.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        writeln!(text, "{line}")?;
    }
    for line in &finished.console {
        writeln!(text, "console: {line}")?;
    }
    let good = finished.result.is_ok();
    match finished.result {
        Ok(Returned(value)) => {
            writeln!(text, "{}", cut(value.as_deref().unwrap_or("(it returned nothing)")))?
        }
        Err(Stopped::Threw { message, line: Some(line), code: None }) => {
            writeln!(text, "{name} failed: {message} (line {line} of its code)")?;
        }
        Err(stopped) => writeln!(text, "{name} failed: {stopped}")?,
    }
    Ok(Printed { text, good })
}

/// The tools of the one connector that its composite names.
struct Tools {
    executor: Executor,
    installation: Arc<Installation>,
    names: Vec<String>,
    /// A line for each call, in the order of their ends.
    lines: Arc<Mutex<Vec<String>>>,
}

impl Tools {
    fn at(&self, tool: u32) -> &str {
        let name = usize::try_from(tool).ok().and_then(|at| self.names.get(at));
        name.map_or("?", String::as_str)
    }
}

impl Api for Tools {
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
        format!("api.{}", self.at(tool))
    }

    fn call(&self, tool: u32, arguments: Map<String, Value>) -> Answering {
        let (executor, installation) = (self.executor.clone(), Arc::clone(&self.installation));
        let (name, lines) = (self.at(tool).to_owned(), Arc::clone(&self.lines));
        Box::pin(async move {
            let connector = Arc::clone(&installation.connector);
            let Some(tool) = connector.tool(&name) else {
                return Err(Thrown::new("internal", "There is no such tool."));
            };
            let Call::Rest(plan) = &tool.call else {
                return Err(Thrown::new("internal", "A composite calls tools alone."));
            };
            let given = Value::Object(arguments);
            if let Err(unfit) = arguments::check(&name, &tool.validator, &tool.call, &given) {
                return Err(Thrown::new("invalid_arguments", unfit.told));
            }
            let Value::Object(given) = given else { return Err(Thrown::new("internal", "No arguments.")) };
            let opened = executor.open(&installation);
            let execution = executor.call(&installation, plan, &opened, &given).await;
            let status =
                execution.trace.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            let line = format!("api.{name}({}): {status}", cut(&Value::Object(given).to_string()));
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            execution.result.map_err(|failure| {
                let told = failure.told(&connector.spoken(), "this workspace");
                failure.thrown(told)
            })
        })
    }
}
