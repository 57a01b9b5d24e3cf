/* SPDX-License-Identifier: ISC */
/* The trace file: a ring in a shared mapping, so that it costs a copy for each message and outlives the daemon. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "xenstore/xenstored.h"

/* Where C xenstored looks for names that are not absolute. */
#define FOLDER "/var/lib/xenstored"

static const char *const switches[] = {"obj", "io", "wrl", "acc", "tdb"};

enum {
    SWITCH_OBJ = 1,
    SWITCH_IO = 2,
};

struct tracing {
    struct daemon *daemon;
    char *file;             /* NULL: none has been named */
    void *memory;           /* NULL: off */
    struct trace_ring ring; /* in it */
    struct xids_xs_tracer tracer;
    uint32_t switches;
};

/* ---- switches ---- */

const uint32_t tracing_switches_default = SWITCH_OBJ | SWITCH_IO;

bool tracing_switch(uint32_t *set, const char *text, size_t len)
{
    for (unsigned int i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
        if (len != strlen(switches[i]) + 1 || memcmp(text + 1, switches[i], len - 1) != 0)
            continue;
        if (text[0] == '+')
            *set |= 1u << i;
        else if (text[0] == '-')
            *set &= ~(1u << i);
        else
            return false;
        return true;
    }
    return false;
}

/* ---- records ---- */

static uint64_t now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void record(struct tracing *t, uint16_t kind, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg)
{
    int domid = xids_xs_conn_domid(conn);
    const struct trace_record rec = {.kind = kind,
                                     .domid = (uint16_t)(domid >= 0 ? (uint32_t)domid : t->daemon->options->own_domid),
                                     .time = now(),
                                     .conn = domid >= 0 ? (uint32_t)domid : client_number(conn),
                                     .type = msg->type,
                                     .req_id = msg->req_id,
                                     .tx_id = msg->tx_id,
                                     .len = msg->len};
    if (msg->len <= XIDS_XSWIRE_PAYLOAD_MAX)
        trace_put(&t->ring, &rec, msg->payload);
}

static void on_request(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg)
{
    record(ctx, TRACE_REQUEST, conn, msg);
}

static void on_message(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg)
{
    record(ctx, msg->type == XS_WATCH_EVENT ? TRACE_EVENT : TRACE_ANSWER, conn, msg);
}

void tracing_note(const struct daemon *d, enum trace_kind kind, uint32_t conn, uint16_t domid, int result)
{
    struct tracing *t = d->tracing;
    if (t == NULL || t->memory == NULL || (t->switches & SWITCH_OBJ) == 0)
        return;
    const struct trace_record rec = {
        .kind = (uint16_t)kind, .domid = domid, .time = now(), .conn = conn, .result = result};
    trace_put(&t->ring, &rec, NULL);
}

/* ---- the file ---- */

/* Writes more text; what has no room is cut off. */
__attribute__((format(printf, 4, 5))) static void add(char *text, size_t room, size_t *len, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text + *len, room - *len, format, args);
    va_end(args);
    if (n > 0)
        *len += (size_t)n < room - *len ? (size_t)n : room - *len - 1;
}

static size_t settings_text(const struct daemon *d, char *text, size_t room)
{
    static const char *const names[] = {"nodes",       "watches",      "outstanding",       "memory",
                                        "soft-memory", "transactions", "transaction-nodes", "node-permissions",
                                        "path-max",    "node-size"};
    struct xids_xs_limits limits = d->options->limits;
    size_t len = 0;
    add(text, room, &len, "own-domid=%u\nprivileged-domid=%u\n", d->options->own_domid, d->options->privileged_domid);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const uint32_t *limit = xids_xs_limit(&limits, names[i], strlen(names[i]));
        if (limit != NULL)
            add(text, room, &len, "quota=%s=%u\n", names[i], *limit);
    }
    return len;
}

/* A new file of that size under that name. What was there, the trace of a daemon that crashed perhaps, is kept as
 * NAME.old. The descriptor or a negative errno. */
