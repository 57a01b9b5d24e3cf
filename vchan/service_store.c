/* SPDX-License-Identifier: ISC */
/* A vchan service: what is asked of the store for one domain, and where. */
#include "vchan/service_internal.h"

/* A message of the greatest length must fit beside it. */
_Static_assert(XIDS_VCHAN_SERVICE_NAME + SVC_PATH < XENSTORE_PAYLOAD_MAX, "any path fits into a request");

static const char event_channel[] = "/event-channel";
static const char ring_ref[] = "/ring-ref";

/* ---- paths ---- */

const char *xids_svc_path_(struct xids_vchan_service *s, const char *const *parts, unsigned int count)
{
    size_t at = 0;
    for (unsigned int i = 0; i < count; i++) {
        size_t n = xids_xswire_string(parts[i]).len;
        __builtin_memcpy(s->path + at, parts[i], n);
        at += n - 1u;
    }
    return s->path;
}

/* "data/vchan/CLIENT/NAME" and leaf. */
static const char *offer_path(const struct svc_domain *d, const char *leaf)
{
    char client[11];
    (void)xids_xswire_format_decimal(client, d->domid);
    const char *const parts[] = {SVC_OFFERS "/", client, "/", d->s->name, leaf};
    return xids_svc_path_(d->s, parts, 5);
}

/* "data/vchan/CLIENT" */
static const char *client_path(const struct svc_domain *d)
{
    char client[11];
    (void)xids_xswire_format_decimal(client, d->domid);
    const char *const parts[] = {SVC_OFFERS "/", client};
    return xids_svc_path_(d->s, parts, 2);
}

/* In the client's tree. */
static const char *pointer_path(const struct svc_domain *d)
{
    char client[11];
    (void)xids_xswire_format_decimal(client, d->domid);
    const char *const parts[] = {"/local/domain/", client, "/" SVC_POINTERS, d->s->name};
    return xids_svc_path_(d->s, parts, 4);
}

/* ---- answers ---- */

static void take(struct svc_answer *a, int rc)
{
    struct svc_domain *d = a->d;
    a->waiting = false;
    a->rc = rc;
    d->waiting--;
    d->s->in_flight--;
    xids_svc_domain_queue_(d);
}

static void on_answer(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    (void)len;
    take(ctx, rc);
}

/* "T" or "F": 1 or 0. */
static void on_introduced(void *ctx, int rc, const void *payload, uint32_t len)
{
    take(ctx, rc < 0 ? rc : len > 0 && *(const char *)payload == 'T');
}

/* 0: the folder is empty; 1: it is not. */
static void on_folder(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    take(ctx, rc < 0 ? rc : len > 0);
}

/* ---- asking ---- */

static unsigned int requests_of(const struct svc_domain *d)
{
    const bool pointer = d->s->announce && d->s->privileged;
    switch (d->talk) {
    case SVC_SILENT:
        break;
    case SVC_CHECKING:
        return d->pointed ? 2 : 1;
    case SVC_PREPARING:
        return 3;
    case SVC_PUBLISHING:
        return pointer ? 3 : 2;
    case SVC_REPEATING:
        return pointer ? 5 : 4;
    case SVC_REMOVING:
        return d->pointed ? 2 : 1;
    case SVC_HIDING:
    case SVC_LOOKING:
    case SVC_TIDYING:
        return 1;
    }
    return 0;
}

static int introduced(struct svc_domain *d, struct svc_answer *a)
{
    char text[11];
    struct xids_xswire_part part = {text, xids_xswire_format_decimal(text, d->domid) + 1u};
    a->fn = on_introduced;
    return xids_xs_client_request(d->s->xs, XS_IS_DOMAIN_INTRODUCED, 0, &part, 1, a->fn, a);
}

static int write_number(struct svc_domain *d, struct svc_answer *a, const char *path, uint32_t number)
{
    char text[11];
    uint32_t digits = (uint32_t)xids_xswire_format_decimal(text, number);
    return xids_xs_client_write(d->s->xs, 0, path, text, digits, a->fn, a);
}

