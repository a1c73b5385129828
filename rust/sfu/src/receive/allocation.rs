//! Video layers allocation (`video-layers-allocation00`): what a publisher means to send of each of its encodings.

use crate::codec::bits::Bits;
use crate::report::Target;

/// Encodings that it can tell of.
const STREAMS: usize = 4;

/// What one packet told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Allocation {
    /// Place of the encoding that carried it.
    pub own: u8,
    /// What is meant of each encoding, all of its layers included; without a rate it is not sent. In the order of the publisher.
    pub targets: [Target; STREAMS],
    /// How many encodings there are.
    pub streams: u8,
}

/// Reads one; `None` when it is malformed.
pub fn read(bytes: &[u8]) -> Option<Allocation> {
    if bytes == [0] {
        return Some(Allocation::default());
    }
    let mut bits = Bits::new(bytes);
    let own = bits.take(2)? as u8;
    let streams = bits.take(2)? as u8 + 1;
    let shared = bits.take(4)?;
    let mut layers = [shared; STREAMS];
    if shared == 0 {
        for layers in layers.iter_mut().take(usize::from(streams)) {
            *layers = bits.take(4)?;
        }
        align(&mut bits)?;
    }
    let spatial = |stream: u32| (0..4).filter(|bit| stream >> bit & 1 == 1).count();
    let mut temporal = [1; STREAMS * 4];
    let count = layers
        .iter()
        .take(usize::from(streams))
        .map(|stream| spatial(*stream))
        .sum();
    for temporal in temporal.iter_mut().take(count) {
        *temporal = bits.take(2)? + 1;
    }
    align(&mut bits)?;
    let mut temporal = temporal.into_iter();
    let mut targets = [Target::default(); STREAMS];
    for (target, stream) in targets.iter_mut().zip(layers).take(usize::from(streams)) {
        for _ in 0..spatial(stream) {
            let mut highest = 0;
            // Each is all that is needed for its layer: those below it of its picture, and in SVC the spatial ones that it builds on.
            for _ in 0..temporal.next()? {
                highest = leb128(&mut bits)?;
            }
            target.bps = target.bps.max(highest.saturating_mul(1000));
        }
    }
    read_sizes(&mut bits, &mut targets, &layers, streams);
    Some(Allocation { own, targets, streams })
}

/// Sizes and rates of pictures follow where the publisher tells them: five bytes for each spatial layer, of which the highest counts.
fn read_sizes(bits: &mut Bits<'_>, targets: &mut [Target; STREAMS], layers: &[u32; STREAMS], streams: u8) {
    let mut sized = *targets;
    for (target, stream) in sized.iter_mut().zip(layers).take(usize::from(streams)) {
        for _ in 0..stream.count_ones() {
            let (Some(width), Some(height), Some(fps)) = (bits.take(16), bits.take(16), bits.take(8)) else {
                // All or nothing: half of them would be of other layers than they seem.
                return;
            };
            (target.width, target.height, target.fps) = (width + 1, height + 1, fps as u8);
        }
    }
    *targets = sized;
}

fn align(bits: &mut Bits<'_>) -> Option<()> {
    while !bits.at().is_multiple_of(8) {
        bits.flag()?;
    }
    Some(())
}

/// Seven bits a byte, the low ones first (AV1 §4.10.5), of which five bytes are more than any encoder sends.
fn leb128(bits: &mut Bits<'_>) -> Option<u64> {
    let mut value = 0;
    for byte in 0..5 {
        let more = bits.flag()?;
        value |= u64::from(bits.take(7)?) << (7 * byte);
        if !more {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_encodings_of_one_layer_have_a_target_each() {
        // Stream 2 of three, all with spatial layer 0 and one temporal layer: 150, 500 and 2 500 kb/s.
        let bytes = [0xa1, 0x00, 0x96, 0x01, 0xf4, 0x03, 0xc4, 0x13];
        let read = read(&bytes).expect("well formed");
        assert_eq!((read.own, read.streams), (2, 3));
        assert_eq!(read.targets.map(|target| target.bps), [150_000, 500_000, 2_500_000, 0]);
        assert!(read.targets.iter().all(|target| (target.width, target.fps) == (0, 0)));
    }

    #[test]
    fn the_size_of_an_encoding_is_that_of_its_highest_spatial_layer() {
        // One stream of two spatial layers, 100 and 300 kb/s, 320×180 and 640×360, 15 and 30 pictures a second.
        let bytes = [
            0x03, 0x00, 0x64, 0xac, 0x02, 0x01, 0x3f, 0x00, 0xb3, 15, 0x02, 0x7f, 0x01, 0x67, 30,
        ];
        let target = |bytes: &[u8]| read(bytes).map(|read| read.targets[0]);
        let whole = Target {
            bps: 300_000,
            width: 640,
            height: 360,
            fps: 30,
        };
        assert_eq!(target(&bytes), Some(whole));
        let rates = Target {
            bps: 300_000,
            ..Target::default()
        };
        assert_eq!(target(&bytes[..14]), Some(rates), "cut: the rates stand");
    }

    #[test]
    fn the_highest_of_the_layers_of_an_encoding_is_its_target() {
        // Two streams; the first has two spatial layers of two temporal ones, the second none.
        let bytes = [0x10, 0x30, 0x50, 0x0a, 0x14, 0x1e, 0x28];
        assert_eq!(
            read(&bytes).map(|read| read.targets.map(|target| target.bps)),
            Some([40_000, 0, 0, 0])
        );
    }

    #[test]
    fn nothing_is_sent_or_nothing_is_understood() {
        assert_eq!(read(&[0]), Some(Allocation::default()));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[0xa1, 0x00, 0x96, 0x01, 0xf4]), None, "cut");
        assert_eq!(read(&[0x01, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), None, "endless");
    }
}
