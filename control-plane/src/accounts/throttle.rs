//! How often one may try: per account, per network and all together, each with a bucket that refills.
//!
//! Nothing is locked. What refuses counts by network, so that an attacker spends their own: an account that is attacked from
//! everywhere answers a second later, to its owner too, and no more; and when all logins together are too many, a network that has
//! hardly tried is still let in.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::error::{Error, Result};

/// Mails that anybody can have sent to an address, at once.
const MAILS: NonZeroU32 = match NonZeroU32::new(5) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};

/// How much later an account answers that is tried from everywhere.
const SLOWER: Duration = Duration::from_secs(1);

pub(super) type Buckets = Arc<DefaultKeyedRateLimiter<String>>;

/// The network a client is in, which is what limits count by: its address for IPv4, its /64 for IPv6, since a household or
/// attacker has all of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientNetwork(String);

impl ClientNetwork {
    #[must_use]
    pub fn of(address: &str) -> Self {
        match address.parse() {
            Ok(std::net::IpAddr::V6(ip)) => {
                let [a, b, c, d, ..] = ip.segments();
                Self(format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"))
            }
            _ => Self(address.to_owned()),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone)]
pub struct Throttle {
    account: Buckets,
    network: Buckets,
    /// The first few tries of a network, which are let in whatever goes on elsewhere.
    first: Buckets,
    /// All tries together.
    all: Arc<DefaultDirectRateLimiter>,
    /// Tries at one account from all networks.
    guesses: Buckets,
    sign_ups: Buckets,
    mails: Buckets,
}

impl Default for Throttle {
    fn default() -> Self {
        // Five mails at once, then one in a quarter of an hour.
        let mails = Quota::with_period(Duration::from_secs(900)).unwrap_or(Quota::per_hour(NonZeroU32::MIN));
        Self {
            account: buckets(10, 6),
            network: buckets(600, 240),
            first: buckets(5, 1),
            all: Arc::new(RateLimiter::direct(quota(600, 3000))),
            guesses: buckets(20, 20),
            sign_ups: buckets(200, 120),
            mails: Arc::new(RateLimiter::keyed(mails.allow_burst(MAILS))),
        }
    }
}

impl Throttle {
    /// # Errors
    /// `TooMany` with the seconds to wait.
    pub fn login(&self, email: &str, network: &ClientNetwork) -> Result<()> {
        take(&self.network, &network.0)?;
        let first = self.first.check_key(&network.0).is_ok();
        if self.all.check().is_err() && !first {
            return Err(Error::TooMany(5));
        }
        // Per account and network, so that an attacker elsewhere does not slow the owner down.
        take(&self.account, &format!("{email}|{}", network.0))
    }

    /// How much later than usual the answer to a try at an account comes, since it has been tried too often from everywhere.
    #[must_use]
    pub fn delay(&self, email: &str) -> Duration {
        if self.guesses.check_key(&email.to_owned()).is_ok() { Duration::ZERO } else { SLOWER }
    }

    /// # Errors
    /// `TooMany` with the seconds to wait.
    pub fn sign_up(&self, network: &ClientNetwork) -> Result<()> {
        take(&self.sign_ups, &network.0)
    }

    /// Whether an address may be sent another mail that anybody can ask for.
    #[must_use]
    pub fn mail_to(&self, email: &str) -> bool {
        self.mails.check_key(&email.to_owned()).is_ok()
    }

    /// Forgets buckets that are full again.
    pub fn tidy(&self) {
        let all = [&self.account, &self.network, &self.first, &self.guesses, &self.sign_ups, &self.mails];
        for buckets in all {
            buckets.retain_recent();
        }
    }
}

fn quota(burst: u32, per_minute: u32) -> Quota {
    let number = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    Quota::per_minute(number(per_minute)).allow_burst(number(burst))
}

pub(super) fn buckets(burst: u32, per_minute: u32) -> Buckets {
    Arc::new(RateLimiter::keyed(quota(burst, per_minute)))
}

pub(super) fn take(buckets: &Buckets, key: &String) -> Result<()> {
    buckets.check_key(key).map_err(|not_until| {
        let wait = not_until.wait_time_from(DefaultClock::default().now());
        Error::TooMany(wait.as_secs() + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_one_account_is_slowed_without_locking_its_owner_out() {
        let throttle = Throttle::default();
        let mut refused = 0;
        let (attacker, owner) = (ClientNetwork::of("198.51.100.7"), ClientNetwork::of("203.0.113.9"));
        for _ in 0..30 {
            refused += u32::from(throttle.login("ana@example.com", &attacker).is_err());
        }
        assert_eq!(refused, 20);
        assert!(throttle.login("ana@example.com", &owner).is_ok());
    }

    #[test]
    fn an_account_that_is_tried_from_everywhere_answers_later_and_lets_its_owner_in() {
        let throttle = Throttle::default();
        let mut slowed = 0;
        for number in 0..=255 {
            let bot = ClientNetwork::of(&format!("198.51.100.{number}"));
            slowed += u32::from(
                throttle.login("ana@example.com", &bot).is_ok()
                    && throttle.delay("ana@example.com") == SLOWER,
            );
        }
        assert!(slowed > 200, "{slowed}");
        assert!(throttle.login("ana@example.com", &ClientNetwork::of("203.0.113.9")).is_ok());
        assert_eq!(throttle.delay("ben@example.com"), Duration::ZERO);
    }

    #[test]
    fn when_all_logins_are_too_many_a_network_that_has_hardly_tried_is_let_in() {
        let throttle = Throttle::default();
        let mut refused = 0;
        for bot in 0..40 {
            let network = ClientNetwork::of(&format!("198.51.100.{bot}"));
            for guess in 0..100 {
                let tried = throttle.login(&format!("{bot}-{guess}@example.com"), &network);
                refused += u32::from(tried.is_err());
            }
        }
        assert!(refused > 2500, "{refused}");
        let owner = ClientNetwork::of("203.0.113.9");
        for _ in 0..5 {
            assert!(throttle.login("ana@example.com", &owner).is_ok());
        }
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        assert_eq!(ClientNetwork::of("2001:db8:1:2:3::1"), ClientNetwork::of("2001:db8:1:2:ffff::9"));
    }
}
