/* SPDX-License-Identifier: ISC */
/*
 * What memory holds of secrets. Every secret that there ever is, each key that a generator had, each byte of the
 * source's, each seed and each answer, is collected while a guest and its server talk; then the whole memory of the
 * suspended guest, and at any moment the page that both share, is searched for any eight bytes in a row of any of them.
 *
 * The machine runs on a stack of its own, which is searched too, also for what the server left there.
 */
#include "tests/unit/randomd_link.h"

#include "randomd/wire.h"

#include <ucontext.h>
#include <xids/entropy.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_STACK false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_STACK false
#endif
#endif
#ifndef OWN_STACK
#define OWN_STACK true /* a sanitizer wants to know all stacks, and keeps variables elsewhere */
#endif

/* Sanitizers make the search slow: then it is done after every eighth step, and all steps are for the others. */
#define EACH (OWN_STACK ? 1u : 8u)

#define PULL 3000u
#define PULLS 10u /* in one world */
#define RUN 8u    /* bytes in a row that are no chance */

/* ---- two stacks ---- */

static _Alignas(4096) uint8_t stack[512u * 1024u];
static ucontext_t outside, inside;
static void (*job)(void);

static void jobs(void)
{
    for (;;) {
        job();
        ck_assert_int_eq(swapcontext(&inside, &outside), 0);
    }
}

/* Does it on the machine's stack. */
static void in_machine(void (*what)(void))
{
    job = what;
    if (!OWN_STACK) {
        what();
        return;
    }
    ck_assert_int_eq(swapcontext(&outside, &inside), 0);
}

static void stack_begin(void)
{
    memset(stack, 0, sizeof(stack));
    ck_assert_int_eq(getcontext(&inside), 0);
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = sizeof(stack);
    inside.uc_link = NULL;
    makecontext(&inside, jobs, 0);
}

/* ---- the secrets ---- */

#define SLOTS (1u << 17)
static uint64_t known[SLOTS];
static unsigned int count;

static uint64_t *slot_of(uint64_t value)
{
    uint64_t at = (value * 0x9e3779b97f4a7c15u) >> 47;
    while (known[at] != 0 && known[at] != value)
        at = (at + 1) % SLOTS;
    return &known[at];
}

static void learn(const uint8_t *secret, size_t len)
{
    for (size_t i = 0; i + RUN <= len; i++) {
        uint64_t value;
        memcpy(&value, secret + i, RUN);
        uint64_t *slot = slot_of(value);
        if (value == 0 || *slot != 0)
            continue;
        *slot = value;
        ck_assert_uint_lt(++count, SLOTS / 2);
    }
}

/* Where one lies, SIZE_MAX: none. */
static size_t find(const void *mem, size_t len)
{
    const uint8_t *bytes = mem;
    for (size_t i = 0; i + RUN <= len; i++) {
        uint64_t value;
        memcpy(&value, bytes + i, RUN);
        if (value != 0 && *slot_of(value) != 0)
            return i;
    }
    return SIZE_MAX;
}

static void holds_none(const char *what, const void *mem, size_t len, unsigned int step)
{
    size_t at = find(mem, len);
    ck_assert_msg(at == SIZE_MAX, "after %u steps: a secret in %s at %zu", step, what, at);
}

/* ---- the world ---- */

static struct dom *sd, *gd;
static struct server *s;
static struct guest *g;
static struct xids_entropy entropy;
static struct xids_randomd_pull pull;
static uint8_t pulled[PULL];
static uint64_t seed_of_world;
static unsigned int step, pulls;

/* The server's platform: says which page was shared, and looks at what is given up. */
static struct xids_platform_ops spy;
static const struct xids_platform_ops *real;
static uint8_t *page;
static uint32_t heard; /* of the right ring */
static uint8_t message[XIDS_RANDOMD_MESSAGE_MAX];
static size_t have;
static uint8_t before[32]; /* the session's key, before this step */
static unsigned int foretold;

static int spy_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int n, unsigned int flags,
                     const struct xids_unmap_notify *notify)
{
    int rc = real->share(ctx, pages, refs, domid, n, flags, notify);
    if (rc == 0)
        page = *pages;
    heard = 0;
    have = 0;
    return rc;
}

static uint32_t index_at(unsigned int offset)
{
    uint32_t v;
    memcpy(&v, page + offset, sizeof(v));
    return v;
}

/* The right ring's indices: the page's own, or from some point on those in its extension (docs/spec/vchan.md). */
static uint32_t produced(void)
{
    uint32_t old = index_at(12), own = index_at(768 + 64);
    return own > old ? own : old;
}

