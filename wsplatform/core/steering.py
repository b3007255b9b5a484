"""Which of the sockets that share a port gets the next connection: a program for the kernel, in classic BPF.

The kernel runs it for each new connection to a group of listening sockets (SO_REUSEPORT, socket(7)); it returns the
number of a socket, counted from 0 in the order in which they began to listen. Instructions and the extension that gives
random numbers: Linux, Documentation/networking/filter.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_MODULO: Final = 0x94  # BPF_ALU | BPF_MOD | BPF_K
_JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_RANDOM: Final = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_NOBODY: Final = 0xFFFFFFFF  # no such socket: the kernel chooses by a hash of the addresses
INSTRUCTION: Final = struct.Struct("=HBBI")
"""Code, how far to jump when true and when false, constant: struct sock_filter."""


def program(chosen: Sequence[int]) -> bytes:
    """Chance among `chosen`, the numbers of one or more sockets; all of them equally often."""
    code = [INSTRUCTION.pack(_LOAD, 0, 0, _RANDOM), INSTRUCTION.pack(_MODULO, 0, 0, len(chosen))]
    for place, number in enumerate(chosen):
        code += [INSTRUCTION.pack(_JUMP_EQUAL, 0, 1, place), INSTRUCTION.pack(_RETURN, 0, 0, number)]
    return b"".join((*code, INSTRUCTION.pack(_RETURN, 0, 0, _NOBODY)))


def choose(ranks: Sequence[int]) -> tuple[int, ...]:
    """The numbers of the sockets to give connections to: all of the highest rank."""
    highest = max(ranks)
    return tuple(number for number, rank in enumerate(ranks) if rank == highest)
