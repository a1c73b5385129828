//! Where a slot takes an encoding over, by how much its time moves then, and which packets come too late to be sent only once.

use std::time::Duration;

use crate::encoding::{ClockMap, EncodingView};
use crate::layer::{Layer, Limit};
use crate::meta::{Detail, PacketMeta};

/// A packet that comes this long after the one behind it was lost, not merely overtaken.
const LATE: Duration = Duration::from_millis(20);
/// How far back parameter sets are looked for in front of an IDR slice, packets.
const PARAMETER_SETS_BACK: u64 = 8;

/// How far the timestamp moves over a switch: by the time that passed, but at least one frame (a step back freezes decoders for seconds).
pub(super) fn step(clock_hz: u32, elapsed_us: u64) -> u32 {
    // 30 frames of video, 50 of audio per second: 3 000 and 960 ticks.
    let frame = if clock_hz == 48_000 { 960 } else { clock_hz / 30 };
    let ticks = u128::from(elapsed_us) * u128::from(clock_hz) / 1_000_000;
    // Half of the number range is 6.6 hours of video; more than that reads as a step back.
    (ticks.min(0x7fff_ffff) as u32).max(frame)
}

/// Clocks that disagree by more than this say nothing about each other, seconds.
const MOST_APART_S: u32 = 2;

/// May a cached key frame be replayed that puts the pictures this far ahead of their time? All that follow would be late by as much.
pub(super) fn is_near(debt: u32, clock_hz: u32) -> bool {
    debt <= clock_hz / 10
}

/// The timestamp on the clock `from` of the instant that `to` calls `timestamp`.
pub(super) fn same_instant(from: &ClockMap, to: &ClockMap, timestamp: u32, clock_hz: u32) -> u32 {
    from.rtp_at(to.at, clock_hz)
        .wrapping_add(timestamp.wrapping_sub(to.rtp))
}

/// The timestamp after `newest` for a picture that belongs at `ideal`, and how far ahead of that it is. `None` when the two are too far
/// apart to be of one scene.
pub(super) fn follow(newest: u32, ideal: u32, clock_hz: u32) -> Option<(u32, u32)> {
    let ahead = ideal.wrapping_sub(newest) as i32;
    if ahead.unsigned_abs() > MOST_APART_S * clock_hz {
        return None;
    }
    // Less than a frame, so that what one switch takes too much the next ones give back: the same instant is shown twice whenever both
    // encodings have a picture of it.
    let least = clock_hz / 120;
    if ahead >= least as i32 {
        return Some((ideal, 0));
    }
    let timestamp = newest.wrapping_add(least);
    Some((timestamp, timestamp.wrapping_sub(ideal)))
}

/// Was the packet lost on the publisher's line and came by retransmission? Then everybody stands still for it already, and losing it
/// once more would double the wait: it is sent twice, the second time as a retransmission.
pub(super) fn is_late(view: &EncodingView<'_>, meta: &PacketMeta) -> bool {
    let after = view.ring.get(meta.seq + 1).map(|stored| stored.meta.arrival);
    after.is_some_and(|after| meta.arrival.since(after) >= LATE)
}

/// How much is shown from the picture of `first` on, between what is shown and what is wanted. Less is shown at any picture: what is
/// left needs nothing of what falls away.
///
/// More spatial layers come with a key frame only. A frame of the higher layer that needs nothing but the lower one of its picture would do
/// as well, but by the time that it is seen the end of the lower one has left as the end of the picture. More temporal layers come one at a
/// time, where the codec says that a layer begins.
pub(super) fn next_limit(shown: Limit, wanted: Limit, first: &PacketMeta, top: Option<Layer>) -> Limit {
    if first.start {
        return wanted;
    }
    // A dependency descriptor names the layers that begin with the picture; what is shown now suffices to decode it.
    if let Some(top) = top
        && !shown.excludes(&first.layer)
    {
        let reached = Limit {
            spatial: wanted.spatial.min(top.spatial),
            temporal: wanted.temporal.min(top.temporal),
        };
        if first.switches >> reached.index() & 1 == 1 {
            return wanted;
        }
    }
    let mut next = Limit {
        spatial: wanted.spatial.min(shown.spatial),
        temporal: wanted.temporal.min(shown.temporal),
    };
    if next.temporal == shown.temporal && wanted.temporal > shown.temporal {
        if first.dependency.len == 0 && first.layer.switch_up && first.layer.temporal == shown.temporal + 1 {
            next.temporal = first.layer.temporal;
        }
        // Spatial layers of a picture share their temporal structure, and a descriptor speaks for its own spatial layer alone.
        let begins = Limit {
            spatial: first.layer.spatial,
            temporal: top.map_or(wanted.temporal, |top| wanted.temporal.min(top.temporal)),
        };
        if !shown.excludes(&first.layer) && first.switches >> begins.index() & 1 == 1 {
            next.temporal = wanted.temporal;
        }
        // All that there is.
        if top.is_some_and(|top| top.temporal <= next.temporal) {
            next.temporal = wanted.temporal;
        }
    }
    if wanted.spatial > shown.spatial && top.is_some_and(|top| top.spatial <= next.spatial) {
        next.spatial = wanted.spatial;
    }
    next
}

/// Where to begin so that the parameter sets right in front of an IDR slice, which belong to the same picture, come along.
pub(super) fn with_parameter_sets(view: &EncodingView<'_>, begin: u64) -> u64 {
    let Some(first) = view.ring.get(begin) else {
        return begin;
    };
    let Detail::H264(detail) = first.meta.detail else {
        return begin;
    };
    if detail.has_sps || !detail.has_idr {
        return begin;
    }
    for back in 1..=PARAMETER_SETS_BACK {
        let Some(stored) = begin.checked_sub(back).and_then(|seq| view.ring.get(seq)) else {
            break;
        };
        match stored.meta.detail {
            Detail::H264(before) if stored.meta.timestamp == first.meta.timestamp => {
                if before.has_sps {
                    return stored.meta.seq;
                }
            }
            Detail::H264(_) | Detail::Audio(_) | Detail::Vp8(_) | Detail::Vp9(_) | Detail::Av1(_) => break,
        }
    }
    begin
}
