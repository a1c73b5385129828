"""Inbound adapters: director, signalling sockets, page, metrics. They translate; the hub decides nothing and they even less."""
