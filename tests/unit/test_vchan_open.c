/* SPDX-License-Identifier: ISC */
/* vchan, meeting through xenstore: what a server that writes whatever it likes there can do to a client. */
#include "tests/unit/suite.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xids/model.h>
#include <xids/vchan_open.h>

/* What one attempt to connect reads: the port, the reference, the port again. */
#define READS_OF_ONE_TRY 3

struct numbers {
    const char *port, *ref; /* NULL: no such node */
};

/* A store with the numbers of one server; if told so it sends an event before each answer. */
struct store {
    struct xids_model *m;
    const struct xids_platform *server, *client; /* domains 1 and 2 */
    struct xids_xs *xs;                          /* the client's */
    int fd;
    struct numbers first, then; /* then (if there is a port): after the first try, with an event */
    bool storm;                 /* the server writes its node again and again */
    char token[64], path[128];
    atomic_bool withdrawn; /* the nodes are there no more */
    atomic_uint reads, permits;
    void (*at_read)(struct store *s, unsigned int before); /* in the store's thread, while the client waits for it */
    void *ctx;
    pthread_t thread;
};

static bool get_all(int fd, void *to, size_t len)
{
    uint8_t *at = to;
    for (ssize_t n; len > 0; at += n, len -= (size_t)n) {
        n = read(fd, at, len);
        if (n <= 0)
            return false;
    }
    return true;
}

static void put(const struct store *s, uint32_t type, uint32_t id, const void *data, size_t len)
{
    uint8_t out[1024];
    const struct xids_xswire_part part = {data, len};
    int n = xids_xswire_build(out, sizeof(out), type, id, 0, &part, 1);
    if (n > 0)
        (void)!send(s->fd, out, (size_t)n, MSG_NOSIGNAL);
}

static void event(const struct store *s)
{
    char text[256];
    int n = snprintf(text, sizeof(text), "%s%c%s", s->path, 0, s->token);
    put(s, XS_WATCH_EVENT, 0, text, (size_t)n + 1);
}

static void *serve(void *arg)
{
    struct store *s = arg;
    uint32_t h[4];
    char payload[XIDS_XSWIRE_PAYLOAD_MAX + 1];
    while (get_all(s->fd, h, sizeof(h)) && h[3] <= XIDS_XSWIRE_PAYLOAD_MAX && get_all(s->fd, payload, h[3])) {
        payload[h[3]] = '\0';
        if (s->storm && h[0] == XS_READ)
            event(s);
        if (h[0] == XS_READ) {
            unsigned int before = atomic_fetch_add_explicit(&s->reads, 1, memory_order_relaxed);
            if (s->at_read != NULL)
                s->at_read(s, before);
            bool changes = s->then.port != NULL && before + 1 == READS_OF_ONE_TRY;
            const struct numbers *now = s->then.port != NULL && before >= READS_OF_ONE_TRY ? &s->then : &s->first;
            const char *value = strstr(payload, "ring-ref") != NULL ? now->ref : now->port;
            if (atomic_load_explicit(&s->withdrawn, memory_order_relaxed))
                value = NULL;
            if (value == NULL)
                put(s, XS_ERROR, h[1], "ENOENT", 7);
            else
                put(s, XS_READ, h[1], value, strlen(value));
            if (changes)
                event(s);
        } else {
            if (h[0] == XS_WATCH) {
                (void)snprintf(s->path, sizeof(s->path), "%.127s", payload);
                (void)snprintf(s->token, sizeof(s->token), "%.63s", payload + strlen(payload) + 1);
            }
            if (h[0] == XS_SET_PERMS)
                atomic_fetch_add_explicit(&s->permits, 1, memory_order_relaxed);
            put(s, h[0], h[1], "OK", 3);
        }
        if (h[0] == XS_WATCH)
            event(s);
    }
    return NULL;
}

