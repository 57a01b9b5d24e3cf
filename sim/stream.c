/* SPDX-License-Identifier: ISC */
/* A client's socket: bytes in that may have to wait, bytes out that may have to wait. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sim/daemon.h"

#define INPUT_BYTES 16384u
#define WRITE_BYTES 65536u

struct xids_sim_stream {
    uv_pipe_t pipe;
    uv_write_t write;
    const struct xids_sim_stream_ops *ops;
    void *ctx;
    size_t have; /* input not taken yet */
    bool writing, reading, closing, kicking;
    bool ended; /* the other side will send no more; what came before is still to be taken */
    uint8_t input[INPUT_BYTES];
    uint8_t out[WRITE_BYTES];
};

static void freed(uv_handle_t *handle)
{
    free(handle->data);
}

static void end(struct xids_sim_stream *s)
{
    if (s->closing)
        return;
    s->closing = true;
    uv_close((uv_handle_t *)&s->pipe, freed);
}

static void fail(struct xids_sim_stream *s)
{
    if (s->closing)
        return;
    end(s);
    s->ops->closed(s->ctx);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct xids_sim_stream *s = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)s->input + s->have, (unsigned int)(sizeof(s->input) - s->have));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct xids_sim_stream *s = stream->data;
    (void)buf;
    if (n < 0) {
        s->ended = true;
        (void)uv_read_stop(stream);
        if (n != UV_EOF)
            s->have = 0;
    } else {
        s->have += (size_t)n;
    }
    xids_sim_stream_kick(s);
}

static void on_written(uv_write_t *request, int status)
{
    struct xids_sim_stream *s = request->data;
    s->writing = false;
    if (s->closing)
        return;
    if (status < 0)
        fail(s);
    else
        xids_sim_stream_kick(s);
}

static void flush(struct xids_sim_stream *s)
{
    const uint8_t *data;
    size_t len = s->writing ? 0 : s->ops->output(s->ctx, &data);
    if (len == 0)
        return;
    if (len > sizeof(s->out))
        len = sizeof(s->out);
    memcpy(s->out, data, len);
    s->ops->sent(s->ctx, len);
    uv_buf_t buf = uv_buf_init((char *)s->out, (unsigned int)len);
    s->write.data = s;
    s->writing = true;
    if (uv_write(&s->write, (uv_stream_t *)&s->pipe, &buf, 1, on_written) < 0) {
        s->writing = false;
        fail(s);
    }
}

void xids_sim_stream_kick(struct xids_sim_stream *s)
{
    if (s->closing || s->kicking)
        return;
    s->kicking = true; /* input may lead back to us */
    while (s->have > 0 && !s->closing) {
        int taken = s->ops->input(s->ctx, s->input, s->have);
        if (taken < 0 && !s->closing)
            fail(s);
        if (taken <= 0)
            break;
        s->have -= (size_t)taken;
        memmove(s->input, s->input + taken, s->have);
    }
    if (!s->closing)
        flush(s);
    s->kicking = false;
    if (s->ended && s->have == 0)
        fail(s);
    if (s->closing || s->ended)
        return;
    bool wanted = s->have < sizeof(s->input);
    if (wanted && !s->reading)
        s->reading = uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_read) == 0;
    else if (!wanted && s->reading)
        s->reading = uv_read_stop((uv_stream_t *)&s->pipe) != 0;
}

struct xids_sim_stream *xids_sim_stream_accept(uv_stream_t *listener, const struct xids_sim_stream_ops *ops)
{
    struct xids_sim_stream *s = malloc(sizeof(*s));
    if (s == NULL)
        return NULL;
    memset(s, 0, offsetof(struct xids_sim_stream, input));
    s->ops = ops;
    if (uv_pipe_init(listener->loop, &s->pipe, 0) < 0) {
        free(s);
        return NULL;
    }
    s->pipe.data = s;
    if (uv_accept(listener, (uv_stream_t *)&s->pipe) < 0) {
        end(s);
        return NULL;
    }
    return s;
}

void xids_sim_stream_start(struct xids_sim_stream *s, void *ctx)
{
    s->ctx = ctx;
    xids_sim_stream_kick(s);
}

void xids_sim_stream_close(struct xids_sim_stream *s)
{
    /* libuv writes at once what the socket takes; a peer that leaves its socket full loses the rest. */
    if (!s->closing && s->ctx != NULL)
        flush(s);
    end(s);
}

pid_t xids_sim_stream_peer(const struct xids_sim_stream *s)
{
    uv_os_fd_t fd;
    struct ucred who = {0};
    socklen_t len = sizeof(who);
    if (uv_fileno((const uv_handle_t *)&s->pipe, &fd) < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return 0;
    return who.pid;
}
