"""One job in several processes: children that run chunks, and the parent that hands them out and writes the output.

The parent says which chunks a child is to do, a few at a time, and gets back what is left of each of them, over one
pair of connected sockets a child. It alone opens the outputs and the journal, so that they are what one process would
have made. A child whose end of the pair closes ends: the parent is gone, however it went.
"""

from __future__ import annotations

from sonic.framework.processes.fleet import Fleet as Fleet
