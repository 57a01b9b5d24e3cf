/* SPDX-License-Identifier: ISC */
/* The requests about nodes, watches and transactions. Which answers go before which events: docs/spec/xenstore.md. */
#include "xenstore/server_impl.h"

/* ---- arguments ---- */

/* The payload of a request that has one argument: exactly one NUL, at its end. */
int xids_xs_one_arg(const struct request *r, struct xids_xswire_str *arg)
{
    size_t rest;
    if (xids_xswire_split(arg, 1, &rest, r->msg->payload, r->msg->len) != 1 || rest != 0)
        return -XEN_EINVAL;
    return 0;
}

/* The bytes of "/local/domain/N/" at the start of a path, which the limit of its length leaves out. */
static size_t uncounted(const char *path, size_t len)
{
    static const char home[] = "/local/domain/";
    size_t at = sizeof(home) - 1, digits = 0;
    if (len < at || __builtin_memcmp(path, home, at) != 0)
        return 0;
    while (at + digits < len && digits < 5 && path[at + digits] >= '0' && path[at + digits] <= '9')
        digits++;
    at += digits;
    return digits > 0 && at < len && path[at] == '/' ? at + 1 : 0;
}

int xids_xs_path(struct request *r, struct xids_store_path *p, const struct xids_xswire_str *str, bool special,
                 size_t *prefix)
{
    struct xids_xs_conn *conn = r->conn;
    struct xids_store *store = conn->server->store;
    bool relative = str->len > 0 && str->s[0] != '/' && str->s[0] != '@';
    if (str->len > 0 && str->s[0] == '@' && !special)
        return -XEN_EINVAL;
    int rc = relative ? xids_store_path_join(store, p, conn->home, conn->home_len, str->s, str->len)
                      : xids_store_path_set(store, p, str->s, str->len);
    if (rc < 0)
        return rc;
    if (!conn->who.privileged) {
        size_t len;
        const char *bytes = xids_store_path_bytes(p, &len);
        len -= uncounted(bytes, len);
        if (beyond(conn->settings.limits.path_max, len + 1)) {
            xids_xs_denied(conn, QUOTA_PATH_MAX, p);
            return -XEN_EINVAL;
        }
        if (len > conn->peak[QUOTA_PATH_MAX])
            conn->peak[QUOTA_PATH_MAX] = (uint32_t)len;
    }
    r->path = p;
    if (prefix != NULL)
        *prefix = relative ? conn->home_len + 1u : 0;
    return 0;
}

/* The same for a path: a NUL within is refused with the other characters that are none of a path's. */
static int one_path(struct request *r, bool special)
{
    const char *payload = r->msg->payload;
    uint32_t len = r->msg->len;
    if (len == 0 || payload[len - 1] != '\0')
        return -XEN_EINVAL;
    const struct xids_xswire_str arg = {payload, len - 1};
    return xids_xs_path(r, r->conn->server->path, &arg, special, NULL);
}

/* ---- nodes ---- */

static int op_read(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    const char *value = NULL;
    size_t len = 0;
    int rc = one_path(r, false);
    if (rc == 0)
        rc = xids_store_read(s->store, r->tx, &value, &len, &r->conn->who, s->path);
    if (rc == 0)
        xids_xs_reply(r, value, len);
    return rc;
}

static int op_directory(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    const char *names = NULL;
    size_t len = 0;
    int rc = one_path(r, false);
    if (rc == 0)
        rc = xids_store_list(s->store, r->tx, &names, &len, NULL, &r->conn->who, s->path);
    if (rc == 0)
        xids_xs_reply(r, names, len);
    return rc;
}

