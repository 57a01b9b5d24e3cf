/* SPDX-License-Identifier: ISC */
/* What the two files of the blocking meeting share: a link (vchan_open.c), and the way to a server (open_connect.c). */
#ifndef XIDS_VCHAN_OPEN_INTERNAL_H
#define XIDS_VCHAN_OPEN_INTERNAL_H

#include <xids/vchan_open.h>

struct xids_vchan_link {
    struct xids_vchan *ch;
    struct xids_xs *xs;
    char *path;
    /* Server: the part of the path that was there before, in bytes; folders beyond it are ours to remove. */
    size_t found;
    bool published;
    unsigned int looks; /* server: since the last client */
    /* Client: whether a look after the connection found the server's port, and how many since have not. */
    bool seen;
    bool asked; /* a look is under way */
    unsigned int missing;
};

/* Without a path, which open_connect.c finds. NULL: no memory. */
struct xids_vchan_link *xids_link_new_(struct xids_xs *xs, const char *path);
void xids_link_free_(struct xids_vchan_link *link);

/* The channel is made: from now on the blocking calls look after the peer by the link. */
void xids_link_attend_(struct xids_vchan_link *link);

/* "PATH/leaf", malloc'ed, or NULL. */
char *xids_link_under_(const char *path, const char *leaf);

#endif
