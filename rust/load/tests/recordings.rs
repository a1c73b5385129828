//! The recordings of the repository, and that they can be read, written and played again and again.

use std::path::PathBuf;

use rostra_load::recording::{Codec, Packet, Recording};

fn file(name: &str) -> Recording {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/data/recordings")
        .join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Recording::read(&bytes).unwrap()
}

const ALL: [(&str, Codec, usize); 4] = [
    ("vp8-simulcast.rtp", Codec::Vp8, 3),
    ("h264-simulcast.rtp", Codec::H264, 3),
    ("vp9-l3t3-key.rtp", Codec::Vp9, 1),
    ("av1-l3t3.rtp", Codec::Av1, 1),
];

fn of(recording: &Recording, encoding: usize) -> impl Iterator<Item = &Packet> {
    let is_it = move |one: &&Packet| usize::from(one.encoding) == encoding;
    recording.packets.iter().filter(is_it)
}

#[test]
fn what_is_written_is_what_was_read() {
    for (name, codec, encodings) in ALL {
        let recording = file(name);
        assert_eq!(
            (recording.codec, recording.encodings.len()),
            (codec, encodings),
            "{name}"
        );
        assert!(recording == Recording::read(&recording.write()).unwrap(), "{name}");
    }
}

#[test]
fn what_is_no_recording_is_refused_in_words() {
    let good = file("vp9-l3t3-key.rtp").write();
    let refused = |bytes: &[u8]| Recording::read(bytes).unwrap_err();
    assert_eq!(refused(b"RIFF"), "not a recording");
    assert_eq!(refused(&good[..20]), "a recording without a head");
    assert_eq!(
        refused(&good[..good.len() - 1]),
        "the recording ends in the middle of a packet"
    );
    assert_eq!(
        refused(b"rostra-rtp 1\n{\"codec\":\"VP8\",\"encodings\":[],\"ticks\":1}\n"),
        "the head of the recording lacks something"
    );
}

#[test]
fn encodings_start_with_a_key_frame_of_one_capture_and_have_one_each_second() {
    for (name, codec, encodings) in ALL {
        let recording = file(name);
        let seconds = recording.ticks as usize / 90_000;
        assert_eq!(
            recording.packets[0].dependency.is_some(),
            matches!(codec, Codec::Vp9 | Codec::Av1),
            "{name}"
        );
        for encoding in 0..encodings {
            let packets: Vec<_> = of(&recording, encoding).collect();
            assert!(codec.starts_key_frame(&packets[0].payload), "{name} {encoding}");
            assert_eq!(packets[0].time, 0, "{name} {encoding}");
            let mut keys: Vec<u32> = packets
                .iter()
                .filter(|one| codec.starts_key_frame(&one.payload))
                .map(|one| one.time)
                .collect();
            keys.dedup();
            assert!(
                keys.len() >= seconds,
                "{name} {encoding}: {} key frames in {seconds} s",
                keys.len()
            );
            assert!(
                packets.last().unwrap().marker,
                "{name} {encoding}: ends in the middle of a frame"
            );
            assert!(
                packets.iter().all(|one| one.time < recording.ticks),
                "{name} {encoding}"
            );
        }
    }
}

#[test]
fn the_rates_of_three_encodings_are_far_apart() {
    for name in ["vp8-simulcast.rtp", "h264-simulcast.rtp"] {
        let recording = file(name);
        let seconds = f64::from(recording.ticks) / 90_000.0;
        let kbps =
            |encoding| of(&recording, encoding).map(|one| one.payload.len()).sum::<usize>() as f64 * 0.008 / seconds;
        let rates = [kbps(0), kbps(1), kbps(2)];
        assert!(
            rates[0] > 80.0 && rates[1] > 2.0 * rates[0] && rates[2] > 2.0 * rates[1],
            "{name} {rates:?}"
        );
        assert!(rates[0] + rates[1] < 600.0 + rates[2], "{name} {rates:?}");
    }
}

#[test]
fn scalable_recordings_carry_the_browsers_descriptors() {
    for name in ["vp9-l3t3-key.rtp", "av1-l3t3.rtp"] {
        let recording = file(name);
        assert!(recording.packets.iter().all(|one| one.dependency.is_some()), "{name}");
        // A key frame's descriptor has the template structure: more than the three mandatory bytes.
        assert!(recording.packets[0].dependency.as_ref().unwrap().len() > 16, "{name}");
        assert!(recording.packets.iter().any(|one| one.allocation.is_some()), "{name}");
        assert!(recording.packets.iter().any(|one| one.captured.is_some()), "{name}");
    }
}

#[test]
fn picture_numbers_go_on_when_it_starts_again() {
    for (name, codec, encodings) in ALL {
        let recording = file(name);
        if codec == Codec::H264 {
            // It has no picture numbers.
            continue;
        }
        let numbers = |packet: &Packet| codec.numbers(&packet.payload, packet.dependency.as_deref());
        for encoding in 0..encodings {
            let index = |of: usize| {
                recording
                    .packets
                    .iter()
                    .position(|one| usize::from(one.encoding) == of)
                    .unwrap()
            };
            let last = recording
                .packets
                .iter()
                .rposition(|one| usize::from(one.encoding) == encoding)
                .unwrap();
            // Frame numbers have 16 bits, picture ids 15.
            let mask = if codec == Codec::Av1 { 0xffff } else { 0x7fff };
            for turns in [1, 2, 3000] {
                let before = numbers(&recording.packet(last, turns - 1).unwrap());
                let after = numbers(&recording.packet(index(encoding), turns).unwrap());
                assert_eq!(
                    after.0.wrapping_sub(before.0) & mask,
                    1,
                    "{name} {encoding} after {turns} turns: {before:?} {after:?}"
                );
            }
        }
        let first = recording.packet(0, 1).unwrap();
        assert_eq!(first.payload.len(), recording.packets[0].payload.len());
        assert!(codec.starts_key_frame(&first.payload), "{name}");
    }
}
