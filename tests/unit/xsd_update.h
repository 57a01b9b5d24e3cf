/* SPDX-License-Identifier: ISC */
/* A world whose server is replaced by another one, as in a live update: only the stream and the rings' pages remain. */
#ifndef XIDS_TESTS_UNIT_XSD_UPDATE_H
#define XIDS_TESTS_UNIT_XSD_UPDATE_H

#include <xids/xs_state.h>

#include "tests/unit/xsd_world.h"

/* The sockets that a test knows; an update puts the new connections in the place of the old ones. */
struct sockets {
    struct xids_xs_conn *conn[8];
    const void *rest[8]; /* bytes that the host has read and the server not taken; what is saved and comes back */
    size_t rest_len[8];
    unsigned int n;
};

struct stream {
    uint8_t *bytes;
    size_t len, cap;
    size_t fail_at; /* the write that goes beyond so many bytes fails; 0: none */
};

/* Saves the state of a world's server. */
int world_save(struct world *w, struct sockets *socks, struct stream *stream);
/* Makes a server out of a stream, in the place of the world's, which must have been freed. */
int world_restore(struct world *w, struct sockets *socks, struct xids_xs_state_error *error, const void *bytes,
                  size_t len);
/* Both: nothing of the old server is left. */
void world_update(struct world *w, struct sockets *socks);

#endif
