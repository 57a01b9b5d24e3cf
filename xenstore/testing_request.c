/* SPDX-License-Identifier: ISC */
/* Each request as the server sees it: which fault it meets, and its line in the log. */
#include "xenstore/testing_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- faults ---- */

struct tst_fault *tst_fault_of(struct tst_core *core, int number)
{
    struct tst_fault *f = core->faults;
    while (f != NULL && f->number != number)
        f = f->next;
    return f;
}

int tst_fault_add(struct tst_core *core, const struct tst_op *op)
{
    const struct xids_test_store_fault fault = {
        .type = op->a[0],
        .of_domain = op->a[1] != 0,
        .domid = (domid_t)op->a[2],
        .nth = op->a[3],
        .times = op->a[4],
        .action = (enum xids_test_store_action)op->a[5],
        .error = (int)op->a[6],
        .requests = op->a[7],
        .ms = op->a[8],
        .bytes = op->a[9],
    };
    if (op->a[5] > XIDS_TEST_STORE_CUT || (fault.action == XIDS_TEST_STORE_ERROR && fault.error >= 0))
        return -XEN_EINVAL;
    struct tst_fault *f = calloc(1, sizeof(*f)), **last = &core->faults;
    if (f == NULL)
        return -XEN_ENOMEM;
    f->f = fault;
    f->f.nth = fault.nth == 0 ? 1 : fault.nth;
    if (fault.times == 0)
        f->f.times = fault.action == XIDS_TEST_STORE_COUNT ? XIDS_TEST_STORE_ALWAYS : 1;
    if (op->has_text) {
        f->path = strdup(op->text);
        if (f->path == NULL) {
            free(f);
            return -XEN_ENOMEM;
        }
    }
    f->number = ++core->last_fault;
    while (*last != NULL)
        last = &(*last)->next;
    *last = f;
    return f->number;
}

int tst_fault_clear(struct tst_core *core, int number)
{
    int rc = number == 0 ? 0 : -XEN_ENOENT;
    for (struct tst_fault **at = &core->faults; *at != NULL;) {
        struct tst_fault *f = *at;
        if (number != 0 && f->number != number) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        free(f->path);
        free(f);
        rc = 0;
    }
    return rc;
}

/* Whether the node that a request names is path or below it. A relative name means the domain's own home. */
static bool names(const struct xids_xswire_msg *msg, const struct tst_peer *peer, const char *path)
{
    struct xids_xswire_str arg;
    struct tst_text whole = {0};
    if (xids_xswire_split(&arg, 1, NULL, msg->payload, msg->len) != 1)
        return false;
    if (arg.len > 0 && arg.s[0] != '/' && arg.s[0] != '@')
        tst_text_printf(&whole, "/local/domain/%u/", peer->domid);
    tst_text_add(&whole, arg.s, arg.len);
    size_t len = strlen(path);
    bool yes = !whole.failed && whole.len >= len && memcmp(whole.s, path, len) == 0 &&
               (whole.s[len] == '\0' || whole.s[len] == '/' || strcmp(path, "/") == 0);
    tst_text_free(&whole);
    return yes;
}

static bool fits(const struct tst_fault *f, const struct tst_peer *peer, const struct xids_xswire_msg *msg)
{
    uint32_t type = f->f.type == XIDS_TEST_STORE_CONTROL ? (uint32_t)XS_CONTROL : f->f.type;
    if (f->f.type != 0 && msg->type != type)
        return false;
    /* Refusing an abort would be no fault that happens. */
    if (type == XS_TRANSACTION_END && f->f.type != 0 && (msg->len == 0 || msg->payload[0] != 'T'))
        return false;
    if (f->f.of_domain && f->f.domid != peer->domid)
        return false;
    return f->path == NULL || names(msg, peer, f->path);
}

/* Counts it; true when this request is one of those that are hit. */
static bool hits(struct tst_fault *f)
{
    f->fitting++;
    if (f->fitting < f->f.nth || f->hits >= f->f.times)
        return false;
    f->hits++;
    return true;
}

/* The fault that acts on a request, or NULL. */
static const struct tst_fault *meet(struct tst_core *core, const struct tst_peer *peer,
                                    const struct xids_xswire_msg *msg)
{
    const struct tst_fault *acting = NULL;
    for (struct tst_fault *f = core->faults; f != NULL; f = f->next) {
        if (fits(f, peer, msg) && hits(f) && f->f.action != XIDS_TEST_STORE_COUNT && acting == NULL)
            acting = f;
    }
    return acting;
}

/* What is to become of the answer, noted with the client. */
static void judge(struct tst_core *core, struct tst_client *client, const struct xids_test_store_fault *f)
{
    struct tst_verdict *v = calloc(1, sizeof(*v)), **last = &client->verdicts;
    if (v == NULL)
        return;
    v->number = client->peer.asked;
    v->action = f->action;
    v->bytes = f->action == XIDS_TEST_STORE_CUT ? f->bytes : 0;
    v->held = f->requests == 0 && f->ms == 0;
    v->until_requests = core->requests + f->requests;
    v->until_ns = f->ms > 0 ? tst_now() + (uint64_t)f->ms * 1000000u : 0;
    while (*last != NULL)
        last = &(*last)->next;
    *last = v;
}

