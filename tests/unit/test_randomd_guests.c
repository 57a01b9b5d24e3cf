/* SPDX-License-Identifier: ISC */
/* The lives of xids-randomd's guests: channels that are closed, numbers that are used again, many at once, two servers.
 */
#include "tests/unit/randomd_daemon.h"

#include "vchan/internal.h"

#include <stdio.h>

static struct daemon d;
static struct machine m;

static void setup(void)
{
    memset(&d, 0, sizeof(d));
    machine_begin(&m);
}

static void begin(void)
{
    daemon_begin(&d, &m, 0);
    ck_assert(daemon_settle(&d, &m));
}

static void finish(void)
{
    daemon_end(&d);
    machine_end(&m);
}

static void close_client(struct xids_vchan *ch)
{
    xids_vchan_fini(ch);
    free(ch);
}

/* Whether a page holds some bytes anywhere. */
static bool holds(const void *page, const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at + len <= XIDS_PAGE_SIZE; at++)
        if (memcmp((const uint8_t *)page + at, bytes, len) == 0)
            return true;
    return false;
}

static const void *page_of(const struct guest *g)
{
    return XIDS_PEER_RAW(void, g->ch->page);
}

static bool shown(domid_t domid)
{
    char path[64];
    snprintf(path, sizeof(path), "/local/domain/0/backend/randomd/%u/0/event-channel", domid);
    struct xids_xs *xs = open_as(m.s, 0);
    bool yes = !has(xs, path, NULL);
    xids_xs_close(xs);
    return yes;
}

/* ---- channels that are closed ---- */

/* Far more often than there may be lost pages. */
START_TEST(who_closes_gets_the_same_page_with_another_seed)
{
    uint8_t seed[48], before[48] = {0};
    guest_make(&m, 5, "/vm/five");
    begin();
    const void *page = page_of(d.by_domid[5]);
    grant_ref_t ref = xids_vchan_ring_ref(d.by_domid[5]->ch);
    evtchn_port_t port = xids_vchan_port(d.by_domid[5]->ch);
    for (unsigned int i = 0; i < 2 * PAGES_MAX; i++) {
        struct xids_vchan *ch = client_connect(&m, 5, 0, 0);
        client_seed(ch, seed);
        ck_assert_mem_ne(seed, before, sizeof(seed));
        memcpy(before, seed, sizeof(seed));
        ck_assert(daemon_settle(&d, &m));
        close_client(ch);
        ck_assert(daemon_settle(&d, &m));
        daemon_later(REOFFER_MAX_MS + 1);
        ck_assert(daemon_settle(&d, &m));
        ck_assert_ptr_eq(page_of(d.by_domid[5]), page);
        ck_assert_uint_eq(xids_vchan_ring_ref(d.by_domid[5]->ch), ref);
        ck_assert_uint_eq(xids_vchan_port(d.by_domid[5]->ch), port);
    }
    ck_assert_uint_eq(d.count.offers, 2 * PAGES_MAX + 1);
    ck_assert_uint_eq(d.count.pages_lost, 0);
    finish();
}
END_TEST

START_TEST(what_was_not_read_is_for_nobody_else)
{
    uint8_t first[48], second[48];
    guest_make(&m, 5, "/vm/five");
    begin();
    const uint8_t *page = page_of(d.by_domid[5]);
    struct xids_vchan *ch = client_connect(&m, 5, 0, 0);
    ck_assert(daemon_settle(&d, &m));
    memcpy(first, page + VCHAN_AT_LARGE_RING + 32, sizeof(first)); /* the seed, in the message that lies there */
    close_client(ch);
    ck_assert(daemon_settle(&d, &m));
    ck_assert_uint_eq(d.count.offers, 2);
    ck_assert(!holds(page, first, sizeof(first)));
    ch = client_connect(&m, 5, 0, 0);
    client_seed(ch, second);
    ck_assert_mem_ne(first, second, sizeof(first));
    close_client(ch);
    finish();
}
END_TEST

