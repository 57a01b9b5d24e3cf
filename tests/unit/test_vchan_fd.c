/* SPDX-License-Identifier: ISC */
/* vchan, passing bytes to and from descriptors: all kinds, both sides blocking, ends and failures of either. */
#define _GNU_SOURCE /* pipe2, memfd_create */
#include "tests/unit/suite.h"
#include "tests/unit/vchan_world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xids/vchan_fd.h>

#define RING 2048
/* Where the left ring of order 11 lies in the control page. */
#define RING_AT 2048
#define MUCH 50000

enum kind { PIPE, STREAM, KINDS };

/* A way in and a way out, that never block. */
static void open_kind(enum kind kind, int fds[2])
{
    if (kind == PIPE)
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    else
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    if (kind == STREAM) {
        int other = fds[0];
        fds[0] = fds[1];
        fds[1] = other;
    }
}

static struct xids_vchan_fd end_of(int fd)
{
    struct xids_vchan_fd end;
    ck_assert_int_eq(xids_vchan_fd_init(&end, fd, 0), 0);
    return end;
}

static void close_both(const int fds[2])
{
    ck_assert_int_eq(close(fds[0]), 0);
    ck_assert_int_eq(close(fds[1]), 0);
}

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + i / 256);
}

static void fill(uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = byte_at(i);
}

static int waiting(int fd)
{
    int n = 0;
    ck_assert_int_eq(ioctl(fd, FIONREAD, &n), 0);
    return n;
}

/* Everything through: descriptor, client, server, descriptor. Both ends of the ring pass the end of its memory. */
static void through(enum kind kind, unsigned int flags, uint32_t max)
{
    static uint8_t in[MUCH], out[MUCH];
    struct pair p;
    enum xids_vchan_side side;
    int source[2], sink[2];
    size_t put = 0, got = 0, taken = 0, given = 0;
    bool ended = false;
    fill(in, MUCH);
    pair_open(&p, 11, 12, flags);
    open_kind(kind, source);
    open_kind(kind, sink);
    struct xids_vchan_fd from = end_of(source[0]), to = end_of(sink[1]);
    while (!ended) {
        ssize_t n = put < MUCH ? write(source[1], in + put, MUCH - put < 3000 ? MUCH - put : 3000) : 0;
        put += n > 0 ? (size_t)n : 0;
        if (put == MUCH && n > 0)
            ck_assert_int_eq(kind == PIPE ? close(source[1]) : shutdown(source[1], SHUT_WR), 0);
        int rc = xids_vchan_from_fd(p.c, &side, &from, max);
        ck_assert(rc >= 0 || rc == -XEN_EAGAIN);
        ck_assert(rc >= 0 || side == (taken - given == RING ? XIDS_VCHAN_SIDE_CHANNEL : XIDS_VCHAN_SIDE_FD));
        taken += rc > 0 ? (size_t)rc : 0;
        ck_assert(rc != 0 || (put == MUCH && taken == MUCH));
        ended = rc == 0;
        for (int tries = 0; tries < 2; tries++) {
            rc = xids_vchan_to_fd(p.s, &side, &to, max);
            ck_assert(rc > 0 || rc == -XEN_EAGAIN);
            given += rc > 0 ? (size_t)rc : 0;
        }
        while ((n = read(sink[0], out + got, MUCH - got)) > 0)
            got += (size_t)n;
        ck_assert_uint_eq(got, given);
    }
    if (kind == STREAM)
        ck_assert_int_eq(close(source[1]), 0);
    xids_vchan_fini(p.c);
    free(p.c);
    p.c = NULL;
    for (int rc; (rc = xids_vchan_to_fd(p.s, &side, &to, max)) != 0;) {
        ck_assert_int_gt(rc, 0);
        ssize_t n = read(sink[0], out + got, MUCH - got);
        got += n > 0 ? (size_t)n : 0;
    }
    ck_assert_int_eq(side, XIDS_VCHAN_SIDE_CHANNEL);
    ck_assert_uint_eq(got, MUCH);
    ck_assert_mem_eq(in, out, MUCH);
    ck_assert_int_eq(close(source[0]), 0);
    close_both(sink);
    pair_close(&p);
}

START_TEST(all_bytes_pass_in_order)
{
    static const uint32_t pieces[] = {1, 100, 1777, 65536};
    through((enum kind)(_i % KINDS), _i / KINDS % 2 == 0 ? 0 : XIDS_VCHAN_WIPE, pieces[_i / KINDS / 2]);
}
END_TEST

