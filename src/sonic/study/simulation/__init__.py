"""A deployment on virtual time: batcher, pool, retries and graph as they ship, servers made of figures."""
