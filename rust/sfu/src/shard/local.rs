//! Local feeds: what another process of this machine publishes, in frames of plain RTP and RTCP, and the key-frame requests that it hears.
//!
//! Only the way in and the way out differ from a peer connection; from `take_rtp` on, a packet is a packet.

use super::ShardCore;
use super::allocation::Wishes;
use super::commands::validate_media;
use super::transport::{Carrier, Milestones, Received, Transport};
use crate::choice::BandwidthSpec;
use crate::command::{CloseReason, Event, ExtensionKind, LocalFeedSpec, RefusalCode};
use crate::ids::TransportId;
use crate::reason::DropReason;
use crate::receive::Receiver;
use crate::rtp::ext::ExtensionMap;
use crate::rtp::header::RtpHeader;
use crate::rtp::rtcp::RtcpWriter;
use crate::send::Sender;
use crate::send::allocator::Allocator;
use crate::time::Time;
use crate::transport::frame::{Content, ENVELOPE, Frame, MAX_FRAME, envelope};

/// Frames that wait at most until they are fetched.
const MAX_WAITING: usize = 256;

/// Both directions of a local feed.
#[derive(Default)]
pub(super) struct Link {
    /// The number of the next frame, after the first.
    expected: Option<u32>,
    /// Frames so far towards the process that feeds.
    sent: u32,
}

impl Link {
    /// A frame came: how many the sender dropped in front of it. One that goes back in the numbers begins them anew.
    fn arrived(&mut self, sequence: u32) -> u32 {
        let missed = self.expected.map_or(0, |expected| sequence.wrapping_sub(expected));
        self.expected = Some(sequence.wrapping_add(1));
        if missed > u32::MAX / 2 { 1 } else { missed }
    }
}

/// Frames on their way out, back to back.
#[derive(Default)]
pub(super) struct Waiting {
    bytes: Vec<u8>,
    frames: Vec<(TransportId, usize)>,
}

impl Waiting {
    /// `false`: no room.
    fn push(&mut self, to: TransportId, frame: &[u8]) -> bool {
        if self.frames.len() >= MAX_WAITING {
            return false;
        }
        self.bytes.extend_from_slice(frame);
        self.frames.push((to, frame.len()));
        true
    }
}

impl ShardCore {
    /// Take a frame of a local feed in. It may be changed in place.
    pub fn local_frame(&mut self, now: Time, transport: TransportId, frame: &mut [u8]) {
        self.stats.packets_in += 1;
        self.stats.bytes_in += frame.len() as u64;
        self.guarded(|shard| {
            if let Err(reason) = shard.receive_frame(now, transport, frame) {
                shard.stats.dropped.add(reason);
            }
        });
    }

    /// The process that feeds hung up. An unknown id is no error.
    pub fn local_closed(&mut self, _now: Time, transport: TransportId) {
        self.guarded(|shard| {
            if let Some(&index) = shard.by_id.get(&transport)
                && let Some(Carrier::Local(_)) = shard.transport(index).map(|transport| &transport.carrier)
            {
                shard.remove(index, CloseReason::PeerClosed);
            }
        });
    }

    /// Hand over the frames for local feeds that `transmit` left since the last call, in order.
    pub fn take_frames(&mut self, mut each: impl FnMut(TransportId, &[u8])) {
        let mut rest = self.waiting.bytes.as_slice();
        for (to, len) in self.waiting.frames.drain(..) {
            let Some((frame, tail)) = rest.split_at_checked(len) else {
                break;
            };
            each(to, frame);
            rest = tail;
        }
        self.waiting.bytes.clear();
    }

    pub(super) fn open_feed(&mut self, now: Time, id: TransportId, spec: LocalFeedSpec) -> Result<(), RefusalCode> {
        validate(&spec)?;
        self.has_room_for(id, &spec.receive)?;
        let extensions: Vec<_> = spec
            .extensions
            .into_iter()
            .filter(|extension| !matches!(extension.kind, ExtensionKind::TransportCc | ExtensionKind::AbsSendTime))
            .collect();
        let map = ExtensionMap::new(&extensions);
        let our_ssrc = self.random_ssrc();
        let tracks: Vec<_> = spec.receive.iter().map(|media| self.tracks.insert(id, media)).collect();
        let nothing = BandwidthSpec::default();
        let transport = Transport {
            id,
            carrier: Carrier::Local(Link::default()),
            receiver: Receiver::local(&spec.receive, tracks.clone(), map, our_ssrc),
            sender: Sender::new(&[], map, spec.cname, self.unix_at_base_us),
            wishes: Wishes::default(),
            pool: None,
            allocator: Allocator::new(&nothing),
            layers_due: None,
            layers_told: None,
            tracks,
            received: Received::new(&spec.receive),
            opened: now,
            last_authenticated: None,
            milestones: Milestones {
                connected: Some(now),
                ..Milestones::default()
            },
            stalled: false,
            dirty: false,
            armed: None,
        };
        self.settle(now, transport);
        self.events.push(Event::TransportConnected {
            transport: id,
            profile: None,
        });
        Ok(())
    }

