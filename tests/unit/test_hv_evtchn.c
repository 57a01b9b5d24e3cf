/* SPDX-License-Identifier: ISC */
/* The hypervisor's rules of event channels. */
#include "tests/unit/hv_trio.h"

#include <xen/sched.h>

static struct xids_hv_port status(domid_t domid, evtchn_port_t port)
{
    struct xids_hv_port st;
    ck_assert_int_eq(xids_hv_evtchn_status(&m.hv, &st, domid, domid, port), 0);
    return st;
}

START_TEST(port_zero_is_never_given_out)
{
    for (evtchn_port_t i = 1; i < 128; i++)
        ck_assert_uint_eq(alloc(five, 0), i);
    ck_assert_int_eq(xids_hv_evtchn_alloc(&m.hv, five, 0), -XEN_ENOSPC);
    ck_assert_int_eq(status(5, 0).state, XIDS_EVTCHN_CLOSED);
}
END_TEST

START_TEST(a_closed_ports_number_comes_again)
{
    (void)alloc(five, 0);
    evtchn_port_t second = alloc(five, 0);
    (void)alloc(five, 0);
    ck_assert_int_eq(xids_hv_evtchn_close(&m.hv, five, second), 0);
    ck_assert_uint_eq(alloc(five, 0), second);
}
END_TEST

START_TEST(the_machines_ports_run_out)
{
    for (int i = 0; i < 127; i++)
        (void)alloc(five, 0);
    for (int i = 0; i < 63; i++)
        (void)alloc(six, 0);
    ck_assert_int_eq(xids_hv_evtchn_alloc(&m.hv, six, 0), -XEN_ENOMEM);
    ck_assert_int_eq(xids_hv_evtchn_alloc(&m.hv, zero, 5), -XEN_ENOMEM);
}
END_TEST

START_TEST(an_unbound_port_waits_for_its_remote)
{
    evtchn_port_t port = alloc(five, 6);
    struct xids_hv_port st = status(5, port);
    ck_assert_int_eq(st.state, XIDS_EVTCHN_UNBOUND);
    ck_assert_uint_eq(st.remote, 6);
    ck_assert_uint_eq(st.owner, five);
    ck_assert_int_eq(xids_hv_evtchn_bind(&m.hv, zero, 5, port), -XEN_EINVAL);
    ck_assert_int_gt(xids_hv_evtchn_bind(&m.hv, six, 5, port), 0);
}
END_TEST

START_TEST(a_remote_that_is_no_domid_is_refused)
{
    ck_assert_int_eq(xids_hv_evtchn_alloc(&m.hv, five, DOMID_IO), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_evtchn_alloc(&m.hv, five, DOMID_INVALID), -XEN_EINVAL);
    ck_assert_int_gt(xids_hv_evtchn_alloc(&m.hv, five, 1234), 0);
}
END_TEST

START_TEST(self_means_ones_own_domain)
{
    evtchn_port_t port = alloc(five, DOMID_SELF);
    ck_assert_uint_eq(status(5, port).remote, 5);
    int other = xids_hv_evtchn_bind(&m.hv, five, DOMID_SELF, port);
    ck_assert_int_gt(other, 0);
    m.wakes = 0;
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, five, (evtchn_port_t)other), 0);
    ck_assert_uint_eq(m.woken_port, port);
}
END_TEST

START_TEST(binding_connects_both_and_wakes_the_new_port_once)
{
    evtchn_port_t port = alloc(five, 0);
    m.wakes = 0;
    int bound = xids_hv_evtchn_bind(&m.hv, zero, 5, port);
    ck_assert_int_gt(bound, 0);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert_uint_eq(m.woken_owner, zero);
    ck_assert_uint_eq(m.woken_port, (evtchn_port_t)bound);
    struct xids_hv_port a = status(5, port), b = status(0, (evtchn_port_t)bound);
    ck_assert_int_eq(a.state, XIDS_EVTCHN_INTERDOMAIN);
    ck_assert_int_eq(b.state, XIDS_EVTCHN_INTERDOMAIN);
    ck_assert_uint_eq(a.remote_port, (evtchn_port_t)bound);
    ck_assert_uint_eq(b.remote_port, port);
    ck_assert_uint_eq(b.remote, 5);
    ck_assert(b.queued && !a.queued);
}
END_TEST

