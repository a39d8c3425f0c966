"""The descriptor pool of the generated code.

Other packages (tritonclient among them) register the same message names in protobuf's default pool, and one pool
holds a name once. Ours live in a pool of their own, so that both work in one process.
"""

from __future__ import annotations

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()
