/* SPDX-License-Identifier: ISC */
/*
 * The audit log's file. Lines wait in memory until the end of a turn of the loop and are written together. What cannot
 * be written is lost, counted, and told in the log once it can be written again: the chain goes on from the last line
 * that is in the file.
 */
#include "randomd/audit.h"

#include "randomd/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct {
    char path[AUDIT_PATH];
    uint64_t most;
    unsigned int old; /* files that are kept besides */
    int fd;           /* -1: there is none at the moment */
    bool on;
    bool failing;            /* which was said */
    struct audit_chain last; /* in the file */
    struct audit_chain next; /* with the lines that wait */
    uint64_t size;           /* of the file */
    uint64_t retry_at;       /* ns */
    uint64_t lost, lines, files;
    uint64_t untold;      /* of the lost ones */
    uint64_t telling;     /* what a line that waits says of them */
    unsigned int waiting; /* lines of others */
    size_t len;
    char pending[AUDIT_PENDING];
} audit = {.fd = -1};

/* ---- a line ---- */

static size_t put_time(char *to, size_t room)
{
    struct timespec now;
    struct tm t;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &t) == NULL)
        memset(&t, 0, sizeof(t));
    int n = snprintf(to, room, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                     t.tm_hour, t.tm_min, t.tm_sec, now.tv_nsec / 1000);
    return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

/* Into what waits, for which there is room. */
__attribute__((format(printf, 2, 0))) static void append(const char *event, const char *fmt, va_list args)
{
    char line[AUDIT_LINE], hex[AUDIT_HEX], when[128];
    const size_t limit = sizeof(line) - AUDIT_HEX - 2; /* for the space, the hash and the end */
    when[put_time(when, sizeof(when))] = '\0';
    int n = snprintf(line, limit, "%" PRIu64 " %s %s ", audit.next.number + 1, when, event);
    size_t len = n > 0 && (size_t)n < limit ? (size_t)n : 0;
    n = vsnprintf(line + len, limit - len, fmt, args);
    len = n <= 0 ? len : (size_t)n < limit - len ? len + (size_t)n : limit - 1;
    for (size_t i = 0; i < len; i++)
        if (line[i] < ' ' || line[i] > '~')
            line[i] = '?';
    if (line[len - 1] != ' ')
        line[len++] = ' ';
    audit.next.number++;
    audit_hash(audit.next.hash, line, len);
    audit_hex(hex, audit.next.hash);
    memcpy(audit.pending + audit.len, line, len);
    memcpy(audit.pending + audit.len + len, hex, AUDIT_HEX - 1);
    audit.len += len + AUDIT_HEX - 1;
    audit.pending[audit.len++] = '\n';
}

__attribute__((format(printf, 2, 3))) static void append_own(const char *event, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    append(event, fmt, args);
    va_end(args);
}

static void append_begin(void)
{
    char before[AUDIT_HEX];
    audit_hex(before, audit.next.hash);
    append_own("begin", "format=%d prev=%s", AUDIT_FORMAT, before);
}

/* What the log has to say itself before another line. */
static void append_due(void)
{
    if (audit.size == 0 && audit.len == 0)
        append_begin();
    if (audit.untold > 0)
        append_own("lost", "lines=%" PRIu64, audit.untold);
    audit.telling += audit.untold;
    audit.untold = 0;
}

/* ---- failing ---- */

/* The lines that wait will not come into the file. */
static void lose(unsigned int lines)
{
    audit.lost += lines;
    audit.untold += lines;
}

static void fail(const char *what, int error)
{
    if (!audit.failing)
        log_line(SAY_ERROR, "audit log %s: %s: %s; what happens meanwhile is only counted", audit.path, what,
                 strerror(error));
    audit.failing = true;
    audit.retry_at = now_ns() + AUDIT_RETRY_NS;
    lose(audit.waiting);
    audit.untold += audit.telling;
    audit.telling = 0;
    audit.waiting = 0;
    audit.len = 0;
    audit.next = audit.last;
}

