/* SPDX-License-Identifier: ISC */
/* The bare guest's xenstore connection and what it makes of control/shutdown, over a stand-in for Xen and for a store.
 */
#include "tests/unit/guest_fake.h"
#include "tests/unit/suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xen/hvm/params.h>
#include <xen/sched.h>

#define STORE_PORT 40u
#define STORE_PFN 77u

/* ---- the store: one node that matters, and watches that are counted ---- */

static struct {
    _Alignas(XIDS_PAGE_SIZE) uint8_t page[XIDS_PAGE_SIZE];
    struct xids_bytering in, out;
    uint8_t message[XIDS_XSWIRE_MESSAGE_MAX];
    size_t have;
    char word[64];
    char token[32]; /* of the watch on the node; "": none */
    unsigned int watches, features, conflicts, cleared, requests;
    int refuse; /* an errno with which the node is not written */
    bool silent;
} store;

static void attach(void)
{
    memset(store.page, 0, sizeof(store.page));
    struct xids_bytering_layout in = xids_bytering_xenstore_requests((void XIDS_PEER *)store.page);
    struct xids_bytering_layout out = xids_bytering_xenstore_replies((void XIDS_PEER *)store.page);
    ck_assert_int_eq(xids_bytering_attach(&store.in, &in, false), 0);
    ck_assert_int_eq(xids_bytering_attach(&store.out, &out, true), 0);
    store.have = 0;
    store.token[0] = 0;
}

static void send(uint32_t type, const struct xsd_sockmsg *to, const void *payload, size_t len)
{
    struct xsd_sockmsg header = {.type = type, .len = (uint32_t)len};
    header.req_id = to == NULL ? 0 : to->req_id;
    header.tx_id = to == NULL ? 0 : to->tx_id;
    ck_assert_int_eq(xids_bytering_write(&store.out, &header, sizeof(header)), sizeof(header));
    ck_assert_int_eq(xids_bytering_write(&store.out, payload, (uint32_t)len), (int)len);
    (void)xids_bytering_publish(&store.out);
    fake_event(STORE_PORT);
}

static void send_error(const struct xsd_sockmsg *to, const char *error)
{
    send(XS_ERROR, to, error, strlen(error) + 1);
}

static void fire(void)
{
    char event[96];
    if (store.token[0] == 0)
        return;
    int n = snprintf(event, sizeof(event), "control/shutdown%c%s", 0, store.token);
    send(XS_WATCH_EVENT, NULL, event, (size_t)n + 1);
}

static void write_node(const struct xsd_sockmsg *m, const char *path, const char *value)
{
    if (strncmp(path, "control/feature-", 16) == 0)
        store.features++;
    if (strcmp(path, "control/shutdown") == 0) {
        if (store.refuse != 0) {
            send_error(m, "EACCES");
            return;
        }
        ck_assert_str_eq(value, "");
        ck_assert_uint_ne(m->tx_id, 0);
    }
    send(XS_WRITE, m, "OK", 3);
}

static void answer(const struct xsd_sockmsg *m, char *payload)
{
    payload[m->len] = 0;
    store.requests++;
    switch (m->type) {
    case XS_WATCH:
        ck_assert_str_eq(payload, "control/shutdown");
        snprintf(store.token, sizeof(store.token), "%s", payload + strlen(payload) + 1);
        store.watches++;
        send(XS_WATCH, m, "OK", 3);
        fire();
        break;
    case XS_TRANSACTION_START:
        send(m->type, m, "5", 2);
        break;
    case XS_READ:
        ck_assert_str_eq(payload, "control/shutdown");
        send(m->type, m, store.word, strlen(store.word));
        break;
    case XS_WRITE:
        write_node(m, payload, payload + strlen(payload) + 1);
        break;
    case XS_TRANSACTION_END:
        if (payload[0] == 'T' && store.conflicts > 0) {
            store.conflicts--;
            send_error(m, "EAGAIN");
            break;
        }
        if (payload[0] == 'T') {
            store.word[0] = 0;
            store.cleared++;
        }
        send(m->type, m, "OK", 3);
        break;
    default:
        ck_abort_msg("a request of type %u", m->type);
    }
}

