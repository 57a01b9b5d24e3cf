/* SPDX-License-Identifier: ISC */
/*
 * What every platform promises, checked on platform/xen: each side in a process of its own, as on Xen.
 *
 *     platform_sim A B COMMAND...   runs the cases in domain A; COMMAND... starts this program in domain B, as
 *     platform_sim --peer B         the other side, which does what it is told through its standard input and output
 *
 * Speaks TAP.
 */
#include "tests/unit/platform_cases.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xids/platform_xen.h>

/* ---- calls between the two processes ---- */

enum call {
    CALL_SHARE,
    CALL_UNSHARE,
    CALL_MAP,
    CALL_UNMAP,
    CALL_ALLOC,
    CALL_BIND,
    CALL_NOTIFY,
    CALL_MASK,
    CALL_UNMASK,
    CALL_CLOSE,
    CALL_STATUS,
    CALL_PENDING,
    CALL_WAIT,
    CALL_NOW,
    CALL_PEEK,
    CALL_POKE,
};

struct message {
    enum call call;
    int rc;
    domid_t domid;
    unsigned int count, flags, port;
    bool has_notify;
    struct xids_unmap_notify notify;
    uint64_t number, address;
    grant_ref_t refs[8];
};

static bool transfer(int fd, void *data, size_t len, bool out)
{
    uint8_t *at = data;
    while (len > 0) {
        ssize_t n = out ? write(fd, at, len) : read(fd, at, len);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* ---- the peer ---- */

static void serve(struct xids_platform *p, struct message *m)
{
    void *address = (void *)(uintptr_t)m->address;
    void XIDS_PEER *area = (void XIDS_PEER *)address;
    const struct xids_unmap_notify *notify = m->has_notify ? &m->notify : NULL;
    switch (m->call) {
    case CALL_SHARE:
        m->rc = p->ops->share(p->ctx, &address, m->refs, m->domid, m->count, m->flags, notify);
        m->address = (uintptr_t)address;
        break;
    case CALL_UNSHARE:
        m->rc = p->ops->unshare(p->ctx, address, m->count);
        break;
    case CALL_MAP:
        m->rc = p->ops->map(p->ctx, &area, m->refs, m->domid, m->count, m->flags, notify);
        m->address = (uintptr_t)area;
        break;
    case CALL_UNMAP:
        m->rc = p->ops->unmap(p->ctx, area, m->count);
        break;
    case CALL_ALLOC:
        m->rc = p->ops->evtchn_alloc(p->ctx, m->domid);
        break;
    case CALL_BIND:
        m->rc = p->ops->evtchn_bind(p->ctx, m->domid, m->port);
        break;
    case CALL_NOTIFY:
        m->rc = p->ops->evtchn_notify(p->ctx, m->port);
        break;
    case CALL_MASK:
        m->rc = p->ops->evtchn_mask(p->ctx, m->port);
        break;
    case CALL_UNMASK:
        m->rc = p->ops->evtchn_unmask(p->ctx, m->port);
        break;
    case CALL_CLOSE:
        m->rc = p->ops->evtchn_close(p->ctx, m->port);
        break;
    case CALL_STATUS:
        m->rc = p->ops->evtchn_status(p->ctx, m->port);
        break;
    case CALL_PENDING:
        m->rc = p->ops->evtchn_pending(p->ctx);
        break;
    case CALL_WAIT:
        m->rc = p->ops->wait(p->ctx, m->number);
        break;
    case CALL_NOW:
        m->number = p->ops->now(p->ctx);
        break;
    case CALL_PEEK:
        m->rc = xids_peer_load8((const uint8_t XIDS_PEER *)area + m->number);
        break;
    case CALL_POKE:
        xids_peer_store8_release((uint8_t XIDS_PEER *)area + m->number, (uint8_t)m->count);
        break;
    default:
        m->rc = -XEN_ENOSYS;
    }
}

static int peer_main(domid_t domid)
{
    struct xids_platform *p;
    struct message m;
    int rc = xids_platform_xen_open_as(&p, domid, 0);
    if (rc < 0) {
        fprintf(stderr, "peer: cannot open the platform: %s\n", strerror(-rc));
        return 1;
    }
    while (transfer(STDIN_FILENO, &m, sizeof(m), false)) {
        serve(p, &m);
        if (!transfer(STDOUT_FILENO, &m, sizeof(m), true))
            break;
    }
    xids_platform_xen_close(p);
    return 0;
}

/* ---- the peer as a platform ---- */

struct remote {
    int to, from;
    pid_t pid;
};

static int ask(void *ctx, struct message *m)
{
    struct remote *r = ctx;
    if (transfer(r->to, m, sizeof(*m), true) && transfer(r->from, m, sizeof(*m), false))
        return m->rc;
    printf("Bail out! the peer is gone\n");
    exit(1);
}

static void set_notify(struct message *m, const struct xids_unmap_notify *notify)
{
    m->has_notify = notify != NULL;
    if (notify != NULL)
        m->notify = *notify;
}

static int remote_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count,
                        unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct message m = {.call = CALL_SHARE, .domid = domid, .count = count, .flags = flags};
    set_notify(&m, notify);
    int rc = ask(ctx, &m);
    *pages = (void *)(uintptr_t)m.address;
    for (unsigned int i = 0; rc == 0 && i < count; i++)
        refs[i] = m.refs[i];
    return rc;
}

static int remote_unshare(void *ctx, void *pages, unsigned int count)
{
    return ask(ctx, &(struct message){.call = CALL_UNSHARE, .address = (uintptr_t)pages, .count = count});
}

static int remote_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
                      unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct message m = {.call = CALL_MAP, .domid = domid, .count = count, .flags = flags};
    set_notify(&m, notify);
    for (unsigned int i = 0; i < count; i++)
        m.refs[i] = refs[i];
    int rc = ask(ctx, &m);
    *area = (void XIDS_PEER *)(void *)(uintptr_t)m.address;
    return rc;
}

