/* SPDX-License-Identifier: ISC */
/*
 * Gets its entropy from all the xids-randomd there are and from its own sources, and says what it has: when the server
 * begins anew, once more for each line typed on its console (then it forgets all first), and when there is no server,
 * what it has without. It never prints a random byte: what it shows is a hash. Options: pull=BYTES, so many of the
 * host's own bytes are fetched and the speed is told.
 */
#include <xids/guest.h>
#include <xids/local.h>
#include <xids/randomd_link.h>
#include <xids/reseed_node.h>

#define PIECE_PAGES 256u
#define PIECE ((uint64_t)PIECE_PAGES * XIDS_PAGE_SIZE)
#define TYPED 1024u /* bytes that the console's ring holds */

/* How long a server may take to make LOCAL or NONE not worth a word. */
#define PATIENCE UINT64_C(200000000)

struct demo {
    struct xids_guest *g;
    struct xids_randomd_link *link;
    struct xids_entropy entropy;
    struct xids_local local;
    struct xids_reseed_node reseed;
    uint64_t told;                  /* the epoch of the last line; 0: there was none */
    uint64_t unheard;               /* since when no server's bytes are in it */
    enum xids_randomd_grade lonely; /* what was told of a time without servers */
    bool said;                      /* that was told */
};

static void on_refused(void *ctx, int rc, const char *reason)
{
    (void)ctx;
    xids_guest_print("entropy: waiting: %s (error %d)\n", reason, -rc);
}

static void on_reached(void *ctx, const char *step)
{
    struct demo *d = ctx;
    if (d->told == 0)
        xids_guest_mark(d->g, step);
}

static int begin(struct demo *d)
{
    struct xids_platform *platform = xids_guest_platform(d->g);
    struct xids_randomd_link_config config = {.platform = platform,
                                              .xs = xids_guest_xenstore(d->g),
                                              .client.entropy = &d->entropy,
                                              .local = &d->local,
                                              .refused = on_refused,
                                              .reached = on_reached,
                                              .ctx = d};
    struct xids_entropy_config own = {.identity = {0}};
    struct xids_local_cpu cpu;
    size_t size = xids_randomd_link_size();
    uint64_t now = xids_guest_now(d->g);
    void *mem = NULL, *page = NULL;
    xids_local_cpu(&cpu);
    xids_local_cpu_salt(own.nonce);
    __builtin_memcpy(config.client.nonce, own.nonce, sizeof(own.nonce));
    xids_entropy_init(&d->entropy, &own, now);
    xids_local_init(&d->local, &d->entropy, &cpu, now);
    int rc = platform->ops->page_alloc(platform->ctx, &mem, (unsigned int)(size / XIDS_PAGE_SIZE + 1));
    if (rc == 0)
        rc = xids_randomd_link_init(&d->link, mem, size, &config, now);
    if (rc == 0)
        xids_loop_add(xids_guest_loop(d->g), xids_randomd_link_part(d->link));
    if (rc == 0)
        rc = platform->ops->page_alloc(platform->ctx, &page, 1);
    if (rc < 0)
        return rc;
    /* Should our memory be copied without our being asked, we learn it here before the next output. */
    xids_entropy_reseed_page(&d->entropy, page);
    (void)!xids_guest_reseed_page(d->g, page); /* it is in the store, too */
    rc = xids_reseed_node_init(&d->reseed, config.xs, (uintptr_t)page / XIDS_PAGE_SIZE);
    if (rc == 0)
        xids_loop_add(xids_guest_loop(d->g), xids_reseed_node_part(&d->reseed));
    return rc;
}

/* ---- what it says ---- */

/* The epoch of the first server with which there is a session. */
static uint64_t epoch(const struct demo *d)
{
    uint64_t found = 0;
    for (unsigned int i = 0; i < XIDS_ENTROPY_SERVERS && found == 0; i++)
        found = xids_randomd_client_epoch(xids_randomd_link_server(d->link, i));
    return found;
}

