"""What kernels have come to call otherwise: fields of structs and functions that older scripts name, and newer ones."""
from __future__ import annotations

from bpfwright._typing import Collection

__all__ = ["field_now", "function_now"]

_FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("cfs_rq", "nr_running"): ("nr_queued",), ("cfs_rq", "h_nr_running"): ("h_nr_queued",),       # 6.15
    ("cfs_rq", "nr_queued"): ("nr_running",), ("cfs_rq", "h_nr_queued"): ("h_nr_running",),
    ("task_struct", "state"): ("__state",), ("task_struct", "__state"): ("state",),               # 5.14
    ("task_struct", "cpu"): ("thread_info.cpu",),                                                 # 5.16
    ("bio", "bi_disk"): ("bi_bdev.bd_disk",), ("bio", "bi_bdev"): ("bi_disk",),                   # 5.12
    ("request", "rq_disk"): ("q.disk",),                                                          # 5.17
    ("mm_struct", "mmap_sem"): ("mmap_lock",),                                                    # 5.8
    ("inode", "i_ctime"): ("i_ctime_sec", "__i_ctime"),                                           # 6.11, 6.6
    ("inode", "i_atime"): ("i_atime_sec", "__i_atime"),                                           # 6.11, 6.7
    ("inode", "i_mtime"): ("i_mtime_sec", "__i_mtime"),
}
_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "swap_readpage": ("swap_read_folio",), "swap_read_folio": ("swap_readpage",), "_do_fork": ("kernel_clone",),
    "mark_page_accessed": ("folio_mark_accessed",), "add_to_page_cache_lru": ("filemap_add_folio",),
    "account_page_dirtied": ("folio_account_dirtied",), "blk_account_io_start": ("__blk_account_io_start",),
    "blk_account_io_done": ("__blk_account_io_done",), "scheduler_tick": ("sched_tick",),
    "__do_softirq": ("handle_softirqs",), "tcp_drop": ("tcp_drop_reason",),
}


def field_now(struct: str, name: str, members: Collection[str]) -> str:
    """What a field of a struct is called here, as a path; nothing where that is not known."""
    known = _FIELDS.get((struct.rpartition(" ")[2], name), ())
    return next((path for path in known if path.partition(".")[0] in members), "")


def function_now(name: str, functions: Collection[str]) -> str:
    """What a function is called here; nothing where that is not known."""
    return next((known for known in _FUNCTIONS.get(name, ()) if known in functions), "")