/* ---- the file ---- */

static void let_go(void)
{
    if (audit.fd >= 0)
        (void)close(audit.fd); /* and the lock with it */
    audit.fd = -1;
}

/* What was written in part is taken back. */
static int write_out(void)
{
    size_t done = 0;
    while (done < audit.len) {
        ssize_t n = write(audit.fd, audit.pending + done, audit.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int rc = n < 0 ? -errno : -ENOSPC;
            if (done > 0 && ftruncate(audit.fd, (off_t)audit.size) < 0)
                let_go(); /* to be looked at anew when it is opened again */
            return rc;
        }
        done += (size_t)n;
    }
    return 0;
}

/* The last line end in len bytes, or NULL. */
static const char *last_end(const char *text, size_t len)
{
    while (len > 0)
        if (text[--len] == '\n')
            return text + len;
    return NULL;
}

/* The last line of the file's end, which is len bytes; whole says whether they are the whole file. Cuts off what
 * follows it. 1: found, 0: there is none. */
static int find_last(const char *end, size_t len, bool whole)
{
    struct audit_parts p, q;
    const char *stop = last_end(end, len);
    if (stop == NULL)
        return 0;
    const char *start = last_end(end, (size_t)(stop - end));
    if (start == NULL && !whole)
        return 0;
    start = start == NULL ? end : start + 1;
    if (!audit_parse(&p, start, (size_t)(stop - start)))
        return 0;
    /* The line before it shows that it was not changed. */
    uint8_t hash[XIDS_BLAKE2S_OUT];
    const char *earlier = start > end ? last_end(end, (size_t)(start - 1 - end)) : NULL;
    earlier = earlier != NULL ? earlier + 1 : whole && start > end ? end : NULL;
    if (p.begins)
        memcpy(hash, p.before, sizeof(hash));
    else if (earlier != NULL && audit_parse(&q, earlier, (size_t)(start - 1 - earlier)))
        memcpy(hash, q.hash, sizeof(hash));
    else
        return 0;
    audit_hash(hash, start, p.hashed);
    if (memcmp(hash, p.hash, sizeof(hash)) != 0)
        return 0;
    audit.last.number = p.number;
    memcpy(audit.last.hash, p.hash, sizeof(p.hash));
    return 1;
}

/* Finds where the file ends, and cuts off a line that was not written to its end. */
static int find_end(uint64_t size)
{
    char end[2 * AUDIT_LINE + 1];
    size_t len = size < sizeof(end) ? (size_t)size : sizeof(end);
    ssize_t n = pread(audit.fd, end, len, (off_t)(size - len));
    if (n != (ssize_t)len)
        return n < 0 ? -errno : -EIO;
    const char *stop = last_end(end, len);
    size_t cut = stop == NULL ? len : len - (size_t)(stop + 1 - end);
    if (cut > 0 && ftruncate(audit.fd, (off_t)(size - cut)) < 0)
        return -errno;
    audit.size = size - cut;
    /* An empty one goes on with the chain that we have. */
    if (audit.size > 0 && find_last(end, len - cut, size == len) == 0) {
        log_line(SAY_ERROR, "audit log %s: its last lines were changed: the chain begins anew", audit.path);
        audit.last = (struct audit_chain){0};
        audit.next = audit.last;
        append_begin();
    }
    audit.next = audit.len > 0 ? audit.next : audit.last;
    if (cut > 0) {
        append_due();
        append_own("mended", "cut=%zu", cut);
    }
    return 0;
}

