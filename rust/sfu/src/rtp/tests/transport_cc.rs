use proptest::prelude::*;

use crate::ids::Ssrc;
use crate::reason::DropReason;
use crate::rtp::rtcp::{MAX_CLAIMS, Rtcp, RtcpWriter, packets};
use crate::time::Time;

type Entry = (u64, Option<Time>);

/// What was written, and how many entries it covers.
fn feedback(room: usize, entries: &[Entry]) -> Option<(Vec<u8>, usize)> {
    let mut buf = vec![0xee; room];
    let mut writer = RtcpWriter::new(&mut buf);
    let covered = writer.transport_cc(Ssrc(1), Ssrc(2), 7, entries);
    let len = writer.len();
    assert_eq!(covered.is_none(), len == 0);
    Some((buf[..len].to_vec(), covered?))
}

/// Arrivals in microseconds since time zero, from the 24-bit reference on.
fn arrivals(bytes: &[u8]) -> Vec<(u16, Option<i64>)> {
    let Some(Ok(Rtcp::TransportCc(feedback))) = packets(bytes).next() else {
        panic!("{bytes:02x?}");
    };
    assert_eq!(
        (feedback.sender, feedback.media, feedback.feedback_count),
        (Ssrc(1), Ssrc(2), 7)
    );
    let reference = i64::from(feedback.reference) * 64_000;
    feedback
        .arrivals()
        .map(|(seq, arrival)| (seq, arrival.map(|arrival| reference + arrival)))
        .collect()
}