START_TEST(what_cannot_be_bound_is_refused)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_evtchn_bind(&m.hv, zero, 5, fives), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_evtchn_bind(&m.hv, zero, 5, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_evtchn_bind(&m.hv, zero, 5, 99), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_evtchn_bind(&m.hv, zero, 5, UINT32_MAX), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_evtchn_bind(&m.hv, zero, 9, 1), -XEN_ESRCH);
    ck_assert_int_eq(xids_hv_evtchn_bind(&m.hv, 0, 5, 1), -XEN_EBADF);
}
END_TEST

START_TEST(a_failed_bind_leaves_the_port_unbound)
{
    for (int i = 0; i < 127; i++)
        (void)alloc(zero, 5);
    evtchn_port_t port = alloc(five, 0);
    ck_assert_int_eq(xids_hv_evtchn_bind(&m.hv, zero, 5, port), -XEN_ENOSPC);
    ck_assert_int_eq(status(5, port).state, XIDS_EVTCHN_UNBOUND);
}
END_TEST

START_TEST(an_event_reaches_the_peer)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, zeros), 0);
    ck_assert_uint_eq(m.woken_owner, five);
    ck_assert_uint_eq(m.woken_port, fives);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, five, fives), 0);
    ck_assert_uint_eq(m.woken_owner, zero);
    ck_assert_uint_eq(m.wakes, 2);
}
END_TEST

START_TEST(sending_takes_no_lock)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    unsigned int before = m.locks;
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, zeros), 0);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, fives), 1);
    ck_assert_int_eq(xids_hv_evtchn_mask(&m.hv, five, fives), 0);
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, five, fives), 0);
    ck_assert_uint_eq(m.locks, before);
}
END_TEST

START_TEST(a_queued_port_is_queued_once)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, zeros), 0);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, fives), 1);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, fives), 0);
}
END_TEST

START_TEST(events_while_masked_are_delivered_as_one_at_unmask)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, zeros), 0);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, fives), 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, zeros), 0);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert(status(5, fives).latched);
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, five, fives), 0);
    ck_assert_uint_eq(m.wakes, 2);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, fives), 1);
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, five, fives), 0);
    ck_assert_uint_eq(m.wakes, 2);
}
END_TEST

START_TEST(an_event_between_queue_and_take_is_latched)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, zeros), 0);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, zeros), 0);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, fives), 1);
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, five, fives), 0);
    ck_assert_uint_eq(m.wakes, 2);
}
END_TEST

START_TEST(unmasking_an_unmasked_port_does_nothing)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, five, fives), 0);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, zeros), 0);
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, five, fives), 0);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, fives), 1);
}
END_TEST

START_TEST(masking_a_queued_port_makes_its_queue_entry_stale)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, zeros), 0);
    ck_assert_int_eq(xids_hv_evtchn_mask(&m.hv, five, fives), 0);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, fives), 0);
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, five, fives), 0);
    ck_assert_uint_eq(m.wakes, 2);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, fives), 1);
}
END_TEST

START_TEST(an_event_to_an_unbound_port_vanishes)
{
    evtchn_port_t port = alloc(five, 0);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, five, port), 0);
    ck_assert_uint_eq(m.wakes, 0);
}
END_TEST

START_TEST(ports_of_others_cannot_be_used)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    uint32_t second = owner(5);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, second, fives), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, second, fives), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_hv_evtchn_mask(&m.hv, second, fives), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, second, fives), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_hv_evtchn_close(&m.hv, second, fives), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, six, 1), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, five, 0), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, five, 100), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, five, UINT32_MAX), -XEN_ENOTCONN);
}
END_TEST

START_TEST(closing_lets_the_peer_fall_back_without_an_event)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_evtchn_close(&m.hv, zero, zeros), 0);
    struct xids_hv_port st = status(5, fives);
    ck_assert_int_eq(st.state, XIDS_EVTCHN_UNBOUND);
    ck_assert_uint_eq(st.remote, 0);
    ck_assert_uint_eq(m.wakes, 0);
    ck_assert_int_eq(status(0, zeros).state, XIDS_EVTCHN_CLOSED);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, five, fives), 0);
    ck_assert_int_eq(xids_hv_evtchn_close(&m.hv, zero, zeros), -XEN_ENOTCONN);
}
END_TEST

