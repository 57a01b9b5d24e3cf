/* SPDX-License-Identifier: ISC */
/*
 * What the daemon gives up once it serves: capabilities and system calls. What a call outside the list gets is EPERM,
 * and a line of the kernel's audit log, not death: guests cannot run on without their store, nor well without their
 * entropy, and a C library that has learnt another call must not take it from them.
 */
#include "config.h"

#include "xenstore/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <termios.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* What would make more of a child than a process. */
#define NAMESPACES \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* Nothing of these can be turned against anybody else. */
static const int always[] = {
    /* bytes */
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64),
    SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(lseek),
    /* connections */
    SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(shutdown), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(close), SCMP_SYS(fcntl), SCMP_SYS(dup), SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    /* waiting */
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll),
    SCMP_SYS(ppoll), SCMP_SYS(eventfd2), SCMP_SYS(pipe2), SCMP_SYS(futex), SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    /* memory */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock), SCMP_SYS(munlock),
    SCMP_SYS(msync), SCMP_SYS(fallocate),
    /* what there is */
    SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(readlink),
    SCMP_SYS(readlinkat), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(uname), SCMP_SYS(getpid), SCMP_SYS(gettid),
    SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getrusage),
    SCMP_SYS(sysinfo), SCMP_SYS(getrandom), SCMP_SYS(umask),
    /* its own files, at the end: whoever may write to their folders may do that anyway */
    SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(chdir),
    /* signals to itself */
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(exit),
    SCMP_SYS(exit_group), SCMP_SYS(rseq), SCMP_SYS(membarrier), SCMP_SYS(set_robust_list)};

/* Of another program in our place, which asks for a sandbox of its own. */
static const int exec_only[] = {
    SCMP_SYS(wait4),        SCMP_SYS(alarm),        SCMP_SYS(setitimer),  SCMP_SYS(execve),
    SCMP_SYS(memfd_create), SCMP_SYS(arch_prctl),   SCMP_SYS(prlimit64),  SCMP_SYS(prctl),
    SCMP_SYS(seccomp),      SCMP_SYS(capget),       SCMP_SYS(capset),     SCMP_SYS(set_tid_address),
    SCMP_SYS(bind),         SCMP_SYS(listen),       SCMP_SYS(getdents64), SCMP_SYS(getcwd),
    SCMP_SYS(setsid),       SCMP_SYS(epoll_create), SCMP_SYS(ftruncate),  SCMP_SYS(mkdir)};

static const int file_only[] = {SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(ftruncate),
                                SCMP_SYS(mkdir),  SCMP_SYS(fsync),    SCMP_SYS(fdatasync), SCMP_SYS(flock)};

static const int area_only[] = {SCMP_SYS(memfd_create), SCMP_SYS(ftruncate)};

/* A C library does without these, in an older way that is on a list or not, when there are none; but only then. */
static const int unheard_of[] = {SCMP_SYS(clone3), SCMP_SYS(close_range), SCMP_SYS(epoll_pwait2), SCMP_SYS(faccessat2)};

static int answer_each(scmp_filter_ctx f, uint32_t action, const int *calls, size_t count)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = seccomp_rule_add(f, action, calls[i], 0);
        /* A call that this architecture does not have, or one that is on two lists. */
        if (rc == -EDOM || rc == -EEXIST)
            rc = 0;
    }
    return rc;
}

#define ANSWER_EACH(f, action, calls) answer_each(f, action, calls, sizeof(calls) / sizeof((calls)[0]))
#define ALLOW_EACH(f, calls) ANSWER_EACH(f, SCMP_ACT_ALLOW, calls)

/* Only with an argument whose bits of mask are value. */
static int allow_if(scmp_filter_ctx f, int call, unsigned int arg, uint64_t mask, uint64_t value)
{
    const struct scmp_arg_cmp want = {.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
    int rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, call, 1, &want);
    return rc == -EEXIST ? 0 : rc;
}

