//! The addresses that peers can reach us at.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// Most candidates that are offered; an SDP answer with more helps nobody.
const MAX_CANDIDATES: usize = 32;

/// What the system says of one address of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) ip: IpAddr,
    pub(crate) loopback: bool,
}

/// Addresses of all interfaces that are up.
pub(crate) fn list() -> io::Result<Vec<Interface>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs writes a list head to `first`; it is freed below.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut at = first;
    while !at.is_null() {
        // SAFETY: `at` is an element of the list, which lives until freeifaddrs.
        let entry = unsafe { &*at };
        at = entry.ifa_next;
        if entry.ifa_addr.is_null() || entry.ifa_flags & libc::IFF_UP as u32 == 0 {
            continue;
        }
        // SAFETY: not null; every socket address begins with its family.
        let family = i32::from(unsafe { (*entry.ifa_addr).sa_family });
        let ip: IpAddr = match family {
            libc::AF_INET => {
                // SAFETY: the family says that this is a sockaddr_in.
                let raw = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
                IpAddr::from(raw.sin_addr.s_addr.to_ne_bytes())
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that this is a sockaddr_in6.
                let raw = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
                IpAddr::from(raw.sin6_addr.s6_addr)
            }
            _ => continue,
        };
        found.push(Interface {
            ip,
            loopback: ip.is_loopback() || entry.ifa_flags & libc::IFF_LOOPBACK as u32 != 0,
        });
    }
    // SAFETY: `first` came from getifaddrs, and no reference into the list is left.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// The candidates of a socket bound to `bound`, best first. Public addresses come first: behind a one-to-one NAT they are the ones that
/// strangers reach (port 0 stands for the socket's own). A wildcard offers every interface that is not link-local; loopback only where
/// there is nothing else.
pub(crate) fn candidates(bound: SocketAddr, public: &[SocketAddr], interfaces: &[Interface]) -> Vec<SocketAddr> {
    let port = bound.port();
    let mut ips: Vec<IpAddr> = Vec::new();
    if bound.ip().is_unspecified() {
        let usable = |entry: &&Interface| {
            let reachable = match entry.ip {
                IpAddr::V4(ip) => !ip.is_link_local(),
                IpAddr::V6(ip) => bound.is_ipv6() && !ip.is_unicast_link_local(),
            };
            reachable && !entry.ip.is_unspecified()
        };
        let (loopback, real): (Vec<&Interface>, Vec<&Interface>) =
            interfaces.iter().filter(usable).partition(|entry| entry.loopback);
        let chosen = if real.is_empty() { loopback } else { real };
        // Stable sort: IPv4 first, because more peers have it, then in the order of the interfaces.
        ips.extend(chosen.into_iter().map(|entry| entry.ip));
        ips.sort_by_key(IpAddr::is_ipv6);
    } else {
        ips.push(bound.ip());
    }
    let mut found: Vec<SocketAddr> = Vec::new();
    let public = public
        .iter()
        .map(|address| SocketAddr::new(address.ip(), if address.port() == 0 { port } else { address.port() }));
    for candidate in public.chain(ips.into_iter().map(|ip| SocketAddr::new(ip, port))) {
        if !found.contains(&candidate) && found.len() < MAX_CANDIDATES {
            found.push(candidate);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(ip: &str, loopback: bool) -> Interface {
        Interface {
            ip: ip.parse().unwrap(),
            loopback,
        }
    }

    fn of(bound: &str, public: &[&str], interfaces: &[Interface]) -> Vec<String> {
        let public: Vec<SocketAddr> = public.iter().map(|text| text.parse().unwrap()).collect();
        candidates(bound.parse().unwrap(), &public, interfaces)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_system_lists_a_loopback_address() {
        assert!(
            list()
                .unwrap()
                .iter()
                .any(|entry| entry.ip.is_loopback() && entry.loopback)
        );
    }

    #[test]
    fn a_given_host_is_the_only_candidate() {
        let some = [interface("10.0.0.5", false)];
        assert_eq!(of("192.0.2.1:8081", &[], &some), ["192.0.2.1:8081"]);
    }

    #[test]
    fn a_wildcard_offers_every_interface_but_loopback_and_link_local() {
        let some = [
            interface("127.0.0.1", true),
            interface("2001:db8::5", false),
            interface("fe80::1", false),
            interface("10.0.0.5", false),
            interface("169.254.1.1", false),
        ];
        assert_eq!(of("[::]:9", &[], &some), ["10.0.0.5:9", "[2001:db8::5]:9"]);
        assert_eq!(of("0.0.0.0:9", &[], &some), ["10.0.0.5:9"]);
    }

    #[test]
    fn loopback_is_offered_where_there_is_nothing_else() {
        let some = [interface("127.0.0.1", true), interface("::1", true)];
        assert_eq!(of("[::]:9", &[], &some), ["127.0.0.1:9", "[::1]:9"]);
    }

    #[test]
    fn public_addresses_come_first_and_once() {
        let some = [interface("10.0.0.5", false)];
        assert_eq!(
            of(
                "0.0.0.0:9",
                &["203.0.113.7:0", "203.0.113.7:700", "203.0.113.7:9"],
                &some
            ),
            ["203.0.113.7:9", "203.0.113.7:700", "10.0.0.5:9"]
        );
    }
}
