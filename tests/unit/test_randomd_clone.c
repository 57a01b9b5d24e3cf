/* SPDX-License-Identifier: ISC */
/*
 * Copies of a guest's memory: whatever the moment at which its image is taken, and however often it is started again,
 * no two of them give the same, nor what the first one gave. The copy is made in the place of the first, so that its
 * pointers are good; domain, identity and nonce are the same each time, as after a fork.
 */
#include "tests/unit/randomd_wire.h"

#include <xids/entropy.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Sanitizers look for other things, and take ten times as long. */
#define CLONES (SANITIZED ? 100000u : 1000000u)

#define OUTPUT 32u
#define PULL 96u
#define CLIENT_ROOM 4096u
#define SESSION_ROOM 2048u

/* All that the guest has. */
struct memory {
    _Alignas(XIDS_PAGE_SIZE) uint8_t page[XIDS_PAGE_SIZE];
    _Alignas(64) uint8_t client_mem[CLIENT_ROOM];
    struct xids_entropy entropy;
    struct xids_randomd_client *client;
    struct xids_randomd_pull pull;
    uint8_t pulled[PULL];
};

static struct memory ram, image, before;

/* The host, which is not copied. */
static _Alignas(64) uint8_t session_mem[SESSION_ROOM];
static struct xids_randomd_session *session;
static struct source source;
static uint64_t writings;
static uint8_t to_guest[4096], to_host[1024]; /* under way in the channel's page */
static size_t guest_len, host_len;

