"""Cameras, projections, poses, alignment, and the one place of the half pixel."""
