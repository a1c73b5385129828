//! What is known of encodings and layers, and how encodings are told apart.

use super::*;
use crate::codec::dependency::sample::{L1T3, L2T1_KEY};
use crate::receive::Track;
use crate::rtp::ext::{OutHeader, Relayed};

const VP9: u8 = 98;
const AV1: u8 = 45;

/// Three encodings as the legacy `SIM` group lists them, the lowest first; all but the first have the same SSRCs at every publisher.
fn sim(name: &str, track: u64, primary: u32) -> ReceiveSpec {
    let encoding = |ssrc: u32| EncodingSpec {
        ssrc: Some(Ssrc(ssrc)),
        rtx_ssrc: Some(Ssrc(ssrc + 1)),
        ..EncodingSpec::default()
    };
    ReceiveSpec {
        encodings: vec![encoding(primary), encoding(100), encoding(102)],
        ..video(name, track)
    }
}

fn scalable(name: &str, track: u64) -> ReceiveSpec {
    ReceiveSpec {
        codecs: vec![codec(Codec::Vp9, VP9, None), codec(Codec::Av1, AV1, None)],
        ..video(name, track)
    }
}

impl Bench {
    fn track(&self) -> &Track {
        self.tracks.get(self.keys[0]).expect("live")
    }

    fn poll_changed(&mut self, now: Time) -> bool {
        self.tracks
            .get_mut(self.keys[0])
            .expect("live")
            .poll_layers_changed(now)
    }

    fn active(&self, now: Time) -> Vec<bool> {
        self.track()
            .report(now)
            .encodings
            .iter()
            .map(|encoding| encoding.active)
            .collect()
    }
}

/// A VP8 key frame of this size.
fn vp8_key(width: u16, height: u16) -> Vec<u8> {
    let mut payload = vec![0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a];
    payload.extend(width.to_le_bytes());
    payload.extend(height.to_le_bytes());
    payload.resize(500, 0);
    payload
}

#[test]
fn ssrcs_of_a_sim_group_repeat_across_publishers_and_do_not_meet() {
    let mut benches = [Bench::new(&[sim("v", 1, 5)]), Bench::new(&[sim("v", 1, 6)])];
    for (bench, primary) in benches.iter_mut().zip([5, 6]) {
        for (encoding, ssrc) in [(2, 102), (0, primary), (1, 100)] {
            let received = bench.send(ms(0), &Packet::new(ssrc, VP8, 1)).expect("signalled");
            assert_eq!(
                received.key,
                bench.key(0, encoding),
                "lowest first, whatever comes first"
            );
        }
    }
    let repaired = Packet::new(102, VP8, 2).retransmitted(103, VP8_RTX, 1);
    assert_eq!(
        benches[0].send(ms(1), &repaired).map(|received| received.key),
        Ok(benches[0].key(0, 2))
    );
}

#[test]
fn encodings_start_late_stop_and_return() {
    let mut bench = Bench::new(&[sim("v", 1, 5)]);
    let mut seq = 0;
    let mut run = |bench: &mut Bench, from: u64, to: u64, ssrcs: &[u32]| {
        let mut changed = Vec::new();
        for now in (from..to).step_by(33) {
            seq += 1;
            for ssrc in ssrcs {
                bench.send(ms(now), &Packet::new(*ssrc, VP8, seq)).expect("kept");
            }
            if bench.track().has_layers_changed() {
                assert!(bench.poll_changed(ms(now)));
                changed.push(now);
            }
        }
        changed
    };
    assert_eq!(run(&mut bench, 0, 500, &[5]), [0]);
    assert_eq!(bench.active(ms(500)), [true, false, false]);
    assert_eq!(run(&mut bench, 500, 1_000, &[5, 100, 102]), [500]);
    assert_eq!(bench.active(ms(1_000)), [true, true, true]);
    assert!(
        run(&mut bench, 1_000, 3_000, &[5, 100]).is_empty(),
        "silence is seen by the clock only"
    );
    assert!(bench.poll_changed(ms(3_000)) && !bench.poll_changed(ms(3_000)));
    assert_eq!(bench.active(ms(3_000)), [true, true, false]);
    assert_eq!(run(&mut bench, 3_000, 3_100, &[5, 100, 102]), [3_000]);
    assert_eq!(bench.active(ms(3_100)), [true, true, true]);
}

