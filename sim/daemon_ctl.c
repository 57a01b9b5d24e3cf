/* SPDX-License-Identifier: ISC */
/* The daemon's own socket: requests (see ctl.h), and the lifelines of processes. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sim/ctl.h"
#include "sim/daemon.h"

/* How long a process may take to stop when its domain is paused, in steps of 0.2 ms. */
#define STOP_STEPS 100

struct xids_sim_conn {
    struct xids_sim_conn *next, *prev;
    struct xids_sim_daemon *daemon;
    struct xids_sim_stream *stream;
    bool answered; /* everything is said: close when it is sent */
    size_t out_len;
    char out[XIDS_SIM_LINE_MAX];
    /* of a lifeline */
    bool lifeline;
    domid_t domid;
    uint32_t cookie;
    int pidfd;
    pid_t pid;
};

static struct xids_hv *hv_of(struct xids_sim_conn *c)
{
    return &c->daemon->machine.hv;
}

/* ---- processes ---- */

static void process_stopped(const struct xids_sim_conn *c)
{
    for (int i = 0; i < STOP_STEPS; i++) {
        char path[40], line[256];
        (void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)c->pid);
        FILE *f = fopen(path, "re");
        const char *name_end = f != NULL && fgets(line, sizeof(line), f) != NULL ? strrchr(line, ')') : NULL;
        if (f != NULL)
            (void)fclose(f);
        if (name_end == NULL || strncmp(name_end, ") T", 3) == 0 || strncmp(name_end, ") Z", 3) == 0)
            return;
        (void)nanosleep(&(struct timespec){.tv_nsec = 200 * 1000}, NULL);
    }
}

static void process_signal(const struct xids_sim_conn *c, int signum)
{
    if (syscall(SYS_pidfd_send_signal, c->pidfd, signum, NULL, 0) == 0 && signum == SIGSTOP)
        process_stopped(c);
}

unsigned int xids_sim_processes_signal(struct xids_sim_daemon *d, int domid, int signum)
{
    unsigned int n = 0;
    /* Whoever is stopped must not hold the lock then: so we do. */
    if (signum == SIGSTOP)
        d->machine.hv.env.lock(d->machine.hv.env.ctx);
    for (const struct xids_sim_conn *c = d->conns; c != NULL; c = c->next)
        if (c->lifeline && c->pidfd >= 0 && (domid < 0 || c->domid == domid)) {
            process_signal(c, signum);
            n++;
        }
    if (signum == SIGSTOP)
        d->machine.hv.env.unlock(d->machine.hv.env.ctx);
    return n;
}

static void lifeline_begins(struct xids_sim_conn *c, unsigned int domid, unsigned int cookie)
{
    struct xids_hv_domain info;
    c->lifeline = true;
    c->domid = (domid_t)domid;
    c->cookie = cookie;
    /* Who connected, as the kernel knows it: its own word may come from another pid namespace. */
    c->pid = xids_sim_stream_peer(c->stream);
    c->pidfd = c->pid > 0 ? (int)syscall(SYS_pidfd_open, c->pid, 0) : -1;
    int rc = xids_hv_domain_info(hv_of(c), &info, c->domid);
    if (c->pidfd < 0)
        return;
    if (rc < 0)
        process_signal(c, SIGKILL); /* no such domain, or not any more */
    else if ((info.flags & XIDS_HV_PAUSED) != 0)
        process_signal(c, SIGSTOP);
}

/* What a kernel does when a process has died: closes its files. */
static void lifeline_ends(struct xids_sim_conn *c)
{
    struct xids_sim_machine *m = &c->daemon->machine;
    struct xids_hv_owner o = {0};
    if (c->pidfd >= 0)
        (void)close(c->pidfd);
    /* First for all: a mapping's notification may go through another file's port. */
    while (xids_hv_owner_next(&m->hv, &o, o.owner) == 0)
        if (o.cookie == c->cookie)
            (void)xids_hv_owner_rouse(&m->hv, o.owner);
    o.owner = 0;
    while (xids_hv_owner_next(&m->hv, &o, o.owner) == 0)
        if (o.cookie == c->cookie) {
            xids_sim_queue_drop(m, o.owner);
            (void)xids_hv_owner_close(&m->hv, o.owner);
        }
}

/* ---- requests ---- */

static void drop_queue(void *ctx, const struct xids_hv_item *item)
{
    struct xids_sim_conn *c = ctx;
    if (item->domid == c->domid)
        xids_sim_queue_drop(&c->daemon->machine, item->id);
}

static int destroy(struct xids_sim_conn *c, domid_t domid)
{
    struct xids_sim_guest *g = xids_sim_guest_find(c->daemon, domid);
    if (g == NULL)
        return domid == 0 ? -EPERM : -ESRCH;
    (void)xids_sim_processes_signal(c->daemon, domid, SIGKILL);
    c->domid = domid;
    xids_hv_each(hv_of(c), XIDS_HV_OWNER, drop_queue, c);
    /* The hypervisor first: a domain that is destroyed sends no notifications, its kernel is gone. */
    int rc = xids_hv_domain_destroy(hv_of(c), domid);
    xids_sim_guest_close(g);
    return rc;
}

static int pause_domain(struct xids_sim_conn *c, domid_t domid, bool pausing)
{
    struct xids_hv_domain info = {.flags = 0};
    int rc = pausing ? xids_hv_domain_pause(hv_of(c), domid) : xids_hv_domain_unpause(hv_of(c), domid);
    if (rc == 0)
        rc = xids_hv_domain_info(hv_of(c), &info, domid);
    if (rc == 0 && domid != 0 && pausing == ((info.flags & XIDS_HV_PAUSED) != 0))
        (void)xids_sim_processes_signal(c->daemon, domid, pausing ? SIGSTOP : SIGCONT);
    return rc;
}

