//! How many connections one user and one address have on this node.
//!
//! Invariant: a place is taken before anything is asked of the database, and given back when its value is dropped, whichever way
//! a connection ends. What is counted is what is held, as long as the connection lasts and not only its socket.

use std::{
    any::Any,
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::{IpNet, Ipv6Net};

use crate::ids::UserId;

/// Connections at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Without a number as many as come.
    pub per_user: Option<u32>,
    pub per_address: Option<u32>,
}

/// All places there are. Clones share them.
#[derive(Clone)]
pub struct Guests {
    places: Places,
    users: Counter<UserId>,
    networks: Counter<IpNet>,
}

/// The places of one connection, here and among all nodes.
pub(super) struct Held {
    pub(super) _session: Option<Box<dyn Any + Send + Sync>>,
    pub(super) _address: Place<IpNet>,
    pub(super) _user: Place<UserId>,
}

/// Somebody has all the places he may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("this user has {0} connections, as many as may be; close one and connect again")]
    User(u32),
    #[error("{0} connections come from this address, as many as may be; try again when one of them has ended")]
    Address(u32),
}

impl Guests {
    /// Nobody yet.
    pub fn new(places: Places) -> Self {
        Self { places, users: Counter::default(), networks: Counter::default() }
    }

    /// A place for a connection from this address. Of IPv6 a whole /64 counts as one: it is what a single line is given.
    pub(super) fn of_address(&self, address: IpAddr) -> Result<Place<IpNet>, Full> {
        let network = match address.to_canonical() {
            IpAddr::V6(address) => {
                Ipv6Net::new(address, 64).map_or(IpNet::from(IpAddr::V6(address)), IpNet::V6).trunc()
            }
            address => IpNet::from(address),
        };
        let most = self.places.per_address;
        self.networks.take(network, most).map_err(|most| refused("address", Full::Address(most)))
    }

    /// A place for a connection of this user.
    pub(super) fn of_user(&self, user: &UserId) -> Result<Place<UserId>, Full> {
        let most = self.places.per_user;
        self.users.take(user.clone(), most).map_err(|most| refused("user", Full::User(most)))
    }
}

fn refused(by: &'static str, full: Full) -> Full {
    metrics::counter!("curia_connections_refused_total", "by" => by).increment(1);
    full
}

struct Counter<K>(Arc<Mutex<HashMap<K, u32>>>);

/// One place, given back when dropped. `None` where nobody counts.
pub(super) struct Place<K: Eq + Hash>(Option<(Counter<K>, K)>);

impl<K> Clone for Counter<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for Counter<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash> Counter<K> {
    /// A place, or how many there are and are taken.
    fn take(&self, key: K, most: Option<u32>) -> Result<Place<K>, u32> {
        let Some(most) = most else { return Ok(Place(None)) };
        let mut taken = self.lock();
        let count = taken.entry(key.clone()).or_default();
        if *count >= most {
            // Never an entry of nobody: the least that may be is one.
            return Err(most);
        }
        *count += 1;
        Ok(Place(Some((self.clone(), key))))
    }
}

impl<K> Counter<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        // Nothing in between can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let Some((counter, key)) = &self.0 else { return };
        let mut taken = counter.lock();
        if let Some(count) = taken.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guests(per_user: Option<u32>, per_address: Option<u32>) -> Guests {
        Guests::new(Places { per_user, per_address })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_that_is_given_back_is_free() {
        let guests = guests(Some(2), None);
        let (ada, bo) = (UserId::from("ada"), UserId::from("bo"));
        let first = guests.of_user(&ada).unwrap();
        let second = guests.of_user(&ada).unwrap();
        assert_eq!(guests.of_user(&ada).err(), Some(Full::User(2)));
        drop(first);
        let third = guests.of_user(&ada).unwrap();
        assert_eq!(guests.of_user(&ada).err(), Some(Full::User(2)));
        let other = guests.of_user(&bo).unwrap();
        drop((second, third, other));
        assert!(guests.users.lock().is_empty(), "nobody is remembered");
    }

    #[test]
    fn an_address_is_one_however_it_is_written_and_a_line_of_ipv6_is_one() {
        let guests = guests(None, Some(1));
        for (one, same) in [("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8::1", "2001:db8::ffff:1")] {
            let place = guests.of_address(address(one)).unwrap();
            assert_eq!(guests.of_address(address(same)).err(), Some(Full::Address(1)));
            drop(place);
            assert!(guests.of_address(address(same)).is_ok());
        }
        let _place = guests.of_address(address("2001:db8::1")).unwrap();
        assert!(guests.of_address(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn where_nobody_counts_as_many_come_as_want() {
        let guests = guests(None, None);
        let places: Vec<_> = (0..100).map(|_| guests.of_address(address("192.0.2.1"))).collect();
        assert!(places.iter().all(Result::is_ok) && guests.networks.lock().is_empty());
    }
}
