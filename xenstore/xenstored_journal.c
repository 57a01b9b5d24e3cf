/* SPDX-License-Identifier: ISC */
/*
 * The journal's file: a header, a whole state, and what has changed since. It is written before the answers go out.
 * When the changes are more than the whole, another whole is written beside the file, some nodes in each turn of the
 * loop, and takes its place. docs/spec/xenstore-journal.md.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xids/xs_journal.h>

#include "xenstore/xenstored.h"

#define FORMAT 1u
#define ORDER 0x01020304u
/* So many nodes of a whole at once, and how often: others are served between. */
#define SLICE 1000u
#define SLICE_MS 1u
/* No new whole for less than that. */
#define CHANGES_MIN (UINT64_C(1) << 20)
/* What has changed while a whole is written, kept in memory until it is. More: that whole is given up. */
#define TAIL_MAX ((size_t)64 << 20)
/* A file that cannot be written is tried again after so long. */
#define RETRY_MS 1000u

struct header {
    char ident[16];
    uint32_t format, order;
    char boot[40]; /* the machine's life, by /proc/sys/kernel/random/boot_id */
    uint64_t sum;  /* of all before it */
};

struct journal {
    struct daemon *daemon;
    char *path, *path_new, *path_old;
    struct header header;
    int fd;              /* of the file, -1: there is none */
    uint64_t len, whole; /* its length; of that, the header and the whole state */
    int new_fd;          /* of the next one, -1: none is being written */
    uint64_t new_len;
    uint8_t *tail;
    size_t tail_len, tail_cap;
    bool in_whole; /* what is written now belongs to the next one */
    bool failed;
    uint64_t retry_at;
    uv_timer_t timer;
};

static const char ident[16] = "xids xenstored j";

/* ---- bytes ---- */

/* A negative errno, and then none of them is in the file. */
static int append(int fd, uint64_t *len, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    size_t left = count;
    while (left > 0) {
        ssize_t n = write(fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int rc = n < 0 ? -errno : -EIO;
            if (ftruncate(fd, (off_t)*len) < 0)
                log_limited(LOG_LEVEL_ERROR, "the journal's end cannot be cut off: %s", strerror(errno));
            return rc;
        }
        at += n;
        left -= (size_t)n;
    }
    *len += count;
    return 0;
}

static int keep_tail(struct journal *j, const void *bytes, size_t len)
{
    if (j->tail_cap - j->tail_len < len) {
        size_t cap = 2 * (j->tail_len + len);
        uint8_t *tail = cap <= TAIL_MAX ? realloc(j->tail, cap) : NULL;
        if (tail == NULL)
            return -ENOMEM;
        j->tail = tail;
        j->tail_cap = cap;
    }
    memcpy(j->tail + j->tail_len, bytes, len);
    j->tail_len += len;
    return 0;
}

static void give_up_whole(struct journal *j)
{
    if (j->new_fd < 0)
        return;
    if (xids_xs_journal_whole(j->daemon->server, 0) < 0)
        log_msg(LOG_LEVEL_DEBUG, "the journal: nothing to be given up");
    (void)close(j->new_fd);
    (void)unlink(j->path_new);
    j->new_fd = -1;
    free(j->tail);
    j->tail = NULL;
    j->tail_len = j->tail_cap = 0;
    (void)uv_timer_stop(&j->timer);
}

static int on_frame(void *ctx, const void *bytes, size_t len)
{
    struct journal *j = ctx;
    if (j->in_whole)
        return append(j->new_fd, &j->new_len, bytes, len);
    if (j->fd < 0)
        return 0; /* there is no whole yet that this could belong to */
    int rc = append(j->fd, &j->len, bytes, len);
    if (rc == 0 && j->new_fd >= 0 && keep_tail(j, bytes, len) < 0) {
        log_limited(LOG_LEVEL_WARNING, "the journal: too much changes while it is written anew");
        give_up_whole(j);
    }
    return rc;
}

static void on_conn(void *ctx, struct xids_xs_conn *conn, struct xids_xs_state_conn *state)
{
    static char note[64];
    (void)ctx;
    state->handle = (int32_t)domains_lasting(conn, note, &state->note_len);
    state->note = note;
}

static void on_sync(void *ctx)
{
    journal_sync(((struct journal *)ctx)->daemon);
}

static int begin_noting(struct journal *j)
{
    const struct xids_xs_journal journal = {.write = on_frame, .conn = on_conn, .sync = on_sync, .ctx = j};
    return xids_xs_server_journal(j->daemon->server, &journal);
}

/* ---- a whole ---- */

static void complain(struct journal *j, int rc)
{
    if (!j->failed)
        log_msg(LOG_LEVEL_ERROR, "the journal %s cannot be written, and a crash would lose what changes: %s", j->path,
                strerror(-rc));
    j->failed = true;
    j->retry_at = uv_now(&j->daemon->loop) + RETRY_MS;
}

