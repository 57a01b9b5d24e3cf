/* SPDX-License-Identifier: ISC */
/*
 * Our libxenvchan.so.4.17 over stand-ins for Xen's libraries and a store in the test's own process: every call that can
 * fail fails in turn; what is in the struct; what an event costs and when one is asked for. The peer is the test, which
 * writes into the page.
 */
#include "tests/unit/suite.h"
#include "tests/unit/xen_fakes.h"
#include "vchan/libxenvchan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <xenstore.h>
#include <xids/store-testing.h>

#define SELF 5
#define PEER 6
#define PATH "data/vchan/x"
#define CALLS_MAX 64
#define ASKS_WRITE ((uint8_t)VCHAN_NOTIFY_WRITE)
#define ASKS_READ ((uint8_t)VCHAN_NOTIFY_READ)

static struct xids_test_store *store;
static struct libxenvchan *v;
static _Alignas(4096) struct {
    struct vchan_interface page;
    uint8_t rest[4096 - sizeof(struct vchan_interface)];
} foreign;

static void setup(void)
{
    fakes_init();
    ck_assert_int_eq(xids_test_store_new(&store, NULL), 0);
    ck_assert_int_eq(xids_test_store_introduce(store, SELF, true), 0);
    ck_assert_int_eq(xids_test_store_use(store, SELF), 0);
    v = NULL;
    memset(&foreign, 0, sizeof(foreign));
}

static void nothing_left(void)
{
    ck_assert_int_eq(fakes.open, 0);
    ck_assert_int_eq(fakes.shared_pages, 0);
    ck_assert_int_eq(fakes.mapped, 0);
}

/* The folders above the path may stay, as Xen's leaves them. */
static void no_numbers(void)
{
    char *text = NULL;
    ck_assert_int_eq(xids_test_store_dump(store, &text, NULL, 0), 0);
    ck_assert_msg(strstr(text, "ring-ref") == NULL && strstr(text, "event-channel") == NULL, "%s", text);
    ck_assert_msg(strstr(text, PATH) == NULL, "%s", text);
    free(text);
}

static void teardown(void)
{
    fakes.fail = 0;
    libxenvchan_close(v);
    nothing_left();
    no_numbers();
    xids_test_store_free(store);
    fakes_fini();
}

static void serve(size_t left, size_t right)
{
    v = libxenvchan_server_init(NULL, PEER, PATH, left, right);
    ck_assert_ptr_nonnull(v);
}

/* A server whose client is there. */
static void serve_client(void)
{
    serve(4096, 4096);
    v->ring->cli_live = 1;
}

/* As the client: n bytes more. */
static void arrive(uint32_t n)
{
    __atomic_store_n(&v->ring->left.prod, v->ring->left.prod + n, __ATOMIC_RELEASE);
}

/* As the client: all that we wrote is read. */
static void take(void)
{
    __atomic_store_n(&v->ring->right.cons, v->ring->right.prod, __ATOMIC_RELEASE);
}

/* As the client: answers a request with an event, if there is one. Whether there was. */
static bool answer(uint8_t bit)
{
    bool asked = (v->ring->cli_notify & bit) != 0;
    v->ring->cli_notify &= (uint8_t)~bit;
    if (asked)
        fakes_event((uint8_t)v->event_port);
    return asked;
}

