"""The events of system calls, whose shape is stable.

Written by scripts/generate_tracepoints.py; syscalls.py finds the classes in this very file.
"""
from bpfwright.hooks.tracepoint import Fields
from bpfwright.types import User, UserStr, i32, i64, u16, u32, u64, u8

class sys_enter_accept(Fields, event="syscalls:sys_enter_accept"):
    fd: i32
    upeer_sockaddr: u64
    upeer_addrlen: User[i32]

class sys_enter_accept4(Fields, event="syscalls:sys_enter_accept4"):
    fd: i32
    upeer_sockaddr: u64
    upeer_addrlen: User[i32]
    flags: i32

class sys_enter_access(Fields, event="syscalls:sys_enter_access"):
    filename: UserStr
    mode: i32

class sys_enter_acct(Fields, event="syscalls:sys_enter_acct"):
    name: UserStr

class sys_enter_add_key(Fields, event="syscalls:sys_enter_add_key"):
    _type: UserStr
    _description: UserStr
    _payload: u64
    plen: u64
    ringid: i32

class sys_enter_adjtimex(Fields, event="syscalls:sys_enter_adjtimex"):
    txc_p: u64

class sys_enter_alarm(Fields, event="syscalls:sys_enter_alarm"):
    seconds: u32

class sys_enter_arch_prctl(Fields, event="syscalls:sys_enter_arch_prctl"):
    option: i32
    arg2: u64

class sys_enter_bind(Fields, event="syscalls:sys_enter_bind"):
    fd: i32
    umyaddr: u64
    addrlen: i32

class sys_enter_bpf(Fields, event="syscalls:sys_enter_bpf"):
    cmd: i32
    uattr: u64
    size: u32

class sys_enter_brk(Fields, event="syscalls:sys_enter_brk"):
    brk: u64

class sys_enter_cachestat(Fields, event="syscalls:sys_enter_cachestat"):
    fd: u32
    cstat_range: u64
    cstat: u64
    flags: u32

class sys_enter_capget(Fields, event="syscalls:sys_enter_capget"):
    header: u64
    dataptr: u64

class sys_enter_capset(Fields, event="syscalls:sys_enter_capset"):
    header: u64
    data: u64

class sys_enter_chdir(Fields, event="syscalls:sys_enter_chdir"):
    filename: UserStr

class sys_enter_chmod(Fields, event="syscalls:sys_enter_chmod"):
    filename: UserStr
    mode: u16

class sys_enter_chown(Fields, event="syscalls:sys_enter_chown"):
    filename: UserStr
    user: u32
    group: u32

class sys_enter_chroot(Fields, event="syscalls:sys_enter_chroot"):
    filename: UserStr

class sys_enter_clock_adjtime(Fields, event="syscalls:sys_enter_clock_adjtime"):
    which_clock: i32
    utx: u64

class sys_enter_clock_getres(Fields, event="syscalls:sys_enter_clock_getres"):
    which_clock: i32
    tp: u64

class sys_enter_clock_gettime(Fields, event="syscalls:sys_enter_clock_gettime"):
    which_clock: i32
    tp: u64

class sys_enter_clock_nanosleep(Fields, event="syscalls:sys_enter_clock_nanosleep"):
    which_clock: i32
    flags: i32
    rqtp: u64
    rmtp: u64

class sys_enter_clock_settime(Fields, event="syscalls:sys_enter_clock_settime"):
    which_clock: i32
    tp: u64

class sys_enter_clone(Fields, event="syscalls:sys_enter_clone"):
    clone_flags: u64
    newsp: u64
    parent_tidptr: User[i32]
    child_tidptr: User[i32]
    tls: u64

class sys_enter_clone3(Fields, event="syscalls:sys_enter_clone3"):
    uargs: u64
    size: u64

class sys_enter_close(Fields, event="syscalls:sys_enter_close"):
    fd: u32

class sys_enter_close_range(Fields, event="syscalls:sys_enter_close_range"):
    fd: u32
    max_fd: u32
    flags: u32

class sys_enter_connect(Fields, event="syscalls:sys_enter_connect"):
    fd: i32
    uservaddr: u64
    addrlen: i32

class sys_enter_copy_file_range(Fields, event="syscalls:sys_enter_copy_file_range"):
    fd_in: i32
    off_in: User[i64]
    fd_out: i32
    off_out: User[i64]
    len: u64
    flags: u32

class sys_enter_creat(Fields, event="syscalls:sys_enter_creat"):
    pathname: UserStr
    mode: u16

class sys_enter_dup(Fields, event="syscalls:sys_enter_dup"):
    fildes: u32

class sys_enter_dup2(Fields, event="syscalls:sys_enter_dup2"):
    oldfd: u32
    newfd: u32

class sys_enter_dup3(Fields, event="syscalls:sys_enter_dup3"):
    oldfd: u32
    newfd: u32
    flags: i32

class sys_enter_epoll_create(Fields, event="syscalls:sys_enter_epoll_create"):
    size: i32

class sys_enter_epoll_create1(Fields, event="syscalls:sys_enter_epoll_create1"):
    flags: i32

class sys_enter_epoll_ctl(Fields, event="syscalls:sys_enter_epoll_ctl"):
    epfd: i32
    op: i32
    fd: i32
    event: u64

class sys_enter_epoll_pwait(Fields, event="syscalls:sys_enter_epoll_pwait"):
    epfd: i32
    events: u64
    maxevents: i32
    timeout: i32
    sigmask: u64
    sigsetsize: u64

class sys_enter_epoll_pwait2(Fields, event="syscalls:sys_enter_epoll_pwait2"):
    epfd: i32
    events: u64
    maxevents: i32
    timeout: u64
    sigmask: u64
    sigsetsize: u64

class sys_enter_epoll_wait(Fields, event="syscalls:sys_enter_epoll_wait"):
    epfd: i32
    events: u64
    maxevents: i32
    timeout: i32

class sys_enter_eventfd(Fields, event="syscalls:sys_enter_eventfd"):
    count: u32

class sys_enter_eventfd2(Fields, event="syscalls:sys_enter_eventfd2"):
    count: u32
    flags: i32

class sys_enter_execve(Fields, event="syscalls:sys_enter_execve"):
    filename: UserStr
    argv: User[u64]
    envp: User[u64]

class sys_enter_execveat(Fields, event="syscalls:sys_enter_execveat"):
    fd: i32
    filename: UserStr
    argv: User[u64]
    envp: User[u64]
    flags: i32

class sys_enter_exit(Fields, event="syscalls:sys_enter_exit"):
    error_code: i32

class sys_enter_exit_group(Fields, event="syscalls:sys_enter_exit_group"):
    error_code: i32

class sys_enter_faccessat(Fields, event="syscalls:sys_enter_faccessat"):
    dfd: i32
    filename: UserStr
    mode: i32

class sys_enter_faccessat2(Fields, event="syscalls:sys_enter_faccessat2"):
    dfd: i32
    filename: UserStr
    mode: i32
    flags: i32

class sys_enter_fadvise64(Fields, event="syscalls:sys_enter_fadvise64"):
    fd: i32
    offset: i64
    len: u64
    advice: i32

class sys_enter_fallocate(Fields, event="syscalls:sys_enter_fallocate"):
    fd: i32
    mode: i32
    offset: i64
    len: i64

class sys_enter_fanotify_init(Fields, event="syscalls:sys_enter_fanotify_init"):
    flags: u32
    event_f_flags: u32

class sys_enter_fanotify_mark(Fields, event="syscalls:sys_enter_fanotify_mark"):
    fanotify_fd: i32
    flags: u32
    mask: u64
    dfd: i32
    pathname: UserStr

class sys_enter_fchdir(Fields, event="syscalls:sys_enter_fchdir"):
    fd: u32

class sys_enter_fchmod(Fields, event="syscalls:sys_enter_fchmod"):
    fd: u32
    mode: u16

class sys_enter_fchmodat(Fields, event="syscalls:sys_enter_fchmodat"):
    dfd: i32
    filename: UserStr
    mode: u16

class sys_enter_fchmodat2(Fields, event="syscalls:sys_enter_fchmodat2"):
    dfd: i32
    filename: UserStr
    mode: u16
    flags: u32

class sys_enter_fchown(Fields, event="syscalls:sys_enter_fchown"):
    fd: u32
    user: u32
    group: u32

class sys_enter_fchownat(Fields, event="syscalls:sys_enter_fchownat"):
    dfd: i32
    filename: UserStr
    user: u32
    group: u32
    flag: i32

class sys_enter_fcntl(Fields, event="syscalls:sys_enter_fcntl"):
    fd: u32
    cmd: u32
    arg: u64

class sys_enter_fdatasync(Fields, event="syscalls:sys_enter_fdatasync"):
    fd: u32

class sys_enter_fgetxattr(Fields, event="syscalls:sys_enter_fgetxattr"):
    fd: i32
    name: UserStr
    value: u64
    size: u64

class sys_enter_file_getattr(Fields, event="syscalls:sys_enter_file_getattr"):
    dfd: i32
    filename: UserStr
    ufattr: u64
    usize: u64
    at_flags: u32

class sys_enter_file_setattr(Fields, event="syscalls:sys_enter_file_setattr"):
    dfd: i32
    filename: UserStr
    ufattr: u64
    usize: u64
    at_flags: u32

class sys_enter_flistxattr(Fields, event="syscalls:sys_enter_flistxattr"):
    fd: i32
    list: User[u8]
    size: u64

class sys_enter_flock(Fields, event="syscalls:sys_enter_flock"):
    fd: u32
    cmd: u32

class sys_enter_fork(Fields, event="syscalls:sys_enter_fork"):
    ...

class sys_enter_fremovexattr(Fields, event="syscalls:sys_enter_fremovexattr"):
    fd: i32
    name: UserStr

class sys_enter_fsconfig(Fields, event="syscalls:sys_enter_fsconfig"):
    fd: i32
    cmd: u32
    _key: UserStr
    _value: u64
    aux: i32

class sys_enter_fsetxattr(Fields, event="syscalls:sys_enter_fsetxattr"):
    fd: i32
    name: UserStr
    value: u64
    size: u64
    flags: i32

class sys_enter_fsmount(Fields, event="syscalls:sys_enter_fsmount"):
    fs_fd: i32
    flags: u32
    attr_flags: u32

class sys_enter_fsopen(Fields, event="syscalls:sys_enter_fsopen"):
    _fs_name: UserStr
    flags: u32

class sys_enter_fspick(Fields, event="syscalls:sys_enter_fspick"):
    dfd: i32
    path: UserStr
    flags: u32

class sys_enter_fstatfs(Fields, event="syscalls:sys_enter_fstatfs"):
    fd: u32
    buf: u64

class sys_enter_fsync(Fields, event="syscalls:sys_enter_fsync"):
    fd: u32

class sys_enter_ftruncate(Fields, event="syscalls:sys_enter_ftruncate"):
    fd: u32
    length: i64

class sys_enter_futex(Fields, event="syscalls:sys_enter_futex"):
    uaddr: User[u32]
    op: i32
    val: u32
    utime: u64
    uaddr2: User[u32]
    val3: u32

class sys_enter_futex_requeue(Fields, event="syscalls:sys_enter_futex_requeue"):
    waiters: u64
    flags: u32
    nr_wake: i32
    nr_requeue: i32

class sys_enter_futex_wait(Fields, event="syscalls:sys_enter_futex_wait"):
    uaddr: u64
    val: u64
    mask: u64
    flags: u32
    timeout: u64
    clockid: i32

class sys_enter_futex_waitv(Fields, event="syscalls:sys_enter_futex_waitv"):
    waiters: u64
    nr_futexes: u32
    flags: u32
    timeout: u64
    clockid: i32

