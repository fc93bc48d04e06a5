//! `subscriptions/listen`: a stream that tells a client when one of its lists is another one.
//!
//! Nothing is kept for a client beyond its stream, so any node serves it. What is compared is what this caller would be shown:
//! a change that is not theirs wakes nobody. What the servers behind the workspace tell is passed on as it comes.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::envelope::{BUSY, INVALID_PARAMS, Id};
use super::heard::{About, Heard, News};
use super::lists::List;
use super::offered::Offered;
use super::ongoing::{comment, event, event_stream};
use super::revision::Revision;
use super::{modern, reply};
use crate::call::Caller;
use crate::catalog::Tenant;
use crate::identity::Principal;
use crate::ingress::{ListenPermit, Standing};
use crate::members::Members;

const UPDATED: &str = "notifications/resources/updated";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

#[derive(Deserialize)]
struct Listen {
    notifications: Wanted,
}

/// What a client wants to hear of; kinds that this server never tells are left out of the answer.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wanted {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: Vec<String>,
}

/// The lists that can change, as a client is told of them: tools, prompts, resources.
const KINDS: [Kind; 3] = [
    Kind { accepted: "toolsListChanged", told: "notifications/tools/list_changed", lists: &[List::Tools] },
    Kind {
        accepted: "promptsListChanged",
        told: "notifications/prompts/list_changed",
        lists: &[List::Prompts],
    },
    Kind {
        accepted: "resourcesListChanged",
        told: "notifications/resources/list_changed",
        lists: &[List::Resources, List::Templates],
    },
];

struct Kind {
    accepted: &'static str,
    told: &'static str,
    lists: &'static [List],
}

/// For so long after a list was said to be another one nothing more is said of it; then once, if there was more.
const CALM: Duration = Duration::from_secs(1);

/// When a list was last said to be another one, and whether it has changed since.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    said: Option<Instant>,
    owed: bool,
}

impl Pace {
    /// Takes note of a change; says whether it is to be told now.
    fn changed(&mut self, now: Instant) -> bool {
        self.owed = self.said.is_some_and(|said| now < said + CALM);
        if !self.owed {
            self.said = Some(now);
        }
        !self.owed
    }

    /// When what is owed is to be told.
    fn due(&self) -> Option<Instant> {
        self.said.filter(|_| self.owed).map(|said| said + CALM)
    }
}

/// A mark of each kind of list as a caller would be shown it.
type Shown = [u64; KINDS.len()];

