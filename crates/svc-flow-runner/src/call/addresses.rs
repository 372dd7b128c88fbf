//! Which addresses flows may reach. A flow is written by a tenant, and runs inside our network: without
//! this it could ask the database, the cloud's metadata service, or another tenant's systems.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A host that flows may not ask.
#[derive(Debug, thiserror::Error)]
#[error(
    "the host is on the inside of the network; an operator may allow it with `flow_runner.private_hosts`"
)]
struct Inside;

/// Lets names lead to public addresses only, except for hosts that an operator has named.
#[derive(Clone)]
pub(crate) struct Guard(Arc<BTreeSet<String>>);

impl Guard {
    pub(crate) fn new(private_hosts: &[String]) -> Self {
        let hosts = private_hosts.iter().map(|host| host.to_ascii_lowercase());
        Self(Arc::new(hosts.collect()))
    }

    /// Whether the host of `url` may be asked, as far as can be told before its name is looked up.
    pub(crate) fn may_ask(&self, url: &Url) -> Result<(), String> {
        let address = match url.host() {
            Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
            Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
            Some(url::Host::Domain(_)) => return Ok(()),
            None => return Err("the address has no host".to_owned()),
        };
        if is_public(address) || self.is_named(&address.to_string()) {
            Ok(())
        } else {
            Err(Inside.to_string())
        }
    }

    /// Whether an operator has named a host.
    pub(crate) fn is_named(&self, host: &str) -> bool {
        self.0.contains(&host.to_ascii_lowercase())
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let all = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let named = guard.is_named(name.as_str());
            let good: Vec<SocketAddr> = all.filter(|at| named || is_public(at.ip())).collect();
            if good.is_empty() {
                return Err(Inside.into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

/// The guard's own words, when it is the guard that refused.
pub(super) fn refusal(error: &reqwest::Error) -> Option<String> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = cause {
        if let Some(inside) = one.downcast_ref::<Inside>() {
            return Some(inside.to_string());
        }
        cause = one.source();
    }
    None
}

/// Whether an address is one of the public internet (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        // Shared address space (RFC 6598), protocol assignments, benchmarking, reserved.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let inner = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => inner(high, low),
        // Documentation, Teredo and other protocol assignments, discard only.
        [0x2001, 0x0db8 | 0..=0x01ff, ..] | [0x0100, 0, 0, 0, ..] => false,
        // The part of the address space that is given out.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::1",
            "::",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::127.0.0.1",
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert!(!is_public(parsed), "{address}");
        }
        for address in [
            "1.1.1.1",
            "157.240.0.35",
            "172.32.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert!(is_public(parsed), "{address}");
        }
    }

    #[test]
    fn addresses_however_written_are_seen_through() {
        let guard = Guard::new(&["10.0.0.5".to_owned()]);
        for url in [
            "http://127.0.0.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://[::1]:80/",
            "http://[::ffff:169.254.169.254]/",
            "http://017700000001/",
        ] {
            let url = Url::parse(url).unwrap();
            assert!(guard.may_ask(&url).is_err(), "{url}");
        }
        for url in [
            "http://10.0.0.5:8080/x",
            "https://1.1.1.1/",
            "https://shop.example.com/",
        ] {
            assert!(guard.may_ask(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
    }
}
