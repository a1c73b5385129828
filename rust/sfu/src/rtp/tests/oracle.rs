//! The `rtcp-types` crate reads what we write, and writes what we read.

use proptest::prelude::*;
use rtcp_types::prelude::*;
use rtcp_types::{
    Bye, Compound, Fir, Nack, Packet, PayloadFeedback, Pli, ReceiverReport, SenderReport, TransportFeedback, Twcc,
    TwccPacketStatus,
};

use crate::ids::Ssrc;
use crate::rtp::rtcp::{ReportBlock, Rtcp, RtcpWriter, packets};
use crate::time::Time;

const ME: Ssrc = Ssrc(0x0a0b_0c0d);
const MEDIA: Ssrc = Ssrc(0x1234_5678);

const BLOCK: ReportBlock = ReportBlock {
    ssrc: MEDIA,
    fraction_lost: 200,
    cumulative_lost: 1000,
    highest_seq: 70_000,
    jitter: 99,
    last_sr: 0xabcd_0123,
    delay_since_sr: 65_536,
};

fn written(write: impl FnOnce(&mut RtcpWriter<'_>)) -> Vec<u8> {
    let mut buf = [0; 1500];
    let mut writer = RtcpWriter::new(&mut buf);
    write(&mut writer);
    let len = writer.len();
    buf[..len].to_vec()
}

fn built(packet: &dyn RtcpPacketWriter) -> Vec<u8> {
    let mut bytes = vec![0; packet.calculate_size().unwrap()];
    packet.write_into_unchecked(&mut bytes);
    bytes
}

#[test]
fn our_compound_is_understood() {
    let bytes = written(|writer| {
        assert!(writer.sender_report(ME, 0x0102_0304_0506_0708, 9, 10, 11, &[BLOCK]));
        assert!(writer.receiver_report(ME, &[BLOCK]));
        assert!(writer.sdes_cname(ME, "someone"));
        assert!(writer.nack(ME, MEDIA, &[1, 3, 17, 18]));
        assert!(writer.pli(ME, MEDIA));
        assert!(writer.fir(ME, &[(MEDIA, 5)]));
        assert!(writer.bye(ME));
    });
    let all: Vec<_> = Compound::parse(&bytes).unwrap().collect::<Result<_, _>>().unwrap();
    let [
        Packet::Sr(sr),
        Packet::Rr(rr),
        Packet::Sdes(sdes),
        Packet::TransportFeedback(nack),
        Packet::PayloadFeedback(pli),
        Packet::PayloadFeedback(fir),
        Packet::Bye(bye),
    ] = &all[..]
    else {
        panic!("{all:?}");
    };
    assert_eq!(
        (sr.ssrc(), sr.ntp_timestamp(), sr.rtp_timestamp()),
        (ME.0, 0x0102_0304_0506_0708, 9)
    );
    assert_eq!((sr.packet_count(), sr.octet_count()), (10, 11));
    for block in sr.report_blocks().chain(rr.report_blocks()) {
        assert_eq!(
            (block.ssrc(), block.fraction_lost(), block.cumulative_lost()),
            (MEDIA.0, 200, 1000)
        );
        assert_eq!(
            (block.extended_sequence_number(), block.interarrival_jitter()),
            (70_000, 99)
        );
        assert_eq!(block.last_sender_report_timestamp(), 0xabcd_0123);
        assert_eq!(block.delay_since_last_sender_report_timestamp(), 65_536);
    }
    let chunk = sdes.chunks().next().unwrap();
    assert_eq!(chunk.ssrc(), ME.0);
    assert_eq!(chunk.items().next().unwrap().get_value_string().unwrap(), "someone");
    let missing = nack.parse_fci::<Nack<'_>>().unwrap();
    assert_eq!(missing.entries().collect::<Vec<_>>(), [1, 3, 17, 18]);
    assert_eq!((pli.sender_ssrc(), pli.media_ssrc()), (ME.0, MEDIA.0));
    pli.parse_fci::<Pli<'_>>().unwrap();
    let requests = fir.parse_fci::<Fir<'_>>().unwrap();
    let request = requests.entries().next().unwrap();
    assert_eq!((request.ssrc(), request.sequence()), (MEDIA.0, 5));
    assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [ME.0]);
}

#[test]
fn their_reports_are_understood() {
    let block = || {
        rtcp_types::ReportBlock::builder(MEDIA.0)
            .fraction_lost(200)
            .cumulative_lost(1000)
            .extended_sequence_number(70_000)
            .interarrival_jitter(99)
            .last_sender_report_timestamp(0xabcd_0123)
            .delay_since_last_sender_report_timestamp(65_536)
    };
    let mut bytes = built(
        &SenderReport::builder(ME.0)
            .ntp_timestamp(77)
            .rtp_timestamp(78)
            .packet_count(79)
            .octet_count(80)
            .add_report_block(block()),
    );
    bytes.extend(built(&ReceiverReport::builder(ME.0).add_report_block(block())));
    bytes.extend(built(
        &Bye::builder().add_source(ME.0).add_source(MEDIA.0).reason("tired"),
    ));
    let all: Vec<_> = packets(&bytes).collect::<Result<_, _>>().unwrap();
    let [Rtcp::SenderReport(sr), Rtcp::ReceiverReport(rr), Rtcp::Bye(bye)] = all[..] else {
        panic!("{all:?}");
    };
    assert_eq!((sr.ssrc, sr.ntp, sr.rtp, sr.packets, sr.octets), (ME, 77, 78, 79, 80));
    assert_eq!(sr.reports().chain(rr.reports()).collect::<Vec<_>>(), [BLOCK, BLOCK]);
    assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [ME, MEDIA]);
}