static unsigned int processes(const struct xids_sim_daemon *d)
{
    unsigned int n = 0;
    for (const struct xids_sim_conn *c = d->conns; c != NULL; c = c->next)
        n += c->lifeline && c->pidfd >= 0 && syscall(SYS_pidfd_send_signal, c->pidfd, 0, NULL, 0) == 0;
    return n;
}

static void answer(struct xids_sim_conn *c, int rc, const char *text)
{
    int len = rc < 0 ? snprintf(c->out, sizeof(c->out), "error %d\n", -rc)
                     : snprintf(c->out, sizeof(c->out), "ok%s%s\n", *text != '\0' ? " " : "", text);
    c->out_len = (size_t)len;
    c->answered = true;
}

static void request(struct xids_sim_conn *c, const char *line)
{
    char verb[16] = "", name[64] = "", text[XIDS_SIM_LINE_MAX / 2] = "";
    int domid = 0, argument = 0, rc = 0;
    if (sscanf(line, "%15s %d %d %63s", verb, &domid, &argument, name) < 1 || domid < -1 || domid > 65535) {
        answer(c, -EINVAL, "");
        return;
    }
    domid_t id = (domid_t)domid;
    if (strcmp(verb, "life") == 0) {
        lifeline_begins(c, id, (unsigned int)argument);
    } else if (strcmp(verb, "create") == 0) {
        rc = xids_sim_guest_create(c->daemon, domid, (uint32_t)argument, name[0] != '\0' ? name : "-");
        (void)snprintf(text, sizeof(text), "%d", rc);
    } else if (strcmp(verb, "destroy") == 0) {
        rc = destroy(c, id);
    } else if (strcmp(verb, "pause") == 0 || strcmp(verb, "unpause") == 0) {
        rc = pause_domain(c, id, verb[0] == 'p');
    } else if (strcmp(verb, "shutdown") == 0) {
        rc = xids_hv_domain_shutdown(hv_of(c), id, (uint32_t)argument);
    } else if (strcmp(verb, "resume") == 0) {
        rc = xids_hv_domain_resume(hv_of(c), id);
    } else if (strcmp(verb, "connect") == 0) {
        struct xids_sim_guest *g = xids_sim_guest_find(c->daemon, id);
        rc = g != NULL ? xids_sim_guest_connect(g) : id == 0 ? 0 : -ESRCH;
    } else if (strcmp(verb, "name") == 0) {
        const struct xids_sim_guest *g = xids_sim_guest_find(c->daemon, id);
        rc = g != NULL || id == 0 ? 0 : -ESRCH;
        (void)snprintf(text, sizeof(text), "%s", g != NULL ? xids_sim_guest_name(g) : "Domain-0");
    } else if (strcmp(verb, "status") == 0) {
        (void)snprintf(text, sizeof(text), "processes=%u clients=%u pid=%ld", processes(c->daemon),
                       xids_sim_guest_clients(c->daemon), (long)getpid());
    } else if (strcmp(verb, "stop") == 0) {
        /* Its answer is our end. */
        xids_sim_daemon_stop(c->daemon);
        return;
    } else {
        rc = -ENOSYS;
    }
    answer(c, rc, text);
}

/* ---- connections ---- */

static void conn_free(struct xids_sim_conn *c)
{
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->daemon->conns = c->next;
    if (c->lifeline)
        lifeline_ends(c);
    free(c);
}

static void on_closed(void *ctx)
{
    conn_free(ctx);
}

static int on_input(void *ctx, const uint8_t *data, size_t len)
{
    struct xids_sim_conn *c = ctx;
    char line[XIDS_SIM_LINE_MAX];
    const uint8_t *end = memchr(data, '\n', len);
    if (c->answered || c->lifeline)
        return (int)len; /* there is nothing more to say */
    if (end == NULL)
        return len < sizeof(line) ? 0 : -EMSGSIZE;
    size_t line_len = (size_t)(end - data);
    if (line_len >= sizeof(line))
        return -EMSGSIZE;
    memcpy(line, data, line_len);
    line[line_len] = '\0';
    request(c, line);
    return (int)line_len + 1;
}

static size_t on_output(void *ctx, const uint8_t **data)
{
    struct xids_sim_conn *c = ctx;
    *data = (const uint8_t *)c->out;
    return c->out_len;
}

static void on_sent(void *ctx, size_t n)
{
    struct xids_sim_conn *c = ctx;
    c->out_len -= n;
    memmove(c->out, c->out + n, c->out_len);
}

static const struct xids_sim_stream_ops conn_ops = {on_input, on_output, on_sent, on_closed};

void xids_sim_conn_accept(struct xids_sim_daemon *d)
{
    struct xids_sim_stream *s = xids_sim_stream_accept((uv_stream_t *)&d->listener, &conn_ops);
    struct xids_sim_conn *c = s != NULL ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL) {
        if (s != NULL)
            xids_sim_stream_close(s);
        return;
    }
    c->daemon = d;
    c->stream = s;
    c->pidfd = -1;
    c->next = d->conns;
    if (c->next != NULL)
        c->next->prev = c;
    d->conns = c;
    xids_sim_stream_start(s, c);
}

void xids_sim_conns_close(struct xids_sim_daemon *d)
{
    while (d->conns != NULL) {
        xids_sim_stream_close(d->conns->stream);
        conn_free(d->conns);
    }
}
