"""Inbound adapters: director, signalling sockets, WHIP, WHEP, page, metrics. They translate and decide nothing."""
