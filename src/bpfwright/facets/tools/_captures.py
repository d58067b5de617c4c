"""Stacks that programs capture, by number."""
from __future__ import annotations

from bpfwright.facets.tools._stacks import NONE
from bpfwright.facets.tools._who import pid
from bpfwright.helpers import current
from bpfwright.maps import StackTrace
from bpfwright.spec.program import Context
from bpfwright.types import Config, L, Struct, char, u32

__all__ = ["StackChoice", "Where", "kernel_stack", "stacks", "user_stack", "where", "where_asked"]


class Where(Struct):
    """Who, and where: the numbers of stacks."""

    pid: u32
    kernel: u32
    user: u32
    comm: char[L[16]]


class StackChoice(Config):
    """Which stacks _stacks.STACK_OPTIONS ask for."""

    kernel_stack: bool = False
    user_stack: bool = False


choice = StackChoice()
stacks = StackTrace(max_entries=16_384)


def kernel_stack(ctx: Context) -> u32:
    """The kernel's stack; NONE when it found no room."""
    found = stacks.capture(ctx)
    return NONE if found is None else found


def user_stack(ctx: Context) -> u32:
    """The program's stack; NONE when it has none, or found no room."""
    found = stacks.capture(ctx, user=True)
    return NONE if found is None else found


def where(ctx: Context, kernel: bool, user: bool) -> Where:
    """The current thread, with the stacks that are asked for."""
    return Where(pid(), kernel_stack(ctx) if kernel else NONE, user_stack(ctx) if user else NONE, current.comm)


def where_asked(ctx: Context) -> Where:
    """The same, with the stacks that STACK_OPTIONS ask for."""
    return where(ctx, choice.kernel_stack, choice.user_stack)
