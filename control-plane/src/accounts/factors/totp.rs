//! Authenticator apps: six digits that change every 30 seconds (RFC 6238), one app per person.
//!
//! The secret is sealed at rest, and sealed in the session while the app is being set up. A code is good within one step of
//! now, and once: the step of the last one accepted is kept, and neither it nor an earlier one is accepted again.

use qrcode::QrCode;
use qrcode::render::svg;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::UserId;
use totp_rs::{Algorithm, Builder, Totp};
use zeroize::Zeroizing;

use super::recovery::NewCodes;
use super::{Factors, requirement, store};
use crate::accounts::User;
use crate::accounts::origin::Origin;
use crate::error::{Error, Result};
use crate::mail::FactorChange;

/// Bytes of a secret, as RFC 4226 recommends for SHA-1.
const SECRET_BYTES: usize = 20;

/// How long setting up an app may take.
const SETUP_LIFE: Duration = Duration::minutes(15);

/// Steps that the app's clock may be off.
const SKEW: u16 = 1;

/// An app that is being set up, sealed; the session keeps it between the pages.
#[derive(Serialize, Deserialize)]
struct Setup {
    user: UserId,
    secret: Zeroizing<Vec<u8>>,
    until: i64,
}

/// What an app needs to know, for the one page that shows it.
pub struct Enrolment {
    /// An `<svg>` element.
    pub qr: SecretString,
    /// Base32, in groups of four.
    pub text: SecretString,
}

impl Factors {
    /// Begins to set up an app; what comes back is sealed and goes into the session.
    ///
    /// # Errors
    /// Only if the system has no randomness.
    pub fn begin_app(&self, user: UserId) -> Result<String> {
        let mut secret = Zeroizing::new(vec![0; SECRET_BYTES]);
        aws_lc_rs::rand::fill(&mut secret).map_err(Error::internal)?;
        let until = (OffsetDateTime::now_utc() + SETUP_LIFE).unix_timestamp();
        self.setups.seal(&Setup { user, secret, until })
    }

    /// What to show of an app that is being set up; `None` when it took too long or is somebody else's.
    ///
    /// # Errors
    /// When the picture cannot be drawn.
    pub fn enrolment(&self, user: &User, sealed: &str) -> Result<Option<Enrolment>> {
        let Some(setup) = self.setup(user, sealed) else { return Ok(None) };
        let totp = totp(&setup.secret, &user.email)?;
        let address = Zeroizing::new(totp.to_url().map_err(Error::internal)?);
        let code = QrCode::new(address.as_bytes()).map_err(Error::internal)?;
        let drawn = code.render::<svg::Color>().min_dimensions(200, 200).build();
        // Inside a page, an element; the declaration belongs to files.
        let element = drawn.find("<svg").map_or(drawn.as_str(), |at| &drawn[at..]).to_owned();
        let text = Zeroizing::new(totp.secret().to_base32());
        let groups: Vec<_> = text.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
        Ok(Some(Enrolment { qr: element.into(), text: groups.join(" ").into() }))
    }

    /// Takes an app into use, with a code that shows it was set up right. Answers recovery codes where it is the person's
    /// first factor.
    ///
    /// # Errors
    /// A field error for a wrong code, which is not counted: whoever sets an app up has its secret; `Refused` when the page was open too long or there is an app already.
    pub async fn enable_app(
        &self,
        user: &User,
        sealed: &str,
        code: &str,
        from: &Origin,
    ) -> Result<Option<NewCodes>> {
        let stale = || Error::Refused("That took too long. Scan the new picture and try again.".to_owned());
        let setup = self.setup(user, sealed).ok_or_else(stale)?;
        let totp = totp(&setup.secret, &user.email)?;
        let step = matching_step(&totp, code, None, now()).ok_or_else(wrong_code)?;
        let mut tx = self.db.user(user.id).await?;
        requirement::store::hold_rules(&mut tx).await?;
        if !store::lock_user(&mut tx).await? {
            return Err(Error::NotFound);
        }
        let first = !store::has_any(&mut tx).await?;
        let sealed = self.vault.seal(&place(user.id), &setup.secret)?;
        if !store::insert_app(&mut tx, &sealed, step).await? {
            let message = "You have an authenticator app already. Remove it before you set up another.";
            return Err(Error::Refused(message.to_owned()));
        }
        let codes = if first { Some(self.replace_codes(&mut tx).await?) } else { None };
        requirement::store::renew(&mut tx).await?;
        self.record(&mut tx, &FactorChange::AppAdded, from).await?;
        tx.commit().await?;
        self.tell(user, FactorChange::AppAdded)?;
        Ok(codes)
    }

