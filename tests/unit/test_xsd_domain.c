/* SPDX-License-Identifier: ISC */
/* Domains and their rings, bytes in pieces, what a broken or dead peer does, and want of memory. */
#include "tests/unit/xsd_world.h"

#include <stdio.h>
#include <string.h>

static struct world *w;
static struct xids_xs_conn *c;

static void setup(void)
{
    w = world_up();
    c = world_socket(w);
}

static void teardown(void)
{
    world_down(w);
}

static void give_home(uint16_t domid)
{
    char payload[64];
    world_introduce(w, domid);
    (void)sprintf(payload, "/local/domain/%u|", domid);
    EXPECT(c, XS_WRITE, payload, "write OK|");
    (void)sprintf(payload, "/local/domain/%u|n%u|", domid, domid);
    EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
}

static uint32_t page_word(uint16_t domid, size_t offset)
{
    uint32_t v;
    memcpy(&v, w->rings[domid].page + offset, sizeof(v));
    return v;
}

static void set_page_word(uint16_t domid, size_t offset, uint32_t v)
{
    memcpy(w->rings[domid].page + offset, &v, sizeof(v));
}

#define WORD(field) offsetof(struct xenstore_domain_interface, field)

/* ---- coming and going ---- */

START_TEST(an_introduced_domain_is_served_over_its_ring)
{
    give_home(3);
    DOM_EXPECT(3, XS_WRITE, "hello|world", "write OK|");
    EXPECT(c, XS_READ, "/local/domain/3/hello|", "read world");
    ck_assert_uint_gt(w->rings[3].notified, 0);
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "3|", "introduced T|");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "4|", "introduced F|");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "32752|", "introduced T|");
}
END_TEST

START_TEST(the_ring_page_says_what_the_server_can)
{
    world_introduce(w, 3);
    ck_assert_uint_eq(page_word(3, WORD(server_features)), 15);
    ck_assert_uint_eq(page_word(3, WORD(error)), XENSTORE_ERROR_NONE);
}
END_TEST

START_TEST(an_introduction_that_the_host_refuses_is_answered_with_its_error)
{
    w->introduce_error = -XEN_ENOMEM;
    EXPECT(c, XS_INTRODUCE, "3|0|7|", "error ENOMEM|");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "3|", "introduced F|");
    w->introduce_error = 0;
    world_introduce(w, 3);
}
END_TEST

START_TEST(introducing_again_binds_the_new_port_and_forgets_watches_and_transactions)
{
    world_introduce(w, 3);
    (void)dom_ask(w, 3, XS_WATCH, "/a|t|");
    uint32_t tx = dom_tx_start(w, 3);
    EXPECT(c, XS_INTRODUCE, "3|0|99|", "introduce OK|");
    ck_assert_uint_eq(w->rings[3].port, 99);
    struct xids_xs_server_stats st;
    xids_xs_server_stats(w->server, &st);
    ck_assert_uint_eq(st.watches, 0);
    ck_assert_uint_eq(st.transactions, 0);
    ck_assert_uint_eq(st.domains, 1);
    /* The guest starts anew as well. */
    const struct xids_bytering_layout out = xids_bytering_xenstore_requests((void XIDS_PEER *)w->rings[3].page);
    const struct xids_bytering_layout in = xids_bytering_xenstore_replies((void XIDS_PEER *)w->rings[3].page);
    ck_assert_int_eq(xids_bytering_attach(&w->rings[3].out, &out, true), 0);
    ck_assert_int_eq(xids_bytering_attach(&w->rings[3].in, &in, false), 0);
    DOM_EXPECT_TX(3, tx, XS_READ, "/a|", "error ENOENT|");
}
END_TEST