/* The generation, the names from an offset on as far as they fit, and, with the last of them, an empty name. */
static int op_directory_part(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    struct xids_xswire_str args[2];
    const char *names = NULL;
    size_t len = 0, rest;
    uint64_t generation = 0;
    uint32_t from = 0;
    if (xids_xswire_count(r->msg->payload, r->msg->len) != 2 ||
        xids_xswire_split(args, 2, &rest, r->msg->payload, r->msg->len) != 2)
        return -XEN_EINVAL;
    int rc = xids_xs_path(r, s->path, &args[0], false, NULL);
    if (rc == 0)
        rc = xids_store_list(s->store, r->tx, &names, &len, &generation, &r->conn->who, s->path);
    if (rc == 0)
        rc = xids_xswire_decimal(&from, args[1].s, args[1].len, UINT32_MAX);
    if (rc < 0)
        return rc;
    char gen[24];
    size_t gen_len = xids_xswire_format_decimal64(gen, generation) + 1;
    size_t start = from < len ? from : len, end = len;
    if (end - start > XIDS_XSWIRE_PAYLOAD_MAX - gen_len - 1) {
        end = start + XIDS_XSWIRE_PAYLOAD_MAX - gen_len - 1;
        while (end > start && names[end - 1] != '\0')
            end--;
    }
    const struct xids_xswire_part parts[] = {{gen, gen_len}, {names + start, end - start}, {"", end == len}};
    xids_xs_reply_parts(r, parts, 3);
    return 0;
}

static int op_write(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    struct xids_xswire_str arg;
    size_t rest;
    if (xids_xswire_split(&arg, 1, &rest, r->msg->payload, r->msg->len) != 1)
        return -XEN_EINVAL;
    int rc = xids_xs_path(r, s->path, &arg, false, NULL);
    if (rc == 0 && xids_xs_turn_waits(r, s->path, false))
        rc = XIDS_XS_WAITS;
    if (rc == 0)
        rc = xids_store_write(s->store, r->tx, &r->conn->who, s->path, arg.s + arg.len + 1, rest);
    if (rc == 0)
        xids_xs_reply_ok(r);
    return rc;
}

static int op_mkdir(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    int rc = one_path(r, false);
    if (rc == 0 && xids_xs_turn_waits(r, s->path, false))
        rc = XIDS_XS_WAITS;
    if (rc == 0)
        rc = xids_store_mkdir(s->store, r->tx, &r->conn->who, s->path);
    if (rc == 0)
        xids_xs_reply_ok(r);
    return rc;
}

static int op_rm(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    int rc = one_path(r, false);
    if (rc == 0 && xids_xs_turn_waits(r, s->path, true))
        rc = XIDS_XS_WAITS;
    if (rc == 0)
        rc = xids_store_rm(s->store, r->tx, &r->conn->who, s->path);
    if (rc == 0)
        xids_xs_reply_ok(r);
    return rc;
}

static int op_get_perms(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    const struct xids_xs_perm *perms = NULL;
    char out[XIDS_XSWIRE_PAYLOAD_MAX];
    size_t len = 0;
    int n = one_path(r, true);
    if (n == 0)
        n = xids_store_get_perms(s->store, r->tx, &perms, &r->conn->who, s->path);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++) {
        if (len + XIDS_XS_PERM_BYTES > sizeof(out))
            return -XEN_E2BIG;
        len += xids_xswire_perm_format(out + len, &perms[i]) + 1;
    }
    xids_xs_reply(r, out, len);
    return 0;
}

/* Nothing may be granted to a domain that does not exist: the next one with that number would have it. */
bool xids_xs_is_unknown(const struct xids_xs_server *s, uint16_t domid)
{
    return domid != XIDS_XS_DOMID_ANY && !xids_xs_lasting(s, domid) && xids_xs_server_domain(s, domid) == NULL &&
           s->host.exists != NULL && !s->host.exists(s->host.ctx, domid);
}

