//! To viewers: slots, switching, retransmission, pacing and sealing.
