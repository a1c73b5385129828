//! Answering NACKs (RFC 4585 §6.2.1) by retransmissions (RFC 4588).

use std::time::Duration;

use super::Sender;
use super::queue::{Descriptor, What};
use super::slot::Slot;
use crate::ids::Ssrc;
use crate::reason::DropReason;
use crate::time::Time;

/// Round trip assumed before a receiver report tells.
const DEFAULT_RTT: Duration = Duration::from_millis(100);
/// Bounds on what a receiver report may make of it.
const RTT_RANGE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

impl Sender {
    /// Queue what was asked for, as far as the history and the round trip allow. Work is in proportion to the numbers asked for.
    pub(super) fn nack(&mut self, now: Time, media: Ssrc, seqs: impl Iterator<Item = u16>) -> Result<(), DropReason> {
        // Half of it, as whoever asks again has waited a whole one by an estimate of its own; and what the line's queue has added since.
        let rtt = self.feedback.rtt.unwrap_or(DEFAULT_RTT).clamp(RTT_RANGE.0, RTT_RANGE.1);
        let guard = rtt / 2 + self.bandwidth.queue_delay();
        let index = self.slot_of_ssrc(media).ok_or(DropReason::FeedbackUnknownSsrc)?;
        let slot = self
            .slots
            .get_mut(usize::from(index))
            .filter(|slot| slot.ssrc == media)
            .ok_or(DropReason::FeedbackUnknownSsrc)?;
        for seq in seqs {
            match retransmission(slot, now, guard, seq) {
                Ok((descriptor, copies)) => {
                    for _ in 0..copies {
                        if !self.retransmissions.push(descriptor) {
                            self.drops.add(DropReason::QueueFull);
                        }
                    }
                }
                Err(reason) => self.drops.add(reason),
            }
        }
        Ok(())
    }
}

/// What to queue, and how often: what was retransmitted in vain leaves twice, because the picture has waited two round trips by now.
pub(super) fn retransmission(
    slot: &mut Slot,
    now: Time,
    guard: Duration,
    seq: u16,
) -> Result<(Descriptor, usize), DropReason> {
    let newest = slot.newest_out().ok_or(DropReason::NackTooOld)?;
    let out_seq = newest
        .checked_sub(u64::from((newest as u16).wrapping_sub(seq)))
        .ok_or(DropReason::NackTooOld)?;
    let found = slot.history.resend(out_seq, now, guard)?;
    let epoch = slot.epochs.get(found.tag).ok_or(DropReason::NackTooOld)?;
    // The same packet under its old number would carry another transport-wide number: a second plaintext for one nonce. So without
    // a payload type for retransmissions there are none.
    epoch.rtx_payload_type.ok_or(DropReason::NoPayloadType)?;
    let in_seq = if found.injected {
        epoch.first_in
    } else {
        epoch.in_seq(found.in_low).ok_or(DropReason::NackTooOld)?
    };
    let descriptor = Descriptor {
        in_seq,
        slot: slot.index,
        tag: found.tag,
        what: if found.injected {
            What::ParameterSetsAgain
        } else {
            What::MediaAgain
        },
    };
    Ok((descriptor, 1 + usize::from(found.repeated)))
}
