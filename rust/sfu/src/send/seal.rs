//! The last step: a descriptor becomes a sealed packet in the outbox.

use super::Sender;
use super::epoch::Epoch;
use super::queue::{Descriptor, What};
use crate::codec;
use crate::codec::dependency;
use crate::command::{Codec, ExtensionKind, Kind};
use crate::encoding::{EncodingView, Encodings};
use crate::reason::DropReason;
use crate::ring::Stored;
use crate::rtp::ext::{OutHeader, Relayed};
use crate::time::Time;
use crate::transport::srtp::SrtpOut;

/// Room that a sealed packet may take: the largest stored packet, our header extensions in two-byte form, the original sequence number
/// of a retransmission and the tag.
pub(super) const MAX_DATAGRAM: usize = 1600;

impl Sender {
    /// Write the packet that `descriptor` names into `buf` and seal it. Returns its length.
    pub(super) fn seal(
        &mut self,
        now: Time,
        descriptor: &Descriptor,
        encodings: &impl Encodings,
        srtp: &mut SrtpOut,
        buf: &mut [u8],
    ) -> Result<usize, DropReason> {
        let slot = self
            .slots
            .get_mut(usize::from(descriptor.slot))
            .ok_or(DropReason::OtherEncoding)?;
        let tells_delay = self.playout_delay.is_some() && slot.needs_playout_delay(now);
        // Gone when the slot was unbound or switched eight times since.
        let epoch = slot.epochs.get(descriptor.tag).ok_or(DropReason::OtherEncoding)?;
        let view = encodings.encoding(epoch.key).ok_or(DropReason::OtherEncoding)?;
        let again = matches!(descriptor.what, What::MediaAgain | What::ParameterSetsAgain);
        let filler = descriptor.what == What::Filler;
        let in_seq = descriptor.in_seq;
        let stored = match descriptor.what {
            What::Media | What::MediaAgain | What::Filler => Some(view.ring.get(in_seq).ok_or(DropReason::TooOld)?),
            What::ParameterSets | What::ParameterSetsAgain => None,
        };
        let (out_seq, marker, timestamp) = match &stored {
            Some(Stored { meta, .. }) => {
                // The marker of audio says that a talk spurt begins (RFC 3551 §4.1); so does a switch.
                let switched = slot.kind == Kind::Audio && in_seq == epoch.first_in;
                let out_seq = epoch.out_seq(view.ring, in_seq).ok_or(DropReason::BeforeSwitch)?;
                (out_seq, epoch.is_last(meta) && !filler || switched, meta.timestamp)
            }
            None => (epoch.first_out - 1, false, epoch.first_timestamp),
        };
        let number_all = self.map.has(ExtensionKind::TransportCc);
        let header = OutHeader {
            marker,
            payload_type: if again {
                epoch.rtx_payload_type.ok_or(DropReason::NoPayloadType)?
            } else {
                epoch.payload_type
            },
            seq: if again { slot.rtx_next as u16 } else { out_seq as u16 },
            timestamp: epoch.out_timestamp(timestamp),
            ssrc: if again { slot.rtx_ssrc } else { slot.ssrc },
            mid: slot.needs_mid(now, again).then_some(slot.mid),
            transport_cc: number_all.then_some(self.transport_cc),
            // 6.18 fixed point seconds.
            abs_send_time: (!number_all).then(|| (u128::from(now.0) * (1 << 18) / 1_000_000) as u32 & 0x00ff_ffff),
        };
        if descriptor.what == What::MediaAgain && !slot.history.was_sealed(out_seq, in_seq, epoch.tag) {
            return Err(DropReason::NackTooOld);
        }
        let mut room = None;
        let mut relayed = Relayed::default();
        if let Some(stored) = stored.filter(|_| !filler) {
            relayed.capture_time = stored.meta.capture_time.of(stored.packet);
            if epoch.codec == Codec::Av1
                && self.map.has(ExtensionKind::DependencyDescriptor)
                && let Some(bytes) = stored.meta.dependency.of(stored.packet)
                && let Some(structure) = view.structure
                && let room = room.insert([0; dependency::MAX_LEN + dependency::MAX_GROWTH])
                && let Some(len) = dependency::rewrite(bytes, structure, &epoch.shift, &epoch.limit, room)
            {
                relayed.dependency = room.get(..len);
            }
        }
        if let Some(delay) = self.playout_delay.filter(|_| tells_delay) {
            relayed.playout_delay = Some(delay);
        }
        let header_len = self
            .map
            .write_with(buf, &header, &relayed)
            .ok_or(DropReason::TooLarge)?;
        let body = buf.get_mut(header_len..).ok_or(DropReason::TooLarge)?;
        let payload_len = if again {
            let (original, rest) = body.split_at_mut_checked(2).ok_or(DropReason::TooLarge)?;
            original.copy_from_slice(&(out_seq as u16).to_be_bytes());
            2 + payload(epoch, &view, stored, rest)?
        } else if filler {
            padding(buf, header_len)?
        } else {
            payload(epoch, &view, stored, body)?
        };

        // The number is used up before it is sealed: whatever goes wrong from here, no second plaintext gets it.
        let index = if again {
            let index = slot.rtx_next;
            slot.rtx_next += 1;
            index
        } else if slot.history.seal(out_seq, in_seq, epoch.tag) {
            slot.sealed = slot.sealed.max(out_seq);
            out_seq
        } else {
            return Err(DropReason::Duplicate);
        };
        let len = srtp
            .seal_rtp(buf, header_len, header_len + payload_len, index)
            .ok_or(DropReason::TooLarge)?;
        self.transport_cc = self.transport_cc.wrapping_add(1);
        if !again {
            slot.packets = slot.packets.wrapping_add(1);
            slot.octets = slot.octets.wrapping_add(payload_len as u32);
        }
        Ok(len)
    }
}

/// The stored payload with the ids of the slot; without a stored packet, the parameter sets.
fn payload(
    epoch: &Epoch,
    view: &EncodingView<'_>,
    stored: Option<Stored<'_>>,
    out: &mut [u8],
) -> Result<usize, DropReason> {
    match stored {
        Some(stored) => {
            let offsets = epoch.offsets(view.ring, stored.meta);
            codec::rewrite(&stored.meta.detail, &offsets, stored.payload(), out).ok_or(DropReason::TooLarge)
        }
        None => view.parameter_sets.stap_a(out).ok_or(DropReason::NackTooOld),
    }
}

/// Makes the packet one of padding alone (RFC 3550 §5.1) and returns the length of that.
fn padding(buf: &mut [u8], header_len: usize) -> Result<usize, DropReason> {
    const PADDING: [u8; 4] = [0, 0, 0, 4];
    buf.get_mut(header_len..header_len + PADDING.len())
        .ok_or(DropReason::TooLarge)?
        .copy_from_slice(&PADDING);
    if let Some(first) = buf.first_mut() {
        *first |= 0x20;
    }
    Ok(PADDING.len())
}