static int remote_unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    return ask(ctx, &(struct message){.call = CALL_UNMAP, .address = (uintptr_t)area, .count = count});
}

static int remote_alloc(void *ctx, domid_t remote)
{
    return ask(ctx, &(struct message){.call = CALL_ALLOC, .domid = remote});
}

static int remote_bind(void *ctx, domid_t remote, evtchn_port_t port)
{
    return ask(ctx, &(struct message){.call = CALL_BIND, .domid = remote, .port = port});
}

#define REMOTE_PORT(name, which)                                         \
    static int remote_##name(void *ctx, evtchn_port_t port)              \
    {                                                                    \
        return ask(ctx, &(struct message){.call = which, .port = port}); \
    }
REMOTE_PORT(notify, CALL_NOTIFY)
REMOTE_PORT(mask, CALL_MASK)
REMOTE_PORT(unmask, CALL_UNMASK)
REMOTE_PORT(close, CALL_CLOSE)
REMOTE_PORT(status, CALL_STATUS)

static int remote_pending(void *ctx)
{
    return ask(ctx, &(struct message){.call = CALL_PENDING});
}

static int remote_wait(void *ctx, uint64_t deadline)
{
    return ask(ctx, &(struct message){.call = CALL_WAIT, .number = deadline});
}

static uint64_t remote_now(void *ctx)
{
    struct message m = {.call = CALL_NOW};
    (void)ask(ctx, &m);
    return m.number;
}

static const struct xids_platform_ops remote_ops = {
    .share = remote_share,
    .unshare = remote_unshare,
    .map = remote_map,
    .unmap = remote_unmap,
    .evtchn_alloc = remote_alloc,
    .evtchn_bind = remote_bind,
    .evtchn_notify = remote_notify,
    .evtchn_mask = remote_mask,
    .evtchn_unmask = remote_unmask,
    .evtchn_close = remote_close,
    .evtchn_status = remote_status,
    .evtchn_pending = remote_pending,
    .wait = remote_wait,
    .now = remote_now,
};

static uint8_t peek(struct platform_pair *p, const void XIDS_PEER *area, uint32_t offset)
{
    struct message m = {.call = CALL_PEEK, .address = (uintptr_t)area, .number = offset};
    return (uint8_t)ask(p->ctx, &m);
}

static void poke(struct platform_pair *p, void XIDS_PEER *area, uint32_t offset, uint8_t value)
{
    struct message m = {.call = CALL_POKE, .address = (uintptr_t)area, .number = offset, .count = value};
    (void)ask(p->ctx, &m);
}

static void kill_b(struct platform_pair *p)
{
    struct remote *r = p->ctx;
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    r->pid = 0;
}

static bool start_peer(struct remote *r, char **command)
{
    int in[2], out[2];
    if (pipe(in) < 0 || pipe(out) < 0)
        return false;
    r->pid = fork();
    if (r->pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        execvp(command[0], command);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    r->to = in[1];
    r->from = out[0];
    return r->pid > 0;
}

static void stop_peer(struct remote *r)
{
    close(r->to);
    close(r->from);
    if (r->pid > 0)
        waitpid(r->pid, NULL, 0);
}

static int run_cases(domid_t a, domid_t b, char **command)
{
    bool fine = true;
    printf("1..%u\n", platform_case_count);
    for (unsigned int i = 0; i < platform_case_count; i++) {
        struct remote remote;
        struct xids_platform *here, there = {&remote_ops, &remote, b};
        int rc = xids_platform_xen_open_as(&here, a, 0);
        if (rc < 0 || !start_peer(&remote, command)) {
            printf("Bail out! cannot start: %s\n", strerror(-rc));
            return 1;
        }
        struct platform_pair pair = {here, &there, peek, poke, kill_b, &remote};
        const char *wrong = platform_cases[i].run(&pair);
        printf("%sok %u - %s\n", wrong == NULL ? "" : "not ", i + 1, platform_cases[i].name);
        if (wrong != NULL)
            printf("# %s\n", wrong);
        fflush(stdout);
        fine = fine && wrong == NULL;
        stop_peer(&remote);
        xids_platform_xen_close(here);
    }
    return fine ? 0 : 1;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "--peer") == 0)
        return peer_main((domid_t)atoi(argv[2]));
    if (argc < 4) {
        fprintf(stderr, "usage: platform_sim A B COMMAND... | --peer B\n");
        return 2;
    }
    return run_cases((domid_t)atoi(argv[1]), (domid_t)atoi(argv[2]), argv + 3);
}