/* The store's turn: answers what there is. */
static void serve(void)
{
    if (store.silent)
        return;
    for (;;) {
        struct xsd_sockmsg m;
        size_t want = store.have < sizeof(m) ? sizeof(m) : 0;
        if (want == 0) {
            memcpy(&m, store.message, sizeof(m));
            want = sizeof(m) + m.len;
            if (store.have == want) {
                store.have = 0;
                answer(&m, (char *)store.message + sizeof(m));
                continue;
            }
        }
        int n = xids_bytering_read(&store.in, store.message + store.have, (uint32_t)(want - store.have));
        ck_assert_int_ge(n, 0);
        store.have += (size_t)n;
        (void)xids_bytering_publish(&store.in);
        if (n == 0)
            return;
    }
}

/* ---- the rest of the guest ---- */

static jmp_buf end;
static unsigned int reason;
static const char *panicked;
static char printed[1000];
static char order[200]; /* of what began anew */
static int init_fails;  /* the so-manieth step of beginning anew; 0: none */

void xids_guest_print(const char *format, ...)
{
    va_list args;
    size_t n = strlen(printed);
    va_start(args, format);
    vsnprintf(printed + n, sizeof(printed) - n, format, args);
    va_end(args);
}

void xids_guest_shutdown(struct xids_guest *g, unsigned int why)
{
    (void)g;
    reason = why;
    longjmp(end, 1);
}

void xids_guest_panic(const char *what)
{
    panicked = what;
    longjmp(end, 2);
}

void guest_console_flush(void)
{
    strcat(order, "flush ");
}

static int step_of(const char *name)
{
    strcat(order, name);
    return init_fails > 0 && --init_fails == 0 ? -XEN_ENOMEM : 0;
}

int guest_console_init(bool again)
{
    ck_assert(again);
    return step_of("console ");
}

int guest_time_init(const struct guest_boot *boot, bool again)
{
    ck_assert(boot == NULL && again);
    int port = guest_evtchn_bind_virq(NULL, VIRQ_TIMER);
    ck_assert_int_gt(port, 0);
    fake.timer = (evtchn_port_t)port;
    return step_of("time ");
}

int guest_domid(domid_t *domid)
{
    *domid = 9;
    return step_of("domid ");
}

void XIDS_PEER *arch_xen_page(uint64_t number)
{
    return number == STORE_PFN ? (void XIDS_PEER *)store.page : NULL;
}

/* ---- a part and a life of the user's ---- */

static void note_suspend(void *ctx)
{
    (void)ctx;
    strcat(order, "part-suspend ");
}

static void note_resume(void *ctx)
{
    (void)ctx;
    ck_assert(guest_the.platform.domid == 9 || fake.suspended == NULL);
    strcat(order, "part-resume ");
}

static uint64_t note_step(void *ctx, uint64_t now)
{
    (void)ctx;
    (void)now;
    return UINT64_MAX;
}

static void life_suspend(void *ctx)
{
    (void)ctx;
    strcat(order, "life-suspend ");
}

static void life_resume(void *ctx, bool cancelled)
{
    (void)ctx;
    strcat(order, cancelled ? "life-here " : "life-elsewhere ");
}

static void life_shutdown(void *ctx, unsigned int why)
{
    (void)ctx;
    snprintf(order + strlen(order), 20, "bye-%u ", why);
}

static const struct xids_guest_life life = {life_shutdown, life_suspend, life_resume, NULL};
static struct xids_part part = {.step = note_step, .suspend = note_suspend, .resume = note_resume};

static void start(void)
{
    fake_init();
    fake.idle = serve;
    memset(&store, 0, sizeof(store));
    attach();
    fake.params[HVM_PARAM_STORE_PFN] = STORE_PFN;
    fake.params[HVM_PARAM_STORE_EVTCHN] = STORE_PORT;
    fake.ports[STORE_PORT].state = XIDS_EVTCHN_INTERDOMAIN;
    guest_the.platform.ops = &guest_platform_ops;
    guest_the.life = &life;
    xids_loop_init(&guest_the.loop, &guest_the.platform);
    printed[0] = order[0] = 0;
    panicked = NULL;
    reason = 99;
    init_fails = 0;
}