/// A feedback packet of these chunks and deltas.
fn raw(count: u16, chunks: &[u16], deltas: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfe];
    body.extend_from_slice(&count.to_be_bytes());
    body.extend_from_slice(&[0, 0, 1, 7]);
    body.extend(chunks.iter().flat_map(|chunk| chunk.to_be_bytes()));
    body.extend_from_slice(deltas);
    body.resize(body.len().next_multiple_of(4), 0);
    let mut bytes = vec![0x8f, 205];
    bytes.extend_from_slice(&(body.len() as u16 / 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

#[test]
fn a_run_of_small_deltas_is_read() {
    let bytes = raw(3, &[0x2003], &[4, 0, 255]);
    assert_eq!(
        arrivals(&bytes),
        [(65_534, Some(65_000)), (65_535, Some(65_000)), (0, Some(128_750))]
    );
}

#[test]
fn a_vector_of_one_bit_statuses_is_read() {
    let bytes = raw(3, &[0x8000 | 0b10_1000_0000_0000], &[1, 2]);
    assert_eq!(
        arrivals(&bytes),
        [(65_534, Some(64_250)), (65_535, None), (0, Some(64_750))]
    );
}

#[test]
fn a_vector_of_two_bit_statuses_and_negative_deltas_are_read() {
    let bytes = raw(3, &[0xc000 | 0b10_0001 << 8], &[0xff, 0xfc, 8]);
    assert_eq!(
        arrivals(&bytes),
        [(65_534, Some(63_000)), (65_535, None), (0, Some(65_000))]
    );
}

#[test]
fn statuses_beyond_the_count_mean_nothing() {
    // 14 received by the vector, one of them counts; 100 by the run, two of them count.
    assert_eq!(arrivals(&raw(1, &[0xbfff], &[1])).len(), 1);
    assert_eq!(arrivals(&raw(2, &[0x2064], &[1, 1])).len(), 2);
}

#[test]
fn runs_of_nothing_are_skipped() {
    assert_eq!(
        arrivals(&raw(1, &[0x2000, 0x0000, 0x2001], &[4])),
        [(65_534, Some(65_000))]
    );
}

#[test]
fn the_reserved_status_is_malformed() {
    for bytes in [raw(1, &[0x6001], &[0; 4]), raw(1, &[0xf000], &[0; 4])] {
        assert_eq!(packets(&bytes).next(), Some(Err(DropReason::RtcpMalformed)));
    }
}

#[test]
fn missing_chunks_and_deltas_are_malformed() {
    for bytes in [
        raw(1, &[], &[]),
        raw(9000, &[0x1fff], &[]),
        raw(9, &[0x2009], &[0; 2]),
        raw(3, &[0xd800], &[0; 2]),
        raw(8191, &[0x5fff], &[0; 2]),
    ] {
        assert_eq!(
            packets(&bytes).next(),
            Some(Err(DropReason::RtcpMalformed)),
            "{bytes:02x?}"
        );
    }
}

#[test]
fn claims_are_read_up_to_a_bound() {
    let bytes = raw(65_535, &[0x1fff; 9], &[]);
    assert_eq!(bytes.len(), 40);
    assert_eq!(arrivals(&bytes).len(), usize::from(MAX_CLAIMS));
}

#[test]
fn a_feedback_of_nothing_is_well_formed() {
    assert_eq!(arrivals(&raw(0, &[], &[])), []);
}

fn at(ms: u64) -> Option<Time> {
    Some(Time(ms * 1000))
}

#[test]
fn twenty_packets_in_order_are_one_run() {
    let entries: Vec<_> = (0..20).map(|n| (70_000 + n, at(1000 + n))).collect();
    let (bytes, covered) = feedback(1200, &entries).unwrap();
    assert_eq!((bytes.len(), covered), (20 + 2 + 20 + 2, 20));
    assert_eq!(bytes[20..22], [0x20, 20]);
    let read = arrivals(&bytes);
    assert_eq!(read[0], (70_000u64 as u16, Some(1_000_000)));
    assert_eq!(read[19], (70_019u64 as u16, Some(1_019_000)));
}

#[test]
fn gaps_between_entries_are_losses() {
    let (bytes, _) = feedback(1200, &[(10, at(0)), (13, at(1)), (14, None), (15, at(1))]).unwrap();
    let read: Vec<_> = arrivals(&bytes)
        .iter()
        .map(|(seq, arrival)| (*seq, arrival.is_some()))
        .collect();
    assert_eq!(
        read,
        [
            (10, true),
            (11, false),
            (12, false),
            (13, true),
            (14, false),
            (15, true)
        ]
    );
}

#[test]
fn a_packet_that_overtook_has_a_negative_delta() {
    let (bytes, _) = feedback(1200, &[(1, at(500)), (2, at(300)), (3, at(800))]).unwrap();
    assert_eq!(
        arrivals(&bytes),
        [(1, Some(500_000)), (2, Some(300_000)), (3, Some(800_000))]
    );
}

#[test]
fn losses_without_an_arrival_wait() {
    assert_eq!(feedback(1200, &[]), None);
    assert_eq!(feedback(1200, &[(1, None), (2, None)]), None);
    assert_eq!(feedback(1200, &[(1, None), (2, at(5))]).unwrap().1, 2);
}

#[test]
fn a_delta_out_of_range_begins_another_packet() {
    let entries = [(1, at(0)), (2, at(8191)), (3, at(8191 + 8192)), (4, at(0))];
    assert_eq!(feedback(1200, &entries).unwrap().1, 2);
    assert_eq!(feedback(1200, &entries[2..]).unwrap().1, 1);
}

#[test]
fn a_gap_beyond_the_bound_begins_another_packet() {
    let far = u64::from(MAX_CLAIMS);
    assert_eq!(feedback(1200, &[(1, at(0)), (far, at(1))]).unwrap().1, 2);
    assert_eq!(feedback(1200, &[(1, at(0)), (far + 1, at(1))]).unwrap().1, 1);
    assert_eq!(feedback(1200, &[(1, at(0)), (u64::MAX, at(1))]).unwrap().1, 1);
}

#[test]
fn numbers_that_go_back_begin_another_packet() {
    assert_eq!(feedback(1200, &[(5, at(0)), (5, at(1))]).unwrap().1, 1);
    assert_eq!(feedback(1200, &[(5, at(0)), (4, at(1))]).unwrap().1, 1);
}

#[test]
fn the_reference_time_wraps_after_twelve_days() {
    let twelve_days = (1u64 << 24) * 64_000;
    let (bytes, _) = feedback(100, &[(1, Some(Time(twelve_days + 64_000)))]).unwrap();
    assert_eq!(arrivals(&bytes), [(1, Some(64_000))]);
}

#[test]
fn a_small_room_takes_fewer_entries() {
    let entries: Vec<_> = (0..100).map(|n| (n, at(n * 100))).collect();
    assert_eq!(feedback(20, &entries), None);
    let (bytes, covered) = feedback(40, &entries).unwrap();
    assert!(bytes.len() <= 40 && (1..100).contains(&covered));
}

prop_compose! {
    /// Ascending numbers with gaps; arrivals that jump both ways, some of them far.
    fn any_entries()(
        first in 0u64..200_000,
        steps in proptest::collection::vec(
            (prop_oneof![8 => Just(1u64), 1 => 1u64..30, 1 => 1u64..3000],
             prop_oneof![1 => Just(None), 8 => (0i64..2000).prop_map(Some), 2 => (-300_000i64..300_000).prop_map(Some)]),
            1..300,
        ),
    ) -> Vec<Entry> {
        let (mut seq, mut time) = (first, 1_000_000_000u64);
        steps.iter().map(|(gap, step)| {
            seq += gap;
            let arrival = step.map(|step| {
                time = time.saturating_add_signed(step);
                Time(time)
            });
            (seq, arrival)
        }).collect()
    }
}

proptest! {
    #[test]
    fn every_arrival_is_reported_to_a_quarter_of_a_millisecond(entries in any_entries(), room in 30usize..1300) {
        let mut rest = &entries[..];
        // Losses at the end stay for the next report.
        while rest.iter().any(|(_, arrival)| arrival.is_some()) {
            let Some((bytes, covered)) = feedback(room, rest) else {
                prop_assert!(rest[0].1.is_none(), "an arrival in front fits in any room");
                rest = &rest[1..];
                continue;
            };
            prop_assert!(covered > 0 && bytes.len() <= room && bytes.len() % 4 == 0);
            let (now, later) = rest.split_at(covered);
            let read = arrivals(&bytes);
            let last = now.last().unwrap().0;
            prop_assert_eq!(read.len() as u64, last - now[0].0 + 1);
            for (seq, (number, arrival)) in (now[0].0..=last).zip(&read) {
                let truth = now.iter().find(|(entry, _)| *entry == seq).and_then(|(_, arrival)| *arrival);
                prop_assert_eq!(seq as u16, *number);
                prop_assert_eq!(truth.map(|at| (at.0 / 250 * 250) as i64), *arrival);
            }
            rest = later;
        }
    }
}