static int op_set_perms(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    struct xids_xswire_str arg;
    const char *at = r->msg->payload;
    size_t rest;
    unsigned int count = xids_xswire_count(at, r->msg->len);
    if (count < 2)
        return -XEN_EINVAL;
    count--;
    if (!r->conn->who.privileged && beyond(r->conn->who.limits->perms, count))
        return xids_xs_deny(s, QUOTA_PERMS);
    if (count > sizeof(s->perms) / sizeof(s->perms[0]))
        return -XEN_EINVAL;
    (void)xids_xswire_split(&arg, 1, &rest, at, r->msg->len);
    at = arg.s + arg.len + 1;
    bool any = (r->conn->settings.features & XIDS_XS_FEATURE_DOMID_ANY) != 0;
    for (unsigned int i = 0; i < count; i++) {
        struct xids_xswire_str perm;
        if (xids_xswire_split(&perm, 1, &rest, at, rest) != 1 ||
            xids_xswire_perm_parse(&s->perms[i], perm.s, perm.len) < 0)
            return -XEN_EINVAL;
        at = perm.s + perm.len + 1;
        uint16_t domid = s->perms[i].domid;
        if (xids_xs_is_unknown(s, domid) || (domid == XIDS_XS_DOMID_ANY && !any))
            s->perms[i].access |= XIDS_STORE_IGNORED;
    }
    /* Bytes that are left, without a NUL, are reserved. */
    for (unsigned int i = 0; i < count; i++) {
        uint16_t domid = s->perms[i].domid;
        bool counts =
            (s->perms[i].access & XIDS_STORE_IGNORED) == 0 && !xids_xs_lasting(s, domid) && domid != XIDS_XS_DOMID_ANY;
        int rc = counts ? xids_xs_give_rights(r->conn, domid) : 0;
        if (rc < 0)
            return rc;
    }
    int rc = (s->perms[0].access & XIDS_STORE_IGNORED) != 0 ? -XEN_ENOENT : xids_xs_path(r, s->path, &arg, true, NULL);
    if (rc == 0 && xids_xs_turn_waits(r, s->path, true))
        rc = XIDS_XS_WAITS;
    if (rc == 0)
        rc = xids_store_set_perms(s->store, r->tx, &r->conn->who, s->path, s->perms, count);
    if (rc == 0)
        xids_xs_reply_ok(r);
    return rc;
}

/* ---- watches ---- */

/* The number at the start, as C xenstored reads it: none is 0, which clients may send as an empty string. */
static int32_t depth_of(const struct xids_xswire_str *arg)
{
    bool negative = arg->len > 0 && arg->s[0] == '-';
    int32_t depth = 0;
    for (size_t i = negative; i < arg->len && arg->s[i] >= '0' && arg->s[i] <= '9'; i++)
        depth = depth < INT32_MAX / 10 - 1 ? depth * 10 + (arg->s[i] - '0') : INT32_MAX / 10;
    return negative ? -depth : depth;
}

static int op_watch(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    struct xids_xswire_str args[3];
    struct watch *w = NULL;
    size_t prefix = 0, len;
    int32_t depth = -1;
    unsigned int n = xids_xswire_count(r->msg->payload, r->msg->len);
    if (xids_xswire_split(args, 3, NULL, r->msg->payload, r->msg->len) != n || n < 2)
        return -XEN_EINVAL;
    if (n == 3 && (r->conn->settings.features & XIDS_XS_FEATURE_WATCHDEPTH) == 0)
        return -XEN_EINVAL;
    if (n == 3)
        depth = depth_of(&args[2]);
    if (n == 3 && depth < 0)
        return -XEN_EINVAL;
    int rc = xids_xs_path(r, s->path, &args[0], true, &prefix);
    if (rc == 0)
        rc = xids_xs_watch_add(r->conn, &w, s->path, &args[1], depth, prefix);
    if (rc != 0)
        return rc;
    xids_xs_reply_ok(r);
    /* Once at once, after the answer, whether the node can be read or not. */
    const char *path = xids_store_path_bytes(s->path, &len);
    xids_xs_event(w, path + prefix, len - prefix);
    return 0;
}