START_TEST(who_closes_again_and_again_waits)
{
    guest_make(&m, 5, "/vm/five");
    begin();
    struct guest *g = d.by_domid[5];
    for (unsigned int i = 0; i < REOFFERS_FREE; i++) {
        close_client(client_connect(&m, 5, 0, 0));
        ck_assert(daemon_settle(&d, &m));
        ck_assert_ptr_nonnull(g->ch);
        ck_assert(shown(5));
    }
    uint64_t pause = REOFFER_MIN_MS;
    for (unsigned int i = 0; i < 5; i++, pause *= 2) {
        close_client(client_connect(&m, 5, 0, 0));
        ck_assert(daemon_settle(&d, &m));
        ck_assert_ptr_null(g->ch);
        ck_assert(!shown(5));
        daemon_later(pause - 1);
        ck_assert(daemon_settle(&d, &m));
        ck_assert_ptr_null(g->ch);
        daemon_later(1);
        ck_assert(daemon_settle(&d, &m));
        ck_assert_ptr_nonnull(g->ch);
        ck_assert(shown(5));
    }
    finish();
}
END_TEST

/* Its channel cannot be used again; and it may keep the page mapped. */
START_TEST(who_breaks_channels_has_no_more_at_some_time)
{
    guest_make(&m, 5, "/vm/five");
    guest_make(&m, 6, "/vm/six");
    begin();
    for (unsigned int i = 0; i < PAGES_MAX; i++) {
        ck_assert_ptr_nonnull(d.by_domid[5]->ch);
        guest_end(&d, d.by_domid[5], -XEN_EBADMSG);
        daemon_later(REOFFER_MAX_MS + 1);
        ck_assert(daemon_settle(&d, &m));
    }
    ck_assert_ptr_null(d.by_domid[5]->ch);
    ck_assert_uint_eq(d.count.exhausted, 1);
    ck_assert_uint_eq(d.count.pages_lost, PAGES_MAX);
    ck_assert(!shown(5));
    ck_assert(shown(6));
    finish();
}
END_TEST

static const struct xids_platform_ops *real_ops;

/* An index that cannot be; and one that leaves no room for a seed. */
static const struct spoil {
    size_t at;
    uint32_t value;
} spoils[] = {{VCHAN_AT_RIGHT, 0x55555555u}, {VCHAN_AT_RIGHT + 4, 2047}}, *spoil;

/* The guest has guessed the reference, and sets an index before the page is filled. */
static int share_and_spoil(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count,
                           unsigned int flags, const struct xids_unmap_notify *notify)
{
    int rc = real_ops->share(ctx, pages, refs, domid, count, flags, notify);
    if (rc == 0)
        memcpy((uint8_t *)*pages + spoil->at, &spoil->value, sizeof(spoil->value));
    return rc;
}

/* What it may keep mapped then counts, too. */
START_TEST(who_spoils_pages_in_the_making_has_no_more_at_some_time)
{
    begin();
    spoil = &spoils[_i];
    real_ops = d.platform->ops;
    struct xids_platform_ops ops = *real_ops;
    struct xids_platform spy = *d.platform;
    ops.share = share_and_spoil;
    spy.ops = &ops;
    d.platform = &spy;
    guest_make(&m, 5, "/vm/five");
    ck_assert(daemon_settle(&d, &m));
    for (unsigned int i = 0; i < PAGES_MAX + 2; i++) {
        daemon_later(REOFFER_MAX_MS + 1);
        ck_assert(daemon_settle(&d, &m));
    }
    ck_assert_uint_eq(d.count.offer_failures, PAGES_MAX);
    ck_assert_uint_eq(d.count.pages_lost, PAGES_MAX);
    ck_assert_uint_eq(d.count.exhausted, 1);
    ck_assert(!shown(5));
    d.platform = m.platforms[0];
    guest_make(&m, 6, "/vm/six");
    ck_assert(daemon_settle(&d, &m));
    ck_assert(shown(6));
    finish();
}
END_TEST

/* Each look for them goes through all guests. */
START_TEST(many_who_wait_are_looked_for_together)
{
    const unsigned int many = 20;
    for (domid_t domid = 1; domid <= many; domid++)
        guest_make(&m, domid, NULL);
    begin();
    for (domid_t domid = 1; domid <= many; domid++) {
        for (unsigned int i = 0; i <= REOFFERS_FREE; i++) {
            close_client(client_connect(&m, domid, 0, 0));
            ck_assert(daemon_settle(&d, &m));
        }
        ck_assert_ptr_null(d.by_domid[domid]->ch);
        daemon_later(1);
    }
    uint64_t offers = d.count.offers;
    unsigned int looks = 0;
    while (d.count.offers < offers + many) {
        ck_assert_uint_ne(d.due, UINT64_MAX);
        daemon_later((d.due - now_ns()) / 1000000u);
        ck_assert(daemon_settle(&d, &m));
        looks++;
    }
    ck_assert_uint_le(looks, many / WAIT_STEP_MS + 1);
    finish();
}
END_TEST

