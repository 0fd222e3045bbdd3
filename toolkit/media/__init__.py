"""Media of Lift4D."""
