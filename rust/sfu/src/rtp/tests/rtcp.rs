use proptest::prelude::*;

use crate::ids::Ssrc;
use crate::reason::DropReason;
use crate::rtp::rtcp::{MAX_NACK_PAIRS, ReportBlock, Rtcp, RtcpWriter, packets};

const ME: Ssrc = Ssrc(0x0a0b_0c0d);
const MEDIA: Ssrc = Ssrc(0x1234_5678);

fn block(ssrc: u32) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(ssrc),
        fraction_lost: 12,
        cumulative_lost: -3,
        highest_seq: 70_000,
        jitter: 99,
        last_sr: 0xabcd_0123,
        delay_since_sr: 65_536,
    }
}

/// What `write` wrote.
fn written(write: impl FnOnce(&mut RtcpWriter<'_>)) -> Vec<u8> {
    let mut buf = [0xee; 1500];
    let mut writer = RtcpWriter::new(&mut buf);
    write(&mut writer);
    let len = writer.len();
    assert_eq!(len % 4, 0);
    buf[..len].to_vec()
}

fn one(bytes: &[u8]) -> Rtcp<'_> {
    let mut all = packets(bytes);
    let first = all.next().unwrap().unwrap();
    assert!(all.next().is_none());
    first
}

#[test]
fn a_compound_is_read_packet_by_packet() {
    let bytes = written(|writer| {
        assert!(writer.is_empty());
        assert!(writer.sender_report(ME, 0x0102_0304_0506_0708, 9, 10, 11, &[block(1), block(2)]));
        assert!(writer.sdes_cname(ME, "a viewer"));
        assert!(writer.pli(ME, MEDIA));
        assert!(writer.bye(ME));
    });
    let all: Vec<_> = packets(&bytes).collect::<Result<_, _>>().unwrap();
    let [
        Rtcp::SenderReport(report),
        Rtcp::Sdes,
        Rtcp::Pli { sender, media },
        Rtcp::Bye(bye),
    ] = all[..]
    else {
        panic!("{all:?}");
    };
    assert_eq!((report.ssrc, report.ntp, report.rtp), (ME, 0x0102_0304_0506_0708, 9));
    assert_eq!((report.packets, report.octets), (10, 11));
    assert_eq!(report.reports().collect::<Vec<_>>(), [block(1), block(2)]);
    assert_eq!((sender, media), (ME, MEDIA));
    assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [ME]);
}

#[test]
fn feedback_alone_is_a_datagram() {
    let bytes = written(|writer| assert!(writer.nack(ME, MEDIA, &[1])));
    assert!(matches!(one(&bytes), Rtcp::Nack(_)));
}

#[test]
fn an_empty_datagram_has_no_packets() {
    assert_eq!(packets(&[]).count(), 0);
}

#[test]
fn reading_ends_after_the_first_error() {
    let mut bytes = written(|writer| assert!(writer.pli(ME, MEDIA)));
    bytes.extend_from_slice(&[0x81, 206, 0, 9]);
    bytes.extend(written(|writer| assert!(writer.pli(ME, MEDIA))));
    let all: Vec<_> = packets(&bytes).collect();
    assert!(matches!(
        all[..],
        [Ok(Rtcp::Pli { .. }), Err(DropReason::RtcpMalformed)]
    ));
}

#[test]
fn a_wrong_version_a_short_header_and_a_short_body_are_malformed() {
    for bytes in [
        &[0x41, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2][..],
        &[0x81, 206, 0],
        &[0x81, 206, 0, 1, 0, 0, 0, 1],
        &[0x81, 200, 0, 1, 0, 0, 0, 1],
        &[0x81, 201, 0, 1, 0, 0, 0, 1],
        &[0x82, 203, 0, 1, 0, 0, 0, 1],
    ] {
        let all: Vec<_> = packets(bytes).collect();
        assert_eq!(all, [Err(DropReason::RtcpMalformed)], "{bytes:?}");
    }
}

#[test]
fn padding_is_taken_off_and_false_padding_is_malformed() {
    let fir = |padding: &[u8]| {
        let mut bytes = vec![0xa4, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 7, 0, 0, 0];
        bytes.extend_from_slice(padding);
        bytes
    };
    let bytes = fir(&[0, 0, 0, 4]);
    let Rtcp::Fir(packet) = one(&bytes) else { panic!() };
    assert_eq!(packet.entries().collect::<Vec<_>>(), [(Ssrc(2), 7)]);
    for padding in [[0, 0, 0, 0], [0, 0, 0, 24], [0, 0, 0, 255]] {
        let bytes = fir(&padding);
        assert_eq!(packets(&bytes).next(), Some(Err(DropReason::RtcpMalformed)));
    }
    assert_eq!(
        packets(&[0xa1, 206, 0, 0]).next(),
        Some(Err(DropReason::RtcpMalformed)),
        "padding without a body"
    );
}

