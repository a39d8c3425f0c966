"""The networks in PyTorch, built from their specifications; extra ``torch``.

A network's file ends in its ``BLUEPRINTS``: by name, how it is made and served. ``catalogue`` lists them all and needs
no PyTorch.
"""
