/* SPDX-License-Identifier: ISC */
/* vchans that meet through xenstore: failures in turn, suspension at any moment, lies in the store, hostile peers. */
#include "tests/unit/meet_ends.h"

#include <stdio.h>

#define FOLDER "/local/domain/3/data/vchan/5/echo"
#define PORT_NODE FOLDER "/event-channel"
#define REF_NODE FOLDER "/ring-ref"
#define FOR_CLIENT "n3 r5"

static struct world w;
static struct dom *sd, *cd;
static struct end *s, *c;

static void up(uint64_t seed)
{
    world_up(&w, seed);
    sd = world_domain(&w, 3);
    cd = world_domain(&w, 5);
    s = end_new(sd, true, 5, "echo");
    c = end_new(cd, false, 3, "echo");
}

static void down(void)
{
    end_free(c);
    end_free(s);
    world_run(&w, SECOND);
    world_down(&w);
}

static void meets(const char *when, unsigned int n)
{
    ck_assert_msg(world_until(&w, end_heard, c, 60 * SECOND), "no channel (%s %u): %s", when, n,
                  c->reason != NULL ? c->reason : "never refused");
}

/* ---- failures ---- */

START_TEST(each_request_may_fail)
{
    static const int errors[] = {-XEN_EACCES, -XEN_ENOSPC, -XEN_EAGAIN, -XEN_EIO, -XEN_ENOENT, -XEN_EINVAL};
    for (int side = 0; side < 2; side++) {
        for (unsigned int nth = 1;; nth++) {
            up(nth);
            struct dom *d = side == 0 ? sd : cd;
            d->fail_with = errors[_i];
            d->fail_request = nth;
            end_begin(c);
            end_begin(s);
            meets(side == 0 ? "server's request" : "client's request", nth);
            bool reached = d->requests >= nth;
            down();
            if (!reached)
                break;
            ck_assert_uint_lt(nth, 40);
        }
    }
}
END_TEST

START_TEST(each_call_may_fail)
{
    for (int side = 0; side < 2; side++) {
        for (unsigned int nth = 1;; nth++) {
            up((uint64_t)_i);
            struct dom *d = side == 0 ? sd : cd;
            d->fail_call = nth;
            end_begin(s);
            end_begin(c);
            meets(side == 0 ? "server's call" : "client's call", nth);
            end_end(c);
            world_run(&w, 3 * SECOND);
            end_begin(c);
            meets(side == 0 ? "server's call, again" : "client's call, again", nth);
            bool reached = d->calls >= nth;
            down();
            if (!reached)
                break;
            ck_assert_uint_lt(nth, 100);
        }
    }
}
END_TEST

/* ---- suspension ---- */

static void suspend(struct dom *d)
{
    xids_loop_suspend(&d->loop);
    ck_assert_uint_eq(s->opened == s->closed || d == cd, true);
    ck_assert_uint_eq(c->opened == c->closed || d == sd, true);
    ck_assert_int_eq(xids_model_domain_pause(w.m, d->raw->domid), 0);
    /* What a server gave up is free when its client has noticed. */
    if (d == sd)
        world_run(&w, SECOND);
    ck_assert_uint_eq(world_holds(d), 0);
}

static void resume(struct dom *d)
{
    ck_assert_int_eq(xids_model_domain_unpause(w.m, d->raw->domid), 0);
    xids_loop_resume(&d->loop);
    world_wake(d);
}

START_TEST(each_side_may_be_suspended_at_any_moment)
{
    for (int side = 0; side < 2; side++) {
        for (unsigned int steps = 0; steps < 60; steps++) {
            up((uint64_t)_i);
            struct dom *d = side == 0 ? sd : cd;
            end_begin(s);
            end_begin(c);
            world_steps(&w, steps);
            suspend(d);
            world_run(&w, (steps % 3) * SECOND);
            resume(d);
            meets(side == 0 ? "server suspended after" : "client suspended after", steps);
            suspend(d);
            ck_assert_int_eq(side == 0 ? s->closed_rc : c->closed_rc, -XEN_EINTR);
            resume(d);
            meets("suspended once more after", steps);
            down();
        }
    }
}
END_TEST