START_TEST(a_full_ring_leaves_the_descriptor_alone)
{
    struct pair p;
    enum xids_vchan_side side;
    static uint8_t data[RING + 10];
    int fds[2];
    pair_open(&p, 11, 12, 0);
    open_kind((enum kind)_i, fds);
    struct xids_vchan_fd in = end_of(fds[0]);
    ck_assert_int_eq(xids_vchan_from_fd(p.c, &side, &in, 100), -XEN_EAGAIN);
    ck_assert_int_eq(side, XIDS_VCHAN_SIDE_FD);
    ck_assert_int_eq(write(fds[1], data, sizeof(data)), sizeof(data));
    int n = 0;
    for (int rc; n < RING; n += rc) {
        rc = xids_vchan_from_fd(p.c, &side, &in, 65536);
        ck_assert_int_gt(rc, 0);
    }
    ck_assert_int_eq(n, RING);
    ck_assert_int_eq(xids_vchan_from_fd(p.c, &side, &in, 65536), -XEN_EAGAIN);
    ck_assert_int_eq(side, XIDS_VCHAN_SIDE_CHANNEL);
    ck_assert_int_eq(waiting(fds[0]), 10);
    close_both(fds);
    pair_close(&p);
}
END_TEST

START_TEST(a_peer_that_has_gone_costs_no_byte_of_the_descriptor)
{
    struct pair p;
    enum xids_vchan_side side;
    int fds[2];
    pair_open(&p, 12, 12, 0);
    open_kind((enum kind)_i, fds);
    struct xids_vchan_fd in = end_of(fds[0]);
    ck_assert_int_eq(write(fds[1], "four", 4), 4);
    xids_vchan_fini(p.s);
    free(p.s);
    p.s = NULL;
    ck_assert_int_eq(xids_vchan_from_fd(p.c, &side, &in, 100), -XEN_ENOTCONN);
    ck_assert_int_eq(side, XIDS_VCHAN_SIDE_CHANNEL);
    ck_assert_int_eq(waiting(fds[0]), 4);
    ck_assert_int_eq(xids_vchan_to_fd(p.c, &side, &in, 100), 0);
    close_both(fds);
    pair_close(&p);
}
END_TEST

/* A reader who goes in the middle: no signal, what was not written stays, and another descriptor gets it. */
START_TEST(what_a_failing_descriptor_refuses_stays_in_the_ring)
{
    struct pair p;
    enum xids_vchan_side side;
    char got[20];
    int fds[2], others[2];
    sigset_t mask, pending;
    pair_open(&p, 12, 12, 0);
    open_kind((enum kind)_i, fds);
    open_kind((enum kind)_i, others);
    struct xids_vchan_fd out = end_of(fds[1]), other = end_of(others[1]);
    ck_assert_int_eq(xids_vchan_write(p.c, "first and second", 16), 16);
    ck_assert_int_eq(xids_vchan_to_fd(p.s, &side, &out, 6), 6);
    ck_assert_int_eq(close(fds[0]), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(xids_vchan_to_fd(p.s, &side, &out, 100), -EPIPE);
        ck_assert_int_eq(side, XIDS_VCHAN_SIDE_FD);
    }
    ck_assert_int_eq(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
    ck_assert_int_eq(sigpending(&pending), 0);
    ck_assert(sigismember(&mask, SIGPIPE) == 0 && sigismember(&pending, SIGPIPE) == 0);
    ck_assert_int_eq(xids_vchan_readable(p.s), 10);
    ck_assert_int_eq(xids_vchan_to_fd(p.s, &side, &other, 100), 10);
    ck_assert_int_eq(read(others[0], got, sizeof(got)), 10);
    ck_assert_mem_eq(got, "and second", 10);
    ck_assert_int_eq(close(fds[1]), 0);
    close_both(others);
    pair_close(&p);
}
END_TEST

START_TEST(a_signal_that_was_waiting_before_waits_on)
{
    struct pair p;
    enum xids_vchan_side side;
    int fds[2];
    sigset_t only, pending;
    ck_assert(sigemptyset(&only) == 0 && sigaddset(&only, SIGPIPE) == 0);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, &only, NULL), 0);
    ck_assert_int_eq(raise(SIGPIPE), 0);
    pair_open(&p, 12, 12, 0);
    open_kind(PIPE, fds);
    struct xids_vchan_fd out = end_of(fds[1]);
    ck_assert_int_eq(xids_vchan_write(p.c, "x", 1), 1);
    ck_assert_int_eq(close(fds[0]), 0);
    ck_assert_int_eq(xids_vchan_to_fd(p.s, &side, &out, 100), -EPIPE);
    ck_assert_int_eq(sigpending(&pending), 0);
    ck_assert_int_eq(sigismember(&pending, SIGPIPE), 1);
    ck_assert_int_eq(close(fds[1]), 0);
    pair_close(&p);
}
END_TEST

