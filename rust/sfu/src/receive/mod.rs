//! From publishers: demultiplexing, loss recovery, feedback, and the tracks that viewers draw from.
