/* SPDX-License-Identifier: ISC */
/*
 * A xenstore server restored from any bytes: refused, or sound. What was restored is saved, and that must be a stream
 * that is taken again.
 */
#include <stdlib.h>
#include <string.h>
#include <xids/xs_state.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t out_bytes;

static void *get(void *ctx, size_t size)
{
    (void)ctx;
    out_bytes += size;
    return malloc(size);
}

static void put(void *ctx, void *mem, size_t size)
{
    (void)ctx;
    out_bytes -= size;
    free(mem);
}

struct stream {
    uint8_t *bytes;
    size_t len, cap;
};

static int write_stream(void *ctx, const void *bytes, size_t len)
{
    struct stream *s = ctx;
    if (s->len + len > s->cap) {
        s->cap = 2 * (s->len + len);
        s->bytes = realloc(s->bytes, s->cap);
        if (s->bytes == NULL)
            abort();
    }
    memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
    return 0;
}

static uint8_t page[XIDS_PAGE_SIZE];

static int conn(void *ctx, void XIDS_PEER **ring, struct xids_xs_conn *c, const struct xids_xs_state_conn *state)
{
    (void)ctx;
    (void)c;
    /* Some of them are still there. */
    if (state->domid >= 0 && state->domid % 2 == 0)
        return -XEN_EINVAL;
    if (state->domid >= 0)
        *ring = (void XIDS_PEER *)page;
    return 0;
}

static struct xids_xs_server *restored(const uint8_t *data, size_t len)
{
    const struct xids_xs_server_config config = {.alloc = {.get = get, .put = put}};
    const struct xids_xs_restore restore = {.conn = conn};
    struct xids_xs_state_error error;
    struct xids_xs_server *s;
    if (xids_xs_server_new(&s, &config) < 0)
        abort();
    int rc = xids_xs_server_restore(s, &error, &restore, data, len);
    if (rc == 0)
        return s;
    if (rc != -XEN_EBADMSG || error.reason == NULL || error.offset > len)
        abort();
    xids_xs_server_free(s);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct stream stream = {0};
    const struct xids_xs_save save = {.write = write_stream, .ctx = &stream};
    memset(page, 0, sizeof(page));
    struct xids_xs_server *s = restored(data, len);
    if (s != NULL) {
        if (xids_store_check(xids_xs_server_store(s)) != NULL || xids_xs_server_save(s, &save) < 0)
            abort();
        xids_xs_server_free(s);
        s = restored(stream.bytes, stream.len);
        if (s == NULL)
            abort();
        while (xids_xs_server_idle(s, 100000)) {
        }
        if (xids_store_check(xids_xs_server_store(s)) != NULL)
            abort();
        xids_xs_server_free(s);
    }
    free(stream.bytes);
    if (out_bytes != 0)
        abort();
    return 0;
}
