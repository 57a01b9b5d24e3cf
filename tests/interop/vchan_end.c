/* SPDX-License-Identifier: ISC */
/* First: it has names that Xen's header makes macros of. */
#include "vchan/internal.h"

#include "tests/interop/vchan_end.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_MAX 8192u

struct report *report;

void wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(report->text, sizeof(report->text), format, args);
    va_end(args);
    exit(1);
}

/* The byte at an index of the left or the right ring. */
static uint8_t pattern(uint32_t index, bool left)
{
    return (uint8_t)(index * 7u + (index >> 8) * 13u + (index >> 16) + (left ? 3u : 90u));
}

void end_begin(struct end *e, enum implementation by, bool server, domid_t remote, const char *path)
{
    *e = (struct end){.by = by, .server = server, .remote = remote};
    (void)snprintf(e->path, sizeof(e->path), "%s", path);
    if (by != LIBXENVCHAN)
        MUST(xids_platform_xen_open(&e->platform, 0) == 0);
    MUST(xids_xs_open(&e->xs, NULL) == 0);
}

/* Until a node of the server's has at least that number. */
static void await_number(struct end *e, const char *suffix, uint32_t least)
{
    char node[sizeof(e->path) + 16];
    (void)snprintf(node, sizeof(node), "%s%s", e->path, suffix);
    MUST(xids_xs_watch(e->xs, node, e) == 0);
    uint32_t number = 0;
    while (xids_xs_read_u32(e->xs, &number, XIDS_XS_NO_TX, node) != 0 || number < least) {
        struct xids_xs_event event;
        MUST(xids_xs_next_event(e->xs, &event, -1) == 1);
    }
    (void)xids_xs_unwatch(e->xs, node, e);
}

void end_await_server(struct end *e)
{
    report->doing = "wait for a server";
    await_number(e, "/event-channel", 1);
}

/* Beside the channel's own folder, which libxenvchan removes. */
#define TOLD "-ends"

void end_tell(struct end *e, unsigned int ends)
{
    domid_t self = 0;
    char node[sizeof(e->path) + 16];
    (void)snprintf(node, sizeof(node), "%s" TOLD, e->path);
    MUST(xids_xs_own_domid(e->xs, &self) == 0);
    const struct xids_xs_perm perms[] = {{.domid = self, .access = XIDS_XS_NONE},
                                         {.domid = e->remote, .access = XIDS_XS_READ}};
    MUST(xids_xs_printf(e->xs, XIDS_XS_NO_TX, node, "%u", ends) == 0);
    MUST(xids_xs_set_perms(e->xs, XIDS_XS_NO_TX, node, perms, 2) == 0);
}

void end_await_told(struct end *e, unsigned int ends)
{
    report->doing = "wait until the server has seen the end before";
    if (ends > 0)
        await_number(e, TOLD, ends);
}

void end_untell(struct end *e)
{
    char node[sizeof(e->path) + 16];
    (void)snprintf(node, sizeof(node), "%s" TOLD, e->path);
    end_clear(e, node);
}

void end_clear(struct end *e, const char *path)
{
    int rc = xids_xs_rm(e->xs, XIDS_XS_NO_TX, path);
    MUST(rc == 0 || rc == -XEN_ENOENT);
}

static void open_real(struct end *e, unsigned int left, unsigned int right)
{
    if (e->server) {
        /* It publishes in a transaction, of which xenstored lets a domain have few at a time. */
        while ((e->real = libxenvchan_server_init(NULL, e->remote, e->path, (size_t)1 << left, (size_t)1 << right)) ==
               NULL)
            (void)usleep(1000);
    } else {
        /* It does not wait for its server. */
        end_await_server(e);
        while ((e->real = libxenvchan_client_init(NULL, e->remote, e->path)) == NULL)
            (void)usleep(1000);
    }
    e->real->blocking = 0;
    e->real->server_persist = 0;
}

void end_open(struct end *e, unsigned int left, unsigned int right, unsigned int flags)
{
    int rc = 0;
    report->doing = e->server ? "listen" : "connect";
    if (e->by == LIBXENVCHAN) {
        open_real(e, left, right);
        return;
    }
    flags |= e->by == XIDS_PLAIN ? XIDS_VCHAN_PLAIN : 0;
    rc = e->server ? xids_vchan_listen(&e->link, e->platform, e->xs, e->remote, e->path, left, right, flags)
                   : xids_vchan_connect(&e->link, e->platform, e->xs, e->remote, e->path, flags, -1);
    if (rc < 0)
        wrong("%s", strerror(-rc));
    e->ours = xids_vchan_of(e->link);
}