class sys_enter_futex_wake(Fields, event="syscalls:sys_enter_futex_wake"):
    uaddr: u64
    mask: u64
    nr: i32
    flags: u32

class sys_enter_futimesat(Fields, event="syscalls:sys_enter_futimesat"):
    dfd: i32
    filename: UserStr
    utimes: u64

class sys_enter_get_mempolicy(Fields, event="syscalls:sys_enter_get_mempolicy"):
    policy: User[i32]
    nmask: User[u64]
    maxnode: u64
    addr: u64
    flags: u64

class sys_enter_get_robust_list(Fields, event="syscalls:sys_enter_get_robust_list"):
    pid: i32
    head_ptr: User[u64]
    len_ptr: User[u64]

class sys_enter_getcpu(Fields, event="syscalls:sys_enter_getcpu"):
    cpup: User[u32]
    nodep: User[u32]
    unused: u64

class sys_enter_getcwd(Fields, event="syscalls:sys_enter_getcwd"):
    buf: User[u8]
    size: u64

class sys_enter_getdents(Fields, event="syscalls:sys_enter_getdents"):
    fd: u32
    dirent: u64
    count: u32

class sys_enter_getdents64(Fields, event="syscalls:sys_enter_getdents64"):
    fd: u32
    dirent: u64
    count: u32

class sys_enter_getegid(Fields, event="syscalls:sys_enter_getegid"):
    ...

class sys_enter_geteuid(Fields, event="syscalls:sys_enter_geteuid"):
    ...

class sys_enter_getgid(Fields, event="syscalls:sys_enter_getgid"):
    ...

class sys_enter_getgroups(Fields, event="syscalls:sys_enter_getgroups"):
    gidsetsize: i32
    grouplist: User[u32]

class sys_enter_getitimer(Fields, event="syscalls:sys_enter_getitimer"):
    which: i32
    value: u64

class sys_enter_getpeername(Fields, event="syscalls:sys_enter_getpeername"):
    fd: i32
    usockaddr: u64
    usockaddr_len: User[i32]

class sys_enter_getpgid(Fields, event="syscalls:sys_enter_getpgid"):
    pid: i32

class sys_enter_getpgrp(Fields, event="syscalls:sys_enter_getpgrp"):
    ...

class sys_enter_getpid(Fields, event="syscalls:sys_enter_getpid"):
    ...

class sys_enter_getppid(Fields, event="syscalls:sys_enter_getppid"):
    ...

class sys_enter_getpriority(Fields, event="syscalls:sys_enter_getpriority"):
    which: i32
    who: i32

class sys_enter_getrandom(Fields, event="syscalls:sys_enter_getrandom"):
    ubuf: User[u8]
    len: u64
    flags: u32

class sys_enter_getresgid(Fields, event="syscalls:sys_enter_getresgid"):
    rgidp: User[u32]
    egidp: User[u32]
    sgidp: User[u32]

class sys_enter_getresuid(Fields, event="syscalls:sys_enter_getresuid"):
    ruidp: User[u32]
    euidp: User[u32]
    suidp: User[u32]

class sys_enter_getrlimit(Fields, event="syscalls:sys_enter_getrlimit"):
    resource: u32
    rlim: u64

class sys_enter_getrusage(Fields, event="syscalls:sys_enter_getrusage"):
    who: i32
    ru: u64

class sys_enter_getsid(Fields, event="syscalls:sys_enter_getsid"):
    pid: i32

class sys_enter_getsockname(Fields, event="syscalls:sys_enter_getsockname"):
    fd: i32
    usockaddr: u64
    usockaddr_len: User[i32]

class sys_enter_getsockopt(Fields, event="syscalls:sys_enter_getsockopt"):
    fd: i32
    level: i32
    optname: i32
    optval: User[u8]
    optlen: User[i32]

class sys_enter_gettid(Fields, event="syscalls:sys_enter_gettid"):
    ...

class sys_enter_gettimeofday(Fields, event="syscalls:sys_enter_gettimeofday"):
    tv: u64
    tz: u64

class sys_enter_getuid(Fields, event="syscalls:sys_enter_getuid"):
    ...

class sys_enter_getxattr(Fields, event="syscalls:sys_enter_getxattr"):
    pathname: UserStr
    name: UserStr
    value: u64
    size: u64

class sys_enter_getxattrat(Fields, event="syscalls:sys_enter_getxattrat"):
    dfd: i32
    pathname: UserStr
    at_flags: u32
    name: UserStr
    uargs: u64
    usize: u64

class sys_enter_inotify_add_watch(Fields, event="syscalls:sys_enter_inotify_add_watch"):
    fd: i32
    pathname: UserStr
    mask: u32

class sys_enter_inotify_init(Fields, event="syscalls:sys_enter_inotify_init"):
    ...

class sys_enter_inotify_init1(Fields, event="syscalls:sys_enter_inotify_init1"):
    flags: i32

class sys_enter_inotify_rm_watch(Fields, event="syscalls:sys_enter_inotify_rm_watch"):
    fd: i32
    wd: i32

class sys_enter_io_cancel(Fields, event="syscalls:sys_enter_io_cancel"):
    ctx_id: u64
    iocb: u64
    result: u64

class sys_enter_io_destroy(Fields, event="syscalls:sys_enter_io_destroy"):
    ctx: u64

class sys_enter_io_getevents(Fields, event="syscalls:sys_enter_io_getevents"):
    ctx_id: u64
    min_nr: i64
    nr: i64
    events: u64
    timeout: u64

class sys_enter_io_pgetevents(Fields, event="syscalls:sys_enter_io_pgetevents"):
    ctx_id: u64
    min_nr: i64
    nr: i64
    events: u64
    timeout: u64
    usig: u64

class sys_enter_io_setup(Fields, event="syscalls:sys_enter_io_setup"):
    nr_events: u32
    ctxp: User[u64]

class sys_enter_io_submit(Fields, event="syscalls:sys_enter_io_submit"):
    ctx_id: u64
    nr: i64
    iocbpp: User[u64]

class sys_enter_io_uring_enter(Fields, event="syscalls:sys_enter_io_uring_enter"):
    fd: u32
    to_submit: u32
    min_complete: u32
    flags: u32
    argp: u64
    argsz: u64

class sys_enter_io_uring_register(Fields, event="syscalls:sys_enter_io_uring_register"):
    fd: u32
    opcode: u32
    arg: u64
    nr_args: u32

class sys_enter_io_uring_setup(Fields, event="syscalls:sys_enter_io_uring_setup"):
    entries: u32
    params: u64

class sys_enter_ioctl(Fields, event="syscalls:sys_enter_ioctl"):
    fd: u32
    cmd: u32
    arg: u64

class sys_enter_ioperm(Fields, event="syscalls:sys_enter_ioperm"):
    num: u64
    turn_on: i32
    # 'from' cannot be a name here

class sys_enter_iopl(Fields, event="syscalls:sys_enter_iopl"):
    level: u32

class sys_enter_ioprio_get(Fields, event="syscalls:sys_enter_ioprio_get"):
    which: i32
    who: i32

class sys_enter_ioprio_set(Fields, event="syscalls:sys_enter_ioprio_set"):
    which: i32
    who: i32
    ioprio: i32

class sys_enter_kcmp(Fields, event="syscalls:sys_enter_kcmp"):
    pid1: i32
    pid2: i32
    type: i32
    idx1: u64
    idx2: u64

class sys_enter_keyctl(Fields, event="syscalls:sys_enter_keyctl"):
    option: i32
    arg2: u64
    arg3: u64
    arg4: u64
    arg5: u64

class sys_enter_kill(Fields, event="syscalls:sys_enter_kill"):
    pid: i32
    sig: i32

class sys_enter_landlock_add_rule(Fields, event="syscalls:sys_enter_landlock_add_rule"):
    ruleset_fd: i32
    rule_type: u64
    rule_attr: u64
    flags: u32

class sys_enter_landlock_create_ruleset(Fields, event="syscalls:sys_enter_landlock_create_ruleset"):
    attr: u64
    size: u64
    flags: u32

class sys_enter_landlock_restrict_self(Fields, event="syscalls:sys_enter_landlock_restrict_self"):
    ruleset_fd: i32
    flags: u32

class sys_enter_lchown(Fields, event="syscalls:sys_enter_lchown"):
    filename: UserStr
    user: u32
    group: u32

class sys_enter_lgetxattr(Fields, event="syscalls:sys_enter_lgetxattr"):
    pathname: UserStr
    name: UserStr
    value: u64
    size: u64

class sys_enter_link(Fields, event="syscalls:sys_enter_link"):
    oldname: UserStr
    newname: UserStr

class sys_enter_linkat(Fields, event="syscalls:sys_enter_linkat"):
    olddfd: i32
    oldname: UserStr
    newdfd: i32
    newname: UserStr
    flags: i32

class sys_enter_listen(Fields, event="syscalls:sys_enter_listen"):
    fd: i32
    backlog: i32

class sys_enter_listmount(Fields, event="syscalls:sys_enter_listmount"):
    req: u64
    mnt_ids: User[u64]
    nr_mnt_ids: u64
    flags: u32

class sys_enter_listxattr(Fields, event="syscalls:sys_enter_listxattr"):
    pathname: UserStr
    list: User[u8]
    size: u64

class sys_enter_listxattrat(Fields, event="syscalls:sys_enter_listxattrat"):
    dfd: i32
    pathname: UserStr
    at_flags: u32
    list: User[u8]
    size: u64

class sys_enter_llistxattr(Fields, event="syscalls:sys_enter_llistxattr"):
    pathname: UserStr
    list: User[u8]
    size: u64

class sys_enter_lremovexattr(Fields, event="syscalls:sys_enter_lremovexattr"):
    pathname: UserStr
    name: UserStr

class sys_enter_lseek(Fields, event="syscalls:sys_enter_lseek"):
    fd: u32
    offset: i64
    whence: u32

class sys_enter_lsetxattr(Fields, event="syscalls:sys_enter_lsetxattr"):
    pathname: UserStr
    name: UserStr
    value: u64
    size: u64
    flags: i32

class sys_enter_lsm_get_self_attr(Fields, event="syscalls:sys_enter_lsm_get_self_attr"):
    attr: u32
    ctx: u64
    size: User[u32]
    flags: u32

class sys_enter_lsm_list_modules(Fields, event="syscalls:sys_enter_lsm_list_modules"):
    ids: User[u64]
    size: User[u32]
    flags: u32

class sys_enter_lsm_set_self_attr(Fields, event="syscalls:sys_enter_lsm_set_self_attr"):
    attr: u32
    ctx: u64
    size: u32
    flags: u32

class sys_enter_madvise(Fields, event="syscalls:sys_enter_madvise"):
    start: u64
    len_in: u64
    behavior: i32

class sys_enter_mbind(Fields, event="syscalls:sys_enter_mbind"):
    start: u64
    len: u64
    mode: u64
    nmask: User[u64]
    maxnode: u64
    flags: u32

class sys_enter_membarrier(Fields, event="syscalls:sys_enter_membarrier"):
    cmd: i32
    flags: u32
    cpu_id: i32

class sys_enter_memfd_create(Fields, event="syscalls:sys_enter_memfd_create"):
    uname: UserStr
    flags: u32

class sys_enter_memfd_secret(Fields, event="syscalls:sys_enter_memfd_secret"):
    flags: u32

class sys_enter_migrate_pages(Fields, event="syscalls:sys_enter_migrate_pages"):
    pid: i32
    maxnode: u64
    old_nodes: User[u64]
    new_nodes: User[u64]