#[test]
fn app_and_extended_reports_are_skipped() {
    for bytes in [
        &[0x80, 204, 0, 2, 0, 0, 0, 1, b'n', b'a', b'm', b'e'][..],
        &[0x80, 207, 0, 1, 0, 0, 0, 1],
        &[0x83, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2],
        &[0x8f, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, b'n', b'o', b'n', b'e'],
        &[0x8f, 206, 0, 0],
    ] {
        assert_eq!(one(bytes), Rtcp::Other);
    }
}

#[test]
fn a_receivers_clock_is_found_among_other_extended_reports() {
    let mut bytes = vec![0x80, 207, 0, 6, 0, 0, 0, 9, 7, 0, 0, 1, 1, 2, 3, 4];
    bytes.extend_from_slice(&[4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
    let clock = Rtcp::ReferenceTime {
        sender: Ssrc(9),
        middle: 0x0304_0506,
    };
    assert_eq!(one(&bytes), clock);
    // A block that promises more than there is.
    bytes[19] = 3;
    assert_eq!(packets(&bytes).next(), Some(Err(DropReason::RtcpMalformed)));
}

#[test]
fn losses_are_signed_and_cut_to_24_bits() {
    for (lost, read) in [
        (-1, -1),
        (0x7f_ffff, 0x7f_ffff),
        (i32::MAX, 0x7f_ffff),
        (i32::MIN, -0x80_0000),
    ] {
        let block = ReportBlock {
            cumulative_lost: lost,
            ..block(1)
        };
        let bytes = written(|writer| assert!(writer.receiver_report(ME, &[block])));
        let Rtcp::ReceiverReport(report) = one(&bytes) else {
            panic!()
        };
        assert_eq!(report.reports().next().unwrap().cumulative_lost, read);
    }
}

#[test]
fn a_report_has_at_most_31_blocks() {
    let bytes = written(|writer| {
        assert!(!writer.receiver_report(ME, &[block(1); 32]));
        assert!(!writer.sender_report(ME, 0, 0, 0, 0, &[block(1); 32]));
        assert!(writer.receiver_report(ME, &[block(1); 31]));
    });
    let Rtcp::ReceiverReport(report) = one(&bytes) else {
        panic!()
    };
    assert_eq!(report.reports().count(), 31);
}

#[test]
fn a_nack_packs_sixteen_followers_and_crosses_the_wrap() {
    let seqs = [65_530, 65_535, 0, 10, 11, 500];
    let bytes = written(|writer| assert!(writer.nack(ME, MEDIA, &seqs)));
    assert_eq!(bytes.len(), 12 + 3 * 4);
    let Rtcp::Nack(nack) = one(&bytes) else { panic!() };
    assert_eq!((nack.sender, nack.media), (ME, MEDIA));
    assert_eq!(nack.seqs().collect::<Vec<_>>(), seqs);
}

#[test]
fn nothing_to_ask_for_is_nothing_to_write() {
    assert!(written(|writer| assert!(writer.nack(ME, MEDIA, &[]))).is_empty());
}

#[test]
fn a_nack_of_everything_is_read_up_to_a_bound() {
    let mut bytes = vec![0x81, 205, 0x20, 0x02, 0, 0, 0, 1, 0, 0, 0, 2];
    for pair in 0..0x2000u16 {
        bytes.extend_from_slice(&pair.wrapping_mul(17).to_be_bytes());
        bytes.extend_from_slice(&[0xff, 0xff]);
    }
    let Rtcp::Nack(nack) = one(&bytes) else { panic!() };
    assert_eq!(nack.seqs().count(), 17 * MAX_NACK_PAIRS);
}

#[test]
fn a_nack_for_nothing_is_well_formed() {
    let Rtcp::Nack(nack) = one(&[0x81, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]) else {
        panic!()
    };
    assert_eq!(nack.seqs().count(), 0);
}

#[test]
fn remb_keeps_eighteen_bits_of_the_rate() {
    for (rate, read) in [
        (0, 0),
        (262_143, 262_143),
        (262_144, 262_144),
        (2_500_001, 2_500_000),
        (u64::MAX, 0x3_ffff << 46),
    ] {
        let bytes = written(|writer| assert!(writer.remb(ME, rate, &[Ssrc(1), MEDIA])));
        let Rtcp::Remb(remb) = one(&bytes) else { panic!() };
        assert_eq!((remb.sender, remb.bitrate_bps), (ME, read));
        assert_eq!(remb.ssrcs().collect::<Vec<_>>(), [Ssrc(1), MEDIA]);
    }
}

#[test]
fn a_rate_beyond_64_bits_is_the_largest_one() {
    let remb = |exponent: u8, mantissa: u8| {
        let bytes = [
            0x8f,
            206,
            0,
            4,
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            0,
            b'R',
            b'E',
            b'M',
            b'B',
            0,
            exponent << 2,
            0,
            mantissa,
        ];
        let Rtcp::Remb(remb) = one(&bytes) else { panic!() };
        remb.bitrate_bps
    };
    assert_eq!(remb(63, 1), 1 << 63);
    assert_eq!(remb(63, 2), u64::MAX);
    assert_eq!(remb(63, 0), 0);
}

#[test]
fn remb_with_fewer_sources_than_it_says_is_malformed() {
    let bytes = [
        0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 2, 0, 0, 1, 0, 0, 0, 1,
    ];
    assert_eq!(packets(&bytes).next(), Some(Err(DropReason::RtcpMalformed)));
}

#[test]
fn a_packet_that_does_not_fit_leaves_the_datagram_as_it_was() {
    let mut buf = [0; 32];
    let mut writer = RtcpWriter::new(&mut buf);
    assert!(writer.pli(ME, MEDIA));
    assert!(!writer.sender_report(ME, 0, 0, 0, 0, &[]));
    assert!(!writer.sdes_cname(ME, "twelve bytes and more"));
    assert!(!writer.nack(ME, MEDIA, &[0, 100, 200]));
    assert!(!writer.fir(ME, &[(MEDIA, 1), (MEDIA, 2)]));
    assert!(!writer.remb(ME, 1, &[MEDIA]));
    assert_eq!((writer.len(), writer.room()), (12, 20));
    assert!(writer.fir(ME, &[(MEDIA, 1)]));
    assert!(!writer.bye(ME));
    assert_eq!(packets(&buf).filter(Result::is_ok).count(), 2);
}

#[test]
fn a_cname_of_256_bytes_is_refused() {
    let mut buf = [0; 600];
    let mut writer = RtcpWriter::new(&mut buf);
    assert!(!writer.sdes_cname(ME, &"x".repeat(256)));
    assert!(writer.sdes_cname(ME, &"x".repeat(255)));
}

/// Reads all that can be read.
fn exhaust(bytes: &[u8]) -> usize {
    packets(bytes)
        .map(|packet| match packet {
            Ok(Rtcp::SenderReport(packet)) => packet.reports().count(),
            Ok(Rtcp::ReceiverReport(packet)) => packet.reports().count(),
            Ok(Rtcp::Bye(packet)) => packet.ssrcs().count(),
            Ok(Rtcp::Nack(packet)) => packet.seqs().count(),
            Ok(Rtcp::Fir(packet)) => packet.entries().count(),
            Ok(Rtcp::TransportCc(packet)) => packet.arrivals().count(),
            Ok(Rtcp::Remb(packet)) => packet.ssrcs().count(),
            Ok(Rtcp::Sdes | Rtcp::Pli { .. } | Rtcp::ReferenceTime { .. } | Rtcp::Other) | Err(_) => 0,
        })
        .sum()
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(exhaust(&bytes) <= 75 * 4096);
    }

    #[test]
    fn any_body_behind_a_good_header_is_read_without_harm(
        count in 0u8..64, packet_type in 200u8..208, words in proptest::collection::vec(any::<[u8; 4]>(), 0..60)
    ) {
        let mut bytes = vec![0x80 | count, packet_type];
        bytes.extend_from_slice(&(words.len() as u16).to_be_bytes());
        bytes.extend(words.concat());
        prop_assert!(exhaust(&bytes) <= 4096);
    }

    #[test]
    fn all_missing_packets_are_named(first: u16, steps in proptest::collection::vec(1u16..40, 0..200)) {
        let mut seqs = vec![first];
        seqs.extend(steps.iter().scan(first, |seq, step| {
            *seq = seq.wrapping_add(*step);
            Some(*seq)
        }));
        let bytes = written(|writer| assert!(writer.nack(ME, MEDIA, &seqs)));
        let Rtcp::Nack(nack) = one(&bytes) else { panic!() };
        prop_assert_eq!(nack.seqs().collect::<Vec<_>>(), seqs);
    }
}
