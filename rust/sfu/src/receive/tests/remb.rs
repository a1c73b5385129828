//! The receiver's own estimate, for publishers that know no other.

use super::*;

/// A packet of 1 000 bytes with abs-send-time, as SDP numbers it here.
fn packet(ssrc: u32, seq: u16, sent: Time) -> Vec<u8> {
    let sent = ((sent.0 << 18) / 1_000_000) as u32;
    let mut bytes = vec![0x90, VP8];
    bytes.extend(seq.to_be_bytes());
    bytes.extend((u32::from(seq) * 3000).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([0xbe, 0xde, 0, 2]);
    bytes.extend([0x22, (sent >> 16) as u8, (sent >> 8) as u8, sent as u8]);
    bytes.extend([0x10, b'v', 0, 0]);
    bytes.extend(DELTA);
    bytes.resize(1_000, 7);
    bytes
}

fn bench(kinds: &[ExtensionKind]) -> Bench {
    let specs = [video("v", 1)];
    let extensions: Vec<_> = (1..).zip(kinds).map(|(id, &kind)| ExtensionSpec { id, kind }).collect();
    let mut bench = Bench::new(&specs);
    bench.receiver = Receiver::new(&specs, bench.keys.clone(), ExtensionMap::new(&extensions), OUR_SSRC);
    bench
}

/// What is told, and when, over `seconds` in which 1 Mb/s passes a line of `line(second)` bits per second.
fn estimates(bench: &mut Bench, seconds: u64, line: impl Fn(u64) -> u64) -> Vec<(Time, u64)> {
    let mut free = 0;
    let mut told = Vec::new();
    for seq in 0..seconds * 125 {
        let sent = ms(seq * 8);
        free = sent.0.max(free) + 8_000 * 1_000_000 / line(seq / 125);
        while let Some(due) = bench.receiver.next_timeout().filter(|due| due.0 <= free) {
            told.extend(poll(bench, due));
        }
        let mut bytes = packet(9, seq as u16, sent);
        let header = RtpHeader::parse(&bytes).expect("well-formed");
        let _ = bench.receiver.rtp(Time(free), &mut bench.tracks, &mut bytes, &header);
    }
    told
}

fn poll(bench: &mut Bench, now: Time) -> Vec<(Time, u64)> {
    let mut bytes = [0; 1200];
    let mut out = RtcpWriter::new(&mut bytes);
    bench.receiver.poll_rtcp(now, &mut bench.tracks, &mut out);
    let len = out.len();
    packets(&bytes[..len])
        .filter_map(|packet| match packet {
            Ok(Rtcp::Remb(remb)) => Some((now, remb.bitrate_bps)),
            _ => None,
        })
        .collect()
}

#[test]
fn an_estimate_is_told_each_second_and_at_once_when_it_falls() {
    let mut bench = bench(&[ExtensionKind::Mid, ExtensionKind::AbsSendTime]);
    let told = estimates(&mut bench, 14, |second| if second < 10 { 20_000_000 } else { 700_000 });
    let before: Vec<_> = told.iter().filter(|(at, _)| *at < ms(10_000)).collect();
    assert!((8..=10).contains(&before.len()), "{before:?}");
    assert!(before.iter().all(|(_, bps)| *bps > 1_000_000), "{before:?}");
    let fall = told.iter().find(|(_, bps)| *bps < 1_000_000).expect("told");
    assert!(fall.0 < ms(10_800), "{fall:?}");
    let after: Vec<_> = told.iter().filter(|(at, _)| *at > ms(11_500)).collect();
    assert!(
        after.iter().all(|(_, bps)| (350_000..720_000).contains(bps)),
        "{after:?}"
    );
}

#[test]
fn where_transport_cc_is_negotiated_no_estimate_is_told() {
    let kinds = [
        ExtensionKind::Mid,
        ExtensionKind::AbsSendTime,
        ExtensionKind::TransportCc,
    ];
    assert_eq!(estimates(&mut bench(&kinds), 5, |_| 20_000_000), []);
    assert_eq!(estimates(&mut bench(&kinds[..1]), 5, |_| 20_000_000), []);
}

#[test]
fn loss_and_round_trip_of_the_publisher_are_known() {
    let mut bench = Bench::new(&[video("v", 1)]);
    assert_eq!(bench.receiver.round_trip(), None);
    for seq in [10_u16, 11, 12, 14, 15] {
        bench
            .send(ms(u64::from(seq)), &Packet::new(5, VP8, seq).mid("v"))
            .expect("kept");
    }
    // It is asked for, and comes 40 ms later.
    let asked = bench.run(ms(60));
    let (at, _) = asked
        .iter()
        .find(|(_, asked)| matches!(asked, Asked::Nack(..)))
        .expect("asked");
    let again = Packet::new(5, VP8, 13).mid("v").retransmitted(6, VP8_RTX, 1);
    bench.send(Time(at.0 + 40_000), &again).expect("kept");
    let rtt = bench.receiver.round_trip().expect("known").as_millis();
    assert!((30..120).contains(&rtt), "{rtt}");
    bench.run(ms(1_100));
    assert_eq!(u32::from(bench.receiver.fraction_lost()), 256 / 6);
}
