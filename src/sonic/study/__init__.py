"""What a deployment does under load, measured, fitted, simulated and planned."""
