//! Layers of one encoding, and how many of them a viewer gets.

/// Layers that are told apart in each dimension. Encoders have three; those of a higher number count as the fourth.
pub const LAYERS: usize = 4;
/// Limits that are told apart, the one that limits nothing included.
pub const LIMITS: usize = LAYERS * LAYERS;

/// Where a packet is among the layers of its encoding. All zero where there is but one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layer {
    /// 0 is the lowest; each needs those below it of the same picture.
    pub spatial: u8,
    /// 0 is the lowest; each may need those below it.
    pub temporal: u8,
    /// Last packet of what its picture has of its spatial layer.
    pub end: bool,
    /// The picture needs no earlier one of its temporal layer or a higher one: whoever had the lower ones can go on with it.
    pub switch_up: bool,
}

impl Layer {
    /// The only layer?
    pub fn is_base(&self) -> bool {
        self.spatial == 0 && self.temporal == 0
    }
}

/// The highest layers that are forwarded. All below them come along, so what is forwarded needs nothing that is not, and a limit may
/// fall at any picture.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limit {
    /// Highest spatial layer, 255: all.
    pub spatial: u8,
    /// Highest temporal layer, 255: all.
    pub temporal: u8,
}

impl Limit {
    /// Everything.
    pub const ALL: Self = Self {
        spatial: 255,
        temporal: 255,
    };

    /// Is the layer above the limit?
    pub fn excludes(&self, layer: &Layer) -> bool {
        clamp(layer.spatial) > clamp(self.spatial) || clamp(layer.temporal) > clamp(self.temporal)
    }

    /// Does it let everything pass, whatever the encoding has?
    pub fn is_all(&self) -> bool {
        self.index() == LIMITS - 1
    }

    /// Place among the limits that are told apart.
    pub fn index(&self) -> usize {
        usize::from(clamp(self.spatial)) * LAYERS + usize::from(clamp(self.temporal))
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self::ALL
    }
}

/// The number under which a layer is counted.
pub fn clamp(layer: u8) -> u8 {
    layer.min(LAYERS as u8 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(spatial: u8, temporal: u8) -> Layer {
        Layer {
            spatial,
            temporal,
            ..Layer::default()
        }
    }

    #[test]
    fn a_limit_lets_everything_below_it_pass() {
        let limit = Limit {
            spatial: 1,
            temporal: 1,
        };
        assert!(!limit.excludes(&layer(0, 0)) && !limit.excludes(&layer(1, 1)));
        assert!(limit.excludes(&layer(2, 0)) && limit.excludes(&layer(0, 2)));
    }

    #[test]
    fn no_layer_is_above_no_limit() {
        assert!(!Limit::ALL.excludes(&layer(7, 7)));
        assert!(Limit::ALL.is_all());
        assert!(
            !Limit {
                spatial: 2,
                temporal: 255
            }
            .is_all()
        );
    }
}
