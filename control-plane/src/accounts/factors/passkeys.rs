//! Passkeys (WebAuthn): registered under a name, used for login. The authenticator itself checks the person, by a finger or a
//! PIN, so that a passkey alone counts as both factors.
//!
//! A ceremony is one question to the browser and its answer: it is kept in the server's session, works once and for five
//! minutes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::UserId;
use url::Url;
use webauthn_rs::prelude::{
    DiscoverableAuthentication, Passkey as Credential, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Webauthn, WebauthnBuilder,
};

use super::{Factors, Passkey, PasskeyId, requirement, store};
use crate::accounts::origin::Origin;
use crate::accounts::{User, person_name};
use crate::db::UserTx;
use crate::error::{Error, OnConstraint as _, Result};
use crate::mail::FactorChange;

/// How long a browser may take to answer.
const CEREMONY_LIFE: Duration = Duration::minutes(5);

/// Passkeys of one person.
const MAX_PASSKEYS: usize = 20;

/// A question that a browser has been asked, for the session to keep. It can be answered once.
#[derive(Serialize, Deserialize)]
pub struct Ceremony {
    until: i64,
    state: State,
}

#[derive(Serialize, Deserialize)]
enum State {
    /// A new passkey for this person.
    Register(UserId, Box<PasskeyRegistration>),
    /// A login: of this person, or of whoever the passkey says.
    Login(Option<UserId>, Box<DiscoverableAuthentication>),
}

impl Ceremony {
    fn new(state: State) -> Self {
        Self { until: (OffsetDateTime::now_utc() + CEREMONY_LIFE).unix_timestamp(), state }
    }

    fn in_time(self) -> Option<State> {
        (self.until > OffsetDateTime::now_utc().unix_timestamp()).then_some(self.state)
    }
}

/// For the console's origin; `None` where browsers have no passkeys, as for an address without a name.
pub(super) fn relying_party(console_origin: &str) -> Option<Webauthn> {
    let origin = Url::parse(console_origin).ok()?;
    let host = origin.domain()?.to_owned();
    let secure = origin.scheme() == "https" || host == "localhost" || host.ends_with(".localhost");
    let party = WebauthnBuilder::new(&host, &origin).and_then(|builder| builder.rp_name("ToolMesh").build());
    party.ok().filter(|_| secure)
}

impl Factors {
    /// Whether passkeys work at the console's address.
    #[must_use]
    pub fn has_passkeys(&self) -> bool {
        self.party.is_some()
    }

    fn party(&self) -> Result<&Webauthn> {
        let none = || {
            Error::Refused(
                "Passkeys need the console at a name over https. Ask who runs this ToolMesh.".to_owned(),
            )
        };
        self.party.as_deref().ok_or_else(none)
    }

    /// Asks the browser for a new passkey; answers the question for its script.
    ///
    /// # Errors
    /// `Refused` where passkeys do not work, or the person has as many as one can have.
    pub async fn begin_passkey(&self, user: &User) -> Result<(Value, Ceremony)> {
        let mut tx = self.db.user(user.id).await?;
        let known = store::passkeys(&mut tx).await?;
        drop(tx);
        if known.len() >= MAX_PASSKEYS {
            return Err(Error::Refused("You have 20 passkeys. Remove one first.".to_owned()));
        }
        let known = known.into_iter().map(|passkey| passkey.credential_id).collect();
        let (question, state) = self
            .party()?
            .start_passkey_registration(user.id.uuid(), &user.email, &user.name, Some(known))
            .map_err(Error::internal)?;
        let mut question = serde_json::to_value(question).map_err(Error::internal)?;
        // One that the browser can find without being told whose it is, where the authenticator can keep such.
        if let Some(wish) = question.pointer_mut("/publicKey/authenticatorSelection") {
            wish["residentKey"] = json!("preferred");
        }
        Ok((question, Ceremony::new(State::Register(user.id, Box::new(state)))))
    }

    /// Keeps the new passkey that the browser made. Answers whether it is the person's first factor, who then has no recovery
    /// codes yet.
    ///
    /// # Errors
    /// A field error for an unusable name; `Refused` when the answer does not fit the question.
    pub async fn add_passkey(
        &self,
        user: &User,
        ceremony: Option<Ceremony>,
        name: &str,
        answer: &str,
        from: &Origin,
    ) -> Result<bool> {
        let name = person_name(name)?;
        let Some(State::Register(whose, state)) = ceremony.and_then(Ceremony::in_time) else {
            return Err(stale());
        };
        let answer: RegisterPublicKeyCredential = serde_json::from_str(answer).map_err(|_| unusable())?;
        let made = self.party()?.finish_passkey_registration(&answer, &state);
        let made = made.map_err(refused)?;
        if whose != user.id {
            return Err(stale());
        }
        let mut tx = self.db.user(user.id).await?;
        requirement::store::hold_rules(&mut tx).await?;
        if !store::lock_user(&mut tx).await? {
            return Err(Error::NotFound);
        }
        let first = !store::has_any(&mut tx).await?;
        let credential = serde_json::to_value(&made).map_err(Error::internal)?;
        store::insert_passkey(&mut tx, PasskeyId::new(), made.cred_id().as_ref(), &name, &credential)
            .await
            .on_constraint("passkeys_pkey", || {
            Error::Refused("This passkey is known already. Use another device or key.".to_owned())
        })?;
        requirement::store::renew(&mut tx).await?;
        let change = FactorChange::PasskeyAdded(name);
        self.record(&mut tx, &change, from).await?;
        tx.commit().await?;
        self.tell(user, change)?;
        Ok(first)
    }

