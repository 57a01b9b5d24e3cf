/* SPDX-License-Identifier: ISC */
/*
 * Both ends of the entropy protocol under a peer that says anything. The input's first byte chooses the end; then come
 * steps: what to do besides, how much room there is, how many bytes of the peer's follow. Nothing may be written out of
 * bounds, no output may be longer than its room, and an error must stay.
 */
#include <stdlib.h>
#include <string.h>
#include <xids/randomd.h>

#define PULL 3000u
#define GUARD 0xee

/* Bits of the byte that says what to do besides. */
#define LIMITED 0x40u
#define BUSY 0x80u

static _Alignas(16) uint8_t engine[2048];
static uint8_t out[2048], buf[PULL + 16];

static void check(bool fine)
{
    if (!fine)
        abort();
}

static int source(void *ctx, uint8_t *to, size_t len)
{
    unsigned int *calls = ctx;
    memset(to, (int)(++*calls & 0xff), len);
    return *calls % 7 == 0 ? -XEN_EAGAIN : *calls % 11 == 0 ? -XEN_EIO : 0;
}

/* One step's bytes. Returns how much of the input it took, 0: none is left. */
static size_t next_io(struct xids_randomd_io *io, const uint8_t *data, size_t len)
{
    if (len < 3)
        return 0;
    size_t n = data[2] < len - 3 ? data[2] : len - 3;
    memset(out, GUARD, sizeof(out));
    *io = (struct xids_randomd_io){.in = data + 3, .in_len = n, .out = out, .out_room = data[1] * 8u};
    return 3 + n;
}

static void check_io(const struct xids_randomd_io *io)
{
    check(io->in_used <= io->in_len && io->out_len <= io->out_room);
    for (size_t i = io->out_len; i < sizeof(out); i++)
        check(out[i] == GUARD);
}

static void session(const uint8_t *data, size_t len)
{
    unsigned int calls = 0;
    struct xids_randomd_session *s;
    const struct xids_randomd_session_config config = {.source = source, .source_ctx = &calls};
    struct xids_randomd_io io;
    struct xids_randomd_session_stats before, after;
    uint64_t now = 1, sent = 0;
    int ended = 0;
    size_t took;
    check(xids_randomd_session_init(&s, engine, sizeof(engine), &config, now) == 0);
    for (; (took = next_io(&io, data, len)) > 0; data += took, len -= took) {
        if (data[0] % 8 == 1)
            check(xids_randomd_session_renew(s, XIDS_RANDOMD_REASON_RESEED, now) <= 0);
        else if (data[0] == 2)
            xids_randomd_session_bye(s, XIDS_RANDOMD_CODE_STOPPING, 1);
        now += (uint64_t)data[0] << 30;
        io.unread = sent * (data[0] % 3) / 2;
        io.limit = (data[0] & LIMITED) != 0 ? data[1] + 1u : 0;
        io.busy_ms = (data[0] & BUSY) != 0 ? 1000 : 0;
        xids_randomd_session_stats(s, &before);
        int rc = xids_randomd_session_step(s, &io, now);
        check_io(&io);
        /* Over the limit by one request at most; and nothing is given to who is over its share. */
        xids_randomd_session_stats(s, &after);
        check(io.limit == 0 || io.cost < io.limit + XIDS_RANDOMD_COST_REQUEST + XIDS_RANDOMD_COST_HELLO);
        check(io.cost >= after.bytes - before.bytes);
        check(io.busy_ms == 0 || (after.bytes == before.bytes && after.hellos == before.hellos));
        check(rc == 0 || rc == 1 || rc == -XEN_EBADMSG);
        check(ended == 0 || (rc == ended && io.out_len == 0));
        ended = rc;
        sent += io.out_len;
    }
    xids_randomd_session_fini(s);
}

static void client(const uint8_t *data, size_t len)
{
    struct xids_randomd_client *c;
    struct xids_randomd_client_config config;
    struct xids_randomd_pull pull = {.to = buf, .len = PULL};
    struct xids_randomd_io io;
    uint64_t now = 1;
    int ended = 0;
    size_t took;
    memset(&config, 0, sizeof(config));
    memset(buf, GUARD, sizeof(buf));
    check(xids_randomd_client_init(&c, engine, sizeof(engine), &config, now) == 0);
    xids_randomd_client_connected(c, now);
    check(xids_randomd_client_pull(c, &pull) == 0);
    for (; (took = next_io(&io, data, len)) > 0; data += took, len -= took) {
        if (data[0] == 1) {
            xids_randomd_client_forget(c);
            check(xids_randomd_client_grade(c) == XIDS_RANDOMD_GRADE_NONE);
        } else if (data[0] == 2) {
            xids_randomd_client_cancel(c, &pull);
        } else if (data[0] == 3) {
            xids_randomd_client_disconnected(c);
            xids_randomd_client_connected(c, now);
            ended = 0;
        }
        now += (uint64_t)data[0] << 26;
        int rc = xids_randomd_client_step(c, &io, now);
        check_io(&io);
        check(rc == 0 || rc == 1 || rc == -XEN_EBADMSG || rc == -XEN_EPERM);
        check(ended == 0 || (rc == ended && io.out_len == 0));
        check(pull.got <= pull.asked && pull.asked <= PULL);
        ended = rc;
    }
    xids_randomd_client_fini(c);
    for (size_t i = PULL; i < sizeof(buf); i++)
        check(buf[i] == GUARD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    check(xids_randomd_session_size() <= sizeof(engine) && xids_randomd_client_size() <= sizeof(engine));
    if (len == 0)
        return 0;
    if (data[0] % 2 == 0)
        session(data + 1, len - 1);
    else
        client(data + 1, len - 1);
    return 0;
}