void end_await_client(struct end *e)
{
    report->doing = "wait for a client";
    if (e->ours != NULL)
        MUST(xids_vchan_wait_client(e->ours, UINT64_MAX) == 1);
    else
        while (libxenvchan_is_open(e->real) == VCHAN_NOT_YET)
            MUST(libxenvchan_wait(e->real) == 0);
}

void end_again(struct end *e)
{
    report->doing = "offer the channel again";
    if (e->ours != NULL)
        MUST(xids_vchan_reoffer(e->ours) == 0);
    else
        while (libxenvchan_is_open(e->real) == VCHAN_GONE)
            MUST(libxenvchan_wait(e->real) == 0);
}

void end_close(struct end *e)
{
    report->doing = "close";
    xids_vchan_unlink(e->link);
    libxenvchan_close(e->real);
    e->link = NULL;
    e->ours = NULL;
    e->real = NULL;
}

void end_finish(struct end *e)
{
    end_close(e);
    xids_platform_xen_close(e->platform);
    xids_xs_close(e->xs);
}

/* ---- moving bytes ---- */

static int read_real(struct end *e, uint8_t *data, uint32_t len, bool packet)
{
    for (int look = 0;; look++) {
        int n = packet ? libxenvchan_recv(e->real, data, len) : libxenvchan_read(e->real, data, len);
        if (n >= 0)
            return n > 0 ? n : END_NOTHING;
        /* It looks for bytes and then for the peer: what came in between it does not see, unless it looks again. */
        if (look > 0 || libxenvchan_data_ready(e->real) == 0)
            return END_GONE;
    }
}

static int read_ours(struct end *e, uint8_t *data, uint32_t len, bool packet)
{
    int n = packet ? xids_vchan_recv(e->ours, data, len) : xids_vchan_read(e->ours, data, len);
    if (n == -XEN_EAGAIN)
        return END_NOTHING;
    if (n == -XEN_ENODEV)
        return END_GONE;
    if (n < 0)
        wrong("reading: %s, %s", strerror(-n), xids_vchan_reason(e->ours));
    return n;
}

int end_read(struct end *e, uint32_t len, bool packet)
{
    static uint8_t data[PIECE_MAX];
    uint32_t at = end_in(e);
    len = len < PIECE_MAX ? len : PIECE_MAX;
    int n = e->ours != NULL ? read_ours(e, data, len, packet) : read_real(e, data, len, packet);
    for (int i = 0; i < n; i++)
        if (data[i] != pattern(at + (uint32_t)i, e->server))
            wrong("byte %u is %u, not %u", at + (uint32_t)i, data[i], pattern(at + (uint32_t)i, e->server));
    return n;
}

static uint32_t written(const struct end *e)
{
    return e->ours != NULL ? e->ours->out.own : e->real->write.shr->prod;
}

int end_write(struct end *e, uint32_t len, bool packet)
{
    static uint8_t data[PIECE_MAX];
    len = len < PIECE_MAX ? len : PIECE_MAX;
    for (uint32_t i = 0; i < len; i++)
        data[i] = pattern(written(e) + i, !e->server);
    if (e->ours == NULL) {
        int n = packet ? libxenvchan_send(e->real, data, len) : libxenvchan_write(e->real, data, len);
        return n > 0 ? n : n < 0 ? END_GONE : END_NOTHING;
    }
    int n = packet ? xids_vchan_send(e->ours, data, len) : xids_vchan_write(e->ours, data, len);
    if (n == -XEN_EAGAIN)
        return END_NOTHING;
    if (n == -XEN_ENOTCONN || n == -XEN_ENODEV)
        return END_GONE;
    if (n < 0)
        wrong("writing: %s, %s", strerror(-n), xids_vchan_reason(e->ours));
    return n;
}

void end_flush(struct end *e)
{
    if (e->ours != NULL)
        MUST(xids_vchan_flush(e->ours) == 0);
}

void end_sleep(struct end *e, uint32_t want_read, uint32_t want_write)
{
    if (e->ours != NULL) {
        int rc = xids_vchan_wait(e->ours, want_read, want_write, UINT64_MAX);
        if (rc != 1)
            wrong("waiting: %s, %s", strerror(-rc), xids_vchan_reason(e->ours));
    } else if (want_read != 0 || want_write != 0) {
        /* The call that found nothing has asked for an event. */
        MUST(libxenvchan_wait(e->real) == 0);
    } else {
        while (libxenvchan_is_open(e->real) != VCHAN_GONE)
            MUST(libxenvchan_wait(e->real) == 0);
    }
}