class sys_enter_mincore(Fields, event="syscalls:sys_enter_mincore"):
    start: u64
    len: u64
    vec: User[u8]

class sys_enter_mkdir(Fields, event="syscalls:sys_enter_mkdir"):
    pathname: UserStr
    mode: u16

class sys_enter_mkdirat(Fields, event="syscalls:sys_enter_mkdirat"):
    dfd: i32
    pathname: UserStr
    mode: u16

class sys_enter_mknod(Fields, event="syscalls:sys_enter_mknod"):
    filename: UserStr
    mode: u16
    dev: u32

class sys_enter_mknodat(Fields, event="syscalls:sys_enter_mknodat"):
    dfd: i32
    filename: UserStr
    mode: u16
    dev: u32

class sys_enter_mlock(Fields, event="syscalls:sys_enter_mlock"):
    start: u64
    len: u64

class sys_enter_mlock2(Fields, event="syscalls:sys_enter_mlock2"):
    start: u64
    len: u64
    flags: i32

class sys_enter_mlockall(Fields, event="syscalls:sys_enter_mlockall"):
    flags: i32

class sys_enter_mmap(Fields, event="syscalls:sys_enter_mmap"):
    addr: u64
    len: u64
    prot: u64
    flags: u64
    fd: u64
    off: u64

class sys_enter_modify_ldt(Fields, event="syscalls:sys_enter_modify_ldt"):
    func: i32
    ptr: u64
    bytecount: u64

class sys_enter_mount(Fields, event="syscalls:sys_enter_mount"):
    dev_name: UserStr
    dir_name: UserStr
    type: UserStr
    flags: u64
    data: u64

class sys_enter_mount_setattr(Fields, event="syscalls:sys_enter_mount_setattr"):
    dfd: i32
    path: UserStr
    flags: u32
    uattr: u64
    usize: u64

class sys_enter_move_mount(Fields, event="syscalls:sys_enter_move_mount"):
    from_dfd: i32
    from_pathname: UserStr
    to_dfd: i32
    to_pathname: UserStr
    flags: u32

class sys_enter_move_pages(Fields, event="syscalls:sys_enter_move_pages"):
    pid: i32
    nr_pages: u64
    pages: User[u64]
    nodes: User[i32]
    status: User[i32]
    flags: i32

class sys_enter_mprotect(Fields, event="syscalls:sys_enter_mprotect"):
    start: u64
    len: u64
    prot: u64

class sys_enter_mq_getsetattr(Fields, event="syscalls:sys_enter_mq_getsetattr"):
    mqdes: i32
    u_mqstat: u64
    u_omqstat: u64

class sys_enter_mq_notify(Fields, event="syscalls:sys_enter_mq_notify"):
    mqdes: i32
    u_notification: u64

class sys_enter_mq_open(Fields, event="syscalls:sys_enter_mq_open"):
    u_name: UserStr
    oflag: i32
    mode: u16
    u_attr: u64

class sys_enter_mq_timedreceive(Fields, event="syscalls:sys_enter_mq_timedreceive"):
    mqdes: i32
    u_msg_ptr: User[u8]
    msg_len: u64
    u_msg_prio: User[u32]
    u_abs_timeout: u64

class sys_enter_mq_timedsend(Fields, event="syscalls:sys_enter_mq_timedsend"):
    mqdes: i32
    u_msg_ptr: User[u8]
    msg_len: u64
    msg_prio: u32
    u_abs_timeout: u64

class sys_enter_mq_unlink(Fields, event="syscalls:sys_enter_mq_unlink"):
    u_name: UserStr

class sys_enter_mremap(Fields, event="syscalls:sys_enter_mremap"):
    addr: u64
    old_len: u64
    new_len: u64
    flags: u64
    new_addr: u64

class sys_enter_mseal(Fields, event="syscalls:sys_enter_mseal"):
    start: u64
    len: u64
    flags: u64

class sys_enter_msgctl(Fields, event="syscalls:sys_enter_msgctl"):
    msqid: i32
    cmd: i32
    buf: u64

class sys_enter_msgget(Fields, event="syscalls:sys_enter_msgget"):
    key: i32
    msgflg: i32

class sys_enter_msgrcv(Fields, event="syscalls:sys_enter_msgrcv"):
    msqid: i32
    msgp: u64
    msgsz: u64
    msgtyp: i64
    msgflg: i32

class sys_enter_msgsnd(Fields, event="syscalls:sys_enter_msgsnd"):
    msqid: i32
    msgp: u64
    msgsz: u64
    msgflg: i32

class sys_enter_msync(Fields, event="syscalls:sys_enter_msync"):
    start: u64
    len: u64
    flags: i32

class sys_enter_munlock(Fields, event="syscalls:sys_enter_munlock"):
    start: u64
    len: u64

class sys_enter_munlockall(Fields, event="syscalls:sys_enter_munlockall"):
    ...

class sys_enter_munmap(Fields, event="syscalls:sys_enter_munmap"):
    addr: u64
    len: u64

class sys_enter_name_to_handle_at(Fields, event="syscalls:sys_enter_name_to_handle_at"):
    dfd: i32
    name: UserStr
    handle: u64
    mnt_id: u64
    flag: i32

class sys_enter_nanosleep(Fields, event="syscalls:sys_enter_nanosleep"):
    rqtp: u64
    rmtp: u64

class sys_enter_newfstat(Fields, event="syscalls:sys_enter_newfstat"):
    fd: u32
    statbuf: u64

class sys_enter_newfstatat(Fields, event="syscalls:sys_enter_newfstatat"):
    dfd: i32
    filename: UserStr
    statbuf: u64
    flag: i32

class sys_enter_newlstat(Fields, event="syscalls:sys_enter_newlstat"):
    filename: UserStr
    statbuf: u64

class sys_enter_newstat(Fields, event="syscalls:sys_enter_newstat"):
    filename: UserStr
    statbuf: u64

class sys_enter_newuname(Fields, event="syscalls:sys_enter_newuname"):
    name: u64

class sys_enter_open(Fields, event="syscalls:sys_enter_open"):
    filename: UserStr
    flags: i32
    mode: u16

class sys_enter_open_by_handle_at(Fields, event="syscalls:sys_enter_open_by_handle_at"):
    mountdirfd: i32
    handle: u64
    flags: i32

class sys_enter_open_tree(Fields, event="syscalls:sys_enter_open_tree"):
    dfd: i32
    filename: UserStr
    flags: u32

class sys_enter_open_tree_attr(Fields, event="syscalls:sys_enter_open_tree_attr"):
    dfd: i32
    filename: UserStr
    flags: u32
    uattr: u64
    usize: u64

class sys_enter_openat(Fields, event="syscalls:sys_enter_openat"):
    dfd: i32
    filename: UserStr
    flags: i32
    mode: u16

class sys_enter_openat2(Fields, event="syscalls:sys_enter_openat2"):
    dfd: i32
    filename: UserStr
    how: u64
    usize: u64

class sys_enter_pause(Fields, event="syscalls:sys_enter_pause"):
    ...

class sys_enter_perf_event_open(Fields, event="syscalls:sys_enter_perf_event_open"):
    attr_uptr: u64
    pid: i32
    cpu: i32
    group_fd: i32
    flags: u64

class sys_enter_personality(Fields, event="syscalls:sys_enter_personality"):
    personality: u32

class sys_enter_pidfd_getfd(Fields, event="syscalls:sys_enter_pidfd_getfd"):
    pidfd: i32
    fd: i32
    flags: u32

class sys_enter_pidfd_open(Fields, event="syscalls:sys_enter_pidfd_open"):
    pid: i32
    flags: u32

class sys_enter_pidfd_send_signal(Fields, event="syscalls:sys_enter_pidfd_send_signal"):
    pidfd: i32
    sig: i32
    info: u64
    flags: u32

class sys_enter_pipe(Fields, event="syscalls:sys_enter_pipe"):
    fildes: User[i32]

class sys_enter_pipe2(Fields, event="syscalls:sys_enter_pipe2"):
    fildes: User[i32]
    flags: i32

class sys_enter_pivot_root(Fields, event="syscalls:sys_enter_pivot_root"):
    new_root: UserStr
    put_old: UserStr

class sys_enter_pkey_alloc(Fields, event="syscalls:sys_enter_pkey_alloc"):
    flags: u64
    init_val: u64

class sys_enter_pkey_free(Fields, event="syscalls:sys_enter_pkey_free"):
    pkey: i32

class sys_enter_pkey_mprotect(Fields, event="syscalls:sys_enter_pkey_mprotect"):
    start: u64
    len: u64
    prot: u64
    pkey: i32

class sys_enter_poll(Fields, event="syscalls:sys_enter_poll"):
    ufds: u64
    nfds: u32
    timeout_msecs: i32

class sys_enter_ppoll(Fields, event="syscalls:sys_enter_ppoll"):
    ufds: u64
    nfds: u32
    tsp: u64
    sigmask: u64
    sigsetsize: u64

class sys_enter_prctl(Fields, event="syscalls:sys_enter_prctl"):
    option: i32
    arg2: u64
    arg3: u64
    arg4: u64
    arg5: u64

class sys_enter_pread64(Fields, event="syscalls:sys_enter_pread64"):
    fd: u32
    buf: User[u8]
    count: u64
    pos: i64

class sys_enter_preadv(Fields, event="syscalls:sys_enter_preadv"):
    fd: u64
    vec: u64
    vlen: u64
    pos_l: u64
    pos_h: u64

class sys_enter_preadv2(Fields, event="syscalls:sys_enter_preadv2"):
    fd: u64
    vec: u64
    vlen: u64
    pos_l: u64
    pos_h: u64
    flags: i32

class sys_enter_prlimit64(Fields, event="syscalls:sys_enter_prlimit64"):
    pid: i32
    resource: u32
    new_rlim: u64
    old_rlim: u64

class sys_enter_process_madvise(Fields, event="syscalls:sys_enter_process_madvise"):
    pidfd: i32
    vec: u64
    vlen: u64
    behavior: i32
    flags: u32

class sys_enter_process_mrelease(Fields, event="syscalls:sys_enter_process_mrelease"):
    pidfd: i32
    flags: u32

class sys_enter_process_vm_readv(Fields, event="syscalls:sys_enter_process_vm_readv"):
    pid: i32
    lvec: u64
    liovcnt: u64
    rvec: u64
    riovcnt: u64
    flags: u64

class sys_enter_process_vm_writev(Fields, event="syscalls:sys_enter_process_vm_writev"):
    pid: i32
    lvec: u64
    liovcnt: u64
    rvec: u64
    riovcnt: u64
    flags: u64

class sys_enter_pselect6(Fields, event="syscalls:sys_enter_pselect6"):
    n: i32
    inp: u64
    outp: u64
    exp: u64
    tsp: u64
    sig: u64

class sys_enter_ptrace(Fields, event="syscalls:sys_enter_ptrace"):
    request: i64
    pid: i64
    addr: u64
    data: u64

class sys_enter_pwrite64(Fields, event="syscalls:sys_enter_pwrite64"):
    fd: u32
    buf: User[u8]
    count: u64
    pos: i64

class sys_enter_pwritev(Fields, event="syscalls:sys_enter_pwritev"):
    fd: u64
    vec: u64
    vlen: u64
    pos_l: u64
    pos_h: u64

class sys_enter_pwritev2(Fields, event="syscalls:sys_enter_pwritev2"):
    fd: u64
    vec: u64
    vlen: u64
    pos_l: u64
    pos_h: u64
    flags: i32

class sys_enter_quotactl(Fields, event="syscalls:sys_enter_quotactl"):
    cmd: u32
    special: UserStr
    id: u32
    addr: u64

