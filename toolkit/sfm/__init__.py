"""Sfm of Lift4D."""
