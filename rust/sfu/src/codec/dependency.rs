//! The dependency descriptor (AV1 RTP payload format 1.0, appendix A): which frame a packet has a piece of and what that frame is for, in
//! the clear whatever becomes of the payload.
//!
//! Reading happens once, at arrival, with the structure that the encoding sent with its last key frame. Writing copies the bits of the
//! packet and changes three fields: frame numbers and template ids go on where another source stopped, and the decode targets that a
//! viewer's limit cuts off are declared inactive on every packet, so that its decoder does not wait for them.

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod sample;

use super::bits::Bits;
use crate::layer::{LAYERS, Layer, Limit, clamp};
use crate::rtp::bytes::byte;

/// Longest descriptor that is read, bytes. That of `L3T3` with its structure has about 90.
pub const MAX_LEN: usize = 200;
/// What rewriting may add: the flags and the bitmask of 32 targets.
pub const MAX_GROWTH: usize = 5;
const MAX_TEMPLATES: usize = 64;
const MAX_TARGETS: usize = 32;
/// Template ids have six bits.
const TEMPLATE_MASK: u8 = 0x3f;
/// Bits of the mandatory fields, and the flags behind them.
const MANDATORY: usize = 24;
const FLAGS: usize = 5;

/// Decode target indications (appendix A.3).
const NOT_PRESENT: u8 = 0;
const SWITCH: u8 = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Template {
    spatial: u8,
    temporal: u8,
    references: bool,
    /// Indications per decode target.
    targets: [u8; MAX_TARGETS],
}

/// What the packets of one coded sequence have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Structure {
    first_id: u8,
    templates: Vec<Template>,
    target_count: u8,
    chain_count: u8,
    /// Spatial and temporal layer of each decode target.
    targets: [(u8, u8); MAX_TARGETS],
    sizes: super::Sizes,
}

impl Structure {
    /// Sizes of the pictures, 0: not told.
    pub fn sizes(&self) -> super::Sizes {
        self.sizes
    }

    /// Its lowest template id.
    pub fn first_id(&self) -> u8 {
        self.first_id
    }

    /// How many ids it takes.
    pub fn ids(&self) -> u8 {
        self.templates.len() as u8
    }

    /// Decode targets that a limit leaves, a bit each.
    fn within(&self, limit: &Limit) -> u32 {
        let count = usize::from(self.target_count);
        self.targets
            .iter()
            .take(count)
            .zip(0..)
            .filter(|((spatial, temporal), _)| {
                !limit.excludes(&Layer {
                    spatial: *spatial,
                    temporal: *temporal,
                    ..Layer::default()
                })
            })
            .fold(0, |mask, (_, bit)| mask | 1 << bit)
    }

    /// Reads one behind the flags.
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let first_id = bits.take(6)? as u8;
        let target_count = bits.take(5)? as u8 + 1;
        let count = usize::from(target_count);
        let mut templates = Vec::new();
        let (mut spatial, mut temporal) = (0, 0);
        loop {
            if templates.len() == MAX_TEMPLATES {
                return None;
            }
            templates.push(Template {
                spatial,
                temporal,
                references: false,
                targets: [NOT_PRESENT; MAX_TARGETS],
            });
            match bits.take(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => break,
            }
        }
        for template in &mut templates {
            for target in template.targets.iter_mut().take(count) {
                *target = bits.take(2)? as u8;
            }
        }
        for template in &mut templates {
            while bits.flag()? {
                template.references = true;
                bits.take(4)?;
            }
        }
        let chain_count = bits.non_symmetric(u32::from(target_count) + 1)? as u8;
        if chain_count > 0 {
            for _ in 0..target_count {
                bits.non_symmetric(u32::from(chain_count))?;
            }
            for _ in 0..templates.len() {
                bits.take(4 * u32::from(chain_count))?;
            }
        }
        let mut targets = [(0, 0); MAX_TARGETS];
        for template in &templates {
            for (target, indication) in targets.iter_mut().zip(template.targets) {
                if indication != NOT_PRESENT {
                    *target = (target.0.max(template.spatial), target.1.max(template.temporal));
                }
            }
        }
        let mut sizes = super::Sizes::default();
        if bits.flag()? {
            for layer in 0..=usize::from(spatial) {
                let (width, height) = (bits.take(16)?, bits.take(16)?);
                if let Some(size) = sizes.get_mut(layer) {
                    let pixels = |minus_one: u32| u16::try_from(minus_one + 1).unwrap_or(u16::MAX);
                    *size = (pixels(width), pixels(height));
                }
            }
        }
        Some(Self {
            first_id,
            templates,
            target_count,
            chain_count,
            targets,
            sizes,
        })
    }
}

/// The descriptor of one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dependency {
    /// First packet of a frame.
    pub frame_start: bool,
    /// Last packet of a frame.
    pub frame_end: bool,
    /// Frames of one encoding by number, modulo 2¹⁶.
    pub frame_number: u16,
    /// Its place among the layers.
    pub layer: Layer,
    /// The frame refers to none before.
    pub key: bool,
    /// The packet carries the structure.
    pub has_structure: bool,
    /// Layers that a decoder can go on with from this frame, a bit for each place in the order of [`Limit::index`].
    pub switches: u16,
}

/// What a viewer's packets have another of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shift {
    /// Added to frame numbers.
    pub frame_number: u16,
    /// Added to template ids, modulo 64.
    pub template: u8,
}

