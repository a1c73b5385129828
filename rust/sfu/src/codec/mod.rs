//! Codec payload headers: what a packet is (parse), and how it becomes part of another sequence (rewrite).

pub mod h264;
