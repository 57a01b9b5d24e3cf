/* SPDX-License-Identifier: ISC */
/*
 * A vchan service: who has the name in this domain, and which domains there are.
 *
 * A node of the name holds "held TOKEN" of the service that has it, or "claim TOKEN" of one that wants it. Who finds
 * the name taken claims it; a service that lives writes "held" again, and the claim has failed. Nobody answers for one
 * that was killed.
 */
#include "vchan/service_internal.h"

/* However many domains come and go: so often, in ns, is looked which there are. */
#define LIST_PAUSE 100000000ull

#define LIST_FOLDER "/local/domain"

/* ---- the node of the name ---- */

static const char *owner_path(struct xids_vchan_service *s)
{
    const char *const parts[] = {SVC_OWNERS, s->name};
    return xids_svc_path_(s, parts, 2);
}

static void token(char text[SVC_TOKEN], const char *word, uint64_t number)
{
    size_t n = xids_xswire_string(word).len - 1u;
    __builtin_memcpy(text, word, n);
    (void)xids_xswire_format_decimal64(text + n, number);
}

static bool is(const char *text, const void *payload, uint32_t len)
{
    return len == xids_xswire_string(text).len - 1u && __builtin_memcmp(text, payload, len) == 0;
}

static bool begins(const char *text, const void *payload, uint32_t len)
{
    size_t n = xids_xswire_string(text).len - 1u;
    return len >= n && __builtin_memcmp(text, payload, n) == 0;
}

static void on_owner(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_vchan_service *s = ctx;
    s->owner_asked = false;
    s->owner_read = true;
    s->owner_rc = rc == -XEN_ENOENT ? 0 : rc;
    s->found = rc < 0                            ? SVC_FOUND_NOTHING
               : is(s->held_text, payload, len)  ? SVC_FOUND_US
               : is(s->claim_text, payload, len) ? SVC_FOUND_OUR_CLAIM
               : begins("held ", payload, len)   ? SVC_FOUND_OTHER
               : begins("claim ", payload, len)  ? SVC_FOUND_CLAIM
                                                 : SVC_FOUND_GARBAGE;
}

static void on_written(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_vchan_service *s = ctx;
    (void)payload;
    (void)len;
    if (rc == 0)
        return;
    /* It is looked again what stands there; and written again, if it must be. */
    s->owner_rc = rc;
    s->owner_read = true;
}

static void on_removed(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_vchan_service *s = ctx;
    (void)rc;
    (void)payload;
    (void)len;
    s->owner_asked = false;
    s->finishing = true;
}

static void on_owner_watch(void *ctx, int what, const char *path)
{
    struct xids_vchan_service *s = ctx;
    (void)path;
    if (what < 0)
        s->owner_watch = 0;
    s->owner_changed = true;
}

static void name_failed(struct xids_vchan_service *s, int rc)
{
    s->owner_at = svc_later(s->now, s->pause);
    s->pause = svc_earlier(2u * s->pause, XIDS_VCHAN_SERVICE_RETRY_MAX);
    s->owner_changed = false;
    if (rc == -XEN_ENOTCONN || rc == -XEN_EBUSY)
        return;
    xids_svc_refuse_(s, NULL, rc,
                     rc == -XEN_EACCES   ? "xenstore does not let us write there"
                     : rc == -XEN_ENOSPC ? "xenstore's quota is used up"
                                         : "xenstore failed");
}

static void write_owner(struct xids_vchan_service *s, const char *text, enum svc_owner owner)
{
    int rc =
        xids_xs_client_write(s->xs, 0, owner_path(s), text, (uint32_t)xids_xswire_string(text).len - 1u, on_written, s);
    if (rc < 0) {
        name_failed(s, rc);
        return;
    }
    s->sent = true;
    s->owner = owner;
    s->confirmed = false;
    /* The watch tells when it is there; the time is for a store that forgets to. */
    s->owner_at = svc_later(s->now, XIDS_VCHAN_SERVICE_RETRY_MAX);
}

static void for_all(struct xids_vchan_service *s, void (*what)(struct svc_domain *d))
{
    for (unsigned int i = 0; i < s->limits.domains; i++)
        if (s->domains[i].used)
            what(&s->domains[i]);
}

