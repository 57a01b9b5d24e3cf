/* SPDX-License-Identifier: ISC */
/* What the server holds, for its host to show: nothing here changes the store. */
#include "xenstore/server_impl.h"

/* The path of a watch, written from its last name up. Returns its length. */
static size_t watch_path(char *out, const struct watch_node *at)
{
    size_t len = 0;
    for (const struct watch_node *n = at; n->parent != NULL; n = n->parent)
        len += n->name_len + (n->parent->parent != NULL ? 1u : 0u);
    size_t end = len;
    for (const struct watch_node *n = at; n->parent != NULL; n = n->parent) {
        end -= n->name_len;
        __builtin_memcpy(out + end, n->name, n->name_len);
        if (n->parent->parent != NULL)
            out[--end] = '/';
    }
    /* The root is an empty name. */
    if (len == 0)
        out[len++] = '/';
    return len;
}

static void each_of(const struct xids_xs_conn *conn, void (*each)(void *ctx, const struct xids_xs_watch *w), void *ctx)
{
    char path[XIDS_STORE_PATH_MAX + 1];
    for (; conn != NULL; conn = conn->next) {
        const struct watch *w = conn->watches;
        while (w != NULL && w->conn_next != NULL)
            w = w->conn_next;
        for (; w != NULL; w = w->conn_prev) {
            const struct xids_xs_watch shown = {
                .conn = w->conn,
                .path = path,
                .token = w->token,
                .path_len = watch_path(path, w->at),
                .token_len = w->token_len,
                .depth = w->depth,
            };
            each(ctx, &shown);
        }
    }
}

void xids_xs_server_each_watch(const struct xids_xs_server *s, void (*each)(void *ctx, const struct xids_xs_watch *w),
                               void *ctx)
{
    each_of(s->sockets, each, ctx);
    each_of(s->rings, each, ctx);
}

void xids_xs_server_trace(struct xids_xs_server *s, const struct xids_xs_tracer *tracer)
{
    s->tracer = tracer;
}

int xids_xs_server_domain_stats(const struct xids_xs_server *s, struct xids_xs_domain_stats *stats, uint16_t domid)
{
    const struct xids_xs_conn *c = xids_xs_server_domain(s, domid);
    if (c == NULL)
        return -XEN_ENOENT;
    *stats = (struct xids_xs_domain_stats){
        .requests = c->done.requests,
        .events = c->done.events,
        .commits = c->done.commits,
        .conflicts = c->done.conflicts,
        .denials = c->done.denials,
        .memory = c->usage.held + xids_store_owned_bytes(s->store, domid),
        .nodes = xids_store_owned(s->store, domid),
        .watches = c->nwatches,
        .transactions = c->ntransactions,
        .outstanding = c->outstanding,
        .broken = c->broken,
        .shutdown = c->shutdown,
    };
    return 0;
}

uint32_t xids_xs_conn_transactions(const struct xids_xs_conn *conn)
{
    return conn->ntransactions;
}
