//! One call on its way, whoever makes it: a client, or code that runs for one.
//!
//! A call goes its whole way, in this order, and ends where a step does not say yes: identity, policy, arguments,
//! credential, upstream, result; then it is recorded, then answered. Whoever made it may hang up on the line: its request is
//! dropped then, and what was sent is in the log as cancelled. Otherwise it runs to its end, though nobody may wait for it any
//! more.
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
mod offers;
mod permit;
mod upstream;
mod uris;
mod workspace_code;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use toolmesh_proto::claims::Subject;
use toolmesh_proto::v1::{AuditEvent, Outcome};

use self::carry_out::{carry_out, fitting};
pub use self::code_mode::listings as code_mode_listings;
use self::inner::Parent;
use self::line::Line;
pub use self::offers::{Reference, complete, get_prompt, read_resource, servers_in_reach};
pub use self::permit::too_narrow;
use self::permit::{Refused, permit};
pub use self::upstream::capability;
use crate::catalog::ToolEntry;
use crate::execute::Aside;
use crate::execute::code::Thrown;
use crate::execute::credentials::Opened;
use crate::execute::rest::response::Content;
use crate::execute::upstream::Round;
use crate::identity::{Method, Principal};
use crate::ingress::{Standing, Visit};
use crate::members::Members;
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
    /// Between this call and whoever makes it.
    pub line: Line,
}

/// What is called.
#[derive(Debug)]
pub struct Asked {
    /// The tool's public name.
    pub name: String,
    pub arguments: Option<Value>,
    /// The client's answers to what an earlier round asked it.
    pub round: Option<Round>,
}

/// What the caller is told.
#[derive(Debug)]
pub enum Said {
    Result(Content, Aside),
    /// Another server's own result, as it came.
    Passed(Box<RawValue>),
    /// Another server needs answers of the client first, which come with the client's next request.
    InputRequired(InputRequired),
    /// A result that is an error: its message is for the model to read.
    Failed(Thrown),
    /// The same, where somebody has to connect to the service first.
    Reconnect(Thrown),
    /// Arguments that do not fit; what that is depends on the protocol.
    Unfit(String),
    /// An error of the protocol.
    Refused(String),
    /// Another server's own error of the protocol.
    Rpc(RpcError),
}

/// What another server wants to be answered.
#[derive(Debug)]
pub struct InputRequired {
    /// By the server's keys; each with `method` and `params`.
    pub requests: Members,
    /// What it wants back.
    pub state: Option<String>,
}

/// An error of the protocol, by its code.
#[derive(Debug)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    pub data: Option<Box<RawValue>>,
}

impl Caller {
    /// The same caller with what is in force now, for a call that begins now; `None` if they may not call any more.
    fn renewed(&self) -> Option<Self> {
        let (tenant, principal) = self.standing.renew(&self.principal)?;
        let visit = Visit { tenant, started: Instant::now(), ..self.visit.clone() };
        Some(Self { visit, principal, ..self.clone() })
    }
}

/// Makes a client's call, or records why it is none.
pub async fn run(caller: &Caller, asked: Result<Asked, String>) -> Said {
    let Asked { name, arguments, round } = match asked {
        Ok(asked) => asked,
        Err(reason) => {
            begin(caller, "", None).finish(Outcome::Invalid, &reason);
            return Said::Refused(reason);
        }
    };
    let arguments = arguments.filter(|value| !value.is_null()).unwrap_or_else(|| Value::Object(Map::new()));
    if let Some(own) = code_mode::Own::named(&name) {
        return code_mode::run(caller, own, arguments, begin(caller, &name, None)).await;
    }
    // What is hidden is for code; to a client there is no such tool.
    let found = caller.visit.tenant.tool(&name).filter(|entry| !entry.tool.hidden);
    make(caller, &name, found, arguments, round, None).await
}

/// Makes a call of the tool that was found under a name, if one was.
async fn make(
    caller: &Caller,
    name: &str,
    found: Option<&ToolEntry>,
    arguments: Value,
    round: Option<Round>,
    parent: Option<&Parent>,
) -> Said {
    let mut event = begin(caller, name, parent);
    let entry = match permit(caller, name, found, &mut event) {
        Ok(entry) => entry,
        Err(refused) => return deny(refused, &arguments, event),
    };
    let holder = caller.visit.tenant.holder(&entry.installation, caller.principal.subject);
    let opened = caller.app.executor.open_for(&entry.installation, holder);
    event.arguments(&arguments, &opened);
    let arguments = match fitting(entry, arguments, &mut event) {
        Ok(arguments) => arguments,
        Err(unfit) => {
            event.finish(Outcome::Invalid, &unfit.logged);
            return Said::Unfit(unfit.told);
        }
    };
    carry_out(caller, entry, &opened, arguments, round, event, parent).await
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
