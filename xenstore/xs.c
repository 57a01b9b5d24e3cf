/* SPDX-License-Identifier: ISC */
/* The blocking xenstore client: connections, the pump, and one call's wait for its answer. */
#include "xenstore/xs_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "xenstore/device.h"

/* A program's bounds: any path can be watched. Untouched pages of it cost nothing. */
static const struct xids_xs_client_limits limits = {
    .requests = 1024,
    .watches = 4096,
    .transactions = 64,
    .watch_path = XENSTORE_ABS_PATH_MAX - 1,
    .out_bytes = 65536,
};

/* How much one pump reads at most, so that a busy store does not keep the program from its other work. */
#define PUMP_READS 16

/* ---- connections ---- */

/* Linux's numbers are Xen's. */
static int failed(void)
{
    return errno > 0 ? -errno : -XEN_EIO;
}

static int connect_socket(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof(addr.sun_path))
        return -XEN_ENAMETOOLONG;
    memcpy(addr.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed();
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        int rc = failed();
        close(fd);
        return rc;
    }
    return fd;
}

static int open_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return failed();
    if (S_ISSOCK(st.st_mode))
        return connect_socket(path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    return fd < 0 ? failed() : fd;
}

/* Opens path or, when it is NULL, the first that opens of those where libxenstore looks. */
static int open_any(const char *path)
{
    static const char *const devices[] = {"/dev/xen/xenbus", "/proc/xen/xenbus"};
    char daemon[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    if (path == NULL)
        path = getenv("XENSTORED_PATH");
    if (path != NULL)
        return open_path(path);
    const char *rundir = getenv("XENSTORED_RUNDIR");
    int n = snprintf(daemon, sizeof(daemon), "%s/socket", rundir != NULL ? rundir : "/run/xenstored");
    int first = n > 0 && (size_t)n < sizeof(daemon) ? open_path(daemon) : -XEN_ENAMETOOLONG;
    int fd = first;
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]) && fd < 0; i++)
        fd = open_path(devices[i]);
    /* The daemon's error says more than that this is no Xen domain. */
    return fd < 0 ? first : fd;
}

static int take_fd(struct xids_xs *xs, int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fstat(fd, &st) < 0)
        return failed();
    xs->fd = fd;
    xs->device = !S_ISSOCK(st.st_mode);
    xs->blocked = false;
    xs->whole = 0;
    return 0;
}

int xids_xs_attach(struct xids_xs **out, int fd)
{
    size_t size = xids_xs_client_size(&limits);
    struct xids_xs *xs = calloc(1, sizeof(*xs));
    void *mem = malloc(size);
    int rc = -XEN_ENOMEM;
    if (xs != NULL && mem != NULL) {
        TAILQ_INIT(&xs->watches);
        TAILQ_INIT(&xs->events);
        rc = take_fd(xs, fd);
        if (rc == 0)
            rc = xids_xs_client_init(&xs->client, mem, size, &limits);
    }
    if (rc < 0) {
        free(mem);
        free(xs);
        return rc;
    }
    *out = xs;
    return 0;
}

int xids_xs_open(struct xids_xs **out, const char *path)
{
    int fd = open_any(path);
    if (fd < 0)
        return fd;
    struct xids_xs *xs = NULL;
    int rc = xids_xs_attach(&xs, fd);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    xs->path = strdup(path != NULL ? path : "");
    if (xs->path == NULL) {
        xids_xs_close(xs);
        return -XEN_ENOMEM;
    }
    *out = xs;
    return 0;
}

void xids_xs_close(struct xids_xs *xs)
{
    if (xs == NULL)
        return;
    xids_xs_client_fini(xs->client);
    xsb_watches_free(xs);
    if (xs->fd >= 0)
        close(xs->fd);
    free(xs->client);
    free(xs->path);
    free(xs);
}

int xids_xs_reconnect(struct xids_xs *xs)
{
    if (xs->path == NULL)
        return -XEN_ENOSYS;
    int fd = open_any(xs->path[0] != '\0' ? xs->path : NULL);
    if (fd < 0)
        return fd;
    int old = xs->fd;
    int rc = take_fd(xs, fd);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    close(old);
    xids_xs_client_reset(xs->client);
    return 0;
}

void xids_xs_set_timeout(struct xids_xs *xs, unsigned int ms)
{
    xs->timeout_ms = ms;
}

const char *xids_xs_reason(const struct xids_xs *xs)
{
    return xids_xs_client_reason(xs->client);
}

int xids_xs_fd(const struct xids_xs *xs)
{
    return xs->fd;
}

