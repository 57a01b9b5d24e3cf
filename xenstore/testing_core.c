/* SPDX-License-Identifier: ISC */
/* The serving side as a whole: made, ended, and carrying out calls. */
#include "xenstore/testing_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- coming and going ---- */

static void *mem_get(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void mem_put(void *ctx, void *mem, size_t size)
{
    (void)ctx;
    (void)size;
    free(mem);
}

static int make_directory(struct tst_core *core, const char *directory)
{
    core->directory = strdup(directory);
    if (core->directory == NULL)
        return -XEN_ENOMEM;
    core->made_directory = mkdir(directory, 0700) == 0;
    return core->made_directory || errno == EEXIST ? 0 : -errno;
}

static int make_server(struct tst_core *core, const struct xids_xs_limits *limits)
{
    struct xids_xs_host host = tst_host;
    struct xids_xs_server_config config = {.alloc = {mem_get, mem_put, NULL}, .limits = limits, .host = &host};
    host.ctx = core;
    /* The keyed hash shows in no answer, so that nothing depends on it. */
    (void)!getrandom(config.seed, sizeof(config.seed), GRND_NONBLOCK);
    int rc = xids_xs_server_new(&core->server, &config);
    return rc < 0 ? rc : xids_xs_server_connect(core->server, &core->own, NULL);
}

static int build(struct tst_core *core, const struct xids_test_store_config *config)
{
    unsigned int line;
    core->epoll = epoll_create1(EPOLL_CLOEXEC);
    core->wake = (struct tst_source){TST_WAKE, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), NULL};
    if (core->epoll < 0 || core->wake.fd < 0)
        return -errno;
    int rc = tst_watch_fd(core, &core->wake, EPOLLIN, true);
    if (rc == 0 && config->directory != NULL)
        rc = make_directory(core, config->directory);
    if (rc == 0)
        rc = make_server(core, config->limits);
    if (rc == 0)
        rc = tst_listen(core, 0);
    if (rc == 0 && !core->manual)
        rc = tst_listen(core, -1);
    if (rc == 0 && config->tree != NULL)
        rc = tst_load(core, &line, config->tree);
    return rc;
}

