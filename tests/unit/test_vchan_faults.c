/* SPDX-License-Identifier: ISC */
/*
 * What is known to be wrong with libxenvchan 4.17, point by point, and that it is not so here. What is not in this file
 * is in others:
 *
 *     numbers by atoi, paths that are cut off         test_meet_hard, test_meet: the_longest_path_serves
 *     a transaction to publish                        test_vchan_publish: a_server_needs_no_transaction
 *     descriptors by the channel                      bench/vchan: idle-2000-fds
 *     the death of a domain is not seen               test_vchan_end: a_domain_that_dies_is_found_by_asking
 */
#include "tests/unit/suite.h"
#include "tests/unit/vchan_subject.h"

#include <string.h>

static struct hw w;
static struct vs end[2]; /* the server's, the client's */
static uint8_t *page;
static struct xids_platform_ops failing_ops;

static void failed(const char *what)
{
    ck_abort_msg("%s", what);
}

static void setup(void)
{
    hook_failed = failed;
    hw_init(&w);
    for (int d = 0; d < 2; d++)
        vs_new(&end[d], &w, d);
    hook_begin(HOOK_IN_ORDER, NULL, NULL);
}

static void teardown(void)
{
    for (int d = 1; d >= 0; d--) {
        vs_leave(&end[d]);
        vs_free(&end[d]);
    }
    ck_assert_uint_eq(hw_left(&w), 0);
}

static void open_both(unsigned int flags)
{
    ck_assert(vs_serve(&end[0], 12, 12, flags));
    page = hw_page(xids_vchan_ring_ref(end[0].ch));
    ck_assert(vs_connect(&end[1], xids_vchan_ring_ref(end[0].ch), xids_vchan_port(end[0].ch), flags));
    for (int d = 0; d < 2; d++)
        vs_do(&end[d], VS_EVENT, 0, 0);
    hook_limit(0);
}

/* The protocol of libxenvchan, and ours, in turn. */
#define LOOP_FLAGS ((_i & 1) != 0 ? (unsigned int)XIDS_VCHAN_PLAIN : 0u)

/* ---- setup ---- */

static int fail_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                      const struct xids_unmap_notify *notify)
{
    (void)ctx;
    (void)pages;
    (void)refs;
    (void)domid;
    (void)count;
    (void)flags;
    (void)notify;
    return -XEN_ENOSPC;
}

/* What it gives back then it takes from memory that nobody has written to. */
START_TEST(a_setup_that_fails_trusts_no_old_memory)
{
    failing_ops = *w.domain[0].platform.ops;
    failing_ops.share = fail_share;
    struct xids_platform full = {&failing_ops, &w.domain[0], HW_DOMID(0)};
    memset(end[0].ch, 0xa5, xids_vchan_size());
    int rc = xids_vchan_server_init(end[0].ch, &full, HW_DOMID(1), 12, 12, LOOP_FLAGS);
    ck_assert_int_eq(rc, -XEN_ENOSPC);
    ck_assert_uint_eq(hw_left(&w), 0);
}
END_TEST

START_TEST(nothing_about_a_channel_is_left_to_old_memory)
{
    for (int d = 0; d < 2; d++)
        memset(end[d].ch, _i < 2 ? 0xa5 : 0xff, xids_vchan_size());
    open_both(LOOP_FLAGS);
    char got[4];
    /* No call blocks, each publishes at once, nobody is lost or broken. */
    for (int d = 0; d < 2; d++) {
        ck_assert_int_eq(xids_vchan_read(end[d].ch, got, 4), -XEN_EAGAIN);
        ck_assert_int_eq(xids_vchan_write(end[d].ch, "here", 4), 4);
        ck_assert_int_eq(xids_vchan_read(end[1 - d].ch, got, 4), 4);
        ck_assert_int_eq(xids_vchan_state(end[d].ch), XIDS_VCHAN_OPEN);
        ck_assert_int_eq(xids_vchan_error(end[d].ch), 0);
        ck_assert_str_eq(xids_vchan_reason(end[d].ch), "");
    }
}
END_TEST