START_TEST(a_released_domain_loses_what_it_owns_with_events)
{
    give_home(3);
    DOM_EXPECT(3, XS_WRITE, "a/b|1", "write OK|");
    EXPECT(c, XS_WRITE, "/shared/its|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/shared/its|n3|", "set-perms OK|");
    EXPECT(c, XS_WRITE, "/shared/read|", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/shared/read|n0|r3|r4|", "set-perms OK|");
    EXPECT(c, XS_WATCH, "/local/domain/3/a/b|b|", "watch OK|\nevent /local/domain/3/a/b|b|");
    EXPECT(c, XS_WATCH, "/local/domain/3|h|", "watch OK|\nevent /local/domain/3|h|");
    EXPECT(c, XS_WATCH, "@releaseDomain|r|", "watch OK|\nevent @releaseDomain|r|");
    EXPECT(c, XS_RELEASE, "3|",
           "event /local/domain/3/a/b|b|\nevent /local/domain/3|h|\nevent @releaseDomain|r|\nrelease OK|");
    ck_assert(!w->rings[3].introduced);
    EXPECT(c, XS_READ, "/local/domain/3|", "error ENOENT|");
    EXPECT(c, XS_READ, "/shared/its|", "error ENOENT|");
    EXPECT(c, XS_GET_PERMS, "/shared/read|", "get-perms n0|r4|");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "3|", "introduced F|");
    EXPECT(c, XS_RELEASE, "3|", "error ENOENT|");
    ck_assert_uint_eq(xids_store_owned(xids_xs_server_store(w->server), 3), 0);
}
END_TEST

START_TEST(a_new_domain_with_an_old_number_inherits_nothing)
{
    world_introduce(w, 3);
    EXPECT(c, XS_WRITE, "/n|secret", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/n|n0|r3|", "set-perms OK|");
    DOM_EXPECT(3, XS_READ, "/n|", "read secret");
    EXPECT(c, XS_RELEASE, "3|", "release OK|");
    world_introduce(w, 3);
    DOM_EXPECT(3, XS_READ, "/n|", "error EACCES|");
}
END_TEST

START_TEST(domain_0_and_unknown_domains_cannot_be_released)
{
    world_introduce(w, 0);
    EXPECT(c, XS_RELEASE, "0|", "error EINVAL|");
    EXPECT(c, XS_RELEASE, "9|", "error ENOENT|");
    EXPECT(c, XS_RESUME, "9|", "error ENOENT|");
    EXPECT(c, XS_RESUME, "0|", "error EINVAL|");
}
END_TEST

START_TEST(a_resumed_domain_may_shut_down_again)
{
    world_introduce(w, 3);
    (void)ask(w, c, XS_WATCH, "@releaseDomain|r|");
    xids_xs_server_shutdown(w->server, 3);
    ck_assert_str_eq(heard(w, c), "event @releaseDomain|r|");
    xids_xs_server_shutdown(w->server, 3);
    ck_assert_str_eq(heard(w, c), "");
    EXPECT(c, XS_RESUME, "3|", "resume OK|");
    xids_xs_server_shutdown(w->server, 3);
    ck_assert_str_eq(heard(w, c), "event @releaseDomain|r|");
}
END_TEST

START_TEST(domain_0s_ring_is_privileged)
{
    world_introduce(w, 0);
    DOM_EXPECT(0, XS_WRITE, "/a|1", "write OK|");
    DOM_EXPECT(0, XS_IS_DOMAIN_INTRODUCED, "0|", "introduced T|");
    DOM_EXPECT(0, XS_INTRODUCE, "0|0|1|", "error EINVAL|");
}
END_TEST

/* As in a domain of its own: its sockets are an ordinary domain's, and another one rules. */
START_TEST(the_servers_own_domain_need_not_be_the_privileged_one)
{
    struct world *before = w;
    w = world_up_as(7, 5);
    struct xids_xs_conn *own = world_socket(w);
    EXPECT(own, XS_READ, "/|", "error EACCES|");
    EXPECT(own, XS_WRITE, "/a|1", "error EACCES|");
    EXPECT(own, XS_RELEASE, "5|", "error EACCES|");
    EXPECT(own, XS_CONTROL, "check|", "error EACCES|");
    world_introduce(w, 5);
    DOM_EXPECT(5, XS_GET_PERMS, "/|", "get-perms n5|");
    DOM_EXPECT(5, XS_WRITE, "/local/domain/7|", "write OK|");
    DOM_EXPECT(5, XS_SET_PERMS, "/local/domain/7|n7|", "set-perms OK|");
    EXPECT(own, XS_WRITE, "a|1", "write OK|");
    DOM_EXPECT(5, XS_READ, "/local/domain/7/a|", "read 1");
    DOM_EXPECT(5, XS_RELEASE, "7|", "error EINVAL|");
    DOM_EXPECT(5, XS_RELEASE, "5|", "error EINVAL|");
    DOM_EXPECT(5, XS_RELEASE, "0|", "error ENOENT|");
    DOM_EXPECT(5, XS_CONTROL, "check|", "control OK|");
    world_down(w);
    w = before;
}
END_TEST

START_TEST(two_hundred_domains_live_side_by_side)
{
    char payload[64];
    struct xids_store *s = xids_xs_server_store(w->server);
    uint32_t nodes = 0;
    for (uint16_t d = 1; d <= 200; d++) {
        give_home(d);
        DOM_EXPECT(d, XS_WRITE, "a/b/c|1", "write OK|");
        (void)dom_ask(w, d, XS_WATCH, "a|t|");
        nodes = xids_store_nodes(s);
    }
    for (uint16_t d = 1; d <= 200; d++) {
        (void)sprintf(payload, "/local/domain/%u/a/x|%u", d, d);
        EXPECT(c, XS_WRITE, payload, "write OK|");
        ck_assert_str_eq(dom_heard(w, d), "event a/x|t|");
    }
    ck_assert_uint_eq(xids_store_nodes(s), nodes + 200);
    for (uint16_t d = 200; d >= 1; d--) {
        (void)sprintf(payload, "%u|", d);
        EXPECT(c, XS_RELEASE, payload, "release OK|");
        ck_assert_uint_eq(xids_store_owned(s, d), 0);
    }
    EXPECT(c, XS_DIRECTORY, "/local/domain|", "directory ");
}
END_TEST

/* ---- bytes ---- */

START_TEST(requests_may_come_one_byte_at_a_time)
{
    uint8_t out[64];
    size_t used;
    const struct xids_xswire_part part = {"/a\0value", 8};
    int n = xids_xswire_build(out, sizeof(out), XS_WRITE, 77, 0, &part, 1);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < n; i++) {
            ck_assert_str_eq(heard(w, c), "");
            ck_assert_int_eq(xids_xs_server_input(c, &used, out + i, 1), 0);
            ck_assert_uint_eq(used, 1);
        }
        ck_assert_str_eq(heard(w, c), "write OK|");
    }
}
END_TEST

