"""Serve models: a repository of folders, dynamic batching, gRPC and HTTP. Knows nothing of the client."""