/* ---- moving ---- */

static int fail_notify(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    (void)port;
    return -XEN_EIO;
}

/* Its send and recv say -1 then, as if nothing had been moved. */
START_TEST(what_was_moved_is_counted_though_nobody_could_be_told)
{
    open_both(LOOP_FLAGS);
    char got[8];
    struct xids_vchan *writer = end[0].ch, *reader = end[1].ch;
    ck_assert_int_eq(xids_vchan_write(writer, "told", 4), 4);
    ck_assert_int_eq(xids_vchan_arm(writer, 0, 4096), 0);
    failing_ops = *w.domain[1].platform.ops;
    failing_ops.evtchn_notify = fail_notify;
    w.domain[1].platform.ops = &failing_ops;
    ck_assert_int_eq(xids_vchan_read(reader, got, 8), 4);
    ck_assert_int_eq(xids_vchan_read(reader, got, 8), -XEN_EIO);
    ck_assert_str_ne(xids_vchan_reason(reader), "");
    ck_assert_int_eq(xids_vchan_writable(writer), 4096);
    xids_vchan_fini(reader);
    end[1].up = false;
}
END_TEST

static unsigned int until_end;

static void write_and_close(void *ctx, const struct hook_access *access)
{
    (void)ctx;
    if (access->nth != until_end || !end[1].up)
        return;
    vs_do(&end[1], VS_WRITE, 100, 0);
    vs_leave(&end[1]);
}

/* Its reader looks for bytes, then whether the peer is there: what comes in between is lost. */
START_TEST(last_words_are_heard_wherever_they_come)
{
    char got[200];
    for (until_end = 0;; until_end++) {
        open_both(LOOP_FLAGS);
        (void)hw_run(&w, 0);
        int sum = 0, rc = 0;
        hook_begin(HOOK_IN_ORDER, write_and_close, NULL);
        while ((rc = xids_vchan_read(end[0].ch, got, sizeof(got))) != 0 && hook_count() < 1000)
            sum += rc > 0 ? rc : 0;
        (void)hook_end();
        ck_assert_int_eq(rc, 0);
        ck_assert_int_eq(sum, 100);
        vs_leave(&end[0]);
        if (until_end == 50)
            break;
    }
}
END_TEST

START_TEST(a_channel_that_cannot_go_on_says_so_and_why)
{
    open_both(LOOP_FLAGS);
    uint32_t impossible = 0x80000000;
    /* The client's index of the left ring, where this protocol has it. */
    memcpy(page + (xids_vchan_extended(end[0].ch) ? 3072 + 128 : 4), &impossible, 4);
    char got[4];
    ck_assert_int_eq(xids_vchan_read(end[0].ch, got, 4), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_arm(end[0].ch, 1, 0), -XEN_EBADMSG);
    ck_assert_str_ne(xids_vchan_reason(end[0].ch), "");
}
END_TEST

START_TEST(our_own_indices_are_not_the_peers_to_move)
{
    open_both(LOOP_FLAGS);
    char got[4] = "";
    uint32_t lie = 77;
    ck_assert_int_eq(xids_vchan_write(end[1].ch, "mine", 4), 4);
    /* The server's consumer index, which the client here moves. */
    memcpy(page + (xids_vchan_extended(end[0].ch) ? 3072 + 64 + 4 : 0), &lie, 4);
    ck_assert_int_eq(xids_vchan_read(end[0].ch, got, 4), 4);
    ck_assert_mem_eq(got, "mine", 4);
}
END_TEST

START_TEST(a_packet_that_can_never_go_is_refused)
{
    open_both(LOOP_FLAGS);
    ck_assert_int_eq(xids_vchan_send(end[0].ch, end[0].buffer, 4097), -XEN_EMSGSIZE);
    ck_assert_int_eq(xids_vchan_recv(end[0].ch, end[0].buffer, 4097), -XEN_EMSGSIZE);
}
END_TEST

