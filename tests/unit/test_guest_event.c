/* SPDX-License-Identifier: ISC */
/* The bare guest's event channels, over a stand-in for Xen. */
#include "tests/unit/guest_fake.h"
#include "tests/unit/suite.h"

#include <string.h>

static const struct xids_platform_ops *const ops = &guest_platform_ops;
static unsigned int ports_before;

static void setup(void)
{
    fake_init();
    ports_before = fake.ports_out;
}

static void teardown(void)
{
    ck_assert_uint_eq(fake.ports_out, ports_before);
    ck_assert(!fake.slept_forever);
    fake_fini();
}

static evtchn_port_t port_new(void)
{
    int port = ops->evtchn_alloc(NULL, FAKE_PEER);
    ck_assert_int_gt(port, 0);
    return (evtchn_port_t)port;
}

static void shut(evtchn_port_t port)
{
    ck_assert_int_eq(ops->evtchn_close(NULL, port), 0);
}

START_TEST(everything_is_masked_but_what_was_made)
{
    const struct shared_info *info = guest_shared_info();
    evtchn_port_t port = port_new();
    for (evtchn_port_t i = 0; i < FAKE_PORTS; i++)
        ck_assert_int_eq(info->evtchn_mask[i / 64] >> (i % 64) & 1, i != port && i != fake.timer);
    shut(port);
    ck_assert_int_eq(info->evtchn_mask[port / 64] >> (port % 64) & 1, 1);
}
END_TEST

START_TEST(a_noisy_port_does_not_keep_others_from_their_turn)
{
    evtchn_port_t port[130];
    bool seen[130] = {false};
    for (int i = 0; i < 130; i++)
        port[i] = port_new();
    for (int i = 0; i < 130; i++)
        fake_event(port[i]);
    for (int n = 0, others = 0; others < 129; n++) {
        ck_assert_int_lt(n, 2 * 130);
        evtchn_port_t got = (evtchn_port_t)ops->evtchn_pending(NULL);
        ck_assert_uint_ne(got, 0);
        if (got == port[_i]) {
            ck_assert_int_eq(ops->evtchn_unmask(NULL, got), 0);
            fake_event(got);
            continue;
        }
        int i = 0;
        while (port[i] != got)
            i++;
        ck_assert(!seen[i]);
        seen[i] = true;
        others++;
    }
    for (int i = 0; i < 130; i++)
        shut(port[i]);
}
END_TEST

START_TEST(a_number_that_comes_back_brings_no_old_event)
{
    evtchn_port_t port = port_new();
    if (_i == 1)
        ck_assert_int_eq(ops->evtchn_mask(NULL, port), 0);
    fake_event(port);
    shut(port);
    ck_assert_uint_eq(port_new(), port);
    ck_assert_int_eq(ops->evtchn_pending(NULL), 0);
    fake_event(port);
    ck_assert_int_eq(ops->evtchn_pending(NULL), (int)port);
    shut(port);
}
END_TEST

START_TEST(ports_run_out_and_come_back)
{
    static evtchn_port_t all[FAKE_PORTS];
    int n = 0, port;
    while ((port = ops->evtchn_alloc(NULL, FAKE_PEER)) > 0)
        all[n++] = (evtchn_port_t)port;
    ck_assert_int_eq(port, -XEN_ENOSPC);
    ck_assert_int_gt(n, 4000);
    fake_event(all[n - 1]);
    ck_assert_int_eq(ops->evtchn_pending(NULL), (int)all[n - 1]);
    while (n > 0)
        shut(all[--n]);
}
END_TEST

START_TEST(a_binding_that_xen_refuses_is_told)
{
    ck_assert_int_eq(ops->evtchn_bind(NULL, 99, 1), -XEN_ENODEV);
    ck_assert_int_eq(ops->evtchn_bind(NULL, FAKE_DOMID, 4000), -XEN_EINVAL);
    fake.fail_in = 1;
    ck_assert_int_eq(ops->evtchn_bind_virq(NULL, VIRQ_DEBUG), -XEN_EFAULT);
    int virq = ops->evtchn_bind_virq(NULL, VIRQ_DEBUG);
    ck_assert_int_eq(ops->evtchn_status(NULL, (evtchn_port_t)virq), XIDS_EVTCHN_VIRQ);
    shut((evtchn_port_t)virq);
    ck_assert_int_eq(ops->evtchn_status(NULL, (evtchn_port_t)virq), XIDS_EVTCHN_CLOSED);
    ck_assert_int_eq(ops->evtchn_status(NULL, 1u << 20), XIDS_EVTCHN_CLOSED);
}
END_TEST

START_TEST(the_timer_ends_a_sleep_and_is_nobodys_event)
{
    ck_assert_int_eq(ops->wait(NULL, 5000), 0);
    ck_assert_uint_eq(fake.now, 5000);
    fake_event(fake.timer);
    ck_assert_int_eq(ops->evtchn_pending(NULL), 0);
    ck_assert_int_eq(ops->wait(NULL, 9000), 0);
    ck_assert_uint_eq(fake.now, 9000);
    ck_assert_int_eq(ops->wait(NULL, 100), 0);
    ck_assert_uint_eq(fake.now, 9000);
    /* It is set once for sleeps with one deadline, and again when it has fired too early. */
    evtchn_port_t port = port_new();
    fake.timer_sets = 0;
    fake.idle_event = port;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(ops->wait(NULL, 20000), 1);
        ck_assert_int_eq(ops->evtchn_pending(NULL), (int)port);
        ck_assert_int_eq(ops->evtchn_unmask(NULL, port), 0);
    }
    ck_assert_uint_eq(fake.timer_sets, 1);
    fake.idle_event = 0;
    fake.timer_at = UINT64_MAX;
    fake_event(fake.timer);
    ck_assert_int_eq(ops->wait(NULL, 20000), 0);
    ck_assert_uint_eq(fake.timer_sets, 2);
    shut(port);
}
END_TEST

