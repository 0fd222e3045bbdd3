"""Synthetic of Lift4D."""
