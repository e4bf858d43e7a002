"""What every radiometer of the constellation sees over rain that is known."""
