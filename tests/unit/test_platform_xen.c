/* SPDX-License-Identifier: ISC */
/* platform/xen over stand-ins for Xen's libraries: what it asks of them, and how it takes their failures. */
#include "tests/unit/suite.h"
#include "tests/unit/xen_fakes.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <xids/platform_xen.h>

static struct xids_platform *p;
static void *ctx;
static const struct xids_platform_ops *ops;

static void setup(void)
{
    fakes_init();
    ck_assert_int_eq(xids_platform_xen_open_as(&p, 0, 0), 0);
    ctx = p->ctx;
    ops = p->ops;
}

static void teardown(void)
{
    fakes.fail = 0;
    xids_platform_xen_close(p);
    ck_assert_int_eq(fakes.open, 0);
    ck_assert_int_eq(fakes.shared_pages, 0);
    fakes_fini();
}

static bool readable(int fd)
{
    struct pollfd f = {.fd = fd, .events = POLLIN};
    return poll(&f, 1, 0) == 1;
}

START_TEST(the_ith_call_that_fails_leaves_nothing_open)
{
    struct xids_platform *second;
    int before = fakes.open;
    fakes.fail = EMFILE;
    fakes.fail_after = _i;
    ck_assert_int_eq(xids_platform_xen_open_as(&second, 0, 0), -XEN_EMFILE);
    ck_assert_int_eq(fakes.open, before);
}
END_TEST

START_TEST(closing_nothing_is_allowed)
{
    xids_platform_xen_close(NULL);
}
END_TEST

START_TEST(pages_of_our_own_cannot_be_granted)
{
    grant_ref_t ref;
    ck_assert_int_eq(ops->grant(ctx, &ref, 1, NULL, 0), -XEN_ENOSYS);
    ck_assert_int_eq(ops->grant_end(ctx, 9), -XEN_ENOSYS);
}
END_TEST

START_TEST(shares_are_spread_over_files)
{
    static void *at[1024];
    grant_ref_t ref;
    for (int i = 0; i < 1024; i++)
        ck_assert_int_eq(ops->share(ctx, &at[i], &ref, 1, 1, 0, NULL), 0);
    ck_assert_int_eq(fakes.shares, 4);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(ops->unshare(ctx, at[i], 1), 0);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(ops->share(ctx, &at[i], &ref, 1, 1, 0, NULL), 0);
    ck_assert_int_eq(fakes.shares, 4);
}
END_TEST

START_TEST(each_of_many_shares_is_found)
{
    enum { SHARES = 1000 };
    static void *at[SHARES];
    unsigned int order = 7;
    for (unsigned int round = 0; round < 2; round++) {
        for (unsigned int i = 0; i < SHARES; i++) {
            grant_ref_t refs[3];
            ck_assert_int_eq(ops->share(ctx, &at[i], refs, 1, i % 3 + 1, 0, NULL), 0);
        }
        /* In an order that has nothing to do with the addresses: 7, 20, ... by a step that has no part of 1000. */
        for (unsigned int i = 0; i < SHARES; i++, order = (order + 13) % SHARES) {
            ck_assert_int_eq(ops->unshare(ctx, at[order], (order + 1) % 3 + 1), -XEN_EINVAL);
            ck_assert_int_eq(ops->unshare(ctx, at[order], order % 3 + 1), 0);
            ck_assert_int_eq(ops->unshare(ctx, at[order], order % 3 + 1), -XEN_EINVAL);
        }
        ck_assert_int_eq(fakes.shared_pages, 0);
    }
}
END_TEST

START_TEST(a_big_share_has_a_file_of_its_own)
{
    void *big, *small;
    static grant_ref_t refs[1024];
    ck_assert_int_eq(ops->share(ctx, &small, refs, 1, 1, 0, NULL), 0);
    ck_assert_int_eq(ops->share(ctx, &big, refs, 1, 1024, 0, NULL), 0);
    ck_assert_int_eq(fakes.shares, 2);
    ck_assert_int_eq(ops->unshare(ctx, big, 1023), -XEN_EINVAL);
    ck_assert_int_eq(ops->unshare(ctx, (char *)big + 4096, 1), -XEN_EINVAL);
    ck_assert_int_eq(ops->unshare(ctx, big, 1024), 0);
    ck_assert_int_eq(ops->unshare(ctx, big, 1024), -XEN_EINVAL);
}
END_TEST

