/* SPDX-License-Identifier: ISC */
/*
 * The reseed page, with one side acting before each access of the other's and with weak memory (hook.h): whatever the
 * moment, what the guest takes for a seed is the whole of one.
 */
#include "tests/unit/hook.h"
#include "tests/unit/suite.h"

#include <string.h>
#include <xids/entropy.h>
#include <xids/reseed.h>

static _Alignas(4096) uint8_t page[XIDS_PAGE_SIZE];
static struct xids_reseed guest;

static void value(uint8_t *to, size_t len, uint8_t number)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(0x11u * number + i * 5 + 1);
}

/* The host's nth writing. */
static int write_number(uint8_t number)
{
    uint8_t seed[XIDS_RESEED_SEED], generation[XIDS_RESEED_GENERATION];
    value(seed, sizeof(seed), number);
    value(generation, sizeof(generation), (uint8_t)(number + 7));
    return xids_reseed_write((void XIDS_PEER *)page, seed, generation);
}

static void is_seed(const uint8_t *seed, uint8_t number)
{
    uint8_t want[XIDS_RESEED_SEED];
    value(want, sizeof(want), number);
    ck_assert_mem_eq(seed, want, sizeof(want));
}

static bool zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != 0)
            return false;
    return true;
}

static void begin(void)
{
    memset(page, 0xaa, sizeof(page));
    xids_reseed_init(&guest, page);
}

START_TEST(a_page_begins_with_its_magic_and_asks_for_nothing)
{
    begin();
    ck_assert_mem_eq(page, "xidsgen1", 8);
    ck_assert(zero(page + 8, sizeof(page) - 8));
    ck_assert(!xids_reseed_due(&guest));
}
END_TEST

/* Nobody took the seed before the image was made, and a toolstack that knows of no seeds writes a generation there. */
START_TEST(a_seed_of_another_generation_is_no_seed)
{
    struct xids_entropy e;
    const struct xids_entropy_config config = {.nonce = {1}};
    uint8_t out[32];
    xids_entropy_init(&e, &config, 1);
    xids_entropy_reseed_page(&e, page);
    ck_assert_int_eq(write_number(1), 0);
    page[8 + 5] ^= 1;
    ck_assert_int_eq(xids_entropy_random(&e, out, sizeof(out)), -XEN_EAGAIN);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_NONE);
    ck_assert(zero(page + 24, XIDS_RESEED_SEED));
    /* The next one of the host's is. */
    ck_assert_int_eq(write_number(2), 0);
    ck_assert_int_eq(xids_entropy_random(&e, out, sizeof(out)), 0);
    xids_entropy_wipe(&e);
}
END_TEST

START_TEST(a_guest_without_a_page_is_never_due)
{
    struct xids_reseed_fresh fresh;
    xids_reseed_init(&guest, NULL);
    ck_assert(!xids_reseed_due(&guest));
    ck_assert_int_eq(xids_reseed_take(&guest, &fresh), 0);
    ck_assert(zero((const uint8_t *)&fresh, sizeof(fresh)));
}
END_TEST

START_TEST(the_layout_is_that_of_the_specification)
{
    uint8_t seed[XIDS_RESEED_SEED], generation[XIDS_RESEED_GENERATION];
    begin();
    value(seed, sizeof(seed), 1);
    value(generation, sizeof(generation), 8);
    ck_assert_int_eq(write_number(1), 0);
    ck_assert_mem_eq(page + 8, generation, sizeof(generation));
    ck_assert_mem_eq(page + 24, seed, sizeof(seed));
    ck_assert_mem_eq(page + 72, generation, sizeof(generation));
    ck_assert(zero(page + 88, sizeof(page) - 88));
}
END_TEST

START_TEST(what_was_written_is_taken_once_and_wiped)
{
    struct xids_reseed_fresh fresh;
    uint8_t generation[XIDS_RESEED_GENERATION];
    begin();
    for (uint8_t n = 1; n < 5; n++) {
        ck_assert_int_eq(write_number(n), 0);
        ck_assert(xids_reseed_due(&guest));
        ck_assert_int_eq(xids_reseed_take(&guest, &fresh), 1);
        is_seed(fresh.seed, n);
        value(generation, sizeof(generation), (uint8_t)(n + 7));
        ck_assert_mem_eq(fresh.generation, generation, sizeof(generation));
        ck_assert(zero(page + 24, sizeof(page) - 24));
        ck_assert(!xids_reseed_due(&guest));
    }
}
END_TEST

