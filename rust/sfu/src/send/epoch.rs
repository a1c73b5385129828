//! The time during which a slot shows one encoding, as constant offsets.

use crate::codec::Offsets;
use crate::command::Codec;
use crate::encoding::EncodingKey;

/// How numbers of one encoding become numbers of the slot, from one switch to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch {
    /// Counts the switches of the slot, modulo 256. History entries and descriptors name their epoch by it.
    pub tag: u8,
    /// The encoding that is shown.
    pub key: EncodingKey,
    /// Its codec.
    pub codec: Codec,
    /// The publisher's payload type. Another one in the same encoding is another epoch.
    pub source_payload_type: u8,
    /// The viewer's payload type.
    pub payload_type: u8,
    /// The viewer's payload type of retransmissions; `None`: there are none.
    pub rtx_payload_type: Option<u8>,
    /// Sequence number, as received, of the first packet.
    pub first_in: u64,
    /// Sequence number of the same packet as sent. An injected packet of parameter sets has the number before.
    pub first_out: u64,
    /// Timestamp, as received, of the first packet.
    pub first_timestamp: u32,
    /// What to add to timestamps.
    pub timestamp_offset: u32,
    /// What to add to picture ids and the like.
    pub offsets: Offsets,
}

impl Epoch {
    /// The number under which a packet leaves; `None` for one from before the switch.
    pub fn out_seq(&self, in_seq: u64) -> Option<u64> {
        Some(in_seq.checked_sub(self.first_in)? + self.first_out)
    }

    /// The other way round.
    pub fn in_seq(&self, out_seq: u64) -> Option<u64> {
        Some(out_seq.checked_sub(self.first_out)? + self.first_in)
    }

    /// The timestamp under which a packet leaves.
    pub fn out_timestamp(&self, timestamp: u32) -> u32 {
        timestamp.wrapping_add(self.timestamp_offset)
    }
}

/// The last epochs of a slot. Four: a viewer that flips through sources still gets retransmissions of what it saw a moment ago.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Epochs([Option<Epoch>; Epochs::KEPT]);

impl Epochs {
    const KEPT: usize = 4;

    /// The epoch of this tag, while it is kept.
    pub fn get(&self, tag: u8) -> Option<&Epoch> {
        self.0
            .get(usize::from(tag) % Self::KEPT)?
            .as_ref()
            .filter(|epoch| epoch.tag == tag)
    }

    /// Keep one more, in the place of the fourth before it.
    pub fn push(&mut self, epoch: Epoch) {
        if let Some(place) = self.0.get_mut(usize::from(epoch.tag) % Self::KEPT) {
            *place = Some(epoch);
        }
    }

    /// Forget all of them: what is queued or asked for again is not sent any more.
    pub fn clear(&mut self) {
        self.0 = [None; Self::KEPT];
    }
}
