//! Header fields at the border: what is one connection's business, what callers may not claim, and what is added.

use std::net::IpAddr;

use http::header::{CONNECTION, EXPECT, FORWARDED, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields that belong to one connection (RFC 9110, section 7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authorization"),
];

/// Fields by which a proxy says for whom it speaks.
const CLAIMS: [HeaderName; 8] = [
    FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-real-ip"),
];

/// Removes what ends here and what callers may not say, and says who calls.
pub(super) fn prepare_request(headers: &mut HeaderMap, client: IpAddr, scheme: &'static str) {
    strip_hop_by_hop(headers);
    // The server here has asked for the body already, or will.
    headers.remove(EXPECT);
    for name in CLAIMS {
        headers.remove(name);
    }
    if let Ok(value) = HeaderValue::from_str(&client.to_string()) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
}

pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.into_iter().chain(named) {
        headers.remove(name);
    }
}

/// Who is calling: the peer, or with a proxy of the operator's in front, the address that this proxy saw, which it put last.
pub(super) fn client_address(headers: &HeaderMap, peer: IpAddr, proxy_in_front: bool) -> IpAddr {
    if !proxy_in_front {
        return peer;
    }
    let last = headers.get_all(X_FORWARDED_FOR).iter().next_back();
    let address = last.and_then(|value| value.to_str().ok()).and_then(|value| value.rsplit(',').next());
    address.and_then(|text| text.trim().parse().ok()).unwrap_or(peer)
}

/// Whether some proxy or tunnel says that it passed this request on.
pub(super) fn came_through_proxy(headers: &HeaderMap) -> bool {
    CLAIMS.iter().any(|name| headers.contains_key(name))
}

/// Whether the client is a browser that shows pages.
pub(super) fn wants_page(accept: Option<&HeaderValue>) -> bool {
    accept.and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    #[test]
    fn what_a_caller_claims_about_itself_is_replaced() {
        let mut headers = map(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("connection", "close, x-secret-hop"),
            ("x-secret-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("authorization", "Bearer k"),
        ]);
        prepare_request(&mut headers, IpAddr::from([127, 0, 0, 1]), "http");
        let expected = map(&[
            ("authorization", "Bearer k"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn behind_a_proxy_the_address_that_the_proxy_saw_counts_and_nothing_before_it() {
        let peer = IpAddr::from([127, 0, 0, 1]);
        let headers = map(&[("x-forwarded-for", "6.6.6.6, 203.0.113.9")]);
        assert_eq!(client_address(&headers, peer, true), IpAddr::from([203, 0, 113, 9]));
        assert_eq!(client_address(&headers, peer, false), peer);
        assert_eq!(client_address(&map(&[("x-forwarded-for", "unknown")]), peer, true), peer);
        assert_eq!(client_address(&HeaderMap::new(), peer, true), peer);
    }
}
