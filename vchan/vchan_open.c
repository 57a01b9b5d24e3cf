/* SPDX-License-Identifier: ISC */
/* vchan, meeting through xenstore: publishing a server's numbers, looking after the peer, taking the numbers away. */
#include "vchan/internal.h"
#include "vchan/open_internal.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A server that closes takes its port away just before it goes. */
#define MISSING_MAX 2u

/* Server: of how many looks at least one publishes again, after the first few. */
#define AGAIN_LOOKS 8u

int xids_vchan_path(char **path, domid_t server, domid_t client, const char *name)
{
    static const char format[] = "/local/domain/%u/data/vchan/%u/%s";
    *path = NULL;
    if (name[0] == '\0')
        return -XEN_EINVAL;
    size_t size = sizeof(format) + 2 * sizeof("65535") + strlen(name);
    *path = malloc(size);
    if (*path == NULL)
        return -XEN_ENOMEM;
    (void)snprintf(*path, size, format, server, client, name);
    return 0;
}

char *xids_link_under_(const char *path, const char *leaf)
{
    size_t folder = strlen(path), size = folder + 1 + strlen(leaf) + 1;
    char *joined = malloc(size);
    if (joined == NULL)
        return NULL;
    memcpy(joined, path, folder);
    joined[folder] = '/';
    memcpy(joined + folder + 1, leaf, size - folder - 1);
    return joined;
}

void xids_link_free_(struct xids_vchan_link *link)
{
    if (link == NULL)
        return;
    free(link->path);
    free(link);
}

struct xids_vchan_link *xids_link_new_(struct xids_xs *xs, const char *path)
{
    const size_t align = alignof(max_align_t), behind = (sizeof(struct xids_vchan_link) + align - 1u) / align * align;
    struct xids_vchan_link *link = calloc(1, behind + xids_vchan_size());
    if (link == NULL)
        return NULL;
    link->xs = xs;
    link->ch = (void *)((char *)link + behind);
    link->path = path != NULL ? strdup(path) : NULL;
    if (path == NULL || link->path != NULL)
        return link;
    xids_link_free_(link);
    return NULL;
}

/* Writes a number for our client alone. */
static int publish(struct xids_vchan_link *link, const char *leaf, uint32_t number, domid_t self, domid_t remote)
{
    const struct xids_xs_perm perms[] = {
        {.domid = self, .access = XIDS_XS_NONE},
        {.domid = remote, .access = XIDS_XS_READ},
    };
    char *path = xids_link_under_(link->path, leaf);
    if (path == NULL)
        return -XEN_ENOMEM;
    int rc = xids_xs_printf(link->xs, XIDS_XS_NO_TX, path, "%u", number);
    if (rc == 0)
        rc = xids_xs_set_perms(link->xs, XIDS_XS_NO_TX, path, perms, 2);
    free(path);
    return rc;
}

/* It may not be there, or the store may be gone: nothing is to be done about it. */
static int withdraw(struct xids_vchan_link *link, const char *leaf)
{
    char *path = xids_link_under_(link->path, leaf);
    if (path == NULL)
        return -XEN_ENOMEM;
    int rc = xids_xs_rm(link->xs, XIDS_XS_NO_TX, path);
    free(path);
    return rc;
}

/* The same of a store that does not answer, but will perhaps: what is sent it carries out then. */
static void withdraw_unanswered(struct xids_vchan_link *link, const char *leaf)
{
    char *path = xids_link_under_(link->path, leaf);
    if (path != NULL)
        (void)!xids_xs_client_rm(xids_xs_client(link->xs), XIDS_XS_NO_TX, path, NULL, NULL);
    free(path);
    (void)!xids_xs_pump(link->xs);
}

/* The length of the longest part of path that exists. */
static size_t existing(struct xids_xs *xs, const char *path)
{
    char *part = strdup(path);
    if (part == NULL)
        return strlen(path);
    for (char *slash; (slash = strrchr(part, '/')) != NULL && slash != part; *slash = '\0') {
        char *value = NULL;
        int rc = xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, part);
        free(value);
        if (rc != -XEN_ENOENT)
            break;
    }
    size_t len = strlen(part);
    free(part);
    return len;
}

/* Removes one empty folder. In a transaction, so that what another puts there meanwhile is not lost. */
static int remove_empty(struct xids_xs *xs, uint32_t tx, void *ctx)
{
    char **names = NULL;
    unsigned int count = 0;
    int rc = xids_xs_directory(xs, &names, &count, tx, ctx);
    free(names);
    if (rc < 0)
        return rc;
    return count != 0 ? -XEN_ENOTEMPTY : xids_xs_rm(xs, tx, ctx);
}

static void unpublish(struct xids_vchan_link *link)
{
    if (withdraw(link, "event-channel") == -XEN_ETIMEDOUT) {
        withdraw_unanswered(link, "ring-ref");
        return;
    }
    (void)!withdraw(link, "ring-ref");
    /* From the innermost folder outwards, as far as we made them. */
    while (strlen(link->path) > link->found) {
        if (xids_xs_transaction(link->xs, remove_empty, link->path) != 0)
            break;
        *strrchr(link->path, '/') = '\0';
    }
}