class sys_enter_quotactl_fd(Fields, event="syscalls:sys_enter_quotactl_fd"):
    fd: u32
    cmd: u32
    id: u32
    addr: u64

class sys_enter_read(Fields, event="syscalls:sys_enter_read"):
    fd: u32
    buf: User[u8]
    count: u64

class sys_enter_readahead(Fields, event="syscalls:sys_enter_readahead"):
    fd: i32
    offset: i64
    count: u64

class sys_enter_readlink(Fields, event="syscalls:sys_enter_readlink"):
    path: UserStr
    buf: User[u8]
    bufsiz: i32

class sys_enter_readlinkat(Fields, event="syscalls:sys_enter_readlinkat"):
    dfd: i32
    pathname: UserStr
    buf: User[u8]
    bufsiz: i32

class sys_enter_readv(Fields, event="syscalls:sys_enter_readv"):
    fd: u64
    vec: u64
    vlen: u64

class sys_enter_reboot(Fields, event="syscalls:sys_enter_reboot"):
    magic1: i32
    magic2: i32
    cmd: u32
    arg: u64

class sys_enter_recvfrom(Fields, event="syscalls:sys_enter_recvfrom"):
    fd: i32
    ubuf: u64
    size: u64
    flags: u32
    addr: u64
    addr_len: User[i32]

class sys_enter_recvmmsg(Fields, event="syscalls:sys_enter_recvmmsg"):
    fd: i32
    mmsg: u64
    vlen: u32
    flags: u32
    timeout: u64

class sys_enter_recvmsg(Fields, event="syscalls:sys_enter_recvmsg"):
    fd: i32
    msg: u64
    flags: u32

class sys_enter_remap_file_pages(Fields, event="syscalls:sys_enter_remap_file_pages"):
    start: u64
    size: u64
    prot: u64
    pgoff: u64
    flags: u64

class sys_enter_removexattr(Fields, event="syscalls:sys_enter_removexattr"):
    pathname: UserStr
    name: UserStr

class sys_enter_removexattrat(Fields, event="syscalls:sys_enter_removexattrat"):
    dfd: i32
    pathname: UserStr
    at_flags: u32
    name: UserStr

class sys_enter_rename(Fields, event="syscalls:sys_enter_rename"):
    oldname: UserStr
    newname: UserStr

class sys_enter_renameat(Fields, event="syscalls:sys_enter_renameat"):
    olddfd: i32
    oldname: UserStr
    newdfd: i32
    newname: UserStr

class sys_enter_renameat2(Fields, event="syscalls:sys_enter_renameat2"):
    olddfd: i32
    oldname: UserStr
    newdfd: i32
    newname: UserStr
    flags: u32

class sys_enter_request_key(Fields, event="syscalls:sys_enter_request_key"):
    _type: UserStr
    _description: UserStr
    _callout_info: UserStr
    destringid: i32

class sys_enter_restart_syscall(Fields, event="syscalls:sys_enter_restart_syscall"):
    ...

class sys_enter_rmdir(Fields, event="syscalls:sys_enter_rmdir"):
    pathname: UserStr

class sys_enter_rseq(Fields, event="syscalls:sys_enter_rseq"):
    rseq: u64
    rseq_len: u32
    flags: i32
    sig: u32

class sys_enter_rt_sigaction(Fields, event="syscalls:sys_enter_rt_sigaction"):
    sig: i32
    act: u64
    oact: u64
    sigsetsize: u64

class sys_enter_rt_sigpending(Fields, event="syscalls:sys_enter_rt_sigpending"):
    uset: u64
    sigsetsize: u64

class sys_enter_rt_sigprocmask(Fields, event="syscalls:sys_enter_rt_sigprocmask"):
    how: i32
    nset: u64
    oset: u64
    sigsetsize: u64

class sys_enter_rt_sigqueueinfo(Fields, event="syscalls:sys_enter_rt_sigqueueinfo"):
    pid: i32
    sig: i32
    uinfo: u64

class sys_enter_rt_sigreturn(Fields, event="syscalls:sys_enter_rt_sigreturn"):
    ...

class sys_enter_rt_sigsuspend(Fields, event="syscalls:sys_enter_rt_sigsuspend"):
    unewset: u64
    sigsetsize: u64

class sys_enter_rt_sigtimedwait(Fields, event="syscalls:sys_enter_rt_sigtimedwait"):
    uthese: u64
    uinfo: u64
    uts: u64
    sigsetsize: u64

class sys_enter_rt_tgsigqueueinfo(Fields, event="syscalls:sys_enter_rt_tgsigqueueinfo"):
    tgid: i32
    pid: i32
    sig: i32
    uinfo: u64

class sys_enter_sched_get_priority_max(Fields, event="syscalls:sys_enter_sched_get_priority_max"):
    policy: i32

class sys_enter_sched_get_priority_min(Fields, event="syscalls:sys_enter_sched_get_priority_min"):
    policy: i32

class sys_enter_sched_getaffinity(Fields, event="syscalls:sys_enter_sched_getaffinity"):
    pid: i32
    len: u32
    user_mask_ptr: User[u64]

class sys_enter_sched_getattr(Fields, event="syscalls:sys_enter_sched_getattr"):
    pid: i32
    uattr: u64
    usize: u32
    flags: u32

class sys_enter_sched_getparam(Fields, event="syscalls:sys_enter_sched_getparam"):
    pid: i32
    param: u64

class sys_enter_sched_getscheduler(Fields, event="syscalls:sys_enter_sched_getscheduler"):
    pid: i32

class sys_enter_sched_rr_get_interval(Fields, event="syscalls:sys_enter_sched_rr_get_interval"):
    pid: i32
    interval: u64

class sys_enter_sched_setaffinity(Fields, event="syscalls:sys_enter_sched_setaffinity"):
    pid: i32
    len: u32
    user_mask_ptr: User[u64]

class sys_enter_sched_setattr(Fields, event="syscalls:sys_enter_sched_setattr"):
    pid: i32
    uattr: u64
    flags: u32

class sys_enter_sched_setparam(Fields, event="syscalls:sys_enter_sched_setparam"):
    pid: i32
    param: u64

class sys_enter_sched_setscheduler(Fields, event="syscalls:sys_enter_sched_setscheduler"):
    pid: i32
    policy: i32
    param: u64

class sys_enter_sched_yield(Fields, event="syscalls:sys_enter_sched_yield"):
    ...

class sys_enter_seccomp(Fields, event="syscalls:sys_enter_seccomp"):
    op: u32
    flags: u32
    uargs: u64

class sys_enter_select(Fields, event="syscalls:sys_enter_select"):
    n: i32
    inp: u64
    outp: u64
    exp: u64
    tvp: u64

class sys_enter_semctl(Fields, event="syscalls:sys_enter_semctl"):
    semid: i32
    semnum: i32
    cmd: i32
    arg: u64

class sys_enter_semget(Fields, event="syscalls:sys_enter_semget"):
    key: i32
    nsems: i32
    semflg: i32

class sys_enter_semop(Fields, event="syscalls:sys_enter_semop"):
    semid: i32
    tsops: u64
    nsops: u32

class sys_enter_semtimedop(Fields, event="syscalls:sys_enter_semtimedop"):
    semid: i32
    tsops: u64
    nsops: u32
    timeout: u64

class sys_enter_sendfile64(Fields, event="syscalls:sys_enter_sendfile64"):
    out_fd: i32
    in_fd: i32
    offset: User[i64]
    count: u64

class sys_enter_sendmmsg(Fields, event="syscalls:sys_enter_sendmmsg"):
    fd: i32
    mmsg: u64
    vlen: u32
    flags: u32

class sys_enter_sendmsg(Fields, event="syscalls:sys_enter_sendmsg"):
    fd: i32
    msg: u64
    flags: u32

class sys_enter_sendto(Fields, event="syscalls:sys_enter_sendto"):
    fd: i32
    buff: u64
    len: u64
    flags: u32
    addr: u64
    addr_len: i32

class sys_enter_set_mempolicy(Fields, event="syscalls:sys_enter_set_mempolicy"):
    mode: i32
    nmask: User[u64]
    maxnode: u64

class sys_enter_set_mempolicy_home_node(Fields, event="syscalls:sys_enter_set_mempolicy_home_node"):
    start: u64
    len: u64
    home_node: u64
    flags: u64

class sys_enter_set_robust_list(Fields, event="syscalls:sys_enter_set_robust_list"):
    head: u64
    len: u64

class sys_enter_set_tid_address(Fields, event="syscalls:sys_enter_set_tid_address"):
    tidptr: User[i32]

class sys_enter_setdomainname(Fields, event="syscalls:sys_enter_setdomainname"):
    name: UserStr
    len: i32

class sys_enter_setfsgid(Fields, event="syscalls:sys_enter_setfsgid"):
    gid: u32

class sys_enter_setfsuid(Fields, event="syscalls:sys_enter_setfsuid"):
    uid: u32

class sys_enter_setgid(Fields, event="syscalls:sys_enter_setgid"):
    gid: u32

class sys_enter_setgroups(Fields, event="syscalls:sys_enter_setgroups"):
    gidsetsize: i32
    grouplist: User[u32]

class sys_enter_sethostname(Fields, event="syscalls:sys_enter_sethostname"):
    name: UserStr
    len: i32

class sys_enter_setitimer(Fields, event="syscalls:sys_enter_setitimer"):
    which: i32
    value: u64
    ovalue: u64

class sys_enter_setns(Fields, event="syscalls:sys_enter_setns"):
    fd: i32
    flags: i32

class sys_enter_setpgid(Fields, event="syscalls:sys_enter_setpgid"):
    pid: i32
    pgid: i32

class sys_enter_setpriority(Fields, event="syscalls:sys_enter_setpriority"):
    which: i32
    who: i32
    niceval: i32

class sys_enter_setregid(Fields, event="syscalls:sys_enter_setregid"):
    rgid: u32
    egid: u32

class sys_enter_setresgid(Fields, event="syscalls:sys_enter_setresgid"):
    rgid: u32
    egid: u32
    sgid: u32

class sys_enter_setresuid(Fields, event="syscalls:sys_enter_setresuid"):
    ruid: u32
    euid: u32
    suid: u32

class sys_enter_setreuid(Fields, event="syscalls:sys_enter_setreuid"):
    ruid: u32
    euid: u32

class sys_enter_setrlimit(Fields, event="syscalls:sys_enter_setrlimit"):
    resource: u32
    rlim: u64

class sys_enter_setsid(Fields, event="syscalls:sys_enter_setsid"):
    ...

class sys_enter_setsockopt(Fields, event="syscalls:sys_enter_setsockopt"):
    fd: i32
    level: i32
    optname: i32
    optval: User[u8]
    optlen: i32

class sys_enter_settimeofday(Fields, event="syscalls:sys_enter_settimeofday"):
    tv: u64
    tz: u64

class sys_enter_setuid(Fields, event="syscalls:sys_enter_setuid"):
    uid: u32

class sys_enter_setxattr(Fields, event="syscalls:sys_enter_setxattr"):
    pathname: UserStr
    name: UserStr
    value: u64
    size: u64
    flags: i32

class sys_enter_setxattrat(Fields, event="syscalls:sys_enter_setxattrat"):
    dfd: i32
    pathname: UserStr
    at_flags: u32
    name: UserStr
    uargs: u64
    usize: u64

class sys_enter_shmat(Fields, event="syscalls:sys_enter_shmat"):
    shmid: i32
    shmaddr: User[u8]
    shmflg: i32

class sys_enter_shmctl(Fields, event="syscalls:sys_enter_shmctl"):
    shmid: i32
    cmd: i32
    buf: u64