/* A BYE, and then it does not close: it has a second, then the page is given up. */
START_TEST(who_says_goodbye_and_stays_loses_the_page)
{
    static const uint8_t bye[16] = {XIDS_RANDOMD_CLIENT_BYE, 0, 16};
    guest_make(&m, 5, "/vm/five");
    begin();
    struct xids_vchan *ch = client_connect(&m, 5, 0, 0);
    ck_assert_int_eq(xids_vchan_send(ch, bye, sizeof(bye)), (int)sizeof(bye));
    ck_assert(daemon_settle(&d, &m));
    ck_assert_ptr_null(d.by_domid[5]->ch);
    for (unsigned int i = 0; i <= LINGER_MS / LINGER_LOOK_MS; i++) {
        daemon_later(LINGER_LOOK_MS);
        ck_assert(daemon_settle(&d, &m));
    }
    ck_assert_ptr_nonnull(d.by_domid[5]->ch);
    ck_assert_uint_eq(d.count.pages_lost, 1);
    close_client(ch);
    ch = client_connect(&m, 5, 0, 0);
    close_client(ch);
    finish();
}
END_TEST

/* ---- numbers that are used again ---- */

/* What the two say of who they are: 0 the same, 1 different things, 2 nothing. */
START_TEST(nothing_of_the_first_guest_reaches_the_second)
{
    static const char *const names[][2] = {{"/vm/same", "/vm/same"}, {"/vm/one", "/vm/two"}, {NULL, NULL}};
    for (unsigned int connected = 0; connected < 2; connected++) {
        uint8_t first[48], second[48];
        guest_make(&m, 5, names[_i][0]);
        begin();
        const uint8_t *page = page_of(d.by_domid[5]);
        memcpy(first, page + VCHAN_AT_LARGE_RING + 32, sizeof(first));
        struct xids_vchan *ch = connected ? client_connect(&m, 5, 0, 0) : NULL;
        ck_assert(daemon_settle(&d, &m));
        uint64_t offers = d.count.offers;
        /* The daemon does not look meanwhile. */
        guest_destroy(&m, 5);
        free(ch); /* its memory went with the domain */
        guest_make(&m, 5, names[_i][1]);
        ck_assert(daemon_settle(&d, &m));
        ck_assert_uint_eq(d.count.offers, offers + 1);
        ch = client_connect(&m, 5, 0, 0);
        client_seed(ch, second);
        ck_assert_mem_ne(first, second, sizeof(first));
        ck_assert(!holds(page_of(d.by_domid[5]), first, sizeof(first)));
        ck_assert_uint_eq(d.by_domid[5]->channels, 1);
        close_client(ch);
        daemon_end(&d);
        guest_destroy(&m, 5);
    }
    machine_end(&m);
}
END_TEST

/* The second one comes while the store is still at removing what there was of the first. */
START_TEST(a_number_used_again_at_once_is_served)
{
    const struct xids_test_store_fault fault = {
        .type = XS_RM, .path = "/local/domain/5/device/randomd", .action = XIDS_TEST_STORE_DELAY};
    guest_make(&m, 5, "/vm/one");
    begin();
    int number = xids_test_store_fault(m.s, &fault);
    guest_destroy(&m, 5);
    for (int i = 0; i < 100 && !d.by_domid[5]->gone; i++) {
        (void)store_turn(&d);
        ck_assert_int_ge(xids_test_store_settle(m.s), 0);
    }
    ck_assert_int_eq(xids_test_store_fault_hits(m.s, number), 1);
    ck_assert(d.by_domid[5]->gone);
    guest_make(&m, 5, "/vm/two");
    ck_assert_int_eq(xids_test_store_let_go(m.s), 0);
    ck_assert(daemon_settle(&d, &m));
    ck_assert_ptr_nonnull(d.by_domid[5]);
    ck_assert(shown(5));
    ck_assert_uint_eq(d.by_domid[5]->channels, 1);
    ck_assert_uint_eq(d.count.offers, 2);
    finish();
}
END_TEST

