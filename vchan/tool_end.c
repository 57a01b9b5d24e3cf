/* SPDX-License-Identifier: ISC */
/* xids-vchan: what a channel is joined to. */
#include "vchan/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What one call moves at most, so that no channel keeps the others waiting. */
#define PIECE_MAX (UINT32_C(1) << 20)

/* How soon a unix socket whose queue is full is tried again. */
#define JOIN_RETRY (50 * MS)

static const struct way nowhere = {.fd = {.fd = -1}};

static int way_init(struct way *w, int fd, bool own, bool blocks)
{
    *w = (struct way){.own = own, .blocks = blocks, .ready = !blocks, .max = PIECE_MAX};
    return xids_vchan_fd_init(&w->fd, fd, XIDS_VCHAN_FD_NO_SIGPIPE);
}

static void way_close(struct way *w)
{
    if (w->fd.fd >= 0 && w->own)
        (void)close(w->fd.fd);
    *w = nowhere;
}

/*
 * A way to or from a standard descriptor. Others have it too, so O_NONBLOCK is not ours to set: what can be opened anew
 * gets an open file of our own. What cannot be, neither pipe nor terminal, is polled before each use.
 */
static int standard(struct way *w, int fd, int mode)
{
    char name[32];
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode))
        return way_init(w, fd, false, false);
    if (S_ISFIFO(st.st_mode) || isatty(fd) == 1) {
        (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        int fresh = open(name, mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fresh >= 0)
            return way_init(w, fresh, true, false);
    }
    int rc = way_init(w, fd, false, true);
    /* A pipe that polls writable takes so much without blocking. */
    if (mode == O_WRONLY)
        w->max = PIPE_BUF;
    return rc;
}

/* Standard input or output is closed for others; the number stays taken, by something harmless. */
static void close_standard(int fd, int mode)
{
    int nothing = open("/dev/null", mode | O_CLOEXEC);
    if (nothing >= 0) {
        (void)dup2(nothing, fd);
        (void)close(nothing);
    }
}

static int open_standard(struct tool *t, struct end *e)
{
    int rc = t->input_ended ? 0 : standard(&e->in, STDIN_FILENO, O_RDONLY);
    if (rc < 0) {
        report(t, "standard input", rc);
        return rc;
    }
    rc = standard(&e->out, STDOUT_FILENO, O_WRONLY);
    if (rc < 0)
        report(t, "standard output", rc);
    return rc;
}

/* A connected stream socket, both ways. It becomes ours. */
static int open_socket(struct end *e, int fd)
{
    int rc = way_init(&e->in, fd, true, false);
    if (rc == 0)
        rc = way_init(&e->out, fd, false, false);
    return rc;
}

int end_join(struct tool *t, struct end *e)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (e->join_at != UINT64_MAX) {
        int rc = socket_connect(t->o, e->in.fd.fd);
        if (rc == -EAGAIN)
            e->join_at = tool_now(t) + JOIN_RETRY;
        else if (rc == -EINPROGRESS)
            e->join_at = UINT64_MAX;
        else
            e->joining = false;
        return rc == -EAGAIN || rc == -EINPROGRESS ? 0 : rc;
    }
    if (getsockopt(e->in.fd.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    e->joining = false;
    return -error;
}

int end_open(struct tool *t, struct flow *f, int fd)
{
    struct end *e = &f->end;
    *e = (struct end){.kind = t->o->end, .in = nowhere, .out = nowhere};
    if (e->kind == END_STDIO)
        return open_standard(t, e);
    int rc;
    if (e->kind == END_EXEC) {
        int ways[2];
        rc = process_start(t->o, &e->pid, ways);
        if (rc == 0) {
            rc = way_init(&e->in, ways[0], true, false);
            int other = way_init(&e->out, ways[1], true, false);
            rc = rc < 0 ? rc : other;
        }
    } else {
        e->joining = fd < 0;
        if (fd < 0)
            fd = socket_new(t->o);
        rc = fd < 0 ? fd : open_socket(e, fd);
        if (rc == 0 && e->joining)
            rc = end_join(t, e);
    }
    if (rc < 0)
        report(t, e->kind == END_EXEC ? t->o->command[0] : t->o->address, rc);
    return rc;
}

void end_shut(struct tool *t, struct end *e)
{
    if (e->out.fd.fd < 0)
        return;
    if (e->kind == END_UNIX || e->kind == END_TCP)
        (void)shutdown(e->out.fd.fd, SHUT_WR);
    way_close(&e->out);
    /* Whoever reads what we print shall see its end, unless another channel is to follow. */
    if (e->kind == END_STDIO && !t->o->reconnect)
        close_standard(STDOUT_FILENO, O_WRONLY);
}

void end_drop(struct tool *t, struct end *e)
{
    if (e->in.fd.fd < 0 || e->kind == END_UNIX || e->kind == END_TCP)
        return;
    if (e->kind == END_STDIO && t->o->reconnect)
        return;
    way_close(&e->in);
    if (e->kind == END_STDIO)
        close_standard(STDIN_FILENO, O_RDONLY);
}

void end_close(struct tool *t, struct flow *f)
{
    struct end *e = &f->end;
    way_close(&e->out);
    way_close(&e->in);
    if (e->kind == END_EXEC && e->pid > 0)
        process_leave(t, e->pid, f->number);
    e->pid = 0;
}

bool end_holds(const struct end *e)
{
    int n = 0;
    return e->in.fd.fd >= 0 && !e->joining && ioctl(e->in.fd.fd, FIONREAD, &n) == 0 && n > 0;
}
