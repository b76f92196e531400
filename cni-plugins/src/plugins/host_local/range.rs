//! Ranges of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// A part of a subnet from which addresses are given out, first and last included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Subnet; its prefix length becomes that of the addresses.
    pub subnet: IpNet,
    /// First address.
    pub start: IpAddr,
    /// Last address.
    pub end: IpAddr,
    /// Gateway, never given out.
    pub gateway: IpAddr,
}

/// Ranges of one family; an attachment gets one address of each set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet(pub Vec<Range>);

/// What is wrong with a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// `10.1.2.3/16` where `10.1.0.0/16` is meant.
    #[error("subnet {0} has host bits set, {network} is meant", network = .0.trunc())]
    HostBits(IpNet),
    /// There is nothing between network and broadcast address.
    #[error("subnet {0} is too small to allocate from")]
    TooSmall(IpNet),
    /// An address is not in the subnet.
    #[error("{what} {ip} is not in subnet {subnet}")]
    Outside {
        /// Which field.
        what: &'static str,
        /// Its value.
        ip: IpAddr,
        /// Subnet.
        subnet: IpNet,
    },
    /// The end comes before the start.
    #[error("range starts at {start} and ends before it at {end}")]
    Reversed {
        /// First address.
        start: IpAddr,
        /// Last address.
        end: IpAddr,
    },
    /// A set without a range.
    #[error("range set {0} is empty")]
    EmptySet(usize),
    /// Nothing to give out.
    #[error("there is no range: ipam.ranges or ipam.subnet is needed")]
    None,
    /// IPv4 and IPv6 in one set.
    #[error("range set {0} mixes IPv4 and IPv6")]
    MixedFamilies(usize),
    /// Two ranges share addresses.
    #[error("range {one} overlaps {other}")]
    Overlap {
        /// One.
        one: String,
        /// The other.
        other: String,
    },
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

impl std::fmt::Display for RangeSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ranges: Vec<String> = self.0.iter().map(Range::to_string).collect();
        f.write_str(&ranges.join(","))
    }
}

/// An address as a number.
fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn like(family: IpAddr, number: u128) -> IpAddr {
    match family {
        // The caller stays within a range of IPv4.
        IpAddr::V4(_) => Ipv4Addr::from_bits(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

impl Range {
    /// Fills in what is not said: the whole subnet without network and broadcast address, the gateway first.
    ///
    /// # Errors
    /// [`RangeError`].
    pub fn new(
        subnet: IpNet,
        start: Option<IpAddr>,
        end: Option<IpAddr>,
        gateway: Option<IpAddr>,
    ) -> Result<Self, RangeError> {
        if subnet.trunc() != subnet {
            return Err(RangeError::HostBits(subnet));
        }
        if subnet.max_prefix_len() - subnet.prefix_len() < 2 {
            return Err(RangeError::TooSmall(subnet));
        }
        let network = subnet.network();
        let first = like(network, number(network) + 1);
        let last = match subnet {
            // The last address of an IPv4 subnet is its broadcast address; IPv6 has none.
            IpNet::V4(_) => like(network, number(subnet.broadcast()) - 1),
            IpNet::V6(_) => subnet.broadcast(),
        };
        let inside = |what, ip: Option<IpAddr>, default| match ip {
            Some(ip) if !subnet.contains(&ip) => Err(RangeError::Outside { what, ip, subnet }),
            Some(ip) => Ok(ip),
            None => Ok(default),
        };
        let start = inside("rangeStart", start, first)?;
        let end = inside("rangeEnd", end, last)?;
        let gateway = gateway.unwrap_or(first);
        if number(start) > number(end) {
            return Err(RangeError::Reversed { start, end });
        }
        Ok(Self { subnet, start, end, gateway })
    }

    /// Whether the address can be given out.
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.start.is_ipv4() && (number(self.start)..=number(self.end)).contains(&number(ip))
    }

    /// Number of addresses that can be given out.
    pub fn size(&self) -> u128 {
        let all = number(self.end) - number(self.start);
        // ::/0 would overflow; nobody counts that far.
        all.saturating_add(1) - u128::from(self.contains(self.gateway))
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.start) || self.contains(other.end) || other.contains(self.start)
    }
}

impl RangeSet {
    /// The range an address belongs to.
    pub fn range_of(&self, ip: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(ip))
    }

    /// Number of addresses of all ranges.
    pub fn size(&self) -> u128 {
        self.0.iter().map(Range::size).fold(0, u128::saturating_add)
    }

    /// Every address of the set once, beginning after `last`, without gateways.
    pub fn after(&self, last: Option<IpAddr>) -> impl Iterator<Item = (IpAddr, &Range)> {
        let found = last.and_then(|ip| Some((self.0.iter().position(|r| r.contains(ip))?, ip)));
        let (first, from) = match found {
            Some((index, ip)) => (index, Some(ip)),
            None => (0, None),
        };
        let count = self.0.len();
        // The range of the last address comes twice: from behind it at first, up to it at the end.
        (0..=count).flat_map(move |step| {
            let range = &self.0[(first + step) % count];
            let (mut low, mut high) = (number(range.start), number(range.end));
            match (from, step) {
                (Some(ip), 0) => low = number(ip) + 1,
                (Some(ip), s) if s == count => high = number(ip),
                (None, s) if s == count => high = 0,
                _ => {}
            }
            let empty = from.is_none() && step == count;
            let numbers = (low..=high).take(if empty { 0 } else { usize::MAX });
            numbers.map(move |n| (like(range.start, n), range)).filter(|(ip, range)| *ip != range.gateway)
        })
    }
}

/// Checks sets against each other.
///
/// # Errors
/// [`RangeError`].
pub fn validate(sets: &[RangeSet]) -> Result<(), RangeError> {
    if sets.is_empty() {
        return Err(RangeError::None);
    }
    for (index, set) in sets.iter().enumerate() {
        let Some(first) = set.0.first() else { return Err(RangeError::EmptySet(index)) };
        if set.0.iter().any(|range| range.start.is_ipv4() != first.start.is_ipv4()) {
            return Err(RangeError::MixedFamilies(index));
        }
    }
    let all: Vec<Range> = sets.iter().flat_map(|set| set.0.iter().copied()).collect();
    for (index, one) in all.iter().enumerate() {
        if let Some(other) = all[index + 1..].iter().find(|other| one.overlaps(other)) {
            return Err(RangeError::Overlap { one: one.to_string(), other: other.to_string() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