    fn receive_frame(&mut self, now: Time, id: TransportId, frame: &mut [u8]) -> Result<(), DropReason> {
        let index = *self.by_id.get(&id).ok_or(DropReason::FrameUnexpected)?;
        self.serving = Some(index);
        let Some(Transport {
            carrier: Carrier::Local(link),
            receiver,
            ..
        }) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut)
        else {
            return Err(DropReason::FrameUnexpected);
        };
        let Frame {
            content,
            sequence,
            body,
        } = Frame::parse(frame)?;
        let missed = link.arrived(sequence);
        self.stats.dropped.add_many(DropReason::LinkGap, u64::from(missed));
        match content {
            Content::Rtp { route } => {
                let header = RtpHeader::parse(body)?;
                if !receiver.is_named(header.ssrc, route) {
                    return Err(DropReason::UnknownSsrc);
                }
                self.take_rtp(now, index, body, &header)
            }
            Content::Rtcp => self.take_rtcp(now, index, body),
        }
    }

    /// Key-frame requests that are due, as frames.
    pub(super) fn flush_local(&mut self, now: Time, index: u32) {
        let Some(Transport {
            id,
            carrier: Carrier::Local(link),
            receiver,
            ..
        }) = self.transports.get_mut(index as usize).and_then(Option::as_deref_mut)
        else {
            return;
        };
        let asked = receiver.key_frame_requests_out;
        let mut frame = [0; MAX_FRAME];
        while let Some((head, body)) = frame.split_first_chunk_mut::<ENVELOPE>() {
            let mut writer = RtcpWriter::new(body);
            let polled = receiver.poll_rtcp(now, &mut self.tracks, &mut writer);
            let len = writer.len();
            if len > 0 {
                *head = envelope(Content::Rtcp, link.sent);
                link.sent = link.sent.wrapping_add(1);
                let whole = frame.get(..ENVELOPE + len).unwrap_or_default();
                if self.waiting.push(*id, whole) {
                    self.stats.packets_out += 1;
                    self.stats.bytes_out += whole.len() as u64;
                } else {
                    self.stats.dropped.add(DropReason::LinkFull);
                }
            }
            if !polled.more {
                break;
            }
        }
        self.stats.key_frame_requests_out += receiver.key_frame_requests_out - asked;
    }
}

fn validate(spec: &LocalFeedSpec) -> Result<(), RefusalCode> {
    let mut encodings = spec.receive.iter().flat_map(|media| &media.encodings);
    let mut codecs = spec.receive.iter().flat_map(|media| &media.codecs);
    if spec.cname.is_empty()
        || spec.cname.len() > 255
        || spec.extensions.iter().any(|extension| extension.id == 0)
        || encodings.any(|encoding| encoding.ssrc.is_none() || encoding.rtx_ssrc.is_some())
        || codecs.any(|codec| codec.rtx_payload_type.is_some())
    {
        return Err(RefusalCode::Invalid);
    }
    validate_media(&spec.receive, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_were_left_out_are_missed_across_the_wrap() {
        let mut link = Link::default();
        let missed = [u32::MAX - 1, u32::MAX, 2, 3, 10].map(|sequence| link.arrived(sequence));
        assert_eq!(missed, [0, 0, 2, 0, 6]);
    }

    #[test]
    fn numbers_that_begin_anew_cost_one() {
        let mut link = Link::default();
        let missed = [1_000_000, 0, 1, 1].map(|sequence| link.arrived(sequence));
        assert_eq!(missed, [0, 1, 0, 1]);
    }

    #[test]
    fn frames_that_nobody_fetches_are_bounded() {
        let mut waiting = Waiting::default();
        let taken = (0..MAX_WAITING + 5)
            .filter(|_| waiting.push(TransportId(1), b"frame"))
            .count();
        assert_eq!((taken, waiting.bytes.len()), (MAX_WAITING, MAX_WAITING * 5));
    }
}