class sys_enter_shmdt(Fields, event="syscalls:sys_enter_shmdt"):
    shmaddr: User[u8]

class sys_enter_shmget(Fields, event="syscalls:sys_enter_shmget"):
    key: i32
    size: u64
    shmflg: i32

class sys_enter_shutdown(Fields, event="syscalls:sys_enter_shutdown"):
    fd: i32
    how: i32

class sys_enter_sigaltstack(Fields, event="syscalls:sys_enter_sigaltstack"):
    uss: u64
    uoss: u64

class sys_enter_signalfd(Fields, event="syscalls:sys_enter_signalfd"):
    ufd: i32
    user_mask: u64
    sizemask: u64

class sys_enter_signalfd4(Fields, event="syscalls:sys_enter_signalfd4"):
    ufd: i32
    user_mask: u64
    sizemask: u64
    flags: i32

class sys_enter_socket(Fields, event="syscalls:sys_enter_socket"):
    family: i32
    type: i32
    protocol: i32

class sys_enter_socketpair(Fields, event="syscalls:sys_enter_socketpair"):
    family: i32
    type: i32
    protocol: i32
    usockvec: User[i32]

class sys_enter_splice(Fields, event="syscalls:sys_enter_splice"):
    fd_in: i32
    off_in: User[i64]
    fd_out: i32
    off_out: User[i64]
    len: u64
    flags: u32

class sys_enter_statfs(Fields, event="syscalls:sys_enter_statfs"):
    pathname: UserStr
    buf: u64

class sys_enter_statmount(Fields, event="syscalls:sys_enter_statmount"):
    req: u64
    buf: u64
    bufsize: u64
    flags: u32

class sys_enter_statx(Fields, event="syscalls:sys_enter_statx"):
    dfd: i32
    filename: UserStr
    flags: u32
    mask: u32
    buffer: u64

class sys_enter_swapoff(Fields, event="syscalls:sys_enter_swapoff"):
    specialfile: UserStr

class sys_enter_swapon(Fields, event="syscalls:sys_enter_swapon"):
    specialfile: UserStr
    swap_flags: i32

class sys_enter_symlink(Fields, event="syscalls:sys_enter_symlink"):
    oldname: UserStr
    newname: UserStr

class sys_enter_symlinkat(Fields, event="syscalls:sys_enter_symlinkat"):
    oldname: UserStr
    newdfd: i32
    newname: UserStr

class sys_enter_sync(Fields, event="syscalls:sys_enter_sync"):
    ...

class sys_enter_sync_file_range(Fields, event="syscalls:sys_enter_sync_file_range"):
    fd: i32
    offset: i64
    nbytes: i64
    flags: u32

class sys_enter_syncfs(Fields, event="syscalls:sys_enter_syncfs"):
    fd: i32

class sys_enter_sysfs(Fields, event="syscalls:sys_enter_sysfs"):
    option: i32
    arg1: u64
    arg2: u64

class sys_enter_sysinfo(Fields, event="syscalls:sys_enter_sysinfo"):
    info: u64

class sys_enter_syslog(Fields, event="syscalls:sys_enter_syslog"):
    type: i32
    buf: User[u8]
    len: i32

class sys_enter_tee(Fields, event="syscalls:sys_enter_tee"):
    fdin: i32
    fdout: i32
    len: u64
    flags: u32

class sys_enter_tgkill(Fields, event="syscalls:sys_enter_tgkill"):
    tgid: i32
    pid: i32
    sig: i32

class sys_enter_time(Fields, event="syscalls:sys_enter_time"):
    tloc: u64

class sys_enter_timer_create(Fields, event="syscalls:sys_enter_timer_create"):
    which_clock: i32
    timer_event_spec: u64
    created_timer_id: User[i32]

class sys_enter_timer_delete(Fields, event="syscalls:sys_enter_timer_delete"):
    timer_id: i32

class sys_enter_timer_getoverrun(Fields, event="syscalls:sys_enter_timer_getoverrun"):
    timer_id: i32

class sys_enter_timer_gettime(Fields, event="syscalls:sys_enter_timer_gettime"):
    timer_id: i32
    setting: u64

class sys_enter_timer_settime(Fields, event="syscalls:sys_enter_timer_settime"):
    timer_id: i32
    flags: i32
    new_setting: u64
    old_setting: u64

class sys_enter_timerfd_create(Fields, event="syscalls:sys_enter_timerfd_create"):
    clockid: i32
    flags: i32

class sys_enter_timerfd_gettime(Fields, event="syscalls:sys_enter_timerfd_gettime"):
    ufd: i32
    otmr: u64

class sys_enter_timerfd_settime(Fields, event="syscalls:sys_enter_timerfd_settime"):
    ufd: i32
    flags: i32
    utmr: u64
    otmr: u64

class sys_enter_times(Fields, event="syscalls:sys_enter_times"):
    tbuf: u64

class sys_enter_tkill(Fields, event="syscalls:sys_enter_tkill"):
    pid: i32
    sig: i32

class sys_enter_truncate(Fields, event="syscalls:sys_enter_truncate"):
    path: UserStr
    length: i64

class sys_enter_umask(Fields, event="syscalls:sys_enter_umask"):
    mask: i32

class sys_enter_umount(Fields, event="syscalls:sys_enter_umount"):
    name: UserStr
    flags: i32

class sys_enter_unlink(Fields, event="syscalls:sys_enter_unlink"):
    pathname: UserStr

class sys_enter_unlinkat(Fields, event="syscalls:sys_enter_unlinkat"):
    dfd: i32
    pathname: UserStr
    flag: i32

class sys_enter_unshare(Fields, event="syscalls:sys_enter_unshare"):
    unshare_flags: u64

class sys_enter_uprobe(Fields, event="syscalls:sys_enter_uprobe"):
    ...

class sys_enter_uretprobe(Fields, event="syscalls:sys_enter_uretprobe"):
    ...

class sys_enter_userfaultfd(Fields, event="syscalls:sys_enter_userfaultfd"):
    flags: i32

class sys_enter_ustat(Fields, event="syscalls:sys_enter_ustat"):
    dev: u32
    ubuf: u64

class sys_enter_utime(Fields, event="syscalls:sys_enter_utime"):
    filename: UserStr
    times: u64

class sys_enter_utimensat(Fields, event="syscalls:sys_enter_utimensat"):
    dfd: i32
    filename: UserStr
    utimes: u64
    flags: i32

class sys_enter_utimes(Fields, event="syscalls:sys_enter_utimes"):
    filename: UserStr
    utimes: u64

class sys_enter_vfork(Fields, event="syscalls:sys_enter_vfork"):
    ...

class sys_enter_vhangup(Fields, event="syscalls:sys_enter_vhangup"):
    ...

class sys_enter_vmsplice(Fields, event="syscalls:sys_enter_vmsplice"):
    fd: i32
    uiov: u64
    nr_segs: u64
    flags: u32

class sys_enter_wait4(Fields, event="syscalls:sys_enter_wait4"):
    upid: i32
    stat_addr: User[i32]
    options: i32
    ru: u64

class sys_enter_waitid(Fields, event="syscalls:sys_enter_waitid"):
    which: i32
    upid: i32
    infop: u64
    options: i32
    ru: u64

class sys_enter_write(Fields, event="syscalls:sys_enter_write"):
    fd: u32
    buf: User[u8]
    count: u64

class sys_enter_writev(Fields, event="syscalls:sys_enter_writev"):
    fd: u64
    vec: u64
    vlen: u64

class sys_exit_accept(Fields, event="syscalls:sys_exit_accept"):
    ret: i64

class sys_exit_accept4(Fields, event="syscalls:sys_exit_accept4"):
    ret: i64

class sys_exit_access(Fields, event="syscalls:sys_exit_access"):
    ret: i64

class sys_exit_acct(Fields, event="syscalls:sys_exit_acct"):
    ret: i64

class sys_exit_add_key(Fields, event="syscalls:sys_exit_add_key"):
    ret: i64

class sys_exit_adjtimex(Fields, event="syscalls:sys_exit_adjtimex"):
    ret: i64

class sys_exit_alarm(Fields, event="syscalls:sys_exit_alarm"):
    ret: i64

class sys_exit_arch_prctl(Fields, event="syscalls:sys_exit_arch_prctl"):
    ret: i64

class sys_exit_bind(Fields, event="syscalls:sys_exit_bind"):
    ret: i64

class sys_exit_bpf(Fields, event="syscalls:sys_exit_bpf"):
    ret: i64

class sys_exit_brk(Fields, event="syscalls:sys_exit_brk"):
    ret: i64

class sys_exit_cachestat(Fields, event="syscalls:sys_exit_cachestat"):
    ret: i64

class sys_exit_capget(Fields, event="syscalls:sys_exit_capget"):
    ret: i64

class sys_exit_capset(Fields, event="syscalls:sys_exit_capset"):
    ret: i64

class sys_exit_chdir(Fields, event="syscalls:sys_exit_chdir"):
    ret: i64

class sys_exit_chmod(Fields, event="syscalls:sys_exit_chmod"):
    ret: i64

class sys_exit_chown(Fields, event="syscalls:sys_exit_chown"):
    ret: i64

class sys_exit_chroot(Fields, event="syscalls:sys_exit_chroot"):
    ret: i64

class sys_exit_clock_adjtime(Fields, event="syscalls:sys_exit_clock_adjtime"):
    ret: i64

class sys_exit_clock_getres(Fields, event="syscalls:sys_exit_clock_getres"):
    ret: i64

class sys_exit_clock_gettime(Fields, event="syscalls:sys_exit_clock_gettime"):
    ret: i64

class sys_exit_clock_nanosleep(Fields, event="syscalls:sys_exit_clock_nanosleep"):
    ret: i64

class sys_exit_clock_settime(Fields, event="syscalls:sys_exit_clock_settime"):
    ret: i64

class sys_exit_clone(Fields, event="syscalls:sys_exit_clone"):
    ret: i64

class sys_exit_clone3(Fields, event="syscalls:sys_exit_clone3"):
    ret: i64

class sys_exit_close(Fields, event="syscalls:sys_exit_close"):
    ret: i64

class sys_exit_close_range(Fields, event="syscalls:sys_exit_close_range"):
    ret: i64

class sys_exit_connect(Fields, event="syscalls:sys_exit_connect"):
    ret: i64

class sys_exit_copy_file_range(Fields, event="syscalls:sys_exit_copy_file_range"):
    ret: i64

class sys_exit_creat(Fields, event="syscalls:sys_exit_creat"):
    ret: i64

class sys_exit_dup(Fields, event="syscalls:sys_exit_dup"):
    ret: i64

class sys_exit_dup2(Fields, event="syscalls:sys_exit_dup2"):
    ret: i64

class sys_exit_dup3(Fields, event="syscalls:sys_exit_dup3"):
    ret: i64

class sys_exit_epoll_create(Fields, event="syscalls:sys_exit_epoll_create"):
    ret: i64

class sys_exit_epoll_create1(Fields, event="syscalls:sys_exit_epoll_create1"):
    ret: i64

class sys_exit_epoll_ctl(Fields, event="syscalls:sys_exit_epoll_ctl"):
    ret: i64

class sys_exit_epoll_pwait(Fields, event="syscalls:sys_exit_epoll_pwait"):
    ret: i64

class sys_exit_epoll_pwait2(Fields, event="syscalls:sys_exit_epoll_pwait2"):
    ret: i64

class sys_exit_epoll_wait(Fields, event="syscalls:sys_exit_epoll_wait"):
    ret: i64

class sys_exit_eventfd(Fields, event="syscalls:sys_exit_eventfd"):
    ret: i64