static void store_open(struct store *s)
{
    int pair[2];
    s->m = xids_model_new(1, 0);
    ck_assert_ptr_nonnull(s->m);
    s->server = xids_model_domain_create(s->m, 1);
    s->client = xids_model_domain_create(s->m, 2);
    ck_assert(s->server != NULL && s->client != NULL);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    s->fd = pair[0];
    ck_assert_int_eq(xids_xs_attach(&s->xs, pair[1]), 0);
    ck_assert_int_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void store_close(struct store *s)
{
    char left[300];
    xids_xs_close(s->xs);
    ck_assert_int_eq(pthread_join(s->thread, NULL), 0);
    close(s->fd);
    unsigned int n = xids_model_check_clean(s->m, left, sizeof(left));
    ck_assert_msg(n == 0, "%s", left);
    xids_model_free(s->m);
}

/* A client in domain 2 looks for a server in domain 1. */
static int look_for(struct store *s, struct xids_vchan_link **link, int timeout_ms)
{
    return xids_vchan_connect(link, s->client, s->xs, 1, "/local/domain/1/data/vchan/2/x", 0, timeout_ms);
}

/* What it comes to that there is none. */
static int connect_in(struct store *s, int timeout_ms)
{
    struct xids_vchan_link *link;
    store_open(s);
    int rc = look_for(s, &link, timeout_ms);
    ck_assert(rc < 0 && link == NULL);
    store_close(s);
    return rc;
}

static atomic_bool released;
static pthread_t waiter;

/* The store says nothing more before it is let. */
static void say_nothing(struct store *s, unsigned int before)
{
    (void)s;
    (void)before;
    while (!atomic_load(&released))
        (void)poll(NULL, 0, 1);
}

/* And signals come meanwhile. */
static void send_signals(struct store *s, unsigned int before)
{
    (void)s;
    (void)before;
    while (!atomic_load(&released)) {
        (void)pthread_kill(waiter, SIGUSR1);
        (void)poll(NULL, 0, 1);
    }
}

static void on_signal(int number)
{
    (void)number;
}

START_TEST(a_store_that_does_not_answer_does_not_put_off_the_time_out)
{
    struct store s = {.at_read = say_nothing};
    struct xids_vchan_link *link;
    store_open(&s);
    ck_assert_int_eq(look_for(&s, &link, 10), -XEN_ETIMEDOUT);
    atomic_store(&released, true);
    store_close(&s);
}
END_TEST

START_TEST(a_signal_ends_the_wait_for_a_store_that_does_not_answer)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct store s = {.at_read = send_signals};
    struct xids_vchan_link *link;
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    waiter = pthread_self();
    store_open(&s);
    ck_assert_int_eq(look_for(&s, &link, -1), -XEN_EINTR);
    atomic_store(&released, true);
    store_close(&s);
}
END_TEST

START_TEST(a_server_that_writes_its_node_without_end_does_not_put_off_the_time_out)
{
    struct store s = {.storm = true};
    ck_assert_int_eq(connect_in(&s, 0), -XEN_ETIMEDOUT);
    ck_assert_uint_ge(atomic_load_explicit(&s.reads, memory_order_relaxed), 1);
}
END_TEST

static const struct numbers garbage[] = {
    {"", ""},
    {"0", "0"},
    {"-1", "-1"},
    {"1", "-1"},
    {" 1", "8"},
    {"0x1", "8"},
    {"1 ", "8"},
    {"abc", "def"},
    {"4294967295", "4294967295"},
    {"4294967296", "1"},
    {"18446744073709551617", "1"},
    {"99999999999999999999999999999999", "1"},
    {"1", "4294967295"},
    {"131071", "1"},
    {"131072", "1"},
    {"4095", NULL},
    {NULL, "1"},
    {"\x80\xff", "1"},
};

START_TEST(garbage_in_the_nodes_is_a_server_that_is_not_there)
{
    struct store s = {.first = garbage[_i]};
    ck_assert_int_eq(connect_in(&s, 0), -XEN_ETIMEDOUT);
}
END_TEST

