//! Addresses and networks in expressions: `ip` and `cidr` of Kubernetes' CEL libraries.

use std::any::Any;
use std::fmt;
use std::net::IpAddr;

use cel::common::types::Type;
use cel::common::value::{StaticVal, Val};

pub(super) static IP: Type = Type::new_unspecified_type("net.IP");
pub(super) static CIDR: Type = Type::new_unspecified_type("net.CIDR");

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ip(pub(super) IpAddr);

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

impl Ip {
    /// Neither zones nor IPv4 in IPv6 are addresses here.
    pub(super) fn parse(text: &str) -> Result<Ip, String> {
        let wrong = |why: &str| Err(format!("{text:?} is no IP address: {why}"));
        match text.parse() {
            Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
                wrong("IPv4 in IPv6 is not allowed; write the IPv4 address")
            }
            Ok(address) => Ok(Ip(address)),
            Err(_) => wrong("right would be 10.0.0.1 or 2001:db8::1"),
        }
    }

    pub(super) fn family(self) -> i64 {
        if self.0.is_ipv4() { 4 } else { 6 }
    }

    pub(super) fn is_link_local_multicast(self) -> bool {
        match self.0 {
            IpAddr::V4(a) => matches!(a.octets(), [224, 0, 0, _]),
            IpAddr::V6(a) => a.segments()[0] & 0xff0f == 0xff02,
        }
    }

    pub(super) fn is_link_local_unicast(self) -> bool {
        match self.0 {
            IpAddr::V4(a) => a.is_link_local(),
            IpAddr::V6(a) => a.is_unicast_link_local(),
        }
    }

    pub(super) fn is_global_unicast(self) -> bool {
        let broadcast = matches!(self.0, IpAddr::V4(a) if a.is_broadcast());
        !broadcast
            && !self.0.is_unspecified()
            && !self.0.is_loopback()
            && !self.0.is_multicast()
            && !self.is_link_local_unicast()
    }
}

impl Cidr {
    pub(super) fn parse(text: &str) -> Result<Cidr, String> {
        let wrong = |why: &str| format!("{text:?} is no network: {why}");
        let (address, prefix) =
            text.split_once('/').ok_or_else(|| wrong("right would be 10.0.0.0/8 or 2001:db8::/32"))?;
        let address = Ip::parse(address).map_err(|why| wrong(&why))?.0;
        let bits = bits(address);
        let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let plain = digits && (prefix == "0" || !prefix.starts_with('0'));
        let length = prefix.parse::<u8>().ok().filter(|n| plain && *n <= bits);
        let prefix = length.ok_or_else(|| wrong(&format!("after the / stands a number up to {bits}")))?;
        Ok(Cidr { address, prefix })
    }

    pub(super) fn masked(self) -> Cidr {
        let address = match self.address {
            IpAddr::V4(a) => IpAddr::V4((u32::from(a) & mask(self.prefix, 32) as u32).into()),
            IpAddr::V6(a) => IpAddr::V6((u128::from(a) & mask(self.prefix, 128)).into()),
        };
        Cidr { address, ..self }
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Cidr { address, ..self }.masked().address == self.masked().address
    }

    pub(super) fn contains_network(self, other: Cidr) -> bool {
        other.prefix >= self.prefix && self.contains(other.address)
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first `prefix` of `bits` bits.
fn mask(prefix: u8, bits: u32) -> u128 {
    let all = u128::MAX >> (128 - bits);
    all.checked_shl(bits - u32::from(prefix)).unwrap_or(0) & all
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

macro_rules! value {
    ($type:ty, $cel:ident) => {
        impl Val for $type {
            fn get_type(&self) -> &Type {
                &$cel
            }

            fn cel_type() -> &'static Type {
                &$cel
            }

            fn equals(&self, other: &dyn Val) -> bool {
                other.downcast_ref::<$type>() == Some(self)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
            where
                Self: 'v,
            {
                Box::new(*self)
            }

            fn as_any(&self) -> Option<&dyn Any> {
                Some(self)
            }
        }

        impl StaticVal for $type {}
    };
}

value!(Ip, IP);
value!(Cidr, CIDR);
