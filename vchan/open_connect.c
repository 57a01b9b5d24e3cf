/* SPDX-License-Identifier: ISC */
/* vchan, meeting through xenstore: a client's way to a server that is there, or comes, at a path or by its name. */
#include "vchan/internal.h"
#include "vchan/open_internal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * The pauses between attempts, in ms. A server whose port is taken, or that offers its channel once more, changes
 * nothing in the store; and one that writes its node without end is no reason to try without end.
 */
#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 5000

/* What the store has to answer at least, in ms, though there be no time left to wait for a server. */
#define ANSWER_MS 1000

#define MS UINT64_C(1000000)

/* One search: what is given, and what is known by now. */
struct search {
    const struct xids_platform *platform;
    struct xids_xs *xs;
    struct xids_vchan_link *link;
    const char *name; /* NULL: the path is given */
    char *pointer;    /* where our own tree says in which domain the service is; NULL: it is given */
    char *port_path;  /* watched; NULL: not known yet */
    char *ref_path;
    uint32_t watches[2]; /* of port_path and pointer; 0: none */
    uint64_t start;
    int timeout_ms;
    int pause; /* after the next attempt that fails, in ms */
    unsigned int flags;
    domid_t remote;
    bool known;   /* remote is */
    bool changed; /* a watch has told something */
};

/* Not the platform's clock: what is waited for here is a socket. */
static uint64_t now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static void on_watch(void *ctx, int what, const char *path)
{
    struct search *s = ctx;
    (void)path;
    if (what == XIDS_XS_WATCH_FIRED)
        s->changed = true;
}

static int watch(struct search *s, unsigned int i, const char *path)
{
    if (s->watches[i] != 0)
        (void)xids_xs_client_unwatch(xids_xs_client(s->xs), s->watches[i]);
    s->watches[i] = 0;
    return xids_xs_client_watch(xids_xs_client(s->xs), &s->watches[i], path, on_watch, s);
}

/* Sets the path of the link, and watches it. */
static int aim(struct search *s, const char *path)
{
    free(s->port_path);
    free(s->ref_path);
    free(s->link->path);
    s->link->path = strdup(path);
    s->port_path = xids_link_under_(path, "event-channel");
    s->ref_path = xids_link_under_(path, "ring-ref");
    if (s->link->path == NULL || s->port_path == NULL || s->ref_path == NULL)
        return -XEN_ENOMEM;
    return watch(s, 0, s->port_path);
}

static int aim_at_name(struct search *s, domid_t remote)
{
    char *path = NULL;
    int rc = xids_vchan_path(&path, remote, s->platform->domid, s->name);
    if (rc == 0)
        rc = aim(s, path);
    free(path);
    s->remote = remote;
    s->known = rc == 0;
    return rc;
}

/* One node's number, on its way. */
struct answer {
    uint32_t number;
    int rc;
    bool there;
};

static void on_number(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct answer *a = ctx;
    a->there = true;
    a->rc = rc < 0 ? rc : xids_xswire_decimal(&a->number, payload, len, UINT32_MAX);
}

/* Serves the connection until the answer is there, a signal comes, or the time is over. */
static int await(struct search *s, const struct answer *a)
{
    const uint64_t least = now_ns() + ANSWER_MS * MS, most = s->start + (uint64_t)s->timeout_ms * MS;
    const uint64_t until = s->timeout_ms < 0 ? UINT64_MAX : least > most ? least : most;
    for (;;) {
        int rc = xids_xs_pump(s->xs);
        if (rc < 0 || a->there)
            return a->there ? a->rc : rc;
        uint64_t now = now_ns();
        if (now >= until)
            return -XEN_ETIMEDOUT;
        struct pollfd p = {.fd = xids_xs_fd(s->xs), .events = POLLIN};
        if (xids_xs_wants_write(s->xs))
            p.events |= POLLOUT;
        uint64_t ms = (until - now + MS - 1) / MS;
        if (poll(&p, 1, s->timeout_ms < 0 ? -1 : ms < INT_MAX ? (int)ms : INT_MAX) < 0)
            return errno == EINTR ? -XEN_EINTR : -errno;
    }
}

