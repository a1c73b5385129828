//! Who may connect, and for how long without a name. Decides; closes nothing itself.
//!
//! A *stranger* is a connection on which nobody has authenticated. Where there are too many strangers the oldest goes: an honest peer authenticates
//! within a round trip, so it is not the oldest for long, and whoever only holds connections open pushes out its own. Connections with a name cost
//! their owner the credentials of a transport; there the newest is refused.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use rostra_sfu::ids::ConnectionId;
use rostra_sfu::time::Time;

/// Most connections in all.
pub(super) const MAX_CONNECTIONS: usize = 1 << 14;
/// Most connections of one address: an office behind one, but never everything.
pub(super) const MAX_OF_ADDRESS: usize = MAX_CONNECTIONS / 4;
/// Most strangers in all.
pub(super) const MAX_STRANGERS: usize = 1024;
/// Most strangers of one address.
pub(super) const MAX_STRANGERS_OF_ADDRESS: usize = 128;
/// A stranger's time. Clients check at once when they are connected.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Door {
    limits: Limits,
    by_address: HashMap<IpAddr, Count>,
    all: usize,
    /// In the order of arrival. Those that are strangers no more are left in until they come up.
    strangers: VecDeque<Stranger>,
    count: usize,
}

/// How many there may be.
#[derive(Clone, Copy, Debug)]
struct Limits {
    all: usize,
    of_address: usize,
    strangers: usize,
    strangers_of_address: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: usize,
    strangers: usize,
}

#[derive(Clone, Copy, Debug)]
struct Stranger {
    since: Time,
    address: IpAddr,
    id: ConnectionId,
}

/// What to do with a new connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Let it in; close this one for it, if any.
    In(Option<ConnectionId>),
    /// Close it.
    Refused,
}

impl Door {
    /// For a process that may have so many descriptors: the larger part of them is for others, and strangers cannot take much of ours.
    pub(super) fn new(descriptors: usize) -> Self {
        let all = MAX_CONNECTIONS.min(descriptors / 2);
        let strangers = MAX_STRANGERS.min(all / 4);
        Self {
            limits: Limits {
                all,
                of_address: MAX_OF_ADDRESS.min(all / 2),
                strangers,
                strangers_of_address: MAX_STRANGERS_OF_ADDRESS.min(strangers / 2),
            },
            by_address: HashMap::new(),
            all: 0,
            strangers: VecDeque::new(),
            count: 0,
        }
    }

    /// Somebody from `address` connects. Nothing changes by asking. `is_stranger` tells who still is one.
    pub(super) fn knock(&self, address: IpAddr, is_stranger: impl Fn(ConnectionId) -> bool) -> Verdict {
        let address = block(address);
        let count = self.by_address.get(&address).copied().unwrap_or_default();
        let mut those = self.strangers.iter().filter(|one| is_stranger(one.id));
        let loser = if count.strangers >= self.limits.strangers_of_address {
            those.find(|one| one.address == address)
        } else if self.count >= self.limits.strangers {
            those.next()
        } else {
            None
        };
        let leaves = |of: IpAddr| usize::from(loser.is_some_and(|one| one.address == of));
        if count.all >= self.limits.of_address + leaves(address)
            || self.all >= self.limits.all + usize::from(loser.is_some())
        {
            return Verdict::Refused;
        }
        Verdict::In(loser.map(|one| one.id))
    }

    /// It is in, as a stranger.
    pub(super) fn enter(
        &mut self,
        now: Time,
        address: IpAddr,
        id: ConnectionId,
        is_stranger: impl Fn(ConnectionId) -> bool,
    ) {
        let address = block(address);
        let count = self.by_address.entry(address).or_default();
        count.all += 1;
        count.strangers += 1;
        self.all += 1;
        self.count += 1;
        // Whoever connects and goes at once must not make the queue long.
        if self.strangers.len() > 64 + 2 * self.count {
            self.strangers.retain(|one| is_stranger(one.id));
        }
        self.strangers.push_back(Stranger {
            since: now,
            address,
            id,
        });
    }

    /// It has a name now.
    pub(super) fn named(&mut self, address: IpAddr) {
        if let Some(count) = self.by_address.get_mut(&block(address)) {
            count.strangers = count.strangers.saturating_sub(1);
        }
        self.count = self.count.saturating_sub(1);
    }