#[test]
fn their_feedback_is_understood() {
    let pli = Pli::builder();
    let mut bytes = built(&PayloadFeedback::builder(&pli).sender_ssrc(ME.0).media_ssrc(MEDIA.0));
    let fir = Fir::builder().add_ssrc(MEDIA.0, 9);
    bytes.extend(built(&PayloadFeedback::builder(&fir).sender_ssrc(ME.0)));
    let all: Vec<_> = packets(&bytes).collect::<Result<_, _>>().unwrap();
    let [Rtcp::Pli { sender, media }, Rtcp::Fir(fir)] = all[..] else {
        panic!("{all:?}");
    };
    assert_eq!((sender, media, fir.sender), (ME, MEDIA, ME));
    assert_eq!(fir.entries().collect::<Vec<_>>(), [(MEDIA, 9)]);
}

/// Deltas of theirs, `None` for a loss.
fn deltas() -> impl Strategy<Value = Vec<Option<i16>>> {
    let delta = prop_oneof![
        3 => Just(None),
        8 => (0i16..256).prop_map(Some),
        1 => any::<i16>().prop_map(Some),
    ];
    // Long runs of one kind as well as mixtures.
    proptest::collection::vec((delta, prop_oneof![4 => 1usize..3, 1 => 1usize..60]), 1..40).prop_map(|runs| {
        runs.iter()
            .flat_map(|(delta, len)| std::iter::repeat_n(*delta, *len))
            .collect()
    })
}

proptest! {
    #[test]
    fn nacks_agree_both_ways(first: u16, steps in proptest::collection::vec(1u16..30, 0..100)) {
        let mut seqs = vec![first];
        seqs.extend(steps.iter().scan(first, |seq, step| {
            *seq = seq.checked_add(*step)?;
            Some(*seq)
        }));
        let ours = written(|writer| assert!(writer.nack(ME, MEDIA, &seqs)));
        let read = TransportFeedback::parse(&ours).unwrap();
        let entries: Vec<_> = read.parse_fci::<Nack<'_>>().unwrap().entries().collect();
        prop_assert_eq!(&entries, &seqs);

        let nack = seqs.iter().fold(Nack::builder(), |nack, seq| nack.add_rtp_sequence(*seq));
        let theirs = built(&TransportFeedback::builder(&nack).sender_ssrc(ME.0).media_ssrc(MEDIA.0));
        let Some(Ok(Rtcp::Nack(nack))) = packets(&theirs).next() else { panic!() };
        prop_assert_eq!(nack.seqs().collect::<Vec<_>>(), seqs);
    }

    #[test]
    fn their_arrivals_are_understood(base: u16, reference in 0u32..1 << 24, deltas in deltas()) {
        let statuses: Vec<_> = deltas.iter().map(|delta| match delta {
            None => TwccPacketStatus::NotReceived,
            Some(delta) => TwccPacketStatus::Received { delta: *delta },
        }).collect();
        let twcc = Twcc::builder(base, reference, 200, &statuses, None);
        prop_assume!(twcc.packet_status_count() == statuses.len());
        let bytes = built(&TransportFeedback::builder(&twcc).sender_ssrc(ME.0).media_ssrc(MEDIA.0));
        let Some(Ok(Rtcp::TransportCc(feedback))) = packets(&bytes).next() else { panic!("{bytes:02x?}") };
        prop_assert_eq!((feedback.base, feedback.reference, feedback.feedback_count), (base, reference, 200));
        let mut ticks = 0;
        let wanted: Vec<_> = deltas.iter().zip(0u16..).map(|(delta, n)| {
            ticks += i64::from(delta.unwrap_or(0));
            (base.wrapping_add(n), delta.map(|_| ticks * 250))
        }).collect();
        prop_assert_eq!(feedback.arrivals().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn our_arrivals_are_understood(base in 0u64..200_000, deltas in deltas()) {
        let mut time = 20_000_000_000i64;
        let entries: Vec<_> = deltas.iter().zip(base..).map(|(delta, seq)| {
            time += i64::from(delta.unwrap_or(0)) * 250;
            (seq, delta.map(|_| Time(time as u64)))
        }).collect();
        prop_assume!(entries.iter().any(|(_, arrival)| arrival.is_some()));
        let mut covered = None;
        let bytes = written(|writer| covered = writer.transport_cc(ME, MEDIA, 3, &entries));
        let covered = covered.unwrap();
        let feedback = TransportFeedback::parse(&bytes).unwrap();
        let twcc = feedback.parse_fci::<Twcc<'_>>().unwrap();
        prop_assert_eq!((twcc.base_sequence_number(), twcc.feedback_packet_count()), (base as u16, 3));
        let read: Vec<_> = twcc.packets().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read.len(), covered);
        let mut ticks = i64::from(twcc.reference_time()) * 256;
        for ((seq, status), (number, arrival)) in read.iter().zip(&entries) {
            prop_assert_eq!(*seq, *number as u16);
            match status {
                TwccPacketStatus::NotReceived => prop_assert_eq!(*arrival, None),
                TwccPacketStatus::Received { delta } => {
                    ticks += i64::from(*delta);
                    prop_assert_eq!(*arrival, Some(Time(ticks as u64 * 250)));
                }
            }
        }
    }
}