START_TEST(many_requests_in_one_chunk_are_answered_in_order)
{
    static uint8_t out[16000];
    static char want[8000];
    size_t len = 0, used;
    for (int i = 0; i < 200; i++) {
        char payload[16];
        const struct xids_xswire_part part = {payload, (size_t)sprintf(payload, "/n%d", i) + 1};
        int n = xids_xswire_build(out + len, sizeof(out) - len, i % 2 == 0 ? XS_MKDIR : XS_READ, 77, 0, &part, 1);
        ck_assert_int_gt(n, 0);
        len += (size_t)n;
        strcat(want, i == 0 ? "mkdir OK|" : i % 2 == 0 ? "\nmkdir OK|" : "\nerror ENOENT|");
    }
    for (size_t at = 0; at < len; at += used) {
        ck_assert_int_eq(xids_xs_server_input(c, &used, out + at, len - at), 0);
        (void)xids_xs_server_idle(w->server, 1);
    }
    ck_assert_str_eq(heard(w, c), want);
}
END_TEST

START_TEST(an_over_long_message_breaks_a_socket_after_what_came_before)
{
    struct xsd_sockmsg bad = {.type = XS_READ, .len = 4097};
    uint8_t out[128];
    size_t used;
    const struct xids_xswire_part part = {"/a", 3};
    int n = xids_xswire_build(out, sizeof(out), XS_MKDIR, 77, 0, &part, 1);
    memcpy(out + n, &bad, sizeof(bad));
    ck_assert_int_eq(xids_xs_server_input(c, &used, out, (size_t)n + sizeof(bad)), -XEN_EBADMSG);
    ck_assert_str_eq(heard(w, c), "mkdir OK|");
    ck_assert_int_eq(xids_xs_server_input(c, &used, out, (size_t)n), -XEN_EBADMSG);
    struct xids_xs_conn *other = world_socket(w);
    EXPECT(other, XS_READ, "/a|", "read ");
}
END_TEST

