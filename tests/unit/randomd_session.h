/* SPDX-License-Identifier: ISC */
/* A session of the entropy server under test, with the guest's side played by hand. */
#ifndef XIDS_TESTS_UNIT_RANDOMD_SESSION_H
#define XIDS_TESTS_UNIT_RANDOMD_SESSION_H

#include "tests/unit/randomd_wire.h"

struct fixture {
    struct source source;
    struct xids_randomd_session *s;
    void *mem;
    uint8_t out[3200];
    size_t out_len, in_used, wait;
    size_t unread; /* what the guest has not consumed */
    uint64_t now;
};

static inline void begin_as(struct fixture *f, const char *who, struct source source)
{
    memset(f, 0, sizeof(*f));
    f->source = source;
    f->mem = malloc(xids_randomd_session_size());
    f->now = 5 * S;
    const struct xids_randomd_session_config config = {
        .source = source_get, .source_ctx = &f->source, .who = who, .who_len = strlen(who)};
    ck_assert_int_eq(xids_randomd_session_init(&f->s, f->mem, xids_randomd_session_size(), &config, f->now), 0);
}

static inline void begin(struct fixture *f)
{
    begin_as(f, "guest 1", (struct source){0});
}

static inline void end(struct fixture *f)
{
    xids_randomd_session_fini(f->s);
    free(f->mem);
}

static inline int step_room(struct fixture *f, const void *in, size_t len, size_t room)
{
    struct xids_randomd_io io = {.in = in, .in_len = len, .out = f->out, .out_room = room, .unread = f->unread};
    int rc = xids_randomd_session_step(f->s, &io, f->now);
    ck_assert_uint_le(io.in_used, len);
    ck_assert_uint_le(io.out_len, room);
    f->in_used = io.in_used;
    f->out_len = io.out_len;
    f->wait = io.wait;
    return rc;
}

/* One step for a guest that reads everything at once. */
static inline int step(struct fixture *f, const void *in, size_t len)
{
    return step_room(f, in, len, sizeof(f->out));
}

static inline void hello(struct fixture *f)
{
    uint8_t m[HELLO_LEN];
    ck_assert_int_eq(step(f, m, make_hello(m, 1, 0x40, 0xa0)), 0);
    ck_assert_uint_eq(f->out_len, WELCOME_LEN);
}

static inline int ask(struct fixture *f, uint32_t id, uint32_t len)
{
    uint8_t m[GET_LEN];
    return step(f, m, make_get(m, id, len));
}

static inline void assert_err(const uint8_t *m, uint32_t id, uint32_t code, uint32_t retry_ms)
{
    struct randomd_header h = get_header(m);
    ck_assert_uint_eq(h.type, XIDS_RANDOMD_ERR);
    ck_assert_uint_eq(h.len, ERR_LEN);
    ck_assert_uint_eq(h.id, id);
    ck_assert_uint_eq(get32(m + 16), code);
    ck_assert_uint_eq(get32(m + 20), retry_ms);
}

static inline void assert_data(const uint8_t *m, uint32_t id, uint64_t epoch, uint32_t len)
{
    struct randomd_header h = get_header(m);
    ck_assert_uint_eq(h.type, XIDS_RANDOMD_DATA);
    ck_assert_uint_eq(h.len, 16 + len);
    ck_assert_uint_eq(h.id, id);
    ck_assert_uint_eq(h.epoch, epoch);
}

#endif