static uint32_t consumed(void)
{
    uint32_t old = index_at(8), own = index_at(768 + 128 + 4);
    return own > old ? own : old;
}

/* In the page there is nothing but what the guest is still to read. */
static void look_at_page(const char *what)
{
    static uint8_t copy[XIDS_PAGE_SIZE];
    if (page == NULL)
        return;
    memcpy(copy, page, sizeof(copy));
    for (uint32_t i = consumed(); i < produced(); i++)
        copy[2048 + i % 2048] = 0;
    holds_none(what, copy, sizeof(copy), step);
}

static int spy_unshare(void *ctx, void *pages, unsigned int n)
{
    if (pages == page)
        look_at_page("a page that is given up");
    page = NULL;
    return real->unshare(ctx, pages, n);
}

static void hear_message(void)
{
    struct randomd_header h = get_header(message);
    if (h.type == XIDS_RANDOMD_SEED)
        learn(message + 32, XIDS_RANDOMD_SEED_BYTES);
    if (h.type == XIDS_RANDOMD_DATA) {
        struct xids_rng rng;
        uint8_t first[16];
        memcpy(rng.key, before, sizeof(before));
        xids_rng_fill(&rng, first, sizeof(first));
        foretold += memcmp(first, message + XIDS_RANDOMD_HEADER, sizeof(first)) == 0;
        learn(message + XIDS_RANDOMD_HEADER, h.len - (size_t)XIDS_RANDOMD_HEADER);
    }
    have = 0;
}

/* Follows what the server says in the shared page; nobody takes a byte in the step in which it comes. */
static void hear(void)
{
    if (page == NULL || (s->rude && s->ch != NULL))
        return;
    ck_assert_uint_ge(heard, consumed());
    for (; heard < produced(); heard++) {
        message[have++] = page[2048 + heard % 2048];
        if (have >= XIDS_RANDOMD_HEADER && have == get16(message + 2))
            hear_message();
    }
}

/* The keys, which are where they are, and what the source has given. */
static void collect(void)
{
    static uint64_t gave;
    if (gave == 0 || step == 0)
        gave = seed_of_world;
    while (gave != fresh) {
        uint8_t bytes[64];
        for (unsigned int i = 0; i < sizeof(bytes); i++) {
            gave = gave * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (uint8_t)(gave >> 56);
        }
        learn(bytes, sizeof(bytes));
    }
    hear();
    if (s->ch != NULL)
        memcpy(before, s->mem, sizeof(before));
    learn(before, sizeof(before));
    /* A key without a grade is made of what everybody knows. */
    if (xids_entropy_grade(&entropy) != XIDS_RANDOMD_GRADE_NONE)
        learn(entropy.rng.key, sizeof(entropy.rng.key));
    look_at_page("the shared page");
}

static void up(void)
{
    const struct xids_entropy_config config = {.nonce = "not secret"};
    world_up(&w, seed_of_world);
    source_ready = true;
    fresh = seed_of_world;
    sd = world_domain(&w, 2);
    gd = world_domain(&w, 5);
    real = sd->platform.ops;
    spy = *real;
    spy.share = spy_share;
    spy.unshare = spy_unshare;
    sd->platform.ops = &spy;
    s = server_new(sd, 5);
    xids_entropy_init(&entropy, &config, 0);
}

static void start(void)
{
    server_begin(s);
    point(s);
    g = guest_up_with(gd, &entropy, NULL);
}

static void ask_for_more(void)
{
    if (pull.status == -XEN_EBUSY || pulls == PULLS)
        return;
    pulls++;
    xids_wipe(pulled, sizeof(pulled)); /* they have been given out */
    pull = (struct xids_randomd_pull){.to = pulled, .len = sizeof(pulled)};
    ck_assert_int_eq(xids_randomd_client_pull(xids_randomd_link_client(g->link), &pull), 0);
    xids_randomd_link_poke(g->link);
    world_wake(gd);
}

static void one_step(void)
{
    world_steps(&w, 1);
}

static void suspend(void)
{
    xids_loop_suspend(&gd->loop);
}

static void resume(void)
{
    xids_loop_resume(&gd->loop);
    world_wake(gd);
}

static void down(void)
{
    guest_free(g);
    server_free(s);
    world_run(&w, SECOND);
    sd->platform.ops = real;
    world_down(&w);
}

