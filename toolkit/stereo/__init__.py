"""Stereo of Lift4D."""
