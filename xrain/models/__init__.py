"""Networks, the cards that describe them, and the store they come from."""