/* Reads a number. Not at all to wait for a server is to wait for the store as long as its handle says. */
static int read_number(struct search *s, uint32_t *number, const char *path)
{
    struct xids_xs_client *c = xids_xs_client(s->xs);
    struct answer a = {0};
    if (s->timeout_ms == 0)
        return xids_xs_read_u32(s->xs, number, XIDS_XS_NO_TX, path);
    int rc = xids_xs_client_read(c, XIDS_XS_NO_TX, path, on_number, &a);
    if (rc == 0)
        rc = await(s, &a);
    if (rc == 0)
        *number = a.number;
    else if (!a.there)
        (void)xids_xs_client_cancel(c, on_number, &a);
    return rc;
}

/* By name alone: the domain that our own tree names, now. */
static int ask_where(struct search *s)
{
    uint32_t remote = 0;
    int rc = read_number(s, &remote, s->pointer);
    if (rc < 0)
        return rc;
    if (remote >= DOMID_FIRST_RESERVED)
        return -XEN_EINVAL;
    return s->known && s->remote == remote ? 0 : aim_at_name(s, (domid_t)remote);
}

/* Reads both numbers and tries them. */
static int attempt(struct search *s)
{
    uint32_t port = 0, ref = 0, port_after = 0;
    int rc = s->pointer != NULL ? ask_where(s) : 0;
    if (rc == 0)
        rc = read_number(s, &port, s->port_path);
    if (rc == 0)
        rc = read_number(s, &ref, s->ref_path);
    if (rc == 0)
        rc = read_number(s, &port_after, s->port_path);
    if (rc < 0)
        return rc;
    if (port != port_after || port == 0)
        return -XEN_EINVAL;
    rc = xids_vchan_client_init(s->link->ch, s->platform, s->remote, ref, port, s->flags);
    /* What old numbers stand for by now need not be a control page, or not yet. */
    return rc == -XEN_EBADMSG ? -XEN_ECONNREFUSED : rc;
}

/* Whether an error only says that no living server is to be seen yet. */
static bool not_yet(int rc)
{
    return rc == -XEN_ENOENT || rc == -XEN_EACCES || rc == -XEN_EINVAL || rc == -XEN_ECONNREFUSED ||
           rc == -XEN_ENODEV || rc == -XEN_EBUSY || rc == -XEN_ERANGE || rc == -XEN_ESRCH || rc == -XEN_EIO;
}

/* The time left, at most ms. */
static int left(const struct search *s, int ms)
{
    if (s->timeout_ms < 0)
        return ms;
    uint64_t passed = (now_ns() - s->start) / MS;
    int rest = passed < (uint64_t)s->timeout_ms ? s->timeout_ms - (int)passed : 0;
    return rest < ms ? rest : ms;
}

/* Sleeps up to ms, or until the store says something (unless deaf). 0: it has, or the time is over; or an error. */
static int doze(struct search *s, int ms, bool deaf)
{
    const uint64_t until = now_ns() + (uint64_t)ms * MS;
    for (;;) {
        int rc = xids_xs_pump(s->xs);
        uint64_t now = now_ns();
        if (rc < 0 || (s->changed && !deaf) || now >= until)
            return rc;
        struct pollfd p = {.fd = xids_xs_fd(s->xs), .events = POLLIN};
        if (xids_xs_wants_write(s->xs))
            p.events |= POLLOUT;
        if (poll(&p, 1, (int)((until - now + MS - 1) / MS)) < 0)
            return errno == EINTR ? -XEN_EINTR : -errno;
    }
}

/* The store's daemon has gone: waits for the next one, as long as there is time. */
static int reconnect(struct search *s)
{
    for (int pause = PAUSE_MIN_MS;; pause = 2 * pause < PAUSE_MAX_MS ? 2 * pause : PAUSE_MAX_MS) {
        int rc = xids_xs_reconnect(s->xs), rest = left(s, pause);
        if (rc == 0 || rc == -XEN_ENOSYS)
            return rc < 0 ? -XEN_ENOTCONN : 0;
        if (rest == 0)
            return -XEN_ETIMEDOUT;
        if (poll(NULL, 0, rest) < 0)
            return errno == EINTR ? -XEN_EINTR : -errno;
    }
}

