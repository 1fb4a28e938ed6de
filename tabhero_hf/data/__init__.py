"""Training data: made songs with exactly known notes."""
