/* SPDX-License-Identifier: ISC */
/*
 * libxenvchan.so.4.17, meeting through xenstore: a server's two numbers under its path. Without a transaction, of which
 * a domain has few: the port says that all is there, so it goes first and comes last, and a client looks at it twice.
 */
#include "vchan/libxenvchan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#define RING_REF "ring-ref"
#define PORT "event-channel"

/* How often a client begins again when it meets a server that is just publishing anew. */
#define TRIES 3

static int failed(void)
{
    return errno > 0 ? -errno : -XEN_EIO;
}

/* "PATH/NAME", malloc'ed, of any length; or NULL. */
static char *under(const char *path, const char *name)
{
    size_t folder = strlen(path), leaf = strlen(name);
    char *joined = malloc(folder + 1 + leaf + 1);
    if (joined == NULL)
        return NULL;
    memcpy(joined, path, folder);
    joined[folder] = '/';
    memcpy(joined + folder + 1, name, leaf + 1);
    return joined;
}

/* A number in xenstore: decimal digits and nothing else. Libxenvchan writes the highest bit as a sign. */
static int read_number(struct xs_handle *xs, const char *path, const char *name, uint32_t *number)
{
    unsigned int len = 0;
    char *at = under(path, name), *end = NULL;
    if (at == NULL)
        return -XEN_ENOMEM;
    char *text = xs_read(xs, XBT_NULL, at, &len);
    int rc = text == NULL ? failed() : 0;
    free(at);
    if (rc < 0)
        return rc;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || (size_t)len != strlen(text) || value < INT32_MIN ||
        value > UINT32_MAX)
        rc = -XEN_EINVAL;
    free(text);
    *number = (uint32_t)value;
    return rc;
}

static int own_domid(struct xs_handle *xs, unsigned int *domid)
{
    unsigned int len = 0;
    char *text = xs_read(xs, XBT_NULL, "domid", &len);
    if (text == NULL)
        return failed();
    *domid = (unsigned int)strtoul(text, NULL, 10);
    free(text);
    return 0;
}

static int write_number(struct xs_handle *xs, const char *path, const char *name, uint32_t number, unsigned int self,
                        unsigned int remote)
{
    struct xs_permissions perms[] = {{.id = self, .perms = XS_PERM_NONE}, {.id = remote, .perms = XS_PERM_READ}};
    char text[sizeof("4294967295")];
    char *at = under(path, name);
    if (at == NULL)
        return -XEN_ENOMEM;
    int len = snprintf(text, sizeof(text), "%u", number);
    bool good = xs_write(xs, XBT_NULL, at, text, (unsigned int)len) && xs_set_permissions(xs, XBT_NULL, at, perms, 2);
    int rc = good ? 0 : failed();
    free(at);
    return rc;
}

static void remove_node(struct xs_handle *xs, const char *path, const char *name)
{
    char *at = under(path, name);
    if (at != NULL)
        (void)xs_rm(xs, XBT_NULL, at); /* it may not be there */
    free(at);
}

static void remove_all(struct xs_handle *xs, const char *path)
{
    unsigned int count = 1;
    remove_node(xs, path, PORT);
    remove_node(xs, path, RING_REF);
    char **names = xs_directory(xs, XBT_NULL, path, &count);
    if (names != NULL && count == 0)
        (void)xs_rm(xs, XBT_NULL, path);
    free(names);
}

int xids_lxv_publish(const char *path, const struct xids_vchan *ch)
{
    unsigned int self = 0;
    struct xs_handle *xs = xs_open(0);
    if (xs == NULL)
        return failed();
    int rc = own_domid(xs, &self);
    if (rc == 0) {
        remove_node(xs, path, PORT);
        rc = write_number(xs, path, RING_REF, ch->ring_ref, self, ch->remote);
        if (rc == 0)
            rc = write_number(xs, path, PORT, ch->port, self, ch->remote);
        if (rc < 0)
            remove_all(xs, path);
    }
    xs_close(xs);
    return rc;
}

int xids_lxv_find(const char *path, grant_ref_t *ring_ref, evtchn_port_t *port)
{
    struct xs_handle *xs = xs_open(0);
    if (xs == NULL)
        return failed();
    int rc = -XEN_EAGAIN;
    for (int i = 0; i < TRIES && rc == -XEN_EAGAIN; i++) {
        uint32_t again = 0;
        rc = read_number(xs, path, PORT, port);
        if (rc == 0)
            rc = read_number(xs, path, RING_REF, ring_ref);
        if (rc == 0)
            rc = read_number(xs, path, PORT, &again);
        if (rc == 0 && again != *port)
            rc = -XEN_EAGAIN;
        else if (rc == 0 && (*port == 0 || *ring_ref == 0))
            rc = -XEN_EINVAL;
    }
    xs_close(xs);
    return rc;
}

void xids_lxv_withdraw(const char *path, const struct xids_vchan *ch)
{
    uint32_t port = 0, ring_ref = 0;
    struct xs_handle *xs = xs_open(0);
    if (xs == NULL)
        return;
    /* A server that was started anew may have put its own there. */
    if (read_number(xs, path, PORT, &port) == 0 && read_number(xs, path, RING_REF, &ring_ref) == 0 &&
        port == ch->port && ring_ref == ch->ring_ref)
        remove_all(xs, path);
    xs_close(xs);
}