/* As ck_assert, which takes longer than all that is asserted here. */
#define must(what)                         \
    do {                                   \
        if (!(what))                       \
            ck_abort_msg("not %s", #what); \
    } while (0)

static void host_begin(void)
{
    const struct xids_randomd_session_config config = {
        .source = source_get, .source_ctx = &source, .who = "1", .who_len = 1};
    xids_randomd_session_fini(session);
    must(xids_randomd_session_init(&session, session_mem, sizeof(session_mem), &config, S) == 0);
    int len = xids_randomd_session_prefill(session, to_guest, sizeof(to_guest), S);
    must(len == SEED_LEN);
    guest_len = (size_t)len;
    host_len = 0;
}

/* One turn of each. The guest reads at most so many bytes. */
static void guest_turn(size_t most)
{
    size_t n = guest_len < most ? guest_len : most;
    struct xids_randomd_io io = {
        .in = to_guest, .in_len = n, .out = to_host + host_len, .out_room = sizeof(to_host) - host_len};
    must(xids_randomd_client_step(ram.client, &io, S) == 0);
    must(io.in_used == n);
    guest_len -= n;
    memmove(to_guest, to_guest + n, guest_len);
    host_len += io.out_len;
}

static void host_turn(void)
{
    struct xids_randomd_io io = {.in = to_host,
                                 .in_len = host_len,
                                 .out = to_guest + guest_len,
                                 .out_room = 2048 - guest_len,
                                 .unread = guest_len};
    must(xids_randomd_session_step(session, &io, S) == 0);
    host_len -= io.in_used;
    memmove(to_host, to_host + io.in_used, host_len);
    guest_len += io.out_len;
}

static void talk(void)
{
    do {
        guest_turn(sizeof(to_guest));
        host_turn();
    } while (guest_len + host_len > 0);
}

static void guest_boot(bool with_page)
{
    const struct xids_entropy_config config = {.nonce = "the same", .identity = "the same too"};
    memset(&ram, 0, sizeof(ram));
    xids_entropy_init(&ram.entropy, &config, S);
    xids_entropy_reseed_page(&ram.entropy, with_page ? ram.page : NULL);
    const struct xids_randomd_client_config client = {.entropy = &ram.entropy};
    must(xids_randomd_client_size() <= sizeof(ram.client_mem));
    must(xids_randomd_client_init(&ram.client, ram.client_mem, sizeof(ram.client_mem), &client, S) == 0);
}

static void connect(void)
{
    host_begin();
    xids_randomd_client_connected(ram.client, S);
}

static void boot(bool with_page)
{
    guest_boot(with_page);
    connect();
    talk();
    must(xids_entropy_grade(&ram.entropy) == XIDS_RANDOMD_GRADE_HOST);
}

/* What the host does to a copy before it runs. */
static void write_page(void)
{
    uint8_t seed[XIDS_RESEED_SEED] = {0x77}, generation[XIDS_RESEED_GENERATION] = {0};
    put64(seed + 8, ++writings);
    put64(generation + 8, writings);
    must(xids_reseed_write((void XIDS_PEER *)ram.page, seed, generation) == 0);
}

static void suspend(void)
{
    xids_randomd_client_disconnected(ram.client);
    xids_randomd_client_forget(ram.client);
}

static void random_bytes(uint8_t out[OUTPUT])
{
    must(xids_entropy_random(&ram.entropy, out, OUTPUT) == 0);
}

/* ---- a million ---- */

static int order(const void *a, const void *b)
{
    return memcmp(a, b, OUTPUT);
}

static void all_differ(uint8_t (*outputs)[OUTPUT], size_t count)
{
    qsort(outputs, count, OUTPUT, order);
    for (size_t i = 1; i < count; i++)
        must(memcmp(outputs[i - 1], outputs[i], OUTPUT) != 0);
}

START_TEST(clones_of_a_suspended_image_never_give_the_same)
{
    uint8_t(*outputs)[OUTPUT] = malloc((size_t)CLONES * OUTPUT), none[OUTPUT];
    ck_assert_ptr_nonnull(outputs);
    boot(false);
    suspend();
    image = ram;
    for (size_t i = 0; i < CLONES; i++) {
        ram = image;
        must(xids_entropy_random(&ram.entropy, none, sizeof(none)) == -XEN_EAGAIN);
        connect();
        guest_turn(sizeof(to_guest));
        random_bytes(outputs[i]);
    }
    all_differ(outputs, CLONES);
    free(outputs);
}
END_TEST

START_TEST(clones_of_a_running_image_never_give_the_same)
{
    uint8_t(*outputs)[OUTPUT] = malloc((size_t)CLONES * OUTPUT);
    ck_assert_ptr_nonnull(outputs);
    boot(true);
    image = ram;
    for (size_t i = 0; i < CLONES; i++) {
        ram = image;
        write_page();
        /* At once: no session, and nothing that the guest did for it. */
        random_bytes(outputs[i]);
    }
    all_differ(outputs, CLONES);
    free(outputs);
}
END_TEST

START_TEST(clones_of_a_running_image_have_sessions_that_differ)
{
    enum { N = CLONES / 20 };
    static uint8_t outputs[3 * N][OUTPUT];
    boot(true);
    image = ram;
    for (size_t i = 0; i < N; i++) {
        ram = image;
        write_page();
        random_bytes(outputs[3 * i]);
        connect();
        ram.pull = (struct xids_randomd_pull){.to = ram.pulled, .len = OUTPUT};
        ck_assert_int_eq(xids_randomd_client_pull(ram.client, &ram.pull), 0);
        talk();
        ck_assert_int_eq(ram.pull.status, 0);
        memcpy(outputs[3 * i + 1], ram.pulled, OUTPUT);
        random_bytes(outputs[3 * i + 2]);
    }
    all_differ(outputs, (size_t)3 * N);
}
END_TEST

/* ---- at any moment ---- */

/* So many bytes of what the host says have been read, of a SEED, a WELCOME, and the DATA of a pull. */
static bool run_until(size_t bytes)
{
    size_t had = 0;
    guest_boot(true);
    connect();
    ram.pull = (struct xids_randomd_pull){.to = ram.pulled, .len = PULL};
    ck_assert_int_eq(xids_randomd_client_pull(ram.client, &ram.pull), 0);
    while (had < bytes) {
        host_turn();
        size_t n = guest_len < bytes - had ? guest_len : bytes - had;
        if (n == 0 && had > 0 && ram.pull.status == 0)
            return false;
        guest_turn(n);
        had += n;
    }
    return true;
}

/* The image lives on as another guest, or this one goes on after a checkpoint. */
static void go_on(uint8_t out[OUTPUT], uint8_t pulled[PULL], bool asked)
{
    if (!asked) {
        write_page();
        random_bytes(out);
        /* The mapping is lost: so the guest learns that its channel is. */
        xids_randomd_client_disconnected(ram.client);
    } else {
        ck_assert_int_eq(xids_entropy_random(&ram.entropy, out, OUTPUT), -XEN_EAGAIN);
    }
    connect();
    talk();
    if (asked)
        random_bytes(out);
    ck_assert_int_eq(ram.pull.status, 0);
    memcpy(pulled, ram.pulled, PULL);
}

static void copies_differ(bool asked)
{
    uint8_t out[3][OUTPUT], pulled[3][PULL];
    size_t bytes = 0;
    for (; run_until(bytes); bytes++) {
        before = ram;
        bool done = ram.pull.status == 0;
        if (asked)
            suspend();
        image = ram;
        for (unsigned int i = 0; i < 3; i++) {
            ram = image;
            go_on(out[i], pulled[i], asked);
        }
        ck_assert(memcmp(out[0], out[1], OUTPUT) != 0 && memcmp(out[1], out[2], OUTPUT) != 0);
        ck_assert_mem_ne(out[0], out[2], OUTPUT);
        /* A pull that was under way, even if but for its last byte, has nothing of before the copy. */
        for (size_t i = 0; i + 8 <= PULL && !done; i += 8) {
            ck_assert_mem_ne(pulled[0] + i, pulled[1] + i, 8);
            ck_assert_mem_ne(pulled[1] + i, pulled[2] + i, 8);
        }
        /* Nor do they go on where the image was. */
        ram = before;
        if (xids_entropy_random(&ram.entropy, out[1], OUTPUT) == 0)
            ck_assert_mem_ne(out[0], out[1], OUTPUT);
    }
    ck_assert_uint_gt(bytes, SEED_LEN + WELCOME_LEN + PULL);
}

START_TEST(copies_that_were_asked_differ_whatever_had_been_read)
{
    copies_differ(true);
}
END_TEST

START_TEST(copies_that_were_not_asked_differ_whatever_had_been_read)
{
    copies_differ(false);
}
END_TEST

/* ---- a checkpoint ---- */

/* The original runs on with its session, which its host renews or not; the copy has a new one. */
START_TEST(a_checkpoint_gives_both_new_keys)
{
    uint8_t out[4][OUTPUT];
    bool asked = _i == 0;
    boot(true);
    if (asked)
        suspend();
    image = ram;
    /* The original. */
    if (asked) {
        connect();
    } else {
        write_page();
        ck_assert_int_eq(xids_randomd_session_renew(session, XIDS_RANDOMD_REASON_RESTORED, S), 0);
    }
    uint64_t epoch = xids_randomd_client_epoch(ram.client);
    talk();
    ck_assert_uint_ne(xids_randomd_client_epoch(ram.client), epoch);
    random_bytes(out[0]);
    random_bytes(out[1]);
    /* The copy. */
    ram = image;
    if (!asked)
        write_page();
    xids_randomd_client_disconnected(ram.client);
    connect();
    talk();
    random_bytes(out[2]);
    /* Who has the image. */
    ram = image;
    if (asked) {
        ck_assert_int_eq(xids_entropy_random(&ram.entropy, out[3], OUTPUT), -XEN_EAGAIN);
        memset(out[3], 0, OUTPUT);
    } else {
        random_bytes(out[3]);
    }
    all_differ(out, 4);
}
END_TEST

/* Without a page the host can still say so: then the old key is not used before fresh bytes came. */
START_TEST(a_session_that_hears_of_a_copy_gives_nothing_before_fresh_bytes)
{
    uint8_t out[OUTPUT];
    boot(false);
    ck_assert_int_eq(xids_randomd_session_renew(session, XIDS_RANDOMD_REASON_RESTORED, S), 0);
    host_turn();
    guest_turn(sizeof(to_guest));
    ck_assert_int_eq(xids_entropy_random(&ram.entropy, out, sizeof(out)), -XEN_EAGAIN);
    talk();
    random_bytes(out);
}
END_TEST

/* ---- what the guest knows of itself ---- */

START_TEST(grade_and_age_tell_of_a_copy_at_once)
{
    uint8_t out[OUTPUT];
    boot(true);
    ck_assert_uint_eq(xids_entropy_age(&ram.entropy, 5 * S), 4 * S);
    write_page();
    ck_assert_int_eq(xids_entropy_grade(&ram.entropy), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_uint_eq(xids_entropy_age(&ram.entropy, 5 * S), UINT64_MAX);
    uint32_t copies = xids_entropy_copies(&ram.entropy);
    xids_entropy_tick(&ram.entropy, 6 * S);
    ck_assert_uint_eq(xids_entropy_copies(&ram.entropy), copies + 1);
    ck_assert_int_eq(xids_entropy_grade(&ram.entropy), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_uint_eq(xids_entropy_age(&ram.entropy, 8 * S), 2 * S);
    ck_assert_uint_eq(xids_entropy_server_age(&ram.entropy, 0, 8 * S), UINT64_MAX);
    random_bytes(out);
}
END_TEST

START_TEST(a_copy_without_a_seed_is_not_seeded_until_the_host_is_asked)
{
    uint8_t out[2][OUTPUT];
    boot(true);
    image = ram;
    for (unsigned int i = 0; i < 2; i++) {
        ram = image;
        ram.page[8] ^= 1; /* as when the toolstack writes a generation */
        ck_assert_int_eq(xids_entropy_random(&ram.entropy, out[i], OUTPUT), -XEN_EAGAIN);
        ck_assert_int_eq(xids_entropy_grade(&ram.entropy), XIDS_RANDOMD_GRADE_NONE);
        xids_randomd_client_disconnected(ram.client);
        connect();
        talk();
        random_bytes(out[i]);
    }
    ck_assert_mem_ne(out[0], out[1], OUTPUT);
}
END_TEST

START_TEST(forgetting_wipes_a_seed_that_was_not_taken)
{
    boot(true);
    write_page();
    suspend();
    ck_assert_uint_ge(sizeof(ram.page), 72);
    for (unsigned int i = 24; i < 72; i++)
        ck_assert_uint_eq(ram.page[i], 0);
    ck_assert_int_eq(xids_entropy_grade(&ram.entropy), XIDS_RANDOMD_GRADE_NONE);
    /* What was in the page is not used any more. */
    xids_entropy_tick(&ram.entropy, 2 * S);
    ck_assert_int_eq(xids_entropy_grade(&ram.entropy), XIDS_RANDOMD_GRADE_NONE);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd clone");
    TCase *t = tcase_create("clone");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, clones_of_a_suspended_image_never_give_the_same);
    tcase_add_test(t, clones_of_a_running_image_never_give_the_same);
    tcase_add_test(t, clones_of_a_running_image_have_sessions_that_differ);
    tcase_add_test(t, copies_that_were_asked_differ_whatever_had_been_read);
    tcase_add_test(t, copies_that_were_not_asked_differ_whatever_had_been_read);
    tcase_add_loop_test(t, a_checkpoint_gives_both_new_keys, 0, 2);
    tcase_add_test(t, a_session_that_hears_of_a_copy_gives_nothing_before_fresh_bytes);
    tcase_add_test(t, grade_and_age_tell_of_a_copy_at_once);
    tcase_add_test(t, a_copy_without_a_seed_is_not_seeded_until_the_host_is_asked);
    tcase_add_test(t, forgetting_wipes_a_seed_that_was_not_taken);
    suite_add_tcase(s, t);
    return s;
}
