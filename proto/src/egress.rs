//! Which addresses the product may call for a tenant: the rules of the guard against server-side request forgery.
//!
//! The guarded client of each plane resolves a name, asks [`is_public`] about every address, and connects to an address it
//! asked about. This module knows the rules only; it neither resolves nor connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// What an operator allows beyond public HTTPS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Private, loopback and link-local addresses, plain HTTP and any port; for one machine and for tests.
    pub allow_private: bool,
}

/// Why a URL is not called; each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    #[error("{0:?} is not a URL; write it as https://host/path")]
    NotAUrl(String),
    #[error("only https:// URLs are called")]
    Scheme,
    #[error("a URL must not hold a user name or password; put them in the credential")]
    UserInfo,
    #[error("port {0} is not allowed; use 443 or 8443")]
    Port(u16),
    #[error("{0} is a private or reserved address, which this installation does not call")]
    PrivateAddress(String),
}

impl EgressPolicy {
    /// Checks everything about a URL that can be known before its name is resolved.
    ///
    /// # Errors
    /// Says which rule the URL breaks.
    pub fn check_url(&self, url: &Url) -> Result<(), EgressError> {
        match url.scheme() {
            "https" => {}
            "http" if self.allow_private => {}
            _ => return Err(EgressError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::UserInfo);
        }
        let port = url.port_or_known_default().unwrap_or(443);
        if !self.allow_private && !matches!(port, 443 | 8443) {
            return Err(EgressError::Port(port));
        }
        match url.host() {
            None => Err(EgressError::NotAUrl(url.to_string())),
            Some(Host::Domain(_)) => Ok(()),
            Some(Host::Ipv4(ip)) => self.check_address(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => self.check_address(IpAddr::V6(ip)),
        }
    }

    /// Reads and checks a base URL as an admin typed it.
    ///
    /// # Errors
    /// Says which rule the URL breaks.
    pub fn parse(&self, text: &str) -> Result<Url, EgressError> {
        let url = Url::parse(text.trim()).map_err(|_| EgressError::NotAUrl(text.trim().to_owned()))?;
        self.check_url(&url)?;
        Ok(url)
    }

    /// Checks an address right before it is connected to.
    ///
    /// # Errors
    /// When it is not public and private ones are not allowed. Addresses that are nobody's (0.0.0.0, multicast) are refused
    /// even then.
    pub fn check_address(&self, ip: IpAddr) -> Result<(), EgressError> {
        let allowed = is_public(ip) || (self.allow_private && !ip.is_unspecified() && !ip.is_multicast());
        if allowed { Ok(()) } else { Err(EgressError::PrivateAddress(ip.to_string())) }
    }
}

/// Whether an address is on the public Internet: not private, loopback, link-local, shared, documentation, benchmark,
/// multicast or reserved (IANA special-purpose registries), also when it hides in an IPv6 form of an IPv4 address.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let inner = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // ::, ::1, and IPv4-compatible and -mapped addresses
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => false,
        [0, 0, 0, 0, 0, 0xffff, high, low] => inner(high, low),
        [0, 0, 0, 0, 0, 0, ..] => false,
        // NAT64, well-known and local-use
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low),
        [0x64, 0xff9b, 1, ..] => false,
        [0x100, 0, 0, 0, ..] => false,
        // Teredo, ORCHID and others under 2001::/23; documentation; 6to4
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [0x2002, high, low, ..] => inner(high, low),
        // everything but global unicast: unique local, link-local, site-local, multicast
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_lead_inside_are_not_public_in_any_notation() {
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "140.82.112.3", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn a_url_is_judged_as_the_parser_reads_it() {
        let policy = EgressPolicy::default();
        for (text, error) in [
            ("http://api.example.com", EgressError::Scheme),
            ("file:///etc/passwd", EgressError::Scheme),
            ("https://user:pw@api.example.com", EgressError::UserInfo),
            ("https://api.example.com:22", EgressError::Port(22)),
            ("https://2130706433/", EgressError::PrivateAddress("127.0.0.1".into())),
            ("https://0x7f.1/", EgressError::PrivateAddress("127.0.0.1".into())),
            ("https://[::ffff:7f00:1]/", EgressError::PrivateAddress("::ffff:127.0.0.1".into())),
        ] {
            assert_eq!(policy.parse(text).unwrap_err(), error, "{text}");
        }
        assert!(policy.parse("https://api.example.com/v1").is_ok());
    }

    #[test]
    fn an_operator_may_allow_private_addresses_but_nobodys_stay_refused() {
        let policy = EgressPolicy { allow_private: true };
        assert!(policy.parse("http://127.0.0.1:4000").is_ok());
        assert!(policy.check_address("0.0.0.0".parse().unwrap()).is_err());
    }
}
