//! Descriptors as encoders make them, written bit by bit from the tables of the specification: for tests.

/// One line of a structure: spatial and temporal layer, indications (`-` not present, `D` discardable, `S` switch, `R` required), frame
/// differences, chain differences.
type Line = (u8, u8, &'static str, &'static [u32], &'static [u32]);

/// A structure.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Lowest template id.
    pub first_id: u8,
    /// Decode targets.
    pub targets: u32,
    /// Chains.
    pub chains: u32,
    /// Templates.
    pub lines: &'static [Line],
    /// Of each spatial layer.
    pub sizes: &'static [(u16, u16)],
}

/// Three temporal layers.
pub const L1T3: Sample = Sample {
    first_id: 0,
    targets: 3,
    chains: 1,
    lines: &[
        (0, 0, "SSS", &[], &[0]),
        (0, 0, "SSS", &[4], &[4]),
        (0, 1, "-DS", &[2], &[2]),
        (0, 2, "--D", &[1], &[1]),
        (0, 2, "--D", &[1], &[3]),
    ],
    sizes: &[(640, 360)],
};

/// Two spatial layers, the higher one predicted from the lower one in key pictures only.
pub const L2T1_KEY: Sample = Sample {
    first_id: 60,
    targets: 2,
    chains: 2,
    lines: &[
        (0, 0, "S-", &[2], &[2, 1]),
        (0, 0, "SS", &[], &[0, 0]),
        (1, 0, "-S", &[2], &[1, 2]),
        (1, 0, "-S", &[1], &[1, 1]),
    ],
    sizes: &[(320, 180), (640, 360)],
};

#[derive(Default)]
struct Writer {
    bits: Vec<bool>,
}

impl Writer {
    fn put(&mut self, value: u32, count: u32) {
        self.bits.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn non_symmetric(&mut self, value: u32, of: u32) {
        let width = 32 - of.leading_zeros();
        let short = (1 << width) - of;
        if value < short {
            self.put(value, width - 1);
        } else {
            self.put(value + short, width);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bits
            .chunks(8)
            .map(|chunk| {
                chunk
                    .iter()
                    .enumerate()
                    .fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at))
            })
            .collect()
    }
}

impl Sample {
    fn structure(&self, out: &mut Writer) {
        out.put(u32::from(self.first_id), 6);
        out.put(self.targets - 1, 5);
        for (at, line) in self.lines.iter().enumerate() {
            let next = match self.lines.get(at + 1) {
                None => 3,
                Some(next) if next.0 > line.0 => 2,
                Some(next) if next.1 > line.1 => 1,
                Some(_) => 0,
            };
            out.put(next, 2);
        }
        for indication in self.lines.iter().flat_map(|line| line.2.chars()) {
            out.put("-DSR".find(indication).unwrap() as u32, 2);
        }
        for (_, _, _, differences, _) in self.lines {
            for difference in *differences {
                out.put(1, 1);
                out.put(difference - 1, 4);
            }
            out.put(0, 1);
        }
        out.non_symmetric(self.chains, self.targets + 1);
        if self.chains > 0 {
            for target in 0..self.targets {
                out.non_symmetric(target.min(self.chains - 1), self.chains);
            }
            for difference in self.lines.iter().flat_map(|line| line.4) {
                out.put(*difference, 4);
            }
        }
        out.put(u32::from(!self.sizes.is_empty()), 1);
        for (width, height) in self.sizes {
            out.put(u32::from(width - 1), 16);
            out.put(u32::from(height - 1), 16);
        }
    }

    /// The descriptor of a packet of a frame by line `line`.
    pub fn descriptor(
        &self,
        ends: (bool, bool),
        line: u8,
        number: u16,
        structure: bool,
        active: Option<u32>,
    ) -> Vec<u8> {
        let mut out = Writer::default();
        out.put(u32::from(ends.0), 1);
        out.put(u32::from(ends.1), 1);
        out.put(u32::from((self.first_id + line) & 0x3f), 6);
        out.put(u32::from(number), 16);
        if structure || active.is_some() {
            out.put(u32::from(structure), 1);
            out.put(u32::from(active.is_some()), 1);
            out.put(0, 3);
            if structure {
                self.structure(&mut out);
            }
            if let Some(active) = active {
                out.put(active, self.targets);
            }
        }
        out.bytes()
    }
}
