"""Inbound adapters: director, signalling sockets, page, metrics. They translate and decide nothing."""
