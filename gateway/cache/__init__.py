"""Answers that were given before, and one flight for those who ask the same at the same moment."""
