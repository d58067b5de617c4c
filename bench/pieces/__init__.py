"""Pieces of random programs, by feature: right most of the time, wrong in one of the ways that programs are."""
from __future__ import annotations

from bench.pieces.data import maps_piece, pointers_piece, ranges_piece
from bench.pieces.flow import calls_piece, iterators_piece, loops_piece
from bench.pieces.held import locks_piece, packets_piece, references_piece
from bench.pieces.kernel import contexts_piece, dynptrs_piece, helpers_piece, kfuncs_piece, timers_piece

__all__ = ["PIECES"]

PIECES = {"calls": calls_piece, "contexts": contexts_piece, "dynptrs": dynptrs_piece, "helpers": helpers_piece,
          "iterators": iterators_piece, "kfuncs": kfuncs_piece, "locks": locks_piece, "loops": loops_piece,
          "maps": maps_piece, "packets": packets_piece, "pointers": pointers_piece, "ranges": ranges_piece,
          "references": references_piece, "timers": timers_piece}
