/* SPDX-License-Identifier: ISC */
/* Memory for secrets: what the kernel is told of it, and that it is empty whichever way the process goes. */
#include "config.h"

#include "tests/unit/suite.h"

#include "randomd/daemon.h"

#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL 200u
#define LARGE 100000u /* more than a slot's */

/* A sanitizer turns locking into nothing. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static uint8_t *small, *large;

void log_line(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

static bool fill(void)
{
    small = secret_get(SMALL);
    large = secret_get(LARGE);
    if (small == NULL || large == NULL)
        return false;
    memset(small, 0xa5, SMALL);
    memset(large, 0xa5, LARGE);
    return true;
}

static void setup(void)
{
    ck_assert(fill());
}

static void teardown(void)
{
    secret_put(small, SMALL);
    secret_put(large, LARGE);
}

static bool holds(const uint8_t *mem, size_t len, uint8_t what)
{
    uint8_t wrong = 0;
    for (size_t i = 0; i < len; i++)
        wrong |= mem[i] ^ what;
    return wrong == 0;
}

static bool all_hold(uint8_t what)
{
    return holds(small, SMALL, what) && holds(large, LARGE, what);
}

/* The flags of the mapping that mem lies in, as /proc has them. */
static void flags_of(const void *mem, char *flags, size_t size)
{
    char line[512];
    bool in = false;
    uintptr_t at = (uintptr_t)mem, from, to;
    FILE *f = fopen("/proc/self/smaps", "re");
    ck_assert_ptr_nonnull(f);
    flags[0] = '\0';
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            in = from <= at && at < to;
        else if (in && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(flags, size, "%s", line);
    }
    (void)fclose(f);
}

START_TEST(it_is_neither_dumped_nor_inherited)
{
    const void *const all[] = {small, large};
    for (unsigned int i = 0; i < 2; i++) {
        char flags[512];
        flags_of(all[i], flags, sizeof(flags));
        ck_assert_msg(strstr(flags, " dd") != NULL && strstr(flags, " wf") != NULL, "%s", flags);
        /* Unless the limit forbids it, and that is said. */
        ck_assert_msg(strstr(flags, " lo") != NULL || !secret_locked() || SANITIZED, "%s", flags);
    }
}
END_TEST

/* A line of a cache for what is large: there are types that ask for it. */
START_TEST(it_is_aligned)
{
    ck_assert_uint_eq((uintptr_t)small % 16, 0);
    ck_assert_uint_eq((uintptr_t)large % 64, 0);
}
END_TEST

START_TEST(what_is_put_back_is_empty)
{
    uint8_t *mem = secret_get(SMALL);
    memset(mem, 0xa5, SMALL);
    secret_put(mem, SMALL);
    /* But for the link to the next unused slot, with which it begins. */
    ck_assert(holds(mem + sizeof(void *), SMALL - sizeof(void *), 0));
}
END_TEST

START_TEST(forked_child_finds_zeros)
{
    pid_t child = fork();
    if (child == 0)
        _exit(all_hold(0) ? 0 : 1);
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert(all_hold(0xa5));
}
END_TEST

/* Registered before, so called after what wipes. */
static void look(void)
{
    if (!all_hold(0))
        _exit(1);
}

/* A child of a process that has none yet, as the daemon is when it goes into the background. */
START_TEST(they_are_wiped_at_any_exit)
{
    pid_t child = fork();
    if (child == 0) {
        if (atexit(look) != 0)
            _exit(3);
        secret_process();
        if (!fill())
            _exit(4);
        exit(7);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 7, "%#x", (unsigned int)status);
}
END_TEST

static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGQUIT};

/* It has our memory, but signals of its own. */
static int die(void *number)
{
    secret_process();
    (void)syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), *(const int *)number);
    /* raise, in the handler, asks for the parent's thread and does not find it. */
    (void)syscall(SYS_exit, 9);
    return 0;
}

START_TEST(they_are_wiped_at_a_crash)
{
    int number = deadly[_i], status = 0;
    uint8_t *stack = malloc(1u << 20);
    ck_assert_ptr_nonnull(stack);
    pid_t child = clone(die, stack + (1u << 20) - 64, CLONE_VM | SIGCHLD, &number);
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    free(stack);
    ck_assert(all_hold(0));
}
END_TEST

START_TEST(a_crash_is_still_one)
{
    pid_t child = fork();
    if (child == 0) {
        secret_process();
        (void)raise(deadly[_i]);
        _exit(0);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == deadly[_i] && !WCOREDUMP(status));
}
END_TEST

Suite *xids_suite(void)
{
    const int count = sizeof(deadly) / sizeof(deadly[0]);
    Suite *suite = suite_create("randomd-memory");
    TCase *tc = tcase_create("memory");
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, it_is_aligned);
    tcase_add_test(tc, what_is_put_back_is_empty);
    tcase_add_loop_test(tc, a_crash_is_still_one, 0, count);
    tc = tcase_create("kernel");
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_tags(tc, "secret-memory");
    tcase_add_test(tc, it_is_neither_dumped_nor_inherited);
    tcase_add_test(tc, forked_child_finds_zeros);
    tcase_add_loop_test(tc, they_are_wiped_at_a_crash, 0, count);
    tc = tcase_create("end");
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, they_are_wiped_at_any_exit);
    return suite;
}