static void give_up_offer(struct svc_domain *d)
{
    if (d->offer != NULL)
        xids_svc_channel_end_(d->offer, 0, "another service has the name");
    xids_svc_domain_forget_(d);
}

static void check_again(struct svc_domain *d)
{
    d->check = true;
    xids_svc_domain_queue_(d);
}

static void forget_store(struct svc_domain *d)
{
    xids_svc_domain_forget_(d);
    d->check = true;
}

static void claim(struct xids_vchan_service *s)
{
    write_owner(s, s->claim_text, SVC_CLAIMING);
    if (s->owner == SVC_CLAIMING)
        s->owner_at = svc_later(s->now, XIDS_VCHAN_SERVICE_CLAIM);
    s->took_over = true;
}

static void lose(struct xids_vchan_service *s)
{
    s->owner = SVC_LOST;
    s->confirmed = s->took_over = false;
    s->owner_at = svc_later(s->now, XIDS_VCHAN_SERVICE_RETRY_MAX);
    for_all(s, give_up_offer);
    xids_svc_refuse_(s, NULL, -XEN_EADDRINUSE, "another service in this domain has the name");
}

static void confirm(struct xids_vchan_service *s)
{
    s->owner = SVC_HOLDING;
    s->pause = XIDS_VCHAN_SERVICE_RETRY_MIN;
    s->owner_at = SVC_NEVER;
    if (s->confirmed)
        return;
    s->confirmed = true;
    s->told = 0;
    s->want_left |= s->took_over && !s->stopping;
    s->took_over = false;
    for_all(s, xids_svc_domain_queue_);
}

static void decide(struct xids_vchan_service *s)
{
    const enum svc_found found = s->found;
    bool free = found == SVC_FOUND_NOTHING || found == SVC_FOUND_GARBAGE;
    if (s->owner_rc < 0) {
        if (s->owner != SVC_HOLDING)
            s->owner = SVC_NEW;
        name_failed(s, s->owner_rc);
        return;
    }
    if (found == SVC_FOUND_US) {
        confirm(s);
        return;
    }
    switch (s->owner) {
    case SVC_NEW:
    case SVC_LOST:
        if (free)
            write_owner(s, s->held_text, SVC_HOLDING);
        else if (s->owner == SVC_NEW || s->now >= s->owner_at)
            claim(s);
        break;
    case SVC_CLAIMING:
        if (free || (found == SVC_FOUND_OUR_CLAIM && s->now >= s->owner_at))
            write_owner(s, s->held_text, SVC_HOLDING);
        else if (found != SVC_FOUND_OUR_CLAIM)
            lose(s);
        break;
    case SVC_HOLDING:
        if (found == SVC_FOUND_OTHER) {
            lose(s);
            break;
        }
        /* Nothing there: the store was started afresh, or somebody has removed everything. */
        if (free)
            for_all(s, forget_store);
        write_owner(s, s->held_text, SVC_HOLDING);
        break;
    }
}

static uint64_t name_step(struct xids_vchan_service *s)
{
    if (s->owner_watch == 0 && s->now >= s->owner_at) {
        int rc = xids_xs_client_watch(s->xs, &s->owner_watch, owner_path(s), on_owner_watch, s);
        if (rc < 0) {
            name_failed(s, rc);
            return s->owner_at;
        }
        s->sent = true;
    }
    if (s->owner_read) {
        s->owner_read = false;
        decide(s);
    }
    if (s->owner_asked || (!s->owner_changed && s->now < s->owner_at))
        return s->owner_asked ? SVC_NEVER : s->owner_at;
    int rc = xids_xs_client_read(s->xs, 0, owner_path(s), on_owner, s);
    if (rc < 0) {
        name_failed(s, rc);
        return s->owner_at;
    }
    s->owner_asked = s->sent = true;
    s->owner_changed = false;
    return SVC_NEVER;
}

/* ---- who is there ---- */

static void on_domains_watch(void *ctx, int what, const char *path)
{
    struct xids_vchan_service *s = ctx;
    (void)path;
    if (what == XIDS_XS_WATCH_FIRED)
        s->want_check = true;
}

