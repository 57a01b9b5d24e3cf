/* SPDX-License-Identifier: ISC */
/* Advertises the reseed page. */
#include <xids/reseed.h>
#include <xids/reseed_node.h>

/* A store that refuses, or is away, is asked again after this. */
#define RETRY_NS 1000000000u

static void on_written(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_reseed_node *n = ctx;
    (void)payload;
    (void)len;
    n->writing = false;
    n->written = rc == 0;
}

static uint64_t part_step(void *ctx, uint64_t now)
{
    struct xids_reseed_node *n = ctx;
    if (n->written || n->writing)
        return UINT64_MAX;
    if (now < n->retry_at)
        return n->retry_at;
    n->retry_at = now + RETRY_NS;
    n->writing = xids_xs_client_write(n->xs, 0, XIDS_RESEED_NODE, n->frame, n->len, on_written, n) == 0;
    /* The store's part sends it, and may have had its turn. */
    return n->writing ? 0 : n->retry_at;
}

static void hush(struct xids_reseed_node *n)
{
    if (n->writing)
        (void)xids_xs_client_cancel(n->xs, on_written, n);
    n->writing = false;
}

static void part_suspend(void *ctx)
{
    hush(ctx);
}

static void part_resume(void *ctx)
{
    struct xids_reseed_node *n = ctx;
    n->written = false;
    n->retry_at = 0;
}

int xids_reseed_node_init(struct xids_reseed_node *n, struct xids_xs_client *xs, uint64_t frame)
{
    if (frame > XIDS_RESEED_FRAME_MAX)
        return -XEN_EINVAL;
    __builtin_memset(n, 0, sizeof(*n));
    n->xs = xs;
    n->part = (struct xids_part){.step = part_step, .suspend = part_suspend, .resume = part_resume, .ctx = n};
    uint64_t unit = 1;
    while (frame / unit >= 10u)
        unit *= 10u;
    for (; unit > 0; unit /= 10u)
        n->frame[n->len++] = (char)('0' + (char)(frame / unit % 10u));
    return 0;
}

void xids_reseed_node_fini(struct xids_reseed_node *n)
{
    hush(n);
}

struct xids_part *xids_reseed_node_part(struct xids_reseed_node *n)
{
    return &n->part;
}
