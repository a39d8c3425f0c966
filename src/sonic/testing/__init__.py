"""For tests, of Sonic and of what is built on it: fakes, strategies, and suites that every implementation passes."""