static int make_file(const char *name, uint64_t size)
{
    char old[4096];
    struct stat st;
    if (snprintf(old, sizeof(old), "%s.old", name) >= (int)sizeof(old))
        return -ENAMETOOLONG;
    if (lstat(name, &st) == 0) {
        if (!S_ISREG(st.st_mode))
            return -EEXIST;
        if (rename(name, old) < 0)
            return -errno;
    }
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    /* All of it now: a disk that is full later would kill us. */
    int rc = -posix_fallocate(fd, 0, (off_t)size);
    if (rc < 0) {
        (void)unlink(name);
        (void)close(fd);
    }
    return rc < 0 ? rc : fd;
}

/* Whether nobody has asked this server for anything yet. */
static bool is_fresh(const struct daemon *d)
{
    struct xids_xs_server_stats st;
    xids_xs_server_stats(d->server, &st);
    return !d->options->live_update && st.requests == 0 && st.sockets == 0 && st.domains == 0;
}

static uint64_t file_size(const struct daemon *d)
{
    return (uint64_t)d->options->trace_mib * 1024 * 1024;
}

void tracing_off(struct daemon *d)
{
    struct tracing *t = d->tracing;
    if (t == NULL || t->memory == NULL)
        return;
    xids_xs_server_trace(d->server, NULL);
    (void)munmap(t->memory, file_size(d));
    t->memory = NULL;
}

bool tracing_is_on(const struct daemon *d)
{
    return d->tracing != NULL && d->tracing->memory != NULL;
}

int tracing_on(struct daemon *d)
{
    struct tracing *t = d->tracing;
    char settings[1024];
    if (t == NULL || t->file == NULL)
        return 0;
    tracing_off(d);
    int fd = make_file(t->file, file_size(d));
    void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, file_size(d), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int rc = fd < 0 ? fd : (memory == MAP_FAILED ? -errno : 0);
    if (fd >= 0)
        (void)close(fd);
    if (rc < 0) {
        const char *why = strerror(-rc);
        if (rc == -EEXIST)
            why = "that is something else than a file";
        else if (rc == -EPERM && d->sandboxed)
            why = "the sandbox lets us make files only when we were started with --trace-file";
        log_msg(LOG_LEVEL_ERROR, "no trace in %s: %s", t->file, why);
        return rc;
    }
    t->memory = memory;
    trace_ring_init(&t->ring, memory, file_size(d) - TRACE_RING_AT, now(), is_fresh(d) ? TRACE_FROM_START : 0, settings,
                    settings_text(d, settings, sizeof(settings)));
    tracing_apply(d);
    return 0;
}

void tracing_apply(struct daemon *d)
{
    struct tracing *t = d->tracing;
    if (t->memory != NULL)
        xids_xs_server_trace(d->server, (t->switches & SWITCH_IO) != 0 ? &t->tracer : NULL);
}

int tracing_file(struct daemon *d, const char *name, size_t len)
{
    static const char folder[] = FOLDER "/";
    size_t before = len > 0 && name[0] == '/' ? 0 : sizeof(folder) - 1;
    char *file = malloc(before + len + 1);
    if (file == NULL)
        return -ENOMEM;
    memcpy(file, folder, before);
    memcpy(file + before, name, len);
    file[before + len] = '\0';
    if (before > 0)
        (void)mkdir(FOLDER, 0755);
    free(d->tracing->file);
    d->tracing->file = file;
    return tracing_on(d);
}

/* ---- life ---- */

uint32_t *tracing_switches(const struct daemon *d)
{
    return &d->tracing->switches;
}

int tracing_show(const struct daemon *d, char *text, size_t room)
{
    size_t len = 0;
    add(text, room, &len, "Log switch settings:\n");
    for (unsigned int i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
        add(text, room, &len, "%-8s: %s\n", switches[i], (d->tracing->switches >> i & 1u) != 0 ? "on" : "off");
    return (int)len;
}

int tracing_open(struct daemon *d)
{
    struct tracing *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    t->daemon = d;
    t->switches = d->options->trace_switches;
    t->tracer = (struct xids_xs_tracer){.request = on_request, .message = on_message, .ctx = t};
    d->tracing = t;
    /* A store without a trace is better than no store. */
    if (d->options->trace_file != NULL)
        (void)tracing_file(d, d->options->trace_file, strlen(d->options->trace_file));
    return 0;
}

void tracing_close(struct daemon *d)
{
    if (d->tracing == NULL)
        return;
    tracing_off(d);
    free(d->tracing->file);
    free(d->tracing);
    d->tracing = NULL;
}
