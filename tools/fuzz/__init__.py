"""Change granules at random and see that each ends in a right result or a clear error."""
