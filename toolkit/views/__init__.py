"""Views of Lift4D."""
