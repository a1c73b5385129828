//! What a viewer may have: which layer it chose, how much its pictures matter, and how fast its line is believed to be.

/// Which layer of a track a slot is to show. Without any wish the server chooses by the viewer's bandwidth.
///
/// `encoding`, `spatial` and `temporal` are exact: with one of them the server stops adapting in that dimension. The limits leave the
/// choice below them to the server. A wish that nothing meets is met by the next lower layer, and kept for when it can be met.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct LayerChoice {
    /// Place among the encodings of the track, lowest first.
    pub encoding: Option<u8>,
    /// Spatial layer of SVC, 0 is the lowest; all below it come along.
    pub spatial: Option<u8>,
    /// Temporal layer, 0 is the lowest; all below it come along.
    pub temporal: Option<u8>,
    /// Highest spatial layer.
    pub max_spatial: Option<u8>,
    /// Highest temporal layer.
    pub max_temporal: Option<u8>,
    /// Widest picture, pixels. Narrower than every layer: the lowest one.
    pub max_width: Option<u16>,
    /// Highest picture, pixels.
    pub max_height: Option<u16>,
}

/// Whose picture is made better first when not all can be, and turned off last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Priority {
    /// Shares fairly with others like it.
    #[default]
    Normal,
    /// Before normal ones, and without the viewer's cap on bandwidth.
    Promoted,
    /// The pinned source: before all others.
    Main,
}

/// How a viewer's estimate begins and how eagerly its pictures improve.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Strategy {
    /// Starts at the highest layer, goes up fast.
    Quality,
    /// Starts at the highest layer that the initial estimate carries.
    #[default]
    Bandwidth,
    /// Starts at the lowest layer, goes up slowly.
    Performance,
}

/// The viewer's share of bandwidth.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BandwidthSpec {
    /// First estimate, bits per second; 0: the server's default.
    pub initial_bps: u64,
    /// Most that all its media together may take, bits per second; the main picture may exceed it.
    pub max_bps: u64,
    /// See [`Strategy`].
    pub strategy: Strategy,
    /// Go up and down one step at a time and less often.
    pub smooth: bool,
}

impl Default for BandwidthSpec {
    fn default() -> Self {
        Self {
            initial_bps: 0,
            max_bps: 12_000_000,
            strategy: Strategy::default(),
            smooth: false,
        }
    }
}

/// Bounds of the receiver's jitter buffer (playout-delay extension), milliseconds, at most 40 950.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PlayoutDelay {
    /// Least.
    pub min_ms: u16,
    /// Most.
    pub max_ms: u16,
}
