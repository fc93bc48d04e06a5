//! `tools/list` and `tools/call`: the question read from the protocol, the answer written in it.

use std::borrow::Cow;

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
use crate::catalog::Tenant;
use crate::identity::Principal;
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
///
/// `more` are further members of the result, each with a comma before it.
pub(super) fn list(caller: &Caller, id: &Id, more: &str) -> Bytes {
    let listed = listed(&caller.visit.tenant, &caller.principal);
    reply::tools(id, listed.iter().map(|listing| &**listing), more)
}

/// The entries of a principal's list, in its order.
pub(super) fn listed<'a>(tenant: &'a Tenant, principal: &Principal) -> Vec<Cow<'a, RawValue>> {
    let own = call::code_mode_listings(tenant, principal).into_iter().map(Cow::Owned);
    let listed = tenant.tools.iter().filter(|entry| entry.listed);
    let allowed = listed.filter(|entry| authorize(tenant, principal, entry, Feed::Heard).is_listed());
    own.chain(allowed.map(|entry| Cow::Borrowed(&*entry.listing))).collect()
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
        let said = call::run(&caller, asked).await;
        let tenant = &caller.visit.tenant;
        match said {
            Said::Result(content, aside) => {
                reply::result(&call_id, CallResult::good(&content, &aside, revision, tenant))
            }
            Said::Failed(thrown) => {
                reply::result(&call_id, CallResult::bad(&thrown.message, revision, tenant))
            }
            Said::Unfit(text) if revision.unfit_arguments_are_results() => {
                reply::result(&call_id, CallResult::bad(&text, revision, tenant))
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
