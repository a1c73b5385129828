"""What strangers do to a server, beside clients that behave (``make attack``, docs/attack.md)."""