bool end_peer_waits(struct end *e, bool for_bytes)
{
    uint8_t bit = for_bytes ? VCHAN_NOTIFY_WRITE : VCHAN_NOTIFY_READ;
    if (e->ours != NULL && e->ours->extended) {
        /* It wants to be told when our index passes this. */
        uint32_t at = for_bytes ? VCHAN_LINE_PROD_EVENT : VCHAN_LINE_CONS_EVENT;
        uint32_t ours = for_bytes ? e->ours->out.published : e->ours->in.published;
        return (int32_t)(xids_peer_load(xids_vchan_peer_line_(e->ours) + at) - ours) > 0;
    }
    if (e->ours != NULL)
        return (xids_peer_load8(xids_vchan_asked_(e->ours)) & bit) != 0;
    const uint8_t *asked = e->server ? &e->real->ring->srv_notify : &e->real->ring->cli_notify;
    return (__atomic_load_n(asked, __ATOMIC_ACQUIRE) & bit) != 0;
}

/* ---- the extension ---- */

void end_shut(struct end *e)
{
    MUST(xids_vchan_shutdown(e->ours) == 0);
    int rc = xids_vchan_write(e->ours, "", 1);
    MUST(rc == -XEN_EINVAL || rc == -XEN_ENOTCONN);
}

void end_await_silence(struct end *e)
{
    const uint64_t patience = 200000000, pause = 50000000;
    int rc;
    for (;;) {
        uint64_t now = e->platform->ops->now(e->platform->ctx);
        rc = xids_vchan_heartbeat(e->ours, now, patience);
        if (rc != XIDS_VCHAN_OPEN)
            break;
        MUST(xids_vchan_wait(e->ours, 0, 0, now + pause) >= 0);
    }
    MUST(rc == XIDS_VCHAN_CLOSED);
}

void end_check_extension(struct end *e, enum implementation other)
{
    bool both = e->by == XIDS && other == XIDS;
    if (e->ours == NULL)
        return;
    MUST(xids_vchan_extended(e->ours) == both);
    if (both)
        return;
    /* The peer may have gone already. */
    int rc = xids_vchan_shutdown(e->ours);
    MUST(rc == -XEN_EOPNOTSUPP || rc == -XEN_ENOTCONN);
    rc = xids_vchan_heartbeat(e->ours, 0, 1);
    MUST(rc == -XEN_EOPNOTSUPP || rc == XIDS_VCHAN_DRAINING || rc == XIDS_VCHAN_CLOSED);
}

/* ---- what can be seen ---- */

uint32_t end_in_size(const struct end *e)
{
    return e->ours != NULL ? xids_vchan_read_size(e->ours) : 1u << e->real->read.order;
}

uint32_t end_out_size(const struct end *e)
{
    return e->ours != NULL ? xids_vchan_write_size(e->ours) : 1u << e->real->write.order;
}

uint32_t end_in(const struct end *e)
{
    return e->ours != NULL ? e->ours->in.own : e->real->read.shr->cons;
}

uint32_t end_in_published(const struct end *e)
{
    return e->ours != NULL ? xids_peer_load_acquire(e->ours->in.at.prod)
                           : __atomic_load_n(&e->real->read.shr->prod, __ATOMIC_ACQUIRE);
}

void end_check_gone(struct end *e, bool domain)
{
    report->doing = "see the end";
    if (end_in(e) != end_in_published(e))
        wrong("read up to %u, published were %u", end_in(e), end_in_published(e));
    if (e->ours == NULL) {
        MUST(end_read(e, 1, false) == END_GONE && end_write(e, 1, false) == END_GONE);
        return;
    }
    uint8_t byte = 0;
    MUST(xids_vchan_state(e->ours) == XIDS_VCHAN_CLOSED);
    MUST(xids_vchan_read(e->ours, &byte, 1) == (domain ? -XEN_ENODEV : 0));
    MUST(xids_vchan_recv(e->ours, &byte, 1) == (domain ? -XEN_ENODEV : 0));
    MUST(xids_vchan_write(e->ours, &byte, 1) == (domain ? -XEN_ENODEV : -XEN_ENOTCONN));
    MUST(xids_vchan_error(e->ours) == (domain ? -XEN_ENODEV : 0));
    MUST(xids_vchan_arm(e->ours, 1, 1) == 1);
    MUST(xids_vchan_wait(e->ours, 1, 1, UINT64_MAX) == 1);
}