START_TEST(a_server_may_wake_up_as_another_domain)
{
    up((uint64_t)_i);
    end_begin(s);
    end_begin(c);
    meets("before", 0);
    xids_loop_suspend(&sd->loop);
    world_move(sd, 9);
    xids_loop_resume(&sd->loop);
    world_run(&w, SECOND);
    ck_assert_ptr_null(world_read(&w, FOLDER));
    ck_assert_str_eq(world_perms(&w, "/local/domain/9/data/vchan/5/echo/event-channel"), "n9 r5");
    end_free(c);
    c = end_up(cd, false, 9, "echo");
    meets("after", 0);
    down();
}
END_TEST

START_TEST(a_client_may_wake_up_as_another_domain)
{
    up((uint64_t)_i);
    struct end *other = end_up(sd, true, 7, "echo");
    end_begin(s);
    end_begin(c);
    meets("before", 0);
    xids_loop_suspend(&cd->loop);
    world_move(cd, 7);
    xids_loop_resume(&cd->loop);
    meets("after", 0);
    ck_assert_uint_eq(other->opened, 1);
    end_free(other);
    down();
}
END_TEST

/* ---- lies ---- */

static void publish(const char *port, size_t port_len, const char *ref, size_t ref_len)
{
    world_set(&w, FOLDER, "", "n3");
    world_set(&w, REF_NODE, "", FOR_CLIENT);
    world_write(&w, REF_NODE, ref, ref_len);
    world_set(&w, PORT_NODE, "", FOR_CLIENT);
    world_write(&w, PORT_NODE, port, port_len);
}

static void is_refused_and_recovers(int rc, const char *what)
{
    end_begin(c);
    ck_assert(world_until(&w, end_was_refused, c, SECOND));
    ck_assert_msg(c->refused_rc == rc, "%.20s: refused with %d (%s)", what, c->refused_rc, c->reason);
    ck_assert_uint_eq(world_holds(cd), 0);
    unsigned int calls = cd->calls, requests = cd->requests;
    world_run(&w, 600 * SECOND);
    ck_assert_uint_le(cd->calls, calls + 72 * 3);
    ck_assert_uint_le(cd->requests, requests + 72 * 3);
    ck_assert_uint_eq(c->opened, 0);
    end_begin(s);
    meets(what, 0);
}

START_TEST(what_is_no_number_is_refused)
{
    static char long_one[3000];
    static const char *const bad[] = {"", "x", "12x", "-1", " 7", "7 ", "0x7", "4294967296", long_one};
    const unsigned int count = sizeof(bad) / sizeof(bad[0]);
    memset(long_one, '9', sizeof(long_one) - 1);
    for (unsigned int i = 0; i < 2 * count + 2; i++) {
        const char *port = i < count ? bad[i] : "7", *ref = i >= count && i < 2 * count ? bad[i - count] : "7";
        size_t nul = i >= 2 * count;
        up(i);
        publish(port, strlen(port) + (i == 2 * count ? nul : 0), ref, strlen(ref) + (i > 2 * count ? nul : 0));
        is_refused_and_recovers(-XEN_EBADMSG, port);
        down();
    }
}
END_TEST

static void publish_numbers(uint32_t port, uint32_t ref)
{
    char port_text[16], ref_text[16];
    snprintf(port_text, sizeof(port_text), "%u", port);
    snprintf(ref_text, sizeof(ref_text), "%u", ref);
    publish(port_text, strlen(port_text), ref_text, strlen(ref_text));
}

START_TEST(numbers_that_lie_are_refused)
{
    const struct {
        uint32_t port, ref;
        int rc;
    } lies[] = {
        {0, 7, -XEN_EAGAIN},    {4000000, 7, -XEN_EINVAL},        {UINT32_MAX, 7, -XEN_EINVAL},
        {1, 7, -XEN_EINVAL},    {1000, 4000000000u, -XEN_EACCES}, {1000, 3, -XEN_EACCES},
        {1001, 3, -XEN_EINVAL},
    };
    for (unsigned int i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        up(i);
        /* 1000: a port that waits for us; 1001: one that waits for another. */
        int port = sd->raw->ops->evtchn_alloc(sd->raw->ctx, lies[i].port == 1001 ? 0 : 5);
        publish_numbers(lies[i].port / 2 == 500 ? (uint32_t)port : lies[i].port, lies[i].ref);
        is_refused_and_recovers(lies[i].rc, "a number");
        ck_assert_int_eq(sd->raw->ops->evtchn_close(sd->raw->ctx, (evtchn_port_t)port), 0);
        down();
    }
}
END_TEST

