//! Codes of eight digits that stand in a mail beside the link, for who reads mail on another device.

use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

const DIGITS: usize = 8;

/// A fresh code.
pub struct Code(Zeroizing<String>);

impl Code {
    /// # Errors
    /// Only if the system has no randomness.
    pub fn new() -> Result<Self> {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).map_err(Error::internal)?;
        // 128 bits taken modulo 10^8: no digit is likelier than another by more than one part in 10^30.
        let number = u128::from_be_bytes(bytes) % 10_u128.pow(DIGITS as u32);
        Ok(Self(Zeroizing::new(format!("{number:0DIGITS$}"))))
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// As people read it: `1234 5678`.
    #[must_use]
    pub fn in_groups(&self) -> String {
        let (left, right) = self.0.split_at(DIGITS / 2);
        format!("{left} {right}")
    }
}

/// Keeps codes so that the table does not tell them: a MAC over the code and what it belongs to, under a key that is not in the
/// database.
#[derive(Clone)]
pub struct Codes(hmac::Key);

impl Codes {
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    #[must_use]
    pub fn mac(&self, of: &[u8], code: &str) -> Vec<u8> {
        hmac::sign(&self.0, &message(of, code)).as_ref().to_vec()
    }

    /// Whether what somebody typed is the code; spaces and hyphens do not matter.
    #[must_use]
    pub fn fits(&self, of: &[u8], typed: &str, mac: &[u8]) -> bool {
        let digits: String =
            typed.chars().filter(|c| !c.is_whitespace() && *c != '-').take(DIGITS + 1).collect();
        hmac::verify(&self.0, &message(of, &digits), mac).is_ok()
    }
}

fn message(of: &[u8], code: &str) -> Vec<u8> {
    [of, b"|", code.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_fits_what_it_was_made_for_however_it_is_spaced() {
        let codes = Codes::new(&[7; 32]);
        let code = Code::new().unwrap();
        assert!(code.expose().len() == 8 && code.expose().bytes().all(|b| b.is_ascii_digit()));
        let mac = codes.mac(b"one", code.expose());
        assert!(codes.fits(b"one", code.expose(), &mac));
        assert!(codes.fits(b"one", &format!(" {} ", code.in_groups()), &mac));
        assert!(!codes.fits(b"two", code.expose(), &mac));
        assert!(!codes.fits(b"one", "", &mac) && !codes.fits(b"one", &format!("{}1", code.expose()), &mac));
        assert!(!Codes::new(&[8; 32]).fits(b"one", code.expose(), &mac));
    }
}
