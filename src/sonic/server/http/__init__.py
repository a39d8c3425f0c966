"""HTTP/1.1 for the server: heads, bodies, connections, and the routes behind them."""