class sys_exit_eventfd2(Fields, event="syscalls:sys_exit_eventfd2"):
    ret: i64

class sys_exit_execve(Fields, event="syscalls:sys_exit_execve"):
    ret: i64

class sys_exit_execveat(Fields, event="syscalls:sys_exit_execveat"):
    ret: i64

class sys_exit_exit(Fields, event="syscalls:sys_exit_exit"):
    ret: i64

class sys_exit_exit_group(Fields, event="syscalls:sys_exit_exit_group"):
    ret: i64

class sys_exit_faccessat(Fields, event="syscalls:sys_exit_faccessat"):
    ret: i64

class sys_exit_faccessat2(Fields, event="syscalls:sys_exit_faccessat2"):
    ret: i64

class sys_exit_fadvise64(Fields, event="syscalls:sys_exit_fadvise64"):
    ret: i64

class sys_exit_fallocate(Fields, event="syscalls:sys_exit_fallocate"):
    ret: i64

class sys_exit_fanotify_init(Fields, event="syscalls:sys_exit_fanotify_init"):
    ret: i64

class sys_exit_fanotify_mark(Fields, event="syscalls:sys_exit_fanotify_mark"):
    ret: i64

class sys_exit_fchdir(Fields, event="syscalls:sys_exit_fchdir"):
    ret: i64

class sys_exit_fchmod(Fields, event="syscalls:sys_exit_fchmod"):
    ret: i64

class sys_exit_fchmodat(Fields, event="syscalls:sys_exit_fchmodat"):
    ret: i64

class sys_exit_fchmodat2(Fields, event="syscalls:sys_exit_fchmodat2"):
    ret: i64

class sys_exit_fchown(Fields, event="syscalls:sys_exit_fchown"):
    ret: i64

class sys_exit_fchownat(Fields, event="syscalls:sys_exit_fchownat"):
    ret: i64

class sys_exit_fcntl(Fields, event="syscalls:sys_exit_fcntl"):
    ret: i64

class sys_exit_fdatasync(Fields, event="syscalls:sys_exit_fdatasync"):
    ret: i64

class sys_exit_fgetxattr(Fields, event="syscalls:sys_exit_fgetxattr"):
    ret: i64

class sys_exit_file_getattr(Fields, event="syscalls:sys_exit_file_getattr"):
    ret: i64

class sys_exit_file_setattr(Fields, event="syscalls:sys_exit_file_setattr"):
    ret: i64

class sys_exit_flistxattr(Fields, event="syscalls:sys_exit_flistxattr"):
    ret: i64

class sys_exit_flock(Fields, event="syscalls:sys_exit_flock"):
    ret: i64

class sys_exit_fork(Fields, event="syscalls:sys_exit_fork"):
    ret: i64

class sys_exit_fremovexattr(Fields, event="syscalls:sys_exit_fremovexattr"):
    ret: i64

class sys_exit_fsconfig(Fields, event="syscalls:sys_exit_fsconfig"):
    ret: i64

class sys_exit_fsetxattr(Fields, event="syscalls:sys_exit_fsetxattr"):
    ret: i64

class sys_exit_fsmount(Fields, event="syscalls:sys_exit_fsmount"):
    ret: i64

class sys_exit_fsopen(Fields, event="syscalls:sys_exit_fsopen"):
    ret: i64

class sys_exit_fspick(Fields, event="syscalls:sys_exit_fspick"):
    ret: i64

class sys_exit_fstatfs(Fields, event="syscalls:sys_exit_fstatfs"):
    ret: i64

class sys_exit_fsync(Fields, event="syscalls:sys_exit_fsync"):
    ret: i64

class sys_exit_ftruncate(Fields, event="syscalls:sys_exit_ftruncate"):
    ret: i64

class sys_exit_futex(Fields, event="syscalls:sys_exit_futex"):
    ret: i64

class sys_exit_futex_requeue(Fields, event="syscalls:sys_exit_futex_requeue"):
    ret: i64

class sys_exit_futex_wait(Fields, event="syscalls:sys_exit_futex_wait"):
    ret: i64

class sys_exit_futex_waitv(Fields, event="syscalls:sys_exit_futex_waitv"):
    ret: i64

class sys_exit_futex_wake(Fields, event="syscalls:sys_exit_futex_wake"):
    ret: i64

class sys_exit_futimesat(Fields, event="syscalls:sys_exit_futimesat"):
    ret: i64

class sys_exit_get_mempolicy(Fields, event="syscalls:sys_exit_get_mempolicy"):
    ret: i64

class sys_exit_get_robust_list(Fields, event="syscalls:sys_exit_get_robust_list"):
    ret: i64

class sys_exit_getcpu(Fields, event="syscalls:sys_exit_getcpu"):
    ret: i64

class sys_exit_getcwd(Fields, event="syscalls:sys_exit_getcwd"):
    ret: i64

class sys_exit_getdents(Fields, event="syscalls:sys_exit_getdents"):
    ret: i64

class sys_exit_getdents64(Fields, event="syscalls:sys_exit_getdents64"):
    ret: i64

class sys_exit_getegid(Fields, event="syscalls:sys_exit_getegid"):
    ret: i64

class sys_exit_geteuid(Fields, event="syscalls:sys_exit_geteuid"):
    ret: i64

class sys_exit_getgid(Fields, event="syscalls:sys_exit_getgid"):
    ret: i64

class sys_exit_getgroups(Fields, event="syscalls:sys_exit_getgroups"):
    ret: i64

class sys_exit_getitimer(Fields, event="syscalls:sys_exit_getitimer"):
    ret: i64

class sys_exit_getpeername(Fields, event="syscalls:sys_exit_getpeername"):
    ret: i64

class sys_exit_getpgid(Fields, event="syscalls:sys_exit_getpgid"):
    ret: i64

class sys_exit_getpgrp(Fields, event="syscalls:sys_exit_getpgrp"):
    ret: i64

class sys_exit_getpid(Fields, event="syscalls:sys_exit_getpid"):
    ret: i64

class sys_exit_getppid(Fields, event="syscalls:sys_exit_getppid"):
    ret: i64

class sys_exit_getpriority(Fields, event="syscalls:sys_exit_getpriority"):
    ret: i64

class sys_exit_getrandom(Fields, event="syscalls:sys_exit_getrandom"):
    ret: i64

class sys_exit_getresgid(Fields, event="syscalls:sys_exit_getresgid"):
    ret: i64

class sys_exit_getresuid(Fields, event="syscalls:sys_exit_getresuid"):
    ret: i64

class sys_exit_getrlimit(Fields, event="syscalls:sys_exit_getrlimit"):
    ret: i64

class sys_exit_getrusage(Fields, event="syscalls:sys_exit_getrusage"):
    ret: i64

class sys_exit_getsid(Fields, event="syscalls:sys_exit_getsid"):
    ret: i64

class sys_exit_getsockname(Fields, event="syscalls:sys_exit_getsockname"):
    ret: i64

class sys_exit_getsockopt(Fields, event="syscalls:sys_exit_getsockopt"):
    ret: i64

class sys_exit_gettid(Fields, event="syscalls:sys_exit_gettid"):
    ret: i64

class sys_exit_gettimeofday(Fields, event="syscalls:sys_exit_gettimeofday"):
    ret: i64

class sys_exit_getuid(Fields, event="syscalls:sys_exit_getuid"):
    ret: i64

class sys_exit_getxattr(Fields, event="syscalls:sys_exit_getxattr"):
    ret: i64

class sys_exit_getxattrat(Fields, event="syscalls:sys_exit_getxattrat"):
    ret: i64

class sys_exit_inotify_add_watch(Fields, event="syscalls:sys_exit_inotify_add_watch"):
    ret: i64

class sys_exit_inotify_init(Fields, event="syscalls:sys_exit_inotify_init"):
    ret: i64

class sys_exit_inotify_init1(Fields, event="syscalls:sys_exit_inotify_init1"):
    ret: i64

class sys_exit_inotify_rm_watch(Fields, event="syscalls:sys_exit_inotify_rm_watch"):
    ret: i64

class sys_exit_io_cancel(Fields, event="syscalls:sys_exit_io_cancel"):
    ret: i64

class sys_exit_io_destroy(Fields, event="syscalls:sys_exit_io_destroy"):
    ret: i64

class sys_exit_io_getevents(Fields, event="syscalls:sys_exit_io_getevents"):
    ret: i64

class sys_exit_io_pgetevents(Fields, event="syscalls:sys_exit_io_pgetevents"):
    ret: i64

class sys_exit_io_setup(Fields, event="syscalls:sys_exit_io_setup"):
    ret: i64

class sys_exit_io_submit(Fields, event="syscalls:sys_exit_io_submit"):
    ret: i64

class sys_exit_io_uring_enter(Fields, event="syscalls:sys_exit_io_uring_enter"):
    ret: i64

class sys_exit_io_uring_register(Fields, event="syscalls:sys_exit_io_uring_register"):
    ret: i64

class sys_exit_io_uring_setup(Fields, event="syscalls:sys_exit_io_uring_setup"):
    ret: i64

class sys_exit_ioctl(Fields, event="syscalls:sys_exit_ioctl"):
    ret: i64

class sys_exit_ioperm(Fields, event="syscalls:sys_exit_ioperm"):
    ret: i64

class sys_exit_iopl(Fields, event="syscalls:sys_exit_iopl"):
    ret: i64

class sys_exit_ioprio_get(Fields, event="syscalls:sys_exit_ioprio_get"):
    ret: i64

class sys_exit_ioprio_set(Fields, event="syscalls:sys_exit_ioprio_set"):
    ret: i64

class sys_exit_kcmp(Fields, event="syscalls:sys_exit_kcmp"):
    ret: i64

class sys_exit_keyctl(Fields, event="syscalls:sys_exit_keyctl"):
    ret: i64

class sys_exit_kill(Fields, event="syscalls:sys_exit_kill"):
    ret: i64

class sys_exit_landlock_add_rule(Fields, event="syscalls:sys_exit_landlock_add_rule"):
    ret: i64

class sys_exit_landlock_create_ruleset(Fields, event="syscalls:sys_exit_landlock_create_ruleset"):
    ret: i64

class sys_exit_landlock_restrict_self(Fields, event="syscalls:sys_exit_landlock_restrict_self"):
    ret: i64

class sys_exit_lchown(Fields, event="syscalls:sys_exit_lchown"):
    ret: i64

class sys_exit_lgetxattr(Fields, event="syscalls:sys_exit_lgetxattr"):
    ret: i64

class sys_exit_link(Fields, event="syscalls:sys_exit_link"):
    ret: i64

class sys_exit_linkat(Fields, event="syscalls:sys_exit_linkat"):
    ret: i64

class sys_exit_listen(Fields, event="syscalls:sys_exit_listen"):
    ret: i64

class sys_exit_listmount(Fields, event="syscalls:sys_exit_listmount"):
    ret: i64

class sys_exit_listxattr(Fields, event="syscalls:sys_exit_listxattr"):
    ret: i64

class sys_exit_listxattrat(Fields, event="syscalls:sys_exit_listxattrat"):
    ret: i64

class sys_exit_llistxattr(Fields, event="syscalls:sys_exit_llistxattr"):
    ret: i64

class sys_exit_lremovexattr(Fields, event="syscalls:sys_exit_lremovexattr"):
    ret: i64

class sys_exit_lseek(Fields, event="syscalls:sys_exit_lseek"):
    ret: i64

class sys_exit_lsetxattr(Fields, event="syscalls:sys_exit_lsetxattr"):
    ret: i64

class sys_exit_lsm_get_self_attr(Fields, event="syscalls:sys_exit_lsm_get_self_attr"):
    ret: i64