void xids_svc_privilege_(struct xids_vchan_service *s, int rc)
{
    if (rc == -XEN_EACCES || rc == -XEN_EPERM) {
        s->blind = true;
        if (s->everybody)
            xids_svc_refuse_(s, NULL, -XEN_EACCES, "this domain may not know which others there are");
        return;
    }
    if (rc < 0 || s->privileged)
        return;
    s->privileged = true;
    /* No room for a watch: who comes is found when the other watch tells, or not at all. */
    if (s->introduce_watch == 0)
        (void)!xids_xs_client_watch(s->xs, &s->introduce_watch, "@introduceDomain", on_domains_watch, s);
    if (s->release_watch == 0)
        (void)!xids_xs_client_watch(s->xs, &s->release_watch, "@releaseDomain", on_domains_watch, s);
    s->sent = true;
}

static void found_domain(struct xids_vchan_service *s, domid_t domid)
{
    struct svc_domain *d = xids_svc_domain_find_(s, domid);
    if (domid == s->platform->domid || (d != NULL && s->list == SVC_LIST_LEFT))
        return;
    if (d == NULL)
        d = xids_svc_domain_add_(s, domid);
    if (d == NULL) {
        s->list_short = true;
        xids_svc_refuse_(s, NULL, -XEN_ENOSPC, "there are too many domains");
    } else if (s->list == SVC_LIST_LEFT) {
        d->published = true;
    } else if (!d->allowed) {
        d->allowed = true;
        check_again(d);
    }
}

/* Takes the names in len bytes, each with its NUL. */
static void take_names(struct xids_vchan_service *s, const char *names, uint32_t len)
{
    uint32_t begin = 0, domid;
    for (uint32_t i = 0; i < len; i++) {
        if (names[i] != '\0')
            continue;
        if (xids_xswire_decimal(&domid, names + begin, i - begin, DOMID_FIRST_RESERVED - 1u) == 0)
            found_domain(s, (domid_t)domid);
        begin = i + 1u;
    }
}

static void on_list(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_vchan_service *s = ctx;
    s->list_asked = false;
    s->list_rc = rc;
    s->list_done = true;
    if (rc >= 0)
        take_names(s, payload, len);
}

/* A part: a generation number, which is of no interest, for what changes meanwhile brings a new listing. */
static void on_list_part(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_vchan_service *s = ctx;
    const char *text = payload;
    uint32_t at = 0;
    s->list_asked = false;
    s->list_rc = rc;
    s->list_done = true;
    if (rc < 0)
        return;
    while (at < len && text[at] != '\0')
        at++;
    at += at < len;
    /* The last part ends with one NUL more. */
    bool last = at == len || (len - at == 1u) || (text[len - 1u] == '\0' && text[len - 2u] == '\0');
    take_names(s, text + at, len - at);
    s->list_offset += len - at;
    s->list_done = last;
}

static void ask_list(struct xids_vchan_service *s)
{
    const char *folder = s->list == SVC_LIST_DOMAINS ? LIST_FOLDER : SVC_OFFERS;
    int rc = s->list_parts ? xids_xs_client_directory_part(s->xs, 0, folder, s->list_offset, on_list_part, s)
                           : xids_xs_client_directory(s->xs, 0, folder, on_list, s);
    s->list_asked = rc == 0;
    s->sent |= rc == 0;
    s->list_at = svc_later(s->now, rc == 0 ? LIST_PAUSE : XIDS_VCHAN_SERVICE_RETRY_MIN);
}

static void list_ended(struct xids_vchan_service *s)
{
    enum svc_list list = s->list;
    s->list_done = false;
    if (s->list_rc == -XEN_E2BIG && !s->list_parts) {
        s->list_parts = true;
        return;
    }
    s->list = SVC_LIST_NOT;
    s->list_parts = false;
    s->list_offset = 0;
    if (list == SVC_LIST_DOMAINS)
        xids_svc_privilege_(s, s->list_rc < 0 && s->list_rc != -XEN_EACCES ? -XEN_EIO : s->list_rc);
    if (s->list_rc < 0 && s->list_rc != -XEN_ENOENT && !s->blind) {
        s->list_at = svc_later(s->now, s->pause);
        s->pause = svc_earlier(2u * s->pause, XIDS_VCHAN_SERVICE_RETRY_MAX);
        s->want_domains |= list == SVC_LIST_DOMAINS;
        s->want_left |= list == SVC_LIST_LEFT;
    }
    /* Not all had room; but some of them may be none. */
    if (s->list_short) {
        s->list_at = svc_later(s->now, XIDS_VCHAN_SERVICE_RETRY_MAX);
        s->want_domains |= list == SVC_LIST_DOMAINS;
        s->want_left |= list == SVC_LIST_LEFT;
    }
    s->list_short = false;
}

