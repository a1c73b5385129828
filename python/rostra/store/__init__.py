"""The port to persistence: accounts and tokens."""

from rostra.store.store import Store, StoreError, new_token_value

__all__ = ["Store", "StoreError", "new_token_value"]
