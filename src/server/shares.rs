//! How many places of a port one address may have: one is taken before it is known whose it is, and
//! who is nobody must not be able to take all of them.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// What is taken by each address.
#[derive(Debug, Clone)]
pub(super) struct Shares {
    most: u32,
    taken: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// A place of an address, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    address: IpAddr,
}

impl Shares {
    /// So many at most for each address, of which there is at least one.
    pub(super) fn new(most: u32) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// One more of this address, unless it has all that it may have.
    pub(super) fn take(&self, address: IpAddr) -> Option<Share> {
        let address = holder(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let number = taken.entry(address).or_default();
        if *number >= self.most {
            return None;
        }
        *number += 1;
        Some(Share { shares: self.clone(), address })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut number) = taken.entry(self.address) {
            *number.get_mut() -= 1;
            // Who has none is forgotten.
            if *number.get() == 0 {
                number.remove();
            }
        }
    }
}

/// Whose an address is: a host by IPv6 has all addresses of its network of 64 bits.
fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_no_more_until_it_gives_back() {
        let (shares, one, other) = (Shares::new(2), IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let (first, _second) = (shares.take(one).unwrap(), shares.take(one).unwrap());
        assert!(shares.take(one).is_none());
        let others = shares.take(other).unwrap();
        drop(first);
        let _third = shares.take(one).unwrap();
        assert!(shares.take(one).is_none());
        drop(others);
        assert_eq!(shares.taken.lock().unwrap().len(), 1, "who has none is forgotten");
    }

    #[test]
    fn a_host_has_one_share_whatever_it_is_called() {
        let shares = Shares::new(1);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let _places = [shares.take(address("10.0.0.1")).unwrap(), shares.take(address("2001:db8::1")).unwrap()];
        assert!(shares.take(address("::ffff:10.0.0.1")).is_none());
        assert!(shares.take(address("2001:db8::ffff:2")).is_none());
        assert!(shares.take(address("2001:db8:0:1::1")).is_some());
    }
}
