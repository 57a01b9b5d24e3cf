/* SPDX-License-Identifier: ISC */
/* The tables of CONTROL: quota and quota-soft, as C xenstored prints them, and memreport. */
#include "xenstore/server_impl.h"

/* ---- text ---- */

struct text {
    size_t len;
    char bytes[XIDS_XSWIRE_PAYLOAD_MAX];
};

static void put(struct text *t, const char *s, size_t len)
{
    if (len > sizeof(t->bytes) - t->len)
        len = sizeof(t->bytes) - t->len;
    __builtin_memcpy(t->bytes + t->len, s, len);
    t->len += len;
}

static void say(struct text *t, const char *s)
{
    put(t, s, xids_xswire_string(s).len - 1);
}

static void spaces(struct text *t, size_t have, size_t want)
{
    for (; have < want; have++)
        put(t, " ", 1);
}

/* A word and what makes it 17 wide, as all rows begin. */
static void say_name(struct text *t, const char *name)
{
    say(t, name);
    spaces(t, xids_xswire_string(name).len - 1, 17);
    say(t, ": ");
}

static void say_number(struct text *t, uint64_t value, size_t width)
{
    char digits[21];
    size_t len = xids_xswire_format_decimal64(digits, value);
    spaces(t, len, width);
    put(t, digits, len);
}

static int reply(struct request *r, struct text *t)
{
    put(t, "", 1);
    xids_xs_reply(r, t->bytes, t->len);
    return 0;
}

/* ---- quotas ---- */

static int show_limits(struct request *r, bool soft)
{
    struct xids_xs_limits limits = r->conn->server->limits;
    struct text t = {0};
    say(&t, "Quota settings:\n");
    for (enum quota q = 0; q < QUOTAS; q++) {
        const uint32_t *limit = xids_xs_quota_limit(&limits, q, soft);
        if (limit == NULL)
            continue;
        say_name(&t, xids_xs_quotas[q].name);
        say_number(&t, *limit, 8);
        say(&t, " ");
        say(&t, xids_xs_quotas[q].what);
        say(&t, "\n");
    }
    return reply(r, &t);
}

static int set_limit(struct request *r, const struct xids_xswire_str *argv, unsigned int argc, bool soft)
{
    uint32_t value = 0;
    if (argc != 2 || xids_xswire_decimal(&value, argv[1].s, argv[1].len, INT32_MAX) < 0 || value == 0)
        return -XEN_EINVAL;
    enum quota q = xids_xs_quota_find(argv[0].s, argv[0].len);
    uint32_t *limit = q < QUOTAS ? xids_xs_quota_limit(&r->conn->server->limits, q, soft) : NULL;
    if (limit == NULL)
        return -XEN_EINVAL;
    *limit = value;
    note_globals(r->conn->server);
    xids_xs_reply_ok(r);
    return 0;
}

static int show_used(struct request *r, const struct xids_xswire_str *arg)
{
    const struct xids_xs_server *s = r->conn->server;
    struct text t = {0};
    struct used used;
    uint16_t domid = 0;
    if (xids_xs_domid_arg(&domid, arg) < 0)
        return -XEN_EINVAL;
    if (!xids_xs_is_known(s, domid))
        return -XEN_ENOENT;
    xids_xs_used(s, &used, domid);
    say(&t, "Domain ");
    say_number(&t, domid, 0);
    say(&t, ":\n");
    for (enum quota q = 0; q < QUOTAS; q++) {
        say_name(&t, xids_xs_quotas[q].name);
        say_number(&t, used.now[q], 8);
        say(&t, " (max ");
        say_number(&t, used.most[q], 8);
        say(&t, ")\n");
    }
    return reply(r, &t);
}

static int show_most(struct request *r, const struct xids_xswire_str *argv, unsigned int argc)
{
    struct xids_xs_server *s = r->conn->server;
    struct text t = {0};
    uint32_t most[QUOTAS];
    if (argc > 1 || (argc == 1 && !xids_xs_is_word(&argv[0], "-r")))
        return -XEN_EINVAL;
    if (argc == 1)
        xids_xs_forget_most(s);
    xids_xs_used_most(s, most);
    say(&t, "Max. seen accounting values:\n");
    for (enum quota q = 0; q < QUOTAS; q++) {
        say_name(&t, xids_xs_quotas[q].name);
        say_number(&t, most[q], 8);
        say(&t, "\n");
    }
    return reply(r, &t);
}

