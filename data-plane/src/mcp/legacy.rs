//! The era of `initialize`: revisions 2024-11-05 to 2025-11-25.
//!
//! Nothing is kept between requests, so any node answers any of them. A client that can be asked something carries what it said
//! of itself in its session id; a request without one is answered too, and then nothing can be asked of its client.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::envelope::{BUSY, INVALID_PARAMS, INVALID_REQUEST, Id, METHOD_NOT_FOUND, Message};
use super::lists::{self, List};
use super::offered::{self, Offered};
use super::ongoing::{self, Asking, Ongoing};
use super::questions::{self, Question, Wanted};
use super::revision::Revision;
use super::session::Session;
use super::{levels, reply};
use crate::call::Caller;
use crate::call::line::{Answered, Client};
use crate::identity::Method;

/// Most characters of a method's name that are repeated in an error.
const METHOD_CHARS: usize = 100;

/// What a message is answered with.
pub(super) enum Answer {
    /// Nothing: it was a notification.
    None,
    Ready(Bytes),
    /// The answer to `initialize`, with the session's id if the client gets one.
    Begun(Bytes, Option<String>),
    /// A call that is on its way.
    Pending(Box<Ongoing>),
    /// A call that there is no room for.
    Busy(Bytes),
    /// A call that the caller's token is too narrow for; the client may ask for a wider one.
    NeedsScope(Bytes),
}

/// A client of this era, as far as a request tells.
pub(super) struct Talk<'a> {
    pub caller: &'a Caller,
    pub revision: Revision,
    pub session: Option<Session>,
}

