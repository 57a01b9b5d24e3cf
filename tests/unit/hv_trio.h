/* SPDX-License-Identifier: ISC */
/* A machine with domains 0, 5 and 6 and an owner in each. */
#ifndef XIDS_TESTS_UNIT_HV_TRIO_H
#define XIDS_TESTS_UNIT_HV_TRIO_H

#include "tests/unit/hv_machine.h"
#include "tests/unit/suite.h"

static struct machine m;
static uint32_t zero, five, six; /* owners in domains 0, 5, 6 */

static inline uint32_t owner(domid_t domid)
{
    uint32_t id;
    ck_assert_int_eq(xids_hv_owner_open(&m.hv, &id, domid, 0), 0);
    return id;
}

static inline void setup(void)
{
    ck_assert_int_eq(machine_make(&m, machine_limits()), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 0, XIDS_HV_PRIVILEGED, NULL), 0);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 5, 0, NULL), 5);
    ck_assert_int_eq(xids_hv_domain_create(&m.hv, 6, 0, NULL), 6);
    zero = owner(0);
    five = owner(5);
    six = owner(6);
}

static inline void teardown(void)
{
    ck_assert_uint_eq(m.depth, 0);
    ck_assert_ptr_null(xids_hv_check(&m.hv));
    machine_end(&m);
}

static inline evtchn_port_t alloc(uint32_t who, domid_t remote)
{
    int port = xids_hv_evtchn_alloc(&m.hv, who, remote);
    ck_assert_int_gt(port, 0);
    return (evtchn_port_t)port;
}

/* A port of domain 5 connected to one of domain 0, both quiet. */
static inline void connected(evtchn_port_t *fives, evtchn_port_t *zeros)
{
    *fives = alloc(five, 0);
    int port = xids_hv_evtchn_bind(&m.hv, zero, 5, *fives);
    ck_assert_int_gt(port, 0);
    *zeros = (evtchn_port_t)port;
    ck_assert_int_eq(xids_hv_evtchn_take(&m.hv, zero, *zeros), 1);
    ck_assert_int_eq(xids_hv_evtchn_unmask(&m.hv, zero, *zeros), 0);
    m.wakes = 0;
}

#endif
