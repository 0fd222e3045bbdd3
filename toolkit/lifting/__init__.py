"""Lifting of Lift4D."""