static void setup(void)
{
    start();
    ck_assert_int_eq(guest_store_init(false), 0);
    ck_assert_int_eq(guest_life_init(), 0);
    xids_loop_add(&guest_the.loop, &part);
}

static void teardown(void)
{
    ck_assert(!fake.slept_forever);
    fake_fini();
}

/* Turns until there is nothing to do. True: the domain did not end. */
static bool settle(void)
{
    int how = setjmp(end);
    if (how != 0)
        return false;
    while (xids_guest_wait(&guest_the, fake.now + 1000) != 0)
        continue;
    return true;
}

static void say(const char *word)
{
    snprintf(store.word, sizeof(store.word), "%s", word);
    fire();
}

START_TEST(the_guest_says_what_it_can_do)
{
    ck_assert(settle());
    ck_assert_uint_eq(store.watches, 1);
    ck_assert_uint_eq(store.features, 3);
    ck_assert_uint_eq(store.cleared, 0);
    ck_assert_str_eq(printed, "");
}
END_TEST

START_TEST(words_are_cleared_then_obeyed)
{
    static const struct {
        const char *word, *order;
        unsigned int reason;
    } cases[] = {{"poweroff", "bye-0 ", SHUTDOWN_poweroff},
                 {"halt", "bye-0 ", SHUTDOWN_poweroff},
                 {"reboot", "bye-1 ", SHUTDOWN_reboot},
                 {"crash", "", SHUTDOWN_crash}};
    ck_assert(settle());
    store.conflicts = _i % 2 == 0 ? 0 : 3;
    say(cases[_i / 2].word);
    ck_assert(!settle());
    ck_assert_uint_eq(reason, cases[_i / 2].reason);
    ck_assert_str_eq(order, cases[_i / 2].order);
    ck_assert_uint_eq(store.cleared, 1);
}
END_TEST

START_TEST(a_word_that_was_there_before_is_obeyed_too)
{
    snprintf(store.word, sizeof(store.word), "poweroff");
    ck_assert(!settle());
    ck_assert_uint_eq(reason, SHUTDOWN_poweroff);
}
END_TEST

START_TEST(a_word_that_means_nothing_is_cleared_and_shown_harmlessly)
{
    ck_assert(settle());
    say("\x1b[2Jpoweroffpoweroffpoweroffpoweroff");
    ck_assert(settle());
    ck_assert_uint_eq(store.cleared, 1);
    ck_assert_ptr_nonnull(strstr(printed, "\"?[2Jpoweroff"));
    ck_assert_ptr_null(strchr(printed, '\x1b'));
    say("reboot");
    ck_assert(!settle());
    ck_assert_uint_eq(reason, SHUTDOWN_reboot);
}
END_TEST

START_TEST(a_word_that_cannot_be_cleared_is_told_and_not_obeyed)
{
    ck_assert(settle());
    store.refuse = 1;
    say("poweroff");
    ck_assert(settle());
    ck_assert_ptr_nonnull(strstr(printed, "error 13"));
}
END_TEST

START_TEST(a_suspension_that_is_called_off_finds_everything_in_place)
{
    ck_assert(settle());
    fake.suspend_result = _i == 0 ? 1 : -XEN_EPERM;
    say("suspend");
    ck_assert(settle());
    ck_assert_str_eq(order, "life-suspend part-suspend flush part-resume life-here ");
    ck_assert_uint_eq(store.watches, 1);
    ck_assert_int_eq(strstr(printed, "did not suspend") != NULL, _i == 1);
    say("poweroff");
    ck_assert(!settle());
    ck_assert_uint_eq(reason, SHUTDOWN_poweroff);
}
END_TEST

