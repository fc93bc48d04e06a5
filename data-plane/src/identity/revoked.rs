//! What was taken back before its tokens expired: looked up on every request.
//!
//! Entries only ever add up (the later time wins), so the order in which they arrive does not matter, nor how often. Each is
//! forgotten when the last token that it refuses has expired.

use std::collections::HashMap;
use std::sync::Arc;

use toolmesh_proto::claims::{ACCESS_TOKEN_SECONDS, LEEWAY_SECONDS, Subject};
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1::{self, RevocationKind};

/// An entry is kept this many seconds longer than the tokens it refuses live, for clocks that differ.
const SPARE_SECONDS: i64 = 60;

/// Everything that is taken back, of all tenants. Replaced as a whole; what a change does not touch is shared.
#[derive(Clone, Debug, Default)]
pub struct Revoked(HashMap<TenantId, Arc<OfTenant>>);

#[derive(Clone, Debug, Default)]
struct OfTenant {
    grants: HashMap<String, Epoch>,
    clients: HashMap<String, Epoch>,
    users: HashMap<Subject, Epoch>,
    everything: Epoch,
}

/// What was issued in these seconds, or before, is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Epoch {
    tokens: i64,
    api_keys: i64,
}

impl Epoch {
    fn merge(&mut self, other: Self) {
        self.tokens = self.tokens.max(other.tokens);
        self.api_keys = self.api_keys.max(other.api_keys);
    }

    const fn ends(self) -> i64 {
        // A token may be as much ahead of its time as clocks may differ.
        self.tokens + ACCESS_TOKEN_SECONDS + 2 * LEEWAY_SECONDS.cast_signed() + SPARE_SECONDS
    }
}

/// What of an access token can be taken back.
pub(super) struct Issued<'a> {
    pub grant: &'a str,
    pub client: &'a str,
    pub subject: Subject,
    pub iat: i64,
}

impl Revoked {
    /// Takes entries in and forgets what is over. One that cannot be read is left out, which its sender is told of in the log.
    #[must_use]
    pub fn with(&self, entries: &[v1::Revocation], now: i64) -> Self {
        let mut next = self.clone();
        for entry in entries {
            if !next.add(entry) {
                tracing::error!(
                    tenant = entry.tenant_id,
                    kind = entry.kind,
                    "revocation cannot be read; left out"
                );
            }
        }
        next.0.retain(|_, of_tenant| {
            if of_tenant.has_ended(now) {
                Arc::make_mut(of_tenant).forget(now);
            }
            !of_tenant.is_empty()
        });
        next
    }

    fn add(&mut self, entry: &v1::Revocation) -> bool {
        let Ok(tenant) = entry.tenant_id.parse::<TenantId>() else { return false };
        let epoch = Epoch { tokens: entry.min_iat, api_keys: if entry.api_keys { entry.min_iat } else { 0 } };
        let user = entry.subject.parse::<Subject>();
        let of_tenant = Arc::make_mut(self.0.entry(tenant).or_default());
        let place = match (entry.kind(), user) {
            (RevocationKind::Grant, _) => of_tenant.grants.entry(entry.subject.clone()).or_default(),
            (RevocationKind::Client, _) => of_tenant.clients.entry(entry.subject.clone()).or_default(),
            (RevocationKind::User, Ok(user)) => of_tenant.users.entry(user).or_default(),
            (RevocationKind::Tenant, _) => &mut of_tenant.everything,
            (RevocationKind::User, Err(_)) | (RevocationKind::Unspecified, _) => return false,
        };
        place.merge(epoch);
        true
    }

    /// Everything that is in force, as it would be told to another node.
    #[must_use]
    pub fn entries(&self) -> Vec<v1::Revocation> {
        let mut entries = Vec::new();
        for (tenant, of_tenant) in &self.0 {
            let mut tell = |kind: RevocationKind, subject: String, epoch: Epoch| {
                if epoch == Epoch::default() {
                    return;
                }
                let entry = v1::Revocation {
                    tenant_id: tenant.to_string(),
                    kind: kind.into(),
                    subject,
                    min_iat: epoch.tokens,
                    api_keys: false,
                };
                if epoch.api_keys > 0 {
                    entries.push(v1::Revocation { min_iat: epoch.api_keys, api_keys: true, ..entry.clone() });
                }
                if epoch.api_keys < epoch.tokens {
                    entries.push(entry);
                }
            };
            of_tenant.grants.iter().for_each(|(id, epoch)| tell(RevocationKind::Grant, id.clone(), *epoch));
            of_tenant.clients.iter().for_each(|(id, epoch)| tell(RevocationKind::Client, id.clone(), *epoch));
            of_tenant.users.iter().for_each(|(id, epoch)| tell(RevocationKind::User, id.to_string(), *epoch));
            tell(RevocationKind::Tenant, String::new(), of_tenant.everything);
        }
        entries
    }

    /// Whether an access token's grant, client, user or workspace was taken back since it was issued.
    pub(super) fn refuses_token(&self, tenant: TenantId, issued: &Issued<'_>) -> bool {
        let Some(of_tenant) = self.0.get(&tenant) else { return false };
        let by_epoch = |epoch: Option<&Epoch>| epoch.is_some_and(|epoch| issued.iat <= epoch.tokens);
        of_tenant.grants.contains_key(issued.grant)
            || by_epoch(of_tenant.clients.get(issued.client))
            || by_epoch(of_tenant.users.get(&issued.subject))
            || by_epoch(Some(&of_tenant.everything))
    }

