//! Reports to the publisher.

use super::*;

#[test]
fn transport_cc_feedback_names_every_arrival_whatever_became_of_the_packet() {
    let mut bench = Bench::new(&[audio("a", 1), video("v", 2)]);
    let sent = [
        (1_000, 100, Packet::new(1, OPUS, 1).mid("a")),
        (2_250, 101, Packet::new(2, VP8, 1).mid("v")),
        // Lost: 102. Padding, and a packet that no m-line has.
        (9_500, 103, Packet::new(2, VP8, 2).payload(&[])),
        (30_000, 104, Packet::new(3, 55, 2)),
    ];
    let mut packet_padding = sent.clone();
    packet_padding[2].2.padding = 50;
    for (at, seq, packet) in &packet_padding {
        let packet = Packet {
            transport_cc: Some(*seq),
            ..packet.clone()
        };
        let _ = bench.send(Time(*at), &packet);
    }
    let asked = bench.run(ms(60));
    let expected: Vec<_> = [100, 101, 102, 103, 104]
        .into_iter()
        .map(|seq| {
            let arrival = sent.iter().find(|(_, number, _)| *number == seq);
            (seq, arrival.map(|(at, _, _)| i64::try_from(*at).expect("small") / 250))
        })
        .collect();
    assert_eq!(asked, [(Time(51_000), Asked::TransportCc(expected))]);
    assert_eq!(bench.run(ms(500)), [], "no packets, no feedback");
}

#[test]
fn transport_cc_feedback_comes_every_50_to_100_ms_while_packets_come() {
    let mut bench = Bench::new(&[video("v", 1)]);
    let mut times = Vec::new();
    for step in 0..200_u16 {
        let packet = Packet {
            transport_cc: Some(step),
            ..Packet::new(2, VP8, step).mid("v")
        };
        let now = ms(u64::from(step) * 5);
        times.extend(bench.run(now).into_iter().map(|(at, _)| at));
        bench.send(now, &packet).expect("kept");
    }
    assert!(times.len() >= 10);
    for pair in times.windows(2) {
        assert!((50..=100).contains(&pair[1].since(pair[0]).as_millis()), "{times:?}");
    }
}

#[test]
fn a_receiver_report_goes_out_each_second_and_counts_losses_and_the_last_sender_report() {
    let mut bench = Bench::new(&[video("v", 1)]);
    for seq in [10_u16, 11, 12, 14] {
        let packet = Packet::new(5, VP8, seq).mid("v").timestamp(0);
        bench.send(ms(0), &packet).expect("kept");
    }
    bench.rtcp(ms(500), |out| {
        out.sender_report(Ssrc(5), 0x0102_0304_0506_0708, 0, 4, 4, &[])
    });
    let reports: Vec<_> = bench
        .poll(ms(1000))
        .into_iter()
        .filter(|asked| matches!(asked, Asked::Report(_)))
        .collect();
    assert_eq!(
        reports,
        [Asked::Report(vec![ReportBlock {
            ssrc: Ssrc(5),
            fraction_lost: 51,
            cumulative_lost: 1,
            highest_seq: 14,
            jitter: 0,
            last_sr: 0x0304_0506,
            delay_since_sr: 32_768,
        }])]
    );
}

#[test]
fn reports_fall_silent_with_the_publisher_and_so_does_the_rate() {
    let mut bench = Bench::new(&[video("v", 1)]);
    for step in 0..100_u16 {
        bench
            .send(ms(u64::from(step) * 10), &Packet::new(5, VP8, step).mid("v"))
            .expect("kept");
    }
    assert!(bench.view(0, 0).is_some_and(|view| view.rate_bps > 0));
    bench.run(ms(10_000));
    assert_eq!(bench.receiver.next_timeout(), None);
    assert_eq!(bench.view(0, 0).map(|view| view.rate_bps), Some(0));
}

#[test]
fn many_sources_are_reported_in_several_datagrams() {
    let specs: Vec<_> = (0..50).map(|index| audio(&format!("{index}"), index)).collect();
    let mut bench = Bench::new(&specs);
    for (index, mid) in (0..50).zip(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"].iter().cycle()) {
        // Ten m-lines by one digit, the rest by two.
        let name: &'static str = match index / 10 {
            0 => mid,
            tens => format!("{tens}{mid}").leak(),
        };
        bench
            .send(ms(0), &Packet::new(100 + index, OPUS, 1).mid(name))
            .expect("kept");
    }
    let reports = bench.poll(ms(1000));
    let sizes: Vec<_> = reports
        .iter()
        .map(|asked| match asked {
            Asked::Report(blocks) => blocks.len(),
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    assert_eq!(sizes, [31, 19]);
}

#[test]
fn more_requests_than_one_datagram_holds_are_spread_over_several() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let specs: Vec<_> = (1..).zip(names).map(|(id, name)| video(name, id)).collect();
    let mut bench = Bench::new(&specs);
    for (ssrc, name) in (1..).zip(names) {
        // Losses more than 16 apart take four bytes each.
        for seq in (0..1001_u16).filter(|seq| seq % 20 != 10) {
            let packet = Packet::new(ssrc, VP8, seq).mid(name).timestamp(0);
            bench.send(ms(0), &packet).expect("kept");
        }
    }
    let mut asked = Vec::new();
    for request in bench.poll(ms(10)) {
        let Asked::Nack(ssrc, seqs) = request else {
            panic!("unexpected {request:?}")
        };
        asked.extend(seqs.into_iter().map(|seq| (ssrc, seq)));
    }
    let lost = |ssrc| (0..50_u16).map(move |step| (ssrc, step * 20 + 10));
    assert_eq!(asked, (1..=8).flat_map(lost).collect::<Vec<_>>());
    assert_eq!(bench.receiver.nacks_out, 400);
}
