"""Memory of large pictures goes back to the system, where glibc would keep it for the process."""

import ctypes
import os
import platform
from typing import Final

THRESHOLDS: Final = {
    "MALLOC_MMAP_THRESHOLD_": (-3, 4 << 20),
    "MALLOC_TRIM_THRESHOLD_": (-1, 8 << 20),
}
"""glibc's variables, the numbers by which ``mallopt`` knows them, and bytes.

Larger blocks are mapped by themselves and unmapped when they are freed. By default glibc raises
the first limit to 32 MB as such blocks are freed, which is above the 16 MB that Pillow takes at
once. The second is twice as much, as glibc has it. A batch's pixels stay below both.
"""


def return_large_blocks() -> bool:
    """Fix the limits, unless a variable of the environment has fixed one.

    Returns:
        Whether it was done: elsewhere than with glibc there is nothing to do.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in THRESHOLDS):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(number, size) == 1 for number, size in THRESHOLDS.values())