/* The next file takes the place of the one there is. */
static int put_in_place(struct journal *j)
{
    uint64_t whole = j->new_len;
    int rc = append(j->new_fd, &j->new_len, j->tail, j->tail_len);
    if (rc == 0 && rename(j->path_new, j->path) < 0)
        rc = -errno;
    if (rc < 0)
        return rc;
    if (j->fd >= 0)
        (void)close(j->fd);
    j->fd = j->new_fd;
    j->len = j->new_len;
    j->whole = whole;
    j->new_fd = -1;
    free(j->tail);
    j->tail = NULL;
    j->tail_len = j->tail_cap = 0;
    (void)uv_timer_stop(&j->timer);
    log_msg(LOG_LEVEL_DEBUG, "the journal is written anew: %llu bytes", (unsigned long long)j->len);
    return 0;
}

/* 1: there is more to be written. */
static int whole_some(struct journal *j, unsigned int max)
{
    j->in_whole = true;
    int rc = xids_xs_journal_whole(j->daemon->server, max);
    j->in_whole = false;
    if (rc == 0)
        rc = put_in_place(j);
    return rc;
}

static int whole_begin(struct journal *j)
{
    /* What belongs to the file that is: not to be seen in the next one. */
    int rc = xids_xs_journal_changes(j->daemon->server);
    if (rc < 0)
        return rc;
    j->new_fd = open(j->path_new, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    j->new_len = 0;
    return j->new_fd < 0 ? -errno : append(j->new_fd, &j->new_len, &j->header, sizeof(j->header));
}

static void whole_failed(struct journal *j, int rc)
{
    complain(j, rc);
    /* Changes go on to be added to the old file. */
    give_up_whole(j);
}

static void on_slice(uv_timer_t *timer)
{
    struct journal *j = timer->data;
    int rc = j->new_fd >= 0 ? whole_some(j, SLICE) : 0;
    if (rc < 0)
        whole_failed(j, rc);
}

static void start_whole(struct journal *j)
{
    int rc = whole_begin(j);
    if (rc == 0)
        rc = uv_timer_start(&j->timer, on_slice, SLICE_MS, SLICE_MS);
    if (rc < 0)
        whole_failed(j, rc);
}

/* ---- while serving ---- */

void journal_sync(struct daemon *d)
{
    struct journal *j = d->journal;
    uint64_t now = uv_now(&d->loop);
    if (j == NULL || !xids_xs_journal_due(d->server) || (j->retry_at > now))
        return;
    int rc = xids_xs_journal_changes(d->server);
    if (rc < 0) {
        complain(j, rc);
        return;
    }
    if (j->failed)
        log_msg(LOG_LEVEL_INFO, "the journal is written again");
    j->failed = false;
    j->retry_at = 0;
    if (j->new_fd < 0 && j->len - j->whole > CHANGES_MIN && j->len - j->whole > j->whole)
        start_whole(j);
}

/* ---- the beginning ---- */

static void read_boot(char boot[40])
{
    memset(boot, 0, 40);
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (f == NULL)
        return;
    if (fgets(boot, 40, f) == NULL)
        boot[0] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
    (void)fclose(f);
}

static uint64_t header_sum(const struct header *h)
{
    const uint8_t *at = (const uint8_t *)h;
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < offsetof(struct header, sum); i++)
        sum = (sum ^ at[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static char *join(const char *a, const char *b, const char *c)
{
    size_t len = strlen(a) + strlen(b) + strlen(c) + 1;
    char *s = malloc(len);
    if (s != NULL)
        (void)stpcpy(stpcpy(stpcpy(s, a), b), c);
    return s;
}

/* We go to another directory later on. */
static char *absolute(const char *path)
{
    if (path[0] == '/')
        return strdup(path);
    char *here = getcwd(NULL, 0), *s = here != NULL ? join(here, "/", path) : NULL;
    free(here);
    return s;
}

static int set_aside(const struct journal *j)
{
    if (rename(j->path, j->path_old) < 0)
        return -errno;
    log_msg(LOG_LEVEL_WARNING, "%s is of another boot of the machine: it is %s now, and the store starts empty",
            j->path, j->path_old);
    return 0;
}

/* 1: the store starts empty. */
static int check_header(const struct journal *j, const uint8_t *bytes, size_t len)
{
    struct header h;
    const char *wrong = NULL;
    if (len >= sizeof(h))
        memcpy(&h, bytes, sizeof(h));
    if (len < sizeof(h) || memcmp(h.ident, ident, sizeof(ident)) != 0)
        wrong = "it is no journal";
    else if (h.order != ORDER || h.format != FORMAT)
        wrong = "it is of another version or kind of machine";
    else if (h.sum != header_sum(&h))
        wrong = "its header is damaged";
    if (wrong == NULL)
        return memcmp(h.boot, j->header.boot, sizeof(h.boot)) == 0 ? 0 : 1;
    log_msg(LOG_LEVEL_ERROR, "%s cannot be used: %s. Without that file the store starts empty", j->path, wrong);
    return -EBADMSG;
}

static int on_restored(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn,
                       const struct xids_xs_state_conn *state)
{
    return domains_take(ctx, page, conn, (evtchn_port_t)state->handle, state->note, state->note_len);
}

static int restore(struct journal *j, const uint8_t *bytes, size_t len)
{
    struct daemon *d = j->daemon;
    struct xids_xs_state_error error;
    struct xids_xs_server_stats stats;
    const struct xids_xs_restore host = {.conn = on_restored, .ctx = d};
    size_t used = 0;
    int rc = xids_xs_journal_restore(d->server, &error, &used, &host, bytes, len);
    if (rc < 0) {
        log_msg(LOG_LEVEL_ERROR, "%s cannot be used: record %u at %llu: %s. Without that file the store starts empty",
                j->path, error.record, (unsigned long long)error.offset + sizeof(struct header),
                error.reason != NULL ? error.reason : strerror(-rc));
        return rc;
    }
    if (used < len)
        log_msg(LOG_LEVEL_WARNING, "%s: the last %llu bytes, from %llu on, are no whole record and left out", j->path,
                (unsigned long long)(len - used), (unsigned long long)(used + sizeof(struct header)));
    xids_xs_server_stats(d->server, &stats);
    log_msg(LOG_LEVEL_INFO, "%s: %u nodes and %u domains are back", j->path,
            xids_store_nodes(xids_xs_server_store(d->server)), stats.domains);
    d->restored = true;
    return 0;
}

static int load(struct journal *j)
{
    struct stat st;
    int fd = open(j->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int rc = -errno;
        log_msg(LOG_LEVEL_ERROR, "%s: %s", j->path, strerror(-rc));
        if (fd >= 0)
            (void)close(fd);
        return rc;
    }
    size_t len = st.st_size > 0 ? (size_t)st.st_size : 0;
    uint8_t *bytes = len > 0 ? mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0) : NULL;
    int rc = bytes == MAP_FAILED ? -errno : check_header(j, bytes, len);
    (void)close(fd);
    if (rc == 1)
        rc = set_aside(j);
    else if (rc == 0)
        rc = restore(j, bytes + sizeof(struct header), len - sizeof(struct header));
    if (bytes != NULL && bytes != MAP_FAILED)
        (void)munmap(bytes, len);
    return rc;
}

int journal_open(struct daemon *d)
{
    if (d->options->journal == NULL)
        return 0;
    struct journal *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return -ENOMEM;
    (void)uv_timer_init(&d->loop, &j->timer);
    j->timer.data = j;
    d->journal = j;
    j->daemon = d;
    j->fd = j->new_fd = -1;
    j->path = absolute(d->options->journal);
    j->path_new = j->path != NULL ? join(j->path, ".new", "") : NULL;
    j->path_old = j->path != NULL ? join(j->path, ".old", "") : NULL;
    if (j->path_new == NULL || j->path_old == NULL)
        return -ENOMEM;
    memcpy(j->header.ident, ident, sizeof(ident));
    j->header.format = FORMAT;
    j->header.order = ORDER;
    read_boot(j->header.boot);
    j->header.sum = header_sum(&j->header);
    /* In a live update the other program has told us all. */
    return d->options->live_update ? 0 : load(j);
}

int journal_start(struct daemon *d)
{
    struct journal *j = d->journal;
    if (j == NULL)
        return 0;
    int rc = begin_noting(j);
    if (rc == 0)
        rc = whole_begin(j);
    while (rc == 0 && (rc = whole_some(j, UINT32_MAX)) > 0)
        rc = 0;
    if (rc < 0) {
        log_msg(LOG_LEVEL_ERROR, "the journal %s cannot be written: %s", j->path, strerror(-rc));
        give_up_whole(j);
        if (xids_xs_server_journal(d->server, NULL) < 0)
            log_msg(LOG_LEVEL_DEBUG, "the journal does not end");
    }
    return rc;
}

static void on_closed(uv_handle_t *handle)
{
    struct journal *j = handle->data;
    free(j->path);
    free(j->path_new);
    free(j->path_old);
    free(j);
}

void journal_close(struct daemon *d)
{
    struct journal *j = d->journal;
    if (j == NULL)
        return;
    if (j->fd >= 0)
        journal_sync(d);
    d->journal = NULL;
    give_up_whole(j);
    if (j->fd >= 0)
        (void)close(j->fd);
    if (d->server != NULL && xids_xs_server_journal(d->server, NULL) < 0)
        log_msg(LOG_LEVEL_DEBUG, "the journal does not end");
    uv_close((uv_handle_t *)&j->timer, on_closed);
}
