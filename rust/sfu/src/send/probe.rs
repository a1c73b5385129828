//! Clusters of probes: packets of the history again, as retransmissions, or packets of padding where there are none: on the SSRC of retransmissions
//! when no picture is shown, else between two pictures.

use super::Sender;
use super::SlotIndex;
use super::queue::Descriptor;
use super::rtx::retransmission;
use super::seal::MAX_DATAGRAM;
use super::slot::Slot;
use crate::command::{ExtensionKind, Kind};
use crate::encoding::Encodings;
use crate::outbox::{Outbox, Path};
use crate::rtp::ext::OutHeader;
use crate::stats::Stats;
use crate::time::Time;
use crate::transport::srtp::SrtpOut;

/// Packets behind the newest one that are repeated at most. Recent ones may be of use to a viewer that missed them.
const BACK: u16 = 64;
/// How many are looked at for one that can be repeated.
const TRIES: u16 = 8;
/// All that one packet of padding may have (RFC 3550 §5.1).
const PADDING: usize = 255;
/// Padding bit of the first byte.
const PADDING_BIT: u8 = 0x20;

/// What a cluster under way is made of.
#[derive(Debug, Default)]
pub(super) struct Prober {
    slot: SlotIndex,
    /// The packet to repeat next, counted back from the newest one.
    back: u16,
    /// Nothing more can be sent for this cluster.
    dry: bool,
}

impl Sender {
    /// Begin a cluster, if one is due and there is something to send it with.
    pub(super) fn begin_probe(&mut self, now: Time) {
        if !self.bandwidth.is_probe_due(now) {
            return;
        }
        if let Some(slot) = self.probe_slot()
            && self.bandwidth.poll_probe(now).is_some()
        {
            self.prober = Prober {
                slot,
                ..Prober::default()
            };
        }
    }

    /// Is there a slot that a cluster can be sent with?
    pub(super) fn can_probe(&self) -> bool {
        self.bandwidth.wants_probe() && self.probe_slot().is_some()
    }

    /// Does a cluster want more packets, and are there any?
    pub(super) fn is_padding(&self) -> bool {
        !self.prober.dry && self.bandwidth.probing().is_some()
    }

    /// A datagram left: the pacer and the estimate hear of it.
    pub(super) fn spend(&mut self, now: Time, len: usize) {
        self.pacer.spend(len);
        let probe = self.bandwidth.probing().map(|probe| probe.id);
        if self.map.has(ExtensionKind::TransportCc) {
            self.bandwidth.sent(now, self.transport_cc.wrapping_sub(1), len, probe);
        } else {
            self.bandwidth.sent_without_number(now, len, probe);
        }
    }

    /// Send one packet for the cluster under way.
    pub(super) fn pad(
        &mut self,
        now: Time,
        encodings: &impl Encodings,
        srtp: &mut SrtpOut,
        path: &Path,
        out: &mut Outbox,
        stats: &mut Stats,
    ) {
        if let Some(again) = self.again(now) {
            let before = stats.retransmissions_out;
            self.send(now, &again, encodings, srtp, path, out, stats);
            // Gone from the ring: older ones are gone as well.
            self.prober.dry |= stats.retransmissions_out == before;
            return;
        }
        match self.seal_padding(now, encodings, srtp, out.spare()) {
            Some(len) => {
                out.commit(*path, len);
                self.spend(now, len);
            }
            None => self.prober.dry = true,
        }
    }

    /// The slot of the fastest picture: it has the largest packets. Without any picture a slot whose retransmissions can be padding.
    fn probe_slot(&self) -> Option<SlotIndex> {
        let videos = || self.slots.iter().filter(|slot| slot.kind == Kind::Video);
        let shown = videos().filter(|slot| {
            let live = slot.live().and_then(|live| slot.epochs.get(live.tag));
            slot.packets > 0 && live.is_some()
        });
        let shown = shown.max_by_key(|slot| slot.rate_bps);
        shown
            .or_else(|| videos().find(|slot| slot.rtx_payload_type().is_some()))
            .map(|slot| slot.index)
    }

    fn again(&mut self, now: Time) -> Option<Descriptor> {
        let slot = self.slots.get_mut(usize::from(self.prober.slot))?;
        for _ in 0..TRIES {
            let newest = slot.newest_out()? as u16;
            let seq = newest.wrapping_sub(self.prober.back);
            self.prober.back = (self.prober.back + 1) % BACK;
            // The same packet again and again would do, too; what is asked for meanwhile is on its way by this.
            match retransmission(slot, now, std::time::Duration::ZERO, seq) {
                Ok((descriptor, _)) => return Some(descriptor),
                Err(_) if self.prober.back > 1 && self.prober.back < TRIES => {}
                Err(_) => self.prober.back = 0,
            }
        }
        None
    }

    /// A packet of nothing but padding where packets cannot be repeated. Returns its length.
    fn seal_padding(
        &mut self,
        now: Time,
        encodings: &impl Encodings,
        srtp: &mut SrtpOut,
        buf: &mut [u8],
    ) -> Option<usize> {
        let slot = self.slots.get_mut(usize::from(self.prober.slot))?;
        if buf.len() < MAX_DATAGRAM {
            return None;
        }
        let Numbers {
            index,
            timestamp,
            payload_type,
            is_retransmission,
        } = padding_numbers(slot, encodings)?;
        let number_all = self.map.has(ExtensionKind::TransportCc);
        let header = OutHeader {
            marker: false,
            payload_type,
            seq: index as u16,
            timestamp,
            ssrc: if is_retransmission { slot.rtx_ssrc } else { slot.ssrc },
            mid: slot.needs_mid(now, is_retransmission).then_some(slot.mid),
            transport_cc: number_all.then_some(self.transport_cc),
            abs_send_time: (!number_all).then(|| (u128::from(now.0) * (1 << 18) / 1_000_000) as u32 & 0x00ff_ffff),
        };
        let header_len = self.map.write(buf, &header)?;
        *buf.first_mut()? |= PADDING_BIT;
        let padding = buf.get_mut(header_len..header_len + PADDING)?;
        padding.fill(0);
        *padding.last_mut()? = PADDING as u8;
        let len = srtp.seal_rtp(buf, header_len, header_len + PADDING, index)?;
        self.transport_cc = self.transport_cc.wrapping_add(1);
        if !is_retransmission {
            slot.packets = slot.packets.wrapping_add(1);
        }
        Some(len)
    }
}

/// What a packet of padding is called.
struct Numbers {
    index: u64,
    timestamp: u32,
    payload_type: u8,
    is_retransmission: bool,
}

/// The next number between two pictures of what is shown without retransmissions; of a slot that shows nothing, the next one of its
/// retransmissions. Either is used up.
fn padding_numbers(slot: &mut Slot, encodings: &impl Encodings) -> Option<Numbers> {
    let live = slot.live().and_then(|live| slot.epochs.get(live.tag));
    let Some(live) = live else {
        let payload_type = slot.rtx_payload_type()?;
        let index = slot.rtx_next;
        slot.rtx_next += 1;
        return Some(Numbers {
            index,
            timestamp: slot.last_timestamp(),
            payload_type,
            is_retransmission: true,
        });
    };
    if live.rtx_payload_type.is_some() {
        return None;
    }
    let ring = encodings.encoding(live.key)?.ring;
    let (index, timestamp, payload_type) = slot.skip_number(ring)?;
    Some(Numbers {
        index,
        timestamp,
        payload_type,
        is_retransmission: false,
    })
}
