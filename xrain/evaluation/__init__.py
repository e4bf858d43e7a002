"""What a model is worth: scores on real matched pixels and on simulated swaths."""