static void tell_sources(struct demo *d)
{
    static const char *const states[] = {"not there", "not good (yet)", "good", "broken"};
    uint64_t now = xids_guest_now(d->g);
    for (unsigned int i = 0; i < XIDS_ENTROPY_SERVERS; i++) {
        uint64_t age = xids_entropy_server_age(&d->entropy, i, now);
        if (age != UINT64_MAX)
            xids_guest_print("  server %u: in it since %llu us, epoch %016llx\n", i, (unsigned long long)age / 1000,
                             (unsigned long long)xids_randomd_client_epoch(xids_randomd_link_server(d->link, i)));
    }
    for (unsigned int i = 0; i < XIDS_LOCAL_SOURCES; i++) {
        struct xids_local_status s;
        xids_local_status(&d->local, (enum xids_local_source)i, &s);
        xids_guest_print("  %s: %s, %llu bits from %llu samples, %llu not ready or nothing new, %llu test failures\n",
                         s.name, states[s.state], (unsigned long long)s.bits, (unsigned long long)s.samples,
                         (unsigned long long)s.misses, (unsigned long long)s.failures);
    }
}

static void tell(struct demo *d)
{
    static const char name[] = "xids-entropy-demo fingerprint";
    static const char *const grades[] = {"NONE", "LOCAL", "HOST"};
    uint8_t value[32], hash[8] = {0};
    struct xids_blake2s b;
    if (xids_entropy_random(&d->entropy, value, sizeof(value)) == 0 &&
        xids_blake2s_init(&b, sizeof(hash), (const uint8_t *)name, sizeof(name) - 1) == 0) {
        xids_blake2s_update(&b, value, sizeof(value));
        xids_blake2s_final(&b, hash);
    }
    xids_wipe(value, sizeof(value));
    enum xids_randomd_grade grade = xids_entropy_grade(&d->entropy);
    uint64_t age = xids_entropy_age(&d->entropy, xids_guest_now(d->g));
    if (grade == XIDS_RANDOMD_GRADE_NONE) {
        xids_guest_print("domain %u: no seed, grade NONE\n", (unsigned int)xids_guest_platform(d->g)->domid);
        return;
    }
    xids_guest_print("domain %u: seed fingerprint ", (unsigned int)xids_guest_platform(d->g)->domid);
    for (unsigned int i = 0; i < sizeof(hash); i++)
        xids_guest_print("%02x", hash[i]);
    xids_guest_print(" grade %s age %llu us epoch %016llx\n", grades[grade], (unsigned long long)age / 1000,
                     (unsigned long long)epoch(d));
}

/* A time without any server is told of once its grade is known, and again when that changes. */
static void tell_lonely(struct demo *d)
{
    enum xids_randomd_grade grade = xids_entropy_grade(&d->entropy);
    if (grade == XIDS_RANDOMD_GRADE_NONE && xids_local_pauses(&d->local) == 0)
        return;
    if (d->said && grade == d->lonely)
        return;
    d->lonely = grade;
    d->said = true;
    tell(d);
    tell_sources(d);
}

static void tell_steps(struct demo *d)
{
    const struct xids_guest_mark *marks;
    unsigned int count = xids_guest_marks(d->g, &marks);
    uint64_t total = marks[count - 1].ns, before = 0;
    xids_guest_print("first seed after %llu us, of which\n", (unsigned long long)total / 1000);
    for (unsigned int i = 0; i < count; i++) {
        uint64_t part = marks[i].ns - before;
        before = marks[i].ns;
        xids_guest_print("%8llu us %3llu %%  %s\n", (unsigned long long)part / 1000,
                         (unsigned long long)(part * 100 / total), marks[i].name);
    }
}

