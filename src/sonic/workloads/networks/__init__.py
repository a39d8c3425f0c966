"""The networks in PyTorch, built from their specifications; extra ``torch``."""
