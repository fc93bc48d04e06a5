//! A workspace's own provider: its settings, what it may say of whom, trying it, and requiring it.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use toolmesh_proto::ids::{TenantId, UserId};

use super::id_token::Claims;
use super::{External, Profile, domains, people, store};
use crate::accounts::members::{self, Membership, Permission, Role};
use crate::accounts::{User, groups};
use crate::credentials;
use crate::credentials::envelope::{Sealed, Vault};
use crate::db::TenantTx;
use crate::error::{Error, Result};

/// Groups of one person that are read from a claim.
const MAX_GROUPS: usize = 200;

/// A provider as it is stored.
#[derive(Clone, sqlx::FromRow)]
pub struct Settings {
    pub issuer: String,
    pub client_id: String,
    secret_nonce: Vec<u8>,
    secret: Vec<u8>,
    pub secret_last4: String,
    secret_version: i64,
    pub groups_claim: String,
    #[sqlx(try_from = "String")]
    pub default_role: Role,
    version: i64,
    #[sqlx(json(nullable))]
    pub test_report: Option<Report>,
    tested_version: Option<i64>,
    pub tested_at: Option<OffsetDateTime>,
    pub enforced_at: Option<OffsetDateTime>,
}

impl Settings {
    /// Whether the last test login was with these settings.
    #[must_use]
    pub fn is_tested(&self) -> bool {
        self.tested_version == Some(self.version)
    }

    /// Whether a test login has passed with these settings.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.is_tested() && self.test_report.as_ref().is_some_and(|report| report.problem.is_none())
    }
}

/// What a test login found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Why this person could not log in so.
    pub problem: Option<String>,
    pub email: String,
    pub groups: Vec<String>,
    /// What the provider said, shortened.
    pub claims: Vec<(String, String)>,
}

/// What is typed into the settings.
pub struct Change {
    pub issuer: String,
    pub client_id: String,
    /// Empty keeps the one that is there.
    pub secret: SecretString,
    pub groups_claim: String,
    pub default_role: Role,
}

/// What a provider's word is worth for one person.
pub struct Admission {
    pub problem: Option<String>,
    pub groups: Vec<String>,
}

/// An owner who can be named to log in without the provider.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Owner {
    #[sqlx(try_from = "uuid::Uuid")]
    pub user_id: UserId,
    pub name: String,
    pub email: String,
    pub has_password: bool,
    pub has_second_factor: bool,
    /// Whether they are named.
    pub exempt: bool,
}

impl Owner {
    /// Whether they have what it takes to log in without the provider: it would be guarded by a password alone otherwise, and
    /// with it everything that the provider guards.
    #[must_use]
    pub const fn is_able(&self) -> bool {
        self.has_password && self.has_second_factor
    }
}

/// The provider that an address leads to.
#[derive(Clone, Copy, Debug)]
pub struct Company {
    pub tenant: TenantId,
}

/// Everything the settings page shows.
pub struct Overview {
    pub settings: Option<Settings>,
    pub domains: Vec<domains::Domain>,
    pub owners: Vec<Owner>,
}

impl External {
    /// # Errors
    /// `Forbidden` without the right to see settings.
    pub async fn company(&self, by: &Membership) -> Result<Overview> {
        by.require(Permission::Settings)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        Ok(Overview {
            settings: store::provider(&mut tx).await?,
            domains: store::domains(&mut tx).await?,
            owners: store::owners(&mut tx).await?,
        })
    }

