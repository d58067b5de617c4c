"""Helpers and kfuncs by family; a name is imported from its file when it is first asked for."""
from __future__ import annotations

from bpfwright._late import late
from bpfwright._typing import TYPE_CHECKING


if TYPE_CHECKING:
    from bpfwright.helpers.basic import (external as external, judged_alone as judged_alone, kfunc as kfunc,
                                         now_coarse_ns as now_coarse_ns, now_ns as now_ns, random_u32 as random_u32,
                                         subprogram as subprogram, unknown as unknown)
    from bpfwright.helpers.current import current as current
    from bpfwright.helpers.dynptr import whole_packet as whole_packet
    from bpfwright.helpers.kernel import exists as exists, rcu as rcu, task_from_pid as task_from_pid
    from bpfwright.helpers.log import log as log
    from bpfwright.helpers.memory import (address_of as address_of, cookie as cookie, kernel_object as kernel_object,
                                          kernel_text as kernel_text, kernel_word as kernel_word,
                                          offset_of as offset_of,
                                          socket_cookie as socket_cookie, user_bytes as user_bytes,
                                          user_text as user_text, user_word as user_word)
    from bpfwright.helpers.sockets import listener_cookie as listener_cookie
    from bpfwright.helpers.stacks import (capture_stack as capture_stack, copy_user as copy_user,
                                          read_user as read_user, user_registers as user_registers)

_FILES = {**dict.fromkeys(("external", "judged_alone", "kfunc", "now_coarse_ns", "now_ns", "random_u32", "subprogram",
                           "unknown"), "basic"),
          "current": "current", "log": "log", "exists": "kernel", "rcu": "kernel", "task_from_pid": "kernel",
          "whole_packet": "dynptr", "listener_cookie": "sockets",
          **dict.fromkeys(("address_of", "cookie", "kernel_object", "kernel_text", "kernel_word", "offset_of",
                           "socket_cookie", "user_bytes", "user_text", "user_word"), "memory"),
          **dict.fromkeys(("capture_stack", "copy_user", "read_user", "user_registers"), "stacks")}
__all__ = list(_FILES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, _FILES, __all__)
