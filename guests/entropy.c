/* SPDX-License-Identifier: ISC */
/*
 * Gets its entropy from xids-randomd and says so; then once more for each line typed on its console, and whenever the
 * server begins anew. It never prints a random byte: what it shows is a hash. Options: pull=BYTES, so many of the
 * host's own bytes are fetched and the speed is told.
 */
#include <xids/guest.h>
#include <xids/randomd_link.h>

#define PIECE_PAGES 256u
#define PIECE ((uint64_t)PIECE_PAGES * XIDS_PAGE_SIZE)
#define TYPED 1024u /* bytes that the console's ring holds */

struct entropy {
    struct xids_guest *g;
    struct xids_randomd_link *link;
    struct xids_randomd_client *client;
    uint64_t told; /* the epoch of the last line; 0: there was none */
};

static void on_refused(void *ctx, int rc, const char *reason)
{
    (void)ctx;
    xids_guest_print("entropy: waiting: %s (error %d)\n", reason, -rc);
}

static void on_reached(void *ctx, const char *step)
{
    struct entropy *e = ctx;
    if (e->told == 0)
        xids_guest_mark(e->g, step);
}

static int begin(struct entropy *e)
{
    struct xids_platform *platform = xids_guest_platform(e->g);
    struct xids_randomd_link_config config = {
        .platform = platform, .xs = xids_guest_xenstore(e->g), .refused = on_refused, .reached = on_reached, .ctx = e};
    size_t size = xids_randomd_link_size();
    uint8_t local[32];
    unsigned int bits = 0;
    void *mem = NULL;
    int rc = platform->ops->page_alloc(platform->ctx, &mem, (unsigned int)(size / XIDS_PAGE_SIZE + 1));
    xids_guest_local_entropy(e->g, config.client.nonce, sizeof(config.client.nonce), &bits);
    if (rc == 0)
        rc = xids_randomd_link_init(&e->link, mem, size, &config, xids_guest_now(e->g));
    if (rc < 0)
        return rc;
    e->client = xids_randomd_link_client(e->link);
    xids_guest_local_entropy(e->g, local, sizeof(local), &bits);
    xids_randomd_client_mix(e->client, local, sizeof(local), bits, xids_guest_now(e->g));
    xids_wipe(local, sizeof(local));
    xids_loop_add(xids_guest_loop(e->g), xids_randomd_link_part(e->link));
    return 0;
}

static void tell(struct entropy *e)
{
    static const char name[] = "xids-entropy-demo fingerprint";
    uint8_t value[32], hash[8] = {0};
    struct xids_blake2s b;
    if (xids_randomd_client_random(e->client, value, sizeof(value)) == 0 &&
        xids_blake2s_init(&b, sizeof(hash), (const uint8_t *)name, sizeof(name) - 1) == 0) {
        xids_blake2s_update(&b, value, sizeof(value));
        xids_blake2s_final(&b, hash);
    }
    xids_wipe(value, sizeof(value));
    e->told = xids_randomd_client_epoch(e->client);
    xids_guest_print("domain %u: seed fingerprint ", (unsigned int)xids_guest_platform(e->g)->domid);
    for (unsigned int i = 0; i < sizeof(hash); i++)
        xids_guest_print("%02x", hash[i]);
    xids_guest_print(" grade HOST age %llu us epoch %016llx\n",
                     (unsigned long long)xids_randomd_client_age(e->client, xids_guest_now(e->g)) / 1000,
                     (unsigned long long)e->told);
}

static void tell_steps(struct entropy *e)
{
    const struct xids_guest_mark *marks;
    unsigned int count = xids_guest_marks(e->g, &marks);
    uint64_t total = marks[count - 1].ns, before = 0;
    xids_guest_print("first seed after %llu us, of which\n", (unsigned long long)total / 1000);
    for (unsigned int i = 0; i < count; i++) {
        uint64_t part = marks[i].ns - before;
        before = marks[i].ns;
        xids_guest_print("%8llu us %3llu %%  %s\n", (unsigned long long)part / 1000,
                         (unsigned long long)(part * 100 / total), marks[i].name);
    }
}

static void pull(struct entropy *e, uint64_t bytes)
{
    struct xids_platform *platform = xids_guest_platform(e->g);
    uint64_t began = xids_guest_now(e->g);
    void *buffer = NULL;
    if (platform->ops->page_alloc(platform->ctx, &buffer, PIECE_PAGES) < 0)
        xids_guest_panic("no memory to pull into");
    for (uint64_t left = bytes; left > 0;) {
        struct xids_randomd_pull piece = {.to = buffer, .len = (size_t)(left < PIECE ? left : PIECE)};
        int rc = xids_randomd_client_pull(e->client, &piece);
        xids_randomd_link_poke(e->link);
        while (rc == 0 && piece.status == -XEN_EBUSY)
            (void)xids_guest_wait(e->g, UINT64_MAX);
        left -= piece.len;
    }
    uint64_t us = (xids_guest_now(e->g) - began) / 1000 + 1;
    xids_wipe(buffer, PIECE);
    platform->ops->page_free(platform->ctx, buffer, PIECE_PAGES);
    xids_guest_print("%llu bytes pulled at %llu.%02llu MB/s\n", (unsigned long long)bytes,
                     (unsigned long long)(bytes / us), (unsigned long long)(bytes * 100 / us % 100));
}

/* A line has been typed. What a backend adds while we read comes with an event, and is for the next time. */
static bool asked(struct entropy *e)
{
    char typed = 0;
    for (unsigned int i = 0; i < TYPED && typed != '\n' && typed != '\r'; i++)
        if (xids_guest_console_read(e->g, &typed, 1) <= 0)
            break;
    return typed == '\n' || typed == '\r';
}

int xids_guest_main(struct xids_guest *g)
{
    static struct entropy e;
    uint32_t bytes = 0;
    char text[11];
    e.g = g;
    int len = xids_guest_option(g, text, sizeof(text), "pull");
    if (len >= 0 && xids_xswire_decimal(&bytes, text, (size_t)len, UINT32_MAX) < 0)
        xids_guest_print("entropy: pull= wants a number of bytes\n");
    int rc = begin(&e);
    while (rc == 0) {
        bool seeded =
            xids_randomd_client_grade(e.client) == XIDS_RANDOMD_GRADE_HOST && xids_randomd_client_epoch(e.client) != 0;
        bool first = e.told == 0;
        if (seeded && xids_randomd_client_epoch(e.client) != e.told) {
            tell(&e);
            if (first)
                tell_steps(&e);
            if (first && bytes > 0)
                pull(&e, bytes);
        }
        if (seeded && asked(&e)) {
            xids_randomd_client_forget(e.client);
            xids_randomd_link_poke(e.link);
        }
        (void)xids_guest_wait(g, UINT64_MAX);
    }
    return rc;
}
