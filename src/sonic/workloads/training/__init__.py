"""Training of the networks on generated events; extra ``train``."""
