/* SPDX-License-Identifier: ISC */
/* vchan, meeting through xenstore: publishing a server's numbers, waiting for them as a client, taking them away. */
#include <xids/vchan_open.h>

#include "vchan/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct xids_vchan_link {
    struct xids_vchan *ch;
    struct xids_xs *xs;
    char *path;
    /* Server: the part of the path that was there before, in bytes; folders beyond it are ours to remove. */
    size_t found;
    bool published;
    /* Client: whether a look after the connection found the server's port, and how many since have not. */
    bool seen;
    unsigned int missing;
};

/* A server that closes takes its port away just before it goes. */
#define MISSING_MAX 2u

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

/* "PATH/leaf", malloc'ed, or NULL. */
static char *under(const char *path, const char *leaf)
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

static void link_free(struct xids_vchan_link *link)
{
    if (link == NULL)
        return;
    free(link->ch);
    free(link->path);
    free(link);
}

static struct xids_vchan_link *link_new(struct xids_xs *xs, const char *path)
{
    struct xids_vchan_link *link = calloc(1, sizeof(*link));
    if (link == NULL)
        return NULL;
    link->xs = xs;
    link->ch = calloc(1, xids_vchan_size());
    link->path = strdup(path);
    if (link->ch != NULL && link->path != NULL)
        return link;
    link_free(link);
    return NULL;
}

/* Writes a number for our client alone. */
static int publish(struct xids_vchan_link *link, const char *leaf, uint32_t number, domid_t self, domid_t remote)
{
    const struct xids_xs_perm perms[] = {
        {.domid = self, .access = XIDS_XS_NONE},
        {.domid = remote, .access = XIDS_XS_READ},
    };
    char *path = under(link->path, leaf);
    if (path == NULL)
        return -XEN_ENOMEM;
    int rc = xids_xs_printf(link->xs, XIDS_XS_NO_TX, path, "%u", number);
    if (rc == 0)
        rc = xids_xs_set_perms(link->xs, XIDS_XS_NO_TX, path, perms, 2);
    free(path);
    return rc;
}

static void withdraw(struct xids_vchan_link *link, const char *leaf)
{
    char *path = under(link->path, leaf);
    if (path == NULL)
        return;
    int rc = xids_xs_rm(link->xs, XIDS_XS_NO_TX, path);
    (void)rc; /* It may not be there, or the store may be gone: nothing is to be done about it. */
    free(path);
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
    withdraw(link, "event-channel");
    withdraw(link, "ring-ref");
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
    struct xids_vchan_link *link = link_new(xs, path);
    if (link == NULL)
        return -XEN_ENOMEM;
    int rc = xids_vchan_server_init(link->ch, platform, remote, left_order, right_order, flags);
    if (rc < 0) {
        link_free(link);
        return rc;
    }
    link->found = existing(xs, path);
    link->published = true;
    /* The port says that all is there: it goes first and comes last, so that no client mixes an old and a new number.
     */
    withdraw(link, "event-channel");
    rc = publish(link, "ring-ref", xids_vchan_ring_ref(link->ch), platform->domid, remote);
    if (rc == 0)
        rc = publish(link, "event-channel", xids_vchan_port(link->ch), platform->domid, remote);
    if (rc < 0) {
        xids_vchan_unlink(link);
        return rc;
    }
    *result = link;
    return 0;
}

void xids_vchan_hand_over(struct xids_vchan_link *fresh, struct xids_vchan_link *used)
{
    /* The folders that used made were there already when fresh came. */
    fresh->found = used->found;
    used->published = false;
}

/* Whether an error only says that no living server is to be seen yet. */
static bool not_yet(int rc)
{
    return rc == -XEN_ENOENT || rc == -XEN_EACCES || rc == -XEN_EINVAL || rc == -XEN_ECONNREFUSED ||
           rc == -XEN_ENODEV || rc == -XEN_ERANGE || rc == -XEN_ESRCH || rc == -XEN_EIO;
}

