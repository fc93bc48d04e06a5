//! HTTP as the tests speak it: `*.localhost` is this machine, redirects are shown and not followed, no wait is endless.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

struct Localhost;

impl Resolve for Localhost {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_ascii_lowercase();
        Box::pin(async move {
            if host == "localhost" || host.ends_with(".localhost") {
                let here: Addrs = Box::new(std::iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
                return Ok(here);
            }
            Err(format!("the tests stay on this machine; {host} is not on it").into())
        })
    }
}

/// A client that reaches this machine only.
///
/// # Errors
/// When the TLS library refuses, which it does not.
pub fn client() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .dns_resolver(Arc::new(Localhost))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // Each test has a runtime of its own, and a pooled connection dies with the runtime it was opened in.
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(90))
        .connect_timeout(Duration::from_secs(5))
        .build()?;
    Ok(client)
}

/// A port of this machine that nothing listens on now.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// An address as a person would type it into a connector's base URL.
#[must_use]
pub fn here(port: u16) -> String {
    format!("http://{}:{port}", IpAddr::from(Ipv4Addr::LOCALHOST))
}
