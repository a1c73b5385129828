"""Pure decisions: a command and the state go in, effects come out. No I/O, no clock, no logging."""