START_TEST(who_does_not_fetch_answers_is_not_read_from)
{
    uint8_t out[64];
    size_t used = 1, taken = 0;
    const struct xids_xswire_part part = {"/", 2};
    int n = xids_xswire_build(out, sizeof(out), XS_DIRECTORY, 77, 0, &part, 1);
    for (int i = 0; i < 100000 && used > 0; i++) {
        ck_assert_int_eq(xids_xs_server_input(c, &used, out, (size_t)n), 0);
        taken += used > 0;
    }
    ck_assert_uint_lt(taken, 50000);
    ck_assert(!xids_xs_server_hungry(c));
    const void *bytes;
    ck_assert_uint_lt(xids_xs_server_output(c, &bytes), 300000);
    xids_xs_server_sent(c, xids_xs_server_output(c, &bytes));
    ck_assert(xids_xs_server_hungry(c));
}
END_TEST

START_TEST(a_message_of_4_kib_goes_through_the_ring_of_1_kib_both_ways)
{
    static char payload[4097];
    struct xids_xs_limits limits = xids_xs_limits_default;
    world_down(w);
    limits.store.node_size = 100000;
    w = world_up_with(&limits);
    c = world_socket(w);
    give_home(3);
    memset(payload, 'v', 4096);
    memcpy(payload, "v|", 2);
    DOM_EXPECT(3, XS_WRITE, payload, "write OK|");
    ck_assert_uint_eq(strlen(dom_ask(w, 3, XS_READ, "v|")), 5 + 4094);
}
END_TEST

START_TEST(a_guest_that_does_not_read_its_ring_is_not_served_without_end)
{
    uint8_t out[64];
    const struct xids_xswire_part part = {"/x", 3};
    world_introduce(w, 3);
    int n = xids_xswire_build(out, sizeof(out), XS_READ, 77, 0, &part, 1);
    struct world_ring *r = &w->rings[3];
    size_t sent = 0;
    int idle = 0;
    while (idle < 10) {
        int put = xids_bytering_look(&r->out) >= n ? xids_bytering_write(&r->out, out, (uint32_t)n) : 0;
        idle = put > 0 ? 0 : idle + 1;
        sent += (size_t)put;
        (void)xids_bytering_publish(&r->out);
        xids_xs_server_ring_event(xids_xs_server_domain(w->server, 3));
    }
    ck_assert_uint_lt(sent, 16000);
    /* Its answers are all there once it reads. */
    const char *text = dom_heard(w, 3);
    size_t answers = 0;
    for (; (text = strstr(text, "error EACCES|")) != NULL; text++)
        answers++;
    ck_assert_uint_eq(answers, sent / (size_t)n);
}
END_TEST

/* ---- broken peers ---- */

static const struct {
    size_t offset;
    uint32_t value;
} impossible[] = {
    {WORD(req_prod), 1025}, {WORD(req_prod), 0x80000000u}, {WORD(req_prod), UINT32_MAX},
    {WORD(rsp_cons), 1},    {WORD(rsp_cons), UINT32_MAX},
};

START_TEST(an_impossible_index_breaks_that_domain_alone)
{
    world_introduce(w, 3);
    give_home(4);
    (void)dom_ask(w, 3, XS_WATCH, "/a|t|");
    uint32_t base = page_word(3, impossible[_i].offset);
    set_page_word(3, impossible[_i].offset, base + impossible[_i].value);
    if (impossible[_i].offset == WORD(rsp_cons))
        set_page_word(3, WORD(req_prod), page_word(3, WORD(req_prod)));
    struct xids_xs_conn *conn = xids_xs_server_domain(w->server, 3);
    for (int i = 0; i < 3; i++) {
        xids_xs_server_ring_event(conn);
        (void)xids_xs_server_idle(w->server, 100);
    }
    if (impossible[_i].offset == WORD(req_prod))
        ck_assert_uint_eq(page_word(3, WORD(error)), XENSTORE_ERROR_RINGIDX);
    DOM_EXPECT(4, XS_WRITE, "x|1", "write OK|");
    EXPECT(c, XS_WRITE, "/a|1", "write OK|");
    EXPECT(c, XS_RELEASE, "3|", "release OK|");
}
END_TEST

START_TEST(an_over_long_message_on_a_ring_sets_the_error_and_ends_the_service)
{
    const struct xsd_sockmsg bad = {.type = XS_READ, .len = 100000};
    world_introduce(w, 3);
    (void)dom_ask(w, 3, XS_WATCH, "/a|t|");
    dom_send(w, 3, &bad, sizeof(bad));
    ck_assert_uint_eq(page_word(3, WORD(error)), XENSTORE_ERROR_PROTO);
    struct xids_xs_server_stats st;
    xids_xs_server_stats(w->server, &st);
    ck_assert_uint_eq(st.watches, 0);
    EXPECT(c, XS_WRITE, "/a|1", "write OK|");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "3|", "introduced T|");
    (void)ask(w, c, XS_WATCH, "@releaseDomain|r|");
    EXPECT(c, XS_RELEASE, "3|", "event @releaseDomain|r|\nrelease OK|");
}
END_TEST

