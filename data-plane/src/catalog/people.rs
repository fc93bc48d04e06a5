//! Who may call in a workspace: its members, its service accounts and their keys, as its bundle names them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::{ApiKeyId, GroupId, ServiceAccountId, UserId};
use toolmesh_proto::v1;

use super::tenant::{BundleError, parse};

/// A person in the workspace.
#[derive(Clone, Debug)]
pub struct Member {
    pub email: String,
    pub role: String,
    /// In the order of their ids; shared with every principal that is this member.
    pub groups: Arc<[GroupId]>,
    /// When they joined, in microseconds since the epoch.
    pub since: u64,
}

/// Why a member is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptOut {
    Suspended,
    /// The tenant asks for a second factor, and they have none.
    SecondFactor,
}

/// A caller that is no person.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    pub name: String,
    /// The member who made it and may lend it their own accounts.
    pub owner: Option<UserId>,
}

/// A key that acts as a member or a service account.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub subject: Subject,
    pub sha256: [u8; 32],
    /// Seconds since the epoch; 0 for no expiry.
    pub expires_at: i64,
    /// Only for tools that only read.
    pub read_only: bool,
    /// Seconds since the epoch.
    pub created_at: i64,
}

/// Whose own account a call uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub subject: Subject,
    /// What was given in an earlier epoch is no longer used.
    pub epoch: u64,
}

/// What can be used; a member or a key that cannot be read gives nobody any rights.
pub(super) fn sound<K: Eq + Hash, V>(
    parts: impl Iterator<Item = Result<(K, V), BundleError>>,
    faults: &mut Vec<BundleError>,
) -> HashMap<K, V> {
    parts.filter_map(|part| part.map_err(|fault| faults.push(fault)).ok()).collect()
}

pub(super) fn member(member: &v1::Member) -> Result<(UserId, Member), BundleError> {
    let user = parse("user id", &member.user_id)?;
    let groups: Result<Vec<GroupId>, BundleError> =
        member.group_ids.iter().map(|id| parse("group id", id)).collect();
    let mut groups = groups?;
    groups.sort_unstable();
    let (email, role) = (member.email.clone(), member.role.clone());
    Ok((user, Member { email, role, groups: groups.into(), since: member.since }))
}

/// What cannot be read says nothing; whoever it is has no rights either way.
pub(super) fn kept_out(one: &v1::KeptOut) -> Option<(UserId, KeptOut)> {
    let why = match one.reason() {
        v1::KeptOutReason::Suspended => KeptOut::Suspended,
        v1::KeptOutReason::SecondFactor => KeptOut::SecondFactor,
        v1::KeptOutReason::Unspecified => return None,
    };
    Some((one.user_id.parse().ok()?, why))
}

pub(super) fn service_account(
    account: &v1::ServiceAccount,
) -> Result<(ServiceAccountId, ServiceAccount), BundleError> {
    let id = parse("service account id", &account.id)?;
    Ok((id, ServiceAccount { name: account.name.clone(), owner: account.owner_user_id.parse().ok() }))
}

pub(super) fn key(key: &v1::ApiKey) -> Result<([u8; 32], ApiKey), BundleError> {
    let malformed = |_| BundleError::Malformed("API key", key.id.clone());
    let sha256: [u8; 32] = key.sha256.as_slice().try_into().map_err(malformed)?;
    let id = parse("API key id", &key.id)?;
    // A key of both would act as whichever is looked at first.
    let subject = match (key.user_id.as_str(), key.service_account_id.as_str()) {
        (user, "") => Subject::User(parse("user id", user)?),
        ("", account) => Subject::Service(parse("service account id", account)?),
        (_, _) => return Err(BundleError::Malformed("API key", key.id.clone())),
    };
    let read_only = !matches!(key.scope.as_str(), "" | "all");
    Ok((
        sha256,
        ApiKey { id, subject, sha256, expires_at: key.expires_at, read_only, created_at: key.created_at },
    ))
}
