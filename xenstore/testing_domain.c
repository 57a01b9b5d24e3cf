/* SPDX-License-Identifier: ISC */
/* Fake domains: what the server asks of its host about them, how they come and go. */
#include "xenstore/testing_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct tst_domain *tst_domain_of(const struct tst_core *core, domid_t domid)
{
    struct tst_domain *d = core->domains;
    while (d != NULL && d->peer.domid != domid)
        d = d->next;
    return d;
}

/* ---- what the server asks ---- */

/* The domain's record, made when there is none. */
static struct tst_domain *domain_get(struct tst_core *core, domid_t domid)
{
    struct tst_domain *d = tst_domain_of(core, domid);
    if (d != NULL)
        return d;
    d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->core = core;
    d->peer = (struct tst_peer){.domid = domid};
    d->platform = (struct xids_platform){.ops = &tst_guest_ops, .ctx = d, .domid = domid};
    d->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->event < 0) {
        free(d);
        return NULL;
    }
    d->next = core->domains;
    core->domains = d;
    return d;
}

static int introduce(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    struct tst_core *core = ctx;
    struct tst_domain *d = domain_get(core, domid);
    struct tst_page *p = malloc(sizeof(*p));
    void *mem = aligned_alloc(XIDS_PAGE_SIZE, XIDS_PAGE_SIZE);
    (void)port;
    if (d == NULL || p == NULL || mem == NULL || tst_listen(core, domid) < 0) {
        free(p);
        free(mem);
        return -XEN_ENOMEM;
    }
    memset(mem, 0, XIDS_PAGE_SIZE);
    *p = (struct tst_page){.next = core->pages, .page = mem};
    core->pages = p;
    d->page = mem;
    d->introduced = true;
    d->gone = d->due = d->pending = d->masked = false;
    xids_xs_conn_set_data(conn, &d->peer);
    *page = (void XIDS_PEER *)mem;
    return 0;
}

static void release(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    struct tst_core *core = ctx;
    struct tst_domain *d = tst_domain_of(core, domid);
    (void)conn;
    if (d == NULL)
        return;
    d->introduced = false;
    d->gone = true;
    tst_text_free(&d->peer.line);
    tst_drop_clients(core, domid);
    tst_listener_free(core, tst_listener_of(core, domid));
}

static void notify(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    struct tst_domain *d = tst_domain_of(ctx, domid);
    (void)conn;
    if (d != NULL)
        tst_guest_notify(d);
}

/* Every domain does, but those that were here and have gone. */
static bool exists(void *ctx, uint16_t domid)
{
    const struct tst_domain *d = tst_domain_of(ctx, domid);
    return d == NULL || !d->gone;
}

const struct xids_xs_host tst_host = {
    .introduce = introduce,
    .release = release,
    .notify = notify,
    .exists = exists,
    .request = tst_request,
    .answered = tst_answered,
};

/* ---- coming and going ---- */

/* What a toolstack makes for a domain; the same path with the same permissions each time. */
static int make_home(struct tst_core *core, domid_t domid)
{
    char text[256];
    unsigned int line;
    (void)snprintf(text, sizeof(text),
                   "/local/domain/%u = \"\" (n0,r%u)\n"
                   "/local/domain/%u/domid = \"%u\" (n0,r%u)\n"
                   "/local/domain/%u/data = \"\" (n%u)\n",
                   domid, domid, domid, domid, domid, domid, domid);
    return tst_load(core, &line, text);
}

static int remove_home(struct tst_core *core, domid_t domid)
{
    char path[40];
    int n = snprintf(path, sizeof(path), "/local/domain/%u", domid);
    int rc = tst_ask_ok(core, XS_RM, path, (size_t)n + 1);
    return rc == -XEN_ENOENT ? 0 : rc;
}

int tst_introduce(struct tst_core *core, domid_t domid, bool home)
{
    struct tst_domain *d = tst_domain_of(core, domid);
    char payload[40];
    if (domid == 0 || domid >= DOMID_FIRST_RESERVED)
        return -XEN_EINVAL;
    if (d != NULL && d->introduced)
        return -XEN_EEXIST;
    int n = snprintf(payload, sizeof(payload), "%u%c1%c%u%c", domid, 0, 0, TST_GUEST_PORT, 0);
    int rc = tst_ask_ok(core, XS_INTRODUCE, payload, (size_t)n);
    if (rc < 0)
        return rc;
    d = tst_domain_of(core, domid);
    if (home && d != NULL) {
        d->home = true;
        rc = make_home(core, domid);
    }
    return rc;
}

int tst_shutdown(struct tst_core *core, domid_t domid)
{
    const struct tst_domain *d = tst_domain_of(core, domid);
    if (d == NULL || !d->introduced)
        return -XEN_ENOENT;
    xids_xs_server_shutdown(core->server, domid);
    return 0;
}

int tst_destroy(struct tst_core *core, domid_t domid)
{
    struct tst_domain *d = tst_domain_of(core, domid);
    if (d == NULL || !d->introduced)
        return -XEN_ENOENT;
    xids_xs_server_release(core->server, domid);
    while (xids_xs_server_idle(core->server, 1000))
        ;
    if (!d->home)
        return 0;
    d->home = false;
    return remove_home(core, domid);
}

int tst_limit(struct tst_core *core, domid_t domid, const char *name, uint32_t value)
{
    const struct tst_domain *d = tst_domain_of(core, domid);
    char number[11];
    struct tst_text payload = {0};
    if (domid != 0 && (d == NULL || !d->introduced))
        return -XEN_ENOENT;
    if (domid != 0)
        tst_text_add(&payload, number, xids_xswire_format_decimal(number, domid) + 1);
    tst_text_add(&payload, name, strlen(name) + 1);
    tst_text_add(&payload, number, xids_xswire_format_decimal(number, value) + 1);
    int rc = payload.failed ? -XEN_ENOMEM : tst_ask_ok(core, XIDS_XS_SET_QUOTA, payload.s, payload.len);
    tst_text_free(&payload);
    return rc;
}

bool tst_ring_events(struct tst_core *core)
{
    bool any = false;
    for (struct tst_domain *d = core->domains; d != NULL; d = d->next) {
        if (!d->due)
            continue;
        d->due = false;
        any = true;
        struct xids_xs_conn *conn = xids_xs_server_domain(core->server, d->peer.domid);
        if (d->introduced && conn != NULL)
            xids_xs_server_ring_event(conn);
    }
    return any;
}

void tst_domains_free(struct tst_core *core)
{
    while (core->domains != NULL) {
        struct tst_domain *d = core->domains;
        core->domains = d->next;
        (void)close(d->event);
        tst_text_free(&d->peer.line);
        free(d);
    }
    while (core->pages != NULL) {
        struct tst_page *p = core->pages;
        core->pages = p->next;
        free(p->page);
        free(p);
    }
}