START_TEST(any_bit_of_the_generation_makes_it_due)
{
    for (unsigned int bit = 0; bit < 8 * XIDS_RESEED_GENERATION; bit++) {
        begin();
        page[8 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert(xids_reseed_due(&guest));
    }
}
END_TEST

START_TEST(a_generation_without_a_seed_gives_none)
{
    struct xids_reseed_fresh fresh;
    begin();
    page[23] = 1;
    ck_assert_int_eq(xids_reseed_take(&guest, &fresh), 0);
    ck_assert(zero(fresh.seed, sizeof(fresh.seed)));
    ck_assert_uint_eq(fresh.generation[15], 1);
    ck_assert(!xids_reseed_due(&guest));
}
END_TEST

START_TEST(a_page_without_the_magic_is_left_alone)
{
    uint8_t before[XIDS_PAGE_SIZE];
    for (unsigned int i = 0; i < 8; i++) {
        begin();
        page[i] ^= 0x20;
        memcpy(before, page, sizeof(page));
        ck_assert_int_eq(write_number(1), -XEN_EBADMSG);
        ck_assert_mem_eq(page, before, sizeof(page));
    }
}
END_TEST

/* ---- the host writes at any moment of the guest's ---- */

static struct {
    unsigned int at[2]; /* the accesses before which it writes again */
    uint8_t written;
    bool got, wiping; /* the guest has a seed, and wipes where it lay unless it finds that the generation changed */
    bool early;       /* all that was written came before that */
} host;

static void host_writes(void *ctx, const struct hook_access *access)
{
    (void)ctx;
    for (unsigned int i = 0; i < 2; i++)
        if (access->nth == host.at[i]) {
            ck_assert_int_eq(write_number(++host.written), 0);
            host.early = host.early && !host.wiping;
        }
    host.wiping = access->kind != HOOK_GET && (host.wiping || (host.got && access->kind == HOOK_FENCE));
    host.got = host.got || access->kind == HOOK_GET;
}

/* Takes as long as something is due. What it gets is whole, and belongs to the generation that is remembered then. */
static int take_all(void)
{
    struct xids_reseed_fresh fresh;
    unsigned int rounds = 0;
    int rc = -1;
    while (xids_reseed_due(&guest)) {
        rc = xids_reseed_take(&guest, &fresh);
        ck_assert_uint_lt(rounds++, 10);
        if (rc == 0) {
            ck_assert(zero(fresh.seed, sizeof(fresh.seed)));
            continue;
        }
        ck_assert_mem_eq(fresh.generation, guest.generation, sizeof(fresh.generation));
        uint8_t number = (uint8_t)((fresh.generation[0] - 1) / 0x11 - 7);
        is_seed(fresh.seed, number);
    }
    return rc;
}

START_TEST(a_host_that_writes_at_any_access_of_the_guest_never_gives_half_a_seed)
{
    enum hook_memory memory = (enum hook_memory)_i;
    unsigned int accesses = 1;
    for (unsigned int first = 0; first < accesses; first++) {
        for (unsigned int second = first; second <= accesses; second++) {
            begin();
            hook_watch(page, sizeof(page));
            host.written = 0;
            host.wiping = host.got = false;
            host.early = true;
            ck_assert_int_eq(write_number(++host.written), 0);
            host.at[0] = first;
            host.at[1] = second;
            hook_begin(memory, host_writes, NULL);
            int rc = take_all();
            unsigned int n = hook_end();
            /* Nothing is lost that came before the guest was to wipe, unless it reads old words. */
            ck_assert(!host.early || memory == HOOK_EARLY_INDEX || rc == 1);
            if (second == accesses)
                accesses = n > accesses ? n : accesses;
            (void)take_all(); /* what came too late for the last look */
            ck_assert_mem_eq(guest.generation, page + 8, XIDS_RESEED_GENERATION);
            ck_assert(zero(page + 24, sizeof(page) - 24));
        }
        ck_assert_uint_lt(accesses, 500);
    }
    ck_assert_uint_gt(accesses, 20);
}
END_TEST

/* ---- the host ends at any moment of its own, and the guest looks ---- */

static unsigned int looks;

static void guest_looks(void *ctx, const struct hook_access *access)
{
    const unsigned int *at = ctx;
    if (access->nth != *at)
        return;
    looks++;
    while (xids_reseed_due(&guest)) {
        struct xids_reseed_fresh fresh;
        /* Any word of the generation comes with all of the seed, which counts when all the other words have come too.
         */
        if (xids_reseed_take(&guest, &fresh) == 1)
            is_seed(fresh.seed, 2);
        else
            ck_assert(zero(fresh.seed, sizeof(fresh.seed)));
    }
}

START_TEST(a_host_that_is_stopped_at_any_access_leaves_a_whole_seed_or_none)
{
    enum hook_memory memory = (enum hook_memory)_i;
    unsigned int accesses = 1;
    struct xids_reseed_fresh fresh;
    looks = 0;
    for (unsigned int at = 0; at < accesses; at++) {
        begin();
        hook_watch(page, sizeof(page));
        ck_assert_int_eq(write_number(1), 0);
        ck_assert_int_eq(xids_reseed_take(&guest, &fresh), 1);
        hook_begin(memory, guest_looks, &at);
        ck_assert_int_eq(write_number(2), 0);
        accesses = hook_end();
        /* The next one, however it ended, is complete again. */
        ck_assert_int_eq(write_number(3), 0);
        ck_assert(xids_reseed_due(&guest));
        ck_assert_int_eq(xids_reseed_take(&guest, &fresh), 1);
        is_seed(fresh.seed, 3);
    }
    ck_assert_uint_eq(looks, accesses);
    ck_assert_uint_gt(looks, 4);
}
END_TEST

/* ---- the host writes at any moment while an output is made ---- */

static struct {
    unsigned int at;
    uint8_t number;
    bool written;
} copy;

static void host_copies(void *ctx, const struct hook_access *access)
{
    (void)ctx;
    if (access->nth != copy.at)
        return;
    ck_assert_int_eq(write_number(copy.number), 0);
    copy.written = true;
}

/*
 * An output in a copy that begins before access at, told by the host's nth writing, or in none. True: it was made
 * before the copy, which the next output heeds.
 */
static bool output(uint8_t out[2][32], enum hook_memory memory, unsigned int at, uint8_t number, unsigned int *accesses)
{
    const struct xids_entropy_config config = {.nonce = "n"};
    static const uint8_t seed[48] = {1};
    struct xids_entropy e;
    memset(page, 0, sizeof(page));
    xids_entropy_init(&e, &config, 0);
    xids_entropy_reseed_page(&e, page);
    xids_entropy_host(&e, 0, false, seed, 0);
    hook_watch(page, sizeof(page));
    copy.at = at;
    copy.number = number;
    copy.written = false;
    hook_begin(memory, host_copies, NULL);
    ck_assert_int_eq(xids_entropy_random(&e, out[0], 32), 0);
    *accesses = hook_end();
    bool late = xids_reseed_due(&e.reseed);
    ck_assert_int_eq(xids_entropy_random(&e, out[1], 32), 0);
    ck_assert_int_eq(xids_entropy_copies(&e), copy.written ? 1 : 0);
    xids_entropy_wipe(&e);
    return late;
}

START_TEST(an_output_is_never_that_of_before_the_copy)
{
    enum hook_memory memory = (enum hook_memory)_i;
    uint8_t was[2][32], one[2][32], other[2][32];
    unsigned int accesses, most, late = 0;
    ck_assert(!output(was, memory, UINT32_MAX, 1, &most));
    for (unsigned int at = 0; at < most; at++) {
        bool missed = output(one, memory, at, 1, &accesses);
        ck_assert(output(other, memory, at, 2, &accesses) == missed);
        late += missed;
        /* What is made from the next look on is the copy's own, in any case. */
        ck_assert_mem_ne(one[1], was[1], 32);
        ck_assert_mem_ne(one[1], other[1], 32);
        if (missed)
            continue;
        ck_assert_mem_ne(one[0], was[0], 32);
        ck_assert_mem_ne(one[0], other[0], 32);
    }
    /* Only the very last load, if it reads an old word, can miss it. */
    ck_assert_uint_le(late, memory == HOOK_EARLY_INDEX ? 1 : 0);
    ck_assert_uint_ge(most, 10);
}
END_TEST

static void failed(const char *what)
{
    ck_abort_msg("%s", what);
}

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd reseed");
    TCase *t = tcase_create("page");
    hook_failed = failed;
    tcase_add_test(t, a_page_begins_with_its_magic_and_asks_for_nothing);
    tcase_add_test(t, a_seed_of_another_generation_is_no_seed);
    tcase_add_test(t, a_guest_without_a_page_is_never_due);
    tcase_add_test(t, the_layout_is_that_of_the_specification);
    tcase_add_test(t, what_was_written_is_taken_once_and_wiped);
    tcase_add_test(t, any_bit_of_the_generation_makes_it_due);
    tcase_add_test(t, a_generation_without_a_seed_gives_none);
    tcase_add_test(t, a_page_without_the_magic_is_left_alone);
    tcase_add_loop_test(t, a_host_that_writes_at_any_access_of_the_guest_never_gives_half_a_seed, 0, HOOK_MEMORIES);
    tcase_add_loop_test(t, a_host_that_is_stopped_at_any_access_leaves_a_whole_seed_or_none, 0, HOOK_MEMORIES);
    tcase_add_loop_test(t, an_output_is_never_that_of_before_the_copy, 0, HOOK_MEMORIES);
    suite_add_tcase(s, t);
    return s;
}
