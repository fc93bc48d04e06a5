//! How often one may try: per address of the account and per address of the network, each with a bucket that refills.
//!
//! Nothing is locked: a victim waits seconds at most, an attacker cannot go faster than the bucket.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::error::{Error, Result};

type Buckets = Arc<DefaultKeyedRateLimiter<String>>;

#[derive(Clone)]
pub struct Throttle {
    account: Buckets,
    network: Buckets,
    sign_ups: Buckets,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { account: buckets(10, 6), network: buckets(300, 120), sign_ups: buckets(100, 60) }
    }
}

impl Throttle {
    /// # Errors
    /// `TooMany` with the seconds to wait.
    pub fn login(&self, email: &str, network: &str) -> Result<()> {
        take(&self.network, &prefix(network))?;
        // Per account and network, so that an attacker elsewhere does not slow the owner down.
        take(&self.account, &format!("{email}|{}", prefix(network)))
    }

    /// Forgets buckets that are full again, which keeps the maps small without a task of their own.
    pub fn tidy(&self) {
        self.account.retain_recent();
        self.network.retain_recent();
    }

    /// # Errors
    /// `TooMany` with the seconds to wait.
    pub fn sign_up(&self, network: &str) -> Result<()> {
        self.sign_ups.retain_recent();
        take(&self.sign_ups, &prefix(network))
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

/// The network an address belongs to: itself for IPv4, its /64 for IPv6, since a household or attacker has all of one.
fn prefix(address: &str) -> String {
    match address.parse() {
        Ok(std::net::IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_one_account_is_slowed_without_locking_its_owner_out() {
        let throttle = Throttle::default();
        let mut refused = 0;
        for _ in 0..30 {
            refused += u32::from(throttle.login("ana@example.com", "198.51.100.7").is_err());
        }
        assert_eq!(refused, 20);
        assert!(throttle.login("ana@example.com", "203.0.113.9").is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        assert_eq!(prefix("2001:db8:1:2:3::1"), prefix("2001:db8:1:2:ffff::9"));
    }
}
