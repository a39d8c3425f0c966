"""How the requests of one model wait, which go together, and who executes them."""
