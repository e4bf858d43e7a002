"""Scores of the models on real pixels that they have never seen, for their cards."""
