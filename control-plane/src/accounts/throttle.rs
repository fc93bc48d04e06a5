//! How often one may try: per address of the account and per address of the network, each with a bucket that refills.
//!
//! Nothing is locked: a victim waits seconds at most, an attacker cannot go faster than the bucket.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::error::{Error, Result};

/// Mails that anybody can have sent to an address, at once.
const MAILS: NonZeroU32 = match NonZeroU32::new(5) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};

type Buckets = Arc<DefaultKeyedRateLimiter<String>>;

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
    sign_ups: Buckets,
    mails: Buckets,
}

impl Default for Throttle {
    fn default() -> Self {
        // Five mails at once, then one in a quarter of an hour.
        let mails = Quota::with_period(Duration::from_secs(900)).unwrap_or(Quota::per_hour(NonZeroU32::MIN));
        Self {
            account: buckets(10, 6),
            network: buckets(300, 120),
            sign_ups: buckets(100, 60),
            mails: Arc::new(RateLimiter::keyed(mails.allow_burst(MAILS))),
        }
    }
}

impl Throttle {
    /// # Errors
    /// `TooMany` with the seconds to wait.
    pub fn login(&self, email: &str, network: &ClientNetwork) -> Result<()> {
        take(&self.network, &network.0)?;
        // Per account and network, so that an attacker elsewhere does not slow the owner down.
        take(&self.account, &format!("{email}|{}", network.0))
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
        for buckets in [&self.account, &self.network, &self.sign_ups, &self.mails] {
            buckets.retain_recent();
        }
    }
}

fn buckets(burst: u32, per_minute: u32) -> Buckets {
    let one = NonZeroU32::MIN;
    let quota = Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(one));
    Arc::new(RateLimiter::keyed(quota.allow_burst(NonZeroU32::new(burst).unwrap_or(one))))
}

fn take(buckets: &Buckets, key: &String) -> Result<()> {
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
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        assert_eq!(ClientNetwork::of("2001:db8:1:2:3::1"), ClientNetwork::of("2001:db8:1:2:ffff::9"));
    }
}