int xids_vchan_listen(struct xids_vchan_link **result, const struct xids_platform *platform, struct xids_xs *xs,
                      domid_t remote, const char *path, unsigned int left_order, unsigned int right_order,
                      unsigned int flags)
{
    *result = NULL;
    struct xids_vchan_link *link = xids_link_new_(xs, path);
    if (link == NULL)
        return -XEN_ENOMEM;
    int rc = xids_vchan_server_init(link->ch, platform, remote, left_order, right_order, flags);
    if (rc < 0) {
        xids_link_free_(link);
        return rc;
    }
    /* The store takes no path of such a length that this would cut it. */
    link->found = (uint16_t)existing(xs, path);
    /* The port says that all is there: it goes first and comes last, so that no client mixes an old and a new number.
     */
    rc = withdraw(link, "event-channel");
    link->published = rc != -XEN_ETIMEDOUT;
    if (link->published)
        rc = publish(link, "ring-ref", xids_vchan_ring_ref(link->ch), platform->domid, remote);
    if (rc == 0)
        rc = publish(link, "event-channel", xids_vchan_port(link->ch), platform->domid, remote);
    if (rc < 0) {
        xids_vchan_unlink(link);
        return rc;
    }
    xids_link_attend_(link);
    *result = link;
    return 0;
}

void xids_vchan_hand_over(struct xids_vchan_link *fresh, struct xids_vchan_link *used)
{
    /* The folders that used made were there already when fresh came. */
    fresh->found = used->found;
    used->published = false;
}

struct xids_vchan *xids_vchan_of(struct xids_vchan_link *link)
{
    return link->ch;
}

/* ---- looking after the peer ---- */

/* One number and who may read it, without waiting for an answer. */
static void publish_again(struct xids_vchan_link *link, const char *leaf, uint32_t number)
{
    struct xids_xs_client *c = xids_xs_client(link->xs);
    const struct xids_xs_perm own = {.domid = link->ch->platform->domid, .access = XIDS_XS_NONE};
    const struct xids_xs_perm theirs = {.domid = link->ch->remote, .access = XIDS_XS_READ};
    char text[11], perms[2u * XIDS_XS_PERM_BYTES], *path = xids_link_under_(link->path, leaf);
    if (path == NULL)
        return;
    size_t digits = xids_xswire_format_decimal(text, number);
    size_t len = xids_xswire_perm_format(perms, &own) + 1u;
    len += xids_xswire_perm_format(perms + len, &theirs) + 1u;
    /* What fails now is tried again before long. */
    if (xids_xs_client_write(c, XIDS_XS_NO_TX, path, text, (uint32_t)digits, NULL, NULL) == 0)
        (void)!xids_xs_client_set_perms(c, XIDS_XS_NO_TX, path, perms, (uint32_t)len, NULL, NULL);
    free(path);
}

/*
 * While no client has come: its domain was perhaps not there when the permissions were given, and then they are void;
 * or the store was started afresh. Nobody tells of either, so that everything is given again, at growing pauses.
 */
static void look_for_client(struct xids_vchan_link *link)
{
    unsigned int n = ++link->looks;
    if ((n & (n - 1u)) != 0 && n % AGAIN_LOOKS != 0)
        return;
    publish_again(link, "ring-ref", xids_vchan_ring_ref(link->ch));
    publish_again(link, "event-channel", xids_vchan_port(link->ch));
}

static void on_port(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct xids_vchan_link *link = ctx;
    (void)payload;
    (void)len;
    link->asked = false;
    if (rc >= 0) {
        link->seen = true;
        link->missing = 0;
    } else if (link->seen && (rc == -XEN_ENOENT || rc == -XEN_EACCES)) {
        link->missing++;
    }
}

static void look_for_server(struct xids_vchan_link *link)
{
    char *path = link->asked ? NULL : xids_link_under_(link->path, "event-channel");
    if (path == NULL)
        return;
    link->asked = xids_xs_client_read(xids_xs_client(link->xs), XIDS_XS_NO_TX, path, on_port, link) == 0;
    free(path);
}

/* A connection that was lost: what another store knows of the server counts from the beginning. */
static void mend_store(struct xids_vchan_link *link)
{
    if (xids_xs_client_error(xids_xs_client(link->xs)) != -XEN_ENOTCONN || xids_xs_reconnect(link->xs) < 0)
        return;
    link->seen = false;
    link->missing = 0;
    link->looks = 0;
}

static enum xids_vchan_state look_after(void *ctx)
{
    struct xids_vchan_link *link = ctx;
    struct xids_vchan *ch = link->ch;
    enum xids_vchan_state state = xids_vchan_check_peer(ch);
    bool alone = state == XIDS_VCHAN_CONNECTING && link->published;
    bool blind = state == XIDS_VCHAN_OPEN && !ch->server &&
                 ch->platform->ops->evtchn_status(ch->platform->ctx, ch->port) == -XEN_EACCES;
    if (!alone)
        link->looks = 0;
    if (!alone && !blind)
        return state;
    mend_store(link);
    if (alone)
        look_for_client(link);
    else
        look_for_server(link);
    (void)!xids_xs_pump(link->xs);
    return link->missing >= MISSING_MAX ? xids_vchan_peer_died(ch) : state;
}

void xids_link_attend_(struct xids_vchan_link *link)
{
    link->ch->look_after_ctx = link;
    link->ch->look_after = look_after;
}

enum xids_vchan_state xids_vchan_link_check(struct xids_vchan_link *link)
{
    return look_after(link);
}

void xids_vchan_unlink(struct xids_vchan_link *link)
{
    if (link == NULL)
        return;
    if (link->asked)
        (void)xids_xs_client_cancel(xids_xs_client(link->xs), on_port, link);
    /* First the numbers, so that nobody connects to what is about to go. */
    if (link->published)
        unpublish(link);
    xids_vchan_fini(link->ch);
    xids_link_free_(link);
}
