//! The size of the picture out of an H264 sequence parameter set (H.264 §7.3.2.1.1). Nothing else of it matters to us.

use super::bits::Bits;

/// An SPS is read up to here, bytes. The longest that an encoder for live video sends has 60.
const MAX_SPS: usize = 256;
/// Profiles whose SPS tells of chroma.
const CHROMA_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Width and height in pixels; `sps` is what follows the NAL header.
pub(super) fn size(sps: &[u8]) -> Option<(u16, u16)> {
    let mut buffer = [0; MAX_SPS];
    let len = without_emulation(sps, &mut buffer);
    let mut bits = Bits::new(buffer.get(..len)?);
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.skip_exp_golomb()?;
    let mut chroma = 1;
    let mut separate = false;
    if CHROMA_PROFILES.contains(&profile) {
        chroma = bits.exp_golomb()?;
        if chroma == 3 {
            separate = bits.flag()?;
        }
        bits.skip_exp_golomb()?;
        bits.skip_exp_golomb()?;
        bits.flag()?;
        if bits.flag()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.skip_exp_golomb()?;
    match bits.exp_golomb()? {
        0 => bits.skip_exp_golomb()?,
        1 => {
            bits.flag()?;
            bits.skip_exp_golomb()?;
            bits.skip_exp_golomb()?;
            for _ in 0..bits.exp_golomb()?.min(255) {
                bits.skip_exp_golomb()?;
            }
        }
        _ => {}
    }
    bits.skip_exp_golomb()?;
    bits.flag()?;
    let width = bits.exp_golomb()?.checked_add(1)?.checked_mul(16)?;
    let map_units = bits.exp_golomb()?.checked_add(1)?;
    let frames_only = bits.flag()?;
    let fields = if frames_only { 1 } else { 2 };
    let height = map_units.checked_mul(16)?.checked_mul(fields)?;
    if !frames_only {
        bits.flag()?;
    }
    bits.flag()?;
    let (mut cut_x, mut cut_y) = (0, 0);
    if bits.flag()? {
        // Units of cropping (H.264 table 6-1).
        let (unit_x, unit_y) = match chroma {
            1 if !separate => (2, 2 * fields),
            2 if !separate => (2, fields),
            _ => (1, fields),
        };
        let (left, right) = (bits.exp_golomb()?, bits.exp_golomb()?);
        let (top, bottom) = (bits.exp_golomb()?, bits.exp_golomb()?);
        cut_x = left.checked_add(right)?.checked_mul(unit_x)?;
        cut_y = top.checked_add(bottom)?.checked_mul(unit_y)?;
    }
    Some((
        u16::try_from(width.checked_sub(cut_x)?).ok()?,
        u16::try_from(height.checked_sub(cut_y)?).ok()?,
    ))
}

fn skip_scaling_list(bits: &mut Bits<'_>, len: usize) -> Option<()> {
    let mut last = 8;
    for _ in 0..len {
        let code = bits.exp_golomb()?;
        // Odd codes are positive (H.264 §9.1.1).
        let half = i64::from(code.div_ceil(2));
        let delta = if code % 2 == 1 { half } else { -half };
        let next = (last + delta + 256) % 256;
        if next == 0 {
            return Some(());
        }
        last = next;
    }
    Some(())
}

/// Leaves the emulation prevention bytes out (H.264 §7.4.1.1).
fn without_emulation(sps: &[u8], out: &mut [u8; MAX_SPS]) -> usize {
    let (mut len, mut zeros) = (0, 0);
    for byte in sps {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        let Some(place) = out.get_mut(len) else { break };
        *place = *byte;
        len += 1;
    }
    len
}
