"""Evaluation of Lift4D."""
