//! Calls in several rounds (2026-07-28, multi round-trip requests): what a server wants back with the next round travels with
//! the client, sealed for this caller and this question, and for a few minutes.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::TenantId;

use crate::sealed::{Purpose, Seals};

/// How long a client may take for a round, in seconds.
const ROUND_SECONDS: i64 = 600;

/// What a round belongs to.
#[derive(Clone)]
pub(super) struct Bound {
    tenant: String,
    subject: String,
    method: &'static str,
    /// The tool's or prompt's name, or the resource's URI.
    name: String,
    arguments: String,
}

/// What is wanted back.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct State {
    /// The server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Under which keys the client was asked.
    pub keys: Vec<String>,
    /// Where the call waits, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
}

/// A state that is not of this question, or too old.
#[derive(Clone, Copy, Debug)]
pub(super) struct Foreign;

impl Bound {
    pub(super) fn new(
        tenant: TenantId,
        subject: Subject,
        method: &'static str,
        name: &str,
        arguments: Option<&Value>,
    ) -> Self {
        let (tenant, subject) = (tenant.to_string(), subject.to_string());
        Self { tenant, subject, method, name: name.to_owned(), arguments: digested(arguments) }
    }

    fn parts(&self) -> [&str; 5] {
        [&self.tenant, &self.subject, self.method, &self.name, &self.arguments]
    }

    pub(super) fn seal(&self, seals: &Seals, state: &State) -> Option<String> {
        let plain = serde_json::to_vec(state).ok()?;
        let until = OffsetDateTime::now_utc().unix_timestamp() + ROUND_SECONDS;
        seals.seal(Purpose::RequestState, &self.parts(), until, &plain).ok()
    }

    pub(super) fn open(&self, seals: &Seals, sealed: &str) -> Result<State, Foreign> {
        let plain = seals.open(Purpose::RequestState, &self.parts(), sealed).map_err(|_| Foreign)?;
        serde_json::from_slice(&plain).map_err(|_| Foreign)
    }
}

/// The same for the same arguments, in whatever order their members come.
fn digested(arguments: Option<&Value>) -> String {
    let arguments = arguments.filter(|value| !value.is_null()).cloned();
    let arguments = sorted(arguments.unwrap_or_else(|| Value::Object(Map::new())));
    let digest = digest::digest(&digest::SHA256, arguments.to_string().as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().map(|(name, value)| (name, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;
    use crate::catalog::samples;

    fn bound(name: &str, arguments: &Value) -> Bound {
        let tenant = samples::TENANT.parse().unwrap();
        Bound::new(tenant, samples::USER.parse().unwrap(), "tools/call", name, Some(arguments))
    }

    #[test]
    fn a_state_opens_for_the_same_question_alone() {
        let seals = Seals::new(&SecretString::from("join")).unwrap();
        let state = State { server: Some("s".into()), keys: vec!["k".into()], parked: None };
        let own = bound("a_b", &json!({"x": {"p": 1, "q": 2}, "y": [1]}));
        let sealed = own.seal(&seals, &state).unwrap();
        let again = bound("a_b", &json!({"y": [1], "x": {"q": 2, "p": 1}}));
        assert_eq!(again.open(&seals, &sealed).unwrap().server.as_deref(), Some("s"));
        assert!(bound("a_c", &json!({"x": {"p": 1, "q": 2}, "y": [1]})).open(&seals, &sealed).is_err());
        assert!(bound("a_b", &json!({"x": {"p": 1, "q": 3}, "y": [1]})).open(&seals, &sealed).is_err());
        assert!(own.open(&seals, &sealed[1..]).is_err() && own.open(&seals, "").is_err());
        assert_eq!(digested(None), digested(Some(&json!({}))));
    }
}