static int op_unwatch(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    struct xids_xswire_str args[2];
    if (xids_xswire_count(r->msg->payload, r->msg->len) != 2 ||
        xids_xswire_split(args, 2, NULL, r->msg->payload, r->msg->len) != 2)
        return -XEN_EINVAL;
    int rc = xids_xs_path(r, s->path, &args[0], true, NULL);
    if (rc == 0)
        rc = xids_xs_watch_remove(r->conn, s->path, &args[1]);
    if (rc == 0)
        xids_xs_reply_ok(r);
    return rc;
}

static int op_reset_watches(struct request *r)
{
    xids_xs_watch_remove_all(r->conn);
    xids_xs_drop_transactions(r->conn);
    r->tx = NULL;
    xids_xs_reply_ok(r);
    return 0;
}

/* ---- transactions ---- */

static int op_start(struct request *r)
{
    struct xids_xs_conn *conn = r->conn;
    struct xids_xs_server *s = conn->server;
    if (r->tx != NULL)
        return -XEN_EBUSY;
    if (!conn->who.privileged && beyond(conn->settings.limits.transactions, conn->ntransactions + UINT64_C(1)))
        return xids_xs_deny(s, QUOTA_TRANSACTIONS);
    int rc = xids_store_room(s->store, &conn->who, sizeof(struct transaction), 0);
    if (rc != 0)
        return rc;
    struct transaction *t = xids_xs_get(s, sizeof(*t));
    if (t == NULL)
        return -XEN_ENOMEM;
    rc = xids_store_tx_start(s->store, &t->tx);
    if (rc < 0) {
        xids_xs_put(s, t, sizeof(*t));
        return rc;
    }
    t->held = sizeof(*t);
    if (!conn->who.privileged)
        xids_store_tx_bind(s->store, t->tx);
    charge(conn, t->held);
    xids_xs_charge_transaction(conn, t);
    while (conn->next_tx == 0 || xids_xs_find_transaction(conn, conn->next_tx) != NULL)
        conn->next_tx++;
    t->id = conn->next_tx++;
    t->next = conn->transactions;
    conn->transactions = t;
    conn->ntransactions++;
    s->stats.transactions++;
    xids_xs_turn_started(conn, t);
    char id[11];
    xids_xs_reply(r, id, xids_xswire_format_decimal(id, t->id) + 1);
    return 0;
}

static int op_end(struct request *r)
{
    struct xids_xs_conn *conn = r->conn;
    struct xids_xswire_str arg;
    if (xids_xs_one_arg(r, &arg) < 0 || arg.len != 1 || (arg.s[0] != 'T' && arg.s[0] != 'F'))
        return -XEN_EINVAL;
    if (r->transaction == NULL)
        return -XEN_ENOENT;
    r->tx = NULL;
    int rc = 0;
    if (arg.s[0] == 'T') {
        rc = xids_xs_turn_commit(conn, r->transaction, r->msg->req_id);
        if (rc == XIDS_XS_HELD) {
            r->answered = true;
            return 0;
        }
    } else {
        xids_xs_abort_transaction(conn, r->transaction);
    }
    if (rc == 0)
        xids_xs_reply_ok(r);
    return rc;
}

/* ---- which is which ---- */

static const struct op {
    int (*run)(struct request *r);
    bool privileged;
    bool no_transaction; /* its transaction id is not looked at */
} ops[] = {
    [XS_CONTROL] = {xids_xs_op_control, true, false},
    [XS_DIRECTORY] = {op_directory, false, false},
    [XS_READ] = {op_read, false, false},
    [XS_GET_PERMS] = {op_get_perms, false, false},
    [XS_WATCH] = {op_watch, false, true},
    [XS_UNWATCH] = {op_unwatch, false, true},
    [XS_TRANSACTION_START] = {op_start, false, false},
    [XS_TRANSACTION_END] = {op_end, false, false},
    [XS_INTRODUCE] = {xids_xs_op_introduce, true, false},
    [XS_RELEASE] = {xids_xs_op_release, true, false},
    [XS_GET_DOMAIN_PATH] = {xids_xs_op_domain_path, false, false},
    [XS_WRITE] = {op_write, false, false},
    [XS_MKDIR] = {op_mkdir, false, false},
    [XS_RM] = {op_rm, false, false},
    [XS_SET_PERMS] = {op_set_perms, false, false},
    [XS_IS_DOMAIN_INTRODUCED] = {xids_xs_op_is_introduced, true, false},
    [XS_RESUME] = {xids_xs_op_resume, true, false},
    [XS_SET_TARGET] = {xids_xs_op_set_target, true, false},
    [XS_RESET_WATCHES] = {op_reset_watches, false, false},
    [XS_DIRECTORY_PART] = {op_directory_part, false, false},
    [XIDS_XS_GET_FEATURE] = {xids_xs_op_get_feature, false, false},
    [XIDS_XS_SET_FEATURE] = {xids_xs_op_set_feature, true, false},
    [XIDS_XS_GET_QUOTA] = {xids_xs_op_get_quota, true, false},
    [XIDS_XS_SET_QUOTA] = {xids_xs_op_set_quota, true, false},
};

