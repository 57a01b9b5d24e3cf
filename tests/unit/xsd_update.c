/* SPDX-License-Identifier: ISC */
#include "tests/unit/xsd_update.h"

#include <string.h>

struct both {
    struct world *w;
    struct sockets *socks;
    struct stream *stream;
};

static int write_stream(void *ctx, const void *bytes, size_t len)
{
    const struct both *b = ctx;
    struct stream *s = b->stream;
    if (s->fail_at != 0 && s->len + len > s->fail_at)
        return -XEN_ENOSPC;
    if (s->len + len > s->cap) {
        s->cap = 2 * (s->len + len);
        s->bytes = realloc(s->bytes, s->cap);
        ck_assert_ptr_nonnull(s->bytes);
    }
    memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
    return 0;
}

static void conn_to_stream(void *ctx, struct xids_xs_conn *conn, struct xids_xs_state_conn *state)
{
    const struct both *b = ctx;
    if (state->domid >= 0) {
        state->handle = (int32_t)b->w->rings[state->domid].port;
        state->note = "a ring";
        state->note_len = 6;
        return;
    }
    state->handle = -1;
    for (unsigned int i = 0; i < b->socks->n; i++) {
        if (b->socks->conn[i] != conn)
            continue;
        state->handle = (int32_t)i;
        state->rest = b->socks->rest[i];
        state->rest_len = b->socks->rest_len[i];
    }
}

static int conn_from_stream(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn,
                            const struct xids_xs_state_conn *state)
{
    const struct both *b = ctx;
    ck_assert_int_eq(xids_xs_conn_domid(conn), state->domid);
    if (state->domid >= 0) {
        ck_assert_uint_eq(state->note_len, 6);
        ck_assert_mem_eq(state->note, "a ring", 6);
        ck_assert_int_eq(state->handle, (int32_t)b->w->rings[state->domid].port);
        *page = (void XIDS_PEER *)b->w->rings[state->domid].page;
        return b->w->gone[state->domid] ? -XEN_EINVAL : 0;
    }
    if (state->handle < 0)
        return 0;
    ck_assert_int_lt(state->handle, (int32_t)b->socks->n);
    b->socks->conn[state->handle] = conn;
    b->socks->rest[state->handle] = state->rest;
    b->socks->rest_len[state->handle] = state->rest_len;
    return 0;
}

int world_save(struct world *w, struct sockets *socks, struct stream *stream)
{
    struct both b = {w, socks, stream};
    const struct xids_xs_save save = {.global = {.socket_fd = 3, .evtchn_fd = 4, .note = "host", .note_len = 4},
                                      .write = write_stream,
                                      .conn = conn_to_stream,
                                      .ctx = &b};
    return xids_xs_server_save(w->server, &save);
}

static int global_from_stream(void *ctx, const struct xids_xs_state_global *global)
{
    (void)ctx;
    ck_assert_int_eq(global->socket_fd, 3);
    ck_assert_int_eq(global->evtchn_fd, 4);
    ck_assert_uint_eq(global->note_len, 4);
    ck_assert_mem_eq(global->note, "host", 4);
    return 0;
}

int world_restore(struct world *w, struct sockets *socks, struct xids_xs_state_error *error, const void *bytes,
                  size_t len)
{
    struct both b = {w, socks, NULL};
    const struct xids_xs_restore restore = {.global = global_from_stream, .conn = conn_from_stream, .ctx = &b};
    int rc = world_server(w);
    return rc < 0 ? rc : xids_xs_server_restore(w->server, error, &restore, bytes, len);
}

void world_update(struct world *w, struct sockets *socks)
{
    struct stream stream = {0};
    struct xids_xs_state_error error;
    ck_assert_int_eq(world_save(w, socks, &stream), 0);
    /* As the host does: what it has read is in the stream now. */
    xids_xs_server_free(w->server);
    ck_assert_uint_eq(w->alloc.blocks, 0);
    int rc = world_restore(w, socks, &error, stream.bytes, stream.len);
    ck_assert_msg(rc == 0, "%d: record %u at %lu: %s", rc, error.record, (unsigned long)error.offset,
                  error.reason != NULL ? error.reason : "?");
    /* Nothing is read from the stream any more. */
    memset(stream.bytes, 0xee, stream.len);
    free(stream.bytes);
}