    /// Saves the provider. What a test login has proven has to be proven again where it changed.
    ///
    /// # Errors
    /// Names the field that has to be mended; `Refused` while the provider is required.
    pub async fn save_company(&self, by: &Membership, change: Change) -> Result<()> {
        by.require(Permission::Settings)?;
        if change.default_role == Role::Owner {
            return Err(Error::field(
                "default_role",
                "Nobody becomes an owner by logging in. Choose another role.",
            ));
        }
        let issuer = self.checked_issuer(&change.issuer).await?;
        let client_id = plain(&change.client_id, 255)
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Error::field("client_id", "Enter the client id that the provider gave you."))?;
        let groups_claim = plain(&change.groups_claim, 200).ok_or_else(|| {
            Error::field("groups_claim", "A claim's name is one short line, such as groups.")
        })?;
        let typed = change.secret.expose_secret().trim();
        if typed.len() > 1024 || typed.chars().any(char::is_control) {
            return Err(Error::field("client_secret", "A client secret is one line. Copy it again."));
        }
        let mut tx = self.db.tenant(by.tenant).await?;
        members::still(&mut tx, by).await?.require(Permission::Settings)?;
        store::lock_sign_in(&mut tx).await?;
        let before = store::provider(&mut tx).await?;
        let moved = before.as_ref().is_some_and(|was| was.issuer != issuer || was.client_id != client_id);
        if typed.is_empty() && (before.is_none() || moved) {
            return Err(Error::field(
                "client_secret",
                "Enter the client secret. It is kept for one issuer and client id alone.",
            ));
        }
        let same =
            before.as_ref().is_some_and(|was| !moved && typed.is_empty() && was.groups_claim == groups_claim);
        if !same && before.as_ref().is_some_and(|was| was.enforced_at.is_some()) {
            let message = "Members must log in through this provider. Stop requiring it, change it, test it, and require it again.";
            return Err(Error::Refused(message.to_owned()));
        }
        let mut row = store::ProviderRow {
            issuer: &issuer,
            client_id: &client_id,
            groups_claim: &groups_claim,
            default_role: change.default_role.as_str(),
            version: before.as_ref().map_or(1, |was| if same { was.version } else { was.version + 1 }),
            secret_version: before.as_ref().map_or(0, |was| was.secret_version),
            secret: before
                .as_ref()
                .map(|was| Sealed { nonce: was.secret_nonce.clone(), ciphertext: was.secret.clone() }),
            secret_last4: before.as_ref().map_or_else(String::new, |was| was.secret_last4.clone()),
        };
        if !typed.is_empty() {
            row.secret_version += 1;
            let sealed =
                credentials::seal_secret(&mut tx, &self.vault, &place(row.secret_version), typed).await?;
            (row.secret, row.secret_last4) = (Some(sealed), credentials::last4(typed));
        }
        store::save_provider(&mut tx, &row).await?;
        tx.commit().await?;
        self.oidc.forget(&issuer).await;
        Ok(())
    }

    /// The issuer as its provider writes it, which is asked.
    async fn checked_issuer(&self, text: &str) -> Result<String> {
        let field = |error: Error| match error {
            Error::Refused(message) => Error::field("issuer", message),
            error => error,
        };
        let text = text.trim();
        if text.is_empty() || text.len() > 512 {
            return Err(Error::field(
                "issuer",
                "Enter the provider's issuer, such as https://acme.okta.com.",
            ));
        }
        self.oidc.forget(text).await;
        match self.oidc.document(text, false).await {
            Ok(document) => Ok(document.issuer.clone()),
            // Whether a slash stands at the end, people cannot know; the provider does.
            Err(first) => {
                let other = text.strip_suffix('/').map_or_else(|| format!("{text}/"), str::to_owned);
                match self.oidc.document(&other, false).await {
                    Ok(document) => Ok(document.issuer.clone()),
                    Err(_) => Err(field(first)),
                }
            }
        }
    }

    /// Forgets the provider. Members log in as they did before.
    ///
    /// # Errors
    /// `Refused` while it is required.
    pub async fn remove_company(&self, by: &Membership) -> Result<()> {
        by.require(Permission::Settings)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        store::lock_sign_in(&mut tx).await?;
        let settings = store::provider(&mut tx).await?.ok_or_else(none_yet)?;
        if settings.enforced_at.is_some() {
            return Err(Error::Refused("Stop requiring the provider first.".to_owned()));
        }
        store::delete_provider(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Keeps what a test login found, for the settings as they are now.
    ///
    /// # Errors
    /// `NotFound` where there is no provider any more.
    pub async fn record_test(&self, by: &Membership, profile: Result<Profile>) -> Result<()> {
        by.require(Permission::Settings)?;
        let report = match profile {
            Ok(profile) => {
                let admission = self.judge(by.tenant, &profile).await?;
                Report {
                    problem: admission.problem,
                    email: profile.email.clone().unwrap_or_default(),
                    groups: admission.groups,
                    claims: shown(&profile.claims),
                }
            }
            Err(Error::Refused(problem)) => Report { problem: Some(problem), ..Report::default() },
            Err(error) => return Err(error),
        };
        let mut tx = self.db.tenant(by.tenant).await?;
        store::lock_sign_in(&mut tx).await?;
        let settings = store::provider(&mut tx).await?.ok_or(Error::NotFound)?;
        if settings.enforced_at.is_some() && report.problem.is_some() {
            // It is required, so it works for others; what it cannot do for this admin is shown, and changes nothing.
            return Err(Error::Refused(report.problem.unwrap_or_default()));
        }
        store::save_report(&mut tx, by.user, &report).await?;
        Ok(tx.commit().await?)
    }

    /// Whether a company's provider may say that this is one of its people, and in which groups.
    pub(super) async fn judge(&self, tenant: TenantId, profile: &Profile) -> Result<Admission> {
        let mut tx = self.db.tenant(tenant).await?;
        let settings = store::provider(&mut tx).await?.ok_or(Error::NotFound)?;
        drop(tx);
        let groups = names(profile.claims.get(&settings.groups_claim));
        let problem = match people::address(profile) {
            Err(Error::Refused(text)) => Some(text),
            Err(error) => return Err(error),
            Ok(_) if !profile.email_verified => {
                Some("The provider says that this address is not verified.".to_owned())
            }
            Ok(email) => {
                let domain = domains::of(email.as_str()).to_owned();
                if !self.speaks_for(tenant, email.as_str()).await? {
                    Some(format!(
                        "{domain} is not a proven domain of this workspace. An admin adds it under Domains."
                    ))
                } else if is_google(&profile.issuer) && hosted(&profile.claims) != Some(domain.as_str()) {
                    // Anybody can open a private Google account with a company's address.
                    Some(format!("This Google account is not managed by {domain}."))
                } else {
                    None
                }
            }
        };
        Ok(Admission { problem, groups })
    }

    /// Makes somebody who came through the provider a member, with the groups that it named.
    pub(super) async fn settle(&self, tenant: TenantId, user: UserId, groups: &[String]) -> Result<()> {
        let mut tx = self.db.tenant(tenant).await?;
        let settings = store::provider(&mut tx).await?.ok_or(Error::NotFound)?;
        let is_new = members::store::role(&mut tx, user).await?.is_none();
        if is_new {
            members::store::insert(&mut tx, user, settings.default_role).await?;
        }
        if groups::set_external(&mut tx, user, groups).await? || is_new {
            tx.commit_change().await?;
        }
        Ok(())
    }

    /// Requires the provider of everybody with an address in a proven domain, but of the owners that are named.
    ///
    /// # Errors
    /// `Refused` with what is missing.
    pub async fn enforce(&self, by: &Membership, exempt: &[UserId]) -> Result<()> {
        by.require(Permission::Settings)?;
        let refused = |text: &str| Err(Error::Refused(text.to_owned()));
        let mut tx = self.db.tenant(by.tenant).await?;
        members::still(&mut tx, by).await?.require(Permission::Settings)?;
        store::lock_sign_in(&mut tx).await?;
        let settings = store::provider(&mut tx).await?.ok_or_else(none_yet)?;
        if !settings.has_passed() {
            return refused("Test the login first. It has to pass with the settings as they are now.");
        }
        if !store::domains(&mut tx).await?.iter().any(|domain| domain.verified_at.is_some()) {
            return refused("Prove a domain first. It says for whom the provider speaks.");
        }
        let owners = store::owners(&mut tx).await?;
        let named: Vec<UserId> = owners
            .iter()
            .filter(|owner| owner.is_able() && exempt.contains(&owner.user_id))
            .map(|o| o.user_id)
            .collect();
        if named.is_empty() {
            return refused(
                "Choose at least one owner who may log in when the provider is away. They need a password and a second factor.",
            );
        }
        store::set_exempt(&mut tx, &named).await?;
        store::set_enforced(&mut tx, true).await?;
        // Who came in another way comes in again through the provider; who does this right now may finish.
        store::end_other_sessions(&mut tx, by.user).await?;
        Ok(tx.commit().await?)
    }

    /// No longer requires the provider; it can still be used.
    ///
    /// # Errors
    /// `Forbidden` without the right to.
    pub async fn relax(&self, by: &Membership) -> Result<()> {
        by.require(Permission::Settings)?;
        self.release(by.tenant).await
    }

    /// The same on an operator's word, for a workspace whose provider is gone and whose owners cannot get in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release(&self, tenant: TenantId) -> Result<()> {
        let mut tx = self.db.tenant(tenant).await?;
        store::lock_sign_in(&mut tx).await?;
        store::set_enforced(&mut tx, false).await?;
        Ok(tx.commit().await?)
    }

    /// The company whose provider an address leads to; None where it leads to none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn company_of(&self, email: &str) -> Result<Option<Company>> {
        let domain = domains::of(email.trim()).to_ascii_lowercase();
        let mut tx = self.db.global().await?;
        let Some(tenant) = store::domain_owner(&mut tx, &domain).await? else { return Ok(None) };
        drop(tx);
        Ok(self.is_usable(tenant).await?.then_some(Company { tenant }))
    }

    /// Whether a workspace's people can log in through a provider of their own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_usable(&self, tenant: TenantId) -> Result<bool> {
        let mut tx = self.db.tenant(tenant).await?;
        let usable = store::provider(&mut tx).await?.is_some();
        Ok(usable && store::domains(&mut tx).await?.iter().any(|domain| domain.verified_at.is_some()))
    }

    /// The company that wants somebody to log in through its provider, where one does: its member, with an address in a
    /// domain that it has proven, and none of the owners that are named. Were none of those left, any owner may pass. Whoever
    /// passes has a second factor, which their login then asks for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn required_of(&self, user: &User) -> Result<Option<Company>> {
        let mut tx = self.db.global().await?;
        let Some(tenant) = store::domain_owner(&mut tx, domains::of(&user.email)).await? else {
            return Ok(None);
        };
        drop(tx);
        let mut tx = self.db.tenant(tenant).await?;
        Ok(store::must_use_provider(&mut tx, user.id).await?.then_some(Company { tenant }))
    }
}

