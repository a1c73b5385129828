"""The port to the media plane."""