/// Answers one message.
pub(super) async fn handle(talk: &Talk<'_>, message: Message) -> Answer {
    let (id, method, params) = match message {
        Message::Request { id, method, params } => (id, method, params),
        Message::Notification { method, params } => {
            talk.notified(&method, params.as_deref()).await;
            return Answer::None;
        }
        Message::Response { id, answered } => {
            talk.answered(id, answered).await;
            return Answer::None;
        }
        Message::Invalid { id, reason } => {
            return Answer::Ready(reply::error(id.as_ref(), INVALID_REQUEST, reason));
        }
    };
    let params = params.as_deref();
    let caller = talk.caller;
    match method.as_str() {
        "initialize" => return initialize(caller, &id, params),
        "ping" => return Answer::Ready(reply::result(&id, json!({}))),
        _ => {}
    }
    if Offered::includes(caller, &method) {
        if let Some(list) = List::named(&method) {
            return Answer::Ready(lists::answer(caller, &id, list, params, talk.revision, ""));
        }
        if questions::kind(&method).is_some() {
            return talk.call(id, &method, params);
        }
        match method.as_str() {
            "logging/setLevel" => return Answer::Ready(talk.set_level(&id, params).await),
            "resources/subscribe" | "resources/unsubscribe" => {
                return Answer::Ready(reply::result(&id, json!({})));
            }
            _ => {}
        }
    }
    // `server/discover` without that era's `_meta` is among these: to a client that speaks both eras it means this one.
    let method: String = method.chars().take(METHOD_CHARS).collect();
    Answer::Ready(reply::error(Some(&id), METHOD_NOT_FOUND, &format!("Method not found: {method}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled<'a> {
    #[serde(borrow)]
    request_id: &'a RawValue,
}

impl Talk<'_> {
    /// What tells the caller's clients apart. Two of one person may count their requests alike.
    fn scope(&self) -> String {
        match (&self.session, &self.caller.principal.method) {
            (Some(session), _) => session.id.clone(),
            (None, Method::OAuth { client }) => client.clone(),
            (None, Method::ApiKey { id }) => id.to_string(),
        }
    }

    /// Where the client's session began, as other nodes reach it; empty without one.
    fn home(&self) -> &str {
        self.session.as_ref().map(|session| session.home.as_str()).unwrap_or_default()
    }

    async fn set_level(&self, id: &Id, params: Option<&RawValue>) -> Bytes {
        let Some(level) = levels::read(params) else {
            let text = format!("params.level must be one of {}.", levels::listed());
            return reply::error(Some(id), INVALID_PARAMS, &text);
        };
        let peers = &self.caller.app.peers;
        peers.wish(ongoing::owner(self.caller), &self.scope(), level, self.home()).await;
        reply::result(id, json!({}))
    }

    async fn notified(&self, method: &str, params: Option<&RawValue>) {
        if method != "notifications/cancelled" {
            return;
        }
        let cancelled = params.and_then(|raw| serde_json::from_str::<Cancelled<'_>>(raw.get()).ok());
        if let Some(Cancelled { request_id }) = cancelled {
            let peers = &self.caller.app.peers;
            peers.cancel(ongoing::owner(self.caller), &self.scope(), request_id.get(), self.home()).await;
        }
    }

    /// An answer to a question of ours, for whichever node waits for it.
    async fn answered(&self, id: Option<Id>, answered: Answered) {
        let Some(id) = id.and_then(|id| serde_json::from_str::<String>(id.0.get()).ok()) else { return };
        let delivered = self.caller.app.peers.deliver(ongoing::owner(self.caller), &id, answered).await;
        if let Err(error) = delivered {
            tracing::debug!(tenant = %self.caller.visit.tenant.id, %error, "a client's answer was not taken");
        }
    }

    fn call(&self, id: Id, method: &str, params: Option<&RawValue>) -> Answer {
        let caller = self.caller;
        let Some(kind) = questions::kind(method) else { return Answer::None };
        // Told apart before the call begins: it is a matter of HTTP, and the headers are still to be written.
        if let Some(reason) = questions::too_narrow(caller, kind, params) {
            return Answer::NeedsScope(reply::error(Some(&id), INVALID_REQUEST, &reason));
        }
        let question = match Question::read(caller, kind, self.revision, params) {
            Ok(Wanted::Call(question)) => question,
            // Of the newest revision alone.
            Ok(Wanted::Resumption(_)) => return Answer::None,
            Err(finished) => return Answer::Ready(finished.body(&id)),
        };
        match caller.app.capacity.call(caller.visit.tenant.id) {
            Ok(permit) => {
                let (client, scope) = (self.client(params), self.scope());
                let asking = Asking { caller, revision: self.revision, id, client, scope };
                Answer::Pending(Box::new(asking.begin(question, permit)))
            }
            Err(full) => Answer::Busy(reply::error(Some(&id), BUSY, &full.to_string())),
        }
    }

    fn client(&self, params: Option<&RawValue>) -> Client {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Params {
            #[serde(rename = "_meta")]
            meta: Map<String, Value>,
        }
        let Params { meta } = params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let wished = self.caller.app.peers.wished(ongoing::owner(self.caller), self.scope());
        Client {
            capabilities: self.session.as_ref().map(|one| one.capabilities.clone()).unwrap_or_default(),
            meta: ongoing::passed_on(meta),
            // Who has not said what it wants gets everything.
            log_level: wished.or_else(|| Some(levels::LOWEST.to_owned())),
            rounds: false,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Initialize {
    protocol_version: String,
    capabilities: Map<String, Value>,
}

fn initialize(caller: &Caller, id: &Id, params: Option<&RawValue>) -> Answer {
    let asked: Initialize = params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let revision = Revision::negotiate(&asked.protocol_version);
    let (tenant, subject) = (&caller.visit.tenant, caller.principal.subject);
    let session = Session::begin(revision, &asked.capabilities, caller.app.peers.address());
    let session = session.and_then(|session| session.seal(&caller.app.seals, tenant.id, subject));
    let result = json!({
        "protocolVersion": revision.as_str(),
        "capabilities": Offered::to(caller).capabilities(revision),
        "serverInfo": offered::server_info(tenant, revision),
        "instructions": offered::instructions(tenant),
    });
    Answer::Begun(reply::result(id, result), session)
}
