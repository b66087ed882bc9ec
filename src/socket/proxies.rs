//! From where a client comes, where proxies stand before this server.
//!
//! Each proxy adds the address that it was asked from to the end of a header, behind what the client wrote there. So the header is
//! read from its end, and only as far as proxies that are known wrote it: the first address that is none of them is the client's,
//! and what stands before it is hearsay.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The proxies whose word is taken. Without any the header is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies {
    pub header: HeaderName,
    pub networks: Networks,
}

/// Addresses and networks such as `10.0.0.0/8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// A part of the list is neither an address nor a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an address nor a network")]
pub struct NotANetwork;

impl FromStr for Networks {
    type Err = NotANetwork;

    /// Reads a comma-separated list.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let lone = |text: &str| text.parse::<IpAddr>().map(IpNet::from).map_err(|_| NotANetwork);
        let network = |text: &str| text.parse().or_else(|_| lone(text));
        text.split(',').map(|one| network(one.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl Networks {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl TrustedProxies {
    /// The client of a connection from `peer` whose request came with these headers. Where a known proxy names nobody it can be
    /// taken for, it is the proxy's own address.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all(&self.header).iter().rev();
        let mut named = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while self.networks.contains(client) {
            match named.next().map(address) {
                Some(Some(before)) => client = before.to_canonical(),
                Some(None) | None => break,
            }
        }
        client
    }
}

/// An address as proxies write it: bare, in brackets, with a port or without.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn behind(networks: &str) -> TrustedProxies {
        TrustedProxies {
            header: HeaderName::from_static("x-forwarded-for"),
            networks: networks.parse().expect("networks"),
        }
    }

    fn client(proxies: &TrustedProxies, peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("X-Forwarded-For", HeaderValue::from_bytes(line.as_bytes()).expect("a value"));
        }
        proxies.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn only_what_known_proxies_wrote_is_believed() {
        let proxies = behind("127.0.0.1, 10.0.0.0/8, fd00::/8");
        for (peer, lines, expected) in [
            // Nobody who is not a proxy is asked.
            ("192.0.2.9", &["198.51.100.1"][..], "192.0.2.9"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            ("::ffff:127.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
            // What the client wrote itself stands before what the proxy added.
            ("127.0.0.1", &["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
            ("127.0.0.1", &["198.51.100.1", "192.0.2.1"], "192.0.2.1"),
            ("127.0.0.1", &["10.0.0.7,192.0.2.1 , 10.0.0.7"], "192.0.2.1"),
            ("10.1.2.3", &["2001:db8::1, 10.0.0.1", "[fd00::1]:443"], "2001:db8::1"),
            ("127.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("127.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            // From within: the furthest that is known.
            ("127.0.0.1", &["10.0.0.2, 10.0.0.1"], "10.0.0.2"),
            // A proxy that names nobody is who there is.
            ("127.0.0.1", &["198.51.100.1, unknown"], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1, unknown, 10.0.0.1"], "10.0.0.1"),
            ("127.0.0.1", &["198.51.100.1,"], "127.0.0.1"),
        ] {
            assert_eq!(client(&proxies, peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn without_proxies_the_header_is_not_looked_at() {
        let proxies = TrustedProxies { networks: Networks::default(), ..behind("::1") };
        assert_eq!(client(&proxies, "127.0.0.1", &["192.0.2.1"]), "127.0.0.1");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "proxy", "10.0.0.1,", "10.0.0.1 10.0.0.2", "*"] {
            assert_eq!(text.parse::<Networks>(), Err(NotANetwork), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_it_is_who_the_proxy_saw(written in "[ -~]{0,60}") {
            let line = format!("{written},192.0.2.1");
            prop_assert_eq!(client(&behind("127.0.0.1"), "127.0.0.1", &[&line]), "192.0.2.1");
        }
    }
}
