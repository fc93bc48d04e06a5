//! `tools/list` and `tools/call`: the question read from the protocol, the answer written in it.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::JoinHandle;

use super::envelope::{INTERNAL_ERROR, INVALID_PARAMS, Id};
use super::reply;
use super::result::CallResult;
use super::revision::Revision;
use crate::call::{self, Asked, Caller, Said};
use crate::ingress::CallPermit;
use crate::policy::{Feed, authorize};

/// A call on its way.
pub(super) struct Pending {
    id: Id,
    task: JoinHandle<Bytes>,
}

impl Pending {
    pub(super) const fn id(&self) -> &Id {
        &self.id
    }

    /// The reply.
    pub(super) async fn wait(self) -> Bytes {
        self.task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "call ended without a reply");
            reply::error(Some(&self.id), INTERNAL_ERROR, "The call failed inside the gateway. Try again.")
        })
    }
}

/// The tools that this principal may use, and those that a wider token would let them use.
pub(super) fn list(caller: &Caller, id: &Id) -> Bytes {
    let tenant = &caller.visit.tenant;
    let listed = tenant.tools.iter().filter(|entry| entry.listed);
    let allowed = listed.filter(|entry| authorize(tenant, &caller.principal, entry, Feed::Heard).is_listed());
    let own = call::code_mode_listings(tenant, &caller.principal);
    reply::tools(id, own.iter().map(|listing| &**listing).chain(allowed.map(|entry| &*entry.listing)))
}

/// Why a call needs a wider token than the caller's, if it does; such a call is recorded and goes no further.
pub(super) fn too_narrow(caller: &Caller, params: Option<&RawValue>) -> Option<String> {
    call::too_narrow(caller, || asked(params))
}

/// Begins a call.
pub(super) fn call(
    caller: Caller,
    revision: Revision,
    id: Id,
    params: Option<&RawValue>,
    permit: CallPermit,
) -> Pending {
    let asked = asked(params);
    let tracker = caller.app.calls.clone();
    let call_id = id.clone();
    let task = tracker.spawn(async move {
        // The call's own, not its connection's: it goes on when the client is gone.
        let _permit = permit;
        match call::run(&caller, asked).await {
            Said::Result(content, aside) => {
                reply::result(&call_id, CallResult::good(&content, &aside, revision))
            }
            Said::Failed(thrown) => reply::result(&call_id, CallResult::bad(&thrown.message)),
            Said::Unfit(text) if revision.unfit_arguments_are_results() => {
                reply::result(&call_id, CallResult::bad(&text))
            }
            Said::Unfit(text) | Said::Refused(text) => reply::error(Some(&call_id), INVALID_PARAMS, &text),
        }
    });
    Pending { id, task }
}

#[derive(Deserialize)]
struct CallParams {
    name: String,
    #[serde(default)]
    arguments: Option<Value>,
}

fn asked(params: Option<&RawValue>) -> Option<Asked> {
    let CallParams { name, arguments } = serde_json::from_str(params?.get()).ok()?;
    Some(Asked { name, arguments })
}