START_TEST(a_guest_whose_home_is_gone_is_gone)
{
    guest_make(&m, 5, "/vm/five");
    guest_make(&m, 6, "/vm/six");
    begin();
    ck_assert_uint_eq(d.guest_count, 2);
    guest_destroy(&m, 5);
    ck_assert(daemon_settle(&d, &m));
    ck_assert_uint_eq(d.guest_count, 1);
    ck_assert_ptr_null(d.by_domid[5]);
    ck_assert(!shown(5));
    ck_assert(shown(6));
    ck_assert_uint_eq(d.count.offers, 2);
    finish();
}
END_TEST

/* ---- many ---- */

#define MANY 60u

static void make_many(void)
{
    char vm[16];
    for (domid_t domid = 1; domid <= MANY; domid++) {
        snprintf(vm, sizeof(vm), "/vm/%u", domid);
        guest_make(&m, domid, vm);
    }
}

START_TEST(a_burst_is_one_scan_and_few_requests)
{
    begin();
    uint64_t scans = d.count.scans, requests = requests_of(&m);
    make_many();
    requests = requests_of(&m) - requests;
    ck_assert(daemon_settle(&d, &m));
    ck_assert_uint_eq(d.count.offers, MANY);
    ck_assert_uint_le(d.count.scans, scans + 2);
    for (domid_t domid = 1; domid <= MANY; domid++)
        ck_assert(shown(domid));
    finish();
}
END_TEST

START_TEST(after_a_kill_a_guest_costs_seven_requests)
{
    make_many();
    begin();
    daemon_kill(&d, &m);
    daemon_begin(&d, &m, 0);
    uint64_t before = requests_of(&m);
    ck_assert(daemon_settle(&d, &m));
    /* Another scan for each watch's first event, and the lists. */
    ck_assert_uint_le(d.count.scans, 3);
    ck_assert_uint_le(requests_of(&m) - before, 7 * MANY + (d.count.scans - 1) * 3 * MANY + 10);
    ck_assert_uint_eq(d.count.offers, MANY);
    daemon_end(&d);
    struct xids_xs *xs = open_as(m.s, 0);
    ck_assert_int_eq(xids_xs_rm(xs, 0, "/local/domain/0"), 0); /* made by the run that was killed */
    xids_xs_close(xs);
    machine_end(&m);
}
END_TEST

START_TEST(a_scan_is_followed_by_a_pause_as_long)
{
    const struct xids_test_store_fault fault = {
        .type = XS_DIRECTORY, .path = "/local/domain", .action = XIDS_TEST_STORE_DELAY};
    guest_make(&m, 5, "/vm/five");
    begin();
    uint64_t scans = d.count.scans;
    int number = xids_test_store_fault(m.s, &fault);
    scan_want(&d, true);
    for (int i = 0; i < 100 && xids_test_store_fault_hits(m.s, number) == 0; i++) {
        (void)store_turn(&d);
        ck_assert_int_ge(xids_test_store_settle(m.s), 0);
    }
    ck_assert_uint_eq(d.count.scans, scans + 1);
    /* However many ask meanwhile, there is no other. */
    scan_want(&d, true);
    daemon_later(700);
    ck_assert_int_eq(xids_test_store_let_go(m.s), 0);
    ck_assert(daemon_settle(&d, &m));
    ck_assert_uint_eq(d.count.scans, scans + 1);
    daemon_later(699);
    ck_assert(daemon_settle(&d, &m));
    ck_assert_uint_eq(d.count.scans, scans + 1);
    daemon_later(1);
    ck_assert(daemon_settle(&d, &m));
    ck_assert_uint_eq(d.count.scans, scans + 2);
    finish();
}
END_TEST

/* ---- a second server, in a domain of its own ---- */

static struct daemon second;

static void settle_both(void)
{
    for (int i = 0; i < 3; i++) {
        ck_assert(daemon_settle(&d, &m));
        if (second.xs != NULL)
            ck_assert(daemon_settle(&second, &m));
    }
}

static void begin_second(void)
{
    memset(&second, 0, sizeof(second));
    second.config.discover = true;
    daemon_begin(&second, &m, 7);
}