bool xids_xs_wants_write(struct xids_xs *xs)
{
    const uint8_t *span;
    size_t len = xids_xs_client_error(xs->client) == 0 ? xids_xs_client_output(xs->client, &span) : 0;
    return len > 0 && (!xs->device || xids_device_portion(xs->client, &xs->whole, span, len) > 0);
}

struct xids_xs_client *xids_xs_client(struct xids_xs *xs)
{
    return xs->client;
}

/* ---- the pump ---- */

static void lost(struct xids_xs *xs, int rc)
{
    if (rc == -EPIPE || rc == -ECONNRESET || rc == 0)
        xids_xs_client_fail(xs->client, -XEN_ENOTCONN, "the store closed the connection");
    else
        xids_xs_client_fail(xs->client, rc, "the connection to the store failed");
}

void xsb_flush(struct xids_xs *xs)
{
    const uint8_t *span;
    size_t len;
    xs->blocked = false;
    while (xids_xs_client_error(xs->client) == 0 && (len = xids_xs_client_output(xs->client, &span)) > 0) {
        if (xs->device && (len = xids_device_portion(xs->client, &xs->whole, span, len)) == 0)
            return;
        ssize_t n = xs->device ? write(xs->fd, span, len) : send(xs->fd, span, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            xs->blocked = true;
            return;
        }
        if (n <= 0) {
            lost(xs, n == 0 ? -XEN_EIO : failed());
            return;
        }
        if (xs->device)
            xs->whole -= (uint32_t)n;
        xids_xs_client_sent(xs->client, (size_t)n);
    }
}

/* True when something came. */
static bool read_ready(struct xids_xs *xs)
{
    uint8_t bytes[4096];
    bool any = false;
    for (int i = 0; i < PUMP_READS && xids_xs_client_error(xs->client) == 0; i++) {
        ssize_t n = read(xs->fd, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        any = true;
        if (n <= 0) {
            lost(xs, n == 0 ? 0 : failed());
            break;
        }
        /* Its error is the client's, and sticks. */
        if (xids_xs_client_input(xs->client, bytes, (size_t)n) < 0 || (!xs->device && (size_t)n < sizeof(bytes)))
            break;
    }
    return any;
}

int xids_xs_pump(struct xids_xs *xs)
{
    xsb_flush(xs);
    /* Callbacks make requests: they go out now, not at some next event. */
    if (xids_xs_client_error(xs->client) == 0 && read_ready(xs))
        xsb_flush(xs);
    return xids_xs_client_error(xs->client);
}

/* ---- waiting ---- */

uint64_t xsb_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t xsb_deadline(const struct xids_xs *xs)
{
    return xs->timeout_ms == 0 ? UINT64_MAX : xsb_now() + (uint64_t)xs->timeout_ms * 1000000u;
}

int xsb_wait(struct xids_xs *xs, uint64_t deadline)
{
    xsb_flush(xs);
    int rc = xids_xs_client_error(xs->client);
    if (rc < 0)
        return rc;
    int ms = -1;
    if (deadline != UINT64_MAX) {
        uint64_t now = xsb_now();
        if (now >= deadline)
            return -XEN_ETIMEDOUT;
        uint64_t left = (deadline - now + 999999u) / 1000000u;
        ms = left < 1000000u ? (int)left : 1000000;
    }
    struct pollfd p = {.fd = xs->fd, .events = xs->blocked ? POLLIN | POLLOUT : POLLIN};
    int n = poll(&p, 1, ms);
    if (n < 0 && errno != EINTR)
        return failed();
    if (n > 0)
        return xids_xs_pump(xs);
    return 0;
}

static void take_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xsb_reply *rep = ctx;
    rep->done = true;
    rep->rc = rc;
    rep->len = len;
    if (rc < 0 || !rep->keep)
        return;
    rep->data = malloc((size_t)len + 1u);
    if (rep->data == NULL) {
        rep->rc = -XEN_ENOMEM;
        return;
    }
    if (len > 0)
        memcpy(rep->data, payload, len);
    rep->data[len] = '\0';
}

int xsb_call(struct xids_xs *xs, struct xsb_reply *rep, uint32_t type, uint32_t tx,
             const struct xids_xswire_part *parts, unsigned int count)
{
    uint64_t deadline = xsb_deadline(xs);
    int rc = xids_xs_client_request(xs->client, type, tx, parts, count, take_reply, rep);
    while (rc == -XEN_EBUSY) {
        rc = xsb_wait(xs, deadline);
        if (rc == 0)
            rc = xids_xs_client_request(xs->client, type, tx, parts, count, take_reply, rep);
    }
    if (rc < 0)
        return rc;
    while (!rep->done && rc == 0)
        rc = xsb_wait(xs, deadline);
    if (rep->done)
        return rep->rc;
    (void)xids_xs_client_cancel(xs->client, take_reply, rep);
    return rc;
}
