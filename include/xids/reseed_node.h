/* SPDX-License-Identifier: ISC */
/*
 * Says in a guest's home which of its pages is the reseed page (reseed.h), and says so again in every new home.
 * docs/spec/randomd.md, 8.2.
 */
#ifndef XIDS_RESEED_NODE_H
#define XIDS_RESEED_NODE_H

#include <xids/loop.h>
#include <xids/xs_client.h>

XIDS_BEGIN_DECLS

/* Its fields are the implementation's. */
struct xids_reseed_node {
    struct xids_part part;
    struct xids_xs_client *xs;
    uint64_t retry_at;
    char frame[14];
    uint8_t len;
    bool writing, written;
};

/*
 * Begins with the first step of its part. frame: the guest frame number of the page, at most XIDS_RESEED_FRAME_MAX, or
 * -XEN_EINVAL. The page must have been prepared (xids_entropy_reseed_page). xs must outlive it.
 */
int xids_reseed_node_init(struct xids_reseed_node *n, struct xids_xs_client *xs, uint64_t frame) XIDS_MUST_CHECK;

/* Its part must be out of the loop. What it wrote stays. */
void xids_reseed_node_fini(struct xids_reseed_node *n);

struct xids_part *xids_reseed_node_part(struct xids_reseed_node *n);

XIDS_END_DECLS

#endif
