"""The published .proto files of the protocol, and the code generated from them by ``make proto``."""
