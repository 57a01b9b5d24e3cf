/* SPDX-License-Identifier: ISC */
/* Quotas by name, and the settings of a domain: GET_QUOTA, SET_QUOTA, GET_FEATURE, SET_FEATURE. */
#include "xenstore/server_impl.h"

const struct xids_xs_limits xids_xs_limits_default = {
    .store = {.nodes = 1000, .node_size = 2048, .perms = 5, .tx_nodes = 1024, .memory = 2560u * 1024u},
    .watches = 128,
    .transactions = 10,
    .outstanding = 20,
    .path_max = 2048,
    .soft_memory = 2048u * 1024u,
};

/* ---- names ---- */

/* One more than where it is: 0 is none. */
#define LIMIT(field) (offsetof(struct xids_xs_limits, field) + 1)

const struct quota_name xids_xs_quotas[QUOTAS] = {
    [QUOTA_NODES] = {"nodes", "nodes that a domain owns", LIMIT(store.nodes), 0},
    [QUOTA_WATCHES] = {"watches", "watches of a domain", LIMIT(watches), 0},
    [QUOTA_OUTSTANDING] = {"outstanding", "answers that a domain has not fetched", LIMIT(outstanding), 0},
    [QUOTA_MEMORY] = {"memory", "bytes held for a domain", LIMIT(store.memory), LIMIT(soft_memory)},
    [QUOTA_TRANSACTIONS] = {"transactions", "transactions that a domain has open", LIMIT(transactions), 0},
    [QUOTA_TX_NODES] = {"transaction-nodes", "paths that a transaction names", LIMIT(store.tx_nodes), 0},
    [QUOTA_PERMS] = {"node-permissions", "permissions of a node", LIMIT(store.perms), 0},
    [QUOTA_PATH_MAX] = {"path-max", "bytes of a path", LIMIT(path_max), 0},
    [QUOTA_NODE_SIZE] = {"node-size", "bytes of a node", LIMIT(store.node_size), 0},
};

static const char soft_prefix[] = "soft-";

#define SOFT (sizeof(soft_prefix) - 1)

enum quota xids_xs_quota_find(const char *name, size_t len)
{
    for (enum quota q = 0; q < QUOTAS; q++) {
        const char *known = xids_xs_quotas[q].name;
        if (xids_xswire_string(known).len - 1 == len && __builtin_memcmp(known, name, len) == 0)
            return q;
    }
    return QUOTAS;
}

uint32_t *xids_xs_quota_limit(struct xids_xs_limits *limits, enum quota quota, bool soft)
{
    size_t at = soft ? xids_xs_quotas[quota].soft : xids_xs_quotas[quota].hard;
    return at != 0 ? (uint32_t *)(void *)((char *)limits + at - 1) : NULL;
}

uint32_t *xids_xs_limit(struct xids_xs_limits *limits, const char *name, size_t len)
{
    bool soft = len > SOFT && __builtin_memcmp(name, soft_prefix, SOFT) == 0;
    enum quota q = soft ? xids_xs_quota_find(name + SOFT, len - SOFT) : xids_xs_quota_find(name, len);
    return q < QUOTAS ? xids_xs_quota_limit(limits, q, soft) : NULL;
}

const char *xids_xs_limit_name(unsigned int i)
{
    if (i < QUOTAS)
        return xids_xs_quotas[i].name;
    return i == QUOTAS ? "soft-memory" : NULL;
}

/* ---- domains that are not introduced yet ---- */

struct early *xids_xs_early(struct xids_xs_server *s, uint16_t domid)
{
    struct early *e = s->early;
    while (e != NULL && e->domid != domid)
        e = e->next;
    return e;
}

int xids_xs_early_new(struct xids_xs_server *s, struct early **early, uint16_t domid)
{
    struct early *e = xids_xs_get(s, sizeof(*e));
    if (e == NULL)
        return -XEN_ENOMEM;
    *e = (struct early){.next = s->early, .domid = domid, .settings = {.limits = s->limits, .features = FEATURES}};
    s->early = e;
    *early = e;
    return 0;
}

