//! What a client of the older revisions said when it began, for its later requests: sealed into the session id that it carries.
//! Any node opens it; none keeps it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::TenantId;

use super::revision::Revision;
use crate::sealed::{Purpose, Seals};

/// Its header.
pub(super) const HEADER: &str = "mcp-session-id";
/// How long a client may go on without a new beginning, in seconds. A session gives nobody a right.
const LASTS: i64 = 90 * 24 * 3600;
/// Most bytes of a declared capability that are kept; of one with more, only that it is there.
const CAPABILITY_BYTES: usize = 512;
/// What a client can be asked.
const KEPT: [&str; 3] = ["elicitation", "sampling", "roots"];

/// A client, as it introduced itself.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Session {
    pub revision: String,
    pub capabilities: Map<String, Value>,
    /// Tells two sessions of one caller apart.
    pub id: String,
    /// The node where it began, as other nodes reach it; empty for one that is alone.
    pub home: String,
}

/// A session that is over, or was never ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone;

impl Session {
    /// A session for a client that can be asked something, or whose requests may come to several nodes: it names the one where
    /// they find each other. `None` where neither is so.
    pub(super) fn begin(revision: Revision, declared: &Map<String, Value>, home: &str) -> Option<Self> {
        let keep = |name: &str| {
            let value = declared.get(name).filter(|value| value.is_object())?;
            let small = value.to_string().len() <= CAPABILITY_BYTES;
            let value = if small { value.clone() } else { Value::Object(Map::new()) };
            Some((name.to_owned(), value))
        };
        let capabilities: Map<String, Value> = KEPT.into_iter().filter_map(keep).collect();
        if capabilities.is_empty() && home.is_empty() {
            return None;
        }
        let id = uuid::Uuid::new_v4().to_string();
        Some(Self { revision: revision.as_str().to_owned(), capabilities, id, home: home.to_owned() })
    }

    /// Its id: visible ASCII, good for one caller.
    pub(super) fn seal(&self, seals: &Seals, tenant: TenantId, subject: Subject) -> Option<String> {
        let plain = serde_json::to_vec(self).ok()?;
        let until = OffsetDateTime::now_utc().unix_timestamp() + LASTS;
        let (tenant, subject) = (tenant.to_string(), subject.to_string());
        seals.seal(Purpose::Session, &[&tenant, &subject], until, &plain).ok()
    }

    pub(super) fn open(seals: &Seals, tenant: TenantId, subject: Subject, id: &str) -> Result<Self, Gone> {
        let (tenant, subject) = (tenant.to_string(), subject.to_string());
        let plain = seals.open(Purpose::Session, &[&tenant, &subject], id).map_err(|_| Gone)?;
        serde_json::from_slice(&plain).map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;
    use crate::catalog::samples;

    #[test]
    fn a_session_is_for_clients_that_can_be_asked_and_for_their_caller_alone() {
        let declared = |value: Value| value.as_object().unwrap().clone();
        assert!(Session::begin(Revision::NEWEST, &declared(json!({"experimental": {}})), "").is_none());
        let elsewhere = Session::begin(Revision::NEWEST, &Map::new(), "10.0.0.1:7000").unwrap();
        assert!(elsewhere.capabilities.is_empty(), "of several nodes each finds the others by it");
        let large =
            json!({"elicitation": {"x": "y".repeat(1000)}, "roots": {"listChanged": true}, "other": {}});
        let session = Session::begin(Revision::NEWEST, &declared(large), "10.0.0.1:7000").unwrap();
        assert_eq!(
            Value::Object(session.capabilities.clone()),
            json!({"elicitation": {}, "roots": {"listChanged": true}})
        );
        let seals = Seals::new(&SecretString::from("join")).unwrap();
        let (tenant, ada) = (samples::TENANT.parse().unwrap(), samples::USER.parse().unwrap());
        let id = session.seal(&seals, tenant, ada).unwrap();
        assert!(id.len() < 600 && id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{id}");
        assert_eq!(Session::open(&seals, tenant, ada, &id).unwrap().revision, "2025-11-25");
        let other = Subject::User(toolmesh_proto::ids::UserId::new());
        assert!(Session::open(&seals, tenant, other, &id).is_err());
        assert!(Session::open(&seals, TenantId::new(), ada, &id).is_err());
        assert!(Session::open(&seals, tenant, ada, "nonsense").is_err());
    }
}
