//! Whose request this is, on the network: the address of the peer, or of the client that a trusted proxy names.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use ipnet::IpNet;

use crate::accounts::throttle::ClientNetwork;

/// The client's address as text; for throttling and the log, never for authorization.
#[derive(Clone, Debug)]
pub struct ClientAddress(String);

/// Peers whose `X-Forwarded-For` is believed; an extension of every request.
#[derive(Clone, Debug)]
pub struct TrustedProxies(pub Arc<Vec<IpNet>>);

impl ClientAddress {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What limits count by.
    #[must_use]
    pub fn network(&self) -> ClientNetwork {
        ClientNetwork::of(&self.0)
    }

    fn find(parts: &Parts) -> Self {
        let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
            return Self("unknown".to_owned());
        };
        let trusted = |ip: IpAddr| {
            parts.extensions.get::<TrustedProxies>().is_some_and(|t| t.0.iter().any(|net| net.contains(&ip)))
        };
        let mut address = peer.ip().to_canonical();
        // From the right: each trusted hop vouches for the one before it.
        let forwarded = parts.headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
        let hops: Vec<&str> = forwarded.flat_map(|v| v.split(',')).map(str::trim).collect();
        for hop in hops.iter().rev() {
            if !trusted(address) {
                break;
            }
            match hop.parse::<IpAddr>() {
                Ok(ip) => address = ip.to_canonical(),
                Err(_) => break,
            }
        }
        Self(address.to_string())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::find(parts))
    }
}
