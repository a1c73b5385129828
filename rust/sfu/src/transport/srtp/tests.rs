use aws_lc_rs::aead::Aad;
use aws_lc_rs::cipher;

use super::key::*;
use super::replay::Window;
use super::*;

const PROFILES: [SrtpProfile; 3] = [
    SrtpProfile::Aes128CmSha1_80,
    SrtpProfile::AeadAes128Gcm,
    SrtpProfile::AeadAes256Gcm,
];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn master(profile: SrtpProfile, seed: u8) -> KeyingHalf {
    let key: Vec<u8> = (0..profile.key_len() as u8).map(|n| n.wrapping_mul(7) ^ seed).collect();
    let salt: Vec<u8> = (0..profile.salt_len() as u8).map(|n| n.wrapping_add(seed)).collect();
    KeyingHalf::new(profile, &key, &salt).unwrap()
}

fn pair(profile: SrtpProfile) -> (SrtpOut, SrtpIn) {
    (
        SrtpOut::new(profile, &master(profile, 1)),
        SrtpIn::new(profile, &master(profile, 1)),
    )
}

fn rtp(ssrc: u32, seq: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(seq.to_be_bytes());
    packet.extend(7_u32.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(b"some payload that nobody else may read");
    packet
}

/// The SRTP packet of `rtp(ssrc, index)`.
fn sealed(out: &mut SrtpOut, ssrc: u32, index: u64) -> Vec<u8> {
    let mut packet = rtp(ssrc, index as u16);
    let len = packet.len();
    packet.resize(len + out.overhead(), 0);
    assert_eq!(out.seal_rtp(&mut packet, 12, len, index), Some(packet.len()));
    packet
}

fn open(inbound: &mut SrtpIn, sealed: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut packet = sealed.to_vec();
    let len = inbound.open_rtp(&mut packet, 12)?;
    packet.truncate(len);
    Ok(packet)
}

fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    packet
}

fn sealed_rtcp(out: &mut SrtpOut, ssrc: u32) -> Vec<u8> {
    let mut packet = rtcp(ssrc);
    let len = packet.len();
    packet.resize(len + out.rtcp_overhead(), 0);
    assert_eq!(out.seal_rtcp(&mut packet, len), Some(packet.len()));
    packet
}