/* Xen's devices and libuv's own; none that reaches into a terminal. */
static int allow_ioctls(scmp_filter_ctx f)
{
    static const uint32_t devices[] = {'P', 'E', 'G'}; /* privcmd, evtchn, gntdev */
    static const uint32_t plain[] = {FIONBIO, FIOCLEX, FIONCLEX, FIONREAD, TCGETS};
    int rc = 0;
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]) && rc == 0; i++)
        rc = allow_if(f, SCMP_SYS(ioctl), 1, 0xff00, devices[i] << 8);
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]) && rc == 0; i++)
        rc = allow_if(f, SCMP_SYS(ioctl), 1, UINT32_MAX, plain[i]);
    return rc;
}

static int allow_memory(scmp_filter_ctx f, bool exec)
{
    static const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    int rc = 0;
    if (exec)
        return ALLOW_EACH(f, calls);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && rc == 0; i++)
        rc = allow_if(f, calls[i], 2, PROT_EXEC, 0);
    return rc;
}

static int allow_opening(scmp_filter_ctx f, const struct sandbox_needs *needs)
{
    if (needs->files)
        return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 0);
    const uint64_t making = O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
    return allow_if(f, SCMP_SYS(openat), 2, needs->pipes || needs->exec ? making : making | O_ACCMODE, 0);
}

/* To the system's log, when that was started again. A datagram reaches no manager that would do things for us. A stream
 * does, but for whom it is needed; another program in our place may have to listen. */
static int allow_sockets(scmp_filter_ctx f, bool streams)
{
    const struct scmp_arg_cmp want[] = {
        {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_UNIX},
        {.arg = 1, .op = SCMP_CMP_MASKED_EQ, .datum_a = streams ? 0 : 0xf, .datum_b = streams ? 0 : SOCK_DGRAM},
    };
    int rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, want);
    return rc == 0 ? seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0) : rc;
}

static int filter(const struct sandbox_needs *needs)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (f == NULL)
        return -ENOMEM;
    /* An abort is a signal to ourselves. */
    int rc = allow_if(f, SCMP_SYS(tgkill), 0, UINT32_MAX, (uint64_t)needs->pid);
    (void)seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, 1); /* as far as the kernel can */
    /* A call is found by halving the list: the kernel remembers only those that need no look at their arguments. */
    (void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (rc == 0)
        rc = ALLOW_EACH(f, always);
    if (rc == 0)
        rc = ANSWER_EACH(f, SCMP_ACT_ERRNO(ENOSYS), unheard_of);
    if (rc == 0)
        rc = allow_ioctls(f);
    if (rc == 0)
        rc = allow_memory(f, needs->exec);
    if (rc == 0)
        rc = allow_opening(f, needs);
    if (rc == 0)
        rc = allow_sockets(f, needs->exec || needs->streams);
    if (rc == 0 && needs->files)
        rc = ALLOW_EACH(f, file_only);
    if (rc == 0 && needs->areas)
        rc = ALLOW_EACH(f, area_only);
    if (rc == 0 && needs->threads)
        rc = allow_if(f, SCMP_SYS(clone), 0, CLONE_THREAD | NAMESPACES, CLONE_THREAD);
    if (rc == 0 && needs->exec)
        rc = ALLOW_EACH(f, exec_only);
    if (rc == 0 && needs->exec)
        rc = allow_if(f, SCMP_SYS(clone), 0, NAMESPACES, 0);
    if (rc == 0)
        rc = seccomp_load(f);
    seccomp_release(f);
    return rc;
}

/* Pages for hypercalls are locked in memory; Xen's devices are open, and ask for nothing more. */
static int drop_capabilities(void)
{
    if (capng_get_caps_process() < 0)
        return -EIO;
    if (capng_have_capabilities(CAPNG_SELECT_CAPS) <= CAPNG_NONE)
        return 0;
    bool bounding = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
    bool lock = capng_have_capability(CAPNG_PERMITTED, CAP_IPC_LOCK) != 0;
    capng_clear(CAPNG_SELECT_BOTH);
    if (lock)
        (void)capng_updatev(CAPNG_ADD, (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET),
                            CAP_IPC_LOCK, -1);
    return capng_apply(bounding ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0 ? -EPERM : 0;
}

int sandbox_enter(const struct sandbox_needs *needs)
{
    if (SANITIZED)
        return -ENOTSUP;
    int rc = drop_capabilities();
    return rc == 0 ? filter(needs) : rc;
}
