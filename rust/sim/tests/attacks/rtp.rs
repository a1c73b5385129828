//! Points 16, 17 and 19: SRTP and RTP from somebody who has keys.

use rostra_sfu::ids::Ssrc;
use rostra_sfu::reason::DropReason;

use crate::common::peer::{MID, OPUS, Peer, TRANSPORT_CC, VP8, VP8_RTX};
use crate::common::stage::Stage;

/// A VP8 packet that starts a key picture.
const KEY: &[u8] = &[0x10, 0x10, 1, 2, 3, 4, 5, 6, 7, 8];

/// The attacker sends a plaintext as it is, sealed; exactly `reason` is counted, and nothing is kept.
fn refused(stage: &mut Stage, what: &str, plain: &[u8], header_len: usize, reason: DropReason) {
    let index = u64::from(u16::from_be_bytes([plain[2], plain[3]]));
    let sealed = stage.attacker.seal(plain, header_len, index);
    let before = stage.bench.shard.stats();
    stage.bench.raw(stage.attacker.address, &sealed);
    let after = stage.bench.shard.stats();
    assert_eq!(after.rtp_in, before.rtp_in, "{what}: kept");
    let counted: Vec<_> = after
        .dropped
        .iter()
        .filter(|(reason, count)| *count > before.dropped.get(*reason))
        .map(|(reason, _)| reason)
        .collect();
    assert_eq!(counted, [reason], "{what}");
}

