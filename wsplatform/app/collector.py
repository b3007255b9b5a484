"""The garbage collector of a process that serves."""

from __future__ import annotations

import gc


def collect_seldom() -> None:
    """Tune the garbage collector for a process that is up, and will hold many objects for long.

    A full collection stops the loop for some 0.2 µs per object that it looks at. What a process has loaded by now
    (80,000 objects) stays, so it is looked at no more. A connection adds eleven, and leaves no cycle when it closes: by
    Python's own thresholds, which suit short scripts, the collector took a tenth of the CPU of a storm of connects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
