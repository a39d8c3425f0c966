"""One execution: requests checked, put together, run, and taken apart again."""
