/* SPDX-License-Identifier: ISC */
/* The sandbox of the daemons: each call is made by a child that has entered it. */
#include "tests/unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xenstore/sandbox.h"

#define NO_SANDBOX 200

static char scratch[] = "/tmp/xids-sandbox-XXXXXX";

/* What a call ends with in the sandbox: 0 or its errno. Also outside of a test. */
static int tried(struct sandbox_needs needs, int (*call)(void))
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        needs.pid = getpid();
        int rc = sandbox_enter(&needs);
        if (rc < 0)
            _exit(rc == -ENOTSUP ? NO_SANDBOX : 201);
        errno = 0;
        _exit(call() < 0 ? errno : 0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 202;
}

static int make_file(void)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "%s/file", scratch);
    int rc = open(name, O_RDWR | O_CREAT, 0600);
    if (rc >= 0)
        (void)unlink(name);
    return rc;
}

static int cut_file(void)
{
    return open("/dev/null", O_RDONLY | O_TRUNC);
}

static int open_for_writing(void)
{
    return open("/dev/null", O_WRONLY);
}

static int open_for_reading(void)
{
    return open("/dev/null", O_RDONLY);
}

static int reach_the_net(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int make_stream(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int make_datagram(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int become_another(void)
{
    return execl("/bin/true", "true", (char *)NULL);
}

static int make_a_child(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return (int)pid;
}

static void *nothing_to_do(void *arg)
{
    return arg;
}

static int make_a_thread(void)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, nothing_to_do, NULL);
    if (errno == 0)
        (void)pthread_join(thread, NULL);
    return errno == 0 ? 0 : -1;
}

static int make_a_namespace(void)
{
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    return (int)pid;
}

static int signal_another(void)
{
    return kill(getppid(), 0);
}

static int look_into_another(void)
{
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int map_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static int make_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? 0 : mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static int change_a_mode(void)
{
    return chmod(scratch, 0777);
}

/* Where it is allowed it fails with ENOTTY. */
static int type_into_a_terminal(void)
{
    int fd = open("/dev/null", O_RDONLY);
    return fd < 0 ? 0 : ioctl(fd, TIOCSTI, "x");
}

static int do_a_daemons_work(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC), event = eventfd(0, EFD_CLOEXEC), on = 1;
    uint64_t one = 1;
    struct epoll_event e = {.events = EPOLLIN};
    char *much = malloc(8u << 20);
    if (much == NULL || epoll < 0 || event < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, event, &e) < 0 ||
        write(event, &one, sizeof(one)) < 0 || epoll_wait(epoll, &e, 1, -1) != 1 || ioctl(event, FIONBIO, &on) < 0)
        return -1;
    memset(much, 1, 8u << 20);
    free(much);
    return close(epoll);
}

static const struct sandbox_needs nothing = {.files = false};
static const struct sandbox_needs files = {.files = true};
static const struct sandbox_needs pipes = {.pipes = true};
static const struct sandbox_needs exec = {.exec = true};
static const struct sandbox_needs streams = {.streams = true};
static const struct sandbox_needs threads = {.threads = true};

static const struct {
    const char *what;
    int (*call)(void);
    int nothing, files, pipes, exec, streams, threads; /* what it ends with, for each need */
} calls[] = {
    {"make a file", make_file, EPERM, 0, EPERM, EPERM, EPERM, EPERM},
    {"cut a file", cut_file, EPERM, 0, EPERM, EPERM, EPERM, EPERM},
    {"open for writing", open_for_writing, EPERM, 0, 0, 0, EPERM, EPERM},
    {"open for reading", open_for_reading, 0, 0, 0, 0, 0, 0},
    {"reach the net", reach_the_net, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM},
    {"make a stream", make_stream, EPERM, EPERM, EPERM, 0, 0, EPERM},
    {"make a datagram", make_datagram, 0, 0, 0, 0, 0, 0},
    {"become another", become_another, EPERM, EPERM, EPERM, 0, EPERM, EPERM},
    {"make a child", make_a_child, EPERM, EPERM, EPERM, 0, EPERM, EPERM},
    {"make a thread", make_a_thread, EPERM, EPERM, EPERM, 0, EPERM, 0},
    {"make a namespace", make_a_namespace, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM},
    {"signal another", signal_another, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM},
    {"look into another", look_into_another, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM},
    {"map code", map_code, EPERM, EPERM, EPERM, 0, EPERM, EPERM},
    {"make code", make_code, EPERM, EPERM, EPERM, 0, EPERM, EPERM},
    {"change a mode", change_a_mode, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM},
    {"type into a terminal", type_into_a_terminal, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM},
    {"do a daemon's work", do_a_daemons_work, 0, 0, 0, 0, 0, 0},
};

START_TEST(only_what_is_needed_is_allowed)
{
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    int got[] = {tried(nothing, calls[_i].call), tried(files, calls[_i].call),   tried(pipes, calls[_i].call),
                 tried(exec, calls[_i].call),    tried(streams, calls[_i].call), tried(threads, calls[_i].call)};
    (void)rmdir(scratch);
    ck_assert_msg(got[0] == calls[_i].nothing, "%s: %d", calls[_i].what, got[0]);
    ck_assert_msg(got[1] == calls[_i].files, "%s, files: %d", calls[_i].what, got[1]);
    ck_assert_msg(got[2] == calls[_i].pipes, "%s, pipes: %d", calls[_i].what, got[2]);
    ck_assert_msg(got[3] == calls[_i].exec, "%s, exec: %d", calls[_i].what, got[3]);
    ck_assert_msg(got[4] == calls[_i].streams, "%s, streams: %d", calls[_i].what, got[4]);
    ck_assert_msg(got[5] == calls[_i].threads, "%s, threads: %d", calls[_i].what, got[5]);
}
END_TEST

/* The calls differ outside the sandbox, or the cases above would show nothing. */
START_TEST(without_it_they_are_allowed)
{
    ck_assert_int_ge(open_for_writing(), 0);
    ck_assert_int_ge(make_stream(), 0);
    ck_assert_int_eq(map_code(), 0);
    ck_assert_int_eq(make_code(), 0);
    ck_assert_int_eq(signal_another(), 0);
}
END_TEST

START_TEST(a_build_with_a_sanitizer_has_none)
{
    ck_assert_int_eq(tried(nothing, open_for_writing), NO_SANDBOX);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_sandbox");
    TCase *t = tcase_create("sandbox");
    if (tried(nothing, do_a_daemons_work) == NO_SANDBOX) {
        tcase_add_test(t, a_build_with_a_sanitizer_has_none);
    } else {
        /* QEMU's emulation of a processor has no filters of system calls: tests/arm64.sh leaves these out. */
        tcase_set_tags(t, "seccomp");
        tcase_add_loop_test(t, only_what_is_needed_is_allowed, 0, (int)(sizeof(calls) / sizeof(calls[0])));
        TCase *without = tcase_create("without");
        tcase_add_test(without, without_it_they_are_allowed);
        suite_add_tcase(suite, without);
    }
    suite_add_tcase(suite, t);
    return suite;
}
