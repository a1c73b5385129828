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
    /// Open TCP connections of the media port (gauge).
    pub connections: u64,
    /// Datagrams, and frames of local feeds, received.
    pub packets_in: u64,
    /// Their UDP payload bytes, and whole frames.
    pub bytes_in: u64,
    /// Datagrams handed to the socket, and frames for local feeds.
    pub packets_out: u64,
    /// Their UDP payload bytes, and whole frames.
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
    /// Datagrams that the kernel dropped because the socket's receive buffer was full.
    pub receive_overflow: u64,
    /// Datagrams dropped because the socket's send buffer was full.
    pub send_full: u64,
    /// Datagrams that the kernel refused for another reason (no route, too large).
    pub send_errors: u64,
    /// Runs repeated without segmentation offload.
    pub gso_fallbacks: u64,
    /// Times that a shard was rebuilt because of a bug; all its transports closed.
    pub restarts: u64,
    /// By [`DropReason`].
    pub dropped: DropCounters,
}

impl Stats {
    /// Add the totals of another shard, or of another life of this one.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            transports,
            tracks,
            slots,
            connections,
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
            rtp_in,
            rtp_out,
            retransmissions_out,
            nacks_out,
            key_frame_requests_out,
            key_frame_requests_in,
            switches,
            oversize_out,
            receive_overflow,
            send_full,
            send_errors,
            gso_fallbacks,
            restarts,
            dropped,
        } = other;
        self.transports += transports;
        self.tracks += tracks;
        self.slots += slots;
        self.connections += connections;
        self.packets_in += packets_in;
        self.bytes_in += bytes_in;
        self.packets_out += packets_out;
        self.bytes_out += bytes_out;
        self.rtp_in += rtp_in;
        self.rtp_out += rtp_out;
        self.retransmissions_out += retransmissions_out;
        self.nacks_out += nacks_out;
        self.key_frame_requests_out += key_frame_requests_out;
        self.key_frame_requests_in += key_frame_requests_in;
        self.switches += switches;
        self.oversize_out += oversize_out;
        self.receive_overflow += receive_overflow;
        self.send_full += send_full;
        self.send_errors += send_errors;
        self.gso_fallbacks += gso_fallbacks;
        self.restarts += restarts;
        self.dropped.merge(dropped);
    }
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
        self.add_many(reason, 1);
    }

    /// Count so many more.
    pub fn add_many(&mut self, reason: DropReason, count: u64) {
        if let Some(counter) = self.0.get_mut(reason as usize) {
            *counter += count;
        }
    }

    /// How many so far.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// Add the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// Every reason with its count, in the order of [`DropReason::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&reason| (reason, self.get(reason)))
    }
}
