"""Scripts that fit the simulator's parameters to matched pixels; kept so that fits can be redone."""
