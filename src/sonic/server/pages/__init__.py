"""What people and monitors read of a server: its metrics, and a page."""
