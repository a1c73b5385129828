//! PyO3 conversions and nothing else.
