/* SPDX-License-Identifier: ISC */
/* Quotas by name, and the settings of a domain: GET_QUOTA, SET_QUOTA, GET_FEATURE, SET_FEATURE. */
#include "xenstore/server_impl.h"

const struct xids_xs_limits xids_xs_limits_default = {
    .store = {.nodes = 1000, .node_size = 2048, .perms = 5, .tx_nodes = 1024},
    .watches = 128,
    .transactions = 10,
    .outstanding = 20,
    .path_max = 2048,
    .memory = 2560u * 1024u,
    .soft_memory = 2048u * 1024u,
};

/* ---- names ---- */

#define LIMIT(field) offsetof(struct xids_xs_limits, field)

/* In the order in which C xenstored lists them. */
static const struct {
    const char *name;
    size_t at; /* in struct xids_xs_limits */
} quotas[] = {
    {"nodes", LIMIT(store.nodes)},
    {"watches", LIMIT(watches)},
    {"outstanding", LIMIT(outstanding)},
    {"memory", LIMIT(memory)},
    {"soft-memory", LIMIT(soft_memory)},
    {"transactions", LIMIT(transactions)},
    {"transaction-nodes", LIMIT(store.tx_nodes)},
    {"node-permissions", LIMIT(store.perms)},
    {"path-max", LIMIT(path_max)},
    {"node-size", LIMIT(store.node_size)},
};

#define QUOTAS (sizeof(quotas) / sizeof(quotas[0]))

uint32_t *xids_xs_limit(struct xids_xs_limits *limits, const char *name, size_t len)
{
    for (size_t i = 0; i < QUOTAS; i++) {
        if (xids_xswire_string(quotas[i].name).len - 1 == len && __builtin_memcmp(quotas[i].name, name, len) == 0)
            return (uint32_t *)(void *)((char *)limits + quotas[i].at);
    }
    return NULL;
}

/* ---- domains that are not introduced yet ---- */

struct early *xids_xs_early(struct xids_xs_server *s, uint16_t domid)
{
    struct early *e = s->early;
    while (e != NULL && e->domid != domid)
        e = e->next;
    return e;
}

int xids_xs_early_make(struct xids_xs_server *s, struct early **early, uint16_t domid)
{
    struct early *e = xids_xs_early(s, domid);
    if (e == NULL) {
        e = xids_xs_get(s, sizeof(*e));
        if (e == NULL)
            return -XEN_ENOMEM;
        *e = (struct early){.next = s->early, .domid = domid, .settings = {.limits = s->limits, .features = FEATURES}};
        s->early = e;
    }
    *early = e;
    return 0;
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
    if (rc == 0)
        *settings = c != NULL ? &c->settings : &e->settings;
    return rc;
}

static void reply_number(struct request *r, uint32_t value)
{
    char text[11];
    size_t len = xids_xswire_format_decimal(text, value);
    xids_xs_reply(r, text, len + 1);
}

static int quota_names(struct request *r)
{
    struct xids_xswire_part parts[2 * QUOTAS];
    unsigned int n = 0;
    for (size_t i = 0; i < QUOTAS; i++) {
        if (i > 0)
            parts[n++] = (struct xids_xswire_part){" ", 1};
        parts[n] = xids_xswire_string(quotas[i].name);
        parts[n++].len -= i + 1 < QUOTAS;
    }
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
    *xids_xs_limit(limits, args[n - 2].s, args[n - 2].len) = value;
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
