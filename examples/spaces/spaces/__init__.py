"""Spaces: rooms to talk in, on a Rostra server of which only the public interface is used."""
