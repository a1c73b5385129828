//! RTCP: any compound is read in bounds; what can be written again reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rostra_sfu::rtp::rtcp::{MAX_CLAIMS, MAX_NACK_PAIRS, Rtcp, RtcpWriter, TransportCc, packets};
use rostra_sfu::time::Time;

/// Writes one packet and reads it.
fn again<'a>(buf: &'a mut [u8], write: impl FnOnce(&mut RtcpWriter<'_>)) -> Rtcp<'a> {
    let mut writer = RtcpWriter::new(buf);
    write(&mut writer);
    let len = writer.len();
    let Some(Ok(packet)) = packets(&buf[..len]).next() else {
        panic!("{:02x?}", &buf[..len])
    };
    packet
}

fn sorted(seqs: impl Iterator<Item = u16>) -> Vec<u16> {
    let mut seqs: Vec<_> = seqs.collect();
    seqs.sort_unstable();
    seqs.dedup();
    seqs
}

fn transport_cc(buf: &mut [u8], feedback: &TransportCc<'_>) {
    let base = 1u64 << 32 | u64::from(feedback.base);
    // Far enough from zero that no sum of deltas gets there.
    let origin = ((4i64 << 24) + i64::from(feedback.reference)) * 64_000;
    let entries: Vec<_> = (base..)
        .zip(feedback.arrivals())
        .map(|(seq, (_, arrival))| (seq, arrival.map(|at| Time((origin + at) as u64))))
        .collect();
    assert_eq!(entries.len(), usize::from(feedback.count.min(MAX_CLAIMS)));
    let received = entries.iter().any(|(_, arrival)| arrival.is_some());
    let mut writer = RtcpWriter::new(buf);
    let covered = writer.transport_cc(feedback.sender, feedback.media, 0, &entries);
    let len = writer.len();
    let Some(covered) = covered else {
        assert!(!received);
        return;
    };
    let Some(Ok(Rtcp::TransportCc(new))) = packets(&buf[..len]).next() else {
        panic!()
    };
    assert_eq!(new.arrivals().count(), covered);
    let mut shifts = new.arrivals().zip(feedback.arrivals()).filter_map(|(new, old)| {
        assert_eq!((new.0, new.1.is_some()), (old.0, old.1.is_some()));
        Some(old.1? - new.1?)
    });
    // Both count from a reference of their own; between the two lies one distance, modulo the wrap of the field.
    if let Some(shift) = shifts.next() {
        let references = i64::from(new.reference) - i64::from(feedback.reference);
        assert_eq!((shift - references * 64_000) % (64_000 << 24), 0);
        assert!(shifts.all(|other| other == shift));
    }
}

fuzz_target!(|datagram: &[u8]| {
    let mut buf = vec![0; 70_000];
    for packet in packets(datagram) {
        let Ok(packet) = packet else { return };
        match &packet {
            Rtcp::SenderReport(report) => {
                let blocks: Vec<_> = report.reports().collect();
                let new = again(&mut buf, |writer| {
                    assert!(writer.sender_report(
                        report.ssrc,
                        report.ntp,
                        report.rtp,
                        report.packets,
                        report.octets,
                        &blocks
                    ));
                });
                assert_eq!(new, packet);
            }
            Rtcp::ReceiverReport(report) => {
                let blocks: Vec<_> = report.reports().collect();
                let new = again(&mut buf, |writer| {
                    assert!(writer.receiver_report(report.ssrc, &blocks));
                });
                assert_eq!(new, packet);
            }
            Rtcp::Pli { sender, media } => {
                assert_eq!(again(&mut buf, |writer| assert!(writer.pli(*sender, *media))), packet);
            }
            Rtcp::Bye(bye) => assert!(bye.ssrcs().count() <= 31),
            Rtcp::Nack(nack) => {
                let seqs: Vec<_> = nack.seqs().collect();
                assert!(seqs.len() <= 17 * MAX_NACK_PAIRS);
                if seqs.is_empty() {
                    continue;
                }
                let new = again(&mut buf, |writer| assert!(writer.nack(nack.sender, nack.media, &seqs)));
                let Rtcp::Nack(new) = new else { panic!() };
                // Repetitions of neighbours are written once, and more pairs than are read may be needed.
                let (before, after) = (sorted(seqs.iter().copied()), sorted(new.seqs()));
                assert!(after.iter().all(|seq| before.binary_search(seq).is_ok()));
                assert!(seqs.len() > MAX_NACK_PAIRS || before == after);
            }
            Rtcp::Fir(fir) => {
                let entries: Vec<_> = fir.entries().collect();
                let new = again(&mut buf, |writer| assert!(writer.fir(fir.sender, &entries)));
                let Rtcp::Fir(new) = new else { panic!() };
                assert!(new.entries().eq(entries));
            }
            Rtcp::Remb(remb) => {
                let ssrcs: Vec<_> = remb.ssrcs().collect();
                let new = again(&mut buf, |writer| {
                    assert!(writer.remb(remb.sender, remb.bitrate_bps, &ssrcs))
                });
                let Rtcp::Remb(new) = new else { panic!() };
                assert!(remb.bitrate_bps == u64::MAX || new.bitrate_bps == remb.bitrate_bps);
                assert!(new.ssrcs().eq(ssrcs));
            }
            Rtcp::TransportCc(feedback) => transport_cc(&mut buf, feedback),
            Rtcp::Sdes | Rtcp::ReferenceTime { .. } | Rtcp::Other => {}
        }
    }
});
