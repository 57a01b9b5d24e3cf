/* SPDX-License-Identifier: ISC */
/* What the two files of the blocking meeting share: a link (vchan_open.c), and the way to a server (open_connect.c). */
#ifndef XIDS_VCHAN_OPEN_INTERNAL_H
#define XIDS_VCHAN_OPEN_INTERNAL_H

#include <xids/vchan_open.h>

/* Small, for a program may have thousands. The channel lies behind it, in the same allocation. */
struct xids_vchan_link {
    struct xids_vchan *ch;
    struct xids_xs *xs;
    char *path;
    unsigned int looks;   /* server: since the last client */
    unsigned int missing; /* client: how many looks since the last that found the server's port have not */
    /* Server: the part of the path that was there before, in bytes; folders beyond it are ours to remove. */
    uint16_t found;
    bool published;
    bool seen;  /* client: a look after the connection found the server's port */
    bool asked; /* a look is under way */
};

/* Without a path, which open_connect.c finds. NULL: no memory. */
struct xids_vchan_link *xids_link_new_(struct xids_xs *xs, const char *path);
void xids_link_free_(struct xids_vchan_link *link);

/* The channel is made: from now on the blocking calls look after the peer by the link. */
void xids_link_attend_(struct xids_vchan_link *link);

/* "PATH/leaf", malloc'ed, or NULL. */
char *xids_link_under_(const char *path, const char *leaf);

#endif