/// A fixed header: version and flags, marker and type, number, zero timestamp, SSRC.
fn header(flags: u8, payload_type: u8, seq: u16, ssrc: Ssrc) -> Vec<u8> {
    let mut bytes = vec![0x80 | flags, payload_type];
    bytes.extend(seq.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(ssrc.0.to_be_bytes());
    bytes
}

#[test]
fn a16_bad_tags_and_replays_are_counted_and_change_nothing() {
    let mut stage = Stage::new();
    let frame = stage.publisher.frame(stage.bench.now);
    let address = stage.publisher.address;
    let before = stage.bench.shard.stats();
    let mut bad = 0;
    for datagram in &frame {
        for at in [2, 8, 30, datagram.len() - 1] {
            let mut wrong = datagram.clone();
            wrong[at] ^= 0x40;
            stage.bench.raw(address, &wrong);
            bad += 1;
        }
        for len in [12, 20, datagram.len() - 1] {
            stage.bench.raw(address, &datagram[..len]);
            bad += 1;
        }
    }
    let after = stage.bench.shard.stats();
    assert_eq!(after.rtp_in, before.rtp_in);
    let counted: u64 = [DropReason::SrtpAuth, DropReason::RtpMalformed, DropReason::SrtpReplay]
        .iter()
        .map(|reason| after.dropped.get(*reason) - before.dropped.get(*reason))
        .sum();
    assert_eq!(counted, bad);
    assert!(after.dropped.get(DropReason::SrtpAuth) - before.dropped.get(DropReason::SrtpAuth) > bad / 2);
    for datagram in &frame {
        stage.bench.raw(address, datagram);
    }
    let replays = stage.bench.dropped(DropReason::SrtpReplay);
    for _ in 0..10 {
        for datagram in &frame {
            stage.bench.raw(address, datagram);
        }
    }
    assert_eq!(
        stage.bench.dropped(DropReason::SrtpReplay) - replays,
        10 * frame.len() as u64
    );
    let report = stage.viewer.feedback(|writer| {
        writer.receiver_report(Ssrc(1), &[]);
    });
    let replays = stage.bench.dropped(DropReason::SrtpReplay);
    for _ in 0..3 {
        stage.bench.raw(stage.viewer.address, &report);
    }
    assert_eq!(stage.bench.dropped(DropReason::SrtpReplay) - replays, 2);
    stage.unharmed();
}

#[test]
fn a16_the_rollover_counter_rolls_over_unnoticed() {
    // Just before the end of the numbers.
    let mut stage = Stage::with(|publisher| {
        publisher.video_index = 65_536 - 60;
        publisher.audio_index = 65_536 - 20;
    });
    assert!(stage.publisher.video_index < 65_536 && stage.publisher.audio_index < 65_536);
    stage.unharmed();
    stage.unharmed();
    stage.unharmed();
    assert!(stage.publisher.video_index > 65_536 && stage.publisher.audio_index > 65_536);
}

#[test]
fn a16_one_ssrc_in_two_transports_is_two_sources() {
    let mut stage = Stage::new();
    let mut twin = Peer::new(9);
    twin.spec.receive[1].encodings[0].ssrc = Some(stage.publisher.video_ssrc());
    twin.spec.receive[1].encodings[0].rtx_ssrc = Some(stage.publisher.rtx_ssrc());
    twin.spec.slots[0].ssrc = stage.viewer.slot_ssrc(0);
    twin.connect(&mut stage.bench);
    let video = stage.publisher.video_track();
    stage.bench.bind(twin.id, "0", video);
    stage.bench.bind(stage.viewer.id, "1", twin.video_track());
    for _ in 0..10 {
        twin.send_frame(&mut stage.bench);
        stage.play(1);
        twin.hear(&mut stage.bench);
    }
    assert!(stage.viewer.pictures(1) >= 9, "{}", stage.viewer.pictures(1));
    assert!(twin.pictures(0) >= 9, "{}", twin.pictures(0));
    stage.unharmed();
}

#[test]
fn a16_nobody_sends_into_a_track_that_is_not_its_own() {
    let mut stage = Stage::new();
    let (publisher, viewer) = (stage.publisher.video_ssrc(), stage.viewer.slot_ssrc(0));
    let (audio, video) = (stage.attacker.audio_ssrc(), stage.attacker.video_ssrc());
    let (shown, rtp_out) = (stage.viewer.rtp.len(), stage.bench.shard.stats().rtp_out);
    // The publisher's SSRC and number, from the attacker's transport: the attacker's own m-line, as nobody watches it.
    let sealed = stage.attacker.frame(stage.bench.now);
    for datagram in &sealed {
        stage.bench.raw(stage.attacker.address, datagram);
    }
    let (plain, len) = stage.attacker.packet(publisher, VP8, Some("v"), 1040, 0, true, KEY);
    let datagram = stage.attacker.seal(&plain, len, 1040);
    stage.bench.raw(stage.attacker.address, &datagram);
    // From the publisher's address, with the attacker's keys.
    let (plain, len) = stage.attacker.packet(publisher, VP8, Some("v"), 30_000, 0, true, KEY);
    let datagram = stage.attacker.seal(&plain, len, 30_000);
    let before = stage.bench.dropped(DropReason::SrtpAuth);
    stage.bench.raw(stage.publisher.address, &datagram);
    stage.bench.raw(stage.viewer.address, &datagram);
    assert!(stage.bench.dropped(DropReason::SrtpAuth) > before);
    // Mids of others, mids that nobody has, and mids that contradict the SSRC.
    let strangers = [
        (Ssrc(777_777), VP8, Some("0")),
        (Ssrc(777_777), VP8, Some("nobody")),
        (audio, OPUS, Some("v")),
        (video, VP8, Some("a")),
        (viewer, VP8, Some("0")),
    ];
    for (n, (ssrc, payload_type, name)) in (1..).zip(strangers) {
        let sound = stage.attacker.sound(stage.bench.now);
        stage.bench.raw(stage.attacker.address, &sound);
        let (plain, len) = stage.attacker.packet(ssrc, payload_type, name, 5000 + n, 0, true, KEY);
        refused(
            &mut stage,
            &format!("{ssrc:?} {name:?}"),
            &plain,
            len,
            DropReason::UnknownSsrc,
        );
    }
    let (plain, len) = stage.attacker.packet(video, 33, Some("v"), 6000, 0, true, KEY);
    refused(&mut stage, "payload type", &plain, len, DropReason::UnknownPayloadType);
    stage.bench.pass(crate::common::ms(20));
    stage.viewer.hear(&mut stage.bench);
    assert_eq!(
        (stage.viewer.rtp.len(), stage.bench.shard.stats().rtp_out),
        (shown, rtp_out),
        "the viewer saw none of it"
    );
    stage.unharmed();
}

#[test]
fn a16_a_flood_of_ssrcs_ends_at_a_cap() {
    let mut stage = Stage::new();
    for n in 0..2000_u32 {
        let (plain, len) = stage
            .attacker
            .packet(Ssrc(0x5000_0000 + n), VP8, Some("v"), 7, 0, true, KEY);
        let datagram = stage.attacker.seal(&plain, len, 7);
        stage.bench.raw(stage.attacker.address, &datagram);
    }
    assert!(stage.bench.dropped(DropReason::TooManySsrcs) >= 2000 - 256);
    stage.unharmed();
}

#[test]
fn a17_padding_of_zero_or_of_more_than_there_is_is_dropped() {
    let mut stage = Stage::new();
    let ssrc = stage.attacker.video_ssrc();
    for (seq, (what, padding)) in (100..).zip([("none", 0_u8), ("too much", 255), ("one too many", 12)]) {
        let mut plain = header(0x20, VP8, seq, ssrc);
        plain.extend([0x10, 0x10, 1, 2, 3, 4, 5, 6, 7, 8]);
        plain.push(padding);
        refused(&mut stage, what, &plain, 12, DropReason::RtpMalformed);
    }
    // Padding only: a probe.
    let mut plain = header(0x20, VP8, 200, ssrc);
    plain.extend([0, 0, 0, 4]);
    refused(&mut stage, "nothing else", &plain, 12, DropReason::Padding);
    stage.unharmed();
}

#[test]
fn a17_contributing_sources_and_extensions_that_overrun_are_dropped() {
    let mut stage = Stage::new();
    let ssrc = stage.attacker.video_ssrc();
    // 15 contributing sources in a packet that has room for none.
    let mut short = header(0x0f, VP8, 300, ssrc);
    short.extend(KEY);
    refused(
        &mut stage,
        "15 sources of nothing",
        &short,
        12,
        DropReason::RtpMalformed,
    );
    let mut extension = header(0x10, VP8, 301, ssrc);
    extension.extend([0xbe, 0xde, 0xff, 0xff]);
    extension.extend(KEY);
    refused(
        &mut stage,
        "an extension of 256 KB",
        &extension,
        12,
        DropReason::RtpMalformed,
    );
    let mut cut = header(0x10, VP8, 302, ssrc);
    cut.extend([0xbe, 0xde]);
    refused(&mut stage, "half an extension", &cut, 12, DropReason::RtpMalformed);
    // Whole ones are well.
    let mut whole = header(0x0f, VP8, 1000, ssrc);
    whole.extend([9; 60]);
    whole.extend(KEY);
    let before = stage.bench.shard.stats().rtp_in;
    let sealed = stage.attacker.seal(&whole, 72, 1000);
    stage.bench.raw(stage.attacker.address, &sealed);
    assert_eq!(stage.bench.shard.stats().rtp_in, before + 1);
    stage.unharmed();
}

#[test]
fn a17_extension_elements_that_overrun_are_not_read() {
    let mut stage = Stage::new();
    // An SSRC that only its mid could explain; payload type 96 alone would do as well, so a second video m-line forbids that.
    let mut peer = Peer::new(9);
    let mut second = peer.spec.receive[1].clone();
    second.mid = crate::common::mid("w");
    second.track = rostra_sfu::ids::TrackId(99);
    second.encodings = vec![rostra_sfu::command::EncodingSpec::default()];
    peer.spec.receive.push(second);
    peer.connect(&mut stage.bench);
    let elements: [(&str, u16, &[u8]); 7] = [
        ("one byte: longer than the rest", 0xbede, &[MID << 4 | 7, b'w', 0, 0]),
        (
            "one byte: sixteen",
            0xbede,
            &[TRANSPORT_CC << 4 | 15, 1, MID << 4, b'w'],
        ),
        ("one byte: behind the end mark", 0xbede, &[0xf0, MID << 4, b'w', 0]),
        ("one byte: length in padding", 0xbede, &[0x03, MID << 4, b'w', 0]),
        ("two byte: longer than the rest", 0x1000, &[MID, 200, b'w', 0]),
        ("two byte: no length", 0x1000, &[0, 0, 0, MID]),
        ("two byte: empty", 0x1000, &[MID, 0, 0, 0]),
    ];
    for (seq, (what, profile, data)) in (100..).zip(elements) {
        let mut plain = header(0x10, VP8, seq, Ssrc(424_242));
        plain.extend(profile.to_be_bytes());
        plain.extend([0, 1]);
        plain.extend(data);
        plain.extend(KEY);
        let sealed = peer.seal(&plain, 20, u64::from(seq));
        let before = stage.bench.dropped(DropReason::UnknownSsrc);
        stage.bench.raw(peer.address, &sealed);
        assert_eq!(stage.bench.dropped(DropReason::UnknownSsrc), before + 1, "{what}");
    }
    stage.unharmed();
}

#[test]
fn a17_empty_payloads_and_broken_descriptors_are_dropped() {
    let mut stage = Stage::new();
    let ssrc = stage.attacker.video_ssrc();
    let payloads: [(&str, &[u8], DropReason); 4] = [
        ("empty", &[], DropReason::Padding),
        ("a descriptor that goes on", &[0x90], DropReason::CodecMalformed),
        ("no picture id", &[0x90, 0x80], DropReason::CodecMalformed),
        ("half a picture id", &[0x90, 0x80, 0x80], DropReason::CodecMalformed),
    ];
    for (seq, (what, payload, reason)) in (100..).zip(payloads) {
        let mut plain = header(0, VP8, seq, ssrc);
        plain.extend(payload);
        refused(&mut stage, what, &plain, 12, reason);
    }
    // A packet of more than a network carries.
    let mut plain = header(0, VP8, 200, ssrc);
    plain.extend(KEY);
    plain.resize(1475, 0);
    refused(&mut stage, "too large", &plain, 12, DropReason::TooLarge);
    stage.unharmed();
}

#[test]
fn a17_anything_at_all_behind_good_keys_harms_nobody() {
    let mut stage = Stage::new();
    stage.bench.bind(stage.viewer.id, "1", stage.attacker.video_track());
    let mut random = rostra_sim::random::Random::new(17);
    for seq in 0..3000_u64 {
        let len = 12 + random.below(100) as usize;
        let mut plain: Vec<u8> = (0..len).map(|_| random.word() as u8).collect();
        let flags = if random.chance(0.5) { plain[0] & 0x3f } else { 0 };
        plain[0] = 0x80 | flags;
        plain[1] = [VP8, VP8 | 0x80, VP8_RTX, OPUS][random.below(4) as usize];
        plain[2..4].copy_from_slice(&(seq as u16).to_be_bytes());
        let ssrc = stage.attacker.video_ssrc().0 - 1 + random.below(3) as u32;
        plain[8..12].copy_from_slice(&ssrc.to_be_bytes());
        let sealed = stage.attacker.seal(&plain, 12, seq);
        stage.bench.raw(stage.attacker.address, &sealed);
        if seq % 500 == 0 {
            stage.play(1);
        }
    }
    assert_eq!(stage.bench.closed(stage.attacker.id), None, "it is its own affair");
    stage.unharmed();
}

#[test]
fn a19_retransmissions_of_retransmissions_are_dropped() {
    let mut stage = Stage::new();
    let (video, rtx) = (stage.attacker.video_ssrc(), stage.attacker.rtx_ssrc());
    // Of nothing, as no media came yet.
    let (plain, len) = stage
        .attacker
        .packet(rtx, VP8_RTX, Some("v"), 10, 0, true, &[0, 9, 0x10, 0x10, 1]);
    refused(&mut stage, "of nothing", &plain, len, DropReason::RtxMalformed);
    for datagram in stage.attacker.frame(stage.bench.now) {
        stage.bench.raw(stage.attacker.address, &datagram);
    }
    let newest = stage.attacker.video_index as u16;
    let far = newest.wrapping_add(20_000).to_be_bytes();
    let (plain, len) = stage
        .attacker
        .packet(rtx, VP8_RTX, Some("v"), 11, 0, true, &[far[0], far[1], 0x10, 0x10, 1]);
    refused(&mut stage, "of the far future", &plain, len, DropReason::RtxMalformed);
    let (plain, len) = stage.attacker.packet(rtx, VP8_RTX, Some("v"), 12, 0, true, &[1]);
    refused(&mut stage, "of half a number", &plain, len, DropReason::RtxMalformed);
    // The payload type of one with the SSRC of the other.
    let (plain, len) = stage.attacker.packet(video, VP8_RTX, Some("v"), 2000, 0, true, KEY);
    refused(
        &mut stage,
        "type on the media SSRC",
        &plain,
        len,
        DropReason::RtxMalformed,
    );
    let (plain, len) = stage.attacker.packet(rtx, VP8, Some("v"), 13, 0, true, KEY);
    refused(&mut stage, "media on its SSRC", &plain, len, DropReason::RtxMalformed);
    // A retransmission inside a retransmission is unpacked once: what is inside has no descriptor that parses, or is a duplicate.
    let inner = (newest - 1).to_be_bytes();
    let before = stage.bench.shard.stats();
    for seq in 20..40 {
        let (plain, len) = stage.attacker.packet(
            rtx,
            VP8_RTX,
            Some("v"),
            seq,
            0,
            true,
            &[inner[0], inner[1], inner[0], inner[1], 0x10, 0x10, 1],
        );
        let sealed = stage.attacker.seal(&plain, len, u64::from(seq));
        stage.bench.raw(stage.attacker.address, &sealed);
    }
    assert_eq!(stage.bench.shard.stats().rtp_in, before.rtp_in, "none of them is new");
    stage.unharmed();
}

#[test]
fn a19_nobody_asks_for_retransmissions_of_retransmissions() {
    let mut stage = Stage::new();
    let rtx = stage.viewer.spec.slots[0].rtx_ssrc;
    let all: Vec<u16> = (0..200).collect();
    let before = stage.bench.shard.stats();
    let nack = stage.viewer.feedback(|writer| assert!(writer.nack(Ssrc(1), rtx, &all)));
    stage.bench.raw(stage.viewer.address, &nack);
    stage.bench.pass(crate::common::ms(100));
    let after = stage.bench.shard.stats();
    assert_eq!(after.retransmissions_out, before.retransmissions_out);
    assert_eq!(
        after.dropped.get(DropReason::FeedbackUnknownSsrc),
        before.dropped.get(DropReason::FeedbackUnknownSsrc) + 1
    );
    stage.unharmed();
}
