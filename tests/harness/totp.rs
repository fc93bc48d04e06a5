//! The codes of an authenticator app, computed as an app does (RFC 6238), without the product's own library.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::hmac;

/// An authenticator app that was told a secret.
#[derive(Clone)]
pub struct AuthenticatorApp {
    key: hmac::Key,
}

impl AuthenticatorApp {
    /// From the text beside the picture.
    ///
    /// # Errors
    /// When it is no base32.
    pub fn from_text(text: &str) -> Result<Self> {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let (mut bits, mut held, mut secret) = (0u32, 0u32, Vec::new());
        for c in text.bytes().filter(|c| !c.is_ascii_whitespace()) {
            let value = ALPHABET.iter().position(|known| *known == c).context("this is no base32")?;
            bits = (bits << 5) | u32::try_from(value)?;
            held += 5;
            if held >= 8 {
                held -= 8;
                secret.push(u8::try_from((bits >> held) & 0xff)?);
            }
        }
        ensure!(secret.len() == 20, "a secret of {} bytes", secret.len());
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret) })
    }

    /// The code of a step from now: 0 is this one, 1 the next.
    ///
    /// # Errors
    /// When the clock is before 1970.
    pub fn code(&self, steps: i64) -> Result<String> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        Ok(self.at(now / 30 + steps))
    }

    fn at(&self, step: i64) -> String {
        let tag = hmac::sign(&self.key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag[19] & 0xf);
        let number = u32::from_be_bytes([tag[offset], tag[offset + 1], tag[offset + 2], tag[offset + 3]]);
        format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
    }

    /// Waits until a step begins that leaves time for a few requests, so that a test's codes are of the steps it thinks.
    ///
    /// # Errors
    /// When the clock is before 1970.
    pub async fn fresh_step(&self) -> Result<()> {
        let into = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() % 30;
        if into > 20 {
            tokio::time::sleep(Duration::from_secs(31 - into)).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_rfc() -> Result<()> {
        // RFC 6238, appendix B: the secret is 12345678901234567890 in ASCII.
        let app = AuthenticatorApp::from_text("GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ")?;
        assert_eq!(app.at(1), "287082");
        assert_eq!(app.at(37_037_036), "081804");
        Ok(())
    }
}
