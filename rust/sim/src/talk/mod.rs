//! Conversations: many microphones, a few slots, and viewers who hear whoever speaks. Peers are made by hand and cost little, so that a thousand
//! conversations take minutes; keys, packets and the shard are real.

pub mod cost;
pub mod oracle;
mod peer;
mod run;
mod script;
pub mod stage;

pub use oracle::{BOUNDS, Bounds, Verdict};
pub use peer::{Line, Peer, Sound};
pub use run::{Lies, Outcome, run};
pub use script::{Script, Source, Utterance};