int tst_core_new(struct tst_core **out, const struct xids_test_store_config *config)
{
    struct tst_core *core = calloc(1, sizeof(*core));
    if (core == NULL)
        return -XEN_ENOMEM;
    if (pthread_mutex_init(&core->lock, NULL) != 0) {
        free(core);
        return -XEN_ENOMEM;
    }
    core->epoll = core->wake.fd = core->lifeline.fd = -1;
    core->manual = config->mode == XIDS_TEST_STORE_MANUAL;
    int rc = build(core, config);
    if (rc < 0) {
        tst_core_free(core);
        return rc;
    }
    *out = core;
    return 0;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

void tst_core_free(struct tst_core *core)
{
    while (core->clients != NULL)
        tst_client_free(core, core->clients);
    while (core->listeners != NULL)
        tst_listener_free(core, core->listeners);
    xids_xs_server_free(core->server);
    tst_domains_free(core);
    (void)tst_fault_clear(core, 0);
    tst_text_free(&core->log);
    if (core->made_directory)
        (void)rmdir(core->directory);
    free(core->directory);
    close_fd(core->epoll);
    close_fd(core->wake.fd);
    close_fd(core->lifeline.fd);
    (void)pthread_mutex_destroy(&core->lock);
    free(core);
}

/* ---- what there is ---- */

static void list_watch(void *ctx, const struct xids_xs_watch *w)
{
    struct tst_text *out = ctx;
    const struct tst_peer *peer = xids_xs_conn_data(w->conn);
    if (peer == NULL)
        return;
    tst_peer_name(out, peer);
    tst_text_str(out, " ");
    tst_text_word(out, w->path, w->path_len);
    tst_text_str(out, " ");
    tst_text_word(out, w->token, w->token_len);
    if (w->depth >= 0)
        tst_text_printf(out, " depth %d", (int)w->depth);
    tst_text_str(out, "\n");
}

static void list_transactions(struct tst_text *out, const struct tst_peer *peer, const struct xids_xs_conn *conn)
{
    uint32_t n = xids_xs_conn_transactions(conn);
    for (uint32_t i = 0; i < n; i++) {
        tst_text_str(out, "transaction of ");
        tst_peer_name(out, peer);
        tst_text_str(out, "\n");
    }
}

static void transactions(struct tst_core *core, struct tst_text *out)
{
    for (const struct tst_client *c = core->clients; c != NULL; c = c->next)
        list_transactions(out, &c->peer, c->conn);
    for (const struct tst_domain *d = core->domains; d != NULL; d = d->next) {
        const struct xids_xs_conn *conn = d->introduced ? xids_xs_server_domain(core->server, d->peer.domid) : NULL;
        if (conn != NULL)
            list_transactions(out, &d->peer, conn);
    }
}

static void counts(struct tst_core *core, uint64_t v[5])
{
    struct xids_xs_server_stats stats;
    xids_xs_server_stats(core->server, &stats);
    v[0] = core->requests;
    v[1] = 0;
    for (const struct tst_client *c = core->clients; c != NULL; c = c->next)
        v[1]++;
    v[2] = stats.domains;
    v[3] = stats.watches;
    v[4] = stats.transactions;
}

static int path_of(struct tst_core *core, struct tst_text *out, int domid)
{
    const struct tst_listener *l = tst_listener_of(core, domid);
    if (l == NULL)
        return -XEN_ENOENT;
    tst_text_str(out, l->path);
    return 0;
}

static void log_text(const struct tst_core *core, struct tst_text *out)
{
    tst_text_add(out, core->log.s, core->log.len);
    if (core->log_lost > 0)
        tst_text_printf(out, "(%llu more)\n", (unsigned long long)core->log_lost);
}

static void let_go(struct tst_core *core)
{
    for (struct tst_client *c = core->clients; c != NULL; c = c->next) {
        for (struct tst_verdict *v = c->verdicts; v != NULL; v = v->next) {
            v->held = false;
            v->until_requests = v->until_ns = 0;
        }
    }
}

/* ---- calls ---- */

static int fault_hits(struct tst_core *core, int number)
{
    const struct tst_fault *f = tst_fault_of(core, number);
    if (f == NULL)
        return -XEN_ENOENT;
    return f->hits < INT32_MAX ? (int)f->hits : INT32_MAX;
}

static int settle(struct tst_core *core)
{
    tst_turns(core);
    return (int)tst_held_back(core);
}

static int carry_out(struct tst_core *core, const struct tst_op *op, struct tst_result *r)
{
    const char *text = op->has_text ? op->text : NULL;
    const domid_t domid = (domid_t)op->a[0];
    unsigned int line = 0;
    int rc = 0;
    switch (op->code) {
    case TST_OP_PATH:
        return path_of(core, &r->text, (int)op->a[0]);
    case TST_OP_INTRODUCE:
        return tst_introduce(core, domid, op->a[1] != 0);
    case TST_OP_SHUTDOWN:
        return tst_shutdown(core, domid);
    case TST_OP_DESTROY:
        return tst_destroy(core, domid);
    case TST_OP_LIMIT:
        return text != NULL ? tst_limit(core, domid, text, op->a[1]) : -XEN_EINVAL;
    case TST_OP_FAULT:
        return tst_fault_add(core, op);
    case TST_OP_HITS:
        return fault_hits(core, (int)op->a[0]);
    case TST_OP_CLEAR:
        return tst_fault_clear(core, (int)op->a[0]);
    case TST_OP_LET_GO:
        let_go(core);
        return 0;
    case TST_OP_SETTLE:
        return settle(core);
    case TST_OP_DUMP:
        return tst_dump(core, &r->text, text, op->a[0]);
    case TST_OP_LOAD:
        rc = tst_load(core, &line, text != NULL ? text : "");
        r->v[0] = line;
        return rc;
    case TST_OP_LOG:
        log_text(core, &r->text);
        return 0;
    case TST_OP_LOG_CLEAR:
        core->log.len = 0;
        core->log_lost = 0;
        return 0;
    case TST_OP_WATCHES:
        xids_xs_server_each_watch(core->server, list_watch, &r->text);
        return 0;
    case TST_OP_TRANSACTIONS:
        transactions(core, &r->text);
        return 0;
    case TST_OP_COUNTS:
        counts(core, r->v);
        return 0;
    default:
        return -XEN_EINVAL;
    }
}

void tst_execute(struct tst_core *core, const struct tst_op *op, struct tst_result *result)
{
    result->rc = carry_out(core, op, result);
    tst_flush(core);
}
