//! H264 payloads (RFC 6184).

/// The parameter sets that an encoding sent last, so that a viewer who joins at an IDR without them can decode.
#[derive(Clone, Debug, Default)]
pub struct ParameterSets {}