START_TEST(a_guest_has_a_channel_of_each_server)
{
    uint8_t one[48], other[48];
    d.config.entropy_domain = 7;
    guest_make(&m, 5, "/vm/five");
    guest_make(&m, 7, "/vm/entropy");
    begin();
    begin_second();
    settle_both();
    struct xids_vchan *ch = client_connect(&m, 5, 0, 0);
    client_seed(ch, one);
    close_client(ch);
    ch = client_connect(&m, 5, 7, 1);
    client_seed(ch, other);
    close_client(ch);
    ck_assert_mem_ne(one, other, sizeof(one));
    ck_assert_uint_eq(second.guest_count, 1); /* it is no guest of its own */
    /* Nobody but the guest reads its numbers. */
    guest_make(&m, 6, "/vm/six");
    settle_both();
    ck_assert_uint_eq(second.guest_count, 2);
    struct xids_xs *xs = open_as(m.s, 6);
    char *value = NULL;
    ck_assert_int_eq(xids_xs_read(xs, &value, NULL, 0, "/local/domain/7/backend/randomd/5/1/ring-ref"), -XEN_EACCES);
    xids_xs_close(xs);
    daemon_end(&second);
    finish();
}
END_TEST

START_TEST(both_servers_forget_a_guest_that_goes)
{
    d.config.entropy_domain = 7;
    guest_make(&m, 5, "/vm/five");
    guest_make(&m, 7, "/vm/entropy");
    begin();
    begin_second();
    settle_both();
    ck_assert_uint_eq(second.guest_count, 1);
    uint64_t offers = second.count.offers;
    guest_destroy(&m, 5);
    guest_make(&m, 5, "/vm/other");
    settle_both();
    /* Its directory was made anew in between: this is another guest. */
    ck_assert_uint_eq(second.count.offers, offers + 1);
    ck_assert_uint_eq(second.by_domid[5]->channels, 1);
    guest_destroy(&m, 5);
    settle_both();
    ck_assert_uint_eq(second.guest_count, 0);
    struct xids_xs *xs = open_as(m.s, 0);
    ck_assert(has(xs, "/local/domain/7/backend/randomd/5", NULL));
    xids_xs_close(xs);
    daemon_end(&second);
    finish();
}
END_TEST

START_TEST(an_entropy_domain_that_goes_is_no_server_any_more)
{
    d.config.entropy_domain = 7;
    guest_make(&m, 5, "/vm/five");
    guest_make(&m, 7, "/vm/entropy");
    begin();
    begin_second();
    settle_both();
    daemon_end(&second);
    guest_destroy(&m, 7);
    settle_both();
    struct xids_xs *xs = open_as(m.s, 5);
    ck_assert(has(xs, "device/randomd/1", NULL));
    ck_assert(has(xs, "device/randomd/0/backend-id", "0"));
    guest_make(&m, 7, "/vm/again");
    begin_second();
    settle_both();
    ck_assert(has(xs, "device/randomd/1/backend-id", "7"));
    xids_xs_close(xs);
    close_client(client_connect(&m, 5, 7, 1));
    daemon_end(&second);
    finish();
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd_guests");
    TCase *t = tcase_create("guests");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, who_closes_gets_the_same_page_with_another_seed);
    tcase_add_test(t, what_was_not_read_is_for_nobody_else);
    tcase_add_test(t, who_closes_again_and_again_waits);
    tcase_add_test(t, who_breaks_channels_has_no_more_at_some_time);
    tcase_add_loop_test(t, who_spoils_pages_in_the_making_has_no_more_at_some_time, 0, 2);
    tcase_add_test(t, many_who_wait_are_looked_for_together);
    tcase_add_test(t, who_says_goodbye_and_stays_loses_the_page);
    tcase_add_loop_test(t, nothing_of_the_first_guest_reaches_the_second, 0, 3);
    tcase_add_test(t, a_number_used_again_at_once_is_served);
    tcase_add_test(t, a_guest_whose_home_is_gone_is_gone);
    tcase_add_test(t, a_burst_is_one_scan_and_few_requests);
    tcase_add_test(t, after_a_kill_a_guest_costs_seven_requests);
    tcase_add_test(t, a_scan_is_followed_by_a_pause_as_long);
    tcase_add_test(t, a_guest_has_a_channel_of_each_server);
    tcase_add_test(t, both_servers_forget_a_guest_that_goes);
    tcase_add_test(t, an_entropy_domain_that_goes_is_no_server_any_more);
    suite_add_tcase(suite, t);
    return suite;
}