START_TEST(a_share_that_fails_tells_why_and_leaves_nothing)
{
    void *at;
    grant_ref_t ref;
    fakes.fail = ENOSPC;
    fakes.fail_after = _i;
    ck_assert_int_eq(ops->share(ctx, &at, &ref, 1, 1, 0, NULL), -XEN_ENOSPC);
    ck_assert_int_eq(fakes.shared_pages, 0);
}
END_TEST

START_TEST(a_notification_is_passed_on_with_all_ones_for_what_is_left_out)
{
    void *at;
    grant_ref_t ref = 9;
    void XIDS_PEER *area;
    struct xids_unmap_notify both = {true, 100, 5}, byte = {true, 0, 0}, event = {false, 77, 6};
    ck_assert_int_eq(ops->share(ctx, &at, &ref, 1, 1, 0, &both), 0);
    ck_assert_uint_eq(fakes.notify_offset, 100);
    ck_assert_uint_eq(fakes.notify_port, 5);
    ck_assert_int_eq(ops->map(ctx, &area, &ref, 1, 1, 0, &byte), 0);
    ck_assert_uint_eq(fakes.notify_offset, 0);
    ck_assert_uint_eq(fakes.notify_port, UINT32_MAX);
    ck_assert_int_eq(ops->unmap(ctx, area, 1), 0);
    ck_assert_int_eq(ops->map(ctx, &area, &ref, 1, 1, 0, &event), 0);
    ck_assert_uint_eq(fakes.notify_offset, UINT32_MAX);
    ck_assert_uint_eq(fakes.notify_port, 6);
    ck_assert_int_eq(ops->unmap(ctx, area, 1), 0);
}
END_TEST

START_TEST(a_notification_for_more_than_a_page_cannot_be_had)
{
    void *at;
    grant_ref_t refs[2] = {8, 9};
    void XIDS_PEER *area;
    struct xids_unmap_notify notify = {true, 5000, 5}, beyond = {true, 8192, 5}, none = {false, 0, 0};
    ck_assert_int_eq(ops->share(ctx, &at, refs, 1, 2, 0, &notify), -XEN_ENOSYS);
    ck_assert_int_eq(ops->map(ctx, &area, refs, 1, 2, 0, &notify), -XEN_ENOSYS);
    ck_assert_int_eq(ops->map(ctx, &area, refs, 1, 2, 0, &beyond), -XEN_EINVAL);
    ck_assert_int_eq(ops->map(ctx, &area, refs, 1, 2, 0, &none), 0);
    ck_assert_int_eq(ops->unmap(ctx, area, 2), 0);
}
END_TEST

START_TEST(reading_and_writing_are_asked_for_as_told)
{
    void *at;
    grant_ref_t ref;
    void XIDS_PEER *area;
    ck_assert_int_eq(ops->share(ctx, &at, &ref, 1, 1, XIDS_GRANT_READONLY, NULL), 0);
    ck_assert_int_eq(fakes.writable, 0);
    ck_assert_int_eq(ops->share(ctx, &at, &ref, 1, 1, 0, NULL), 0);
    ck_assert_int_eq(fakes.writable, 1);
    ck_assert_int_eq(ops->map(ctx, &area, &ref, 1, 1, XIDS_MAP_READONLY, NULL), 0);
    ck_assert_int_eq(fakes.prot, PROT_READ);
    ck_assert_int_eq(ops->unmap(ctx, area, 1), 0);
}
END_TEST

START_TEST(a_map_that_fails_tells_why)
{
    static const struct {
        int err, rc;
    } cases[] = {{EINVAL, -XEN_EACCES}, {ENOMEM, -XEN_ENOMEM}, {EAGAIN, -XEN_EAGAIN}, {ENOSPC, -XEN_ENOSPC}};
    grant_ref_t ref = 8;
    void XIDS_PEER *area;
    fakes.fail = cases[_i].err;
    ck_assert_int_eq(ops->map(ctx, &area, &ref, 1, 1, 0, NULL), cases[_i].rc);
    ck_assert_int_eq(ops->map(ctx, &area, &ref, 1, 0, 0, NULL), -XEN_EINVAL);
    ck_assert_int_eq(ops->map(ctx, &area, &ref, 1, 1025, 0, NULL), -XEN_EINVAL);
}
END_TEST

