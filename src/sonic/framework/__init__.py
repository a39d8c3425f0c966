"""Sources, modules, offloads and sinks: what a workflow is made of, and what runs it.

Modules declare what they consume and produce; a :class:`Workflow` lists them; :func:`sonic.run` runs it over files.
"""

from __future__ import annotations

from sonic.framework.event import Chunk as Chunk
from sonic.framework.event import EventRange as EventRange
from sonic.framework.event import FileRange as FileRange
from sonic.framework.measured import Measured as Measured
from sonic.framework.module import Analyzer as Analyzer
from sonic.framework.module import Filter as Filter
from sonic.framework.module import JobInfo as JobInfo
from sonic.framework.module import Module as Module
from sonic.framework.module import Producer as Producer
from sonic.framework.offload import Mode as Mode
from sonic.framework.offload import Offload as Offload
from sonic.framework.offload import OffloadFilter as OffloadFilter
from sonic.framework.policy import OnError as OnError
from sonic.framework.report import Report as Report
from sonic.framework.targets import Target as Target
from sonic.framework.workflow import Workflow as Workflow
