"""Export of Lift4D."""