/* A descriptor that takes only a part: exactly that part is consumed. */
START_TEST(a_short_write_consumes_what_was_written)
{
    struct pair p;
    enum xids_vchan_side side;
    static uint8_t data[1 << 18], got[sizeof(data)];
    int fds[2];
    fill(data, sizeof(data));
    pair_open(&p, 18, 12, 0);
    open_kind((enum kind)_i, fds);
    struct xids_vchan_fd out = end_of(fds[1]);
    if (_i == PIPE)
        ck_assert_int_gt(fcntl(fds[1], F_SETPIPE_SZ, 8192), 0);
    ck_assert_int_eq(xids_vchan_write(p.c, data, sizeof(data)), sizeof(data));
    size_t n = 0;
    unsigned int short_ones = 0;
    for (;;) {
        int rc = xids_vchan_to_fd(p.s, &side, &out, sizeof(data));
        if (rc == -XEN_EAGAIN && side == XIDS_VCHAN_SIDE_CHANNEL)
            break;
        ck_assert(rc > 0 || (rc == -XEN_EAGAIN && side == XIDS_VCHAN_SIDE_FD));
        short_ones += rc > 0 && n + (size_t)rc < sizeof(data);
        ck_assert_int_eq(xids_vchan_readable(p.s), (int)(sizeof(data) - n) - (rc > 0 ? rc : 0));
        for (ssize_t r; (r = read(fds[0], got + n, sizeof(got) - n)) > 0;)
            n += (size_t)r;
    }
    ck_assert_uint_gt(short_ones, 0);
    ck_assert_uint_eq(n, sizeof(data));
    ck_assert_mem_eq(data, got, sizeof(data));
    close_both(fds);
    pair_close(&p);
}
END_TEST

START_TEST(a_full_disk_is_an_error_of_the_descriptor)
{
    struct pair p;
    enum xids_vchan_side side;
    pair_open(&p, 12, 12, 0);
    int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    struct xids_vchan_fd full = end_of(fd);
    ck_assert_int_eq(xids_vchan_write(p.c, "kept", 4), 4);
    ck_assert_int_eq(xids_vchan_to_fd(p.s, &side, &full, 100), -XEN_ENOSPC);
    ck_assert_int_eq(side, XIDS_VCHAN_SIDE_FD);
    ck_assert_int_eq(xids_vchan_readable(p.s), 4);
    ck_assert_int_eq(close(fd), 0);
    pair_close(&p);
}
END_TEST

