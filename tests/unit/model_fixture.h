/* SPDX-License-Identifier: ISC */
/* A world with two domains for the tests of the model. */
#ifndef XIDS_TESTS_UNIT_MODEL_FIXTURE_H
#define XIDS_TESTS_UNIT_MODEL_FIXTURE_H

#include "tests/unit/suite.h"

#include <xids/model.h>

static struct xids_model *m;
static struct xids_platform *a, *b; /* domains 0 and 5 */
static char report[4096];

static inline void setup_flags(unsigned int flags)
{
    m = xids_model_new(42, flags);
    ck_assert_ptr_nonnull(m);
    a = xids_model_domain_create(m, 0);
    b = xids_model_domain_create(m, 5);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
}

static inline void setup(void)
{
    setup_flags(0);
}

static inline void setup_separate(void)
{
    setup_flags(XIDS_MODEL_SEPARATE);
}

static inline void setup_threaded(void)
{
    setup_flags(XIDS_MODEL_THREADED);
}

static inline void teardown(void)
{
    xids_model_free(m);
}

static inline void clean(void)
{
    unsigned int n = xids_model_check_clean(m, report, sizeof(report));
    ck_assert_msg(n == 0, "%u left:\n%s", n, report);
}

/* Connected ports, the spurious first event taken. */
static inline void connect_ports(evtchn_port_t *of_a, evtchn_port_t *of_b)
{
    int port = a->ops->evtchn_alloc(a->ctx, b->domid);
    ck_assert_int_gt(port, 0);
    *of_a = (evtchn_port_t)port;
    port = b->ops->evtchn_bind(b->ctx, a->domid, *of_a);
    ck_assert_int_gt(port, 0);
    *of_b = (evtchn_port_t)port;
    ck_assert_int_eq(b->ops->evtchn_pending(b->ctx), port);
    ck_assert_int_eq(b->ops->evtchn_unmask(b->ctx, *of_b), 0);
}

static inline void close_ports(evtchn_port_t of_a, evtchn_port_t of_b)
{
    ck_assert_int_eq(a->ops->evtchn_close(a->ctx, of_a), 0);
    ck_assert_int_eq(b->ops->evtchn_close(b->ctx, of_b), 0);
}

#endif