/* ---- events at the worst times ---- */

static evtchn_port_t target;
static unsigned int strike_at, struck;

static void strike(unsigned int n)
{
    if (n == strike_at) {
        struck++;
        fake_event(target);
    }
}

START_TEST(an_event_at_any_moment_of_falling_asleep_ends_the_sleep)
{
    target = port_new();
    fake.moment = strike;
    for (strike_at = 0; strike_at < 12; strike_at++) {
        /* A stale selector, from a port that was masked when it was looked at, must not hide the event. */
        if (_i == 1)
            guest_shared_info()->vcpu_info[0].evtchn_pending_sel = ~(xen_ulong_t)0;
        fake.moments = struck = 0;
        uint64_t deadline = _i == 2 ? fake.now + 1000 : UINT64_MAX;
        if (strike_at >= 3 && _i != 2)
            break; /* begin, now, idle: these are the moments of one round without a timer */
        int rc = ops->wait(NULL, deadline);
        if (struck == 0) {
            /* The deadline came before so many moments: the event comes now. */
            ck_assert_int_eq(rc, 0);
            fake_event(target);
        }
        ck_assert_int_eq(ops->wait(NULL, UINT64_MAX), 1);
        ck_assert_int_eq(ops->evtchn_pending(NULL), (int)target);
        ck_assert_int_eq(ops->evtchn_unmask(NULL, target), 0);
    }
    fake.moment = NULL;
    shut(target);
}
END_TEST

START_TEST(what_was_latched_while_masked_ends_the_next_sleep)
{
    evtchn_port_t port = port_new();
    fake_event(port);
    ck_assert_int_eq(ops->wait(NULL, UINT64_MAX), 1);
    ck_assert_int_eq(ops->evtchn_pending(NULL), (int)port);
    fake_event(port);
    fake_event(port);
    ck_assert_int_eq(ops->evtchn_pending(NULL), 0);
    ck_assert_int_eq(ops->wait(NULL, fake.now + 10), 0);
    ck_assert_int_eq(ops->evtchn_unmask(NULL, port), 0);
    ck_assert_int_eq(ops->wait(NULL, UINT64_MAX), 1);
    ck_assert_int_eq(ops->evtchn_pending(NULL), (int)port);
    ck_assert_int_eq(ops->evtchn_pending(NULL), 0);
    shut(port);
}
END_TEST

START_TEST(after_a_resume_elsewhere_no_port_is_left)
{
    evtchn_port_t port = port_new(), pinned = port_new();
    ck_assert_int_eq(guest_port_pin(pinned), 0);
    ck_assert_int_eq(ops->evtchn_close(NULL, pinned), 0);
    fake_event(port);
    memset(fake.ports, 0, sizeof(fake.ports));
    fake.ports_out = 0;
    ck_assert_int_eq(guest_shared_info_init(), 0);
    ck_assert_int_eq(ops->evtchn_pending(NULL), 0);
    ck_assert_int_eq(ops->evtchn_notify(NULL, port), -XEN_EINVAL);
    ck_assert_int_eq(ops->evtchn_unmask(NULL, port), -XEN_EINVAL);
    /* The pin of before is not one of the port that has the number now. */
    for (int i = 0; i < 3; i++)
        (void)port_new();
    guest_port_unpin(pinned);
    ck_assert_int_eq(ops->evtchn_status(NULL, pinned), XIDS_EVTCHN_UNBOUND);
    for (evtchn_port_t i = 1; i <= 3; i++)
        shut(i);
    ports_before = 0;
}
END_TEST

START_TEST(a_port_of_the_toolstacks_is_taken_over)
{
    evtchn_port_t port = 40;
    fake.ports[port].state = XIDS_EVTCHN_INTERDOMAIN;
    ck_assert_int_eq(ops->evtchn_notify(NULL, port), -XEN_EINVAL);
    ck_assert_int_eq(guest_port_adopt(port), 0);
    ck_assert_int_eq(ops->evtchn_notify(NULL, port), 0);
    fake_event(port);
    ck_assert_int_eq(ops->evtchn_pending(NULL), 40);
    ck_assert_int_eq(guest_port_adopt(0), -XEN_EINVAL);
    ck_assert_int_eq(guest_port_adopt(FAKE_PORTS), -XEN_EINVAL);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("guest_event");
    TCase *t = tcase_create("guest");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, everything_is_masked_but_what_was_made);
    tcase_add_loop_test(t, a_noisy_port_does_not_keep_others_from_their_turn, 0, 130);
    tcase_add_loop_test(t, a_number_that_comes_back_brings_no_old_event, 0, 2);
    tcase_add_test(t, ports_run_out_and_come_back);
    tcase_add_test(t, a_binding_that_xen_refuses_is_told);
    tcase_add_test(t, the_timer_ends_a_sleep_and_is_nobodys_event);
    tcase_add_loop_test(t, an_event_at_any_moment_of_falling_asleep_ends_the_sleep, 0, 3);
    tcase_add_test(t, what_was_latched_while_masked_ends_the_next_sleep);
    tcase_add_test(t, after_a_resume_elsewhere_no_port_is_left);
    tcase_add_test(t, a_port_of_the_toolstacks_is_taken_over);
    suite_add_tcase(s, t);
    return s;
}