static void begin(uint64_t seed)
{
    seed_of_world = seed * 0x9e3779b97f4a7c15u + 1;
    memset(known, 0, sizeof(known));
    memset(before, 0, sizeof(before));
    memset(&pull, 0, sizeof(pull));
    count = step = pulls = 0;
    heard = 0;
    have = 0;
    page = NULL;
    stack_begin();
    in_machine(up);
    in_machine(start);
    collect();
}

static void go(unsigned int steps)
{
    for (unsigned int i = 0; i < steps; i++) {
        in_machine(ask_for_more);
        in_machine(one_step);
        step++;
        collect();
    }
}

/* All that goes into its image, but for completed pulls, which are somebody else's by then. */
static void search_guest(void)
{
    const struct xids_xs_client_limits limits = {.watch_path = w.watch_path};
    holds_none("the link", g->mem, xids_randomd_link_size(), step);
    holds_none("the generator", &entropy, sizeof(entropy), step);
    holds_none("the store's connection", gd->xs_mem, xids_xs_client_size(&limits), step);
    holds_none("the store's page", gd->page, XIDS_PAGE_SIZE, step);
    holds_none("the domain", gd, sizeof(*gd), step);
    holds_none("the guest's program", g, sizeof(*g), step);
    if (pull.status == -XEN_EBUSY)
        holds_none("a pull under way", pulled, sizeof(pulled), step);
    if (OWN_STACK)
        holds_none("the stack", stack, sizeof(stack), step);
}

/* ---- the cases ---- */

START_TEST(the_search_finds_what_is_there)
{
    begin(1);
    go(400);
    ck_assert_int_eq(g->grade, XIDS_RANDOMD_GRADE_HOST);
    ck_assert_uint_gt(count, 20000);
    /* It knows the server's key, for it has foretold answers, and the guest's. */
    ck_assert_uint_gt(foretold, 5);
    ck_assert_uint_ne(find(&entropy, sizeof(entropy)), SIZE_MAX);
    ck_assert_uint_ne(find(s->mem, xids_randomd_session_size()), SIZE_MAX);
    ck_assert_uint_ne(find(pulled, sizeof(pulled)), SIZE_MAX);
    in_machine(down);
}
END_TEST

START_TEST(a_guest_that_is_suspended_after_any_step_holds_no_secret)
{
    for (unsigned int steps = 0; steps < 100; steps += EACH) {
        begin((uint64_t)_i);
        go(steps);
        in_machine(suspend);
        collect();
        search_guest();
        ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_NONE);
        /* And once more after it ran on. */
        in_machine(resume);
        go(40);
        in_machine(suspend);
        collect();
        search_guest();
        in_machine(resume);
        in_machine(down);
    }
}
END_TEST

static void kill_server(void)
{
    page = NULL;
    world_kill(sd);
    server_forget(s);
}

static void be_rude(void)
{
    s->rude = true;
    drop(s);
    offer(s);
}

static void be_unready(void)
{
    source_ready = false;
    (void)!xids_randomd_session_renew(s->session, XIDS_RANDOMD_REASON_RESTORED, xids_model_now(w.m));
    world_wake(sd);
}

static void say_good_bye(void)
{
    server_stop(s, true);
    world_wake(gd);
}

static void (*const mishaps[])(void) = {kill_server, be_rude, be_unready, say_good_bye};

START_TEST(nor_after_anything_has_gone_wrong)
{
    for (unsigned int steps = 1; steps < 100; steps += 3 * EACH) {
        begin(steps);
        go(steps);
        in_machine(mishaps[_i]);
        go(steps % 7);
        in_machine(suspend);
        collect();
        search_guest();
        in_machine(resume);
        in_machine(down);
    }
}
END_TEST

/* What was taken is gone, whenever somebody looks; what is given up is empty: collect and the spy look all the time. */
START_TEST(the_shared_page_holds_only_what_is_still_to_be_read)
{
    for (unsigned int steps = 1; steps < 300; steps += 23 * EACH) {
        begin(steps * 31u + (uint64_t)_i);
        go(steps);
        ck_assert_ptr_nonnull(page);
        in_machine(_i == 0 ? say_good_bye : be_rude);
        in_machine(down);
    }
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd image");
    TCase *t = tcase_create("memory");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, the_search_finds_what_is_there);
    tcase_add_loop_test(t, a_guest_that_is_suspended_after_any_step_holds_no_secret, 0, 2);
    tcase_add_loop_test(t, nor_after_anything_has_gone_wrong, 0, sizeof(mishaps) / sizeof(mishaps[0]));
    tcase_add_loop_test(t, the_shared_page_holds_only_what_is_still_to_be_read, 0, 2);
    suite_add_tcase(suite, t);
    return suite;
}
