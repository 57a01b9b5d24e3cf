/* SPDX-License-Identifier: ISC */
/*
 * The entropy server's process dies before any access of its own to shared memory and before any hypercall, while a
 * guest connects, reads its seed, says HELLO, asks, and hears of a new epoch. Whatever it was: what the guest says of
 * itself is what whole messages have made of it, and it is seeded by the next server.
 */
#include "tests/unit/hook_world.h"
#include "tests/unit/randomd_wire.h"

#include <setjmp.h>
#include <xids/randomd_vchan.h>

#define TURNS 12u
#define RENEWAL 6u /* the turn in which the server replaces its generator */
#define PULL 5000u
#define STATES 64u
#define NOW (9 * S)

static struct hw w;

/* ---- the server ---- */

static struct {
    struct xids_randomd_session *session;
    _Alignas(64) uint8_t session_mem[2048], channel_mem[1024];
    struct xids_vchan *ch; /* NULL: none offered */
    struct source source;
} server;

static void serve(unsigned int turn)
{
    evtchn_port_t port = xids_vchan_port(server.ch);
    while (hw_take(&w, 0, port))
        (void)xids_vchan_event(server.ch);
    if (turn == RENEWAL)
        ck_assert_int_eq(xids_randomd_session_renew(server.session, XIDS_RANDOMD_REASON_RESTORED, NOW), 0);
    ck_assert_int_ge(xids_randomd_session_serve(server.session, server.ch, NOW), 0);
}

static void offer(void)
{
    const struct xids_randomd_session_config config = {
        .source = source_get, .source_ctx = &server.source, .who = "1", .who_len = 1};
    struct xids_vchan *ch = (struct xids_vchan *)(void *)server.channel_mem;
    ck_assert_uint_le(xids_randomd_session_size(), sizeof(server.session_mem));
    ck_assert_uint_le(xids_vchan_size(), sizeof(server.channel_mem));
    memset(server.channel_mem, 0, sizeof(server.channel_mem));
    server.ch = NULL;
    ck_assert_int_eq(
        xids_randomd_session_init(&server.session, server.session_mem, sizeof(server.session_mem), &config, NOW), 0);
    ck_assert_int_eq(xids_randomd_session_offer(server.session, ch, &w.domain[0].platform, HW_DOMID(1), NOW), 0);
    server.ch = ch;
}

/* ---- what whole messages make of a guest ---- */

static struct xids_entropy states[STATES];
static unsigned int state_count, state; /* the one that the guest has reached, at least */
static uint8_t *page;
static uint32_t heard;
static uint8_t message[XIDS_RANDOMD_MESSAGE_MAX];
static size_t have;

static uint32_t index_at(unsigned int offset)
{
    uint32_t v;
    memcpy(&v, page + offset, sizeof(v));
    return v;
}

static void hear_message(void)
{
    struct randomd_header h = get_header(message);
    ck_assert_uint_lt(state_count, STATES);
    struct xids_entropy *next = &states[state_count++];
    *next = next[-1];
    if (h.type == XIDS_RANDOMD_SEED)
        xids_entropy_host(next, 0, false, message + 32, NOW);
    else if (h.type == XIDS_RANDOMD_WELCOME)
        xids_entropy_session(next, 0, h.epoch);
    else if (h.type == XIDS_RANDOMD_DATA && h.len == XIDS_RANDOMD_HEADER + XIDS_RANDOMD_SEED_BYTES)
        xids_entropy_host(next, 0, true, message + XIDS_RANDOMD_HEADER, NOW);
    else if (h.type == XIDS_RANDOMD_EPOCH)
        xids_entropy_doubt(next, 0, NOW);
    else
        state_count--;
    have = 0;
}

/* The right ring's producer, of libxenvchan or of the extension (docs/spec/vchan.md). */
static void hear(void)
{
    uint32_t old = index_at(12), own = index_at(768 + 64);
    for (; heard < (own > old ? own : old); heard++) {
        message[have++] = page[2048 + heard % 2048];
        if (have >= XIDS_RANDOMD_HEADER && have == get16(message + 2))
            hear_message();
    }
}

/* ---- the guest ---- */

static struct {
    struct xids_entropy entropy;
    struct xids_randomd_client *client;
    _Alignas(64) uint8_t client_mem[4096], channel_mem[1024];
    struct xids_vchan *ch;
    struct xids_randomd_pull pull;
    uint8_t pulled[PULL];
    bool connected, tried;
} guest;

static void is_true(void)
{
    const struct xids_entropy *is = &guest.entropy;
    enum xids_randomd_grade grade = xids_entropy_grade(is);
    while (state < state_count &&
           (memcmp(&is->rng, &states[state].rng, sizeof(is->rng)) != 0 || grade != states[state].grade))
        state++;
    ck_assert_msg(state < state_count, "a state that no whole message makes");
    ck_assert_uint_eq(xids_entropy_age(is, NOW + 5), grade == XIDS_RANDOMD_GRADE_NONE ? UINT64_MAX : 5);
    ck_assert(guest.pull.got == 0 || guest.pull.got % XIDS_RANDOMD_CHUNK == 0 || guest.pull.got == PULL);
}