START_TEST(a_page_that_makes_no_sense_is_refused)
{
    static const struct {
        uint8_t orders[4], live;
        int rc;
    } pages[] = {
        {{10, 0, 11, 0}, 0, -XEN_ECONNREFUSED}, {{10, 0, 10, 0}, 1, -XEN_EBADMSG}, {{9, 0, 11, 0}, 1, -XEN_EBADMSG},
        {{10, 0, 21, 0}, 1, -XEN_EBADMSG},      {{0, 1, 0, 1}, 1, -XEN_EBADMSG},   {{12, 0, 11, 0}, 1, -XEN_EBADMSG},
        {{20, 0, 20, 0}, 1, -XEN_EBADMSG},
    };
    for (unsigned int i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        void *page = NULL;
        grant_ref_t ref;
        up(i);
        int port = sd->raw->ops->evtchn_alloc(sd->raw->ctx, 5);
        ck_assert_int_eq(sd->raw->ops->share(sd->raw->ctx, &page, &ref, 5, 1, 0, NULL), 0);
        memcpy((uint8_t *)page + 16, pages[i].orders, 4);
        ((uint8_t *)page)[21] = pages[i].live;
        publish_numbers((uint32_t)port, ref);
        is_refused_and_recovers(pages[i].rc, "a page");
        ck_assert_int_eq(sd->raw->ops->unshare(sd->raw->ctx, page, 1), 0);
        ck_assert_int_eq(sd->raw->ops->evtchn_close(sd->raw->ctx, (evtchn_port_t)port), 0);
        down();
    }
}
END_TEST

/* ---- peers that keep us busy ---- */

START_TEST(a_store_that_changes_all_the_time_costs_a_bounded_share)
{
    up(1);
    end_begin(c);
    uint64_t before = xids_model_now(w.m);
    for (unsigned int i = 0; i < 5000; i++) {
        publish_numbers(4000 + i, 7);
        xids_model_advance(w.m, 200000);
        world_steps(&w, 50);
    }
    uint64_t tries = (xids_model_now(w.m) - before) / XIDS_VCHAN_MEET_RETRY_MIN + 2;
    ck_assert_uint_le(cd->requests, 3 * tries + 2);
    ck_assert_uint_le(cd->calls, tries);
    end_begin(s);
    meets("in the end", 0);
    down();
}
END_TEST

START_TEST(a_broken_connection_to_the_store_is_no_reason_to_hurry)
{
    for (int side = 0; side < 2; side++) {
        up((uint64_t)_i);
        struct dom *d = side == 0 ? sd : cd;
        struct end *e = side == 0 ? s : c;
        end_begin(e);
        world_run(&w, SECOND);
        xids_xs_client_fail(d->xs, -XEN_EIO, "it broke");
        uint64_t turns = d->turns;
        world_run(&w, 600 * SECOND);
        ck_assert_uint_le(d->turns - turns, 200);
        xids_loop_suspend(&d->loop);
        xids_loop_resume(&d->loop);
        world_wake(d);
        end_begin(side == 0 ? c : s);
        meets("when it was mended", 0);
        down();
    }
}
END_TEST

static uint64_t drop_at_once(void *ctx, struct xids_vchan *ch, uint64_t now)
{
    struct end *e = ctx;
    (void)ch;
    (void)now;
    xids_vchan_meet_drop(e->meet, -XEN_EPERM, "not you", 0);
    return 0;
}

START_TEST(a_peer_that_always_closes_is_met_more_and_more_rarely)
{
    for (int side = 0; side < 2; side++) {
        up((uint64_t)_i);
        struct end *rude = side == 0 ? s : c, *other = side == 0 ? c : s;
        struct xids_vchan_meet_user user = *rude->config.user;
        user.serve = drop_at_once;
        rude->config.user = &user;
        end_begin(s);
        end_begin(c);
        world_run(&w, 60 * SECOND);
        ck_assert_uint_ge(other->opened, 3);
        ck_assert_uint_le(rude->opened, 20);
        end_end(rude);
        rude->config.user = other->config.user;
        user = *other->config.user;
        user.ctx = rude;
        rude->config.user = &user;
        end_begin(rude);
        meets("a better one", 0);
        down();
    }
}
END_TEST

