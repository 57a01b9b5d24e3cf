/* SPDX-License-Identifier: ISC */
/* vchan, a client that comes too early: with old numbers, to a server that is still in the making, or to none. */
#include "tests/unit/suite.h"
#include "tests/unit/vchan_world.h"

#include <stdlib.h>
#include <string.h>
#include <xen/io/libxenvchan.h>

static struct vchan_interface *header(const struct pair *p)
{
    return (struct vchan_interface *)(void *)p->page;
}

static void assert_they_meet(struct pair *p)
{
    char got[8];
    ck_assert_int_eq(xids_vchan_state(p->s), XIDS_VCHAN_CONNECTING);
    ck_assert_int_eq(pair_connect(p, 0), 0);
    (void)world_events(p->w, 0, p->s);
    ck_assert_int_eq(xids_vchan_state(p->s), XIDS_VCHAN_OPEN);
    ck_assert_int_eq(xids_vchan_write(p->s, "late", 4), 4);
    ck_assert_int_eq(xids_vchan_read(p->c, got, 8), 4);
    ck_assert_mem_eq(got, "late", 4);
    pair_close(p);
}

/* A client with the numbers of a server that was killed. */
struct old_numbers {
    struct pair *p;
    grant_ref_t ref;
    evtchn_port_t port;
    int tries, rc;
};

static void try_old_numbers(void *ctx)
{
    struct old_numbers *old = ctx;
    old->tries++;
    old->rc = xids_vchan_client_init(old->p->c, world_platform(old->p->w, 1), WORLD_DOMID(0), old->ref, old->port, 0);
}

START_TEST(old_numbers_do_not_end_a_server_that_comes_to_have_them)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    struct old_numbers old = {.p = &p, .ref = p.ref, .port = xids_vchan_port(p.s)};
    world_kill(p.w, 0);
    /* Before it shares the page, the left ring, the right ring. */
    world_before_share(p.w, 0, (unsigned int)_i, try_old_numbers, &old);
    ck_assert_int_eq(xids_vchan_server_init(p.s, world_platform(p.w, 0), WORLD_DOMID(1), 12, 12, 0), 0);
    ck_assert_int_eq(old.tries, 1);
    ck_assert_int_lt(old.rc, 0);
    ck_assert_uint_eq(xids_vchan_ring_ref(p.s), old.ref);
    ck_assert_uint_eq(xids_vchan_port(p.s), old.port);
    assert_they_meet(&p);
}
END_TEST

/* libxenvchan says that it lives before it has written the orders and the references. */
START_TEST(a_page_that_is_not_filled_in_yet_is_left_alone)
{
    struct pair p;
    static uint8_t whole[4096], part[4096];
    pair_serve(&p, 12, 12, 0);
    memcpy(whole, p.page, sizeof(whole));
    if (_i < 3)
        header(&p)->grants[1] = 0;
    if (_i < 2)
        header(&p)->grants[0] = 0;
    if (_i < 1)
        header(&p)->right_order = 0;
    memcpy(part, p.page, sizeof(part));
    ck_assert_int_eq(pair_connect(&p, 0), _i < 3 ? -XEN_EBADMSG : 0);
    if (_i < 3) {
        ck_assert_mem_eq(p.page, part, sizeof(part));
        memcpy(p.page, whole, sizeof(whole));
        assert_they_meet(&p);
    } else {
        pair_close(&p);
    }
}
END_TEST

START_TEST(a_page_of_another_kind_is_left_alone)
{
    struct pair p;
    static uint8_t before[4096];
    pair_serve(&p, 12, 12, 0);
    /* The left ring, full of what may be anybody's bytes. */
    p.ref = header(&p)->grants[0];
    p.page = world_page(p.w, 0, p.ref);
    memset(p.page, _i, sizeof(before));
    memset(before, _i, sizeof(before));
    ck_assert_int_eq(pair_connect(&p, 0), _i == 0 ? -XEN_ECONNREFUSED : -XEN_EBADMSG);
    ck_assert_mem_eq(p.page, before, sizeof(before));
    free(p.c);
    p.c = NULL;
    pair_close(&p);
}
END_TEST

START_TEST(a_client_that_fails_before_it_shows_itself_was_never_there)
{
    struct pair p;
    bool failed = true;
    pair_serve(&p, 12, 12, 0);
    for (unsigned int nth = 1; failed; nth++) {
        world_fail(p.w, 1, nth, -XEN_ENOMEM);
        int rc = pair_connect(&p, 0);
        failed = world_failed(p.w);
        if (world_notifies(p.w, 1) > 0)
            break;
        ck_assert_int_eq(rc, -XEN_ENOMEM);
        ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CONNECTING);
    }
    /* The one that could not tell the server: it had shown itself. */
    ck_assert(failed);
    (void)world_events(p.w, 0, p.s);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CLOSED);
    free(p.c);
    p.c = NULL;
    pair_close(&p);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan early");
    TCase *early = tcase_create("early");
    tcase_add_loop_test(early, old_numbers_do_not_end_a_server_that_comes_to_have_them, 1, 4);
    tcase_add_loop_test(early, a_page_that_is_not_filled_in_yet_is_left_alone, 0, 4);
    tcase_add_loop_test(early, a_page_of_another_kind_is_left_alone, 0, 256);
    tcase_add_test(early, a_client_that_fails_before_it_shows_itself_was_never_there);
    suite_add_tcase(suite, early);
    return suite;
}