START_TEST(copies_go_in_batches_without_the_senseless_ones)
{
    struct xids_grant_copy c[70];
    for (int i = 0; i < 70; i++)
        c[i] = (struct xids_grant_copy){.domid = 1, .ref = 8, .len = (uint16_t)(i % 10 == 3 ? 0 : 16), .memory = c};
    fakes.copy_status[0] = GNTST_bad_gntref;
    fakes.copy_status[1] = GNTST_eagain;
    fakes.copy_status[2] = GNTST_bad_copy_arg;
    fakes.copy_status[3] = GNTST_bad_domain;
    ck_assert_int_eq(ops->copy(ctx, c, 70), 0);
    ck_assert_uint_eq(fakes.copies, 63);
    ck_assert_uint_eq(fakes.copy_calls, 2);
    ck_assert_int_eq(c[0].status, -XEN_EACCES);
    ck_assert_int_eq(c[1].status, -XEN_EAGAIN);
    ck_assert_int_eq(c[2].status, -XEN_EINVAL);
    ck_assert_int_eq(c[3].status, -XEN_EINVAL);
    ck_assert_int_eq(c[4].status, -XEN_EACCES);
    ck_assert_int_eq(c[5].status, 0);
    ck_assert_int_eq(ops->copy(ctx, c, 0), 0);
}
END_TEST

START_TEST(a_copy_that_fails_as_a_whole_says_so)
{
    struct xids_grant_copy c = {.domid = 1, .ref = 8, .offset = 4, .len = 16, .memory = &c, .to_grant = true};
    ck_assert_int_eq(ops->copy(ctx, &c, 1), 0);
    ck_assert_uint_eq(fakes.last_copy.flags, GNTCOPY_dest_gref);
    ck_assert_uint_eq(fakes.last_copy.dest.foreign.offset, 4);
    ck_assert_ptr_eq(fakes.last_copy.source.virt, &c);
    fakes.fail = ENOTTY;
    ck_assert_int_eq(ops->copy(ctx, &c, 1), -ENOTTY);
}
END_TEST

START_TEST(only_what_was_taken_is_unmasked_in_the_kernel)
{
    int port = ops->evtchn_alloc(ctx, 1);
    ck_assert_int_eq(ops->evtchn_unmask(ctx, (evtchn_port_t)port), 0);
    ck_assert_int_eq(ops->evtchn_mask(ctx, (evtchn_port_t)port), 0);
    ck_assert_int_eq(ops->evtchn_unmask(ctx, (evtchn_port_t)port), 0);
    ck_assert_int_eq(fakes.unmasks, 0);
    fakes_event((uint8_t)port);
    ck_assert_int_eq(ops->evtchn_pending(ctx), port);
    ck_assert_int_eq(ops->evtchn_unmask(ctx, (evtchn_port_t)port), 0);
    ck_assert_int_eq(fakes.unmasks, 1);
}
END_TEST

START_TEST(the_event_descriptor_is_readable_when_a_held_port_is_unmasked)
{
    int port = ops->evtchn_alloc(ctx, 1);
    int fd = xids_platform_xen_event_fd(p);
    ck_assert(!readable(fd));
    ck_assert_int_eq(ops->evtchn_mask(ctx, (evtchn_port_t)port), 0);
    fakes_event((uint8_t)port);
    ck_assert(readable(fd));
    ck_assert_int_eq(ops->evtchn_pending(ctx), 0);
    ck_assert(!readable(fd));
    ck_assert_int_eq(ops->evtchn_unmask(ctx, (evtchn_port_t)port), 0);
    ck_assert(readable(fd));
    ck_assert_int_eq(ops->evtchn_pending(ctx), port);
    ck_assert(!readable(fd));
    ck_assert_int_eq(fakes.unmasks, 0);
    ck_assert_int_eq(ops->evtchn_unmask(ctx, (evtchn_port_t)port), 0);
    ck_assert_int_eq(fakes.unmasks, 1);
}
END_TEST