START_TEST(a_port_fallen_back_can_be_bound_again)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_evtchn_close(&m.hv, zero, zeros), 0);
    ck_assert_int_eq(xids_hv_evtchn_bind(&m.hv, six, 5, fives), -XEN_EINVAL);
    int again = xids_hv_evtchn_bind(&m.hv, zero, 5, fives);
    ck_assert_int_gt(again, 0);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, five, fives), 0);
    ck_assert(status(0, (evtchn_port_t)again).latched); /* it is queued since the bind */
}
END_TEST

START_TEST(the_one_who_allocated_may_also_close_first)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_evtchn_close(&m.hv, five, fives), 0);
    struct xids_hv_port st = status(0, zeros);
    ck_assert_int_eq(st.state, XIDS_EVTCHN_UNBOUND);
    ck_assert_uint_eq(st.remote, 5);
    ck_assert_int_gt(xids_hv_evtchn_bind(&m.hv, five, 0, zeros), 0);
}
END_TEST

START_TEST(a_new_port_does_not_hear_its_numbers_former_peer)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_evtchn_close(&m.hv, zero, zeros), 0);
    evtchn_port_t fresh = alloc(zero, 6);
    ck_assert_uint_eq(fresh, zeros);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, five, fives), 0);
    ck_assert_uint_eq(m.wakes, 0);
    ck_assert(!status(0, fresh).queued);
}
END_TEST

START_TEST(a_dead_domains_ports_fall_back_too)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 5), 0);
    ck_assert_int_eq(status(0, zeros).state, XIDS_EVTCHN_UNBOUND);
    ck_assert_uint_eq(m.wakes, 0);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, zeros), 0);
}
END_TEST

START_TEST(a_privileged_domain_allocates_for_another)
{
    int port = xids_hv_evtchn_alloc_for(&m.hv, 0, 5, 0);
    ck_assert_int_gt(port, 0);
    ck_assert_uint_eq(status(5, (evtchn_port_t)port).owner, 0);
    ck_assert_int_gt(xids_hv_evtchn_bind(&m.hv, zero, 5, (evtchn_port_t)port), 0);
}
END_TEST

START_TEST(an_unprivileged_domain_does_not)
{
    struct xids_hv_port st;
    ck_assert_int_eq(xids_hv_evtchn_alloc_for(&m.hv, 5, 6, 5), -XEN_EPERM);
    ck_assert_int_gt(xids_hv_evtchn_alloc_for(&m.hv, 5, DOMID_SELF, 6), 0);
    ck_assert_int_eq(xids_hv_evtchn_alloc_for(&m.hv, 9, 5, 5), -XEN_ESRCH);
    ck_assert_int_eq(xids_hv_evtchn_alloc_for(&m.hv, 0, 9, 5), -XEN_ESRCH);
    ck_assert_int_eq(xids_hv_evtchn_status(&m.hv, &st, 5, 6, 1), -XEN_EPERM);
    ck_assert_int_eq(xids_hv_evtchn_status(&m.hv, &st, 0, 5, 1), 0);
}
END_TEST

START_TEST(an_event_to_nobodys_port_waits_for_its_adopter)
{
    int port = xids_hv_evtchn_alloc_for(&m.hv, 0, 5, 0);
    int bound = xids_hv_evtchn_bind(&m.hv, zero, 5, (evtchn_port_t)port);
    ck_assert_int_gt(bound, 0);
    m.wakes = 0;
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, (evtchn_port_t)bound), 0);
    ck_assert_uint_eq(m.wakes, 0);
    ck_assert_int_eq(xids_hv_evtchn_adopt(&m.hv, five, (evtchn_port_t)port), 0);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert_uint_eq(m.woken_owner, five);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, (evtchn_port_t)port), 1);
}
END_TEST