    /// It is gone.
    pub(super) fn left(&mut self, address: IpAddr, was_stranger: bool) {
        if was_stranger {
            self.named(address);
        }
        let address = block(address);
        self.all = self.all.saturating_sub(1);
        if let Some(count) = self.by_address.get_mut(&address) {
            count.all = count.all.saturating_sub(1);
            if count.all == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    /// The next whose time is up; it may be a stranger no more, or gone.
    pub(super) fn overdue(&mut self, now: Time) -> Option<ConnectionId> {
        let oldest = self.strangers.front()?;
        if now.since(oldest.since) < PATIENCE {
            return None;
        }
        self.strangers.pop_front().map(|one| one.id)
    }

    /// When `overdue` wants to be asked next.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.strangers.front().map(|oldest| oldest.since + PATIENCE)
    }

    #[cfg(test)]
    fn footprint(&self) -> (usize, usize) {
        (self.by_address.len(), self.strangers.len())
    }
}

/// What counts as one address: of IPv6 the 64 bits that one household has.
fn block(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + number).into())
    }

    /// Everybody who is in is a stranger, except ids below `named`.
    fn fill(door: &mut Door, of: impl Fn(u32) -> IpAddr, ids: std::ops::Range<u32>) {
        for id in ids {
            door.enter(Time(u64::from(id)), of(id), ConnectionId(id), |_| true);
        }
    }

    #[test]
    fn one_stranger_too_many_pushes_out_the_oldest_of_its_own_address() {
        let mut door = Door::new(1 << 20);
        door.enter(Time(0), ip(7), ConnectionId(999), |_| true);
        fill(&mut door, |_| ip(1), 0..MAX_STRANGERS_OF_ADDRESS as u32);
        assert_eq!(door.knock(ip(1), |_| true), Verdict::In(Some(ConnectionId(0))));
        // The oldest has got itself a name meanwhile.
        assert_eq!(
            door.knock(ip(1), |id| id != ConnectionId(0)),
            Verdict::In(Some(ConnectionId(1)))
        );
        assert_eq!(door.knock(ip(2), |_| true), Verdict::In(None));
    }

    #[test]
    fn too_many_strangers_in_all_push_out_the_oldest() {
        let mut door = Door::new(1 << 20);
        fill(&mut door, ip, 0..MAX_STRANGERS as u32);
        assert_eq!(door.knock(ip(5000), |_| true), Verdict::In(Some(ConnectionId(0))));
    }

    #[test]
    fn an_address_and_the_world_have_no_more_than_their_share() {
        let mut door = Door::new(1 << 20);
        for id in 0..MAX_OF_ADDRESS as u32 {
            door.enter(Time(0), ip(1), ConnectionId(id), |_| false);
            door.named(ip(1));
        }
        assert_eq!(door.knock(ip(1), |_| false), Verdict::Refused);
        assert_eq!(door.knock(ip(2), |_| false), Verdict::In(None));
        door.left(ip(1), false);
        assert_eq!(door.knock(ip(1), |_| false), Verdict::In(None));
        for id in MAX_OF_ADDRESS as u32..=MAX_CONNECTIONS as u32 {
            door.enter(Time(0), ip(id), ConnectionId(id), |_| false);
            door.named(ip(id));
        }
        assert_eq!(door.knock(ip(2), |_| false), Verdict::Refused);
    }

    #[test]
    fn most_descriptors_are_left_to_others_where_there_are_few() {
        let mut door = Door::new(1024);
        for id in 0..512 {
            assert_ne!(door.knock(ip(id), |_| false), Verdict::Refused, "{id}");
            door.enter(Time(0), ip(id), ConnectionId(id), |_| false);
            door.named(ip(id));
        }
        assert_eq!(door.knock(ip(512), |_| false), Verdict::Refused);
        let mut door = Door::new(1024);
        fill(&mut door, ip, 0..128);
        assert_eq!(door.knock(ip(5000), |_| true), Verdict::In(Some(ConnectionId(0))));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let mut door = Door::new(1 << 20);
        let of = |id: u32| format!("2001:db8::{id:x}").parse().unwrap();
        fill(&mut door, of, 0..MAX_STRANGERS_OF_ADDRESS as u32);
        assert_eq!(door.knock(of(9999), |_| true), Verdict::In(Some(ConnectionId(0))));
        let elsewhere = "2001:db8:0:1::1".parse().unwrap();
        assert_eq!(door.knock(elsewhere, |_| true), Verdict::In(None));
    }

    #[test]
    fn a_strangers_time_is_up_after_its_patience_and_not_before() {
        let mut door = Door::new(1 << 20);
        fill(&mut door, ip, 0..2);
        assert_eq!(door.next_timeout(), Some(Time(0) + PATIENCE));
        assert_eq!(door.overdue(Time(0)), None);
        assert_eq!(door.overdue(Time(0) + PATIENCE), Some(ConnectionId(0)));
        assert_eq!(door.overdue(Time(0) + PATIENCE), None);
        assert_eq!(door.overdue(Time(1) + PATIENCE), Some(ConnectionId(1)));
        assert_eq!(door.next_timeout(), None);
    }

    #[test]
    fn who_connects_and_goes_leaves_nothing_behind() {
        let mut door = Door::new(1 << 20);
        for id in 0..100_000 {
            door.enter(Time(0), ip(id % 5000), ConnectionId(id), |_| false);
            door.left(ip(id % 5000), true);
        }
        let (addresses, queue) = door.footprint();
        assert_eq!((addresses, door.all, door.count), (0, 0, 0));
        assert!(queue <= 70, "{queue}");
    }
}
