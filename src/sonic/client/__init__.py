"""Calling served models: transports, the choice among servers, and the faces Client and Model."""