START_TEST(a_page_that_is_garbage_from_the_start_breaks_that_domain_alone)
{
    w->rings[3].page = malloc(XIDS_PAGE_SIZE);
    memset(w->rings[3].page, 0xa5, XIDS_PAGE_SIZE);
    memset(w->rings[3].page + WORD(req_cons), 0xa5, 8);
    set_page_word(3, WORD(req_prod), 5);
    EXPECT(c, XS_INTRODUCE, "3|0|7|", "introduce OK|");
    (void)xids_xs_server_idle(w->server, 100);
    ck_assert_uint_eq(page_word(3, WORD(error)), XENSTORE_ERROR_RINGIDX);
    EXPECT(c, XS_RELEASE, "3|", "release OK|");
}
END_TEST

START_TEST(a_flooding_guest_is_looked_at_in_turns)
{
    static uint8_t out[1024];
    const struct xids_xswire_part part = {"/", 2};
    world_introduce(w, 3);
    size_t len = 0;
    while (len + 18 <= sizeof(out))
        len += (size_t)xids_xswire_build(out + len, sizeof(out) - len, XS_GET_DOMAIN_PATH, 1, 0, &part, 1);
    ck_assert_int_eq(xids_bytering_write(&w->rings[3].out, out, (uint32_t)len), (int)len);
    (void)xids_bytering_publish(&w->rings[3].out);
    struct xids_xs_server_stats before, after;
    xids_xs_server_stats(w->server, &before);
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, 3));
    xids_xs_server_stats(w->server, &after);
    ck_assert_uint_le(after.requests - before.requests, len / 18);
}
END_TEST

/* ---- want of memory ---- */

/* One life: everything that allocates, once; its answers do not matter, but what is left does. */
static void live(void)
{
    static const struct {
        uint32_t type;
        const char *payload;
    } requests[] = {
        {XS_TRANSACTION_START, "|"},
        {XS_WRITE, "/a/b/c|a value of some length, to be moved when it grows"},
        {XS_WRITE, "/a/b/c|1"},
        {XS_MKDIR, "/a/d|"},
        {XS_MKDIR, "/a/e|"},
        {XS_SET_PERMS, "/a/b|n0|r5|b6|"},
        {XS_DIRECTORY, "/a|"},
        {XS_WATCH, "/a/b/c|token|"},
        {XS_WATCH, "/a|token|"},
        {XS_INTRODUCE, "9|0|3|"},
        {XS_WRITE, "/local/domain/9/x|"},
        {XS_SET_PERMS, "/local/domain/9|n9|"},
        {XS_RM, "/a/d|"},
        {XS_TRANSACTION_END, "T|"},
        {XS_RM, "/a|"},
        {XS_RELEASE, "9|"},
        {XS_UNWATCH, "/a|token|"},
    };
    struct xids_xs_conn *conn;
    size_t used;
    if (xids_xs_server_connect(w->server, &conn, NULL) < 0)
        return;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        for (uint32_t tx = 0; tx < 2; tx++) {
            uint8_t out[256];
            char bytes[128];
            const void *answer;
            size_t len = strlen(requests[i].payload);
            for (size_t k = 0; k < len; k++)
                bytes[k] = requests[i].payload[k] == '|' ? '\0' : requests[i].payload[k];
            const struct xids_xswire_part part = {bytes, len};
            int n = xids_xswire_build(out, sizeof(out), requests[i].type, 1, tx, &part, 1);
            ck_assert_int_gt(n, 0);
            /* In two pieces, so that a partial message is kept too. */
            if (xids_xs_server_input(conn, &used, out, 10) < 0 ||
                xids_xs_server_input(conn, &used, out + 10, (size_t)n - 10) < 0) {
                xids_xs_server_disconnect(conn);
                return;
            }
            xids_xs_server_sent(conn, xids_xs_server_output(conn, &answer));
            const char *broken = xids_store_check(xids_xs_server_store(w->server));
            ck_assert_msg(broken == NULL, "the tree has %s after request %zu", broken, i);
        }
    }
    xids_xs_server_disconnect(conn);
}