#[test]
fn one_picture_a_second_is_no_silence() {
    let mut bench = Bench::new(&[video("v", 1)]);
    for second in 0..6 {
        let packet = Packet::new(5, VP8, second)
            .timestamp(u32::from(second) * 90_000)
            .mid("v");
        bench.send(ms(u64::from(second) * 1_000), &packet).expect("kept");
    }
    assert!(bench.active(ms(5_000))[0]);
    assert!(bench.active(ms(7_500))[0]);
    assert!(!bench.active(ms(8_500))[0]);
}

#[test]
fn the_report_tells_rates_size_and_pictures() {
    let mut bench = Bench::new(&[video("v", 1)]);
    bench
        .send(ms(0), &Packet::new(5, VP8, 1).mid("v").payload(&vp8_key(640, 360)))
        .expect("kept");
    for seq in 2..=60 {
        let mut packet = Packet::new(5, VP8, seq).mid("v");
        packet.payload.resize(500, 0);
        let now = u64::from(seq) * 100 / 3;
        bench.send(ms(now), &packet).expect("kept");
        if seq % 2 == 0 {
            let again = packet.retransmitted(6, VP8_RTX, seq).mid("v");
            assert_eq!(bench.send(ms(now), &again), Err(DropReason::Duplicate));
        }
    }
    let report = bench.track().report(ms(2_000));
    assert_eq!(report.track, TrackId(1));
    let encoding = &report.encodings[0];
    assert!(encoding.active && encoding.layers.is_empty());
    assert_eq!(
        (encoding.width, encoding.height, encoding.codec),
        (640, 360, Some(Codec::Vp8))
    );
    assert!((29..=31).contains(&encoding.fps), "{}", encoding.fps);
    assert!(
        (115_000..=125_000).contains(&encoding.bitrate_bps),
        "{}",
        encoding.bitrate_bps
    );
    assert!(
        encoding.total_bps > encoding.bitrate_bps * 3 / 2,
        "retransmissions count"
    );
    assert_eq!((encoding.packets, encoding.bytes), (60, 60 * 500));
}

/// Two seconds of one picture in each packet, 30 a second; `shown` gives the place of each in the order of showing. Pictures and
/// those out of order in the second after.
fn told_of_order(shown: impl Fn(u16) -> u32) -> (u8, u8) {
    let mut bench = Bench::new(&[video("v", 1)]);
    for seq in 0..60 {
        let packet = Packet::new(5, VP8, seq)
            .timestamp(shown(seq).wrapping_mul(3_000))
            .mid("v");
        bench.send(ms(u64::from(seq) * 100 / 3), &packet).expect("kept");
    }
    let encoding = bench.track().report(ms(2_000)).encodings[0].clone();
    (encoding.fps, encoding.reordered)
}

#[test]
fn pictures_that_are_shown_before_one_that_came_earlier_are_told() {
    let (fps, reordered) = told_of_order(u32::from);
    assert!((29..=31).contains(&fps) && reordered == 0, "{fps} {reordered}");
    // I P B B P B B …
    let (fps, reordered) = told_of_order(|seq| u32::from(seq / 3 * 3 + [2, 0, 1][usize::from(seq % 3)]));
    assert!((29..=31).contains(&fps), "{fps}");
    assert!((19..=21).contains(&reordered), "{reordered}");
}

#[test]
fn a_clock_that_was_put_back_is_no_reordering() {
    let (fps, reordered) = told_of_order(|seq| if seq < 40 { 300_000 } else { 0 } + u32::from(seq));
    assert!((29..=31).contains(&fps) && reordered == 0, "{fps} {reordered}");
}

#[test]
fn a_packet_that_comes_late_is_no_reordering() {
    let mut bench = Bench::new(&[video("v", 1)]);
    for seq in [0_u16, 1, 3, 2, 5, 4, 7, 6, 9, 8] {
        let packet = Packet::new(5, VP8, seq).timestamp(u32::from(seq) * 3_000).mid("v");
        bench.send(ms(u64::from(seq) * 33), &packet).expect("kept");
    }
    assert_eq!(bench.track().report(ms(330)).encodings[0].reordered, 0);
}