pub(super) fn none_yet() -> Error {
    Error::Refused("There is no provider yet. Save one first.".to_owned())
}

/// Opens a client secret; None for a public client.
pub(super) async fn open_secret(
    tx: &mut TenantTx,
    vault: &Vault,
    settings: &Settings,
) -> Result<Option<SecretString>> {
    let sealed = Sealed { nonce: settings.secret_nonce.clone(), ciphertext: settings.secret.clone() };
    credentials::open_secret(tx, vault, &place(settings.secret_version), &sealed).await.map(Some)
}

fn place(version: i64) -> String {
    format!("sign-in-provider|{version}")
}

/// One line without control characters, not too long.
fn plain(text: &str, most: usize) -> Option<String> {
    let text = text.trim();
    (text.len() <= most && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

fn is_google(issuer: &str) -> bool {
    issuer == "https://accounts.google.com"
}

fn hosted(claims: &Claims) -> Option<&str> {
    claims.get("hd").and_then(Value::as_str)
}

/// Names of groups in a claim: a list of texts, or one text.
fn names(claim: Option<&Value>) -> Vec<String> {
    let all = match claim {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one.as_str()],
        _ => Vec::new(),
    };
    let mut names: Vec<String> = all
        .into_iter()
        .map(str::trim)
        .filter(|name| !name.is_empty() && name.chars().count() <= 200 && !name.chars().any(char::is_control))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(MAX_GROUPS);
    names
}

/// The claims as an admin reads them; what only this one login needed is left out.
fn shown(claims: &Claims) -> Vec<(String, String)> {
    let secret = ["nonce", "at_hash", "c_hash", "s_hash", "sid", "jti"];
    let text = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.chars().filter(|c| !crate::accounts::is_invisible(*c)).take(300).collect::<String>()
    };
    let named = claims.iter().filter(|(name, _)| !secret.contains(&name.as_str()) && name.len() <= 100);
    named.take(60).map(|(name, value)| (name.clone(), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_are_read_from_a_list_or_one_text_and_nothing_else() {
        assert_eq!(names(Some(&json!(["b", "a", " b ", "", 7, "x\ny"]))), ["a", "b"]);
        assert_eq!(names(Some(&json!("staff"))), ["staff"]);
        assert!(names(Some(&json!({ "a": 1 }))).is_empty());
        assert!(names(None).is_empty());
        let many: Vec<String> = (0..500).map(|n| format!("g{n}")).collect();
        assert_eq!(names(Some(&json!(many))).len(), MAX_GROUPS);
    }

    #[test]
    fn what_only_one_login_needed_is_not_shown() {
        let Value::Object(claims) = json!({ "sub": "1", "nonce": "n", "groups": ["a"] }) else { panic!() };
        assert_eq!(
            shown(&claims),
            [("sub".to_owned(), "1".to_owned()), ("groups".to_owned(), "[\"a\"]".to_owned())]
        );
    }
}
