"""What is said about mistakes: source, then each message with its line, the marked text, and the cure."""
from __future__ import annotations

SYNTAX: list[tuple[str, list[tuple[str, str, str]]]] = [
    ("begin { $x = 'a'; }", [
        ('strings stand in double quotes; there are no character literals', "1:'a'", 'Write `"..."`, or the number of the character.'),
    ]),
    ('begin { printf("a); }', [
        ('this string has no end', '1:"', 'Close it with `"` on the same line; `\\n` is a new line.'),
    ]),
    ('begin { printf("a\\q"); }', [
        ('`\\q` is no escape sequence', '1:\\q', 'There are `\\n \\t \\r \\" \\\\ \\a \\b \\e \\f \\v`, octal `\\033`, hexadecimal `\\x1b`.'),
    ]),
    ('begin { $x = "\\x"; }', [
        ('`\\x` needs one or two hexadecimal digits', '1:\\x', 'Write `\\x0a`, say.'),
    ]),
    ('begin { $x = "\\777"; }', [
        ('`\\777` is more than one byte', '1:\\777', 'The largest is `\\377`.'),
    ]),
    ('begin { /* open }', [
        ('this comment has no end', '1:/*', 'Close it with `*/`.'),
    ]),
    ('begin { $x = 08; }', [
        ('`08` is no number', '1:08', 'A leading `0` makes it octal, with digits `0-7`: remove it for a decimal number.'),
    ]),
    ('begin { $x = 0x; }', [
        ('`0x` is no number', '1:0x', 'Hexadecimal is `0x` and digits `0-9a-f`.'),
    ]),
    ('begin { $x = 12q; }', [
        ('`12q` is no number', '1:12q', "A number may end in a duration (`ns us ms s m h d`) or in C's `u`, `l`, `ul`, `ll`, `ull`."),
    ]),
    ('begin { $x = 1e-3; }', [
        ('`1e` is no number', '1:1e', 'Scientific notation is `2e3`, whole numbers only.'),
    ]),
    ('begin { $x = 1.5; }', [
        ('`1.5` is a fraction, and there are none', '1:1.5', 'Count in smaller units: `1500ms` for 1.5 seconds.'),
    ]),
    ('begin { $x = 18446744073709551616; }', [
        ('`18446744073709551616` does not fit into 64 bits', '1:18446744073709551616', 'The largest number is 18446744073709551615.'),
    ]),
    ('begin { $x = $; }', [
        ('`$` needs a name or a number', '1:$', 'Write `$name` for a variable, `$1` for a positional parameter, `$#` for their number.'),
    ]),
    ('begin { $x = $0; }', [
        ('`$0` is neither a variable nor a positional parameter', '1:$0', 'Variables begin with a letter; positional parameters count from `$1`.'),
    ]),
    ('begin { $x = $1a; }', [
        ('`$1a` is neither a variable nor a positional parameter', '1:$1a', 'Variables begin with a letter; positional parameters count from `$1`.'),
    ]),
    ('begin { @1 = 2; }', [
        ('`@1` is no name of a map', '1:@1', 'A name begins with a letter or `_`.'),
    ]),
    ('begin { $x = 1 ` 2; }', [
        ('the backtick means nothing here', '1:`', 'Strings stand in double quotes: `"..."`.'),
    ]),
    ('begin { $x = “a”; }', [
        ('`“` means nothing here', '1:“', 'Use the plain quote `"`.'),
        ('`”` means nothing here', '1:”', 'Use the plain quote `"`.'),
    ]),
    ('begin {\n#include <a.h>\n}', [
        ('lines of the preprocessor stand outside of bodies', '2:#include <a.h>', 'Move it above the first probe.'),
    ]),
    ('kprob:f { }', [
        ('there is no provider `kprob`', '1:kprob', 'Did you mean `kprobe`?'),
    ]),
    ('foo { }', [
        ('`foo` is no attach point', '1:foo', 'A probe is `provider:what { ... }`: `kprobe:vfs_read`, say.'),
    ]),
    ('foo:bar { }', [
        ('there is no provider `foo`', '1:foo', 'There are begin, end, test, bench, self, interval, profile, software, hardware, tracepoint, rawtracepoint, uprobe, uretprobe, usdt, iter, kprobe, kretprobe, fentry, fexit, watchpoint, asyncwatchpoint.'),
    ]),
    ('k*:f { }', [
        ('a provider cannot be a pattern', '1:k*', 'Name it, and list several attach points with commas.'),
    ]),
    (':f { }', [
        ('an attach point begins with its provider', '1::', 'Write `kprobe:vfs_read`, say.'),
    ]),
    ('begin:1 { }', [
        ('`begin` has a part too many', '1:1', 'Write `begin { ... }`.'),
    ]),
    ('kprobe: { }', [
        ('the function is missing', '1: ', 'Write `kprobe:function`.'),
    ]),
    ('kprobe { }', [
        ('`kprobe` needs more than this', '1:kprobe', 'Write `kprobe:function`.'),
    ]),
    ('kprobe:a:b:c { }', [
        ('`kprobe` has a part too many', '1:c', 'Write `kprobe:function`.'),
    ]),
    ('kprobe:f+zz { }', [
        ('the offset must be a number', '1:zz', 'Write `function+0x10`.'),
    ]),
    ('kprobe:f+ { }', [
        ('the offset is missing', '1: ', 'Write `function+0x10`.'),
    ]),
    ('kretprobe:f+4 { }', [
        ('`kretprobe` takes no offset', '1:f+4', 'Write `kprobe:f+0x4`.'),
    ]),
    ('kprobe:f*+4 { }', [
        ('a pattern takes no offset', '1:f*+4', 'Name one function.'),
    ]),
    ('kprobe:f(int) { }', [
        ('`(` cannot stand in the function', '1:f(int)', 'Put it in quotes: `"f(int)"`.'),
    ]),
    ('tracepoint:sched { }', [
        ('`tracepoint` needs more than this', '1:tracepoint:sched', 'Write `tracepoint:category:event`.'),
    ]),
    ('tracepoint:sys_enter_open { }', [
        ('a tracepoint needs its category', '1:sys_enter_open', 'Write `tracepoint:syscalls:sys_enter_open`.'),
    ]),
    ('tracepoint:a:b:c { }', [
        ('`tracepoint` has a part too many', '1:c', 'Write `tracepoint:category:event`.'),
    ]),
    ('interval:x:1 { }', [
        ('`x` is no unit of a timer', '1:x', 'There are hz, s, ms, us and ns: `interval:s:1`.'),
    ]),
    ('interval:s:0 { }', [
        ('a timer cannot fire every 0 s', '1:0', 'Write `interval:1s`, say.'),
    ]),
    ('interval:s: { }', [
        ('the period is missing', '1: ', 'Write `interval:1s`.'),
    ]),
    ('interval:1x { }', [
        ('the period must be a number', '1:1x', 'Write `interval:1s`.'),
    ]),
    ('profile:99 hz { }', [
        ('`hz` stands where `{` should', '1:hz', 'Attach points stand in one word each; put `,` between two.'),
    ]),
    ('software:pagefaults { }', [
        ('there is no software event `pagefaults`', '1:pagefaults', 'Did you mean `page-faults`?'),
    ]),
    ('software:cycles { }', [
        ('there is no software event `cpu-cycles`', '1:cycles', 'It is a hardware event: `hardware:cpu-cycles`.'),
    ]),
    ('hardware:foo { }', [
        ('there is no hardware event `foo`', '1:foo', 'There are cpu-cycles, instructions, cache-references, cache-misses, branch-instructions, branch-misses, bus-cycles, frontend-stalls, backend-stalls, ref-cycles.'),
    ]),
    ('iter:my-tasks { }', [
        ('there is no iterator `my-tasks`', '1:my-tasks', "Write `iter:task`, or list them: -l 'iter:*'."),
    ]),
    ('uprobe:readline { }', [
        ('the binary is missing', '1:readline', 'Write `uprobe:/path/to/binary:readline`, or give a process.'),
    ]),
    ('uprobe:/bin/x:py:f { }', [
        ('`py` is no language of names', '1:py', 'There is `cpp`: `uprobe:binary:cpp:"name"`.'),
    ]),
    ('uretprobe:/bin/x@a.c:3 { }', [
        ('`uretprobe` takes no source line', '1:a.c:3', 'Write `uprobe:binary@file:line`.'),
    ]),
    ('uprobe:/bin/x@a.c { }', [
        ('a place in the source is a file, a line and maybe a column', '1:a.c', 'Write `uprobe:binary@file.c:42`.'),
    ]),
    ('self:sig:USR1 { }', [
        ('`self` knows no `sig`', '1:sig', 'Write `self:signal:SIGUSR1`.'),
    ]),
    ('watchpoint:0x1:3:w { }', [
        ('the processor watches 1, 2, 4 or 8 bytes', '1:3', 'Write `watchpoint:0x1000:8:w`.'),
    ]),
    ('watchpoint:0x1:8:q { }', [
        ('the mode is made of `r`, `w` and `x`', '1:q', 'Write `watchpoint:0x1000:8:w`.'),
    ]),
    ('watchpoint:f+argx:8:w { }', [
        ('`argx` is no argument', '1:f+argx', 'Write `watchpoint:function+arg0:8:w`.'),
    ]),
    ('usdt:/bin/x { }', [
        ('`usdt` needs more than this', '1:usdt:/bin/x', 'Write `usdt:binary:name`.'),
    ]),
    ('kprobe:f, { }', [
        ('an attach point is missing behind the comma', '1:{', 'Remove the comma.'),
    ]),
    ('kprobe:f kprobe:g { }', [
        ('`kprobe:g` stands where `{` should', '1:kprobe:g', 'Attach points stand in one word each; put `,` between two.'),
    ]),
    ('kprobe:f', [
        ('this probe has no body', '1:kprobe:f', 'Write `{ ... }` behind it.'),
    ]),
    ('kprobe:f /pid == 1 { }', [
        ('this predicate has no end', '1:/', 'Close it with `/` before `{`.'),
    ]),
    ('kprobe:f // { }', [
        ('this probe has no body', '1:kprobe:f', 'Write `{ ... }` behind it.'),
    ]),
    ('kprobe:f /pid = 1/ { }', [
        ('`=` stands in the predicate', '1:=', 'Compare with `==`.'),
    ]),
    ('{ }', [
        ('this block has no probe', '1:{', 'Write where it runs before it: `begin { ... }`, say.'),
    ]),
    ('begin { } }', [
        ('this `}` closes nothing', '1:}', 'Remove it.'),
    ]),
    ('begin { $x = 1', [
        ('this `{` is never closed', '1:{', 'Close it with `}`.'),
    ]),
    ('begin { f(1; }', [
        ('this `(` is never closed', '1:(', 'Close it with `)` before `;`.'),
    ]),
    ('begin { $x = (1 + 2; }', [
        ('this `(` is never closed', '1:(', 'Close it with `)` before `;`.'),
    ]),
    ('begin { f(,); }', [
        ('an argument is missing before this comma', '1:,', 'Remove the comma, or write what is missing.'),
    ]),
    ('begin { f(1,); }', [
        ('an argument is missing behind the comma', '1:)', 'Remove the comma.'),
    ]),
    ('begin { $x = 1 2; }', [
        ('`2` stands where the statement should end', '1:2', 'Put `;` between two statements.'),
    ]),
    ('begin { $x = ; }', [
        ('`;` stands where a value should', '1:;', 'Write a value: a number, `$name`, `@name`, a call.'),
    ]),
    ('begin { $x = 1 + ; }', [
        ('`;` stands where a value should', '1:;', 'Write a value: a number, `$name`, `@name`, a call.'),
    ]),
    ('begin { x = 1; }', [
        ('an assignment needs a variable or a map', '1:x', 'Write `$x` for a variable or `@x` for a map.'),
    ]),
    ('begin { $x.a = 1; }', [
        ('an assignment needs a variable or a map', '1:$x.a', 'Memory of the kernel and of processes is only read: keep the value in a variable or map.'),
    ]),
    ('begin { *$p = 1; }', [
        ('an assignment needs a variable or a map', '1:*$p', 'Memory of the kernel and of processes is only read: keep the value in a variable or map.'),
    ]),
    ('begin { $x = $y = 1; }', [
        ('an assignment is no value', '1:=', 'Assign on a line of its own.'),
    ]),
    ('begin { if ($x = 1) { } }', [
        ('an assignment is no value', '1:=', 'Compare with `==`, or assign on a line of its own.'),
    ]),
    ('begin { if ($x) f(); }', [
        ('`f` stands where `{` should', '1:f', 'Bodies have braces: `if (condition) { ... }`.'),
    ]),
    ('begin { if { } }', [
        ('the condition is missing', '1:{', 'Write `if (condition) { ... }`.'),
    ]),
    ('begin { else { } }', [
        ('this `else` belongs to no `if`', '1:else', 'Remove it, or the `;` before it.'),
    ]),
    ('begin { elif ($x) { } }', [
        ('there is no statement `elif`', '1:elif', 'Did you mean `else if`?'),
    ]),
    ('begin { whle ($x) { } }', [
        ('there is no statement `whle`', '1:whle', 'Did you mean `while`?'),
    ]),
    ('begin { unless ($x) { } }', [
        ('there is no statement `unless`', '1:unless', 'Did you mean `if (!...)`?'),
    ]),
    ('begin { $x and $y }', [
        ('`and` is no operator', '1:and', 'Write `&&`.'),
    ]),
    ('begin { for ($i = 0; $i < 5; $i++) { } }', [
        ("loops do not count like C's", '1:=', 'Write `for ($entry : @map) { ... }` or `for ($i : 0..10) { ... }`.'),
    ]),
    ('begin { for ($k in @m) { } }', [
        ('`in` stands where `:` should', '1:in', 'Write `for ($entry : @map) { ... }` or `for ($i : 0..10) { ... }`.'),
    ]),
    ('begin { for (@m) { } }', [
        ('`@m` cannot be the variable of a loop', '1:@m', 'Write `for ($entry : @map) { ... }` or `for ($i : 0..10) { ... }`.'),
    ]),
    ('begin { for ($k : @m[1]) { } }', [
        ('a loop goes over a map or a range', '1:@m[1]', 'Write `@map` without a key.'),
    ]),
    ('begin { while { } }', [
        ('the condition is missing', '1:{', 'Write `while (condition) { ... }`.'),
    ]),
    ('begin { let x = 1; }', [
        ('`x` stands where a variable should', '1:x', 'Write `let $name = ...`.'),
    ]),
    ('begin { let @m = 1; }', [
        ('maps are declared outside of bodies', '1:@m', 'Move it above the first probe.'),
    ]),
    ('begin { var $x = 1; }', [
        ('`var` declares nothing here', '1:var', 'Write `let $name = ...`.'),
    ]),
    ('begin { $x = +1; }', [
        ('there is no `+` before a number', '1:+', 'Remove it.'),
    ]),
    ('begin { 5++; }', [
        ('`++` needs a variable or a map', '1:5', 'Only `$name`, `@name` and `@name[key]` can change.'),
    ]),
    ('begin { pid++; }', [
        ('`++` needs a variable or a map', '1:pid', 'Write `$pid` for a variable or `@pid` for a map.'),
    ]),
    ('begin { @m[] = 1; }', [
        ('a key is missing', '1:[]', 'Write it between the brackets, or leave them away.'),
    ]),
    ('begin { $x = $y.; }', [
        ('`;` is no field', '1:;', 'Write `.name`, or `.0` for an item of a tuple.'),
    ]),
    ('begin { $x = $a ? 1; }', [
        ('`;` stands where `:` should', '1:;', 'A choice is `condition ? one : other`.'),
    ]),
    ('begin { $x = while; }', [
        ('`while` is a word of the language and no value', '1:while', 'Use another name, or `$while` for a variable.'),
    ]),
    ('begin { $x = if ($y) { 1 }; }', [
        ('this `if` has no value in some branch', '1:if', 'Give it an `else`, and end each branch with a value without `;`.'),
    ]),
    ('begin { $x = (a=1, a=2); }', [
        ('the record has a field `a` already', '1:a', 'Use another name.'),
    ]),
    ('begin { $x = sizeof(struct); }', [
        ('a type stands where a value should', '1:struct', 'A cast is `(struct name *)$x`.'),
    ]),
    ('begin { offsetof(struct a); }', [
        ('`offsetof` needs a field', '1:)', 'Write `offsetof(struct name, field)`.'),
    ]),
    ('begin { f(1)\n g(2); }', [
        ('a `;` is missing', '1:', 'Put it here before `g`.'),
    ]),
    ('begin { f() kprobe:g { } }', [
        ('`kprobe` stands where the statement should end', '1:kprobe', 'Put `;` between two statements.'),
    ]),
    ('begin { return 1 2; }', [
        ('`2` stands where the statement should end', '1:2', 'Put `;` between two statements.'),
    ]),
    ('begin { import x; }', [
        ('`x` stands where a path should', '1:x', 'Write `import "file.bt";`.'),
    ]),
    ('config = { max_mapkeys=5 } begin { }', [
        ('there is no setting `max_mapkeys`', '1:max_mapkeys', 'Did you mean `max_map_keys`?'),
    ]),
    ('config = { max_map_keys="x" } begin { }', [
        ('`max_map_keys` is a number', '1:"x"', 'Write `max_map_keys=4096`.'),
    ]),
    ('config = { stack_mode=fancy } begin { }', [
        ('this is no value of `stack_mode`', '1:fancy', 'There are bpftrace, perf, raw, build_id.'),
    ]),
    ('config = { print_maps_on_exit=7 } begin { }', [
        ('`print_maps_on_exit` is a boolean', '1:7', 'Write `true` or `false`.'),
    ]),
    ('config = { max_map_keys } begin { }', [
        ('the setting `max_map_keys` has no value', '1:}', 'Write `max_map_keys=4096`.'),
    ]),
    ('config = { log_size=1; log_size=2 } begin { }', [
        ('`log_size` is set twice', '1:log_size', 'Remove one of the two.'),
    ]),
    ('begin { } config = { log_size=1 }', [
        ('the config block stands after a probe', '1:config', 'Move it to the top of the script.'),
    ]),
    ('let @a = lruhsh(10);', [
        ('there is no map `lruhsh`', '1:lruhsh', 'Did you mean `lruhash`?'),
    ]),
    ('let @a = hash();', [
        ('`hash` needs its number of entries', '1:)', 'Write `let @name = hash(100);`.'),
    ]),
    ('let @a = hash(0);', [
        ('a map holds at least 1 entry and less than 2 to the 32nd', '1:0', 'Write `let @name = hash(100);`.'),
    ]),
    ('let $a = 1;', [
        ('variables live in bodies only', '1:$a', 'Use a map, `@name`, for what probes share.'),
    ]),
    ('let @a = hash(1); let @a = hash(2);', [
        ('`@a` is declared twice', '1:let @a = hash(2)', 'Remove one of the two.'),
    ]),
    ('import foo;', [
        ('`foo` stands where a path should', '1:foo', 'Write `import "file.bt";`.'),
    ]),
    ('macro (x) { }', [
        ('`(` is no name of a macro', '1:(', 'Write `macro name($variable, @map, expression) { ... }`.'),
    ]),
    ('macro f(1) { }', [
        ('`1` is no parameter', '1:1', 'Write `macro name($variable, @map, expression) { ... }`.'),
    ]),
    ('macro f($a, $a) { }', [
        ('this parameter is there already', '1:$a', 'Use another name.'),
    ]),
    ('macro f(x) 1', [
        ('`1` stands where `{` should', '1:1', 'Bodies have braces: `macro f() { ... }`.'),
    ]),
    ('fn f($a) : void { }', [
        ('the parameter `$a` needs a type', '1:)', 'Write `fn name($a : uint64) : uint64 { ... }`.'),
    ]),
    ('fn f() { }', [
        ('the function `f` needs the type of its result', '1:{', 'Write `fn name($a : uint64) : uint64 { ... }`.'),
    ]),
    ('struct S { int x;', [
        ('this definition in C has no end', '1:{', 'Close it with `}`.'),
    ]),
    ('begin { } #include <a.h>', [
        ('this `#` does not begin a line of the preprocessor', '1:#', "Such lines stand alone: `#include <file.h>`; `#!` is the script's first line."),
    ]),
    ('begin { function f() { } }', [
        ('a function or macro cannot begin inside of a body', '1:function', 'Close the block before it with `}`.'),
    ]),
]