static bool client_is_open(void *ctx)
{
    const struct end *e = ctx;
    return e->opened > e->closed;
}

/* By the client's own doing, which the server can only bear. */
START_TEST(a_client_that_comes_and_goes_all_the_time_is_served_more_and_more_rarely)
{
    up((uint64_t)_i);
    end_begin(s);
    world_run(&w, SECOND);
    uint64_t until = xids_model_now(w.m) + 100 * SECOND;
    while (xids_model_now(w.m) < until) {
        end_begin(c);
        (void)world_until(&w, client_is_open, c, SECOND);
        /* The server must have seen it. */
        world_run(&w, SECOND / 1000);
        end_end(c);
        world_run(&w, SECOND / 1000);
    }
    ck_assert_uint_ge(s->opened, 9);
    ck_assert_uint_le(s->opened, 40);
    end_begin(c);
    meets("one that stays", 0);
    down();
}
END_TEST

#define KEPT_MAX 20u

START_TEST(pages_that_clients_keep_are_bounded)
{
    void XIDS_PEER *kept[KEPT_MAX];
    unsigned int count = 0;
    struct xids_vchan *ch = malloc(xids_vchan_size());
    up((uint64_t)_i);
    end_begin(s);
    while (s->refused_rc != -XEN_EBUSY) {
        world_run(&w, 20 * SECOND);
        const char *text = world_read(&w, PORT_NODE);
        if (text == NULL)
            continue;
        evtchn_port_t port = (evtchn_port_t)strtoul(text, NULL, 10);
        grant_ref_t ref = (grant_ref_t)strtoul(world_read(&w, REF_NODE), NULL, 10);
        ck_assert_uint_lt(count, KEPT_MAX);
        ck_assert_int_eq(xids_vchan_client_init(ch, cd->raw, 3, ref, port, XIDS_VCHAN_PLAIN), 0);
        ck_assert_int_eq(cd->raw->ops->map(cd->raw->ctx, &kept[count], &ref, 3, 1, 0, NULL), 0);
        world_steps(&w, 20);
        /* A producer index that cannot be. */
        memset((uint8_t *)XIDS_PEER_RAW(void, kept[count]) + 4, 0x7f, 4);
        count++;
        xids_vchan_fini(ch);
    }
    ck_assert_uint_eq(count, XIDS_VCHAN_MEET_HELD + 1);
    ck_assert_int_eq(s->closed_rc, -XEN_EBADMSG);
    unsigned int calls = sd->calls;
    world_run(&w, 600 * SECOND);
    ck_assert_uint_eq(sd->calls, calls);
    ck_assert_ptr_null(world_read(&w, PORT_NODE));
    while (count > 0)
        ck_assert_int_eq(cd->raw->ops->unmap(cd->raw->ctx, kept[--count], 1), 0);
    free(ch);
    xids_loop_suspend(&sd->loop);
    xids_loop_resume(&sd->loop);
    world_wake(sd);
    end_begin(c);
    meets("after it was resumed", 0);
    down();
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("meet_hard");
    TCase *t = tcase_create("meet_hard");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, each_request_may_fail, 0, 6);
    tcase_add_loop_test(t, each_call_may_fail, 0, 5);
    tcase_add_loop_test(t, each_side_may_be_suspended_at_any_moment, 0, 3);
    tcase_add_loop_test(t, a_server_may_wake_up_as_another_domain, 0, 5);
    tcase_add_loop_test(t, a_client_may_wake_up_as_another_domain, 0, 5);
    tcase_add_test(t, what_is_no_number_is_refused);
    tcase_add_test(t, numbers_that_lie_are_refused);
    tcase_add_test(t, a_page_that_makes_no_sense_is_refused);
    tcase_add_test(t, a_store_that_changes_all_the_time_costs_a_bounded_share);
    tcase_add_loop_test(t, a_broken_connection_to_the_store_is_no_reason_to_hurry, 0, 3);
    tcase_add_loop_test(t, a_peer_that_always_closes_is_met_more_and_more_rarely, 0, 3);
    tcase_add_loop_test(t, a_client_that_comes_and_goes_all_the_time_is_served_more_and_more_rarely, 0, 3);
    tcase_add_loop_test(t, pages_that_clients_keep_are_bounded, 0, 3);
    suite_add_tcase(suite, t);
    return suite;
}
