"""The revisions, in order. One that was released is not changed any more."""