START_TEST(the_tree_stays_sound_whichever_allocation_fails)
{
    unsigned long failed = 0;
    for (unsigned long i = 1;; i++) {
        struct world *mine = world_up();
        struct world *outer = w;
        w = mine;
        unsigned long start = mine->alloc.calls;
        mine->alloc.fail_at = start + i;
        mine->alloc.fail_after = _i == 1;
        live();
        bool reached = mine->alloc.calls >= start + i;
        mine->alloc.fail_at = 0;
        world_down(mine);
        w = outer;
        if (!reached)
            break;
        failed++;
    }
    ck_assert_uint_gt(failed, 40);
}
END_TEST

START_TEST(a_server_that_cannot_be_made_leaves_nothing)
{
    for (unsigned long i = 1;; i++) {
        struct counting_alloc alloc = {.fail_at = i};
        struct xids_xs_server *s;
        const struct xids_xs_server_config config = {.alloc = counting_alloc(&alloc)};
        int rc = xids_xs_server_new(&s, &config);
        if (rc == 0) {
            ck_assert_uint_gt(i, 10);
            xids_xs_server_free(s);
        }
        ck_assert_uint_eq(alloc.blocks, 0);
        if (rc == 0)
            break;
        ck_assert_int_eq(rc, -XEN_ENOMEM);
    }
}
END_TEST

START_TEST(an_idle_connection_costs_little)
{
    struct xids_xs_conn *conns[100];
    size_t before = w->alloc.bytes;
    for (int i = 0; i < 100; i++) {
        conns[i] = world_socket(w);
        EXPECT(conns[i], XS_READ, "/tool|", "read ");
    }
    ck_assert_uint_lt(w->alloc.bytes - before, 100u * 1024 + 20000);
    for (int i = 0; i < 100; i++)
        xids_xs_server_disconnect(conns[i]);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_domain");
    TCase *t = tcase_create("domains");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, an_introduced_domain_is_served_over_its_ring);
    tcase_add_test(t, the_ring_page_says_what_the_server_can);
    tcase_add_test(t, an_introduction_that_the_host_refuses_is_answered_with_its_error);
    tcase_add_test(t, introducing_again_binds_the_new_port_and_forgets_watches_and_transactions);
    tcase_add_test(t, a_released_domain_loses_what_it_owns_with_events);
    tcase_add_test(t, a_new_domain_with_an_old_number_inherits_nothing);
    tcase_add_test(t, domain_0_and_unknown_domains_cannot_be_released);
    tcase_add_test(t, a_resumed_domain_may_shut_down_again);
    tcase_add_test(t, domain_0s_ring_is_privileged);
    tcase_add_test(t, the_servers_own_domain_need_not_be_the_privileged_one);
    tcase_add_test(t, two_hundred_domains_live_side_by_side);
    suite_add_tcase(suite, t);
    t = tcase_create("bytes");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, requests_may_come_one_byte_at_a_time);
    tcase_add_test(t, many_requests_in_one_chunk_are_answered_in_order);
    tcase_add_test(t, an_over_long_message_breaks_a_socket_after_what_came_before);
    tcase_add_test(t, who_does_not_fetch_answers_is_not_read_from);
    tcase_add_test(t, a_message_of_4_kib_goes_through_the_ring_of_1_kib_both_ways);
    tcase_add_test(t, a_guest_that_does_not_read_its_ring_is_not_served_without_end);
    tcase_add_loop_test(t, an_impossible_index_breaks_that_domain_alone, 0, 5);
    tcase_add_test(t, an_over_long_message_on_a_ring_sets_the_error_and_ends_the_service);
    tcase_add_test(t, a_page_that_is_garbage_from_the_start_breaks_that_domain_alone);
    tcase_add_test(t, a_flooding_guest_is_looked_at_in_turns);
    suite_add_tcase(suite, t);
    t = tcase_create("memory");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, the_tree_stays_sound_whichever_allocation_fails, 0, 2);
    tcase_add_test(t, a_server_that_cannot_be_made_leaves_nothing);
    tcase_add_test(t, an_idle_connection_costs_little);
    suite_add_tcase(suite, t);
    return suite;
}