/* ---- what it costs ---- */

static unsigned int locked, stores;

static void count(void *ctx, const struct hook_access *access)
{
    (void)ctx;
    locked += access->kind == HOOK_BITS || access->kind == HOOK_FENCE;
    stores += access->kind == HOOK_STORE || access->kind == HOOK_BITS;
}

START_TEST(looking_for_bytes_or_room_only_reads)
{
    open_both(LOOP_FLAGS);
    locked = stores = 0;
    hook_begin(HOOK_IN_ORDER, count, NULL);
    (void)hw_run(&w, 0);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(xids_vchan_readable(end[0].ch), 0);
        ck_assert_int_eq(xids_vchan_writable(end[0].ch), 4096);
        ck_assert_int_eq(xids_vchan_read(end[0].ch, end[0].buffer, 16), -XEN_EAGAIN);
    }
    ck_assert_uint_gt(hook_end(), 10);
    ck_assert_uint_eq(locked, 0);
    ck_assert_uint_eq(stores, 0);
}
END_TEST

/* One fence for each look whether the peer sleeps, and nothing locked while it does not. */
START_TEST(a_message_to_a_peer_that_is_awake_costs_one_fence)
{
    open_both(LOOP_FLAGS);
    ck_assert_int_eq(xids_vchan_write(end[0].ch, end[0].buffer, 16), 16);
    locked = 0;
    unsigned int events = w.domain[0].notifies;
    hook_begin(HOOK_IN_ORDER, count, NULL);
    (void)hw_run(&w, 0);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(xids_vchan_write(end[0].ch, end[0].buffer, 16), 16);
    (void)hook_end();
    ck_assert_uint_eq(locked, 10);
    ck_assert_uint_eq(w.domain[0].notifies, events);
}
END_TEST

/* It has a wake-up for each piece: here there is one, and with the extension not before all is there. */
START_TEST(who_waits_for_much_is_not_woken_for_little)
{
    open_both(LOOP_FLAGS);
    struct xids_vchan *writer = end[1].ch;
    ck_assert_int_eq(xids_vchan_arm(end[0].ch, 320, 0), 0);
    unsigned int before = w.domain[1].notifies;
    for (int i = 0; i < 19; i++)
        ck_assert_int_eq(xids_vchan_write(writer, end[1].buffer, 16), 16);
    ck_assert_uint_eq(w.domain[1].notifies - before, xids_vchan_extended(writer) ? 0 : 1);
    ck_assert_int_eq(xids_vchan_write(writer, end[1].buffer, 16), 16);
    ck_assert_uint_eq(w.domain[1].notifies - before, 1);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan faults");
    TCase *t = tcase_create("faults");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_loop_test(t, a_setup_that_fails_trusts_no_old_memory, 0, 2);
    tcase_add_loop_test(t, nothing_about_a_channel_is_left_to_old_memory, 0, 4);
    tcase_add_loop_test(t, what_was_moved_is_counted_though_nobody_could_be_told, 0, 2);
    tcase_add_loop_test(t, last_words_are_heard_wherever_they_come, 0, 2);
    tcase_add_loop_test(t, a_channel_that_cannot_go_on_says_so_and_why, 0, 2);
    tcase_add_loop_test(t, our_own_indices_are_not_the_peers_to_move, 0, 2);
    tcase_add_loop_test(t, a_packet_that_can_never_go_is_refused, 0, 2);
    tcase_add_loop_test(t, looking_for_bytes_or_room_only_reads, 0, 2);
    tcase_add_loop_test(t, a_message_to_a_peer_that_is_awake_costs_one_fence, 0, 2);
    tcase_add_loop_test(t, who_waits_for_much_is_not_woken_for_little, 0, 2);
    suite_add_tcase(suite, t);
    return suite;
}