/* A toolstack that resumes a domain in its place can leave it the answer of a new place. Its peers have not moved. */
START_TEST(a_resume_in_place_keeps_what_peers_have_mapped)
{
    void *page = NULL;
    grant_ref_t ref;
    ck_assert(settle());
    ck_assert_int_eq(guest_share(NULL, &page, &ref, FAKE_PEER, 1, 0, NULL), 0);
    ck_assert(fake_peer_map(ref, true));
    ck_assert_int_eq(guest_unshare(NULL, page, 1), -XEN_EBUSY);
    unsigned int pages = fake.pages, ports = fake.ports_out;
    say("suspend");
    ck_assert(settle());
    ck_assert_uint_eq(fake.suspends, 1);
    ck_assert_str_eq(order, "life-suspend part-suspend flush part-resume life-here ");
    guest_grants_retry();
    ck_assert_uint_eq(fake.pages, pages);
    ck_assert_uint_eq(fake.ports_out, ports);
    fake_peer_unmap(ref);
    guest_grants_retry();
    ck_assert_uint_eq(fake.pages, pages - 1);
}
END_TEST

/* Elsewhere: other ports, a fresh page, a store that knows no watch. */
static void move(void)
{
    memset(fake.ports, 0, sizeof(fake.ports));
    fake.ports[STORE_PORT].state = XIDS_EVTCHN_INTERDOMAIN;
    attach();
}

START_TEST(a_resume_elsewhere_begins_anew_in_order)
{
    ck_assert(settle());
    fake.suspended = move;
    say("suspend");
    ck_assert(settle());
    ck_assert_str_eq(order, "life-suspend part-suspend flush time domid console part-resume life-elsewhere ");
    ck_assert_uint_eq(guest_the.platform.domid, 9);
    ck_assert_uint_eq(store.watches, 2);
    ck_assert_uint_eq(store.features, 6);
    say("suspend");
    ck_assert(settle());
    say("poweroff");
    ck_assert(!settle());
    ck_assert_uint_eq(fake.suspends, 2);
}
END_TEST

START_TEST(what_cannot_begin_anew_is_a_panic)
{
    ck_assert(settle());
    fake.suspended = move;
    init_fails = _i + 1;
    say("suspend");
    ck_assert(!settle());
    ck_assert_ptr_nonnull(panicked);
}
END_TEST

static bool answered;
static int answered_rc;

static void on_answer(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)ctx;
    (void)payload;
    (void)len;
    answered = true;
    answered_rc = rc;
}

static uint64_t ask_once(void *ctx, uint64_t now)
{
    bool *asked = ctx;
    (void)now;
    if (!*asked)
        ck_assert_int_eq(xids_xs_client_read(guest_the.xenstore, 0, "control/shutdown", on_answer, NULL), 0);
    *asked = true;
    return UINT64_MAX;
}

START_TEST(what_a_part_asks_for_in_its_step_is_sent_before_the_guest_sleeps)
{
    bool asked = false;
    struct xids_part asker = {.step = ask_once, .ctx = &asked};
    ck_assert(settle());
    xids_loop_add(&guest_the.loop, &asker);
    answered = false;
    unsigned int idles = fake.idles;
    ck_assert_int_eq(setjmp(end), 0);
    /* One sleep, in which the store answers. */
    for (int i = 0; i < 3 && !answered; i++)
        (void)xids_guest_wait(&guest_the, UINT64_MAX);
    ck_assert(answered);
    ck_assert_uint_eq(fake.idles - idles, 1);
    xids_loop_remove(&guest_the.loop, &asker);
}
END_TEST

START_TEST(a_store_that_dies_with_a_question_leaves_the_guest_alive)
{
    ck_assert(settle());
    store.silent = true;
    answered = false;
    ck_assert_int_eq(xids_xs_client_read(guest_the.xenstore, 0, "control/shutdown", on_answer, NULL), 0);
    ck_assert(settle());
    ck_assert(!answered);
    store.silent = false;
    fake_event(STORE_PORT);
    ck_assert(settle());
    /* What lay in the page was answered by the next daemon. */
    ck_assert(answered && answered_rc == 0);
}
END_TEST