int xids_xs_early_make(struct xids_xs_server *s, struct early **early, uint16_t domid)
{
    *early = xids_xs_early(s, domid);
    return *early != NULL ? 0 : xids_xs_early_new(s, early, domid);
}

void xids_xs_early_drop(struct xids_xs_server *s, uint16_t domid)
{
    struct early **at = &s->early, *e;
    while (*at != NULL && (*at)->domid != domid)
        at = &(*at)->next;
    e = *at;
    if (e == NULL)
        return;
    *at = e->next;
    note_globals(s);
    xids_xs_put(s, e, sizeof(*e));
}

void xids_xs_early_take(struct xids_xs_conn *conn)
{
    const struct early *e = xids_xs_early(conn->server, conn->who.domid);
    if (e == NULL)
        return;
    conn->settings = e->settings;
    xids_xs_early_drop(conn->server, conn->who.domid);
}

void xids_xs_early_free_all(struct xids_xs_server *s)
{
    while (s->early != NULL)
        xids_xs_early_drop(s, s->early->domid);
}

/* ---- requests ---- */

static int named_domain(uint16_t *domid, const struct request *r, const struct xids_xswire_str *arg)
{
    int rc = xids_xs_domid_arg(domid, arg);
    if (rc == 0 && (*domid >= DOMID_FIRST_RESERVED || xids_xs_is_unknown(r->conn->server, *domid)))
        rc = -XEN_ENOENT;
    return rc;
}

/* What is set for a domain. */
static int settings_of(struct settings *settings, const struct request *r, const struct xids_xswire_str *arg)
{
    struct xids_xs_server *s = r->conn->server;
    uint16_t domid = 0;
    int rc = named_domain(&domid, r, arg);
    if (rc < 0)
        return rc;
    const struct xids_xs_conn *c = xids_xs_server_domain(s, domid);
    const struct early *e = xids_xs_early(s, domid);
    *settings = (struct settings){.limits = s->limits, .features = FEATURES};
    if (c != NULL)
        *settings = c->settings;
    else if (e != NULL)
        *settings = e->settings;
    return 0;
}

/* The same to be changed. A domain that is not known yet is looked after from now on, should it die first. */
static int settings_to_change(struct settings **settings, bool *known, const struct request *r,
                              const struct xids_xswire_str *arg)
{
    struct xids_xs_server *s = r->conn->server;
    uint16_t domid = 0;
    struct early *e = NULL;
    int rc = named_domain(&domid, r, arg);
    if (rc == 0 && !xids_xs_lasting(s, domid))
        rc = xids_xs_give_rights(r->conn, domid);
    if (rc < 0)
        return rc;
    struct xids_xs_conn *c = xids_xs_server_domain(s, domid);
    *known = c != NULL || xids_xs_lasting(s, domid);
    if (c == NULL)
        rc = xids_xs_early_make(s, &e, domid);
    if (rc < 0)
        return rc;
    *settings = c != NULL ? &c->settings : &e->settings;
    if (c != NULL)
        note_conn(c);
    else
        note_globals(s);
    return 0;
}

static void reply_number(struct request *r, uint32_t value)
{
    char text[11];
    size_t len = xids_xswire_format_decimal(text, value);
    xids_xs_reply(r, text, len + 1);
}

static int quota_names(struct request *r)
{
    struct xids_xswire_part parts[5 * QUOTAS];
    unsigned int n = 0;
    for (enum quota q = 0; q < QUOTAS; q++) {
        struct xids_xswire_part name = xids_xswire_string(xids_xs_quotas[q].name);
        name.len--;
        if (n > 0)
            parts[n++] = (struct xids_xswire_part){" ", 1};
        parts[n++] = name;
        if (xids_xs_quotas[q].soft == 0)
            continue;
        parts[n++] = (struct xids_xswire_part){" ", 1};
        parts[n++] = (struct xids_xswire_part){soft_prefix, SOFT};
        parts[n++] = name;
    }
    parts[n++] = (struct xids_xswire_part){"", 1};
    xids_xs_reply_parts(r, parts, n);
    return 0;
}