START_TEST(only_nobodys_ports_can_be_adopted)
{
    evtchn_port_t port = alloc(five, 0);
    uint32_t second = owner(5);
    ck_assert_int_eq(xids_hv_evtchn_adopt(&m.hv, second, port), -XEN_EBUSY);
    ck_assert_int_eq(xids_hv_evtchn_adopt(&m.hv, second, 99), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_evtchn_adopt(&m.hv, six, port), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_evtchn_adopt(&m.hv, 0, port), -XEN_EBADF);
}
END_TEST

START_TEST(the_end_of_a_domain_raises_a_virq)
{
    int port = xids_hv_evtchn_bind_virq(&m.hv, zero, VIRQ_DOM_EXC);
    ck_assert_int_gt(port, 0);
    ck_assert_int_eq(status(0, (evtchn_port_t)port).state, XIDS_EVTCHN_VIRQ);
    ck_assert_uint_eq(status(0, (evtchn_port_t)port).virq, VIRQ_DOM_EXC);
    ck_assert_uint_eq(m.wakes, 0);
    ck_assert_int_eq(xids_hv_domain_shutdown(&m.hv, 5, SHUTDOWN_poweroff), 0);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert_int_eq(xids_hv_domain_shutdown(&m.hv, 5, SHUTDOWN_poweroff), 0);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, zero, (evtchn_port_t)port), 1);
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, zero, (evtchn_port_t)port), 0);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert_int_eq(xids_hv_domain_destroy(&m.hv, 5), 0);
    ck_assert_uint_eq(m.wakes, 2);
}
END_TEST

START_TEST(a_virq_is_bound_once)
{
    int port = xids_hv_evtchn_bind_virq(&m.hv, zero, VIRQ_DOM_EXC);
    ck_assert_int_gt(port, 0);
    ck_assert_int_eq(xids_hv_evtchn_bind_virq(&m.hv, zero, VIRQ_DOM_EXC), -XEN_EEXIST);
    ck_assert_int_eq(xids_hv_evtchn_close(&m.hv, zero, (evtchn_port_t)port), 0);
    ck_assert_int_gt(xids_hv_evtchn_bind_virq(&m.hv, zero, VIRQ_DOM_EXC), 0);
}
END_TEST

START_TEST(virqs_of_the_machine_need_privilege)
{
    ck_assert_int_eq(xids_hv_evtchn_bind_virq(&m.hv, five, VIRQ_DOM_EXC), -XEN_EPERM);
    ck_assert_int_eq(xids_hv_evtchn_bind_virq(&m.hv, zero, 24), -XEN_EINVAL);
    ck_assert_int_eq(xids_hv_evtchn_bind_virq(&m.hv, zero, UINT32_MAX), -XEN_EINVAL);
}
END_TEST

START_TEST(a_domains_own_virq_is_its_own)
{
    int a = xids_hv_evtchn_bind_virq(&m.hv, five, VIRQ_TIMER), b = xids_hv_evtchn_bind_virq(&m.hv, six, VIRQ_TIMER);
    ck_assert_int_gt(a, 0);
    ck_assert_int_gt(b, 0);
    ck_assert_int_eq(xids_hv_virq_raise(&m.hv, 6, VIRQ_TIMER), 0);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert_uint_eq(m.woken_owner, six);
    ck_assert_int_eq(xids_hv_virq_raise(&m.hv, 0, VIRQ_TIMER), 0);
    ck_assert_uint_eq(m.wakes, 1);
    ck_assert_int_eq(xids_hv_virq_raise(&m.hv, 9, VIRQ_TIMER), -XEN_ESRCH);
    ck_assert_int_eq(xids_hv_virq_raise(&m.hv, 5, 24), -XEN_EINVAL);
}
END_TEST

START_TEST(a_virqs_port_cannot_be_sent_through)
{
    int port = xids_hv_evtchn_bind_virq(&m.hv, five, VIRQ_TIMER);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, five, (evtchn_port_t)port), -XEN_EINVAL);
}
END_TEST

