"""Methods of Lift4D."""