int xids_xs_control_quota(struct request *r, const struct xids_xswire_str *argv, unsigned int argc)
{
    if (argc == 1)
        return show_limits(r, false);
    if (xids_xs_is_word(&argv[1], "set"))
        return set_limit(r, argv + 2, argc - 2, false);
    if (xids_xs_is_word(&argv[1], "max"))
        return show_most(r, argv + 2, argc - 2);
    return argc == 2 ? show_used(r, &argv[1]) : -XEN_EINVAL;
}

int xids_xs_control_quota_soft(struct request *r, const struct xids_xswire_str *argv, unsigned int argc)
{
    if (argc == 1)
        return show_limits(r, true);
    return xids_xs_is_word(&argv[1], "set") ? set_limit(r, argv + 2, argc - 2, true) : -XEN_EINVAL;
}

/* ---- memory ---- */

struct sum {
    uint64_t count, bytes;
};

static void add(struct sum *sum, uint64_t bytes)
{
    sum->count++;
    sum->bytes += bytes;
}

enum kind {
    KIND_CONNECTIONS,
    KIND_NODES,
    KIND_WATCHES,
    KIND_TRANSACTIONS,
    KIND_EVENTS,
    KIND_ANSWERS,
    KIND_REQUESTS,
    KIND_TABLES,
    KINDS,
};

static void add_connection(struct sum sums[KINDS], const struct xids_xs_conn *c)
{
    add(&sums[KIND_CONNECTIONS], sizeof(*c) + (c->forgotten != NULL ? sizeof(*c->forgotten) : 0));
    for (const struct watch *w = c->watches; w != NULL; w = w->conn_next)
        add(&sums[KIND_WATCHES], xids_xs_watch_cost(w));
    for (const struct transaction *t = c->transactions; t != NULL; t = t->next)
        add(&sums[KIND_TRANSACTIONS], (uint64_t)t->held);
    for (const struct pending *p = c->pending; p != NULL; p = p->next)
        add(&sums[KIND_EVENTS], FLEXIBLE(struct pending, path, p->len));
    if (c->out.cap > 0)
        add(&sums[KIND_ANSWERS], c->out.cap);
    if (c->partial_cap > 0)
        add(&sums[KIND_REQUESTS], c->partial_cap);
}

int xids_xs_control_memreport(struct request *r, const struct xids_xswire_str *argv, unsigned int argc)
{
    static const char *const names[KINDS] = {
        [KIND_CONNECTIONS] = "connections",   [KIND_NODES] = "nodes",   [KIND_WATCHES] = "watches",
        [KIND_TRANSACTIONS] = "transactions", [KIND_EVENTS] = "events", [KIND_ANSWERS] = "answers",
        [KIND_REQUESTS] = "requests",         [KIND_TABLES] = "tables",
    };
    const struct xids_xs_server *s = r->conn->server;
    struct sum sums[KINDS] = {{0}};
    struct text t = {0};
    if (argc > 2)
        return -XEN_EINVAL;
    for (const struct xids_xs_conn *c = s->sockets; c != NULL; c = c->next)
        add_connection(sums, c);
    for (const struct xids_xs_conn *c = s->rings; c != NULL; c = c->next)
        add_connection(sums, c);
    sums[KIND_NODES] = (struct sum){xids_store_nodes(s->store), xids_store_bytes(s->store)};
    add(&sums[KIND_TABLES], xids_store_tables_bytes(s->store));
    add(&sums[KIND_TABLES], s->matches_cap * sizeof(struct watch *));
    for (unsigned int i = 0; i < 256; i++) {
        if (s->domains[i] != NULL)
            add(&sums[KIND_TABLES], 256 * sizeof(struct xids_xs_conn *));
    }
    say(&t, "Memory:              count        bytes\n");
    uint64_t total = 0;
    for (enum kind k = 0; k < KINDS; k++) {
        say_name(&t, names[k]);
        say_number(&t, sums[k].count, 8);
        say_number(&t, sums[k].bytes, 13);
        say(&t, "\n");
        total += sums[k].bytes;
    }
    say_name(&t, "total");
    say_number(&t, total, 21);
    say(&t, "\n");
    if (argc == 1)
        return reply(r, &t);
    if (s->host.report == NULL)
        return -XEN_EINVAL;
    int rc = s->host.report(s->host.ctx, argv[1].s, t.bytes, t.len);
    if (rc == 0)
        xids_xs_reply_ok(r);
    return rc;
}
