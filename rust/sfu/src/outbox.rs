//! Datagrams on their way out, laid out for UDP segmentation offload: equal sizes but a shorter last one.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use crate::ids::ConnectionId;

/// Bytes of one outbox. 64 datagrams of full size; more leave in the next round.
pub const OUTBOX_BYTES: usize = 64 * 1500;
/// Most datagrams of one run: the kernel's UDP_MAX_SEGMENTS is 64, and a run may not exceed 65 507 bytes.
pub const MAX_RUN: usize = 40;
/// UDP payloads above this are counted: they do not fit an IPv6 minimum MTU of 1 280.
pub const SAFE_PAYLOAD: usize = 1232;

/// What carries a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Via {
    /// Datagrams.
    Udp,
    /// Frames of one TCP connection (RFC 4571). Another connection between the same addresses is another path.
    Tcp(ConnectionId),
}

impl Via {
    /// As in `a=candidate`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp(_) => "tcp",
        }
    }
}

/// Where a datagram leaves and where it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path {
    /// Our address, as the peer sees it on this path.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// What carries it.
    pub via: Via,
}

impl Hash for Path {
    /// By the addresses alone: datagrams and a connection between the same two are rare, and every packet is looked up.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.local.hash(state);
        self.remote.hash(state);
    }
}

/// Datagrams to one peer, back to back in the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Where it goes.
    pub path: Path,
    /// First byte in the arena.
    pub start: usize,
    /// Bytes in all.
    pub len: usize,
    /// Size of every datagram but the last, which may be shorter.
    pub segment: usize,
}

impl Run {
    /// How many datagrams.
    pub fn count(&self) -> usize {
        self.len.div_ceil(self.segment.max(1))
    }
}

/// An arena that is filled by a shard and emptied by whoever owns the socket.
#[derive(Debug)]
pub struct Outbox {
    bytes: Box<[u8]>,
    used: usize,
    runs: Vec<Run>,
    /// Datagrams of all runs.
    datagrams: usize,
    /// Datagrams of the last run.
    in_last: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            bytes: vec![0; OUTBOX_BYTES].into_boxed_slice(),
            used: 0,
            runs: Vec::with_capacity(256),
            datagrams: 0,
            in_last: 0,
        }
    }
}

impl Outbox {
    /// Room for one more datagram of `len` bytes?
    pub fn has_room(&self, len: usize) -> bool {
        self.used + len <= self.bytes.len() && self.runs.len() < self.runs.capacity()
    }

    /// The free space, to write a datagram into; `commit` keeps it.
    pub fn spare(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.used..).unwrap_or_default()
    }

    /// Keep the first `len` bytes of `spare` as a datagram. It joins the last run when path and sizes allow.
    pub fn commit(&mut self, path: Path, len: usize) {
        if len == 0 || self.used + len > self.bytes.len() {
            return;
        }
        let start = self.used;
        self.used += len;
        self.datagrams += 1;
        if let Some(run) = self.runs.last_mut()
            && len <= run.segment
            && self.in_last < MAX_RUN
            // A shorter datagram ends its run.
            && run.len == self.in_last * run.segment
            && run.len + len <= 65_000
            && run.path == path
        {
            run.len += len;
            self.in_last += 1;
            return;
        }
        self.in_last = 1;
        self.runs.push(Run {
            path,
            start,
            len,
            segment: len,
        });
    }

    /// Copy a datagram in. `false` when there is no room; then nothing changes.
    pub fn push(&mut self, path: Path, datagram: &[u8]) -> bool {
        if !self.has_room(datagram.len()) {
            return false;
        }
        let Some(room) = self.spare().get_mut(..datagram.len()) else {
            return false;
        };
        room.copy_from_slice(datagram);
        self.commit(path, datagram.len());
        true
    }

    /// The runs so far.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The bytes of a run.
    pub fn bytes(&self, run: &Run) -> &[u8] {
        self.bytes.get(run.start..run.start + run.len).unwrap_or_default()
    }

    /// Every datagram, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = (Path, &[u8])> + '_ {
        self.runs.iter().flat_map(|run| {
            self.bytes(run)
                .chunks(run.segment.max(1))
                .map(|bytes| (run.path, bytes))
        })
    }

    /// How many datagrams, and their bytes.
    pub(crate) fn total(&self) -> (usize, usize) {
        (self.datagrams, self.used)
    }

    /// Nothing to send?
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Forget everything that was sent.
    pub fn clear(&mut self) {
        self.used = 0;
        self.datagrams = 0;
        self.in_last = 0;
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path {
            local: SocketAddr::from(([127, 0, 0, 1], 1)),
            remote: SocketAddr::from(([127, 0, 0, 1], port)),
            via: Via::Udp,
        }
    }

    #[test]
    fn equal_datagrams_and_one_shorter_tail_share_a_run() {
        let mut outbox = Outbox::default();
        for len in [100, 100, 60, 100] {
            assert!(outbox.push(path(2), &vec![0; len]));
        }
        let runs: Vec<_> = outbox.runs().iter().map(|run| (run.segment, run.len)).collect();
        assert_eq!(runs, [(100, 260), (100, 100)]);
        assert_eq!(
            outbox.datagrams().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(),
            [100, 100, 60, 100]
        );
    }

    #[test]
    fn the_totals_are_those_of_the_runs() {
        let mut outbox = Outbox::default();
        for _ in 0..2 {
            for (port, len) in [(2, 100), (2, 100), (2, 60), (2, 60), (3, 60), (3, 60), (2, 100)] {
                assert!(outbox.push(path(port), &vec![0; len]));
                let datagrams = outbox.runs().iter().map(Run::count).sum();
                let bytes = outbox.runs().iter().map(|run| run.len).sum();
                assert_eq!(outbox.total(), (datagrams, bytes));
            }
            outbox.clear();
            assert_eq!(outbox.total(), (0, 0));
        }
    }

    #[test]
    fn a_run_has_at_most_forty_datagrams() {
        let mut outbox = Outbox::default();
        for _ in 0..MAX_RUN + 1 {
            assert!(outbox.push(path(2), &[0; 100]));
        }
        assert_eq!(outbox.runs().iter().map(Run::count).collect::<Vec<_>>(), [MAX_RUN, 1]);
    }

    #[test]
    fn another_peer_starts_another_run() {
        let mut outbox = Outbox::default();
        assert!(outbox.push(path(2), &[1; 10]) && outbox.push(path(3), &[2; 10]));
        assert_eq!(outbox.runs().len(), 2);
    }

    #[test]
    fn a_connection_between_the_same_addresses_is_another_path() {
        let tcp = |number| Path {
            via: Via::Tcp(ConnectionId(number)),
            ..path(2)
        };
        assert!(path(2) != tcp(1) && tcp(1) != tcp(2) && tcp(1) == tcp(1));
        let mut outbox = Outbox::default();
        for path in [path(2), tcp(1), tcp(1), tcp(2)] {
            assert!(outbox.push(path, &[0; 10]));
        }
        let runs: Vec<_> = outbox.runs().iter().map(|run| (run.path.via.code(), run.len)).collect();
        assert_eq!(runs, [("udp", 10), ("tcp", 20), ("tcp", 10)]);
    }

    #[test]
    fn a_full_outbox_refuses_and_keeps_what_it_has() {
        let mut outbox = Outbox::default();
        while outbox.push(path(2), &[0; 1500]) {}
        let before = outbox.datagrams().count();
        assert!(!outbox.push(path(2), &[0; 1500]));
        assert_eq!(outbox.datagrams().count(), before);
    }
}
