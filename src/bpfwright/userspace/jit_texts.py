"""LLVM's text around a translated program: its words, entries, frames, faults, loops, and the loop over packets."""
from __future__ import annotations

from bpfwright.spec import page as P
from bpfwright.userspace.arena import FRAME
from bpfwright.userspace.code import FUNCTIONS

__all__ = ["CALL_BY_REGISTER", "DRIVE", "FOR_EACH", "LOOP", "RUNNING", "WORDS"]

CALL_BY_REGISTER = f"""
define internal i64 @callx(i64 %to, i64 %slot, i64 %a1, i64 %a2, i64 %a3, i64 %a4, i64 %a5, i64 %sp) {{
  %function = icmp uge i64 %to, {FUNCTIONS}
  br i1 %function, label %local, label %helper
local:
  %f = call i64 @indirect(i64 %to, i64 %a1, i64 %a2, i64 %a3, i64 %a4, i64 %a5, i64 %sp)
  ret i64 %f
helper:
  %h = call i64 @python(i64 %to, i64 %slot, i64 %a1, i64 %a2, i64 %a3, i64 %a4, i64 %a5, i64 %sp)
  ret i64 %h
}}"""

DRIVE = """
define i64 @drive(i64 %table, i64 %count, i64 %ctx, i64 %sp, i64 %budget, i64 %results, i64 %out) {{
entry:
  %base = load ptr, ptr @arena, !invariant.load !0
  %where = getelementptr i8, ptr %base, i64 {FAULT}
  %keeps = icmp ne i64 %out, 0
  br label %head
head:
  %i = phi i64 [0, %entry], [%next, %on]
  %to = phi i64 [%out, %entry], [%after, %on]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %body, label %done
body:
  %row = shl i64 %i, 3
  %entry_at = add i64 %table, %row
  %place = getelementptr i8, ptr %base, i64 %entry_at
  %source32 = load i32, ptr %place, align 1
  %size_at = getelementptr i8, ptr %place, i64 4
  %size32 = load i32, ptr %size_at, align 1
  %source = zext i32 %source32 to i64
  %size = zext i32 %size32 to i64
  %cell = shl i64 %i, 2
  %result_at = add i64 %results, %cell
  %result = getelementptr i8, ptr %base, i64 %result_at
  %runs = icmp ne i64 %size, 0
  br i1 %runs, label %run, label %skip
run:
  call i64 @{stage}_lay_out(i64 %ctx, i64 %source, i64 %size)
  store i64 %budget, ptr @budget
  %r = call i64 @f0(i64 %ctx, i64 0, i64 0, i64 0, i64 0, i64 %sp)
  %r32 = trunc i64 %r to i32
  store i32 %r32, ptr %result, align 1
  %kind = load i32, ptr %where
  %bad = icmp ne i32 %kind, 0
  br i1 %bad, label %done, label %fine
skip:
  store i32 -1, ptr %result, align 1
  br i1 %keeps, label %empty, label %lose
empty:
  %nothing = getelementptr i8, ptr %base, i64 %to
  store i32 0, ptr %nothing, align 1
  %beyond = add i64 %to, 4
  br label %on
fine:
  br i1 %keeps, label %keep, label %lose
keep:
  %behind = call i64 @{stage}_collect(i64 %ctx, i64 %to)
  br label %on
lose:
  br label %on
on:
  %after = phi i64 [%behind, %keep], [%beyond, %empty], [0, %lose]
  %next = add i64 %i, 1
  br label %head
done:
  ret i64 %i
}}"""

FOR_EACH = f"""
define internal i64 @for_each(i64 %m, i64 %callback, i64 %ctx, i64 %flags, i64 %sp) {{
entry:
  %base = load ptr, ptr @arena
  %where = getelementptr i8, ptr %base, i64 {P.FAULT}
  %flagged = icmp ne i64 %flags, 0
  br i1 %flagged, label %invalid, label %begin
begin:
  %first = call i64 @any_each(i64 %m, i64 0)
  %unknown = icmp eq i64 %first, -22
  br i1 %unknown, label %invalid, label %head
head:
  %at = phi i64 [%first, %begin], [%next, %on]
  %count = phi i64 [0, %begin], [%more, %on]
  %over = icmp eq i64 %at, 0
  br i1 %over, label %done, label %body
body:
  %key = call i64 @any_key_of(i64 %m, i64 %at)
  %value = call i64 @any_value_of(i64 %m, i64 %at)
  %more = add i64 %count, 1
  %r = call i64 @indirect(i64 %callback, i64 %m, i64 %key, i64 %value, i64 %ctx, i64 0, i64 %sp)
  %kind = load i32, ptr %where
  %bad = icmp ne i32 %kind, 0
  %stop = icmp ne i64 %r, 0
  %leave = or i1 %bad, %stop
  br i1 %leave, label %left, label %on
on:
  %next = call i64 @any_each(i64 %m, i64 %at)
  br label %head
left:
  ret i64 %more
done:
  ret i64 %count
invalid:
  ret i64 -22
}}"""

WORDS = """@arena = dso_local global ptr null, align 8
@budget = internal global i64 0, align 8
!0 = !{}
!1 = !{!"branch_weights", i32 100000, i32 1}
declare i16 @llvm.bswap.i16(i16)
declare i32 @llvm.bswap.i32(i32)
declare i64 @llvm.bswap.i64(i64)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"""

