/* SPDX-License-Identifier: ISC */
/* A client of the entropy protocol under test, with the server's side played by hand. */
#ifndef XIDS_TESTS_UNIT_RANDOMD_CLIENT_H
#define XIDS_TESTS_UNIT_RANDOMD_CLIENT_H

#include "tests/unit/randomd_wire.h"

#define OUT_ROOM 1024u

struct fixture {
    struct xids_randomd_client *c;
    void *mem;
    uint8_t out[OUT_ROOM];
    size_t out_len;
    uint64_t now;
};

static inline void begin(struct fixture *f)
{
    struct xids_randomd_client_config config = {.reseed_ns = 0};
    memset(f, 0, sizeof(*f));
    for (unsigned int i = 0; i < 32; i++)
        config.nonce[i] = (uint8_t)(0x40 + i);
    for (unsigned int i = 0; i < 16; i++)
        config.identity[i] = (uint8_t)(0xa0 + i);
    f->mem = malloc(xids_randomd_client_size());
    f->now = 7 * S;
    ck_assert_int_eq(xids_randomd_client_init(&f->c, f->mem, xids_randomd_client_size(), &config, f->now), 0);
}

static inline void end(struct fixture *f)
{
    xids_randomd_client_fini(f->c);
    free(f->mem);
}

static inline int step_room(struct fixture *f, const void *in, size_t len, size_t room)
{
    struct xids_randomd_io io = {.in = in, .in_len = len, .out = f->out, .out_room = room};
    int rc = xids_randomd_client_step(f->c, &io, f->now);
    ck_assert_uint_le(io.in_used, len);
    ck_assert_uint_le(io.out_len, room);
    if (rc == 0)
        ck_assert_uint_eq(io.in_used, len);
    f->out_len = io.out_len;
    return rc;
}

static inline int step(struct fixture *f, const void *in, size_t len)
{
    return step_room(f, in, len, OUT_ROOM);
}

/* Connected: HELLO (id 0) and GET of 48 (id 1) are out. */
static inline void greet(struct fixture *f)
{
    xids_randomd_client_connected(f->c, f->now);
    ck_assert_int_eq(step(f, NULL, 0), 0);
    ck_assert_uint_eq(f->out_len, HELLO_LEN + GET_LEN);
}

static inline void be_welcomed(struct fixture *f)
{
    uint8_t m[WELCOME_LEN];
    greet(f);
    ck_assert_int_eq(step(f, m, make_welcome(m, 0, EPOCH)), 0);
}

/* Welcomed and seeded by DATA: nothing is under way, and the next id is 2. */
static inline void open_up(struct fixture *f)
{
    uint8_t m[64];
    be_welcomed(f);
    ck_assert_int_eq(step(f, m, make_data(m, 1, EPOCH, 48, 0x33)), 0);
    ck_assert_int_eq(xids_randomd_client_grade(f->c), XIDS_RANDOMD_GRADE_HOST);
}

static inline void assert_get(const uint8_t *m, uint32_t id, uint32_t len)
{
    uint8_t want[GET_LEN];
    make_get(want, id, len);
    ck_assert_mem_eq(m, want, GET_LEN);
}

#endif