fn open_rtcp(inbound: &mut SrtpIn, sealed: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut packet = sealed.to_vec();
    let len = inbound.open_rtcp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

#[test]
fn keys_are_derived_as_in_rfc_3711_b3() {
    let profile = SrtpProfile::Aes128CmSha1_80;
    let master = KeyingHalf::new(
        profile,
        &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
        &hex("0EC675AD498AFEEBB6960B3AABE6"),
    )
    .unwrap();
    let (mut key, mut salt, mut auth) = ([0; 16], [0; 14], [0; 94]);
    derive(profile, &master, 0, &mut key);
    derive(profile, &master, 1, &mut auth);
    derive(profile, &master, 2, &mut salt);
    assert_eq!(key[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(
        auth[..],
        hex(
            "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2"
        )
    );
}

#[test]
fn the_key_stream_is_that_of_rfc_3711_b2() {
    let key = counter_mode(&cipher::AES_128, &hex("2B7E151628AED2A6ABF7158809CF4F3C"));
    let mut stream = [0; 48];
    let salt = u128::from_be_bytes(hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap());
    keystream(&key, salt, 0, 0, &mut stream).unwrap();
    assert_eq!(
        stream[..],
        hex("E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB41E95B3BB0A2E8DD477901E4FCA894C0")
    );
}

#[test]
fn keys_of_256_bits_are_derived_as_in_rfc_6188_7_2() {
    // The RFC gives a salt of 112 bits, which only its own (counter mode) profile has; the derivation is the same.
    let master = KeyingHalf {
        key: hex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6")
            .try_into()
            .unwrap(),
        salt: hex("3b04803de51ee7c96423ab5b78d2").try_into().unwrap(),
    };
    let (mut key, mut salt, mut auth) = ([0; 32], [0; 14], [0; 20]);
    derive(SrtpProfile::AeadAes256Gcm, &master, 0, &mut key);
    derive(SrtpProfile::AeadAes256Gcm, &master, 1, &mut auth);
    derive(SrtpProfile::AeadAes256Gcm, &master, 2, &mut salt);
    assert_eq!(
        key[..],
        hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4")
    );
    assert_eq!(salt[..], hex("fa31791685ca444a9e07c6c64e93"));
    assert_eq!(auth[..], hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
}

/// Session keys of RFC 7714 §16 and §17: 00 01 02 …, "Quid pro quo".
fn rfc_7714(profile: SrtpProfile) -> SessionKey {
    let key: Vec<u8> = (0..profile.key_len() as u8).collect();
    SessionKey::from_session(profile, &key, b"Quid pro quo", &[])
}

#[test]
fn rtp_is_sealed_and_opened_as_in_rfc_7714_16() {
    let plain =
        hex("8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
    for (profile, cipher) in [
        (
            SrtpProfile::AeadAes128Gcm,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            SrtpProfile::AeadAes256Gcm,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let session = rfc_7714(profile);
        let mut packet = plain.clone();
        packet.resize(plain.len() + GCM_TAG, 0);
        let len = session.seal_rtp(&mut packet, 12, plain.len(), 0x5501_a0b2, 0xf17b);
        assert_eq!(len, Some(packet.len()));
        assert_eq!(packet[12..], hex(cipher));
        let len = session.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b).unwrap().unwrap();
        assert_eq!(packet[..len], plain);
    }
}

#[test]
fn rtcp_is_sealed_and_opened_as_in_rfc_7714_17() {
    let plain =
        hex("81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    for (profile, cipher) in [
        (
            SrtpProfile::AeadAes128Gcm,
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (
            SrtpProfile::AeadAes256Gcm,
            "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
    ] {
        let session = rfc_7714(profile);
        let mut packet = plain.clone();
        packet.resize(plain.len() + GCM_TAG + INDEX_LEN, 0);
        let len = session.seal_rtcp(&mut packet, plain.len(), 0x4d61_7273, 0x5d4);
        assert_eq!(len, Some(packet.len()));
        assert_eq!(packet[8..], hex(cipher));
        let word = session.index_word(&packet).unwrap();
        assert_eq!(word, 0x8000_05d4);
        let len = session.open_rtcp(&mut packet, 0x4d61_7273, word).unwrap().unwrap();
        assert_eq!(packet[..len], plain);
    }
}

#[test]
fn what_is_sealed_opens_and_nothing_readable_is_on_the_wire() {
    for profile in PROFILES {
        let (mut out, mut inbound) = pair(profile);
        let packet = sealed(&mut out, 5, 100);
        assert_eq!(packet[..12], rtp(5, 100)[..12], "the header stays in clear");
        assert!(!packet.windows(7).any(|bytes| bytes == b"payload"));
        assert_eq!(open(&mut inbound, &packet).unwrap(), rtp(5, 100));

        let first = sealed_rtcp(&mut out, 5);
        let second = sealed_rtcp(&mut out, 5);
        assert_ne!(first[8..20], second[8..20], "another index, another key stream");
        assert_eq!(open_rtcp(&mut inbound, &first).unwrap(), rtcp(5));
        assert_eq!(open_rtcp(&mut inbound, &second).unwrap(), rtcp(5));
    }
}

#[test]
fn the_same_packet_sealed_again_is_the_same_bytes() {
    for profile in PROFILES {
        let (mut out, _) = pair(profile);
        assert_eq!(sealed(&mut out, 5, 100), sealed(&mut out, 5, 100), "{profile:?}");
        assert_ne!(sealed(&mut out, 5, 100)[12..], sealed(&mut out, 5, 100 + 65_536)[12..]);
    }
}

#[test]
fn another_header_length_leaves_extensions_in_clear() {
    for profile in PROFILES {
        let (mut out, mut inbound) = pair(profile);
        let mut packet = rtp(5, 100);
        let len = packet.len();
        packet.resize(len + out.overhead(), 0);
        out.seal_rtp(&mut packet, 20, len, 100).unwrap();
        assert_eq!(packet[..20], rtp(5, 100)[..20]);
        let opened = inbound.open_rtp(&mut packet, 20).unwrap();
        assert_eq!(packet[..opened], rtp(5, 100));
    }
}

#[test]
fn a16_any_changed_bit_fails_authentication_and_makes_no_state() {
    for profile in PROFILES {
        let (mut out, mut inbound) = pair(profile);
        let packet = sealed(&mut out, 5, 100);
        for bit in 0..packet.len() * 8 {
            let mut changed = packet.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                open(&mut inbound, &changed).unwrap_err(),
                DropReason::SrtpAuth,
                "{profile:?} bit {bit}"
            );
        }
        assert_eq!(inbound.ssrcs(), 0);
        let packet = sealed_rtcp(&mut out, 5);
        for bit in 0..packet.len() * 8 {
            let mut changed = packet.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                open_rtcp(&mut inbound, &changed).unwrap_err(),
                DropReason::SrtpAuth,
                "{profile:?} bit {bit}"
            );
        }
        assert!(inbound.rtcp_sources.entries.is_empty());
    }
}

#[test]
fn a16_a_replayed_packet_is_dropped() {
    for profile in PROFILES {
        let (mut out, mut inbound) = pair(profile);
        let packet = sealed(&mut out, 5, 100);
        open(&mut inbound, &packet).unwrap();
        assert_eq!(open(&mut inbound, &packet).unwrap_err(), DropReason::SrtpReplay);
        open(&mut inbound, &sealed(&mut out, 5, 101)).unwrap();
        assert_eq!(open(&mut inbound, &packet).unwrap_err(), DropReason::SrtpReplay);
        let packet = sealed_rtcp(&mut out, 5);
        open_rtcp(&mut inbound, &packet).unwrap();
        assert_eq!(open_rtcp(&mut inbound, &packet).unwrap_err(), DropReason::SrtpReplay);
    }
}

#[test]
fn reordering_within_128_packets_is_fine_and_older_ones_are_dropped() {
    let (mut out, mut inbound) = pair(SrtpProfile::AeadAes256Gcm);
    open(&mut inbound, &sealed(&mut out, 5, 1000)).unwrap();
    open(&mut inbound, &sealed(&mut out, 5, 1000 - 127)).unwrap();
    assert_eq!(
        open(&mut inbound, &sealed(&mut out, 5, 1000 - 127)).unwrap_err(),
        DropReason::SrtpReplay
    );
    assert_eq!(
        open(&mut inbound, &sealed(&mut out, 5, 1000 - 128)).unwrap_err(),
        DropReason::SrtpReplay
    );
    open(&mut inbound, &sealed(&mut out, 5, 999)).unwrap();
    assert_eq!(
        open(&mut inbound, &sealed(&mut out, 5, 1000)).unwrap_err(),
        DropReason::SrtpReplay
    );
}

#[test]
fn a16_the_rollover_counter_wraps_forwards_and_late_packets_find_the_old_one() {
    for profile in PROFILES {
        let (mut out, mut inbound) = pair(profile);
        for index in [65_530, 65_540, 65_535, 65_536, 65_541, 65_534] {
            assert_eq!(
                open(&mut inbound, &sealed(&mut out, 5, index)).map(|packet| packet.len()),
                Ok(rtp(5, 0).len()),
                "{profile:?} index {index}"
            );
        }
        for rollover in 1..5_u64 {
            for seq in [10_000, 30_000, 50_000] {
                open(&mut inbound, &sealed(&mut out, 5, rollover * 65_536 + seq)).unwrap();
            }
        }
    }
}

#[test]
fn a_jump_of_less_than_half_the_range_is_followed() {
    let (mut out, mut inbound) = pair(SrtpProfile::AeadAes256Gcm);
    for index in [40_000, 40_000 + 32_767, 40_000 + 2 * 32_767] {
        open(&mut inbound, &sealed(&mut out, 5, index)).unwrap();
    }
    let too_far = 40_000 + 3 * 32_767 + 10;
    assert_eq!(
        open(&mut inbound, &sealed(&mut out, 5, too_far)).unwrap_err(),
        DropReason::SrtpReplay
    );
    open(&mut inbound, &sealed(&mut out, 5, 40_000 + 2 * 32_767 + 1)).unwrap();
}

#[test]
fn at_the_start_a_large_jump_stays_in_the_first_rollover() {
    let (mut out, mut inbound) = pair(SrtpProfile::AeadAes256Gcm);
    open(&mut inbound, &sealed(&mut out, 5, 10)).unwrap();
    open(&mut inbound, &sealed(&mut out, 5, 50_000)).unwrap();
}

#[test]
fn the_last_index_is_the_last() {
    let mut window = Window {
        highest: MAX_INDEX,
        seen: 1,
    };
    assert_eq!(window.guess(0), Err(DropReason::SrtpReplay));
    assert_eq!(window.guess(0xfffe), Ok(MAX_INDEX - 1));
    window.accept(MAX_INDEX - 1);
    assert!(!window.is_fresh(MAX_INDEX - 1));
    let (mut out, _) = pair(SrtpProfile::AeadAes256Gcm);
    let mut packet = rtp(5, 0);
    packet.resize(200, 0);
    assert_eq!(out.seal_rtp(&mut packet, 12, 60, MAX_INDEX + 1), None);
    out.rtcp_index = ENCRYPTED;
    assert_eq!(out.seal_rtcp(&mut packet, 60), None);
}

#[test]
fn a_packet_cut_at_any_length_is_dropped() {
    for profile in PROFILES {
        let (mut out, mut inbound) = pair(profile);
        let packet = sealed(&mut out, 5, 100);
        for len in 0..packet.len() {
            assert!(open(&mut inbound, &packet[..len]).is_err(), "{profile:?} cut at {len}");
        }
        let control = sealed_rtcp(&mut out, 5);
        for len in 0..control.len() {
            assert!(
                open_rtcp(&mut inbound, &control[..len]).is_err(),
                "{profile:?} cut at {len}"
            );
        }
        assert_eq!(inbound.ssrcs(), 0);
        assert!(open(&mut inbound, &packet).is_ok() && open_rtcp(&mut inbound, &control).is_ok());
    }
}

#[test]
fn a_header_longer_than_the_packet_or_shorter_than_rtp_is_malformed() {
    for profile in PROFILES {
        let (mut out, mut inbound) = pair(profile);
        let mut packet = sealed(&mut out, 5, 100);
        for header_len in [0, 11, packet.len() - profile.overhead() + 1, packet.len(), usize::MAX] {
            assert_eq!(inbound.open_rtp(&mut packet, header_len), Err(DropReason::RtpMalformed));
            assert_eq!(out.seal_rtp(&mut rtp(5, 100), header_len, 20, 100), None);
        }
    }
}

#[test]
fn sealing_without_room_or_with_an_index_of_another_packet_is_refused() {
    for profile in PROFILES {
        let (mut out, _) = pair(profile);
        let len = rtp(5, 100).len();
        for room in 0..out.overhead() {
            let mut packet = rtp(5, 100);
            packet.resize(len + room, 0);
            assert_eq!(out.seal_rtp(&mut packet, 12, len, 100), None);
        }
        let mut packet = rtp(5, 100);
        packet.resize(len + 32, 0);
        assert_eq!(out.seal_rtp(&mut packet, 12, len, 101), None);
        assert_eq!(out.seal_rtp(&mut packet, 12, len + 33, 100), None);
        let len = rtcp(5).len();
        for room in 0..out.rtcp_overhead() {
            let mut packet = rtcp(5);
            packet.resize(len + room, 0);
            assert_eq!(out.seal_rtcp(&mut packet, len), None);
        }
        assert_eq!(out.seal_rtcp(&mut [0; 64], 7), None, "less than a header");
    }
}

#[test]
fn a16_a_flood_of_forged_ssrcs_leaves_the_table_empty() {
    for profile in PROFILES {
        let (_, mut inbound) = pair(profile);
        let mut stranger = SrtpOut::new(profile, &master(profile, 99));
        for ssrc in 0..1_000 {
            assert_eq!(
                open(&mut inbound, &sealed(&mut stranger, ssrc, 1)).unwrap_err(),
                DropReason::SrtpAuth
            );
            assert_eq!(
                open_rtcp(&mut inbound, &sealed_rtcp(&mut stranger, ssrc)).unwrap_err(),
                DropReason::SrtpAuth
            );
        }
        assert!(inbound.rtp_sources.entries.is_empty() && inbound.rtcp_sources.entries.is_empty());
    }
}

#[test]
fn a16_another_transports_packet_does_not_disturb_the_same_ssrc_here() {
    let (mut out, mut inbound) = pair(SrtpProfile::AeadAes256Gcm);
    let mut stranger = SrtpOut::new(SrtpProfile::AeadAes256Gcm, &master(SrtpProfile::AeadAes256Gcm, 99));
    open(&mut inbound, &sealed(&mut out, 5, 100)).unwrap();
    for index in [101, 30_000, 65_000] {
        assert_eq!(
            open(&mut inbound, &sealed(&mut stranger, 5, index)).unwrap_err(),
            DropReason::SrtpAuth
        );
    }
    open(&mut inbound, &sealed(&mut out, 5, 101)).unwrap();
}

#[test]
fn one_ssrc_too_many_is_dropped_and_the_known_ones_live_on() {
    let (mut out, mut inbound) = pair(SrtpProfile::AeadAes256Gcm);
    for ssrc in 0..MAX_SSRCS as u32 {
        // An order that inserts in the middle.
        open(&mut inbound, &sealed(&mut out, ssrc.wrapping_mul(0x9E37_79B1), 1)).unwrap();
    }
    assert_eq!(
        open(&mut inbound, &sealed(&mut out, 77, 1)).unwrap_err(),
        DropReason::TooManySsrcs
    );
    for ssrc in 0..MAX_SSRCS as u32 {
        let ssrc = ssrc.wrapping_mul(0x9E37_79B1);
        assert_eq!(
            open(&mut inbound, &sealed(&mut out, ssrc, 1)).unwrap_err(),
            DropReason::SrtpReplay
        );
        open(&mut inbound, &sealed(&mut out, ssrc, 2)).unwrap();
    }
}

#[test]
fn control_packets_in_clear_are_authenticated_all_the_same() {
    for profile in PROFILES {
        let (_, mut inbound) = pair(profile);
        let session = SessionKey::derive(profile, &master(profile, 1), Use::Rtcp);
        let word = 9_u32;
        let mut packet = rtcp(5);
        match &session {
            SessionKey::Gcm { key, salt } => {
                let mut aad = packet.clone();
                aad.extend(word.to_be_bytes());
                let tag = key
                    .seal_in_place_separate_tag(rtcp_nonce(*salt, 5, word), Aad::from(&aad), &mut [])
                    .unwrap();
                packet.extend(tag.as_ref());
                packet.extend(word.to_be_bytes());
            }
            SessionKey::Cm { auth, .. } => {
                packet.extend(word.to_be_bytes());
                let tag = tag_of(auth, &packet, &[]);
                packet.extend(&tag.as_ref()[..SHA1_80_TAG]);
            }
        }
        let mut changed = packet.clone();
        changed[12] ^= 1;
        assert_eq!(open_rtcp(&mut inbound, &changed).unwrap_err(), DropReason::SrtpAuth);
        assert_eq!(open_rtcp(&mut inbound, &packet).unwrap(), rtcp(5));
        assert_eq!(open_rtcp(&mut inbound, &packet).unwrap_err(), DropReason::SrtpReplay);
    }
}

#[test]
fn an_overlong_control_packet_in_clear_is_malformed() {
    let (_, mut inbound) = pair(SrtpProfile::AeadAes128Gcm);
    let mut packet = vec![0x80; 1_600];
    packet[1_596] = 0;
    assert_eq!(inbound.open_rtcp(&mut packet), Err(DropReason::RtcpMalformed));
}

#[test]
fn keys_have_the_length_of_their_profile_and_stay_out_of_debug_output() {
    let profile = SrtpProfile::AeadAes128Gcm;
    assert!(KeyingHalf::new(profile, &[1; 16], &[2; 12]).is_some());
    assert!(KeyingHalf::new(profile, &[1; 32], &[2; 12]).is_none());
    assert!(KeyingHalf::new(profile, &[1; 16], &[2; 14]).is_none());
    assert_eq!(format!("{:?}", master(profile, 1)), "KeyingHalf(…)");
}
