"""The lab: boots stock Debian kernels in QEMU and runs the hook tests that one machine's own kernel cannot.

    kernels   get a kernel: Debian's newest of a series, unpacked into a cache, nothing installed
    boot      run one command in a guest that sees this machine's own files
    cases/    one file a test: `build()` on this machine, `check()` in the guest
    guest     runs the checks in there, without LLVM
    report    results, and the table hook x kernel of the README
"""
