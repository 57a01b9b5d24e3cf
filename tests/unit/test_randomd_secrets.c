/* SPDX-License-Identifier: ISC */
/* What is left of secrets when the entropy server is done with them: in the session, and on the stack below it. */
#include "tests/unit/randomd_session.h"

#include <pthread.h>
#include <xids/model.h>
#include <xids/randomd_vchan.h>
#include <xids/rng.h>

#if defined(__SANITIZE_ADDRESS__)
#define ASAN true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN true
#endif
#endif
#ifndef ASAN
#define ASAN false
#endif

/* A compiler that is told not to optimize keeps each step of a vector on the stack, tens of kilobytes of them. */
#if defined(__OPTIMIZE__)
#define OPTIMIZED true
#else
#define OPTIMIZED false
#endif

/* ---- a stack that can be looked at afterwards ---- */

#define STACK_BYTES (256u * 1024u)

static _Alignas(4096) uint8_t stack[STACK_BYTES];

/* Runs a function in a thread on that stack. */
static void on_the_stack(void *(*run)(void *ctx), void *ctx)
{
    pthread_attr_t attr;
    pthread_t thread;
    memset(stack, 0, sizeof(stack));
    ck_assert_int_eq(pthread_attr_init(&attr), 0);
    ck_assert_int_eq(pthread_attr_setstack(&attr, stack, sizeof(stack)), 0);
    ck_assert_int_eq(pthread_create(&thread, &attr, run, ctx), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(pthread_attr_destroy(&attr), 0);
}

/* Sixteen bytes in a row are no chance. */
static bool left_on_the_stack(const void *secret)
{
    return found_in(stack, sizeof(stack), secret, 16);
}

static void *leave_a_secret(void *ctx)
{
    /* Deep enough not to be overwritten by the thread's end. */
    volatile uint8_t copy[6000];
    for (unsigned int i = 0; i < 64; i++)
        copy[i] = ((const uint8_t *)ctx)[i];
    return copy[0] != 0 ? ctx : NULL;
}

START_TEST(the_look_at_the_stack_finds_what_is_there)
{
    uint8_t secret[64];
    for (unsigned int i = 0; i < sizeof(secret); i++)
        secret[i] = (uint8_t)(i * 7 + 3);
    on_the_stack(leave_a_secret, secret);
    ck_assert(left_on_the_stack(secret + 8));
}
END_TEST

/*
 * Nor may there be single words of it: what a compiler keeps of its vectors is the same word of several blocks, or one
 * word several times. That one is there by chance is as likely as one in a hundred thousand.
 */
static bool words_on_the_stack(const uint8_t *secret, size_t len)
{
    for (size_t i = 0; i + 4 <= len; i += 4)
        for (size_t at = 0; at < sizeof(stack); at += 4)
            if (memcmp(stack + at, secret + i, 4) == 0)
                return true;
    return false;
}

struct filling {
    struct xids_rng rng;
    uint8_t out[2000];
    size_t len;
};

/* What the last round of the first block gave: who has it has the key, for all rounds can be undone. */
static void first_block(const struct filling *f, const uint8_t key[32], uint8_t rounds[64])
{
    static const char constant[] = "expand 32-byte k";
    uint8_t start[64] = {0};
    memcpy(start, constant, 16);
    memcpy(start + 16, key, 32);
    memcpy(rounds, f->rng.key, 32);
    memcpy(rounds + 32, f->out, 32);
    for (unsigned int i = 0; i < 64; i += 4)
        put32(rounds + i, get32(rounds + i) - get32(start + i));
}

static void *fill(void *ctx)
{
    struct filling *f = ctx;
    xids_rng_fill(&f->rng, f->out, f->len);
    return NULL;
}

/* Lengths for all the ways in which blocks are made, on any CPU. */
static const size_t lengths[] = {8, 32, 64, 224, 256, 480, 600, 992, 2000};

START_TEST(the_generator_leaves_neither_key_nor_output_on_the_stack)
{
    struct filling f = {.len = 0};
    uint8_t key[32], rounds[64];
    f.len = lengths[_i];
    xids_rng_init(&f.rng);
    xids_rng_mix(&f.rng, 1, "something", 9);
    fill(&f); /* where functions are looked up when they are called first, that saves all registers */
    memcpy(key, f.rng.key, sizeof(key));
    on_the_stack(fill, &f);
    ck_assert(!words_on_the_stack(key, sizeof(key)));
    ck_assert(!words_on_the_stack(f.rng.key, sizeof(f.rng.key)));
    ck_assert(!words_on_the_stack(f.out, f.len < 256 ? f.len : 256));
    ck_assert(!left_on_the_stack(f.out) && !left_on_the_stack(f.out + f.len - 16));
    first_block(&f, key, rounds);
    ck_assert(f.len < 32 || !words_on_the_stack(rounds, sizeof(rounds)));
}
END_TEST

static void *mix(void *ctx)
{
    struct filling *f = ctx;
    xids_rng_mix(&f->rng, 1, f->out, f->len);
    return NULL;
}

START_TEST(mixing_leaves_neither_keys_nor_bytes_on_the_stack)
{
    struct filling f = {.len = 0};
    uint8_t key[32];
    f.len = 160;
    xids_rng_init(&f.rng);
    xids_rng_mix(&f.rng, 1, "something", 9);
    fill(&f);
    mix(&f);
    memcpy(key, f.rng.key, sizeof(key));
    on_the_stack(mix, &f);
    ck_assert(!words_on_the_stack(key, sizeof(key)));
    ck_assert(!words_on_the_stack(f.rng.key, sizeof(f.rng.key)));
    ck_assert(!words_on_the_stack(f.out, f.len));
}
END_TEST

/* ---- the session ---- */

/* Where in a session its key lies: from there the next answer can be computed. */
static size_t find_key(struct fixture *f)
{
    size_t size = xids_randomd_session_size(), at = 0;
    uint8_t *before = malloc(size), out[32];
    ck_assert_ptr_nonnull(before);
    memcpy(before, f->mem, size);
    ck_assert_int_eq(ask(f, 77, 32), 0);
    for (at = 0; at + sizeof(struct xids_rng) <= size; at++) {
        struct xids_rng rng;
        memcpy(&rng, before + at, sizeof(rng));
        xids_rng_fill(&rng, out, sizeof(out));
        if (memcmp(out, f->out + 16, sizeof(out)) == 0)
            break;
    }
    free(before);
    ck_assert_uint_le(at + sizeof(struct xids_rng), size);
    return at;
}

static bool holds(const struct fixture *f, const uint8_t key[32])
{
    return found_in(f->mem, xids_randomd_session_size(), key, 8) ||
           found_in(f->mem, xids_randomd_session_size(), key + 24, 8);
}

static void *step_once(void *ctx)
{
    struct fixture *f = ctx;
    (void)ask(f, 1, 64);
    return NULL;
}

START_TEST(a_session_leaves_no_fresh_bytes_and_no_key_on_the_stack)
{
    struct fixture f;
    uint8_t key[32], fresh[16];
    begin_as(&f, "guest 1", (struct source){.fixed = true});
    hello(&f);
    size_t at = find_key(&f);
    memcpy(key, (uint8_t *)f.mem + at, sizeof(key));
    memset(fresh, 0x5a, sizeof(fresh));
    f.now += 61 * S;
    unsigned int calls = f.source.calls;
    on_the_stack(step_once, &f);
    ck_assert_uint_eq(f.source.calls, calls + 1);
    ck_assert(!left_on_the_stack(fresh) && !left_on_the_stack(key));
    ck_assert(!left_on_the_stack((uint8_t *)f.mem + at) && !left_on_the_stack(f.out + 16));
    end(&f);
}
END_TEST

START_TEST(a_session_that_is_over_has_no_key)
{
    struct fixture f;
    uint8_t key[32], m[HELLO_LEN] = {0xff};
    begin(&f);
    hello(&f);
    memcpy(key, (uint8_t *)f.mem + find_key(&f), sizeof(key));
    ck_assert(holds(&f, key));
    size_t len = _i == 0 ? 16 : make_client_bye(m);
    ck_assert_int_eq(step(&f, m, len), _i == 0 ? -XEN_EBADMSG : 1);
    ck_assert(!holds(&f, key));
    end(&f);
}
END_TEST

START_TEST(renewal_takes_the_old_key_even_if_the_source_fails)
{
    struct fixture f;
    uint8_t key[32];
    begin(&f);
    hello(&f);
    memcpy(key, (uint8_t *)f.mem + find_key(&f), sizeof(key));
    f.source.rc = -XEN_EAGAIN;
    ck_assert_int_eq(xids_randomd_session_renew(f.s, XIDS_RANDOMD_REASON_RESTORED, f.now), -XEN_EAGAIN);
    ck_assert(!holds(&f, key));
    end(&f);
}
END_TEST

/*
 * Two sessions of one guest, over a source that repeats itself, of which one has given more. After a renewal, or
 * another HELLO, they are alike again: nothing of the old generator is in the new one.
 */
START_TEST(nothing_of_the_old_generator_outlives_a_renewal)
{
    struct fixture f[2];
    uint8_t out[2][32];
    for (unsigned int i = 0; i < 2; i++) {
        begin_as(&f[i], "guest 1", (struct source){.fixed = true});
        hello(&f[i]);
        for (unsigned int more = 0; more < i; more++)
            ck_assert_int_eq(ask(&f[i], 5, 100), 0);
        if (_i == 0)
            hello(&f[i]);
        else
            ck_assert_int_eq(xids_randomd_session_renew(f[i].s, XIDS_RANDOMD_REASON_RESEED, f[i].now), 0);
        ck_assert_int_eq(step(&f[i], NULL, 0), 0); /* tells of the new epoch */
        ck_assert_int_eq(ask(&f[i], 1, 32), 0);
        assert_data(f[i].out, 1, xids_randomd_session_epoch(f[i].s), 32);
        memcpy(out[i], f[i].out + 16, 32);
    }
    ck_assert_mem_eq(out[0], out[1], 32);
    end(&f[0]);
    end(&f[1]);
}
END_TEST

/* ---- over vchan ---- */

struct service {
    struct fixture f;
    struct xids_model *m;
    struct xids_platform *server, *guest;
    struct xids_vchan *sch, *cch;
    int rc;
};

static void *make_offer(void *ctx)
{
    struct service *s = ctx;
    s->rc = xids_randomd_session_offer(s->f.s, s->sch, s->server, 2, s->f.now);
    return NULL;
}

static void *serve(void *ctx)
{
    struct service *s = ctx;
    s->rc = xids_randomd_session_serve(s->f.s, s->sch, s->f.now);
    return NULL;
}

START_TEST(what_goes_through_the_channel_is_not_left_on_the_stack)
{
    struct service s;
    uint8_t m[HELLO_LEN + GET_LEN], got[2048], secret[16];
    memset(&s, 0, sizeof(s));
    begin(&s.f);
    s.m = xids_model_new(1, 0);
    s.sch = malloc(xids_vchan_size());
    s.cch = malloc(xids_vchan_size());
    ck_assert(s.m != NULL && s.sch != NULL && s.cch != NULL);
    s.server = xids_model_domain_create(s.m, 1);
    s.guest = xids_model_domain_create(s.m, 2);
    on_the_stack(make_offer, &s);
    ck_assert_int_eq(s.rc, 0);
    ck_assert_int_eq(xids_vchan_client_init(s.cch, s.guest, 1, xids_vchan_ring_ref(s.sch), xids_vchan_port(s.sch), 0),
                     0);
    ck_assert_int_eq(xids_vchan_read(s.cch, got, sizeof(got)), SEED_LEN);
    ck_assert(!left_on_the_stack(got + 32) && !left_on_the_stack(got + 64));

    size_t len = make_hello(m, 1, 0x40, 0xa0);
    memcpy(secret, m + 24, sizeof(secret));
    len += make_get(m + len, 2, 256);
    ck_assert_int_eq(xids_vchan_send(s.cch, m, (uint32_t)len), (int)len);
    on_the_stack(serve, &s);
    ck_assert_int_eq(s.rc, 0);
    ck_assert_int_eq(xids_vchan_read(s.cch, got, sizeof(got)), WELCOME_LEN + 16 + 256);
    ck_assert(!left_on_the_stack(got + WELCOME_LEN + 16) && !left_on_the_stack(got + WELCOME_LEN + 256));
    ck_assert(!left_on_the_stack(secret));
    xids_vchan_fini(s.cch);
    xids_vchan_fini(s.sch);
    xids_model_free(s.m);
    free(s.sch);
    free(s.cch);
    end(&s.f);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd secrets");
    TCase *t = tcase_create("session");
    tcase_add_loop_test(t, a_session_that_is_over_has_no_key, 0, 2);
    tcase_add_test(t, renewal_takes_the_old_key_even_if_the_source_fails);
    tcase_add_loop_test(t, nothing_of_the_old_generator_outlives_a_renewal, 0, 2);
    suite_add_tcase(suite, t);
    t = tcase_create("stack");
    /* The address sanitizer may keep variables elsewhere: then there is no stack to look at. */
    if (!ASAN) {
        tcase_add_test(t, the_look_at_the_stack_finds_what_is_there);
        if (OPTIMIZED) {
            tcase_add_loop_test(t, the_generator_leaves_neither_key_nor_output_on_the_stack, 0,
                                sizeof(lengths) / sizeof(lengths[0]));
            tcase_add_test(t, mixing_leaves_neither_keys_nor_bytes_on_the_stack);
        }
        tcase_add_test(t, a_session_leaves_no_fresh_bytes_and_no_key_on_the_stack);
        tcase_add_test(t, what_goes_through_the_channel_is_not_left_on_the_stack);
    }
    suite_add_tcase(suite, t);
    return suite;
}