    /// Asks the browser for any passkey of this console.
    ///
    /// # Errors
    /// `Refused` where passkeys do not work.
    pub fn begin_login(&self) -> Result<(Value, Ceremony)> {
        self.begin_check(None, &[])
    }

    /// Asks the browser for a passkey of this person.
    ///
    /// # Errors
    /// `Refused` where passkeys do not work or the person has none.
    pub async fn begin_login_of(&self, user: UserId) -> Result<(Value, Ceremony)> {
        let mut tx = self.db.user(user).await?;
        let known = store::passkeys(&mut tx).await?;
        if known.is_empty() {
            return Err(Error::Refused("Your account has no passkey.".to_owned()));
        }
        self.begin_check(Some(user), &known)
    }

    fn begin_check(&self, user: Option<UserId>, known: &[Passkey]) -> Result<(Value, Ceremony)> {
        let (question, state) = self.party()?.start_discoverable_authentication().map_err(Error::internal)?;
        let mut question = serde_json::to_value(question).map_err(Error::internal)?;
        if let Some(options) = question.get_mut("publicKey") {
            let allowed = known.iter().map(|passkey| {
                json!({ "type": "public-key", "id": URL_SAFE_NO_PAD.encode(&passkey.credential_id) })
            });
            options["allowCredentials"] = allowed.collect();
        }
        Ok((question, Ceremony::new(State::Login(user, Box::new(state)))))
    }

    /// Whoever answered the question with one of their passkeys.
    ///
    /// # Errors
    /// `Refused` when the answer does not fit the question, or the passkey is unknown.
    pub async fn check_passkey(&self, ceremony: Option<Ceremony>, answer: &str) -> Result<UserId> {
        let Some(State::Login(whose, state)) = ceremony.and_then(Ceremony::in_time) else {
            return Err(stale());
        };
        let answer: PublicKeyCredential = serde_json::from_str(answer).map_err(|_| unusable())?;
        let id = answer.get_credential_id();
        let mut tx = self.db.global().await?;
        let owner = store::owner(&mut tx, id).await?;
        drop(tx);
        // A passkey of somebody else is as unknown as none; one that names another owner than we know is not followed.
        let claimed = answer.get_user_unique_id();
        let owner = owner
            .filter(|owner| whose.is_none_or(|user| user == *owner))
            .filter(|owner| claimed.is_none_or(|handle| handle == owner.uuid().as_bytes()))
            .filter(|_| whose.is_some() || claimed.is_some())
            .ok_or_else(unknown)?;
        let mut tx = self.db.user(owner).await?;
        self.check_answer(&mut tx, &answer, *state).await?;
        tx.commit().await?;
        Ok(owner)
    }

    /// Checks the signature against the row as it is now, locked, so that a counter that went back is noticed.
    async fn check_answer(
        &self,
        tx: &mut UserTx,
        answer: &PublicKeyCredential,
        state: DiscoverableAuthentication,
    ) -> Result<()> {
        let id = answer.get_credential_id();
        let row = store::lock_passkey(tx, id).await?.ok_or_else(unknown)?;
        let mut credential: Credential = serde_json::from_value(row).map_err(Error::internal)?;
        let result = self
            .party()?
            .finish_discoverable_authentication_v2(answer, state, &credential)
            .map_err(refused)?;
        if !result.user_verified() {
            return Err(unusable());
        }
        credential.update_credential(&result);
        let value = serde_json::to_value(&credential).map_err(Error::internal)?;
        store::passkey_used(tx, id, &value).await
    }

    /// # Errors
    /// A field error for an unusable name; `NotFound` for a passkey of nobody or of somebody else.
    pub async fn rename_passkey(&self, user: UserId, id: PasskeyId, name: &str) -> Result<()> {
        let name = person_name(name)?;
        let mut tx = self.db.user(user).await?;
        if !store::rename_passkey(&mut tx, id, &name).await? {
            return Err(Error::NotFound);
        }
        Ok(tx.commit().await?)
    }
}

fn stale() -> Error {
    Error::Refused("That took too long, or was done already. Try once more.".to_owned())
}

fn unusable() -> Error {
    Error::Refused("The browser's answer cannot be used. Try once more, or use another device.".to_owned())
}

fn unknown() -> Error {
    Error::Refused(
        "This passkey is not known here. Log in with your password, or use another passkey.".to_owned(),
    )
}

/// The library's words are for the log: they name what was wrong and no secret.
fn refused(error: webauthn_rs::prelude::WebauthnError) -> Error {
    tracing::info!(%error, "a passkey was refused");
    unusable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_work_at_names_over_https_and_on_this_machine() {
        for good in ["https://app.example.com", "http://localhost:8080", "https://app.example.com:8443"] {
            assert!(relying_party(good).is_some(), "{good}");
        }
        for bad in ["http://app.example.com", "http://127.0.0.1:8080", "https://[::1]", "nonsense"] {
            assert!(relying_party(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_ceremony_that_took_too_long_cannot_be_answered() {
        let party = relying_party("https://app.example.com").unwrap();
        let state = || State::Login(None, Box::new(party.start_discoverable_authentication().unwrap().1));
        assert!(Ceremony::new(state()).in_time().is_some());
        assert!(Ceremony { until: 0, state: state() }.in_time().is_none());
        let kept = serde_json::to_value(Ceremony::new(state())).unwrap();
        assert!(serde_json::from_value::<Ceremony>(kept).is_ok(), "a session cannot keep it");
    }
}