int xids_xs_op_get_quota(struct request *r)
{
    struct xids_xswire_str args[2];
    struct settings settings = {.limits = r->conn->server->limits};
    unsigned int n = xids_xswire_split(args, 2, NULL, r->msg->payload, r->msg->len);
    if (xids_xswire_count(r->msg->payload, r->msg->len) > 2)
        return -XEN_EINVAL;
    if (n == 0)
        return quota_names(r);
    int rc = n == 2 ? settings_of(&settings, r, &args[0]) : 0;
    if (rc < 0)
        return rc;
    const uint32_t *limit = xids_xs_limit(&settings.limits, args[n - 1].s, args[n - 1].len);
    if (limit == NULL)
        return -XEN_EINVAL;
    reply_number(r, *limit);
    return 0;
}

/* A host may have sockets act as a domain. */
static void tell_sockets(struct xids_xs_server *s, const struct xids_xswire_str *arg, const struct settings *settings)
{
    uint16_t domid = 0;
    if (xids_xs_domid_arg(&domid, arg) < 0)
        return;
    for (struct xids_xs_conn *c = s->sockets; c != NULL; c = c->next) {
        if (c->who.domid == domid)
            c->settings.limits = settings->limits;
    }
}

int xids_xs_op_set_quota(struct request *r)
{
    struct xids_xswire_str args[3];
    struct settings *settings = NULL;
    struct xids_xs_limits *limits = &r->conn->server->limits;
    uint32_t value = 0;
    bool known;
    unsigned int n = xids_xswire_split(args, 3, NULL, r->msg->payload, r->msg->len);
    if (xids_xswire_count(r->msg->payload, r->msg->len) != n || n < 2 ||
        xids_xswire_decimal(&value, args[n - 1].s, args[n - 1].len, UINT32_MAX - 1) < 0 ||
        xids_xs_limit(limits, args[n - 2].s, args[n - 2].len) == NULL)
        return -XEN_EINVAL;
    int rc = n == 3 ? settings_to_change(&settings, &known, r, &args[0]) : 0;
    if (rc < 0)
        return rc;
    if (n == 3)
        limits = &settings->limits;
    else
        note_globals(r->conn->server);
    *xids_xs_limit(limits, args[n - 2].s, args[n - 2].len) = value;
    if (n == 3)
        tell_sockets(r->conn->server, &args[0], settings);
    xids_xs_reply_ok(r);
    return 0;
}

int xids_xs_op_get_feature(struct request *r)
{
    struct xids_xswire_str arg;
    struct settings settings = r->conn->settings;
    unsigned int n = xids_xswire_count(r->msg->payload, r->msg->len);
    if (n > 0) {
        if (!r->conn->who.privileged)
            return -XEN_EACCES;
        if (n > 1 || xids_xswire_split(&arg, 1, NULL, r->msg->payload, r->msg->len) != 1)
            return -XEN_EINVAL;
        int rc = settings_of(&settings, r, &arg);
        if (rc < 0)
            return rc;
    }
    reply_number(r, settings.features);
    return 0;
}

int xids_xs_op_set_feature(struct request *r)
{
    struct xids_xswire_str args[2];
    struct settings *settings = NULL;
    uint32_t features = 0;
    bool known = false;
    if (xids_xswire_count(r->msg->payload, r->msg->len) != 2 ||
        xids_xswire_split(args, 2, NULL, r->msg->payload, r->msg->len) != 2 ||
        xids_xswire_decimal(&features, args[1].s, args[1].len, UINT32_MAX) < 0)
        return -XEN_EINVAL;
    int rc = settings_to_change(&settings, &known, r, &args[0]);
    if (rc < 0)
        return rc;
    if (known)
        return -XEN_EBUSY;
    if ((features & ~FEATURES) != 0)
        return -XEN_EINVAL;
    settings->features = features;
    xids_xs_reply_ok(r);
    return 0;
}