/* Reads both numbers and tries them. */
static int try_connect(struct xids_vchan_link *link, const struct xids_platform *platform, domid_t remote,
                       unsigned int flags, const char *port_path, const char *ref_path)
{
    uint32_t port = 0, ref = 0, port_after = 0;
    int rc = xids_xs_read_u32(link->xs, &port, XIDS_XS_NO_TX, port_path);
    if (rc == 0)
        rc = xids_xs_read_u32(link->xs, &ref, XIDS_XS_NO_TX, ref_path);
    if (rc == 0)
        rc = xids_xs_read_u32(link->xs, &port_after, XIDS_XS_NO_TX, port_path);
    if (rc < 0)
        return rc;
    if (port != port_after || port == 0)
        return -XEN_ENOENT;
    rc = xids_vchan_client_init(link->ch, platform, remote, ref, port, flags);
    /* What old numbers stand for by now need not be a control page, or not yet. */
    return rc == -XEN_EBADMSG ? -XEN_ECONNREFUSED : rc;
}

/* Tries, and tries again at each change of the watched node, until the deadline. */
static int connect_by(struct xids_vchan_link *link, const struct xids_platform *platform, domid_t remote,
                      unsigned int flags, const char *port_path, const char *ref_path, int timeout_ms)
{
    uint64_t start = platform->ops->now(platform->ctx);
    for (;;) {
        int rc = try_connect(link, platform, remote, flags, port_path, ref_path);
        if (!not_yet(rc))
            return rc;
        int left = timeout_ms;
        if (timeout_ms >= 0) {
            uint64_t passed = (platform->ops->now(platform->ctx) - start) / 1000000u;
            /* Even if an event is there already: a server can make them without end. */
            if (passed >= (uint64_t)timeout_ms)
                return -XEN_ETIMEDOUT;
            left = timeout_ms - (int)passed;
        }
        struct xids_xs_event event;
        rc = xids_xs_next_event(link->xs, &event, left);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return -XEN_ETIMEDOUT;
    }
}

int xids_vchan_connect(struct xids_vchan_link **result, const struct xids_platform *platform, struct xids_xs *xs,
                       domid_t remote, const char *path, unsigned int flags, int timeout_ms)
{
    *result = NULL;
    struct xids_vchan_link *link = link_new(xs, path);
    char *port_path = under(path, "event-channel");
    char *ref_path = under(path, "ring-ref");
    int rc = -XEN_ENOMEM;
    if (link != NULL && port_path != NULL && ref_path != NULL) {
        rc = xids_xs_watch(xs, port_path, link);
        if (rc == 0) {
            rc = connect_by(link, platform, remote, flags, port_path, ref_path, timeout_ms);
            (void)xids_xs_unwatch(xs, port_path, link);
        }
    }
    free(port_path);
    free(ref_path);
    if (rc < 0)
        link_free(link);
    else
        *result = link;
    return rc;
}

struct xids_vchan *xids_vchan_of(struct xids_vchan_link *link)
{
    return link->ch;
}

enum xids_vchan_state xids_vchan_link_check(struct xids_vchan_link *link)
{
    struct xids_vchan *ch = link->ch;
    enum xids_vchan_state state = xids_vchan_check_peer(ch);
    if (state != XIDS_VCHAN_OPEN || ch->server ||
        ch->platform->ops->evtchn_status(ch->platform->ctx, ch->port) != -XEN_EACCES)
        return state;
    char *path = under(link->path, "event-channel"), *value = NULL;
    if (path == NULL)
        return state;
    int rc = xids_xs_read(link->xs, &value, NULL, XIDS_XS_NO_TX, path);
    free(value);
    free(path);
    if (rc >= 0) {
        link->seen = true;
        link->missing = 0;
    } else if (link->seen && (rc == -XEN_ENOENT || rc == -XEN_EACCES)) {
        link->missing++;
    }
    return link->missing >= MISSING_MAX ? xids_vchan_peer_died(ch) : state;
}

void xids_vchan_unlink(struct xids_vchan_link *link)
{
    if (link == NULL)
        return;
    /* First the numbers, so that nobody connects to what is about to go. */
    if (link->published)
        unpublish(link);
    xids_vchan_fini(link->ch);
    link_free(link);
}
