"""Capacity models: throughput by the number of clients, and fits of them to what was measured."""