/* Whoever waits without a deadline is woken by what ends his request, whether or not an event tells of it. */
START_TEST(who_waits_is_woken_when_his_request_fails)
{
    struct xenstore_domain_interface *page = (void *)store.page;
    ck_assert(settle());
    store.silent = true;
    answered = false;
    if (_i == 0)
        xids_xs_client_timeout(guest_the.xenstore, 5000);
    else
        page->rsp_prod = page->rsp_cons + 5000;
    ck_assert_int_eq(xids_xs_client_read(guest_the.xenstore, 0, "control/shutdown", on_answer, NULL), 0);
    ck_assert_int_eq(setjmp(end), 0);
    for (int i = 0; i < 3 && !answered; i++)
        (void)xids_guest_wait(&guest_the, UINT64_MAX);
    ck_assert(answered);
    ck_assert_int_eq(answered_rc, _i == 0 ? -XEN_ETIMEDOUT : -XEN_EBADMSG);
    ck_assert(!fake.slept_forever);
}
END_TEST

START_TEST(a_broken_ring_is_begun_anew_where_the_store_offers_it)
{
    struct xenstore_domain_interface *page = (void *)store.page;
    ck_assert(settle());
    page->server_features = _i == 0 ? XIDS_XS_FEATURE_RECONNECTION : 0;
    page->rsp_prod = page->rsp_cons + 5000;
    fake_event(STORE_PORT);
    ck_assert(settle());
    ck_assert_ptr_nonnull(strstr(printed, "impossible indices"));
    ck_assert_int_ne(xids_xs_client_error(guest_the.xenstore), 0);
    ck_assert_uint_eq(page->connection, _i == 0 ? XENSTORE_RECONNECT : XENSTORE_CONNECTED);
    if (_i == 1)
        return;
    attach();
    fake_event(STORE_PORT);
    ck_assert(settle());
    ck_assert_int_eq(xids_xs_client_error(guest_the.xenstore), 0);
    ck_assert_uint_eq(store.watches, 2);
    say("poweroff");
    ck_assert(!settle());
}
END_TEST

START_TEST(a_domain_without_xenstore_lives)
{
    start();
    if (_i == 0)
        fake.params[HVM_PARAM_STORE_PFN] = 0;
    else if (_i == 1)
        fake.params[HVM_PARAM_STORE_EVTCHN] = 0;
    else
        fake.params[HVM_PARAM_STORE_PFN] = STORE_PFN + 1;
    ck_assert_int_eq(guest_store_init(false), 0);
    ck_assert_int_eq(guest_life_init(), 0);
    ck_assert(settle());
    ck_assert_int_eq(xids_xs_client_error(guest_the.xenstore), -XEN_ENODEV);
    ck_assert_uint_eq(store.requests, 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("guest_life");
    TCase *t = tcase_create("guest");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_guest_says_what_it_can_do);
    tcase_add_loop_test(t, words_are_cleared_then_obeyed, 0, 8);
    tcase_add_test(t, a_word_that_was_there_before_is_obeyed_too);
    tcase_add_test(t, a_word_that_means_nothing_is_cleared_and_shown_harmlessly);
    tcase_add_test(t, a_word_that_cannot_be_cleared_is_told_and_not_obeyed);
    tcase_add_loop_test(t, a_suspension_that_is_called_off_finds_everything_in_place, 0, 2);
    tcase_add_test(t, a_resume_in_place_keeps_what_peers_have_mapped);
    tcase_add_test(t, a_resume_elsewhere_begins_anew_in_order);
    tcase_add_loop_test(t, what_cannot_begin_anew_is_a_panic, 0, 3);
    tcase_add_test(t, what_a_part_asks_for_in_its_step_is_sent_before_the_guest_sleeps);
    tcase_add_test(t, a_store_that_dies_with_a_question_leaves_the_guest_alive);
    tcase_add_loop_test(t, who_waits_is_woken_when_his_request_fails, 0, 2);
    tcase_add_loop_test(t, a_broken_ring_is_begun_anew_where_the_store_offers_it, 0, 2);
    suite_add_tcase(s, t);
    t = tcase_create("poor");
    tcase_add_loop_test(t, a_domain_without_xenstore_lives, 0, 3);
    suite_add_tcase(s, t);
    return s;
}
