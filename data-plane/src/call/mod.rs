//! One call on its way, whoever makes it: a client, or code that runs for one.
//!
//! A call goes its whole way, in this order, and ends where a step does not say yes: identity, policy, arguments,
//! credential, upstream, result; then it is recorded, then answered. It runs to its end even if the client goes away: what
//! was sent cannot be called back, and must be in the log.
//!
//! Architecture invariant: nothing reaches an API but through [`make`]. The protocol that a call came
//! by is not known here.

mod carry_out;
mod code_mode;
mod composite;
mod discover;
pub mod files;
mod inner;
pub mod line;
mod permit;
mod workspace_code;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use toolmesh_proto::claims::Subject;
use toolmesh_proto::v1::{AuditEvent, Outcome};

use self::carry_out::{carry_out, fitting};
pub use self::code_mode::listings as code_mode_listings;
use self::inner::Parent;
pub use self::permit::too_narrow;
use self::permit::{Refused, permit};
use crate::catalog::ToolEntry;
use crate::execute::Aside;
use crate::execute::code::Thrown;
use crate::execute::credentials::Opened;
use crate::execute::rest::response::Content;
use crate::identity::{Method, Principal};
use crate::ingress::{Standing, Visit};
use crate::node::App;
use crate::record::CallEvent;

/// Who calls and from where: everything that is known about a request beside what it asks for.
#[derive(Clone)]
pub struct Caller {
    pub app: Arc<App>,
    pub visit: Visit,
    pub principal: Principal,
    /// The principal's right to be answered, while that takes long.
    pub standing: Standing,
    /// How long it took to find out who is calling.
    pub identified_in: Duration,
}

/// What is called.
#[derive(Debug)]
pub struct Asked {
    /// The tool's public name.
    pub name: String,
    pub arguments: Option<Value>,
}

/// What the caller is told.
#[derive(Debug)]
pub enum Said {
    Result(Content, Aside),
    /// A result that is an error: its message is for the model to read.
    Failed(Thrown),
    /// Arguments that do not fit; what that is depends on the protocol.
    Unfit(String),
    /// An error of the protocol.
    Refused(String),
}

impl Caller {
    /// The same caller with what is in force now, for a call that begins now; `None` if they may not call any more.
    fn renewed(&self) -> Option<Self> {
        let (tenant, principal) = self.standing.renew(&self.principal)?;
        let visit = Visit { tenant, started: Instant::now(), ..self.visit.clone() };
        Some(Self { visit, principal, ..self.clone() })
    }
}

/// Makes a client's call; `None` is a question that names no tool.
pub async fn run(caller: &Caller, asked: Option<Asked>) -> Said {
    let Some(Asked { name, arguments }) = asked else {
        let reason = "params.name must be the name of a tool.";
        begin(caller, "", None).finish(Outcome::Invalid, reason);
        return Said::Refused(reason.to_owned());
    };
    let arguments = arguments.filter(|value| !value.is_null()).unwrap_or_else(|| Value::Object(Map::new()));
    if let Some(own) = code_mode::Own::named(&name) {
        return code_mode::run(caller, own, arguments, begin(caller, &name, None)).await;
    }
    // What is hidden is for code; to a client there is no such tool.
    let found = caller.visit.tenant.tool(&name).filter(|entry| !entry.tool.hidden);
    make(caller, &name, found, arguments, None).await
}

/// Makes a call of the tool that was found under a name, if one was.
async fn make(
    caller: &Caller,
    name: &str,
    found: Option<&ToolEntry>,
    arguments: Value,
    parent: Option<&Parent>,
) -> Said {
    let mut event = begin(caller, name, parent);
    let entry = match permit(caller, name, found, &mut event) {
        Ok(entry) => entry,
        Err(refused) => return deny(refused, &arguments, event),
    };
    let opened = caller.app.executor.open(&entry.installation);
    event.arguments(&arguments, &opened);
    let arguments = match fitting(entry, arguments, &mut event) {
        Ok(arguments) => arguments,
        Err(unfit) => {
            event.finish(Outcome::Invalid, &unfit.logged);
            return Said::Unfit(unfit.told);
        }
    };
    carry_out(caller, entry, &opened, &arguments, event, parent).await
}

/// Records a call that is not made.
fn deny(refused: Refused, arguments: &Value, mut event: CallEvent) -> Said {
    event.arguments(arguments, &Opened::default());
    event.finish(Outcome::Denied, &refused.logged);
    Said::Refused(refused.told)
}

fn begin(caller: &Caller, tool: &str, parent: Option<&Parent>) -> CallEvent {
    let (client_id, api_key_id, detail) = match &caller.principal.method {
        Method::OAuth { client } => (client.clone(), String::new(), "access token"),
        Method::ApiKey { id } => (String::new(), id.to_string(), "API key"),
    };
    let visit = &caller.visit;
    let (user_id, service_account_id) = match caller.principal.subject {
        Subject::User(id) => (id.to_string(), String::new()),
        Subject::Service(id) => (String::new(), id.to_string()),
    };
    let facts = AuditEvent {
        tenant_id: visit.tenant.id.to_string(),
        request_id: visit.request_id.to_string(),
        user_id,
        service_account_id,
        client_id,
        api_key_id,
        client_agent: visit.client_agent.clone(),
        remote_addr: visit.remote_addr.to_string(),
        method: "tools/call".to_owned(),
        tool: tool.to_owned(),
        parent_call_id: parent.map(|parent| parent.id.clone()).unwrap_or_default(),
        arguments_json: "{}".to_owned(),
        ..AuditEvent::default()
    };
    let mut event = CallEvent::begin(caller.app.recorder.clone(), facts, visit.started);
    event.step("identity", true, caller.identified_in, detail);
    event
}
