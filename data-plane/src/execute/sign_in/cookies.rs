//! The cookies of one login at one origin: what the API sets, shown again with every call there.
//!
//! All calls of an installation go to one origin, so domains and paths are not told apart. The number and size of cookies are
//! bounded: an API could set any.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::{HeaderValue, SET_COOKIE};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use zeroize::Zeroizing;

/// Most cookies that are kept, and most bytes of one.
const MOST: usize = 50;
const LONGEST: usize = 4096;

/// The cookies of one login. Does not print.
#[derive(Default)]
pub(super) struct Jar(BTreeMap<String, Zeroizing<String>>);

impl Jar {
    /// Takes what an answer sets. One that has ended is dropped.
    pub(super) fn take(&mut self, headers: &HeaderMap, now: OffsetDateTime) {
        for cookie in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let mut parts = cookie.split(';');
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let (name, value) = (name.trim(), value.trim());
            if name.is_empty() || cookie.len() > LONGEST {
                continue;
            }
            if value.is_empty() || has_ended(parts, now) {
                self.0.remove(name);
            } else if self.0.len() < MOST || self.0.contains_key(name) {
                self.0.insert(name.to_owned(), Zeroizing::new(value.to_owned()));
            }
        }
    }

    /// All of them, as one header.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={}", value.as_str())).collect();
        let mut header = HeaderValue::from_str(&Zeroizing::new(pairs.join("; "))).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|value| value.as_str())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn has_ended<'a>(attributes: impl Iterator<Item = &'a str>, now: OffsetDateTime) -> bool {
    let mut expired = false;
    for attribute in attributes {
        let Some((name, value)) = attribute.split_once('=') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            // Where both are there, this one counts.
            "max-age" => return value.trim().parse::<i64>().is_ok_and(|seconds| seconds <= 0),
            "expires" => {
                expired = OffsetDateTime::parse(value.trim(), &Rfc2822).is_ok_and(|end| end <= now);
            }
            _ => {}
        }
    }
    expired
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jar(set: &[&str]) -> Jar {
        let mut headers = HeaderMap::new();
        for cookie in set {
            headers.append(SET_COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        let mut jar = Jar::default();
        jar.take(&headers, OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap());
        jar
    }

    #[test]
    fn what_an_api_sets_is_shown_again_until_it_ends() {
        let jar = jar(&[
            "sid=a=b; Path=/; HttpOnly",
            "old=1; Max-Age=0",
            "past=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
            "kept=2; Max-Age=60; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
            "gone=3",
            "gone=",
            "nonsense",
        ]);
        assert_eq!(jar.header().unwrap(), "kept=2; sid=a=b");
        assert!(jar.header().unwrap().is_sensitive());
    }

    #[test]
    fn an_api_that_sets_cookies_without_end_fills_nothing_but_its_share() {
        let many: Vec<String> = (0..500).map(|n| format!("c{n}=v")).collect();
        let mut all: Vec<&str> = many.iter().map(String::as_str).collect();
        let long = format!("long={}", "x".repeat(5000));
        all.push(&long);
        assert_eq!(jar(&all).values().count(), MOST);
        assert!(jar(&[]).header().is_none());
    }
}
