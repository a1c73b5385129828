//! Where test traffic may go: loopback, or anywhere inside a network namespace that has no way out.

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// A target that test traffic must not reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The name has no address.
    Unresolved(String),
    /// The address is not loopback, and this namespace has a default route.
    NotIsolated(IpAddr),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(name) => write!(f, "{name} has no address"),
            Self::NotIsolated(address) => write!(
                f,
                "{address} is refused: only 127.0.0.0/8 and ::1 are allowed, or any address in a network namespace without a default route"
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// The first address of `host:port` that may be sent to.
///
/// # Errors
/// [`Refused`], naming the first address when none is allowed.
pub fn target(authority: &str) -> Result<SocketAddr, Refused> {
    let unresolved = || Refused::Unresolved(authority.to_owned());
    let addresses: Vec<_> = authority.to_socket_addrs().map_err(|_| unresolved())?.collect();
    let first = addresses.first().ok_or_else(unresolved)?.ip();
    addresses
        .into_iter()
        .find(|address| is_allowed(address.ip()))
        .ok_or(Refused::NotIsolated(first))
}

/// May test traffic go to `address`?
pub fn is_allowed(address: IpAddr) -> bool {
    address.to_canonical().is_loopback() || is_isolated()
}

/// Has this network namespace no default route, in IPv4 and IPv6? `false` when that cannot be known.
pub fn is_isolated() -> bool {
    let (Ok(v4), Ok(v6)) = (fs::read_to_string("/proc/net/route"), ipv6_routes()) else {
        return false;
    };
    !has_default_v4(&v4) && !has_default_v6(&v6)
}

/// A kernel without IPv6 has no such file, and no such routes.
fn ipv6_routes() -> std::io::Result<String> {
    match fs::read_to_string("/proc/net/ipv6_route") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

/// `/proc/net/route`: interface, destination, gateway, flags, …, mask as the eighth column.
fn has_default_v4(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        columns.get(1) == Some(&"00000000") && columns.get(7) == Some(&"00000000")
    })
}

/// `/proc/net/ipv6_route`: destination, its prefix length, … , interface as the last column. The kernel keeps an unreachable default
/// on `lo` in every namespace.
fn has_default_v6(table: &str) -> bool {
    table.lines().any(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        columns
            .first()
            .is_some_and(|destination| destination.bytes().all(|digit| digit == b'0'))
            && columns.get(1) == Some(&"00")
            && columns.last() != Some(&"lo")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn loopback_is_allowed_everywhere() {
        for address in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert!(is_allowed(address.parse().unwrap()), "{address}");
        }
        assert_eq!(target("127.0.0.1:80"), Ok("127.0.0.1:80".parse().unwrap()));
    }

    #[test]
    fn a_default_route_is_seen() {
        let default = "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        let subnet = "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        assert!(has_default_v4(&format!("{HEAD}{subnet}{default}")));
        assert!(!has_default_v4(&format!("{HEAD}{subnet}")));
        assert!(!has_default_v4(HEAD));
    }

    #[test]
    fn the_unreachable_ipv6_default_of_every_namespace_is_no_way_out() {
        let zero = "00000000000000000000000000000000";
        let on =
            |interface: &str| format!("{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 {interface}\n");
        assert!(!has_default_v6(&on("      lo")));
        assert!(has_default_v6(&on("    eth0")));
    }

    #[test]
    fn a_name_without_an_address_is_refused() {
        assert_eq!(target("127.0.0.1"), Err(Refused::Unresolved("127.0.0.1".to_owned())));
    }
}
