"""Worker processes for other people's bytes: RTMP in, RTP out (docs/protocol/rtmp.md). ``python -m rostra.ingest``."""
