"""The HTTP and WebSocket server: it reads what strangers send, with a cap on everything (docs/limits.md, ADR 13)."""
