/* SPDX-License-Identifier: ISC */
#include "tests/unit/vchan_subject.h"

#include <stdlib.h>
#include <string.h>

enum { CANARY = 0xc5 };

#define MUST(condition)              \
    do {                             \
        if (!(condition))            \
            hook_failed(#condition); \
    } while (0)

void vs_new(struct vs *s, struct hw *w, int d)
{
    uint8_t *mem = malloc(VS_BUFFER + 2 * VS_GUARD);
    *s = (struct vs){.w = w, .d = d, .ch = calloc(1, xids_vchan_size())};
    if (mem == NULL || s->ch == NULL)
        abort();
    memset(mem, CANARY, VS_BUFFER + 2 * VS_GUARD);
    s->buffer = mem + VS_GUARD;
}

void vs_free(struct vs *s)
{
    free(s->buffer - VS_GUARD);
    free(s->ch);
}

/* Whether nothing was written around the first len bytes of the buffer. */
static bool intact(const struct vs *s, uint32_t len)
{
    for (int i = 1; i <= VS_GUARD; i++)
        if (s->buffer[-i] != CANARY)
            return false;
    for (uint32_t i = len; i < len + VS_GUARD; i++)
        if (s->buffer[i] != CANARY)
            return false;
    return true;
}

static bool broken(const struct vs *s, int rc)
{
    return rc < 0 && rc == xids_vchan_error(s->ch);
}

static bool reads(enum vs_what what)
{
    return what == VS_READ || what == VS_RECV || what == VS_PEEK || what == VS_READV || what == VS_RECVV ||
           what == VS_PEEKV;
}

static bool moves_packet(enum vs_what what)
{
    return what == VS_SEND || what == VS_RECV || what == VS_SENDV || what == VS_RECVV;
}

static bool shows_span(enum vs_what what)
{
    return what == VS_PEEK || what == VS_RESERVE || what == VS_PEEKV || what == VS_RESERVEV;
}

/* What a call that moves up to len bytes may say. */
static void check_moved(const struct vs *s, enum vs_what what, uint32_t len, int rc)
{
    uint32_t ring = reads(what) ? xids_vchan_read_size(s->ch) : xids_vchan_write_size(s->ch);
    if (broken(s, rc) || (rc == -XEN_EMSGSIZE && moves_packet(what) && len > ring))
        return;
    if (rc < 0 && reads(what))
        MUST(rc == -XEN_EAGAIN || (rc == -XEN_ENODATA && moves_packet(what)));
    else if (rc < 0)
        MUST(rc == -XEN_EAGAIN || rc == -XEN_ENOTCONN || (rc == -XEN_EINVAL && s->shut));
    if (rc < 0)
        return;
    MUST((uint32_t)rc <= ring);
    /* 0 is the end, for who reads. */
    MUST(rc != 0 || reads(what) || len == 0);
    if (shows_span(what))
        return;
    MUST((uint32_t)rc <= len);
    MUST(!moves_packet(what) || rc == 0 || (uint32_t)rc == len);
}

static void use_spans(struct vs *s, enum vs_what what, const struct xids_vchan_span *spans, int n, uint32_t most)
{
    uint32_t used = 0;
    MUST(spans[0].len + spans[1].len == (uint32_t)n);
    for (int i = 0; i < 2; i++) {
        uint32_t len = spans[i].len < most - used ? spans[i].len : most - used;
        if (len != 0 && reads(what))
            xids_peer_get(s->buffer + used % 64, spans[i].data, len < 4096 ? len : 4096);
        else if (len != 0)
            xids_peer_put(spans[i].data, s->buffer, len < 4096 ? len : 4096);
        used += len;
    }
    /* What was shown can be taken, unless the channel broke meanwhile; more than the ring cannot. */
    uint32_t ring = reads(what) ? xids_vchan_read_size(s->ch) : xids_vchan_write_size(s->ch);
    MUST((reads(what) ? xids_vchan_consume(s->ch, ring + 1) : xids_vchan_commit(s->ch, ring + 1)) < 0);
    int rc = reads(what) ? xids_vchan_consume(s->ch, used) : xids_vchan_commit(s->ch, used);
    MUST(rc == 0 || broken(s, rc));
}

static int move_pieces(struct vs *s, enum vs_what what, uint32_t len)
{
    /* Unequal, with an empty one between. */
    uint32_t first = len / 3;
    struct xids_vchan_iov iov[] = {{s->buffer, first}, {NULL, 0}, {s->buffer + first, len - first}};
    return what == VS_WRITEV  ? xids_vchan_writev(s->ch, iov, 3)
           : what == VS_READV ? xids_vchan_readv(s->ch, iov, 3)
           : what == VS_SENDV ? xids_vchan_sendv(s->ch, iov, 3)
                              : xids_vchan_recvv(s->ch, iov, 3);
}

static int show(struct vs *s, enum vs_what what, uint32_t want, struct xids_vchan_span spans[2])
{
    const uint8_t XIDS_PEER *in = NULL;
    uint8_t XIDS_PEER *out = NULL;
    if (what == VS_PEEKV)
        return xids_vchan_peekv(s->ch, spans, want);
    if (what == VS_RESERVEV)
        return xids_vchan_reservev(s->ch, spans, want);
    int rc = what == VS_PEEK ? xids_vchan_peek(s->ch, &in, want) : xids_vchan_reserve(s->ch, &out, want);
    spans[0].data = what == VS_PEEK ? XIDS_PEER_RAW(uint8_t XIDS_PEER, in) : out;
    spans[0].len = rc > 0 ? (uint32_t)rc : 0;
    spans[1] = (struct xids_vchan_span){0};
    return rc;
}

static void move(struct vs *s, enum vs_what what, uint32_t a, uint32_t b)
{
    struct xids_vchan_span spans[2] = {{0}};
    uint32_t len = a < VS_BUFFER ? a : VS_BUFFER;
    int rc = 0;
    if (reads(what))
        memset(s->buffer, CANARY, VS_BUFFER);
    if (shows_span(what))
        rc = show(s, what, a, spans);
    else if (what == VS_READ)
        rc = xids_vchan_read(s->ch, s->buffer, len);
    else if (what == VS_WRITE)
        rc = xids_vchan_write(s->ch, s->buffer, len);
    else if (what == VS_RECV)
        rc = xids_vchan_recv(s->ch, s->buffer, len);
    else if (what == VS_SEND)
        rc = xids_vchan_send(s->ch, s->buffer, len);
    else
        rc = move_pieces(s, what, len);
    check_moved(s, what, len, rc);
    if (reads(what) && !shows_span(what))
        MUST(intact(s, rc > 0 ? (uint32_t)rc : 0));
    if (rc > 0 && shows_span(what))
        use_spans(s, what, spans, rc, b);
}

static bool is_state(int state)
{
    return state >= XIDS_VCHAN_CONNECTING && state <= XIDS_VCHAN_BROKEN;
}

static bool state_is_known(enum xids_vchan_state state)
{
    return is_state((int)state);
}

/* Those that return a count, or 0. */
static void call(struct vs *s, enum vs_what what, uint32_t a, uint32_t b)
{
    struct xids_vchan *ch = s->ch;
    uint32_t in = xids_vchan_read_size(ch), out = xids_vchan_write_size(ch);
    int rc = 0;
    if (what == VS_READABLE) {
        rc = xids_vchan_readable(ch);
        MUST(broken(s, rc) || (rc >= 0 && (uint32_t)rc <= in));
    } else if (what == VS_WRITABLE) {
        rc = xids_vchan_writable(ch);
        MUST(broken(s, rc) || rc == -XEN_ENOTCONN || (rc == -XEN_EINVAL && s->shut) ||
             (rc >= 0 && (uint32_t)rc <= out));
    } else if (what == VS_FLUSH) {
        rc = xids_vchan_flush(ch);
        MUST(broken(s, rc) || rc == 0);
    } else if (what == VS_ARM) {
        rc = xids_vchan_arm(ch, a, b);
        MUST(broken(s, rc) || rc == 0 || rc == 1 || (rc == -XEN_EMSGSIZE && (a > in || b > out)));
    } else if (what == VS_REOFFER) {
        rc = xids_vchan_reoffer(ch);
        MUST(broken(s, rc) || rc == 0 || rc == -XEN_EBUSY || (rc == -XEN_EINVAL && s->d == 1));
        s->shut &= rc != 0;
    } else if (what == VS_SHUTDOWN) {
        rc = xids_vchan_shutdown(ch);
        MUST(broken(s, rc) || rc == 0 || rc == -XEN_EOPNOTSUPP || rc == -XEN_EAGAIN || rc == -XEN_ENOTCONN);
        s->shut |= rc == 0;
    } else {
        rc = xids_vchan_heartbeat(ch, a, b);
        MUST(is_state(rc) || rc == -XEN_EOPNOTSUPP);
    }
}

/* An error stays what it was, and has a reason. That a peer was lost is forgotten when another is looked for. */
static void check_error(struct vs *s)
{
    int now = xids_vchan_error(s->ch);
    MUST(s->error == 0 || s->error == -XEN_ENODEV || now == s->error);
    MUST(now == 0 || now == -XEN_EBADMSG || now == -XEN_ENODEV);
    MUST(now == 0 || xids_vchan_reason(s->ch)[0] != 0);
    s->error = now;
}

void vs_do(struct vs *s, enum vs_what what, uint32_t a, uint32_t b)
{
    int was = hw_run(s->w, s->d);
    hook_limit(VS_CALL_ACCESSES);
    if (what < VS_READABLE) {
        move(s, what, a, b);
    } else if (what == VS_EVENT) {
        (void)hw_take(s->w, s->d, xids_vchan_port(s->ch));
        MUST(state_is_known(xids_vchan_event(s->ch)));
    } else if (what == VS_STATE) {
        MUST(state_is_known(xids_vchan_state(s->ch)));
    } else if (what == VS_CHECK_PEER) {
        MUST(state_is_known(xids_vchan_check_peer(s->ch)));
    } else if (what == VS_PEER_DIED) {
        MUST(state_is_known(xids_vchan_peer_died(s->ch)));
    } else {
        call(s, what, a, b);
    }
    check_error(s);
    (void)hw_run(s->w, was);
}

static bool made(struct vs *s, int rc, unsigned int flags)
{
    s->up = rc == 0;
    s->shut = false;
    s->error = 0;
    s->flags = flags;
    if (s->up)
        check_error(s);
    return s->up;
}

bool vs_serve(struct vs *s, unsigned int left, unsigned int right, unsigned int flags)
{
    int was = hw_run(s->w, s->d);
    hook_limit(VS_INIT_ACCESSES);
    int rc = xids_vchan_server_init(s->ch, &s->w->domain[s->d].platform, HW_DOMID(1 - s->d), left, right, flags);
    MUST(rc == 0 || rc == -XEN_EBADMSG);
    (void)hw_run(s->w, was);
    return made(s, rc, flags);
}

bool vs_connect(struct vs *s, grant_ref_t ref, evtchn_port_t port, unsigned int flags)
{
    int was = hw_run(s->w, s->d);
    hook_limit(VS_INIT_ACCESSES);
    int rc = xids_vchan_client_init(s->ch, &s->w->domain[s->d].platform, HW_DOMID(1 - s->d), ref, port, flags);
    MUST(rc == 0 || rc == -XEN_EBADMSG || rc == -XEN_ECONNREFUSED || rc == -XEN_EBUSY || rc == -XEN_EACCES ||
         rc == -XEN_EINVAL);
    (void)hw_run(s->w, was);
    return made(s, rc, flags);
}

void vs_leave(struct vs *s)
{
    int was = hw_run(s->w, s->d);
    hook_limit(VS_CALL_ACCESSES);
    if (s->up)
        xids_vchan_fini(s->ch);
    s->up = false;
    (void)hw_run(s->w, was);
}