static void guest_turn(void *ctx)
{
    (void)ctx;
    if (server.ch == NULL && !guest.connected)
        return;
    int before = hw_run(&w, 1);
    if (!guest.connected && !guest.tried) {
        guest.tried = true;
        page = hw_page(xids_vchan_ring_ref(server.ch));
        heard = 0;
        have = 0;
        memset(guest.channel_mem, 0, sizeof(guest.channel_mem));
        int rc = xids_vchan_client_init(guest.ch, &w.domain[1].platform, HW_DOMID(0), xids_vchan_ring_ref(server.ch),
                                        xids_vchan_port(server.ch), XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH);
        guest.connected = rc == 0;
        if (guest.connected)
            xids_randomd_client_connected(guest.client, NOW);
    }
    if (guest.connected) {
        hear();
        while (hw_take(&w, 1, xids_vchan_port(guest.ch)))
            (void)xids_vchan_event(guest.ch);
        int rc = xids_randomd_client_serve(guest.client, guest.ch, NOW);
        if (rc < 0) {
            xids_randomd_client_disconnected(guest.client);
            xids_vchan_fini(guest.ch);
            guest.connected = false;
        }
        is_true();
    }
    (void)hw_run(&w, before);
}

static void begin(void)
{
    const struct xids_entropy_config config = {.nonce = "a nonce"};
    hw_init(&w);
    memset(&server, 0, sizeof(server));
    memset(&guest, 0, sizeof(guest));
    xids_entropy_init(&guest.entropy, &config, NOW);
    states[0] = guest.entropy;
    state_count = 1;
    state = 0;
    const struct xids_randomd_client_config client = {.entropy = &guest.entropy, .reseed_ns = UINT64_MAX};
    ck_assert_uint_le(xids_randomd_client_size(), sizeof(guest.client_mem));
    ck_assert_int_eq(xids_randomd_client_init(&guest.client, guest.client_mem, sizeof(guest.client_mem), &client, NOW),
                     0);
    guest.ch = (struct xids_vchan *)(void *)guest.channel_mem;
    guest.pull = (struct xids_randomd_pull){.to = guest.pulled, .len = PULL};
    ck_assert_int_eq(xids_randomd_client_pull(guest.client, &guest.pull), 0);
}

/* ---- life and death ---- */

static jmp_buf dead;
static unsigned int last_access;

static void on_access(void *ctx, const struct hook_access *access)
{
    (void)ctx;
    if (access->nth == last_access)
        longjmp(dead, 1);
}

static void live(void)
{
    (void)hw_run(&w, 0);
    offer();
    for (unsigned int turn = 0; turn < TURNS; turn++) {
        hook_aside(guest_turn, NULL);
        serve(turn);
    }
}

/* The next process. */
static void recover(void)
{
    uint64_t epoch = xids_randomd_client_epoch(guest.client);
    ck_assert_uint_eq(epoch, 0);
    guest.tried = false;
    (void)hw_run(&w, 0);
    offer();
    for (unsigned int turn = 0; turn < TURNS; turn++) {
        guest_turn(NULL);
        serve(TURNS);
    }
    ck_assert(guest.connected);
    ck_assert_int_eq(xids_entropy_grade(&guest.entropy), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_uint_eq(xids_randomd_client_epoch(guest.client), xids_randomd_session_epoch(server.session));
    ck_assert_int_eq(guest.pull.status, 0);
}

static void end(void)
{
    (void)hw_run(&w, 1);
    xids_randomd_client_disconnected(guest.client);
    xids_vchan_fini(guest.ch);
    xids_randomd_client_fini(guest.client);
    (void)hw_run(&w, 0);
    xids_vchan_fini(server.ch);
    xids_randomd_session_fini(server.session);
    ck_assert_uint_eq(hw_left(&w), 0);
}

static const enum hook_memory memories[] = {HOOK_IN_ORDER, HOOK_LATE_STORES, HOOK_LATE_COPIES};

START_TEST(a_server_that_dies_at_any_access_leaves_its_guest_truthful_and_is_succeeded)
{
    static bool lived, graded[3];
    static unsigned int seen;
    lived = false;
    seen = 0;
    memset(graded, 0, sizeof(graded));
    for (last_access = 0; !lived; last_access++) {
        begin();
        if (setjmp(dead) == 0) {
            hook_begin(memories[_i], on_access, NULL);
            live();
            lived = true;
        }
        hook_abandon();
        /* What the guest was, at the moment of the death, it stays until the next server. */
        enum xids_randomd_grade grade = xids_entropy_grade(&guest.entropy);
        graded[grade] = true;
        seen = state > seen ? state : seen;
        hw_kill(&w, 0);
        for (unsigned int i = 0; i < 3; i++)
            guest_turn(NULL);
        server.ch = NULL;
        ck_assert_msg(!guest.connected, "the death before access %u is not seen", last_access);
        /* What had come before is still read. */
        ck_assert(xids_entropy_grade(&guest.entropy) == grade || state > 0);
        recover();
        end();
    }
    ck_assert_uint_gt(last_access, 200);
    ck_assert_uint_ge(seen, 5);
    ck_assert(graded[XIDS_RANDOMD_GRADE_NONE] && graded[XIDS_RANDOMD_GRADE_HOST]);
}
END_TEST

static void failed(const char *what)
{
    ck_abort_msg("%s", what);
}

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd death");
    TCase *t = tcase_create("death");
    hook_failed = failed;
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, a_server_that_dies_at_any_access_leaves_its_guest_truthful_and_is_succeeded, 0,
                        sizeof(memories) / sizeof(memories[0]));
    suite_add_tcase(suite, t);
    return suite;
}
