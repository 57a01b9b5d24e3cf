/* SPDX-License-Identifier: ISC */
/* A vchan service in a program that has nothing else to do: its events, its xenstore connection, its sleep. */
#include <xids/vchan_open.h>

#include <errno.h>
#include <poll.h>

#define MS UINT64_C(1000000)

/* How many events one turn takes at most: clients can send them without end. */
#define EVENTS_AT_ONCE 64

/* How long, in ms, until a lost connection to the store is tried again. */
#define RECONNECT_MS 100

static int take_events(struct xids_vchan_service *s, const struct xids_platform *p)
{
    const struct xids_part *part = xids_vchan_service_part(s);
    int port = 0;
    for (int i = 0; i < EVENTS_AT_ONCE && (port = p->ops->evtchn_pending(p->ctx)) > 0; i++)
        if (!part->event(part->ctx, (evtchn_port_t)port))
            (void)p->ops->evtchn_unmask(p->ctx, (evtchn_port_t)port);
    return port < 0 ? port : 0;
}

/* Carries requests and answers. *up: there is a connection. */
static int talk(struct xids_xs *xs, bool *up)
{
    int rc = xids_xs_pump(xs);
    if (rc == -XEN_ENOTCONN || rc == -XEN_EIO) {
        rc = xids_xs_reconnect(xs);
        *up = rc == 0;
        return rc == -XEN_ENOSYS ? -XEN_ENOTCONN : 0;
    }
    *up = rc == 0;
    return rc;
}

int xids_vchan_service_turn(struct xids_vchan_service *s, struct xids_platform *p, int event_fd, struct xids_xs *xs,
                            int timeout_ms)
{
    const struct xids_part *part = xids_vchan_service_part(s);
    bool up = false;
    int rc = take_events(s, p);
    if (rc == 0)
        rc = talk(xs, &up);
    if (rc < 0)
        return rc;
    uint64_t next = part->step(part->ctx, p->ops->now(p->ctx));
    rc = talk(xs, &up);
    if (rc < 0)
        return rc;
    uint64_t now = p->ops->now(p->ctx);
    uint64_t wait = next <= now ? 0 : (next - now) / MS + (next != UINT64_MAX);
    int ms = timeout_ms >= 0 && (uint64_t)timeout_ms < wait ? timeout_ms : wait < INT32_MAX ? (int)wait : -1;
    if (!up && (ms < 0 || ms > RECONNECT_MS))
        ms = RECONNECT_MS;
    struct pollfd fds[] = {{.fd = event_fd, .events = POLLIN}, {.fd = up ? xids_xs_fd(xs) : -1, .events = POLLIN}};
    if (up && xids_xs_wants_write(xs))
        fds[1].events |= POLLOUT;
    int n = poll(fds, 2, ms);
    if (n < 0)
        return errno == EINTR ? -XEN_EINTR : -errno;
    return n > 0 || ms != timeout_ms;
}
