/* SPDX-License-Identifier: ISC */
/* vchan, meeting through xenstore without blocking: what is asked of the store, and where. */
#include "vchan/meet_internal.h"

static const char event_channel[] = "event-channel";
static const char ring_ref[] = "ring-ref";

/* ---- paths ---- */

/* Appends text at *len, which stays below room. */
static int append(char *to, size_t room, size_t *len, const char *text)
{
    size_t n = xids_xswire_string(text).len;
    if (n > room - *len)
        return -XEN_ENAMETOOLONG;
    __builtin_memcpy(to + *len, text, n);
    *len += n - 1u;
    return 0;
}

static int append_number(char *to, size_t room, size_t *len, uint32_t number)
{
    char text[11];
    (void)xids_xswire_format_decimal(text, number);
    return append(to, room, len, text);
}

/* "[/local/domain/SERVER/]data/vchan/CLIENT/NAME": a server's own folder needs no number. */
static int customary(struct xids_vchan_meet *m, size_t *len)
{
    const size_t room = sizeof(m->path);
    int rc = 0;
    if (!m->server) {
        rc = append(m->path, room, len, "/local/domain/");
        if (rc == 0)
            rc = append_number(m->path, room, len, m->remote);
        if (rc == 0)
            rc = append(m->path, room, len, "/");
    }
    if (rc == 0)
        rc = append(m->path, room, len, "data/vchan/");
    if (rc == 0)
        rc = append_number(m->path, room, len, m->server ? m->remote : m->platform->domid);
    if (rc == 0)
        rc = append(m->path, room, len, "/");
    return rc;
}

int xids_meet_path_(struct xids_vchan_meet *m)
{
    size_t len = 0;
    int rc = m->given[0] == '\0' ? -XEN_EINVAL : 0;
    if (rc == 0 && m->named)
        rc = customary(m, &len);
    if (rc == 0)
        rc = append(m->path, sizeof(m->path), &len, m->given);
    if (rc == 0)
        rc = xids_xswire_path_check(m->path, len);
    return rc < 0 ? rc : rc == XIDS_XS_PATH_SPECIAL ? -XEN_EINVAL : 0;
}

static void leaf_of(const struct xids_vchan_meet *m, char leaf[XIDS_VCHAN_MEET_PATH + MEET_LEAF], const char *name)
{
    size_t folder = xids_xswire_string(m->path).len - 1u;
    __builtin_memcpy(leaf, m->path, folder);
    leaf[folder] = '/';
    __builtin_memcpy(leaf + folder + 1u, name, xids_xswire_string(name).len);
}

/* "data/vchan-service/NAME": shorter than the path that it leads to, so that there is room. */
static const char *pointer_of(const struct xids_vchan_meet *m, char pointer[XIDS_VCHAN_MEET_PATH + MEET_LEAF])
{
    static const char folder[] = "data/vchan-service/";
    __builtin_memcpy(pointer, folder, sizeof(folder) - 1u);
    __builtin_memcpy(pointer + sizeof(folder) - 1u, m->given, xids_xswire_string(m->given).len);
    return pointer;
}

/* ---- asking ---- */

static void on_answer(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct meet_answer *a = ctx;
    (void)payload;
    (void)len;
    a->waiting = false;
    a->rc = rc;
}

static void on_number(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct meet_answer *a = ctx;
    a->waiting = false;
    a->rc = rc;
    if (rc == 0 && xids_xswire_decimal(&a->number, payload, len, UINT32_MAX) < 0)
        a->rc = -XEN_EBADMSG;
}

bool xids_meet_answered_(const struct xids_vchan_meet *m)
{
    for (unsigned int i = 0; i < MEET_ANSWERS; i++)
        if (m->answers[i].waiting)
            return false;
    return true;
}

void xids_meet_hush_(struct xids_vchan_meet *m)
{
    for (unsigned int i = 0; i < MEET_ANSWERS; i++) {
        if (m->answers[i].waiting)
            (void)xids_xs_client_cancel(m->xs, m->answers[i].fn, &m->answers[i]);
        m->answers[i].waiting = false;
    }
    m->talk = MEET_SILENT;
}

static struct meet_answer *expect(struct xids_vchan_meet *m, unsigned int i, xids_xs_reply_fn *fn)
{
    m->answers[i] = (struct meet_answer){.m = m, .fn = fn, .rc = -XEN_EIO, .waiting = true};
    m->sent = true;
    return &m->answers[i];
}

/* A request that was not taken gets no answer. */
static int asked(struct meet_answer *a, int rc)
{
    a->waiting = rc == 0;
    return rc;
}

static int read_leaf(struct xids_vchan_meet *m, unsigned int i, const char *name)
{
    char leaf[XIDS_VCHAN_MEET_PATH + MEET_LEAF];
    struct meet_answer *a = expect(m, i, on_number);
    leaf_of(m, leaf, name);
    return asked(a, xids_xs_client_read(m->xs, 0, leaf, a->fn, a));
}

static int remove_leaf(struct xids_vchan_meet *m, unsigned int i, const char *name)
{
    char leaf[XIDS_VCHAN_MEET_PATH + MEET_LEAF];
    struct meet_answer *a = expect(m, i, on_answer);
    leaf_of(m, leaf, name);
    return asked(a, xids_xs_client_rm(m->xs, 0, leaf, on_answer, a));
}