/// Opens the stream.
pub(super) fn answer(caller: Caller, id: Id, params: Option<&RawValue>) -> Response {
    let asked = params.and_then(|raw| serde_json::from_str::<Listen>(raw.get()).ok());
    let Some(Listen { notifications }) = asked else {
        let text = "params.notifications must be an object that says what to listen for.";
        return reply::json(reply::error(Some(&id), INVALID_PARAMS, text));
    };
    let permit = match caller.app.capacity.listen(caller.visit.tenant.id, caller.principal.subject) {
        Ok(permit) => permit,
        Err(full) => return reply::busy(reply::error(Some(&id), BUSY, &full.to_string())),
    };
    let beat_every = caller.app.limits.stream_beat;
    let mut beat = tokio::time::interval_at(Instant::now() + beat_every, beat_every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let offered = Offered::to(&caller);
    let wanted = [
        notifications.tools_list_changed,
        notifications.prompts_list_changed && offered.prompts,
        notifications.resources_list_changed && offered.resources,
    ];
    let [tools, prompts, resources] = wanted;
    let about = About { tools, prompts, resources, uris: notifications.resource_subscriptions };
    let listener = Listener {
        tenant: Arc::clone(&caller.visit.tenant),
        changes: caller.app.table.access_changes(),
        stop: caller.app.stopping.clone(),
        seen: caller.standing.principal().map(|(tenant, principal)| shown(&tenant, &principal)),
        heard: Heard::new(&caller, about),
        standing: caller.standing,
        wanted,
        paces: [Pace::default(); KINDS.len()],
        told: VecDeque::new(),
        server: Value::Object(modern::meta(&caller.visit.tenant)),
        id,
        beat,
        _permit: permit,
    };
    event_stream(Body::from_stream(stream::unfold(State::Begun(listener), next)))
}

struct Listener {
    id: Id,
    /// As it was when it was last looked at.
    tenant: Arc<Tenant>,
    standing: Standing,
    changes: watch::Receiver<()>,
    stop: CancellationToken,
    beat: Interval,
    wanted: [bool; KINDS.len()],
    paces: [Pace; KINDS.len()],
    /// The servers behind the workspace.
    heard: Heard,
    /// What the caller would be shown, when it was last looked at; `None` for a caller who is nobody any more.
    seen: Option<Shown>,
    /// What is to be said next.
    told: VecDeque<Bytes>,
    server: Value,
    _permit: ListenPermit,
}

enum State {
    Begun(Listener),
    Open(Listener),
    Ended,
}

async fn next(state: State) -> Option<(Result<Bytes, Infallible>, State)> {
    match state {
        State::Begun(mut listener) => {
            // From its first word on, nothing that is told is missed.
            for news in listener.heard.open().await {
                listener.tell(news);
            }
            Some((Ok(listener.acknowledged()), State::Open(listener)))
        }
        State::Open(mut listener) => {
            let said = listener.wait().await;
            let state = if said.is_last { State::Ended } else { State::Open(listener) };
            Some((Ok(said.bytes), state))
        }
        State::Ended => None,
    }
}

struct Said {
    bytes: Bytes,
    is_last: bool,
}

impl Listener {
    /// What comes next: a change, a sign of life, or the end.
    async fn wait(&mut self) -> Said {
        loop {
            if let Some(bytes) = self.told.pop_front() {
                return more(bytes);
            }
            let due = self.paces.iter().filter_map(Pace::due).min();
            let alive = tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.end(),
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.settle();
                    continue;
                }
                changed = self.changes.changed() => changed.is_ok(),
                news = self.heard.next() => {
                    self.tell(news);
                    continue;
                }
                _ = self.beat.tick() => {
                    // A token that has expired meanwhile is told by no change.
                    return if self.standing.principal().is_some() { more(comment()) } else { self.end() };
                }
            };
            let Some((tenant, principal)) = self.standing.principal().filter(|_| alive) else {
                return self.end();
            };
            if Arc::ptr_eq(&tenant, &self.tenant) {
                // Another workspace's change.
                continue;
            }
            self.tenant = Arc::clone(&tenant);
            let shown = shown(&tenant, &principal);
            self.heard.tune(tenant, &principal);
            let before = self.seen.replace(shown);
            for at in 0..KINDS.len() {
                let changed = before.is_none_or(|before| before.get(at) != shown.get(at));
                if changed && self.wanted.get(at) == Some(&true) {
                    self.changed(at);
                }
            }
        }
    }

    /// Says that a list is another one, now or a little later: a server that says so all the time makes no client ask all the
    /// time.
    fn changed(&mut self, at: usize) {
        let now = self.paces.get_mut(at).is_some_and(|pace| pace.changed(Instant::now()));
        if let Some(kind) = KINDS.get(at).filter(|_| now) {
            self.told.push_back(self.notification(kind.told, Members::default()));
        }
    }

    /// Says what is owed by now.
    fn settle(&mut self) {
        let now = Instant::now();
        for at in 0..KINDS.len() {
            if self.paces.get(at).and_then(Pace::due).is_some_and(|due| due <= now) {
                self.changed(at);
            }
        }
    }

    /// Passes on what a server told.
    fn tell(&mut self, news: News) {
        match news {
            News::Tools => self.changed(0),
            News::Prompts => self.changed(1),
            News::Resources => self.changed(2),
            News::Resource(params) => self.told.push_back(self.notification(UPDATED, params)),
        }
    }

    /// The first word says what will be told.
    fn acknowledged(&self) -> Bytes {
        let wanted = KINDS.iter().zip(self.wanted).filter(|(_, wanted)| *wanted);
        let mut accepted: BTreeMap<&str, Value> =
            wanted.map(|(kind, _)| (kind.accepted, true.into())).collect();
        let followed = self.heard.followed();
        if !followed.is_empty() {
            accepted.insert("resourceSubscriptions", followed.into());
        }
        let mut params = Members::default();
        params.set_value("notifications", &accepted);
        self.notification("notifications/subscriptions/acknowledged", params)
    }

    fn notification(&self, method: &str, mut params: Members) -> Bytes {
        let mut meta: Members = params.read_as("_meta").unwrap_or_default();
        meta.set_value(SUBSCRIPTION, &self.id.0);
        params.set_value("_meta", &meta);
        let mut message = Members::default();
        message.set_value("jsonrpc", &"2.0");
        message.set_value("method", &method);
        message.set_value("params", &params);
        event(message.write().get().as_bytes())
    }

    /// The result ends the request in order, so that the client asks again and does not take it for a loss.
    fn end(&self) -> Said {
        let mut meta = self.server.clone();
        if let Value::Object(meta) = &mut meta {
            meta.insert(SUBSCRIPTION.to_owned(), json!(self.id.0));
        }
        let result = json!({ "resultType": "complete", "_meta": meta });
        Said { bytes: event(&reply::result(&self.id, result)), is_last: true }
    }
}

const fn more(bytes: Bytes) -> Said {
    Said { bytes, is_last: false }
}

/// What the caller would be shown now.
fn shown(tenant: &Tenant, principal: &Principal) -> Shown {
    KINDS.map(|kind| {
        let mut hasher = DefaultHasher::new();
        for list in kind.lists {
            for listing in list.entries(tenant, principal, Revision::MODERN) {
                listing.get().hash(&mut hasher);
            }
        }
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_changes_all_the_time_is_told_at_once_and_then_once_a_second() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert!(pace.changed(start) && pace.due().is_none());
        for after in 1..1000 {
            assert!(!pace.changed(start + Duration::from_millis(after)));
        }
        assert_eq!(pace.due(), Some(start + CALM));
        assert!(pace.changed(start + CALM), "what came meanwhile is told, once");
        assert!(pace.due().is_none());
        assert!(pace.changed(start + 2 * CALM), "after a while the next is told at once");
    }
}