/* The numbers of a server that was killed, which by now are those of a page that is no control page. */
START_TEST(old_numbers_of_anything_are_passed_over)
{
    struct store s = {.fd = -1};
    struct xids_vchan_link *link;
    char port[12], ref[12], old_port[12], old_ref[12];
    void *page;
    grant_ref_t page_ref;
    store_open(&s);
    const struct xids_platform_ops *ops = s.server->ops;
    int page_port = ops->evtchn_alloc(s.server->ctx, 2);
    ck_assert_int_gt(page_port, 0);
    ck_assert_int_eq(ops->share(s.server->ctx, &page, &page_ref, 2, 1, 0, NULL), 0);
    memset(page, 0xaa, XIDS_PAGE_SIZE);
    struct xids_vchan *ch = malloc(xids_vchan_size());
    ck_assert_ptr_nonnull(ch);
    ck_assert_int_eq(xids_vchan_server_init(ch, s.server, 2, 12, 12, 0), 0);
    (void)snprintf(old_port, sizeof(old_port), "%d", page_port);
    (void)snprintf(old_ref, sizeof(old_ref), "%u", page_ref);
    (void)snprintf(port, sizeof(port), "%u", xids_vchan_port(ch));
    (void)snprintf(ref, sizeof(ref), "%u", xids_vchan_ring_ref(ch));
    s.first = (struct numbers){old_port, old_ref};
    s.then = (struct numbers){port, ref};
    ck_assert_int_eq(look_for(&s, &link, -1), 0);
    ck_assert_uint_eq(atomic_load_explicit(&s.reads, memory_order_relaxed), 2 * READS_OF_ONE_TRY);
    ck_assert_int_eq(xids_vchan_state(ch), XIDS_VCHAN_OPEN);
    xids_vchan_unlink(link);
    xids_vchan_fini(ch);
    free(ch);
    ck_assert_int_eq(ops->unshare(s.server->ctx, page, 1), 0);
    ck_assert_int_eq(ops->evtchn_close(s.server->ctx, (evtchn_port_t)page_port), 0);
    store_close(&s);
}
END_TEST

/* ---- servers that become good without a word ---- */

/* A server, and its client of the moment. */
struct busy_server {
    struct xids_vchan *server, *client;
};

static void client_leaves(struct store *s, unsigned int before)
{
    struct busy_server *b = s->ctx;
    if (before != 2 * READS_OF_ONE_TRY)
        return;
    xids_vchan_fini(b->client);
    ck_assert_int_eq(xids_vchan_reoffer(b->server), 0);
}

START_TEST(a_port_that_was_taken_is_tried_again)
{
    struct busy_server b = {malloc(xids_vchan_size()), malloc(xids_vchan_size())};
    struct store s = {.fd = -1, .at_read = client_leaves, .ctx = &b};
    struct xids_vchan_link *link;
    char port[12], ref[12];
    store_open(&s);
    ck_assert(b.server != NULL && b.client != NULL);
    ck_assert_int_eq(xids_vchan_server_init(b.server, s.server, 2, 12, 12, 0), 0);
    (void)snprintf(port, sizeof(port), "%u", xids_vchan_port(b.server));
    (void)snprintf(ref, sizeof(ref), "%u", xids_vchan_ring_ref(b.server));
    s.first = (struct numbers){port, ref};
    ck_assert_int_eq(
        xids_vchan_client_init(b.client, s.client, 1, xids_vchan_ring_ref(b.server), xids_vchan_port(b.server), 0), 0);
    ck_assert_int_eq(xids_vchan_state(b.server), XIDS_VCHAN_OPEN);
    ck_assert_int_eq(look_for(&s, &link, -1), 0);
    ck_assert_int_eq(xids_vchan_state(b.server), XIDS_VCHAN_OPEN);
    xids_vchan_unlink(link);
    xids_vchan_fini(b.server);
    free(b.server);
    free(b.client);
    store_close(&s);
}
END_TEST

/* ---- clients whose domain comes late ---- */

static bool answered(const struct store *s)
{
    return xids_xs_client_outstanding(xids_xs_client(s->xs)) == 0;
}