MEANING: list[tuple[str, list[tuple[str, str, str]]]] = [
    ('begin { prinf("a"); }', [
        ('there is no function `prinf`', '1:prinf', 'Did you mean `printf`?'),
    ]),
    ('begin { strcmp("a", "b"); }', [
        ('there is no function `strcmp`', '1:strcmp', 'Write `==` or `!=`.'),
    ]),
    ('begin { @x = cont(); }', [
        ('there is no function `cont`', '1:cont', 'Did you mean `count`?'),
    ]),
    ('begin { @x = lhist(1, 2); }', [
        ('`lhist` takes 4 arguments, not 2', '1:lhist(1, 2)', 'It is: a histogram with even steps.'),
    ]),
    ('begin { exit(1, 2); }', [
        ('`exit` takes 0 to 1 argument, not 2', '1:exit(1, 2)', 'It is: end the tracer, with a code.'),
    ]),
    ('begin { printf(); }', [
        ('`printf` takes at least 1 argument, not 0', '1:printf()', 'It is: print by a format.'),
    ]),
    ('fn f($a : uint8) : void { } begin { f(); }', [
        ('`f` takes 1 argument, not 0', '1:f()', 'It is declared as `fn f($a)`.'),
    ]),
    ('macro bad() { @x++ } begin { bad(); }', [
        ('the macro `bad` is not given `@x`', '1:@x', 'Make it a parameter: `macro bad(@x)`.'),
    ]),
    ('macro bad() { $x++ } begin { bad(); }', [
        ('the macro `bad` is not given `$x`', '1:$x', 'Make it a parameter, or declare it: `let $x = ...;`.'),
    ]),
    ('macro v($x) { $x } begin { v(1 + 1); }', [
        ('no macro `v` takes these arguments', '1:v(1 + 1)', 'There is `v($x)`.'),
    ]),
    ('macro m(x) { m(x) } begin { m(1); }', [
        ('the macro `m` calls itself', '1:m(x)', 'Macros end while compiling: use a loop.'),
    ]),
    ('macro m(x) { for ($i : x) { } } begin { m(5); }', [
        ('a loop goes over a map or a range', '1:5', "Make it a map's parameter: `@name`."),
    ]),
    ('macro m(x) { 1 } macro m(y) { 2 } begin { m(1); }', [
        ('there is a macro `m` with such parameters already', '1:macro m(y) ', 'Rename one of the two.'),
    ]),
    ('macro m($x) { let $x = 1; } begin { $y = 1; m($y); }', [
        ('`$x` is a parameter of the macro already', '1:let $x = 1', 'Use another name.'),
    ]),
    ('macro m(x) { x + x } begin { print(m(m(m(m(m(m(m(m(m(m(m(m(m(m(m(m(m(m(m(m(1))))))))))))))))))))); }', [
        ('the macros make this program too large', '1:m(m(m(m(m(m(m(m(m(m(m(m(m(m(m(1)))))))))))))))', 'Bind what is used twice to a variable: `let $x = x;`.'),
    ]),
]
