/* SPDX-License-Identifier: ISC */
/* What a guest's link asks xenstore: where the servers are, and who we are. */
#include "randomd/link.h"

#define POINTER "device/randomd"

static void on_backend(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct link_answer *a = ctx;
    struct link_server *s = a->s;
    a->waiting = false;
    a->rc = rc;
    if (rc < 0)
        return;
    /* Absolute and clean: it is the start of other paths. A NUL is no letter of a path. */
    if (len >= sizeof(s->found) || xids_xswire_path_check(payload, len) != XIDS_XS_PATH_ABSOLUTE) {
        a->rc = -XEN_EBADMSG;
        return;
    }
    __builtin_memcpy(s->found, payload, len);
    s->found[len] = '\0';
}

static void on_backend_id(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct link_answer *a = ctx;
    a->waiting = false;
    a->rc = rc;
    if (rc == 0 && xids_xswire_decimal(&a->s->found_id, payload, len, DOMID_FIRST_RESERVED - 1u) < 0)
        a->rc = -XEN_EBADMSG;
}

static xids_xs_reply_fn *const on_answer[ANSWERS] = {on_backend, on_backend_id};

/* Names of one digit are the servers'; the first's is not waited for. */
static void on_list(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_randomd_link *l = ctx;
    const char *name = payload;
    l->listing = false;
    if (rc < 0)
        return; /* there is nothing, or it is not ours to see: the first server's pointer tells why */
    for (uint32_t i = 0; i + 1 < len; i++)
        if ((i == 0 || name[i - 1] == '\0') && name[i] > '0' && name[i] < (char)('0' + SERVERS) && name[i + 1] == '\0')
            l->listed |= (uint8_t)(1u << (name[i] - '0'));
}

/* It names this guest, with its uuid: no secret, but other guests have another. */
static void on_vm(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_randomd_link *l = ctx;
    l->salting = false;
    if (rc == 0)
        xids_entropy_salt(l->entropy, payload, len);
}

static void salt(struct xids_randomd_link *l)
{
    domid_t domid = l->config.platform->domid;
    if (l->salted)
        return;
    l->salted = true;
    xids_entropy_salt(l->entropy, &domid, sizeof(domid));
    l->salting = xids_xs_client_read(l->config.xs, 0, "vm", on_vm, l) == 0;
}

void randomd_link_hush(struct xids_randomd_link *l)
{
    for (unsigned int n = 0; n < SERVERS; n++) {
        for (unsigned int i = 0; i < ANSWERS; i++) {
            struct link_answer *a = &l->servers[n].answers[i];
            if (a->waiting)
                (void)xids_xs_client_cancel(l->config.xs, on_answer[i], a);
            a->waiting = false;
        }
        l->servers[n].asking = false;
    }
    if (l->listing)
        (void)xids_xs_client_cancel(l->config.xs, on_list, l);
    if (l->salting)
        (void)xids_xs_client_cancel(l->config.xs, on_vm, l);
    l->listing = l->salting = false;
    l->listed = 0;
}

static void on_watch(void *ctx, int what, const char *path)
{
    struct xids_randomd_link *l = ctx;
    (void)path;
    if (what == XIDS_XS_WATCH_FIRED)
        l->changed = true;
    if (what < 0) {
        l->watch = 0;
        l->retry_at = l->now + XIDS_VCHAN_MEET_RETRY_MAX;
    }
}

static void cannot_ask(struct link_server *s, int rc, uint64_t now)
{
    randomd_link_hush(s->l);
    s->l->retry_at = now + XIDS_VCHAN_MEET_RETRY_MAX;
    randomd_link_refuse(s, rc, "xenstore cannot be asked");
}

static int ask_for(struct link_server *s)
{
    static const char *const nodes[SERVERS][ANSWERS] = {{POINTER "/0/backend", POINTER "/0/backend-id"},
                                                        {POINTER "/1/backend", POINTER "/1/backend-id"},
                                                        {POINTER "/2/backend", POINTER "/2/backend-id"},
                                                        {POINTER "/3/backend", POINTER "/3/backend-id"}};
    int rc = 0;
    s->asking = true;
    for (unsigned int i = 0; i < ANSWERS && rc == 0; i++) {
        s->answers[i] = (struct link_answer){.s = s, .rc = -XEN_EIO};
        rc = xids_xs_client_read(s->l->config.xs, 0, nodes[s->number][i], on_answer[i], &s->answers[i]);
        s->answers[i].waiting = rc == 0;
    }
    return rc;
}

/* The first server's pointer is asked for before it is known whether it exists: nearly always there is that one. */
void randomd_link_ask(struct xids_randomd_link *l, uint64_t now)
{
    int rc = 0;
    if (l->watch == 0)
        rc = xids_xs_client_watch(l->config.xs, &l->watch, POINTER, on_watch, l);
    l->changed = false;
    l->not_before = now + XIDS_VCHAN_MEET_RETRY_MIN;
    l->retry_at = !any_meeting(l) || l->watch == 0 ? now + XIDS_VCHAN_MEET_RETRY_MAX : UINT64_MAX;
    if (rc == 0)
        rc = ask_for(&l->servers[0]);
    if (rc == 0)
        rc = xids_xs_client_directory(l->config.xs, 0, POINTER, on_list, l);
    l->listing = rc == 0;
    if (rc < 0)
        cannot_ask(&l->servers[0], rc, now);
    else
        salt(l);
}

void randomd_link_ask_listed(struct xids_randomd_link *l, uint64_t now)
{
    for (unsigned int i = 1; i < SERVERS; i++) {
        struct link_server *s = &l->servers[i];
        if ((l->listed & 1u << i) == 0 || s->asking)
            continue;
        if (s->meet == NULL)
            xids_entropy_expect(l->entropy, i, now + LINK_PATIENCE);
        int rc = ask_for(s);
        if (rc < 0) {
            cannot_ask(s, rc, now);
            return;
        }
    }
    l->listed = 0;
}

/* Stops at the end of text, which is before len when it is shorter. */
static bool starts(const char *text, const char *with, size_t len)
{
    size_t i = 0;
    while (i < len && text[i] == with[i])
        i++;
    return i == len;
}

/* Whether the place lies in the server's own part of the store: nobody else may say which pages to map of whom. */
static bool place_of_server(const struct link_server *s)
{
    static const char domains[] = "/local/domain/";
    char id[11];
    size_t digits = xids_xswire_format_decimal(id, s->found_id), at = sizeof(domains) - 1u;
    return starts(s->found, domains, at) && starts(s->found + at, id, digits) && s->found[at + digits] == '/' &&
           s->found_id != s->l->config.platform->domid;
}

int randomd_link_found(const struct link_server *s)
{
    int rc = s->answers[BACKEND].rc < 0 ? s->answers[BACKEND].rc : s->answers[BACKEND_ID].rc;
    return rc == 0 && !place_of_server(s) ? -XEN_EBADMSG : rc;
}

bool randomd_link_answered(const struct link_server *s)
{
    return s->asking && !s->answers[BACKEND].waiting && !s->answers[BACKEND_ID].waiting;
}

bool randomd_link_asking(const struct xids_randomd_link *l)
{
    bool any = l->listing;
    for (unsigned int i = 0; i < SERVERS; i++)
        any = any || l->servers[i].asking;
    return any;
}
