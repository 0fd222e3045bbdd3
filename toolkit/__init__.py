"""Lift4D: video in, 4D out."""