START_TEST(a_server_gives_its_permissions_again_until_a_client_has_come)
{
    struct store s = {.fd = -1};
    struct xids_vchan_link *link;
    struct xids_vchan *client = malloc(xids_vchan_size());
    ck_assert_ptr_nonnull(client);
    store_open(&s);
    ck_assert_int_eq(xids_vchan_listen(&link, s.server, s.xs, 2, "/local/domain/1/data/vchan/2/x", 12, 12, 0), 0);
    ck_assert_uint_eq(atomic_load_explicit(&s.permits, memory_order_relaxed), 2);
    /* The first, the second, the fourth, the eighth, and from then on each eighth. */
    static const unsigned int after[] = {4, 6, 6, 8, 8, 8, 8, 10, 10, 10, 10, 10, 10, 10, 10, 12};
    for (unsigned int i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
        ck_assert_int_eq(xids_vchan_link_check(link), XIDS_VCHAN_CONNECTING);
        while (!answered(&s))
            ck_assert_int_eq(xids_xs_pump(s.xs), 0);
        ck_assert_uint_eq(atomic_load_explicit(&s.permits, memory_order_relaxed), after[i]);
    }
    struct xids_vchan *ch = xids_vchan_of(link);
    ck_assert_int_eq(xids_vchan_client_init(client, s.client, 1, xids_vchan_ring_ref(ch), xids_vchan_port(ch), 0), 0);
    for (unsigned int i = 0; i < 20; i++)
        ck_assert_int_eq(xids_vchan_link_check(link), XIDS_VCHAN_OPEN);
    ck_assert(answered(&s));
    xids_vchan_fini(client);
    xids_vchan_unlink(link);
    free(client);
    store_close(&s);
}
END_TEST

/* ---- the death of the server's domain, where the platform may not look ---- */

static int may_not_look(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    (void)port;
    return -XEN_EACCES;
}

/* A client's platform in a Linux guest, and a channel over it to a server that does nothing. */
struct blind {
    struct store store;
    struct xids_platform_ops ops;
    struct xids_platform platform;
    struct xids_vchan *server;
    struct xids_vchan_link *link;
    char port[12], ref[12];
};

static void blind_open(struct blind *b)
{
    struct store *s = &b->store;
    store_open(s);
    b->platform = *s->client;
    b->ops = *s->client->ops;
    b->ops.evtchn_status = may_not_look;
    b->platform.ops = &b->ops;
    b->server = malloc(xids_vchan_size());
    ck_assert_ptr_nonnull(b->server);
    ck_assert_int_eq(xids_vchan_server_init(b->server, s->server, 2, 12, 12, 0), 0);
    (void)snprintf(b->port, sizeof(b->port), "%u", xids_vchan_port(b->server));
    (void)snprintf(b->ref, sizeof(b->ref), "%u", xids_vchan_ring_ref(b->server));
    s->first = (struct numbers){b->port, b->ref};
    ck_assert_int_eq(xids_vchan_connect(&b->link, &b->platform, s->xs, 1, "/local/domain/1/data/vchan/2/x", 0, -1), 0);
}

static void blind_close(struct blind *b)
{
    xids_vchan_unlink(b->link);
    xids_vchan_fini(b->server);
    free(b->server);
    store_close(&b->store);
}

/* Until the store has answered all that it was asked. */
static void hear(struct store *s)
{
    struct pollfd p = {.fd = xids_xs_fd(s->xs), .events = POLLIN};
    while (!answered(s)) {
        ck_assert(!xids_xs_wants_write(s->xs));
        ck_assert_int_eq(poll(&p, 1, -1), 1);
        ck_assert_int_eq(xids_xs_pump(s->xs), 0);
    }
}

/* One look of the client, and the store's answer to it, which this look or only the next one heeds. */
static enum xids_vchan_state look(struct blind *b)
{
    enum xids_vchan_state state = xids_vchan_link_check(b->link);
    hear(&b->store);
    return state;
}