/* From the first server that there is. */
static struct xids_randomd_client *server(const struct demo *d)
{
    for (unsigned int i = 0; i < XIDS_ENTROPY_SERVERS; i++)
        if (xids_randomd_client_epoch(xids_randomd_link_server(d->link, i)) != 0)
            return xids_randomd_link_server(d->link, i);
    return xids_randomd_link_client(d->link);
}

static void pull(struct demo *d, uint64_t bytes)
{
    struct xids_randomd_client *client = server(d);
    struct xids_platform *platform = xids_guest_platform(d->g);
    uint64_t began = xids_guest_now(d->g);
    void *buffer = NULL;
    if (platform->ops->page_alloc(platform->ctx, &buffer, PIECE_PAGES) < 0)
        xids_guest_panic("no memory to pull into");
    for (uint64_t left = bytes; left > 0;) {
        struct xids_randomd_pull piece = {.to = buffer, .len = (size_t)(left < PIECE ? left : PIECE)};
        int rc = xids_randomd_client_pull(client, &piece);
        xids_randomd_link_poke(d->link);
        while (rc == 0 && piece.status == -XEN_EBUSY)
            (void)xids_guest_wait(d->g, UINT64_MAX);
        left -= piece.len;
    }
    uint64_t us = (xids_guest_now(d->g) - began) / 1000 + 1;
    xids_wipe(buffer, PIECE);
    platform->ops->page_free(platform->ctx, buffer, PIECE_PAGES);
    xids_guest_print("%llu bytes pulled at %llu.%02llu MB/s\n", (unsigned long long)bytes,
                     (unsigned long long)(bytes / us), (unsigned long long)(bytes * 100 / us % 100));
}

/* A line has been typed. What a backend adds while we read comes with an event, and is for the next time. */
static bool asked(struct demo *d)
{
    char typed = 0;
    for (unsigned int i = 0; i < TYPED && typed != '\n' && typed != '\r'; i++)
        if (xids_guest_console_read(d->g, &typed, 1) <= 0)
            break;
    return typed == '\n' || typed == '\r';
}

/* A server's bytes are in it, in a session that goes on. Returns when to be called again. */
static uint64_t heard(struct demo *d, uint32_t *bytes)
{
    bool first = d->told == 0;
    if (epoch(d) != d->told) {
        tell(d);
        d->told = epoch(d);
        if (first)
            tell_steps(d);
        tell_sources(d);
        if (*bytes > 0)
            pull(d, *bytes);
        *bytes = 0;
    }
    d->unheard = xids_guest_now(d->g);
    d->said = false;
    if (asked(d)) {
        xids_randomd_client_forget(xids_randomd_link_client(d->link));
        xids_randomd_link_poke(d->link);
    }
    return UINT64_MAX;
}

static uint64_t unheard(struct demo *d)
{
    uint64_t until = d->unheard + PATIENCE;
    if (xids_guest_now(d->g) < until)
        return until;
    tell_lonely(d);
    if (asked(d)) {
        d->said = false;
        xids_randomd_client_forget(xids_randomd_link_client(d->link));
        xids_randomd_link_poke(d->link);
        return 0;
    }
    return d->said ? UINT64_MAX : xids_guest_now(d->g) + PATIENCE;
}

int xids_guest_main(struct xids_guest *g)
{
    static struct demo d;
    uint32_t bytes = 0;
    char text[11];
    d.g = g;
    int len = xids_guest_option(g, text, sizeof(text), "pull");
    if (len >= 0 && xids_xswire_decimal(&bytes, text, (size_t)len, UINT32_MAX) < 0)
        xids_guest_print("entropy: pull= wants a number of bytes\n");
    d.unheard = xids_guest_now(g);
    int rc = begin(&d);
    while (rc == 0) {
        bool seeded = xids_entropy_grade(&d.entropy) == XIDS_RANDOMD_GRADE_HOST && epoch(&d) != 0;
        (void)xids_guest_wait(g, seeded ? heard(&d, &bytes) : unheard(&d));
    }
    return rc;
}