    /// Checks a code at login.
    ///
    /// # Errors
    /// A field error for a code that is wrong or was used; `TooMany` after repeated failures.
    pub async fn check_app(&self, user: UserId, code: &str, from: &Origin) -> Result<()> {
        self.tries.take_guess(user, from)?;
        let mut tx = self.db.user(user).await?;
        // The row is locked: of two who send the same code at once, one is too late.
        let row = store::lock_app(&mut tx).await?.ok_or_else(wrong_code)?;
        let secret = self.vault.open(&place(user), &row.sealed)?;
        let totp = totp(&secret, "")?;
        let step = matching_step(&totp, code, Some(row.last_step), now()).ok_or_else(wrong_code)?;
        store::app_used(&mut tx, step).await?;
        Ok(tx.commit().await?)
    }

    fn setup(&self, user: &User, sealed: &str) -> Option<Setup> {
        let setup: Setup = self.setups.open(sealed)?;
        (setup.user == user.id && setup.until > now()).then_some(setup)
    }
}

/// The step that a code belongs to, if it is within reach of `now` and after `last`.
fn matching_step(totp: &Totp, code: &str, last: Option<i64>, now: i64) -> Option<i64> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if code.len() != 6 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let step = totp.check(&code, u64::try_from(now).ok()?)?.cast_signed();
    last.is_none_or(|last| step > last).then_some(step)
}

fn totp(secret: &[u8], account: &str) -> Result<Totp> {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(SKEW)
        .with_step_duration(30)
        .with_secret(secret.to_vec())
        .with_issuer(Some("ToolMesh"))
        // A colon would end the name in the app's address.
        .with_account_name(account.replace(':', " "))
        .build()
        .map_err(|error| Error::Internal(format!("an authenticator app's secret cannot be used: {error}")))
}

fn place(user: UserId) -> String {
    format!("authenticator-app|{user}")
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

fn wrong_code() -> Error {
    Error::field(
        "code",
        "This code is wrong or has been used. Wait for the next one, and check the clock of your device.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6238, appendix B, cut to six digits.
    const SECRET: &[u8] = b"12345678901234567890";

    fn at(code: &str, last: Option<i64>, now: i64) -> Option<i64> {
        matching_step(&totp(SECRET, "ana@example.com").unwrap(), code, last, now)
    }

    #[test]
    fn a_code_is_good_one_step_before_and_after_its_own_and_no_further() {
        // 287082 is the code of step 1, seconds 30 to 59.
        for good in [0, 29, 30, 59, 60, 89] {
            assert_eq!(at("287082", None, good), Some(1), "{good}");
        }
        assert_eq!(at("287082", None, 90), None);
        assert_eq!(at("081804", None, 1_111_111_109), Some(37_037_036));
    }

    #[test]
    fn a_step_that_was_accepted_is_never_accepted_again_nor_an_earlier_one() {
        assert_eq!(at("287082", Some(0), 59), Some(1));
        assert_eq!(at("287082", Some(1), 59), None);
        assert_eq!(at("287082", Some(2), 59), None);
    }

    #[test]
    fn what_is_no_six_digits_is_no_code() {
        assert_eq!(at("287 082", None, 59), Some(1));
        for bad in ["", "28708", "2870820", "28708a", "+87082", "٢٨٧٠٨٢"] {
            assert_eq!(at(bad, None, 59), None, "{bad}");
        }
    }
}