# Only `repeat` may take the program in: there are no four copies of it to optimise.
RUNNING = f"""
define i64 @main(i64 %a1, i64 %a2, i64 %a3, i64 %a4, i64 %a5, i64 %sp) {{
  %r = call i64 @f0(i64 %a1, i64 %a2, i64 %a3, i64 %a4, i64 %a5, i64 %sp) noinline
  ret i64 %r
}}
define i64 @enter_with(i64 %a1, i64 %a2, i64 %sp, i64 %budget) {{
  store i64 %budget, ptr @budget
  %r = call i64 @f0(i64 %a1, i64 %a2, i64 0, i64 0, i64 0, i64 %sp) noinline
  ret i64 %r
}}
define i64 @repeat(i64 %ctx, i64 %sp, i64 %budget, i64 %times) {{
entry:
  %base = load ptr, ptr @arena
  %where = getelementptr i8, ptr %base, i64 {P.FAULT}
  br label %again
again:
  %i = phi i64 [0, %entry], [%next, %on]
  store i64 %budget, ptr @budget
  %r = call i64 @f0(i64 %ctx, i64 0, i64 0, i64 0, i64 0, i64 %sp)
  %kind = load i32, ptr %where
  %bad = icmp ne i32 %kind, 0
  br i1 %bad, label %done, label %on
on:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %times
  br i1 %more, label %again, label %done
done:
  ret i64 %r
}}
define internal void @fault(i32 %kind, i32 %slot, i64 %address) cold noinline {{
  %base = load ptr, ptr @arena
  %k = getelementptr i8, ptr %base, i64 {P.FAULT}
  %old = load i32, ptr %k
  %first = icmp eq i32 %old, 0
  br i1 %first, label %tell, label %known
tell:
  store i32 %kind, ptr %k
  %s = getelementptr i8, ptr %base, i64 {P.FAULT_SLOT}
  store i32 %slot, ptr %s
  %a = getelementptr i8, ptr %base, i64 {P.FAULT_ADDRESS}
  store i64 %address, ptr %a
  ret void
known:
  ret void
}}
define internal i1 @frame(i64 %sp) {{
  %base = load ptr, ptr @arena, !invariant.load !0
  %p = getelementptr i8, ptr %base, i64 {P.STACK_LOW}
  %low = load i64, ptr %p
  %bottom = sub i64 %sp, {FRAME}
  %good = icmp uge i64 %bottom, %low
  br i1 %good, label %mark, label %out
mark:
  %stack = getelementptr i8, ptr %base, i64 %bottom
  call void @llvm.memset.p0.i64(ptr align 8 %stack, i8 0, i64 {FRAME}, i1 false)
  %top = getelementptr i8, ptr %base, i64 {P.STACK_TOP}
  %first = load i64, ptr %top
  %kept = icmp eq i64 %first, %sp
  br i1 %kept, label %done, label %grant
grant:
  %sp_at = getelementptr i8, ptr %base, i64 {P.SHADOW}
  %shadow = load i64, ptr %sp_at
  %a = add i64 %shadow, %bottom
  %run = getelementptr i8, ptr %base, i64 %a
  call void @llvm.memset.p0.i64(ptr align 1 %run, i8 -1, i64 {FRAME - 255}, i1 false)
  %tail = getelementptr i8, ptr %run, i64 {FRAME - 255}
  %descent = getelementptr i8, ptr %base, i64 {P.DESCENT}
  call void @llvm.memcpy.p0.p0.i64(ptr align 1 %tail, ptr align 1 %descent, i64 255, i1 false)
  br label %done
done:
  ret i1 true
out:
  ret i1 false
}}
define internal void @unframe(i64 %sp) {{
  %base = load ptr, ptr @arena, !invariant.load !0
  %top = getelementptr i8, ptr %base, i64 {P.STACK_TOP}
  %first = load i64, ptr %top
  %kept = icmp eq i64 %first, %sp
  br i1 %kept, label %done, label %take
take:
  %bottom = sub i64 %sp, {FRAME}
  %sp_at = getelementptr i8, ptr %base, i64 {P.SHADOW}
  %shadow = load i64, ptr %sp_at
  %a = add i64 %shadow, %bottom
  %run = getelementptr i8, ptr %base, i64 %a
  call void @llvm.memset.p0.i64(ptr align 1 %run, i8 0, i64 {FRAME}, i1 false)
  br label %done
done:
  ret void
}}"""

LOOP = f"""
define internal i64 @loop(i64 %n, i64 %callback, i64 %ctx, i64 %flags, i64 %sp) {{
entry:
  %base = load ptr, ptr @arena
  %where = getelementptr i8, ptr %base, i64 {P.FAULT}
  %flagged = icmp ne i64 %flags, 0
  br i1 %flagged, label %invalid, label %sized
sized:
  %count = and i64 %n, 4294967295
  %many = icmp ugt i64 %count, {1 << 23}
  br i1 %many, label %toobig, label %head
head:
  %i = phi i64 [0, %sized], [%next, %on]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %body, label %over
body:
  %r = call i64 @indirect(i64 %callback, i64 %i, i64 %ctx, i64 0, i64 0, i64 0, i64 %sp)
  %kind = load i32, ptr %where
  %bad = icmp ne i32 %kind, 0
  %next = add i64 %i, 1
  %stop = icmp ne i64 %r, 0
  %leave = or i1 %bad, %stop
  br i1 %leave, label %left, label %on
on:
  br label %head
over:
  ret i64 %i
left:
  ret i64 %next
invalid:
  ret i64 -22
toobig:
  ret i64 -7
}}"""
