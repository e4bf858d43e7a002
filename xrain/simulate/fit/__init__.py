"""Scripts that fit the simulator's parameters to matched pixels, kept for the next fit."""
