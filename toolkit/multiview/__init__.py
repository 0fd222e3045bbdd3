"""Points followed through several calibrated views at once."""
