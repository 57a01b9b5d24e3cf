/* SPDX-License-Identifier: ISC */
/*
 * One end of a vchan against a peer that does what the input says: calls of an honest end, and stores to any shared
 * byte, at once or right before an access that our end makes later. The input is a byte for role, orders and flags,
 * then steps of four bytes: what, and three for it. What each call may do is in tests/unit/vchan_subject.c; here, too,
 * nothing may be left in the end.
 */
#include "tests/unit/vchan_subject.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { LATER_MAX = 16 };

/* A store for later: before so many accesses more. */
struct later {
    unsigned int wait;
    uint16_t at;
    uint8_t value;
    bool always;
};

static struct hw w;
static struct vs ends[2];
static int us;
static uint8_t *page;
static struct later later[LATER_MAX];
static unsigned int n_later;

static void between(void *ctx, const struct hook_access *access)
{
    (void)ctx;
    if (page == NULL && access->at != NULL)
        page = hw_page_at(access->at);
    for (unsigned int i = 0; i < n_later && page != NULL; i++) {
        struct later *l = &later[i];
        if (l->wait > 0 && --l->wait > 0)
            continue;
        page[l->at] = l->value;
        if (!l->always)
            *l = later[--n_later];
    }
}

/* The offset that three bytes mean: mostly of what both sides look at. */
static uint16_t place(uint8_t high, uint8_t low)
{
    static const uint16_t areas[] = {0, 768, 1536, 3072};
    if (high >= 128)
        return (uint16_t)((high & 15u) << 8 | low);
    return (uint16_t)(areas[high % 4] + (high % 4 == 0 ? low % 32 : low % 192));
}

static void serve(void *ctx)
{
    static const unsigned int orders[][2] = {{10, 11}, {11, 10}, {12, 12}, {11, 13}, {13, 12}, {12, 10}};
    uint8_t kind = *(const uint8_t *)ctx;
    const unsigned int *order = orders[(kind >> 1) % 6];
    unsigned int flags = (kind >> 4) % 8;
    if (vs_serve(&ends[0], order[0], order[1], flags))
        page = hw_page(xids_vchan_ring_ref(ends[0].ch));
}

static void come(void *ctx)
{
    uint8_t kind = *(const uint8_t *)ctx;
    /* As the server, but now and then one speaks the extension and the other does not. */
    unsigned int flags = (kind >> 4) % 8 ^ (kind >= 128 ? (unsigned int)XIDS_VCHAN_PLAIN : 0);
    if (ends[0].up && !ends[1].up)
        (void)vs_connect(&ends[1], xids_vchan_ring_ref(ends[0].ch), xids_vchan_port(ends[0].ch), flags);
}

static void call(struct vs *s, const uint8_t *step)
{
    static const uint32_t more[] = {0, 200, 1000, 4000};
    if (s->up)
        vs_do(s, (enum vs_what)(step[1] % VS_WHATS), step[2] + more[step[3] % 4], step[3]);
}

static void peer_calls(void *ctx)
{
    const uint8_t *step = ctx;
    struct vs *peer = &ends[1 - us];
    if (step[0] >= 8)
        call(peer, step);
    else if (peer->up)
        vs_leave(peer);
    else if (us == 0)
        come(&(uint8_t){step[1]});
}

static void take(const uint8_t *step)
{
    switch (step[0] % 8) {
    case 0:
    case 1:
        if (page != NULL)
            page[place(step[1], step[2])] = step[3];
        break;
    case 2:
    case 3:
        if (n_later < LATER_MAX)
            later[n_later++] = (struct later){1u + step[0] / 8u, place(step[1], step[2]), step[3], step[0] >= 248};
        break;
    case 4:
        hook_aside(peer_calls, (void *)(uintptr_t)step);
        break;
    default:
        call(&ends[us], step);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 5)
        return 0;
    uint8_t kind = data[0];
    hw_init(&w);
    for (int d = 0; d < 2; d++)
        if (ends[d].ch == NULL)
            vs_new(&ends[d], &w, d);
    us = kind & 1;
    page = NULL;
    n_later = 0;
    hook_begin(HOOK_IN_ORDER, between, NULL);
    data++;
    len--;
    /* Changes for the setup come first. */
    for (; len >= 4 && (data[0] % 8 == 2 || data[0] % 8 == 3); data += 4, len -= 4)
        take(data);
    if (us == 0) {
        serve(&kind);
        hook_aside(come, &kind);
    } else {
        hook_aside(serve, &kind);
        come(&kind);
    }
    for (unsigned int steps = 0; len >= 4 && ends[us].up && steps < 200; data += 4, len -= 4, steps++)
        take(data);
    vs_leave(&ends[us]);
    (void)hook_end();
    hook_begin(HOOK_IN_ORDER, NULL, NULL);
    vs_leave(&ends[1 - us]);
    if (hw_left(&w) != 0)
        hook_failed("something is left");
    return 0;
}