static int open_file(void)
{
    struct stat st;
    int fd = open(audit.path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return -errno;
    int rc = fstat(fd, &st) < 0                 ? -errno
             : !S_ISREG(st.st_mode)             ? -EINVAL
             : flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno
                                                : 0;
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    audit.fd = fd;
    audit.files++;
    rc = find_end((uint64_t)st.st_size);
    if (rc < 0)
        let_go();
    return rc;
}

/* The file becomes the first of the old ones. */
static int rotate(void)
{
    char from[AUDIT_PATH + 16], to[AUDIT_PATH + 16];
    let_go();
    for (unsigned int i = audit.old; i > 0; i--) {
        (void)snprintf(to, sizeof(to), "%s.%u", audit.path, i);
        if (i > 1)
            (void)snprintf(from, sizeof(from), "%s.%u", audit.path, i - 1);
        else
            (void)snprintf(from, sizeof(from), "%s", audit.path);
        if (rename(from, to) < 0 && errno != ENOENT)
            return -errno;
    }
    return open_file();
}

/* ---- the interface ---- */

int audit_open(const char *path, uint64_t most, unsigned int old)
{
    if (path[0] == '\0')
        return 0;
    if (strlen(path) >= sizeof(audit.path))
        return -ENAMETOOLONG;
    (void)snprintf(audit.path, sizeof(audit.path), "%s", path);
    audit.most = most;
    audit.old = old;
    int rc = open_file();
    /* A disk that is full is no reason not to serve. */
    audit.on = rc == 0 || rc == -ENOSPC || rc == -EDQUOT;
    if (rc < 0 && audit.on)
        fail("open", -rc);
    else if (rc < 0)
        log_line(SAY_ERROR, "audit log %s: %s", path, rc == -EWOULDBLOCK ? "another program writes it" : strerror(-rc));
    return audit.on ? 0 : rc;
}

/* Whether lines can be taken: the file is there, or there again. */
static bool recovered(void)
{
    if (!audit.failing)
        return true;
    if (now_ns() < audit.retry_at)
        return false;
    int rc = audit.fd >= 0 ? 0 : open_file();
    if (rc < 0) {
        fail("open", -rc);
        return false;
    }
    return true;
}

void audit_line(const char *event, const char *fmt, ...)
{
    va_list args;
    if (!audit.on)
        return;
    /* Room for what the log says of itself, too. */
    if (audit.len + 3 * AUDIT_LINE > sizeof(audit.pending))
        audit_flush();
    if (!recovered()) {
        lose(1);
        return;
    }
    append_due();
    audit.waiting++;
    va_start(args, fmt);
    append(event, fmt, args);
    va_end(args);
}

void audit_flush(void)
{
    if (!audit.on || audit.len == 0)
        return;
    int rc = audit.fd >= 0 ? write_out() : -EBADF;
    if (rc < 0) {
        fail("write", -rc);
        return;
    }
    if (audit.failing)
        log_line(SAY_INFO, "audit log %s: it is written again; %" PRIu64 " lines were lost", audit.path, audit.lost);
    audit.failing = false;
    audit.size += audit.len;
    audit.lines += audit.waiting;
    audit.last = audit.next;
    audit.waiting = 0;
    audit.telling = 0;
    audit.len = 0;
    if (audit.size + AUDIT_PENDING <= audit.most)
        return;
    rc = rotate();
    if (rc < 0) {
        fail("begin a new file", -rc);
        return;
    }
    /* At once, so that the chain is in the new file whatever becomes of us. */
    append_due();
    audit_flush();
}

void audit_reopen(void)
{
    struct stat ours, there;
    if (!audit.on)
        return;
    audit_flush();
    if (audit.fd >= 0 && fstat(audit.fd, &ours) == 0 && stat(audit.path, &there) == 0 && ours.st_dev == there.st_dev &&
        ours.st_ino == there.st_ino)
        return;
    let_go();
    int rc = open_file();
    if (rc < 0) {
        fail("open", -rc);
        return;
    }
    append_due();
    audit_flush();
}

void audit_state(struct audit_state *state)
{
    *state = (struct audit_state){.on = audit.on,
                                  .failing = audit.failing,
                                  .lines = audit.lines,
                                  .lost = audit.lost,
                                  .files = audit.files,
                                  .last = audit.last};
}

bool audit_wanted(void)
{
    return audit.on;
}

void audit_close(void)
{
    if (!audit.on)
        return;
    audit_flush();
    let_go();
    memset(&audit, 0, sizeof(audit));
    audit.fd = -1;
}