/* After an attempt that failed with rc: until it is time for another. */
static int pause_after(struct search *s, int rc)
{
    /* A node that comes is told of by the watch; the numbers that are there may become good without a word. */
    bool told = rc == -XEN_ENOENT || rc == -XEN_EACCES;
    int rest = left(s, PAUSE_MIN_MS), pause = told ? PAUSE_MAX_MS : s->pause;
    if (rest == 0)
        return -XEN_ETIMEDOUT;
    if (!told)
        s->pause = 2 * pause < PAUSE_MAX_MS ? 2 * pause : PAUSE_MAX_MS;
    rc = doze(s, rest, true);
    if (rc == 0)
        rc = doze(s, left(s, pause - PAUSE_MIN_MS), false);
    return rc;
}

/* Tries, and tries again at each change of the watched nodes and from time to time, until the deadline. */
static int seek(struct search *s)
{
    for (;;) {
        s->changed = false;
        int rc = attempt(s);
        if (not_yet(rc))
            rc = pause_after(s, rc);
        else if (rc == 0)
            return 0;
        if (rc == -XEN_ENOTCONN)
            rc = reconnect(s);
        if (rc < 0)
            return rc;
    }
}

/* Ends the search. The link is the caller's when it was found. */
static int finish(struct search *s, struct xids_vchan_link **result, int rc)
{
    for (unsigned int i = 0; i < 2; i++)
        if (s->watches[i] != 0)
            (void)xids_xs_client_unwatch(xids_xs_client(s->xs), s->watches[i]);
    (void)!xids_xs_pump(s->xs);
    free(s->port_path);
    free(s->ref_path);
    free(s->pointer);
    if (rc < 0) {
        xids_link_free_(s->link);
        return rc;
    }
    xids_link_attend_(s->link);
    *result = s->link;
    return 0;
}

static void begin(struct search *s, const struct xids_platform *platform, struct xids_xs *xs, unsigned int flags,
                  int timeout_ms)
{
    *s = (struct search){.platform = platform, .xs = xs, .flags = flags, .timeout_ms = timeout_ms};
    s->pause = PAUSE_MIN_MS;
    s->start = now_ns();
    s->link = xids_link_new_(xs, NULL);
}

int xids_vchan_connect(struct xids_vchan_link **result, const struct xids_platform *platform, struct xids_xs *xs,
                       domid_t remote, const char *path, unsigned int flags, int timeout_ms)
{
    struct search s;
    *result = NULL;
    begin(&s, platform, xs, flags, timeout_ms);
    s.remote = remote;
    int rc = s.link == NULL ? -XEN_ENOMEM : aim(&s, path);
    return finish(&s, result, rc < 0 ? rc : seek(&s));
}

int xids_vchan_connect_name(struct xids_vchan_link **result, const struct xids_platform *platform, struct xids_xs *xs,
                            domid_t remote, const char *name, unsigned int flags, int timeout_ms)
{
    static const char folder[] = XIDS_VCHAN_POINTERS;
    struct search s;
    *result = NULL;
    if (name[0] == '\0' || (remote >= DOMID_FIRST_RESERVED && remote != DOMID_INVALID))
        return -XEN_EINVAL;
    begin(&s, platform, xs, flags, timeout_ms);
    s.name = name;
    int rc = s.link == NULL ? -XEN_ENOMEM : 0;
    if (rc == 0 && remote != DOMID_INVALID) {
        rc = aim_at_name(&s, remote);
    } else if (rc == 0) {
        s.pointer = xids_link_under_(folder, name);
        rc = s.pointer == NULL ? -XEN_ENOMEM : watch(&s, 1, s.pointer);
    }
    return finish(&s, result, rc < 0 ? rc : seek(&s));
}
