"""Tracking of Lift4D."""
