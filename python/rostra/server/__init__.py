"""Inbound adapters: HTTP and sockets to hub calls and back."""
