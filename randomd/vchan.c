/* SPDX-License-Identifier: ISC */
/* Carries bytes between a vchan and the engines of the entropy protocol. */
#include <xids/randomd_vchan.h>

#define LEFT (1u << XIDS_RANDOMD_LEFT_ORDER)
#define RIGHT (1u << XIDS_RANDOMD_RIGHT_ORDER)

static int put_seed(struct xids_randomd_session *s, struct xids_vchan *ch, uint64_t now)
{
    uint8_t seed[128];
    int rc = xids_randomd_session_prefill(s, seed, sizeof(seed), now);
    if (rc > 0)
        rc = xids_vchan_send(ch, seed, (uint32_t)rc);
    if (rc >= 0)
        rc = xids_vchan_flush(ch);
    xids_wipe(seed, sizeof(seed));
    return rc < 0 ? rc : 0;
}

int xids_randomd_session_offer(struct xids_randomd_session *s, struct xids_vchan *ch,
                               const struct xids_platform *platform, domid_t remote, uint64_t now)
{
    int rc = xids_vchan_server_init(ch, platform, remote, XIDS_RANDOMD_LEFT_ORDER, XIDS_RANDOMD_RIGHT_ORDER,
                                    XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH);
    if (rc < 0)
        return rc;
    rc = put_seed(s, ch, now);
    if (rc < 0)
        xids_vchan_fini(ch);
    return rc;
}

int xids_randomd_session_reoffer(struct xids_randomd_session *s, struct xids_vchan *ch, uint64_t now)
{
    int rc = xids_vchan_discard(ch);
    if (rc == 0)
        rc = xids_vchan_reoffer(ch);
    return rc < 0 ? rc : put_seed(s, ch, now);
}

/* Puts out what an engine gave and wipes our copy of it. */
static int put_out(struct xids_vchan *ch, struct xids_randomd_io *io)
{
    int rc = 0;
    if (io->out_len > 0) {
        rc = xids_vchan_send(ch, io->out, (uint32_t)io->out_len);
        xids_wipe(io->out, io->out_len);
    }
    return rc < 0 ? rc : 0;
}

/* The room in the ring we write to, with no more than limit. A peer that has gone leaves none. */
static int room_of(struct xids_vchan *ch, size_t limit, size_t *room)
{
    int n = xids_vchan_writable(ch);
    if (n == -XEN_ENOTCONN)
        n = 0;
    if (n < 0)
        return n;
    *room = (size_t)n < limit ? (size_t)n : limit;
    return 0;
}

static int session_round(struct xids_randomd_session *s, struct xids_vchan *ch, struct xids_randomd_io *io,
                         uint8_t in[LEFT], uint64_t now)
{
    const uint8_t XIDS_PEER *span = NULL;
    int n = xids_vchan_peek(ch, &span, 1);
    if (n == 0)
        return -XEN_ENOTCONN;
    if (n < 0 && n != -XEN_EAGAIN)
        return n;
    io->in = in;
    io->in_len = n > 0 ? (size_t)n : 0;
    if (io->in_len > LEFT)
        io->in_len = LEFT;
    if (io->in_len > 0)
        xids_peer_get(in, span, io->in_len);
    int rc = room_of(ch, RIGHT, &io->out_room);
    if (rc < 0)
        return rc;
    io->unread = xids_vchan_write_size(ch) - io->out_room;
    rc = xids_randomd_session_step(s, io, now);
    if (io->in_used > 0) {
        int consumed = xids_vchan_consume(ch, (uint32_t)io->in_used);
        if (consumed < 0)
            return consumed;
    }
    int sent = put_out(ch, io);
    if (rc == 0)
        return sent;
    /* The end: the farewell is worth an attempt. */
    if (sent == 0)
        sent = xids_vchan_flush(ch);
    return rc > 0 ? -XEN_ENOTCONN : rc;
}

int xids_randomd_session_serve(struct xids_randomd_session *s, struct xids_vchan *ch, uint64_t now)
{
    struct xids_randomd_share all = {.limit = UINT32_MAX};
    return xids_randomd_session_serve_share(s, ch, &all, now);
}

int xids_randomd_session_serve_share(struct xids_randomd_session *s, struct xids_vchan *ch,
                                     struct xids_randomd_share *share, uint64_t now)
{
    uint8_t in[LEFT], out[RIGHT];
    struct xids_randomd_io io = {.out = out, .busy_ms = share->busy_ms};
    int rc = 1;
    share->cost = 0;
    for (unsigned int i = 0; i < XIDS_RANDOMD_ROUNDS && rc == 1 && share->cost < share->limit; i++) {
        io.limit = share->limit - share->cost;
        io.cost = 0;
        rc = session_round(s, ch, &io, in, now);
        /* A look that finds nothing is work, too. */
        share->cost += io.cost > XIDS_RANDOMD_COST_REQUEST ? io.cost : XIDS_RANDOMD_COST_REQUEST;
        if (rc < 0 || io.in_used > 0 || io.out_len > 0) {
            rc = rc < 0 ? rc : 1;
            continue;
        }
        /* With a message waiting for room, more requests are no reason to wake up. */
        uint32_t room = io.wait > 0 ? (uint32_t)(io.out_room + io.wait) : 0;
        rc = xids_vchan_arm(ch, io.wait > 0 ? 0 : 1, room);
        /* A guest that left without reading its answers makes no room any more. */
        if (rc == 1 && io.wait > 0 && xids_vchan_state(ch) != XIDS_VCHAN_OPEN &&
            xids_vchan_state(ch) != XIDS_VCHAN_CONNECTING)
            rc = -XEN_ENOTCONN;
    }
    xids_wipe(in, sizeof(in));
    if (rc == 1) {
        int flushed = xids_vchan_flush(ch);
        if (flushed < 0)
            return flushed;
    }
    return rc;
}

static int client_round(struct xids_randomd_client *c, struct xids_vchan *ch, struct xids_randomd_io *io,
                        uint8_t in[RIGHT], uint64_t now)
{
    int n = xids_vchan_read(ch, in, RIGHT);
    if (n == 0)
        return -XEN_ENOTCONN;
    if (n < 0 && n != -XEN_EAGAIN)
        return n;
    io->in = in;
    io->in_len = n > 0 ? (size_t)n : 0;
    int rc = room_of(ch, LEFT, &io->out_room);
    if (rc < 0)
        return rc;
    rc = xids_randomd_client_step(c, io, now);
    int sent = put_out(ch, io);
    if (rc > 0)
        return -XEN_ENOTCONN;
    return rc < 0 ? rc : sent;
}

int xids_randomd_client_serve(struct xids_randomd_client *c, struct xids_vchan *ch, uint64_t now)
{
    uint8_t in[RIGHT], out[LEFT];
    struct xids_randomd_io io = {.out = out};
    int rc = 1;
    for (unsigned int i = 0; i < XIDS_RANDOMD_ROUNDS && rc == 1; i++) {
        rc = client_round(c, ch, &io, in, now);
        if (rc < 0 || io.in_len > 0 || io.out_len > 0) {
            rc = rc < 0 ? rc : 1;
            continue;
        }
        rc = xids_vchan_arm(ch, 1, io.wait > 0 ? (uint32_t)(io.out_room + io.wait) : 0);
    }
    xids_wipe(in, sizeof(in));
    if (rc == 1) {
        int flushed = xids_vchan_flush(ch);
        if (flushed < 0)
            return flushed;
    }
    return rc;
}
