use std::net::IpAddr;

use url::Host;

use crate::scenario::Scenario;
use crate::units::authority;

/// Host of an absolute URL, without brackets; empty where there is none.
#[must_use]
pub fn host_of(url: &str) -> &str {
    let (_, place) = authority(url).unwrap_or_default();
    match place.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => place.split(':').next().unwrap_or_default(),
    }
}

/// Whether a scenario may send to `host`: the target's own, and those that it names. No owner of another host has asked for
/// a load.
#[must_use]
pub fn permitted(scenario: &Scenario, target: &str, host: &str) -> bool {
    host.eq_ignore_ascii_case(host_of(target))
        || scenario.allow_hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
}

/// Whether all that is sent there stays on this machine, by its name alone.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Err(_) => host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    }
}

/// Whether clouds tell machines there who they are, credentials included: a target that leads there is not to be believed.
#[must_use]
pub fn is_metadata(host: &str) -> bool {
    const NAMES: [&str; 3] = ["metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"];
    // Alibaba's, Azure's, Oracle's beside the link-local ones that all others have.
    const ADDRESSES: [[u8; 4]; 3] = [[100, 100, 100, 200], [168, 63, 129, 16], [192, 0, 0, 192]];
    let address = match Host::parse(host) {
        Ok(Host::Domain(name)) => return NAMES.contains(&name.trim_end_matches('.')),
        Ok(Host::Ipv4(four)) => IpAddr::V4(four),
        Ok(Host::Ipv6(six)) => IpAddr::V6(six),
        Err(_) => match host.parse() {
            Ok(address) => address,
            Err(_) => return false,
        },
    };
    match address.to_canonical() {
        IpAddr::V4(four) => four.is_link_local() || ADDRESSES.contains(&four.octets()),
        // Link-local, and AWS's fd00:ec2::/32.
        IpAddr::V6(six) => six.is_unicast_link_local() || six.segments()[..2] == [0xfd00, 0x0ec2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_urls_have_them() {
        for (url, host) in [
            ("http://h/a", "h"),
            ("https://me:p@w@h:80?x", "h"),
            ("http://[::1]:8080/x", "::1"),
            ("http://h#f", "h"),
            ("/a", ""),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn this_machine_and_where_clouds_keep_credentials() {
        for host in ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"] {
            assert!(is_loopback(host) && !is_metadata(host), "{host}");
        }
        for host in [
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "metadata.google.internal",
            "METADATA.google.internal.",
            "100.100.100.200",
            "168.63.129.16",
        ] {
            assert!(is_metadata(host) && !is_loopback(host), "{host}");
        }
        for host in ["example.com", "10.0.0.1", "0.0.0.0", "localhost.example.com", "fd00::1"] {
            assert!(!is_metadata(host) && !is_loopback(host), "{host}");
        }
    }
}