class sys_exit_lsm_list_modules(Fields, event="syscalls:sys_exit_lsm_list_modules"):
    ret: i64

class sys_exit_lsm_set_self_attr(Fields, event="syscalls:sys_exit_lsm_set_self_attr"):
    ret: i64

class sys_exit_madvise(Fields, event="syscalls:sys_exit_madvise"):
    ret: i64

class sys_exit_mbind(Fields, event="syscalls:sys_exit_mbind"):
    ret: i64

class sys_exit_membarrier(Fields, event="syscalls:sys_exit_membarrier"):
    ret: i64

class sys_exit_memfd_create(Fields, event="syscalls:sys_exit_memfd_create"):
    ret: i64

class sys_exit_memfd_secret(Fields, event="syscalls:sys_exit_memfd_secret"):
    ret: i64

class sys_exit_migrate_pages(Fields, event="syscalls:sys_exit_migrate_pages"):
    ret: i64

class sys_exit_mincore(Fields, event="syscalls:sys_exit_mincore"):
    ret: i64

class sys_exit_mkdir(Fields, event="syscalls:sys_exit_mkdir"):
    ret: i64

class sys_exit_mkdirat(Fields, event="syscalls:sys_exit_mkdirat"):
    ret: i64

class sys_exit_mknod(Fields, event="syscalls:sys_exit_mknod"):
    ret: i64

class sys_exit_mknodat(Fields, event="syscalls:sys_exit_mknodat"):
    ret: i64

class sys_exit_mlock(Fields, event="syscalls:sys_exit_mlock"):
    ret: i64

class sys_exit_mlock2(Fields, event="syscalls:sys_exit_mlock2"):
    ret: i64

class sys_exit_mlockall(Fields, event="syscalls:sys_exit_mlockall"):
    ret: i64

class sys_exit_mmap(Fields, event="syscalls:sys_exit_mmap"):
    ret: i64

class sys_exit_modify_ldt(Fields, event="syscalls:sys_exit_modify_ldt"):
    ret: i64

class sys_exit_mount(Fields, event="syscalls:sys_exit_mount"):
    ret: i64

class sys_exit_mount_setattr(Fields, event="syscalls:sys_exit_mount_setattr"):
    ret: i64

class sys_exit_move_mount(Fields, event="syscalls:sys_exit_move_mount"):
    ret: i64

class sys_exit_move_pages(Fields, event="syscalls:sys_exit_move_pages"):
    ret: i64

class sys_exit_mprotect(Fields, event="syscalls:sys_exit_mprotect"):
    ret: i64

class sys_exit_mq_getsetattr(Fields, event="syscalls:sys_exit_mq_getsetattr"):
    ret: i64

class sys_exit_mq_notify(Fields, event="syscalls:sys_exit_mq_notify"):
    ret: i64

class sys_exit_mq_open(Fields, event="syscalls:sys_exit_mq_open"):
    ret: i64

class sys_exit_mq_timedreceive(Fields, event="syscalls:sys_exit_mq_timedreceive"):
    ret: i64

class sys_exit_mq_timedsend(Fields, event="syscalls:sys_exit_mq_timedsend"):
    ret: i64

class sys_exit_mq_unlink(Fields, event="syscalls:sys_exit_mq_unlink"):
    ret: i64

class sys_exit_mremap(Fields, event="syscalls:sys_exit_mremap"):
    ret: i64

class sys_exit_mseal(Fields, event="syscalls:sys_exit_mseal"):
    ret: i64

class sys_exit_msgctl(Fields, event="syscalls:sys_exit_msgctl"):
    ret: i64

class sys_exit_msgget(Fields, event="syscalls:sys_exit_msgget"):
    ret: i64

class sys_exit_msgrcv(Fields, event="syscalls:sys_exit_msgrcv"):
    ret: i64

class sys_exit_msgsnd(Fields, event="syscalls:sys_exit_msgsnd"):
    ret: i64

class sys_exit_msync(Fields, event="syscalls:sys_exit_msync"):
    ret: i64

class sys_exit_munlock(Fields, event="syscalls:sys_exit_munlock"):
    ret: i64

class sys_exit_munlockall(Fields, event="syscalls:sys_exit_munlockall"):
    ret: i64

class sys_exit_munmap(Fields, event="syscalls:sys_exit_munmap"):
    ret: i64

class sys_exit_name_to_handle_at(Fields, event="syscalls:sys_exit_name_to_handle_at"):
    ret: i64

class sys_exit_nanosleep(Fields, event="syscalls:sys_exit_nanosleep"):
    ret: i64

class sys_exit_newfstat(Fields, event="syscalls:sys_exit_newfstat"):
    ret: i64

class sys_exit_newfstatat(Fields, event="syscalls:sys_exit_newfstatat"):
    ret: i64

class sys_exit_newlstat(Fields, event="syscalls:sys_exit_newlstat"):
    ret: i64

class sys_exit_newstat(Fields, event="syscalls:sys_exit_newstat"):
    ret: i64

class sys_exit_newuname(Fields, event="syscalls:sys_exit_newuname"):
    ret: i64

class sys_exit_open(Fields, event="syscalls:sys_exit_open"):
    ret: i64

class sys_exit_open_by_handle_at(Fields, event="syscalls:sys_exit_open_by_handle_at"):
    ret: i64

class sys_exit_open_tree(Fields, event="syscalls:sys_exit_open_tree"):
    ret: i64

class sys_exit_open_tree_attr(Fields, event="syscalls:sys_exit_open_tree_attr"):
    ret: i64

class sys_exit_openat(Fields, event="syscalls:sys_exit_openat"):
    ret: i64

class sys_exit_openat2(Fields, event="syscalls:sys_exit_openat2"):
    ret: i64

class sys_exit_pause(Fields, event="syscalls:sys_exit_pause"):
    ret: i64

class sys_exit_perf_event_open(Fields, event="syscalls:sys_exit_perf_event_open"):
    ret: i64

class sys_exit_personality(Fields, event="syscalls:sys_exit_personality"):
    ret: i64

class sys_exit_pidfd_getfd(Fields, event="syscalls:sys_exit_pidfd_getfd"):
    ret: i64

class sys_exit_pidfd_open(Fields, event="syscalls:sys_exit_pidfd_open"):
    ret: i64

class sys_exit_pidfd_send_signal(Fields, event="syscalls:sys_exit_pidfd_send_signal"):
    ret: i64

class sys_exit_pipe(Fields, event="syscalls:sys_exit_pipe"):
    ret: i64

class sys_exit_pipe2(Fields, event="syscalls:sys_exit_pipe2"):
    ret: i64

class sys_exit_pivot_root(Fields, event="syscalls:sys_exit_pivot_root"):
    ret: i64

class sys_exit_pkey_alloc(Fields, event="syscalls:sys_exit_pkey_alloc"):
    ret: i64

class sys_exit_pkey_free(Fields, event="syscalls:sys_exit_pkey_free"):
    ret: i64

class sys_exit_pkey_mprotect(Fields, event="syscalls:sys_exit_pkey_mprotect"):
    ret: i64

class sys_exit_poll(Fields, event="syscalls:sys_exit_poll"):
    ret: i64

class sys_exit_ppoll(Fields, event="syscalls:sys_exit_ppoll"):
    ret: i64

class sys_exit_prctl(Fields, event="syscalls:sys_exit_prctl"):
    ret: i64

class sys_exit_pread64(Fields, event="syscalls:sys_exit_pread64"):
    ret: i64

class sys_exit_preadv(Fields, event="syscalls:sys_exit_preadv"):
    ret: i64

class sys_exit_preadv2(Fields, event="syscalls:sys_exit_preadv2"):
    ret: i64

class sys_exit_prlimit64(Fields, event="syscalls:sys_exit_prlimit64"):
    ret: i64

class sys_exit_process_madvise(Fields, event="syscalls:sys_exit_process_madvise"):
    ret: i64

class sys_exit_process_mrelease(Fields, event="syscalls:sys_exit_process_mrelease"):
    ret: i64

class sys_exit_process_vm_readv(Fields, event="syscalls:sys_exit_process_vm_readv"):
    ret: i64

class sys_exit_process_vm_writev(Fields, event="syscalls:sys_exit_process_vm_writev"):
    ret: i64

class sys_exit_pselect6(Fields, event="syscalls:sys_exit_pselect6"):
    ret: i64

class sys_exit_ptrace(Fields, event="syscalls:sys_exit_ptrace"):
    ret: i64

class sys_exit_pwrite64(Fields, event="syscalls:sys_exit_pwrite64"):
    ret: i64

class sys_exit_pwritev(Fields, event="syscalls:sys_exit_pwritev"):
    ret: i64

class sys_exit_pwritev2(Fields, event="syscalls:sys_exit_pwritev2"):
    ret: i64

class sys_exit_quotactl(Fields, event="syscalls:sys_exit_quotactl"):
    ret: i64

class sys_exit_quotactl_fd(Fields, event="syscalls:sys_exit_quotactl_fd"):
    ret: i64

class sys_exit_read(Fields, event="syscalls:sys_exit_read"):
    ret: i64

class sys_exit_readahead(Fields, event="syscalls:sys_exit_readahead"):
    ret: i64

class sys_exit_readlink(Fields, event="syscalls:sys_exit_readlink"):
    ret: i64

class sys_exit_readlinkat(Fields, event="syscalls:sys_exit_readlinkat"):
    ret: i64

class sys_exit_readv(Fields, event="syscalls:sys_exit_readv"):
    ret: i64

class sys_exit_reboot(Fields, event="syscalls:sys_exit_reboot"):
    ret: i64

class sys_exit_recvfrom(Fields, event="syscalls:sys_exit_recvfrom"):
    ret: i64

class sys_exit_recvmmsg(Fields, event="syscalls:sys_exit_recvmmsg"):
    ret: i64

class sys_exit_recvmsg(Fields, event="syscalls:sys_exit_recvmsg"):
    ret: i64

class sys_exit_remap_file_pages(Fields, event="syscalls:sys_exit_remap_file_pages"):
    ret: i64

class sys_exit_removexattr(Fields, event="syscalls:sys_exit_removexattr"):
    ret: i64

class sys_exit_removexattrat(Fields, event="syscalls:sys_exit_removexattrat"):
    ret: i64

class sys_exit_rename(Fields, event="syscalls:sys_exit_rename"):
    ret: i64

class sys_exit_renameat(Fields, event="syscalls:sys_exit_renameat"):
    ret: i64

class sys_exit_renameat2(Fields, event="syscalls:sys_exit_renameat2"):
    ret: i64

class sys_exit_request_key(Fields, event="syscalls:sys_exit_request_key"):
    ret: i64

class sys_exit_restart_syscall(Fields, event="syscalls:sys_exit_restart_syscall"):
    ret: i64

class sys_exit_rmdir(Fields, event="syscalls:sys_exit_rmdir"):
    ret: i64

class sys_exit_rseq(Fields, event="syscalls:sys_exit_rseq"):
    ret: i64

class sys_exit_rt_sigaction(Fields, event="syscalls:sys_exit_rt_sigaction"):
    ret: i64

class sys_exit_rt_sigpending(Fields, event="syscalls:sys_exit_rt_sigpending"):
    ret: i64

class sys_exit_rt_sigprocmask(Fields, event="syscalls:sys_exit_rt_sigprocmask"):
    ret: i64

class sys_exit_rt_sigqueueinfo(Fields, event="syscalls:sys_exit_rt_sigqueueinfo"):
    ret: i64

class sys_exit_rt_sigreturn(Fields, event="syscalls:sys_exit_rt_sigreturn"):
    ret: i64