START_TEST(reset_closes_all_of_a_domains_ports)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_gt(xids_hv_evtchn_alloc_for(&m.hv, 0, 5, 0), 0);
    ck_assert_int_gt(xids_hv_evtchn_bind_virq(&m.hv, five, VIRQ_TIMER), 0);
    ck_assert_int_eq(xids_hv_evtchn_reset(&m.hv, 5), 0);
    struct xids_hv_domain info;
    ck_assert_int_eq(xids_hv_domain_info(&m.hv, &info, 5), 0);
    ck_assert_uint_eq(info.ports, 0);
    ck_assert_int_eq(status(0, zeros).state, XIDS_EVTCHN_UNBOUND);
    ck_assert(xids_hv_owner_alive(&m.hv, five));
    ck_assert_int_gt(xids_hv_evtchn_bind_virq(&m.hv, five, VIRQ_TIMER), 0);
    ck_assert_int_eq(xids_hv_evtchn_reset(&m.hv, 9), -XEN_ESRCH);
}
END_TEST

START_TEST(rousing_wakes_the_peers_that_are_queued)
{
    evtchn_port_t fives, zeros;
    connected(&fives, &zeros);
    ck_assert_int_eq(xids_hv_owner_rouse(&m.hv, zero), 0);
    ck_assert_uint_eq(m.wakes, 0);
    ck_assert_int_eq(xids_hv_evtchn_notify(&m.hv, zero, zeros), 0);
    ck_assert_int_eq(xids_hv_owner_rouse(&m.hv, zero), 0);
    ck_assert_uint_eq(m.wakes, 2);
    ck_assert_uint_eq(m.woken_port, fives);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, fives), 1);
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, five, fives), 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("hv_evtchn");
    TCase *t = tcase_create("ports");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, port_zero_is_never_given_out);
    tcase_add_test(t, a_closed_ports_number_comes_again);
    tcase_add_test(t, the_machines_ports_run_out);
    tcase_add_test(t, an_unbound_port_waits_for_its_remote);
    tcase_add_test(t, a_remote_that_is_no_domid_is_refused);
    tcase_add_test(t, self_means_ones_own_domain);
    tcase_add_test(t, binding_connects_both_and_wakes_the_new_port_once);
    tcase_add_test(t, what_cannot_be_bound_is_refused);
    tcase_add_test(t, a_failed_bind_leaves_the_port_unbound);
    tcase_add_test(t, ports_of_others_cannot_be_used);
    tcase_add_test(t, closing_lets_the_peer_fall_back_without_an_event);
    tcase_add_test(t, a_port_fallen_back_can_be_bound_again);
    tcase_add_test(t, the_one_who_allocated_may_also_close_first);
    tcase_add_test(t, a_new_port_does_not_hear_its_numbers_former_peer);
    tcase_add_test(t, a_dead_domains_ports_fall_back_too);
    tcase_add_test(t, a_privileged_domain_allocates_for_another);
    tcase_add_test(t, an_unprivileged_domain_does_not);
    tcase_add_test(t, only_nobodys_ports_can_be_adopted);
    tcase_add_test(t, reset_closes_all_of_a_domains_ports);
    suite_add_tcase(s, t);

    t = tcase_create("events");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, an_event_reaches_the_peer);
    tcase_add_test(t, sending_takes_no_lock);
    tcase_add_test(t, a_queued_port_is_queued_once);
    tcase_add_test(t, events_while_masked_are_delivered_as_one_at_unmask);
    tcase_add_test(t, an_event_between_queue_and_take_is_latched);
    tcase_add_test(t, unmasking_an_unmasked_port_does_nothing);
    tcase_add_test(t, masking_a_queued_port_makes_its_queue_entry_stale);
    tcase_add_test(t, an_event_to_an_unbound_port_vanishes);
    tcase_add_test(t, an_event_to_nobodys_port_waits_for_its_adopter);
    tcase_add_test(t, rousing_wakes_the_peers_that_are_queued);
    suite_add_tcase(s, t);

    t = tcase_create("virqs");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_end_of_a_domain_raises_a_virq);
    tcase_add_test(t, a_virq_is_bound_once);
    tcase_add_test(t, virqs_of_the_machine_need_privilege);
    tcase_add_test(t, a_domains_own_virq_is_its_own);
    tcase_add_test(t, a_virqs_port_cannot_be_sent_through);
    suite_add_tcase(s, t);

    return s;
}
