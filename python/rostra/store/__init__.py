"""The port to persistence: accounts and tokens."""

from rostra.store.migrate import StoreError
from rostra.store.store import Store, new_token_value

__all__ = ["Store", "StoreError", "new_token_value"]