class sys_exit_rt_sigsuspend(Fields, event="syscalls:sys_exit_rt_sigsuspend"):
    ret: i64

class sys_exit_rt_sigtimedwait(Fields, event="syscalls:sys_exit_rt_sigtimedwait"):
    ret: i64

class sys_exit_rt_tgsigqueueinfo(Fields, event="syscalls:sys_exit_rt_tgsigqueueinfo"):
    ret: i64

class sys_exit_sched_get_priority_max(Fields, event="syscalls:sys_exit_sched_get_priority_max"):
    ret: i64

class sys_exit_sched_get_priority_min(Fields, event="syscalls:sys_exit_sched_get_priority_min"):
    ret: i64

class sys_exit_sched_getaffinity(Fields, event="syscalls:sys_exit_sched_getaffinity"):
    ret: i64

class sys_exit_sched_getattr(Fields, event="syscalls:sys_exit_sched_getattr"):
    ret: i64

class sys_exit_sched_getparam(Fields, event="syscalls:sys_exit_sched_getparam"):
    ret: i64

class sys_exit_sched_getscheduler(Fields, event="syscalls:sys_exit_sched_getscheduler"):
    ret: i64

class sys_exit_sched_rr_get_interval(Fields, event="syscalls:sys_exit_sched_rr_get_interval"):
    ret: i64

class sys_exit_sched_setaffinity(Fields, event="syscalls:sys_exit_sched_setaffinity"):
    ret: i64

class sys_exit_sched_setattr(Fields, event="syscalls:sys_exit_sched_setattr"):
    ret: i64

class sys_exit_sched_setparam(Fields, event="syscalls:sys_exit_sched_setparam"):
    ret: i64

class sys_exit_sched_setscheduler(Fields, event="syscalls:sys_exit_sched_setscheduler"):
    ret: i64

class sys_exit_sched_yield(Fields, event="syscalls:sys_exit_sched_yield"):
    ret: i64

class sys_exit_seccomp(Fields, event="syscalls:sys_exit_seccomp"):
    ret: i64

class sys_exit_select(Fields, event="syscalls:sys_exit_select"):
    ret: i64

class sys_exit_semctl(Fields, event="syscalls:sys_exit_semctl"):
    ret: i64

class sys_exit_semget(Fields, event="syscalls:sys_exit_semget"):
    ret: i64

class sys_exit_semop(Fields, event="syscalls:sys_exit_semop"):
    ret: i64

class sys_exit_semtimedop(Fields, event="syscalls:sys_exit_semtimedop"):
    ret: i64

class sys_exit_sendfile64(Fields, event="syscalls:sys_exit_sendfile64"):
    ret: i64

class sys_exit_sendmmsg(Fields, event="syscalls:sys_exit_sendmmsg"):
    ret: i64

class sys_exit_sendmsg(Fields, event="syscalls:sys_exit_sendmsg"):
    ret: i64

class sys_exit_sendto(Fields, event="syscalls:sys_exit_sendto"):
    ret: i64

class sys_exit_set_mempolicy(Fields, event="syscalls:sys_exit_set_mempolicy"):
    ret: i64

class sys_exit_set_mempolicy_home_node(Fields, event="syscalls:sys_exit_set_mempolicy_home_node"):
    ret: i64

class sys_exit_set_robust_list(Fields, event="syscalls:sys_exit_set_robust_list"):
    ret: i64

class sys_exit_set_tid_address(Fields, event="syscalls:sys_exit_set_tid_address"):
    ret: i64

class sys_exit_setdomainname(Fields, event="syscalls:sys_exit_setdomainname"):
    ret: i64

class sys_exit_setfsgid(Fields, event="syscalls:sys_exit_setfsgid"):
    ret: i64

class sys_exit_setfsuid(Fields, event="syscalls:sys_exit_setfsuid"):
    ret: i64

class sys_exit_setgid(Fields, event="syscalls:sys_exit_setgid"):
    ret: i64

class sys_exit_setgroups(Fields, event="syscalls:sys_exit_setgroups"):
    ret: i64

class sys_exit_sethostname(Fields, event="syscalls:sys_exit_sethostname"):
    ret: i64

class sys_exit_setitimer(Fields, event="syscalls:sys_exit_setitimer"):
    ret: i64

class sys_exit_setns(Fields, event="syscalls:sys_exit_setns"):
    ret: i64

class sys_exit_setpgid(Fields, event="syscalls:sys_exit_setpgid"):
    ret: i64

class sys_exit_setpriority(Fields, event="syscalls:sys_exit_setpriority"):
    ret: i64

class sys_exit_setregid(Fields, event="syscalls:sys_exit_setregid"):
    ret: i64

class sys_exit_setresgid(Fields, event="syscalls:sys_exit_setresgid"):
    ret: i64

class sys_exit_setresuid(Fields, event="syscalls:sys_exit_setresuid"):
    ret: i64

class sys_exit_setreuid(Fields, event="syscalls:sys_exit_setreuid"):
    ret: i64

class sys_exit_setrlimit(Fields, event="syscalls:sys_exit_setrlimit"):
    ret: i64

class sys_exit_setsid(Fields, event="syscalls:sys_exit_setsid"):
    ret: i64

class sys_exit_setsockopt(Fields, event="syscalls:sys_exit_setsockopt"):
    ret: i64

class sys_exit_settimeofday(Fields, event="syscalls:sys_exit_settimeofday"):
    ret: i64

class sys_exit_setuid(Fields, event="syscalls:sys_exit_setuid"):
    ret: i64

class sys_exit_setxattr(Fields, event="syscalls:sys_exit_setxattr"):
    ret: i64

class sys_exit_setxattrat(Fields, event="syscalls:sys_exit_setxattrat"):
    ret: i64

class sys_exit_shmat(Fields, event="syscalls:sys_exit_shmat"):
    ret: i64

class sys_exit_shmctl(Fields, event="syscalls:sys_exit_shmctl"):
    ret: i64

class sys_exit_shmdt(Fields, event="syscalls:sys_exit_shmdt"):
    ret: i64

class sys_exit_shmget(Fields, event="syscalls:sys_exit_shmget"):
    ret: i64

class sys_exit_shutdown(Fields, event="syscalls:sys_exit_shutdown"):
    ret: i64

class sys_exit_sigaltstack(Fields, event="syscalls:sys_exit_sigaltstack"):
    ret: i64

class sys_exit_signalfd(Fields, event="syscalls:sys_exit_signalfd"):
    ret: i64

class sys_exit_signalfd4(Fields, event="syscalls:sys_exit_signalfd4"):
    ret: i64

class sys_exit_socket(Fields, event="syscalls:sys_exit_socket"):
    ret: i64

class sys_exit_socketpair(Fields, event="syscalls:sys_exit_socketpair"):
    ret: i64

class sys_exit_splice(Fields, event="syscalls:sys_exit_splice"):
    ret: i64

class sys_exit_statfs(Fields, event="syscalls:sys_exit_statfs"):
    ret: i64

class sys_exit_statmount(Fields, event="syscalls:sys_exit_statmount"):
    ret: i64

class sys_exit_statx(Fields, event="syscalls:sys_exit_statx"):
    ret: i64

class sys_exit_swapoff(Fields, event="syscalls:sys_exit_swapoff"):
    ret: i64

class sys_exit_swapon(Fields, event="syscalls:sys_exit_swapon"):
    ret: i64

class sys_exit_symlink(Fields, event="syscalls:sys_exit_symlink"):
    ret: i64

class sys_exit_symlinkat(Fields, event="syscalls:sys_exit_symlinkat"):
    ret: i64

class sys_exit_sync(Fields, event="syscalls:sys_exit_sync"):
    ret: i64

class sys_exit_sync_file_range(Fields, event="syscalls:sys_exit_sync_file_range"):
    ret: i64

class sys_exit_syncfs(Fields, event="syscalls:sys_exit_syncfs"):
    ret: i64

class sys_exit_sysfs(Fields, event="syscalls:sys_exit_sysfs"):
    ret: i64

class sys_exit_sysinfo(Fields, event="syscalls:sys_exit_sysinfo"):
    ret: i64

class sys_exit_syslog(Fields, event="syscalls:sys_exit_syslog"):
    ret: i64

class sys_exit_tee(Fields, event="syscalls:sys_exit_tee"):
    ret: i64

class sys_exit_tgkill(Fields, event="syscalls:sys_exit_tgkill"):
    ret: i64

class sys_exit_time(Fields, event="syscalls:sys_exit_time"):
    ret: i64

class sys_exit_timer_create(Fields, event="syscalls:sys_exit_timer_create"):
    ret: i64

class sys_exit_timer_delete(Fields, event="syscalls:sys_exit_timer_delete"):
    ret: i64

class sys_exit_timer_getoverrun(Fields, event="syscalls:sys_exit_timer_getoverrun"):
    ret: i64

class sys_exit_timer_gettime(Fields, event="syscalls:sys_exit_timer_gettime"):
    ret: i64

class sys_exit_timer_settime(Fields, event="syscalls:sys_exit_timer_settime"):
    ret: i64

class sys_exit_timerfd_create(Fields, event="syscalls:sys_exit_timerfd_create"):
    ret: i64

class sys_exit_timerfd_gettime(Fields, event="syscalls:sys_exit_timerfd_gettime"):
    ret: i64

class sys_exit_timerfd_settime(Fields, event="syscalls:sys_exit_timerfd_settime"):
    ret: i64

class sys_exit_times(Fields, event="syscalls:sys_exit_times"):
    ret: i64

class sys_exit_tkill(Fields, event="syscalls:sys_exit_tkill"):
    ret: i64

class sys_exit_truncate(Fields, event="syscalls:sys_exit_truncate"):
    ret: i64

class sys_exit_umask(Fields, event="syscalls:sys_exit_umask"):
    ret: i64

class sys_exit_umount(Fields, event="syscalls:sys_exit_umount"):
    ret: i64

class sys_exit_unlink(Fields, event="syscalls:sys_exit_unlink"):
    ret: i64

class sys_exit_unlinkat(Fields, event="syscalls:sys_exit_unlinkat"):
    ret: i64

class sys_exit_unshare(Fields, event="syscalls:sys_exit_unshare"):
    ret: i64

class sys_exit_uprobe(Fields, event="syscalls:sys_exit_uprobe"):
    ret: i64

class sys_exit_uretprobe(Fields, event="syscalls:sys_exit_uretprobe"):
    ret: i64

class sys_exit_userfaultfd(Fields, event="syscalls:sys_exit_userfaultfd"):
    ret: i64

class sys_exit_ustat(Fields, event="syscalls:sys_exit_ustat"):
    ret: i64

class sys_exit_utime(Fields, event="syscalls:sys_exit_utime"):
    ret: i64

class sys_exit_utimensat(Fields, event="syscalls:sys_exit_utimensat"):
    ret: i64

class sys_exit_utimes(Fields, event="syscalls:sys_exit_utimes"):
    ret: i64

class sys_exit_vfork(Fields, event="syscalls:sys_exit_vfork"):
    ret: i64

class sys_exit_vhangup(Fields, event="syscalls:sys_exit_vhangup"):
    ret: i64

class sys_exit_vmsplice(Fields, event="syscalls:sys_exit_vmsplice"):
    ret: i64

class sys_exit_wait4(Fields, event="syscalls:sys_exit_wait4"):
    ret: i64

class sys_exit_waitid(Fields, event="syscalls:sys_exit_waitid"):
    ret: i64

class sys_exit_write(Fields, event="syscalls:sys_exit_write"):
    ret: i64

class sys_exit_writev(Fields, event="syscalls:sys_exit_writev"):
    ret: i64