/* Lets the domain alone read a node. */
static int permit(struct svc_domain *d, struct svc_answer *a, const char *path)
{
    const struct xids_xs_perm own = {.domid = d->s->platform->domid, .access = XIDS_XS_NONE};
    const struct xids_xs_perm theirs = {.domid = d->domid, .access = XIDS_XS_READ};
    char perms[2u * XIDS_XS_PERM_BYTES];
    size_t len = xids_xswire_perm_format(perms, &own) + 1u;
    len += xids_xswire_perm_format(perms + len, &theirs) + 1u;
    return xids_xs_client_set_perms(d->s->xs, 0, path, perms, (uint32_t)len, a->fn, a);
}

/* The reference and who may read it (0, 1), the port and who may (2, 3), the pointer (4). */
static int put(struct svc_domain *d, struct svc_answer *a, unsigned int what)
{
    const char *leaf = what < 2 ? ring_ref : event_channel;
    if (what == 4)
        return write_number(d, a, pointer_path(d), d->s->platform->domid);
    /* What was offered may be taken by now; then nobody needs to know. */
    if (d->offer == NULL)
        return -XEN_ENODEV;
    if (what % 2 == 1)
        return permit(d, a, offer_path(d, leaf));
    const struct xids_vchan *ch = &d->offer->ch;
    return write_number(d, a, offer_path(d, leaf), what == 0 ? xids_vchan_ring_ref(ch) : xids_vchan_port(ch));
}

static int request(struct svc_domain *d, unsigned int i, struct svc_answer *a)
{
    struct xids_xs_client *xs = d->s->xs;
    switch (d->talk) {
    case SVC_SILENT:
        break;
    case SVC_CHECKING:
        return i == 0 ? introduced(d, a) : xids_xs_client_read(xs, 0, pointer_path(d), a->fn, a);
    case SVC_PREPARING:
        return i == 0 ? xids_xs_client_rm(xs, 0, offer_path(d, event_channel), a->fn, a) : put(d, a, i - 1u);
    case SVC_PUBLISHING:
        return put(d, a, i + 2u);
    case SVC_REPEATING:
        return put(d, a, i);
    case SVC_HIDING:
        return xids_xs_client_rm(xs, 0, offer_path(d, event_channel), a->fn, a);
    case SVC_REMOVING:
        return xids_xs_client_rm(xs, 0, i == 0 ? offer_path(d, "") : pointer_path(d), a->fn, a);
    case SVC_LOOKING:
        a->fn = on_folder;
        return xids_xs_client_directory(xs, 0, client_path(d), a->fn, a);
    case SVC_TIDYING:
        return xids_xs_client_rm(xs, 0, client_path(d), a->fn, a);
    }
    return -XEN_EINVAL;
}

void xids_svc_ask_(struct svc_domain *d, enum svc_talk talk)
{
    d->talk = talk;
    d->asked = d->waiting = 0;
}

bool xids_svc_talk_(struct svc_domain *d)
{
    struct xids_vchan_service *s = d->s;
    while (d->asked < requests_of(d)) {
        struct svc_answer *a = &d->answers[d->asked];
        if (s->in_flight >= s->limits.requests)
            break;
        *a = (struct svc_answer){.d = d, .fn = on_answer};
        int rc = request(d, d->asked, a);
        if (rc == -XEN_EBUSY)
            break;
        d->asked++;
        a->rc = rc;
        if (rc < 0)
            continue;
        a->waiting = s->sent = true;
        d->waiting++;
        s->in_flight++;
    }
    if (d->asked < requests_of(d)) {
        s->stalled = true;
        xids_svc_domain_queue_(d);
        return false;
    }
    return d->waiting == 0;
}

void xids_svc_hush_(struct svc_domain *d)
{
    for (unsigned int i = 0; i < SVC_ANSWERS; i++) {
        struct svc_answer *a = &d->answers[i];
        if (a->waiting)
            (void)xids_xs_client_cancel(d->s->xs, a->fn, a);
        a->waiting = false;
    }
    d->s->in_flight -= d->waiting;
    d->waiting = 0;
    d->talk = SVC_SILENT;
}

void xids_svc_remove_now_(struct svc_domain *d)
{
    struct xids_xs_client *xs = d->s->xs;
    /* Failures: the store is gone, or full of our requests; the next service of our name, or our end, clears it up. */
    (void)!xids_xs_client_rm(xs, 0, offer_path(d, ""), NULL, NULL);
    if (d->pointed)
        (void)!xids_xs_client_rm(xs, 0, pointer_path(d), NULL, NULL);
}
