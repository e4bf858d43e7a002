"""Train a network from simulated swaths: samples, loss, loop, export."""