    /// Whether the member, service account or workspace that an API key belongs to was shut out since it was made.
    pub(super) fn refuses_key(&self, tenant: TenantId, subject: Subject, created_at: i64) -> bool {
        let Some(of_tenant) = self.0.get(&tenant) else { return false };
        let by_epoch = |epoch: &Epoch| epoch.api_keys > 0 && created_at <= epoch.api_keys;
        of_tenant.users.get(&subject).is_some_and(by_epoch) || by_epoch(&of_tenant.everything)
    }
}

impl OfTenant {
    fn epochs(&self) -> impl Iterator<Item = Epoch> + '_ {
        self.grants.values().chain(self.clients.values()).chain(self.users.values()).copied()
    }

    fn has_ended(&self, now: i64) -> bool {
        self.everything.ends() <= now || self.epochs().any(|epoch| epoch.ends() <= now)
    }

    fn forget(&mut self, now: i64) {
        self.grants.retain(|_, epoch| epoch.ends() > now);
        self.clients.retain(|_, epoch| epoch.ends() > now);
        self.users.retain(|_, epoch| epoch.ends() > now);
        if self.everything.ends() <= now {
            self.everything = Epoch::default();
        }
    }

    fn is_empty(&self) -> bool {
        self.everything == Epoch::default() && self.epochs().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "01890000-0000-7000-8000-000000000001";
    const USER: &str = "01890000-0000-7000-8000-000000000002";
    const NOW: i64 = 1_800_000_000;

    fn entry(kind: RevocationKind, subject: &str, min_iat: i64) -> v1::Revocation {
        v1::Revocation {
            tenant_id: TENANT.into(),
            kind: kind.into(),
            subject: subject.into(),
            min_iat,
            api_keys: false,
        }
    }

    fn refuses(revoked: &Revoked, grant: &str, client: &str, iat: i64) -> bool {
        let issued = Issued { grant, client, subject: USER.parse().unwrap(), iat };
        revoked.refuses_token(TENANT.parse().unwrap(), &issued)
    }

    #[test]
    fn a_revoked_grant_has_no_token_left_and_others_have() {
        let revoked = Revoked::default().with(&[entry(RevocationKind::Grant, "g1", NOW)], NOW);
        assert!(refuses(&revoked, "g1", "c", NOW + 5), "a token that a fast clock issued");
        assert!(!refuses(&revoked, "g2", "c", NOW - 5));
        let elsewhere = Issued { grant: "g1", client: "c", subject: USER.parse().unwrap(), iat: NOW };
        assert!(!revoked.refuses_token(TenantId::new(), &elsewhere));
    }

    #[test]
    fn an_epoch_refuses_what_was_issued_up_to_its_second_and_nothing_later() {
        for (kind, subject) in
            [(RevocationKind::Client, "c"), (RevocationKind::User, USER), (RevocationKind::Tenant, "")]
        {
            let revoked = Revoked::default().with(&[entry(kind, subject, NOW)], NOW);
            assert!(refuses(&revoked, "g", "c", NOW - 1) && refuses(&revoked, "g", "c", NOW), "{kind:?}");
            assert!(!refuses(&revoked, "g", "c", NOW + 1), "{kind:?}");
        }
    }

    #[test]
    fn order_and_repetition_do_not_matter_and_an_older_time_takes_nothing_back() {
        let (early, late) =
            (entry(RevocationKind::Client, "c", NOW - 9), entry(RevocationKind::Client, "c", NOW));
        let one = Revoked::default().with(&[early.clone(), late.clone()], NOW);
        let other = Revoked::default().with(std::slice::from_ref(&late), NOW).with(&[early, late], NOW);
        assert_eq!(one.entries(), other.entries());
        assert!(refuses(&other, "g", "c", NOW));
    }

    #[test]
    fn keys_are_refused_only_where_it_is_said_and_newer_ones_never() {
        let (tenant, user) = (TENANT.parse().unwrap(), USER.parse::<Subject>().unwrap());
        let tokens_only = Revoked::default().with(&[entry(RevocationKind::User, USER, NOW)], NOW);
        assert!(!tokens_only.refuses_key(tenant, user, 0));
        let with_keys = v1::Revocation { api_keys: true, ..entry(RevocationKind::User, USER, NOW - 5) };
        let both = tokens_only.with(&[with_keys], NOW);
        assert!(both.refuses_key(tenant, user, NOW - 5) && !both.refuses_key(tenant, user, NOW - 4));
        assert!(!both.refuses_key(tenant, Subject::User(toolmesh_proto::ids::UserId::new()), 0));
        // What is told on says the same.
        let told = Revoked::default().with(&both.entries(), NOW);
        assert!(told.refuses_key(tenant, user, NOW - 5) && !told.refuses_key(tenant, user, NOW - 4));
        assert!(refuses(&told, "g", "c", NOW));
    }

    #[test]
    fn what_refuses_no_living_token_is_forgotten() {
        let revoked = Revoked::default()
            .with(&[entry(RevocationKind::Grant, "g", NOW), entry(RevocationKind::User, USER, NOW)], NOW);
        let later = NOW + ACCESS_TOKEN_SECONDS + LEEWAY_SECONDS.cast_signed();
        assert_eq!(revoked.with(&[], later).entries().len(), 2, "a token may still live");
        assert!(revoked.with(&[], later + 1000).0.is_empty());
    }

    #[test]
    fn what_cannot_be_read_takes_nothing_with_it() {
        let bad = [
            v1::Revocation { tenant_id: "nobody".into(), ..entry(RevocationKind::Grant, "g", NOW) },
            entry(RevocationKind::Unspecified, "g", NOW),
            entry(RevocationKind::User, "nobody", NOW),
        ];
        assert!(Revoked::default().with(&bad, NOW).entries().is_empty());
    }
}