static uint64_t list_step(struct xids_vchan_service *s)
{
    if (s->want_check && s->now >= s->list_at) {
        s->want_check = false;
        s->want_domains |= s->everybody;
        s->list_at = svc_later(s->now, LIST_PAUSE);
        for_all(s, check_again);
    }
    if (s->list != SVC_LIST_NOT && s->list_done)
        list_ended(s);
    if (s->list == SVC_LIST_NOT && (s->want_domains || s->want_left) && s->confirmed && s->now >= s->list_at) {
        s->list = s->want_left ? SVC_LIST_LEFT : SVC_LIST_DOMAINS;
        if (s->want_left)
            s->want_left = false;
        else
            s->want_domains = false;
        s->list_done = false;
    }
    if (s->list != SVC_LIST_NOT && !s->list_asked && !s->list_done)
        ask_list(s);
    bool waits = s->want_check || (s->list != SVC_LIST_NOT && !s->list_asked) ||
                 (s->confirmed && (s->want_domains || s->want_left));
    return waits ? s->list_at : SVC_NEVER;
}

/* ---- life ---- */

void xids_svc_name_begin_(struct xids_vchan_service *s)
{
    /* Two services of one moment differ in their salt. */
    uint64_t number = s->platform->ops->now(s->platform->ctx) ^ (s->salt * 0x9e3779b97f4a7c15ull);
    token(s->held_text, "held ", number);
    token(s->claim_text, "claim ", number);
    s->owner = SVC_NEW;
    s->owner_at = s->list_at = 0;
    s->pause = XIDS_VCHAN_SERVICE_RETRY_MIN;
    s->confirmed = s->took_over = s->privileged = s->blind = false;
    s->want_domains = s->everybody;
    s->want_left = s->want_check = false;
    s->owner_changed = true;
}

uint64_t xids_svc_name_step_(struct xids_vchan_service *s)
{
    if (s->finishing)
        return SVC_NEVER;
    if (s->stopping && s->in_use == 0) {
        if (s->owner != SVC_HOLDING || !s->confirmed) {
            s->finishing = true;
            return SVC_NEVER;
        }
        if (!s->removing && xids_xs_client_rm(s->xs, 0, owner_path(s), on_removed, s) == 0)
            s->removing = s->sent = true;
        return s->removing ? SVC_NEVER : svc_later(s->now, XIDS_VCHAN_SERVICE_RETRY_MIN);
    }
    uint64_t at = name_step(s);
    return svc_earlier(at, list_step(s));
}

void xids_svc_name_hush_(struct xids_vchan_service *s)
{
    (void)xids_xs_client_cancel(s->xs, on_owner, s);
    (void)xids_xs_client_cancel(s->xs, on_written, s);
    (void)xids_xs_client_cancel(s->xs, on_removed, s);
    (void)xids_xs_client_cancel(s->xs, on_list, s);
    (void)xids_xs_client_cancel(s->xs, on_list_part, s);
    s->owner_asked = s->owner_read = s->list_asked = s->list_done = s->list_parts = s->removing = false;
    s->list_offset = 0;
    s->list = SVC_LIST_NOT;
}

void xids_svc_name_end_(struct xids_vchan_service *s)
{
    const uint32_t watches[] = {s->owner_watch, s->introduce_watch, s->release_watch};
    for (unsigned int i = 0; i < 3; i++)
        if (watches[i] != 0)
            (void)xids_xs_client_unwatch(s->xs, watches[i]);
    if (s->owner == SVC_HOLDING && !s->finishing)
        (void)!xids_xs_client_rm(s->xs, 0, owner_path(s), NULL, NULL);
}