START_TEST(a_file_is_read_to_its_end_and_beyond_when_it_grows)
{
    struct pair p;
    enum xids_vchan_side side;
    char got[20];
    pair_open(&p, 12, 12, 0);
    int fd = memfd_create("xids-test", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    struct xids_vchan_fd file = end_of(fd);
    ck_assert_int_eq(pwrite(fd, "one", 3, 0), 3);
    ck_assert_int_eq(xids_vchan_from_fd(p.c, &side, &file, 100), 3);
    ck_assert_int_eq(xids_vchan_from_fd(p.c, &side, &file, 100), 0);
    ck_assert_int_eq(side, XIDS_VCHAN_SIDE_FD);
    ck_assert_int_eq(pwrite(fd, "two", 3, 3), 3);
    ck_assert_int_eq(xids_vchan_from_fd(p.c, &side, &file, 100), 3);
    ck_assert_int_eq(xids_vchan_to_fd(p.s, &side, &file, 100), 6);
    ck_assert_int_eq(pread(fd, got, sizeof(got), 0), 12);
    ck_assert_mem_eq(got, "onetwoonetwo", 12);
    ck_assert_int_eq(close(fd), 0);
    pair_close(&p);
}
END_TEST

/* A secret leaves nothing in the ring when the descriptor has it. */
START_TEST(a_wiped_channel_is_wiped_behind_the_descriptor)
{
    static const uint8_t zeros[RING];
    struct pair p;
    enum xids_vchan_side side;
    int fds[2];
    pair_open(&p, 11, 12, XIDS_VCHAN_WIPE);
    open_kind(PIPE, fds);
    struct xids_vchan_fd in = end_of(fds[0]), out = end_of(fds[1]);
    ck_assert_int_eq(write(fds[1], "secret", 6), 6);
    ck_assert_int_eq(xids_vchan_from_fd(p.c, &side, &in, 100), 6);
    ck_assert_mem_eq(p.page + RING_AT, "secret", 6);
    ck_assert_int_eq(xids_vchan_to_fd(p.s, &side, &out, 2), 2);
    ck_assert_mem_eq(p.page + RING_AT, "\0\0cret", 6);
    ck_assert_int_eq(xids_vchan_to_fd(p.s, &side, &out, 100), 4);
    ck_assert_mem_eq(p.page + RING_AT, zeros, RING);
    close_both(fds);
    pair_close(&p);
}
END_TEST

START_TEST(errors_of_the_descriptor_are_its_own)
{
    struct pair p;
    enum xids_vchan_side side;
    int fds[2];
    pair_open(&p, 12, 12, 0);
    open_kind(PIPE, fds);
    /* The wrong way round. */
    struct xids_vchan_fd out = end_of(fds[0]), in = end_of(fds[1]);
    ck_assert_int_eq(xids_vchan_write(p.c, "kept", 4), 4);
    ck_assert_int_eq(xids_vchan_from_fd(p.c, &side, &in, 100), -XEN_EBADF);
    ck_assert_int_eq(side, XIDS_VCHAN_SIDE_FD);
    ck_assert_int_eq(xids_vchan_to_fd(p.s, &side, &out, 100), -XEN_EBADF);
    ck_assert_int_eq(side, XIDS_VCHAN_SIDE_FD);
    ck_assert_int_eq(xids_vchan_readable(p.s), 4);
    ck_assert_int_eq(xids_vchan_from_fd(p.c, &side, &in, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_to_fd(p.s, &side, &out, (UINT32_C(1) << 30) + 1), -XEN_EINVAL);
    close_both(fds);
    pair_close(&p);
}
END_TEST

START_TEST(a_broken_channel_touches_no_descriptor)
{
    struct pair p;
    enum xids_vchan_side side;
    int fds[2];
    pair_open(&p, 12, 12, XIDS_VCHAN_PLAIN);
    open_kind(PIPE, fds);
    struct xids_vchan_fd in = end_of(fds[0]), out = end_of(fds[1]);
    ck_assert_int_eq(write(fds[1], "kept", 4), 4);
    /* The left ring's producer index, as the client could set it. */
    memset(p.page + 4, 0x7f, 4);
    ck_assert_int_eq(xids_vchan_to_fd(p.s, &side, &out, 100), -XEN_EBADMSG);
    ck_assert_int_eq(side, XIDS_VCHAN_SIDE_CHANNEL);
    ck_assert_int_eq(xids_vchan_from_fd(p.s, &side, &in, 100), -XEN_EBADMSG);
    ck_assert_int_eq(side, XIDS_VCHAN_SIDE_CHANNEL);
    ck_assert_int_eq(waiting(fds[0]), 4);
    close_both(fds);
    pair_close(&p);
}
END_TEST

START_TEST(what_keeps_messages_apart_is_refused)
{
    static const int types[] = {SOCK_DGRAM, SOCK_SEQPACKET};
    struct xids_vchan_fd end;
    int fds[2];
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, fds), 0);
        ck_assert_int_eq(xids_vchan_fd_init(&end, fds[0], 0), -XEN_EINVAL);
        close_both(fds);
    }
    open_kind(PIPE, fds);
    ck_assert_int_eq(xids_vchan_fd_init(&end, fds[0], 1u << 5), -XEN_EINVAL);
    close_both(fds);
    ck_assert_int_eq(xids_vchan_fd_init(&end, fds[0], 0), -XEN_EBADF);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan fd");
    TCase *moves = tcase_create("moves");
    tcase_add_loop_test(moves, all_bytes_pass_in_order, 0, KINDS * 2 * 4);
    tcase_add_loop_test(moves, a_full_ring_leaves_the_descriptor_alone, 0, KINDS);
    tcase_add_loop_test(moves, a_short_write_consumes_what_was_written, 0, KINDS);
    tcase_add_test(moves, a_file_is_read_to_its_end_and_beyond_when_it_grows);
    tcase_add_test(moves, a_wiped_channel_is_wiped_behind_the_descriptor);
    suite_add_tcase(suite, moves);
    TCase *ends = tcase_create("ends");
    tcase_add_loop_test(ends, a_peer_that_has_gone_costs_no_byte_of_the_descriptor, 0, KINDS);
    tcase_add_loop_test(ends, what_a_failing_descriptor_refuses_stays_in_the_ring, 0, KINDS);
    tcase_add_test(ends, a_signal_that_was_waiting_before_waits_on);
    tcase_add_test(ends, a_full_disk_is_an_error_of_the_descriptor);
    tcase_add_test(ends, errors_of_the_descriptor_are_its_own);
    tcase_add_test(ends, a_broken_channel_touches_no_descriptor);
    tcase_add_test(ends, what_keeps_messages_apart_is_refused);
    suite_add_tcase(suite, ends);
    return suite;
}