START_TEST(a_client_that_may_not_look_learns_from_the_store_that_its_server_died)
{
    struct blind b = {.store.fd = -1};
    blind_open(&b);
    ck_assert_int_eq(look(&b), XIDS_VCHAN_OPEN);
    atomic_store_explicit(&b.store.withdrawn, true, memory_order_relaxed);
    ck_assert_int_eq(look(&b), XIDS_VCHAN_OPEN);
    enum xids_vchan_state state = look(&b);
    if (state == XIDS_VCHAN_OPEN)
        state = look(&b);
    ck_assert_int_eq(state, XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(xids_vchan_write(xids_vchan_of(b.link), "x", 1), -XEN_ENODEV);
    blind_close(&b);
}
END_TEST

/* As some servers do, which then serve on. */
START_TEST(a_server_that_takes_its_numbers_back_at_once_is_not_taken_for_dead)
{
    struct blind b = {.store.fd = -1};
    blind_open(&b);
    atomic_store_explicit(&b.store.withdrawn, true, memory_order_relaxed);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(look(&b), XIDS_VCHAN_OPEN);
    blind_close(&b);
}
END_TEST

START_TEST(numbers_that_are_there_again_are_no_death)
{
    struct blind b = {.store.fd = -1};
    blind_open(&b);
    for (int i = 0; i < 5; i++) {
        atomic_store_explicit(&b.store.withdrawn, i % 2 != 0, memory_order_relaxed);
        ck_assert_int_eq(look(&b), XIDS_VCHAN_OPEN);
    }
    blind_close(&b);
}
END_TEST

/* Each sleep ends at its limit at once; the third time the server's domain has died. */
static struct blind *sleeper;
static unsigned int naps;

static int sleeps(void *ctx, uint64_t deadline)
{
    (void)ctx;
    ck_assert_uint_ne(deadline, UINT64_MAX);
    /* First the answer to the look before, which is from when the server was there. */
    hear(&sleeper->store);
    if (++naps == 3)
        atomic_store_explicit(&sleeper->store.withdrawn, true, memory_order_relaxed);
    return 0;
}

START_TEST(a_blocked_client_that_may_not_look_learns_it_too)
{
    struct blind b = {.store.fd = -1};
    char byte;
    blind_open(&b);
    sleeper = &b;
    naps = 0;
    b.ops.wait = sleeps;
    ck_assert_int_eq(xids_vchan_read_all(xids_vchan_of(b.link), NULL, &byte, 1, UINT64_MAX), -XEN_ENODEV);
    ck_assert_uint_ge(naps, 4);
    blind_close(&b);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan open");
    TCase *hostile = tcase_create("hostile server");
    tcase_add_test(hostile, a_store_that_does_not_answer_does_not_put_off_the_time_out);
    tcase_add_test(hostile, a_signal_ends_the_wait_for_a_store_that_does_not_answer);
    tcase_add_test(hostile, a_server_that_writes_its_node_without_end_does_not_put_off_the_time_out);
    tcase_add_loop_test(hostile, garbage_in_the_nodes_is_a_server_that_is_not_there, 0,
                        (int)(sizeof(garbage) / sizeof(garbage[0])));
    tcase_add_test(hostile, old_numbers_of_anything_are_passed_over);
    suite_add_tcase(suite, hostile);
    TCase *late = tcase_create("late");
    tcase_add_test(late, a_port_that_was_taken_is_tried_again);
    tcase_add_test(late, a_server_gives_its_permissions_again_until_a_client_has_come);
    suite_add_tcase(suite, late);
    TCase *death = tcase_create("death");
    tcase_add_test(death, a_client_that_may_not_look_learns_from_the_store_that_its_server_died);
    tcase_add_test(death, a_server_that_takes_its_numbers_back_at_once_is_not_taken_for_dead);
    tcase_add_test(death, a_blocked_client_that_may_not_look_learns_it_too);
    tcase_add_test(death, numbers_that_are_there_again_are_no_death);
    suite_add_tcase(suite, death);
    return suite;
}