START_TEST(held_ports_come_in_order_and_closed_ones_not)
{
    evtchn_port_t ports[5];
    for (int i = 0; i < 5; i++) {
        ports[i] = (evtchn_port_t)ops->evtchn_alloc(ctx, 1);
        ck_assert_int_eq(ops->evtchn_mask(ctx, ports[i]), 0);
        fakes_event((uint8_t)ports[i]);
    }
    ck_assert_int_eq(ops->evtchn_pending(ctx), 0);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(ops->evtchn_unmask(ctx, ports[i]), 0);
    ck_assert_int_eq(ops->evtchn_close(ctx, ports[0]), 0);
    ck_assert_int_eq(ops->evtchn_close(ctx, ports[2]), 0);
    ck_assert_int_eq(ops->evtchn_mask(ctx, ports[4]), 0);
    ck_assert_int_eq(ops->evtchn_pending(ctx), (int)ports[1]);
    ck_assert_int_eq(ops->evtchn_pending(ctx), (int)ports[3]);
    ck_assert_int_eq(ops->evtchn_pending(ctx), 0);
    ck_assert_int_eq(ops->evtchn_unmask(ctx, ports[4]), 0);
    ck_assert_int_eq(ops->evtchn_pending(ctx), (int)ports[4]);
    ck_assert(!readable(xids_platform_xen_event_fd(p)));
}
END_TEST

START_TEST(an_event_of_a_port_closed_meanwhile_is_let_pass)
{
    int a = ops->evtchn_alloc(ctx, 1);
    int b = ops->evtchn_alloc(ctx, 1);
    fakes_event((uint8_t)a);
    fakes_event((uint8_t)b);
    fakes_event(200);
    ck_assert_int_eq(ops->evtchn_close(ctx, (evtchn_port_t)a), 0);
    ck_assert_int_eq(ops->evtchn_pending(ctx), b);
    ck_assert_int_eq(ops->evtchn_pending(ctx), 0);
}
END_TEST

START_TEST(waiting_does_not_end_for_masked_ports)
{
    int quiet = ops->evtchn_alloc(ctx, 1);
    int loud = ops->evtchn_alloc(ctx, 1);
    ck_assert_int_eq(ops->evtchn_mask(ctx, (evtchn_port_t)quiet), 0);
    fakes_event((uint8_t)quiet);
    ck_assert_int_eq(ops->wait(ctx, ops->now(ctx) + 1000000), 0);
    fakes_event((uint8_t)loud);
    ck_assert_int_eq(ops->wait(ctx, UINT64_MAX), 1);
    ck_assert_int_eq(ops->wait(ctx, UINT64_MAX), 1);
    ck_assert_int_eq(ops->evtchn_pending(ctx), loud);
    ck_assert_int_eq(ops->evtchn_pending(ctx), 0);
}
END_TEST

START_TEST(failures_of_event_channels_are_told)
{
    int port = ops->evtchn_alloc(ctx, 1);
    fakes_event((uint8_t)port);
    ck_assert_int_eq(ops->evtchn_pending(ctx), port);
    fakes.fail = EINVAL;
    ck_assert_int_eq(ops->evtchn_alloc(ctx, 1), -XEN_EINVAL);
    ck_assert_int_eq(ops->evtchn_bind(ctx, 1, 4), -XEN_EINVAL);
    ck_assert_int_eq(ops->evtchn_bind_virq(ctx, 3), -XEN_EINVAL);
    ck_assert_int_eq(ops->evtchn_notify(ctx, (evtchn_port_t)port), -XEN_EINVAL);
    ck_assert_int_eq(ops->evtchn_unmask(ctx, (evtchn_port_t)port), -XEN_EINVAL);
    ck_assert_int_eq(ops->evtchn_pending(ctx), -XEN_EINVAL);
    ck_assert_int_eq(ops->evtchn_close(ctx, (evtchn_port_t)port), -XEN_EINVAL);
}
END_TEST

START_TEST(states_are_told_in_our_words)
{
    static const struct {
        uint32_t xen;
        int ours;
    } states[] = {{EVTCHNSTAT_closed, XIDS_EVTCHN_CLOSED}, {EVTCHNSTAT_unbound, XIDS_EVTCHN_UNBOUND},
                  {EVTCHNSTAT_virq, XIDS_EVTCHN_VIRQ},     {EVTCHNSTAT_interdomain, XIDS_EVTCHN_INTERDOMAIN},
                  {EVTCHNSTAT_pirq, XIDS_EVTCHN_OTHER},    {EVTCHNSTAT_ipi, XIDS_EVTCHN_OTHER}};
    fakes.status = states[_i].xen;
    ck_assert_int_eq(ops->evtchn_status(ctx, 3), states[_i].ours);
}
END_TEST

