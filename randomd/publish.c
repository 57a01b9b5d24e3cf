/* SPDX-License-Identifier: ISC */
/*
 * What xenstore says of the channels: docs/spec/randomd.md, 2.1. Nothing here is a secret. New nodes take their
 * parent's permissions, so the two directories are given theirs while they are empty.
 */
#include "randomd/daemon.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 96u

static void backend_path(char path[PATH_BYTES], const struct daemon *d, const struct guest *g, const char *leaf)
{
    snprintf(path, PATH_BYTES, "/local/domain/%u/backend/randomd/%u%s", d->domid, g->domid, leaf);
}

static void home_path(char path[PATH_BYTES], const struct guest *g, const char *leaf)
{
    snprintf(path, PATH_BYTES, "/local/domain/%u%s", g->domid, leaf);
}

/* 1: there, 0: not, or an error. */
static int exists(struct daemon *d, const char *path)
{
    struct xids_xs_perm *perms;
    unsigned int count;
    int rc = xids_xs_get_perms(d->xs, &perms, &count, XIDS_XS_NO_TX, path);
    if (rc == -XEN_ENOENT)
        return 0;
    if (rc < 0)
        return rc;
    free(perms);
    return 1;
}

/* Makes a directory that we own and the guest reads. */
static int make_dir(struct daemon *d, const struct guest *g, const char *path)
{
    const struct xids_xs_perm perms[] = {{d->domid, XIDS_XS_NONE}, {g->domid, XIDS_XS_READ}};
    int rc = xids_xs_mkdir(d->xs, XIDS_XS_NO_TX, path);
    return rc < 0 ? rc : xids_xs_set_perms(d->xs, XIDS_XS_NO_TX, path, perms, 2);
}

static int rm(struct daemon *d, const char *path)
{
    if (d->store_lost)
        return -XEN_ENOTCONN;
    int rc = xids_xs_rm(d->xs, XIDS_XS_NO_TX, path);
    return rc == -XEN_ENOENT ? 0 : rc;
}

static void rm_if_empty(struct daemon *d, const char *path)
{
    char **names = NULL;
    unsigned int count = 1;
    if (d->store_lost)
        return;
    int rc = xids_xs_directory(d->xs, &names, &count, XIDS_XS_NO_TX, path);
    free(names);
    if (rc >= 0 && count == 0)
        rc = rm(d, path);
    store_check(d, rc);
}

int publish_begin(struct daemon *d)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "/local/domain/%u", d->domid);
    int rc = exists(d, path);
    d->made_home = d->made_home || rc == 0;
    snprintf(path, sizeof(path), "/local/domain/%u/backend", d->domid);
    if (rc >= 0)
        rc = exists(d, path);
    if (rc < 0)
        return rc;
    d->made_backend = d->made_backend || rc == 0;
    snprintf(path, sizeof(path), "/local/domain/%u/backend/randomd", d->domid);
    return rm(d, path);
}

static int write_channel(struct daemon *d, const struct guest *g)
{
    char path[PATH_BYTES];
    backend_path(path, d, g, "/0/ring-ref");
    int rc = xids_xs_printf(d->xs, XIDS_XS_NO_TX, path, "%" PRIu32, xids_vchan_ring_ref(g->ch));
    if (rc < 0)
        return rc;
    backend_path(path, d, g, "/0/version");
    rc = xids_xs_printf(d->xs, XIDS_XS_NO_TX, path, "%u", XIDS_RANDOMD_VERSION);
    if (rc < 0)
        return rc;
    backend_path(path, d, g, "/0/event-channel");
    return xids_xs_printf(d->xs, XIDS_XS_NO_TX, path, "%" PRIu32, xids_vchan_port(g->ch));
}

static int write_pointer(struct daemon *d, struct guest *g)
{
    char path[PATH_BYTES], target[PATH_BYTES];
    home_path(path, g, "/device");
    int rc = exists(d, path);
    if (rc == 0) {
        g->made_device = true;
        rc = make_dir(d, g, path);
    }
    if (rc < 0)
        return rc;
    home_path(path, g, "/device/randomd");
    rc = make_dir(d, g, path);
    if (rc < 0)
        return rc;
    home_path(path, g, "/device/randomd/0/backend-id");
    rc = xids_xs_printf(d->xs, XIDS_XS_NO_TX, path, "%u", d->domid);
    if (rc < 0)
        return rc;
    backend_path(target, d, g, "/0");
    home_path(path, g, "/device/randomd/0/backend");
    return xids_xs_write(d->xs, XIDS_XS_NO_TX, path, target, strlen(target));
}

int publish_channel(struct daemon *d, struct guest *g)
{
    char path[PATH_BYTES];
    if (d->store_lost)
        return -XEN_ENOTCONN;
    backend_path(path, d, g, "");
    int rc = make_dir(d, g, path);
    if (rc == 0)
        rc = write_channel(d, g);
    return rc < 0 ? rc : write_pointer(d, g);
}

int publish_withdraw(struct daemon *d, const struct guest *g)
{
    char path[PATH_BYTES];
    backend_path(path, d, g, "/0/event-channel");
    return rm(d, path);
}

void publish_forget(struct daemon *d, const struct guest *g)
{
    char path[PATH_BYTES];
    backend_path(path, d, g, "");
    store_check(d, rm(d, path));
    home_path(path, g, "/device/randomd");
    store_check(d, rm(d, path));
    if (g->made_device) {
        home_path(path, g, "/device");
        rm_if_empty(d, path);
    }
}

void publish_end(struct daemon *d)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "/local/domain/%u/backend/randomd", d->domid);
    store_check(d, rm(d, path));
    if (d->made_backend) {
        snprintf(path, sizeof(path), "/local/domain/%u/backend", d->domid);
        rm_if_empty(d, path);
    }
    if (d->made_home) {
        snprintf(path, sizeof(path), "/local/domain/%u", d->domid);
        rm_if_empty(d, path);
    }
}

int publish_present(struct daemon *d, const struct guest *g)
{
    char path[PATH_BYTES];
    home_path(path, g, "/device/randomd/0/backend");
    return exists(d, path);
}