/// Reads one. A structure in it replaces `structure`, which may be that of an earlier packet. `None` when it is malformed, or its
/// structure never came.
pub fn read(bytes: &[u8], structure: &mut Option<Box<Structure>>) -> Option<Dependency> {
    if bytes.len() > MAX_LEN {
        return None;
    }
    let mut bits = Bits::new(bytes);
    let (frame_start, frame_end) = (bits.flag()?, bits.flag()?);
    let id = bits.take(6)? as u8;
    let frame_number = bits.take(16)? as u16;
    let flags = if bytes.len() > 3 {
        Some(Flags::read(&mut bits)?)
    } else {
        None
    };
    let flags = flags.unwrap_or_default();
    if flags.structure {
        let new = Structure::read(&mut bits)?;
        if structure.as_deref() != Some(&new) {
            *structure = Some(Box::new(new));
        }
    }
    let structure = structure.as_deref()?;
    if flags.active {
        bits.take(u32::from(structure.target_count))?;
    }
    let index = id.wrapping_sub(structure.first_id) & TEMPLATE_MASK;
    let template = structure.templates.get(usize::from(index))?;
    let mut targets = template.targets;
    if flags.custom_targets {
        for target in targets.iter_mut().take(usize::from(structure.target_count)) {
            *target = bits.take(2)? as u8;
        }
    }
    let mut references = template.references;
    if flags.custom_references {
        references = false;
        loop {
            let size = bits.take(2)?;
            if size == 0 {
                break;
            }
            references = true;
            bits.take(4 * size)?;
        }
    }
    if flags.custom_chains {
        for _ in 0..structure.chain_count {
            bits.take(8)?;
        }
    }
    let mut switches = 0;
    let count = usize::from(structure.target_count);
    for ((spatial, temporal), indication) in structure.targets.iter().zip(targets).take(count) {
        if indication == SWITCH {
            switches |= 1 << (usize::from(clamp(*spatial)) * LAYERS + usize::from(clamp(*temporal)));
        }
    }
    Some(Dependency {
        frame_start,
        frame_end,
        frame_number,
        layer: Layer {
            spatial: template.spatial,
            temporal: template.temporal,
            end: frame_end,
            switch_up: switches != 0,
        },
        key: !references,
        has_structure: flags.structure,
        switches,
    })
}

#[derive(Clone, Copy, Default)]
struct Flags {
    structure: bool,
    active: bool,
    custom_targets: bool,
    custom_references: bool,
    custom_chains: bool,
}

impl Flags {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        Some(Self {
            structure: bits.flag()?,
            active: bits.flag()?,
            custom_targets: bits.flag()?,
            custom_references: bits.flag()?,
            custom_chains: bits.flag()?,
        })
    }
}

/// Writes the descriptor as a viewer gets it and returns its length. The same arguments give the same bytes. `structure` is that of the
/// encoding; one in the packet itself has precedence.
pub fn rewrite(bytes: &[u8], structure: &Structure, shift: &Shift, limit: &Limit, out: &mut [u8]) -> Option<usize> {
    let first = byte(bytes, 0)?;
    let id = (first & TEMPLATE_MASK).wrapping_add(shift.template) & TEMPLATE_MASK;
    let number = u16::from_be_bytes([byte(bytes, 1)?, byte(bytes, 2)?]).wrapping_add(shift.frame_number);
    let [high, low] = number.to_be_bytes();
    *out.first_chunk_mut()? = [first & 0xc0 | id, high, low];
    let mut bits = Bits::new(bytes);
    bits.take(MANDATORY as u32)?;
    let flags = if bytes.len() > 3 {
        Flags::read(&mut bits)?
    } else {
        Flags::default()
    };
    if limit.is_all() && (!flags.structure || shift.template == 0) {
        // Nothing behind the mandatory fields changes.
        let rest = bytes.get(3..)?;
        out.get_mut(3..bytes.len())?.copy_from_slice(rest);
        return Some(bytes.len());
    }
    let mut own = None;
    let behind_flags = MANDATORY + FLAGS;
    if flags.structure {
        own = Structure::read(&mut bits);
        own.as_ref()?;
    }
    let structure = own.as_ref().unwrap_or(structure);
    let behind_structure = bits.at();
    let count = u32::from(structure.target_count);
    let active = if flags.active { bits.take(count)? } else { u32::MAX };
    let mut put = PutBits { out, at: MANDATORY };
    let limited = !limit.is_all();
    for flag in [
        flags.structure,
        flags.active || limited,
        flags.custom_targets,
        flags.custom_references,
        flags.custom_chains,
    ] {
        put.take(u32::from(flag), 1)?;
    }
    if flags.structure {
        put.take(
            u32::from(structure.first_id.wrapping_add(shift.template) & TEMPLATE_MASK),
            6,
        )?;
        put.copy(bytes, behind_flags + 6, behind_structure)?;
    }
    if flags.active || limited {
        put.take(active & structure.within(limit), count)?;
    }
    if bytes.len() > 3 {
        put.copy(bytes, bits.at(), bytes.len() * 8)?;
    }
    // The bits that remain of the last byte are padding.
    while !put.at.is_multiple_of(8) {
        put.take(0, 1)?;
    }
    Some(put.at / 8)
}

struct PutBits<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl PutBits<'_> {
    fn take(&mut self, value: u32, count: u32) -> Option<()> {
        for bit in (0..count).rev() {
            let place = self.out.get_mut(self.at / 8)?;
            let shift = 7 - self.at % 8;
            if self.at.is_multiple_of(8) {
                *place = 0;
            }
            *place |= ((value >> bit & 1) as u8) << shift;
            self.at += 1;
        }
        Some(())
    }

    fn copy(&mut self, bytes: &[u8], from: usize, to: usize) -> Option<()> {
        for at in from..to {
            let bit = byte(bytes, at / 8)? >> (7 - at % 8) & 1;
            self.take(u32::from(bit), 1)?;
        }
        Some(())
    }
}
