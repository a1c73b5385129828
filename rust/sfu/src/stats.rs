//! Totals of a shard. They cross the seam as one value, so that they agree with each other.

use crate::reason::DropReason;

/// Counters since the shard started, and gauges of now.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    /// Live transports (gauge).
    pub transports: u64,
    /// Tracks of live transports (gauge).
    pub tracks: u64,
    /// Slots of live transports (gauge).
    pub slots: u64,
    /// Datagrams received.
    pub packets_in: u64,
    /// Their UDP payload bytes.
    pub bytes_in: u64,
    /// Datagrams handed to the socket.
    pub packets_out: u64,
    /// Their UDP payload bytes.
    pub bytes_out: u64,
    /// RTP packets of publishers put into a ring.
    pub rtp_in: u64,
    /// RTP packets to viewers, without retransmissions.
    pub rtp_out: u64,
    /// Retransmissions sent to viewers.
    pub retransmissions_out: u64,
    /// Retransmissions asked of publishers (sequence numbers in NACKs).
    pub nacks_out: u64,
    /// Key-frame requests sent to publishers.
    pub key_frame_requests_out: u64,
    /// Key-frame requests received from viewers.
    pub key_frame_requests_in: u64,
    /// Switches completed.
    pub switches: u64,
    /// UDP payloads above 1 232 bytes.
    pub oversize_out: u64,
    /// By [`DropReason`].
    pub dropped: DropCounters,
}

/// One counter for each [`DropReason`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropCounters([u64; DropReason::ALL.len()]);

impl Default for DropCounters {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

impl DropCounters {
    /// Count one more.
    pub fn add(&mut self, reason: DropReason) {
        if let Some(counter) = self.0.get_mut(reason as usize) {
            *counter += 1;
        }
    }

    /// How many so far.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// Every reason with its count, in the order of [`DropReason::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&reason| (reason, self.get(reason)))
    }
}