static bool event_waits(void)
{
    struct pollfd p = {.fd = fakes.event_pipe[0], .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void dont_block(void)
{
    ck_assert_int_eq(fcntl(fakes.event_pipe[0], F_SETFL, O_NONBLOCK), 0);
}

/* A page such as a server's, and its numbers. */
static void publish(const char *ref, const char *port)
{
    char text[256];
    foreign.page.left_order = 10;
    foreign.page.right_order = 11;
    foreign.page.srv_live = 1;
    foreign.page.cli_live = 2;
    fakes.foreign = &foreign;
    (void)snprintf(text, sizeof(text),
                   "/local/domain/5/x = \"\" (n5)\n/local/domain/5/x/ring-ref = \"%s\" (n5)\n"
                   "/local/domain/5/x/event-channel = \"%s\" (n5)\n",
                   ref, port);
    ck_assert_int_eq(xids_test_store_load(store, NULL, text), 0);
}

static void unpublish(void)
{
    struct xs_handle *xs = xs_open(0);
    ck_assert(xs_rm(xs, XBT_NULL, "/local/domain/5/x"));
    xs_close(xs);
}

static struct libxenvchan *join(void)
{
    return libxenvchan_client_init(NULL, PEER, "/local/domain/5/x");
}

/* ---- making ---- */

START_TEST(a_servers_ith_call_that_fails_leaves_nothing)
{
    for (int i = 0; i < CALLS_MAX; i++) {
        fakes.fail = ENOSPC;
        fakes.fail_after = i;
        errno = 0;
        v = libxenvchan_server_init(NULL, PEER, PATH, 4096, 65536);
        fakes.fail = 0;
        if (v != NULL) {
            ck_assert_int_ge(i, 5);
            return;
        }
        ck_assert_int_eq(errno, ENOSPC);
        nothing_left();
        no_numbers();
    }
    ck_abort_msg("it never succeeds");
}
END_TEST

START_TEST(a_servers_ith_request_that_fails_leaves_nothing)
{
    for (uint32_t i = 1; i < CALLS_MAX; i++) {
        const struct xids_test_store_fault fault = {
            .nth = i, .action = XIDS_TEST_STORE_ERROR, .error = -XEN_EACCES, .of_domain = true, .domid = SELF};
        int number = xids_test_store_fault(store, &fault);
        ck_assert_int_gt(number, 0);
        v = libxenvchan_server_init(NULL, PEER, PATH, 0, 0);
        int hits = xids_test_store_fault_hits(store, number);
        ck_assert_int_eq(xids_test_store_fault_clear(store, number), 0);
        if (v == NULL) {
            ck_assert_int_eq(errno, EACCES);
            nothing_left();
            no_numbers();
        }
        libxenvchan_close(v);
        v = NULL;
        if (hits == 0)
            return;
    }
    ck_abort_msg("there is no end to it");
}
END_TEST

START_TEST(a_clients_ith_call_that_fails_leaves_nothing)
{
    publish("8", "3");
    for (int i = 0; i < CALLS_MAX; i++) {
        fakes.fail = ENOMEM;
        fakes.fail_after = i;
        errno = 0;
        v = join();
        fakes.fail = 0;
        if (v != NULL) {
            ck_assert_int_ge(i, 4);
            unpublish();
            return;
        }
        ck_assert_int_eq(errno, ENOMEM);
        /* To unmap fails, too: what is mapped goes with the handle. */
        fakes.mapped = 0;
        nothing_left();
    }
    ck_abort_msg("it never succeeds");
}
END_TEST

START_TEST(numbers_that_are_none_are_refused)
{
    static const char *const bad[] = {"", "x", "8x", "8 ", "4294967296", "0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        publish(bad[i], "3");
        ck_assert_ptr_null(join());
        ck_assert_int_eq(errno, EINVAL);
        publish("8", bad[i]);
        ck_assert_ptr_null(join());
        ck_assert_int_eq(errno, EINVAL);
    }
    unpublish();
    ck_assert_ptr_null(join());
    ck_assert_int_eq(errno, ENOENT);
    nothing_left();
}
END_TEST

START_TEST(a_server_that_has_gone_is_told)
{
    publish("8", "3");
    foreign.page.srv_live = 0;
    ck_assert_ptr_null(join());
    ck_assert_int_eq(errno, ECONNREFUSED);
    ck_assert_int_eq(foreign.page.cli_live, 2);
    unpublish();
}
END_TEST

START_TEST(sizes_give_the_rings_that_xens_gives)
{
    static const struct {
        size_t left_min, right_min;
        int left, right;
    } table[] = {
        {0, 0, 10, 11},       {1024, 2048, 10, 11},   {1025, 1024, 11, 10},   {2048, 0, 11, 10},
        {1025, 1025, 11, 12}, {2048, 2048, 11, 12},   {2049, 0, 12, 11},      {0, 2049, 11, 12},
        {1024, 9000, 11, 14}, {4096, 4097, 12, 13},   {65536, 65537, 16, 17}, {1048576, 1048576, 20, 20},
        {2048, 4096, 11, 12}, {1048576, 100, 20, 11},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        serve(table[i].left_min, table[i].right_min);
        ck_assert_int_eq(v->read.order, table[i].left);
        ck_assert_int_eq(v->write.order, table[i].right);
        ck_assert_int_eq(v->ring->left_order, table[i].left);
        ck_assert_int_eq(v->ring->right_order, table[i].right);
        ck_assert_int_eq(libxenvchan_buffer_space(v), 1 << table[i].right);
        libxenvchan_close(v);
        v = NULL;
    }
    ck_assert_ptr_null(libxenvchan_server_init(NULL, PEER, PATH, 1048577, 0));
    ck_assert_ptr_null(libxenvchan_server_init(NULL, -1, PATH, 0, 0));
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(the_struct_says_what_is_true)
{
    serve(0, 4096);
    ck_assert_int_ne(v->is_server, 0);
    ck_assert_int_eq(v->blocking, 0);
    ck_assert_int_eq(v->server_persist, 0);
    ck_assert_str_eq(v->xs_path, PATH);
    ck_assert_ptr_nonnull(v->event);
    ck_assert_ptr_nonnull(v->gntshr);
    ck_assert_int_eq(libxenvchan_fd_for_select(v), fakes.event_pipe[0]);
    ck_assert_ptr_eq(v->read.shr, &v->ring->left);
    ck_assert_ptr_eq(v->write.shr, &v->ring->right);
    ck_assert_ptr_eq(v->read.buffer, (uint8_t *)v->ring + 2048);
    ck_assert_int_eq(v->ring->srv_live, 1);
    ck_assert_int_eq(v->ring->cli_live, 2);
    ck_assert_int_eq(libxenvchan_write(v, "seen", 4), 4);
    ck_assert_mem_eq(v->write.buffer, "seen", 4);
    libxenvchan_close(v);
    publish("8", "3");
    v = join();
    ck_assert_ptr_nonnull(v);
    ck_assert_int_eq(v->is_server, 0);
    ck_assert_int_eq(v->blocking, 0);
    ck_assert_ptr_null(v->xs_path);
    ck_assert_ptr_eq(v->ring, &foreign.page);
    ck_assert_ptr_eq(v->write.shr, &foreign.page.left);
    ck_assert_ptr_eq(v->read.shr, &foreign.page.right);
    ck_assert_int_eq(v->write.order, 10);
    ck_assert_int_eq(v->read.order, 11);
    ck_assert_int_eq(foreign.page.cli_live, 1);
    ck_assert_int_eq(fakes.notified > 0, 1);
    unpublish();
}
END_TEST

/* ---- the peer's coming and going ---- */

START_TEST(is_open_follows_the_live_byte)
{
    char byte;
    serve(0, 0);
    ck_assert_int_eq(libxenvchan_is_open(v), 2);
    ck_assert_int_eq(libxenvchan_read(v, &byte, 1), 0);
    for (int i = 0; i < 2; i++) {
        v->ring->cli_live = 1;
        ck_assert_int_eq(libxenvchan_is_open(v), 1);
        arrive(1);
        v->ring->cli_live = 0;
        ck_assert_int_eq(libxenvchan_is_open(v), 0);
        ck_assert_int_eq(libxenvchan_write(v, "x", 1), -1);
        ck_assert_int_eq(libxenvchan_send(v, "x", 1), -1);
        ck_assert_int_eq(libxenvchan_data_ready(v), 1);
        ck_assert_int_eq(libxenvchan_read(v, &byte, 1), 1);
        errno = 0;
        ck_assert_int_eq(libxenvchan_read(v, &byte, 1), -1);
        ck_assert_int_eq(errno, ENOTCONN);
        ck_assert_int_eq(libxenvchan_recv(v, &byte, 1), -1);
    }
}
END_TEST

START_TEST(a_persistent_server_does_not_mind)
{
    char byte;
    serve_client();
    arrive(1);
    v->ring->cli_live = 0;
    ck_assert_int_eq(libxenvchan_is_open(v), 0);
    v->server_persist = -1;
    ck_assert_int_eq(libxenvchan_is_open(v), 1);
    ck_assert_int_eq(libxenvchan_read(v, &byte, 1), 1);
    ck_assert_int_eq(libxenvchan_read(v, &byte, 1), 0);
    ck_assert_int_eq(libxenvchan_write(v, "12345", 5), 5);
    ck_assert_int_eq(v->ring->right.prod, 5);
    v->server_persist = 0;
    ck_assert_int_eq(libxenvchan_is_open(v), 0);
    ck_assert_int_eq(libxenvchan_read(v, &byte, 1), -1);
}
END_TEST

/* ---- requests and events ---- */

START_TEST(what_comes_up_short_asks_for_an_event)
{
    char bytes[10];
    serve_client();
    v->ring->cli_notify = 0;
    arrive(10);
    ck_assert_int_eq(libxenvchan_read(v, bytes, 4), 4);
    ck_assert_int_eq(v->ring->cli_notify, 0);
    ck_assert_int_eq(libxenvchan_read(v, bytes, 10), 6);
    ck_assert_int_eq(v->ring->cli_notify, ASKS_WRITE);
    v->ring->cli_notify = 0;
    ck_assert_int_eq(libxenvchan_read(v, bytes, 1), 0);
    ck_assert_int_eq(v->ring->cli_notify, ASKS_WRITE);
    v->ring->cli_notify = 0;
    ck_assert_int_eq(libxenvchan_recv(v, bytes, 1), 0);
    ck_assert_int_eq(v->ring->cli_notify, ASKS_WRITE);
    v->ring->cli_notify = 0;
    static const char full[4096];
    ck_assert_int_eq(libxenvchan_write(v, full, 4095), 4095);
    ck_assert_int_eq(v->ring->cli_notify, 0);
    ck_assert_int_eq(libxenvchan_write(v, full, 2), 1);
    ck_assert_int_eq(v->ring->cli_notify, ASKS_READ);
    v->ring->cli_notify = 0;
    ck_assert_int_eq(libxenvchan_send(v, full, 1), 0);
    ck_assert_int_eq(v->ring->cli_notify, ASKS_READ);
    v->ring->cli_notify = 0;
    ck_assert_int_eq(libxenvchan_data_ready(v), 0);
    ck_assert_int_eq(libxenvchan_buffer_space(v), 0);
    ck_assert_int_eq(v->ring->cli_notify, ASKS_READ | ASKS_WRITE);
}
END_TEST

START_TEST(a_program_that_only_blocks_asks_when_it_sleeps)
{
    char bytes[10];
    serve_client();
    v->ring->cli_notify = 0;
    v->blocking = -1;
    arrive(3);
    ck_assert_int_eq(libxenvchan_read(v, bytes, 10), 3);
    ck_assert_int_eq(v->ring->cli_notify, 0);
    /* From the first sign that it sleeps by itself, it is as with Xen's. */
    (void)libxenvchan_fd_for_select(v);
    arrive(3);
    ck_assert_int_eq(libxenvchan_read(v, bytes, 10), 3);
    ck_assert_int_eq(v->ring->cli_notify, ASKS_WRITE);
}
END_TEST

START_TEST(a_notification_is_sent_when_it_was_asked_for)
{
    char byte;
    serve_client();
    int sent = fakes.notified;
    ck_assert_int_eq(libxenvchan_write(v, "x", 1), 1);
    ck_assert_int_eq(fakes.notified, sent);
    v->ring->srv_notify = ASKS_WRITE | ASKS_READ;
    ck_assert_int_eq(libxenvchan_write(v, "x", 1), 1);
    ck_assert_int_eq(fakes.notified, sent + 1);
    ck_assert_int_eq(v->ring->srv_notify, ASKS_READ);
    arrive(1);
    ck_assert_int_eq(libxenvchan_read(v, &byte, 1), 1);
    ck_assert_int_eq(fakes.notified, sent + 2);
    ck_assert_int_eq(v->ring->srv_notify, 0);
}
END_TEST

START_TEST(wait_takes_the_event_of_an_answered_request)
{
    serve_client();
    ck_assert_int_eq(libxenvchan_data_ready(v), 0);
    ck_assert_int_eq(libxenvchan_buffer_space(v), 4096);
    arrive(1);
    ck_assert(answer(ASKS_WRITE));
    int unmasks = fakes.unmasks;
    ck_assert_int_eq(libxenvchan_wait(v), 0);
    ck_assert(!event_waits());
    ck_assert_int_eq(fakes.unmasks, unmasks + 1);
    /* The other request stands. */
    ck_assert(answer(ASKS_READ));
}
END_TEST

START_TEST(wait_returns_without_an_event_for_news_that_brought_none)
{
    dont_block();
    serve_client();
    ck_assert_int_eq(libxenvchan_data_ready(v), 0);
    ck_assert_int_eq(libxenvchan_buffer_space(v), 4096);
    /* The client is between its write and its look at our request. */
    arrive(1);
    ck_assert_int_eq(libxenvchan_wait(v), 0);
    ck_assert_int_eq(libxenvchan_data_ready(v), 1);
    ck_assert(answer(ASKS_READ));
}
END_TEST

START_TEST(an_answer_that_waits_is_request_enough)
{
    serve_client();
    fakes_event((uint8_t)v->event_port);
    ck_assert_int_eq(libxenvchan_wait(v), 0);
    ck_assert_int_eq(libxenvchan_data_ready(v), 0);
    arrive(1);
    ck_assert(answer(ASKS_WRITE));
    ck_assert_int_eq(libxenvchan_data_ready(v), 1);
    ck_assert_int_eq(libxenvchan_buffer_space(v), 4096);
    ck_assert_int_eq(v->ring->cli_notify, ASKS_READ);
    /* From where it is taken on it is not. */
    ck_assert(event_waits());
    ck_assert_int_eq(libxenvchan_wait(v), 0);
    ck_assert(!event_waits());
    ck_assert_int_eq(libxenvchan_data_ready(v), 1);
    ck_assert_int_eq(v->ring->cli_notify, ASKS_READ | ASKS_WRITE);
}
END_TEST

/* With libxenevtchn's own calls, of which we do not hear. */
START_TEST(a_program_that_takes_its_events_itself_asks_each_time)
{
    serve_client();
    ck_assert_int_eq(libxenvchan_data_ready(v), 0);
    arrive(1);
    ck_assert(answer(ASKS_WRITE));
    ck_assert_int_eq(xenevtchn_pending(v->event), (int)v->event_port);
    ck_assert_int_eq(libxenvchan_data_ready(v), 1);
    ck_assert_int_eq(v->ring->cli_notify, ASKS_WRITE);
}
END_TEST

START_TEST(wait_leaves_no_request_behind_that_its_news_answered)
{
    serve_client();
    ck_assert_int_eq(libxenvchan_data_ready(v), 0);
    arrive(1);
    ck_assert_int_eq(libxenvchan_wait(v), 0);
    ck_assert(!answer(ASKS_WRITE));
}
END_TEST

START_TEST(wait_asks_again_before_it_sleeps)
{
    dont_block();
    serve_client();
    ck_assert_int_eq(libxenvchan_data_ready(v), 0);
    for (int i = 0; i < 20; i++) {
        errno = 0;
        ck_assert_int_eq(libxenvchan_wait(v), -1);
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_int_eq(v->ring->cli_notify & ASKS_WRITE, ASKS_WRITE);
    }
}
END_TEST

/* One that is waiting already is no news: wait must sleep then. */
START_TEST(wait_does_not_return_for_what_was_seen)
{
    dont_block();
    serve_client();
    arrive(10);
    ck_assert_int_eq(libxenvchan_data_ready(v), 10);
    ck_assert_int_eq(libxenvchan_buffer_space(v), 4096);
    ck_assert_int_eq(libxenvchan_wait(v), -1);
    ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

static void ignore(int sig)
{
    (void)sig;
}

/* A signal alone ends its sleep; one that did not sleep would say EAGAIN. */
START_TEST(calls_block_on_a_descriptor_that_does_not)
{
    const struct itimerval often = {.it_interval = {.tv_usec = 20000}, .it_value = {.tv_usec = 20000}};
    const struct sigaction action = {.sa_handler = ignore};
    char byte;
    dont_block();
    serve_client();
    v->blocking = -1;
    fakes_event((uint8_t)v->event_port);
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    errno = 0;
    ck_assert_int_eq(libxenvchan_read(v, &byte, 1), -1);
    ck_assert_int_eq(errno, EINTR);
    ck_assert(!event_waits());
}
END_TEST

START_TEST(room_is_found_by_a_blocked_writer)
{
    static const char full[4096];
    serve_client();
    v->blocking = -1;
    ck_assert_int_eq(libxenvchan_write(v, full, 4096), 4096);
    take();
    ck_assert_int_eq(libxenvchan_send(v, full, 4096), 4096);
    take();
    ck_assert_int_eq(libxenvchan_write(v, full, 4096), 4096);
    ck_assert(!event_waits());
}
END_TEST

START_TEST(nobody_waits_on_a_broken_channel)
{
    char byte;
    serve_client();
    arrive(4097);
    ck_assert_int_eq(libxenvchan_data_ready(v), -1);
    errno = 0;
    ck_assert_int_eq(libxenvchan_wait(v), -1);
    ck_assert_int_eq(errno, EBADMSG);
    v->blocking = -1;
    ck_assert_int_eq(libxenvchan_read(v, &byte, 1), -1);
    ck_assert_int_eq(libxenvchan_recv(v, &byte, 1), -1);
    ck_assert_int_eq(libxenvchan_write(v, &byte, 1), -1);
    ck_assert_int_eq(libxenvchan_send(v, &byte, 1), -1);
    ck_assert_int_eq(libxenvchan_buffer_space(v), -1);
    ck_assert_int_eq(libxenvchan_is_open(v), 0);
}
END_TEST

START_TEST(a_failed_notification_loses_nothing)
{
    serve_client();
    v->ring->srv_notify = ASKS_WRITE;
    fakes.fail = EIO;
    ck_assert_int_eq(libxenvchan_write(v, "12345", 5), 5);
    fakes.fail = 0;
    ck_assert_int_eq(v->ring->right.prod, 5);
    errno = 0;
    ck_assert_int_eq(libxenvchan_write(v, "6", 1), -1);
    ck_assert_int_eq(errno, EIO);
    ck_assert_int_eq(v->ring->right.prod, 5);
    ck_assert_int_eq(libxenvchan_is_open(v), 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("libxenvchan");
    TCase *tc = tcase_create("making");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_servers_ith_call_that_fails_leaves_nothing);
    tcase_add_test(tc, a_servers_ith_request_that_fails_leaves_nothing);
    tcase_add_test(tc, a_clients_ith_call_that_fails_leaves_nothing);
    tcase_add_test(tc, numbers_that_are_none_are_refused);
    tcase_add_test(tc, a_server_that_has_gone_is_told);
    tcase_add_test(tc, sizes_give_the_rings_that_xens_gives);
    tcase_add_test(tc, the_struct_says_what_is_true);
    suite_add_tcase(s, tc);
    tc = tcase_create("peer");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, is_open_follows_the_live_byte);
    tcase_add_test(tc, a_persistent_server_does_not_mind);
    suite_add_tcase(s, tc);
    tc = tcase_create("events");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, what_comes_up_short_asks_for_an_event);
    tcase_add_test(tc, a_program_that_only_blocks_asks_when_it_sleeps);
    tcase_add_test(tc, a_notification_is_sent_when_it_was_asked_for);
    tcase_add_test(tc, wait_takes_the_event_of_an_answered_request);
    tcase_add_test(tc, wait_returns_without_an_event_for_news_that_brought_none);
    tcase_add_test(tc, an_answer_that_waits_is_request_enough);
    tcase_add_test(tc, a_program_that_takes_its_events_itself_asks_each_time);
    tcase_add_test(tc, wait_leaves_no_request_behind_that_its_news_answered);
    tcase_add_test(tc, wait_asks_again_before_it_sleeps);
    tcase_add_test(tc, wait_does_not_return_for_what_was_seen);
    tcase_add_test(tc, calls_block_on_a_descriptor_that_does_not);
    tcase_add_test(tc, room_is_found_by_a_blocked_writer);
    tcase_add_test(tc, nobody_waits_on_a_broken_channel);
    tcase_add_test(tc, a_failed_notification_loses_nothing);
    suite_add_tcase(s, tc);
    return s;
}