/* ---- the log ---- */

#define LOG_MAX (4u << 20)

static const char *const type_names[] = {
    [XS_CONTROL] = "CONTROL",
    [XS_DIRECTORY] = "DIRECTORY",
    [XS_READ] = "READ",
    [XS_GET_PERMS] = "GET_PERMS",
    [XS_WATCH] = "WATCH",
    [XS_UNWATCH] = "UNWATCH",
    [XS_TRANSACTION_START] = "TRANSACTION_START",
    [XS_TRANSACTION_END] = "TRANSACTION_END",
    [XS_INTRODUCE] = "INTRODUCE",
    [XS_RELEASE] = "RELEASE",
    [XS_GET_DOMAIN_PATH] = "GET_DOMAIN_PATH",
    [XS_WRITE] = "WRITE",
    [XS_MKDIR] = "MKDIR",
    [XS_RM] = "RM",
    [XS_SET_PERMS] = "SET_PERMS",
    [XS_IS_DOMAIN_INTRODUCED] = "IS_DOMAIN_INTRODUCED",
    [XS_RESUME] = "RESUME",
    [XS_SET_TARGET] = "SET_TARGET",
    [XS_RESET_WATCHES] = "RESET_WATCHES",
    [XS_DIRECTORY_PART] = "DIRECTORY_PART",
    [XIDS_XS_GET_FEATURE] = "GET_FEATURE",
    [XIDS_XS_SET_FEATURE] = "SET_FEATURE",
    [XIDS_XS_GET_QUOTA] = "GET_QUOTA",
    [XIDS_XS_SET_QUOTA] = "SET_QUOTA",
};

void tst_peer_name(struct tst_text *out, const struct tst_peer *peer)
{
    if (peer->client == NULL)
        tst_text_printf(out, "dom%u.ring", peer->domid);
    else
        tst_text_printf(out, "dom%u.%u", peer->domid, peer->number);
}

/* A value is not a word. */
static void log_value(struct tst_text *out, const char *s, size_t len)
{
    tst_text_str(out, " ");
    tst_text_quoted(out, s, len);
}

static void log_request(struct tst_text *out, const struct tst_peer *peer, const struct xids_xswire_msg *msg)
{
    const char *at = msg->payload;
    struct xids_xswire_str arg;
    size_t rest = msg->len;
    tst_peer_name(out, peer);
    if (msg->tx_id != 0)
        tst_text_printf(out, " tx%u", msg->tx_id);
    if (msg->type < sizeof(type_names) / sizeof(type_names[0]) && type_names[msg->type] != NULL)
        tst_text_printf(out, " %s", type_names[msg->type]);
    else
        tst_text_printf(out, " type-%u", msg->type);
    /* Who has nothing to say sends one empty argument. */
    if (msg->len == 1 && msg->payload[0] == '\0')
        return;
    for (bool first = true; rest > 0; first = false) {
        if ((msg->type == XS_WRITE && !first) || xids_xswire_split(&arg, 1, &rest, at, rest) != 1) {
            log_value(out, at, rest);
            return;
        }
        at = arg.s + arg.len + 1;
        tst_text_str(out, " ");
        tst_text_word(out, arg.s, arg.len);
    }
    if (msg->type == XS_WRITE)
        log_value(out, "", 0);
}

void tst_answered(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg, int rc)
{
    struct tst_core *core = ctx;
    struct tst_peer *peer = xids_xs_conn_data(conn);
    (void)msg;
    if (peer == NULL)
        return;
    tst_text_str(&peer->line, " -> ");
    tst_text_str(&peer->line, peer->dropped ? "disconnected" : rc == 0 ? "OK" : xids_xswire_error_name(rc));
    tst_text_str(&peer->line, "\n");
    if (peer->line.failed || core->log.len + peer->line.len > LOG_MAX)
        core->log_lost++;
    else
        tst_text_add(&core->log, peer->line.s, peer->line.len);
    peer->line.len = 0;
    peer->line.failed = false;
}

int tst_request(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg)
{
    struct tst_core *core = ctx;
    struct tst_peer *peer = xids_xs_conn_data(conn);
    if (peer == NULL)
        return 0;
    core->requests++;
    peer->asked++;
    peer->dropped = false;
    log_request(&peer->line, peer, msg);
    const struct tst_fault *f = meet(core, peer, msg);
    if (f == NULL)
        return 0;
    if (f->f.action == XIDS_TEST_STORE_ERROR)
        return f->f.error;
    if (peer->client == NULL)
        return 0;
    judge(core, peer->client, &f->f);
    peer->dropped = f->f.action == XIDS_TEST_STORE_DISCONNECT;
    return peer->dropped ? -XEN_EIO : 0;
}