/// The packets of one VP9 picture in `spatial` layers.
fn vp9_picture(bench: &mut Bench, now: u64, seq: &mut u16, spatial: u8, temporal: u8, key: bool) {
    let timestamp = now as u32 * 90;
    for layer in 0..spatial {
        // I, P, L, B, E.
        let mut payload = vec![
            0xac | u8::from(!key) << 6 | u8::from(key && layer == 0) << 1,
            *seq as u8 & 0x7f,
            temporal << 5 | 0x10 | layer << 1 | u8::from(layer > 0),
            1,
        ];
        if key && layer == 0 {
            payload.extend([0x50, 1, 64, 0, 180, 2, 128, 1, 104, 5, 0, 2, 208]);
        }
        payload.resize(100 * (usize::from(layer) + 1), 0);
        *seq += 1;
        let packet = Packet::new(5, VP9, *seq)
            .mid("v")
            .timestamp(timestamp)
            .payload(&payload);
        bench.send(ms(now), &packet).expect("kept");
    }
}

#[test]
fn layers_are_reported_with_what_they_need_and_only_while_they_flow() {
    let mut bench = Bench::new(&[scalable("v", 1)]);
    let mut seq = 0;
    for i in 0..50u64 {
        vp9_picture(&mut bench, i * 40, &mut seq, 3, [0, 2, 1, 2][i as usize % 4], i == 0);
    }
    let report = bench.track().report(ms(1_960)).encodings.remove(0);
    assert_eq!((report.width, report.height), (1_280, 720));
    let places: Vec<_> = report
        .layers
        .iter()
        .map(|layer| (layer.spatial, layer.temporal))
        .collect();
    assert_eq!(
        places,
        [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    );
    let top = report.layers[8];
    assert_eq!((top.width, report.layers[0].width), (1_280, 320));
    for pair in report.layers.chunks(3) {
        assert!(pair[0].bitrate_bps < pair[1].bitrate_bps && pair[1].bitrate_bps < pair[2].bitrate_bps);
    }
    assert!((top.bitrate_bps as i64 - report.bitrate_bps as i64).abs() < report.bitrate_bps as i64 / 5);
    let view = bench.view(0, 0).expect("there");
    let lowest = crate::layer::Limit {
        spatial: 0,
        temporal: 0,
    };
    assert!(view.rate_up_to(&lowest) * 8 < view.rate_up_to(&crate::layer::Limit::ALL));

    assert!(bench.poll_changed(ms(1_960)));
    for i in 50..100u64 {
        vp9_picture(&mut bench, i * 40, &mut seq, 2, 0, false);
    }
    assert!(
        bench.poll_changed(ms(3_960)),
        "a spatial layer stopped, and two temporal ones"
    );
    let report = bench.track().report(ms(3_960)).encodings.remove(0);
    assert_eq!((report.width, report.height), (640, 360), "of what flows");
    let places: Vec<_> = report
        .layers
        .iter()
        .map(|layer| (layer.spatial, layer.temporal))
        .collect();
    assert_eq!(places, [(0, 0), (1, 0)]);
    let top = bench.track().encodings()[0].layers().expect("there").top();
    assert_eq!((top.spatial, top.temporal), (1, 0));
}

/// AV1 with a dependency descriptor in the two-byte form.
fn av1(bench: &mut Bench, now: u64, seq: u16, descriptor: &[u8], payload: &[u8]) -> Result<Received, DropReason> {
    let mut bytes = [0; 400];
    let map = ExtensionMap::new(&[
        ExtensionSpec {
            id: 1,
            kind: ExtensionKind::Mid,
        },
        ExtensionSpec {
            id: 20,
            kind: ExtensionKind::DependencyDescriptor,
        },
    ]);
    let header = OutHeader {
        marker: true,
        payload_type: AV1,
        seq,
        timestamp: now as u32 * 90,
        ssrc: Ssrc(9),
        mid: Some(mid("v")),
        transport_cc: None,
        abs_send_time: None,
    };
    let relayed = Relayed {
        dependency: Some(descriptor),
        ..Relayed::default()
    };
    let len = map.write_with(&mut bytes, &header, &relayed).expect("fits");
    bytes[len..len + payload.len()].copy_from_slice(payload);
    let packet = &mut bytes[..len + payload.len()];
    let header = RtpHeader::parse(packet)?;
    bench.receiver.rtp(ms(now), &mut bench.tracks, packet, &header)
}

#[test]
fn a_dependency_descriptor_tells_the_layers_of_av1_even_when_the_payload_is_encrypted() {
    let mut bench = Bench::new(&[scalable("v", 1)]);
    // Z and N together are no aggregation header.
    let encrypted = [0x88, 1, 2, 3];
    av1(
        &mut bench,
        0,
        1,
        &L1T3.descriptor((true, true), 0, 1, true, None),
        &encrypted,
    )
    .expect("kept");
    av1(
        &mut bench,
        33,
        2,
        &L1T3.descriptor((true, true), 3, 2, false, None),
        &encrypted,
    )
    .expect("kept");
    av1(
        &mut bench,
        66,
        3,
        &L1T3.descriptor((true, true), 2, 3, false, None),
        &encrypted,
    )
    .expect("kept");
    let view = bench.view(0, 0).expect("there");
    assert!(view.start.is_some());
    let stored: Vec<_> = (65_537..=65_539)
        .map(|seq| *view.ring.get(seq).expect("kept").meta)
        .collect();
    assert_eq!(
        stored
            .iter()
            .map(|meta| (meta.layer.temporal, meta.start))
            .collect::<Vec<_>>(),
        [(0, true), (2, false), (1, false)]
    );
    assert!(stored.iter().all(|meta| meta.frame_start && meta.dependency.len > 0));
    assert_eq!(bench.track().encodings()[0].size(), Some((640, 360)));
    assert_eq!(bench.track().report(ms(66)).encodings[0].layers.len(), 3);
}

#[test]
fn another_structure_replaces_the_one_before() {
    let mut bench = Bench::new(&[scalable("v", 1)]);
    let payload = [0x10, 1, 2, 3];
    av1(
        &mut bench,
        0,
        1,
        &L1T3.descriptor((true, true), 0, 1, true, None),
        &payload,
    )
    .expect("kept");
    av1(
        &mut bench,
        33,
        2,
        &L2T1_KEY.descriptor((true, true), 1, 2, true, None),
        &payload,
    )
    .expect("kept");
    av1(
        &mut bench,
        33,
        3,
        &L2T1_KEY.descriptor((true, true), 3, 3, false, None),
        &payload,
    )
    .expect("kept");
    let view = bench.view(0, 0).expect("there");
    assert_eq!(view.ring.get(65_539).map(|stored| stored.meta.layer.spatial), Some(1));
    assert_eq!(bench.track().encodings()[0].size(), Some((640, 360)));
    assert_eq!(bench.track().encodings()[0].size_of(0), Some((320, 180)));
}

#[test]
fn a_layers_allocation_tells_the_targets_of_all_encodings() {
    // Three streams of one layer each, 150, 500 and 2 500 kb/s, on the one of the number in the first two bits.
    const ON_HIGHEST: &[u8] = &[0xa1, 0x00, 0x96, 0x01, 0xf4, 0x03, 0xc4, 0x13];
    const ON_FIRST: &[u8] = &[0x21, 0x00, 0x96, 0x01, 0xf4, 0x03, 0xc4, 0x13];
    const NOTHING: &[u8] = &[0];
    let targets = |bench: &Bench| -> Vec<_> {
        let encodings = bench.track().encodings();
        encodings.iter().map(|encoding| encoding.target().bps / 1_000).collect()
    };
    let mut bench = Bench::new(&[sim("v", 1, 5)]);
    let packet = |seq, allocation| Packet {
        allocation: Some(allocation),
        ..Packet::new(102, VP8, seq)
    };
    bench.send(ms(0), &packet(1, ON_HIGHEST)).expect("kept");
    assert_eq!(targets(&bench), [150, 500, 2_500]);
    bench.send(ms(33), &packet(2, ON_FIRST)).expect("kept");
    assert_eq!(
        targets(&bench),
        [2_500, 500, 150],
        "a publisher that counts from the highest"
    );
    bench.send(ms(66), &packet(3, NOTHING)).expect("kept");
    assert_eq!(targets(&bench), [0, 0, 0]);
}
