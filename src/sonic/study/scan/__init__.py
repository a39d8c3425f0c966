"""Scans: grids of loads, servers and networks, measured point by point."""