/* The host's word before a request is carried out. */
static int host_refuses(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    int rc = s->host.request != NULL ? s->host.request(s->host.ctx, r->conn, r->msg) : 0;
    if (rc < 0 && r->msg->type == XS_TRANSACTION_END && r->transaction != NULL)
        xids_xs_abort_transaction(r->conn, r->transaction);
    return rc < 0 ? rc : 0;
}

/* Once for each request: who wants to know of it, and the host's word. */
static int announce(struct request *r)
{
    struct xids_xs_server *s = r->conn->server;
    s->stats.requests++;
    r->conn->done.requests++;
    if (s->tracer != NULL)
        s->tracer->request(s->tracer->ctx, r->conn, r->msg);
    return host_refuses(r);
}

/* A keyed hash of a whole message. */
static uint32_t print_of(const struct xids_xs_server *s, const struct xids_xswire_msg *msg)
{
    const uint64_t *key = s->store->key;
    const uint32_t words[] = {msg->type, msg->req_id, msg->tx_id, xids_store_hash(key, msg->payload, msg->len)};
    return xids_store_hash(key, (const char *)words, sizeof(words));
}

bool xids_xs_handle(struct xids_xs_conn *conn, const struct xids_xswire_msg *msg)
{
    struct request r = {.conn = conn, .msg = msg};
    int rc = 0;
    /* Another one than was put off is told of like any other. */
    if (conn->repeat && conn->print != print_of(conn->server, msg))
        conn->repeat = false;
    const struct op *op = msg->type < sizeof(ops) / sizeof(ops[0]) ? &ops[msg->type] : NULL;
    if (op == NULL || op->run == NULL) {
        rc = -XEN_ENOSYS;
    } else if (op->privileged && !conn->who.privileged) {
        rc = -XEN_EACCES;
    } else if (!op->no_transaction && msg->tx_id != 0) {
        r.transaction = xids_xs_find_transaction(conn, msg->tx_id);
        if (r.transaction == NULL)
            rc = -XEN_ENOENT;
        else
            r.tx = r.transaction->tx;
    }
    int refused = conn->repeat ? 0 : announce(&r);
    if (!conn->repeat)
        conn->usage.waits_for = 0;
    if (refused < 0)
        rc = refused;
    if (rc == 0) {
        rc = op->run(&r);
        if (r.tx != NULL)
            xids_xs_charge_transaction(conn, r.transaction);
        if (rc == -XEN_ENOSPC)
            xids_xs_denied(conn, QUOTAS, r.path);
    }
    conn->repeat = (rc == XIDS_STORE_LATER || rc == XIDS_XS_WAITS) && !r.answered;
    if (conn->repeat)
        conn->print = print_of(conn->server, msg);
    if (rc == XIDS_STORE_LATER && conn->repeat)
        xids_xs_wait(conn);
    if (rc < 0 && !r.answered)
        xids_xs_reply_error(&r, rc);
    if (conn->ring || !conn->who.privileged)
        xids_xs_account(conn);
    return !conn->repeat;
}
