"""C types: what stands in annotations on both sides. To a checker a scalar IS int, a char array IS str, ptr[T] IS T."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Generic, Literal as L, MutableSequence, TypeVar
from bpfwright.types.cells import Atomic, SpinLock, is_shared, shared
from bpfwright.types.config import Config
from bpfwright.types.ctype import ArrayType, BitsType, CharArray, Int, Pointer, UserPointer, ctype_of, length_of
from bpfwright.types.kernel import KernelStruct
from bpfwright.types.structs import CUnion, Struct

__all__ = ["Atomic", "CUnion", "Config", "KernelStruct", "L", "SpinLock", "Struct", "User", "UserStr", "array", "be16",
           "be32", "be64", "bits", "char", "i16", "i32", "i64", "i8", "is_shared", "ptr", "shared", "u16", "u32",
           "u64", "u8"]

if TYPE_CHECKING:
    from typing import TypeAlias  # checkers know it by this import only
    from typing_extensions import TypeAliasType

    u8: TypeAlias = int
    u16: TypeAlias = int
    u32: TypeAlias = int
    u64: TypeAlias = int
    i8: TypeAlias = int
    i16: TypeAlias = int
    i32: TypeAlias = int
    i64: TypeAlias = int
    be16: TypeAlias = int
    be32: TypeAlias = int
    be64: TypeAlias = int

    T = TypeVar("T")
    N = TypeVar("N")

    char = TypeAliasType("char", str, type_params=(N,))
    array = TypeAliasType("array", MutableSequence[T], type_params=(T, N))
    bits = TypeAliasType("bits", T, type_params=(T, N))
    ptr = TypeAliasType("ptr", T, type_params=(T,))

    class User(Generic[T]):
        """A pointer into the traced process."""

        def read(self) -> T | None: ...
        def __getitem__(self, index: int) -> User[T]: ...

    class UserStr:
        """Text in the traced process."""

        def read(self, size: int) -> str | None: ...
else:
    u8, u16 = Int("u8", 1, False), Int("u16", 2, False)
    u32, u64 = Int("u32", 4, False), Int("u64", 8, False)
    i8, i16 = Int("i8", 1, True), Int("i16", 2, True)
    i32, i64 = Int("i32", 4, True), Int("i64", 8, True)
    be16, be32, be64 = Int("be16", 2, False, True), Int("be32", 4, False, True), Int("be64", 8, False, True)

    class char:
        """`char[L[16]]`: text of at most 16 bytes."""

        def __class_getitem__(cls, size: Any) -> CharArray:
            return CharArray(length_of(size))

    class array:
        """`array[u64, L[8]]`: eight in a row."""

        def __class_getitem__(cls, item: Any) -> ArrayType:
            element, size = item
            return ArrayType(ctype_of(element), length_of(size))

    class bits:
        """`bits[u8, L[4]]`: a bit-field."""

        def __class_getitem__(cls, item: Any) -> BitsType:
            storage, width = item
            return BitsType(ctype_of(storage), length_of(width))

    class ptr:
        """`ptr[task_struct]`: an address in the kernel, read as the thing itself."""

        def __class_getitem__(cls, target: Any) -> Pointer:
            return Pointer(target)

    class User:
        """`User[u64]`: a pointer into the traced process."""

        def __class_getitem__(cls, target: Any) -> UserPointer:
            return UserPointer(ctype_of(target))

    class UserStr:
        """Text in the traced process."""

        @staticmethod
        def __ctype__() -> UserPointer:
            return UserPointer(None)
