//! Networks: ranges of addresses, as `10.0.0.0/8` writes them (RFC 4632)

use std::net::IpAddr;

/// Some ranges of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Vec<(IpAddr, u32)>);

impl Networks {
    /// Of texts such as `10.0.0.0/8`, `2001:db8::/32` or `192.0.2.1`, which is one address.
    ///
    /// # Errors
    ///
    /// The first that is none of these.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        texts.into_iter().map(|text| network(text).ok_or(text)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `address` is in one of them. An IPv4 address may come wrapped in an IPv6 one.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|(network, length)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = u32::from(*network) ^ u32::from(address);
                differ.leading_zeros() >= *length
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = u128::from(*network) ^ u128::from(address);
                differ.leading_zeros() >= *length
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        })
    }
}

fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let length_max = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => length_max,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
    };
    (length <= length_max).then_some((address, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_network_by_its_first_bits() {
        let networks = Networks::parse(["10.0.0.0/8", "192.0.2.1", "2001:db8::/33", "127.0.0.0/31"]);
        let networks = networks.expect("networks");
        for (address, is_in) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("::ffff:10.1.2.3", true),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("2001:db8:7fff::1", true),
            ("2001:db8:8000::1", false),
            ("::1", false),
        ] {
            assert_eq!(networks.contain(address.parse().expect("an address")), is_in, "{address}");
        }
        let all = Networks::parse(["0.0.0.0/0"]).expect("a network");
        assert!(
            all.contain(IpAddr::from([203, 0, 113, 9])) && !all.contain("::1".parse().expect("an address"))
        );
        assert!(!Networks::default().contain(IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for odd in ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "::/129", "a", "10.0.0.0/8/8"]
        {
            assert_eq!(Networks::parse(["::1", odd]), Err(odd));
        }
    }
}