/* A guest of a newer Linux: the interface opens, and refuses. */
START_TEST(where_the_hypervisor_may_not_be_asked_a_domain_that_is_no_more_shows)
{
    int port = ops->evtchn_alloc(ctx, 7);
    int virq = ops->evtchn_bind_virq(ctx, 3);
    fakes.status_errno = _i == 0 ? EPERM : EACCES;
    fakes.bind_errno = EINVAL;
    ck_assert_int_eq(ops->evtchn_status(ctx, (evtchn_port_t)port), -XEN_EACCES);
    fakes.bind_errno = ESRCH;
    ck_assert_int_eq(ops->evtchn_status(ctx, (evtchn_port_t)port), XIDS_EVTCHN_UNBOUND);
    ck_assert_int_eq(ops->evtchn_status(ctx, (evtchn_port_t)virq), -XEN_EACCES);
    ck_assert_int_eq(ops->evtchn_status(ctx, 60), -XEN_EACCES);
    /* It cannot be, but if Xen had a port 0, it would not be kept. */
    fakes.bind_errno = 0;
    int unbinds = fakes.unbinds;
    ck_assert_int_eq(ops->evtchn_status(ctx, (evtchn_port_t)port), -XEN_EACCES);
    ck_assert_int_eq(fakes.unbinds, unbinds + 1);
}
END_TEST

START_TEST(without_the_hypervisors_interface_there_are_no_states)
{
    struct xids_platform *other;
    ck_assert_int_eq(xids_platform_xen_open_as(&other, 0, XIDS_PLATFORM_XEN_NO_STATUS), 0);
    ck_assert_int_eq(other->ops->evtchn_status(other->ctx, 3), -XEN_EACCES);
    xids_platform_xen_close(other);
    fakes.fail = EACCES;
    ck_assert_int_eq(ops->evtchn_status(ctx, 3), -XEN_EACCES);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("platform_xen");
    TCase *t = tcase_create("memory");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, the_ith_call_that_fails_leaves_nothing_open, 0, 3);
    tcase_add_test(t, closing_nothing_is_allowed);
    tcase_add_test(t, pages_of_our_own_cannot_be_granted);
    tcase_add_test(t, shares_are_spread_over_files);
    tcase_add_test(t, each_of_many_shares_is_found);
    tcase_add_test(t, a_big_share_has_a_file_of_its_own);
    tcase_add_loop_test(t, a_share_that_fails_tells_why_and_leaves_nothing, 0, 2);
    tcase_add_test(t, a_notification_is_passed_on_with_all_ones_for_what_is_left_out);
    tcase_add_test(t, a_notification_for_more_than_a_page_cannot_be_had);
    tcase_add_test(t, reading_and_writing_are_asked_for_as_told);
    tcase_add_loop_test(t, a_map_that_fails_tells_why, 0, 4);
    tcase_add_test(t, copies_go_in_batches_without_the_senseless_ones);
    tcase_add_test(t, a_copy_that_fails_as_a_whole_says_so);
    suite_add_tcase(s, t);

    t = tcase_create("events");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, only_what_was_taken_is_unmasked_in_the_kernel);
    tcase_add_test(t, the_event_descriptor_is_readable_when_a_held_port_is_unmasked);
    tcase_add_test(t, held_ports_come_in_order_and_closed_ones_not);
    tcase_add_test(t, an_event_of_a_port_closed_meanwhile_is_let_pass);
    tcase_add_test(t, waiting_does_not_end_for_masked_ports);
    tcase_add_test(t, failures_of_event_channels_are_told);
    tcase_add_loop_test(t, states_are_told_in_our_words, 0, 6);
    tcase_add_loop_test(t, where_the_hypervisor_may_not_be_asked_a_domain_that_is_no_more_shows, 0, 2);
    tcase_add_test(t, without_the_hypervisors_interface_there_are_no_states);
    suite_add_tcase(s, t);
    return s;
}
