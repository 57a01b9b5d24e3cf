/* SPDX-License-Identifier: ISC */
/*
 * What domains use of their quotas: the bytes held for them, the most they have used, and what was denied to them. What
 * is held is counted where it is got and put: answers and events not sent, a request that has come in part, watches
 * with their paths, transactions. The nodes that a domain owns are counted by the store.
 */
#include "xenstore/server_impl.h"

static uint32_t clamp(uint64_t v)
{
    return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

static void raise(uint32_t *most, uint32_t v)
{
    if (v > *most)
        *most = v;
}

/* ---- what is held ---- */

void xids_xs_charge_transaction(struct xids_xs_conn *conn, struct transaction *t)
{
    int64_t grown = xids_store_tx_grown(t->tx);
    t->held += grown;
    charge(conn, grown);
}

void xids_xs_uncharge_transaction(struct xids_xs_conn *conn, const struct transaction *t)
{
    charge(conn, -t->held);
}

/* ---- what is used ---- */

/* What a connection uses, without the nodes of its domain. */
static void add_own(uint32_t now[QUOTAS], const struct xids_xs_conn *conn)
{
    now[QUOTA_WATCHES] += conn->nwatches;
    now[QUOTA_OUTSTANDING] += conn->outstanding;
    now[QUOTA_TRANSACTIONS] += conn->ntransactions;
    now[QUOTA_MEMORY] = clamp(now[QUOTA_MEMORY] + conn->usage.held);
}

static void add_nodes(uint32_t now[QUOTAS], const struct xids_xs_server *s, uint16_t domid)
{
    now[QUOTA_NODES] = xids_store_owned(s->store, domid);
    now[QUOTA_MEMORY] = clamp(now[QUOTA_MEMORY] + xids_store_owned_bytes(s->store, domid));
}

/* The most that a connection has used, in its own words and in the store's. */
static void raise_to(uint32_t most[QUOTAS], const struct xids_xs_conn *conn)
{
    for (enum quota q = 0; q < QUOTAS; q++)
        raise(&most[q], conn->peak[q]);
    raise(&most[QUOTA_TX_NODES], conn->usage.tx_nodes);
    raise(&most[QUOTA_PERMS], conn->usage.perms);
    raise(&most[QUOTA_NODE_SIZE], conn->usage.node_size);
}

/* For each request of a domain: cheap. */
void xids_xs_account(struct xids_xs_conn *conn)
{
    struct xids_xs_server *s = conn->server;
    const struct owned *table = s->store->owned[conn->who.domid >> 8], none = {0};
    const struct owned *owned = table != NULL ? &table[conn->who.domid & 0xff] : &none;
    uint32_t memory = clamp(owned->bytes + conn->usage.held);
    raise(&conn->peak[QUOTA_NODES], owned->nodes);
    raise(&conn->peak[QUOTA_MEMORY], memory);
    raise(&conn->peak[QUOTA_WATCHES], conn->nwatches);
    raise(&conn->peak[QUOTA_TRANSACTIONS], conn->ntransactions);
    raise(&conn->peak[QUOTA_OUTSTANDING], conn->outstanding);
    bool soft = !conn->who.privileged && beyond(conn->settings.limits.soft_memory, memory);
    if (soft && !conn->soft_told && s->host.denied != NULL)
        s->host.denied(s->host.ctx, conn->who.domid, "soft-memory", NULL);
    conn->soft_told = soft;
}

void xids_xs_account_end(struct xids_xs_conn *conn)
{
    if (!conn->who.privileged)
        raise_to(conn->server->peak, conn);
}

void xids_xs_used(const struct xids_xs_server *s, struct used *used, uint16_t domid)
{
    *used = (struct used){0};
    const struct xids_xs_conn *lists[] = {s->sockets, xids_xs_server_domain(s, domid)};
    for (unsigned int i = 0; i < 2; i++) {
        /* Of the rings one, of the sockets all that act for the domain. */
        for (const struct xids_xs_conn *c = lists[i]; c != NULL; c = i == 0 ? c->next : NULL) {
            if (c->who.domid != domid)
                continue;
            add_own(used->now, c);
            raise_to(used->most, c);
        }
    }
    add_nodes(used->now, s, domid);
    for (enum quota q = 0; q < QUOTAS; q++)
        raise(&used->most[q], used->now[q]);
}

void xids_xs_used_most(const struct xids_xs_server *s, uint32_t most[QUOTAS])
{
    const struct xids_xs_conn *lists[] = {s->sockets, s->rings};
    __builtin_memcpy(most, s->peak, sizeof(s->peak));
    for (unsigned int i = 0; i < 2; i++) {
        for (const struct xids_xs_conn *c = lists[i]; c != NULL; c = c->next) {
            if (!c->who.privileged)
                raise_to(most, c);
        }
    }
}

void xids_xs_forget_most(struct xids_xs_server *s)
{
    struct xids_xs_conn *lists[] = {s->sockets, s->rings};
    __builtin_memset(s->peak, 0, sizeof(s->peak));
    for (unsigned int i = 0; i < 2; i++) {
        for (struct xids_xs_conn *c = lists[i]; c != NULL; c = c->next) {
            __builtin_memset(c->peak, 0, sizeof(c->peak));
            c->usage.node_size = c->usage.perms = c->usage.tx_nodes = 0;
            xids_xs_account(c);
        }
    }
}

/* ---- what is denied ---- */

int xids_xs_deny(struct xids_xs_server *s, enum quota quota)
{
    s->denied = quota;
    return -XEN_ENOSPC;
}

static enum quota quota_of(enum xids_store_limit limit)
{
    static const enum quota quotas[] = {
        [XIDS_STORE_LIMIT_NODES] = QUOTA_NODES,   [XIDS_STORE_LIMIT_NODE_SIZE] = QUOTA_NODE_SIZE,
        [XIDS_STORE_LIMIT_PERMS] = QUOTA_PERMS,   [XIDS_STORE_LIMIT_TX_NODES] = QUOTA_TX_NODES,
        [XIDS_STORE_LIMIT_MEMORY] = QUOTA_MEMORY,
    };
    return quotas[limit];
}

void xids_xs_denied(struct xids_xs_conn *conn, enum quota quota, const struct xids_store_path *path)
{
    struct xids_xs_server *s = conn->server;
    if (quota == QUOTAS)
        quota = s->denied != QUOTAS ? s->denied : quota_of(xids_store_refused(s->store));
    s->denied = QUOTAS;
    s->stats.denials++;
    conn->done.denials++;
    if (s->host.denied != NULL && !conn->who.privileged)
        s->host.denied(s->host.ctx, conn->who.domid, xids_xs_quotas[quota].name, path != NULL ? path->bytes : NULL);
}