/* Lets our client alone read a node. */
static int permit(struct xids_vchan_meet *m, unsigned int i, const char *name)
{
    const struct xids_xs_perm own = {.domid = m->platform->domid, .access = XIDS_XS_NONE};
    const struct xids_xs_perm theirs = {.domid = m->remote, .access = XIDS_XS_READ};
    char leaf[XIDS_VCHAN_MEET_PATH + MEET_LEAF], perms[2u * XIDS_XS_PERM_BYTES];
    struct meet_answer *a = expect(m, i, on_answer);
    leaf_of(m, leaf, name);
    size_t len = xids_xswire_perm_format(perms, &own) + 1u;
    len += xids_xswire_perm_format(perms + len, &theirs) + 1u;
    return asked(a, xids_xs_client_set_perms(m->xs, 0, leaf, perms, (uint32_t)len, on_answer, a));
}

/* Writes a number for our client alone: answers i and i + 1. */
static int publish(struct xids_vchan_meet *m, unsigned int i, const char *name, uint32_t number)
{
    char leaf[XIDS_VCHAN_MEET_PATH + MEET_LEAF], text[11];
    struct meet_answer *a = expect(m, i, on_answer);
    leaf_of(m, leaf, name);
    uint32_t digits = (uint32_t)xids_xswire_format_decimal(text, number);
    m->published = true;
    int rc = asked(a, xids_xs_client_write(m->xs, 0, leaf, text, digits, on_answer, a));
    return rc < 0 ? rc : permit(m, i + 1u, name);
}

int xids_meet_ask_(struct xids_vchan_meet *m, enum meet_talk talk)
{
    int rc = 0;
    m->talk = talk;
    switch (talk) {
    case MEET_SILENT:
        break;
    case MEET_FINDING: {
        char pointer[XIDS_VCHAN_MEET_PATH + MEET_LEAF];
        struct meet_answer *a = expect(m, 0, on_number);
        rc = asked(a, xids_xs_client_read(m->xs, 0, pointer_of(m, pointer), a->fn, a));
        break;
    }
    case MEET_READING:
    case MEET_VERIFYING:
        /* The port before and behind: a server that replaces its numbers takes the port away first. */
        rc = read_leaf(m, 0, event_channel);
        if (rc == 0)
            rc = read_leaf(m, 1, ring_ref);
        if (rc == 0)
            rc = read_leaf(m, 2, event_channel);
        break;
    case MEET_PREPARING: {
        struct meet_answer *a = expect(m, 0, on_answer);
        rc = asked(a, xids_xs_client_read(m->xs, 0, m->path, on_answer, a));
        if (rc == 0)
            rc = remove_leaf(m, 1, event_channel);
        if (rc == 0)
            rc = publish(m, 2, ring_ref, xids_vchan_ring_ref(&m->ch));
        break;
    }
    case MEET_PUBLISHING:
        rc = publish(m, 0, event_channel, xids_vchan_port(&m->ch));
        break;
    case MEET_PERMITTING:
        rc = permit(m, 0, ring_ref);
        if (rc == 0)
            rc = permit(m, 1, event_channel);
        break;
    }
    if (rc < 0)
        xids_meet_hush_(m);
    return rc;
}

void xids_meet_withdraw_(struct xids_vchan_meet *m, bool all)
{
    char leaf[XIDS_VCHAN_MEET_PATH + MEET_LEAF];
    if (!m->published)
        return;
    m->current = false;
    m->sent = true;
    /* Failures: the store is gone, or full of our requests; the next channel, or our domain's end, clears it up. */
    if (all && m->made) {
        (void)!xids_xs_client_rm(m->xs, 0, m->path, NULL, NULL);
        return;
    }
    leaf_of(m, leaf, event_channel);
    (void)!xids_xs_client_rm(m->xs, 0, leaf, NULL, NULL);
    if (!all)
        return;
    leaf_of(m, leaf, ring_ref);
    (void)!xids_xs_client_rm(m->xs, 0, leaf, NULL, NULL);
}

/* ---- the watch ---- */

/* Without a watch only time brings the next attempt, which asks for it again. */
static void on_news(struct xids_vchan_meet *m, uint32_t *watch, int what)
{
    if (what == XIDS_XS_WATCH_FIRED)
        m->changed = true;
    if (what >= 0)
        return;
    *watch = 0;
    if (m->retry_at == UINT64_MAX)
        m->retry_at = m->now + XIDS_VCHAN_MEET_RETRY_MAX;
}

static void on_watch(void *ctx, int what, const char *path)
{
    struct xids_vchan_meet *m = ctx;
    (void)path;
    on_news(m, &m->watch, what);
}

static void on_pointer_watch(void *ctx, int what, const char *path)
{
    struct xids_vchan_meet *m = ctx;
    (void)path;
    on_news(m, &m->pointer_watch, what);
}

int xids_meet_watch_(struct xids_vchan_meet *m)
{
    char leaf[XIDS_VCHAN_MEET_PATH + MEET_LEAF];
    if (m->anywhere && m->pointer_watch == 0) {
        m->sent = true;
        int rc = xids_xs_client_watch(m->xs, &m->pointer_watch, pointer_of(m, leaf), on_pointer_watch, m);
        if (rc < 0)
            return rc;
    }
    if (m->watch != 0 || (m->anywhere && !m->known))
        return 0;
    leaf_of(m, leaf, event_channel);
    m->sent = true;
    return xids_xs_client_watch(m->xs, &m->watch, leaf, on_watch, m);
}

void xids_meet_unwatch_port_(struct xids_vchan_meet *m)
{
    if (m->watch != 0)
        (void)xids_xs_client_unwatch(m->xs, m->watch);
    m->watch = 0;
}

void xids_meet_unwatch_(struct xids_vchan_meet *m)
{
    xids_meet_unwatch_port_(m);
    if (m->pointer_watch != 0)
        (void)xids_xs_client_unwatch(m->xs, m->pointer_watch);
    m->pointer_watch = 0;
}
