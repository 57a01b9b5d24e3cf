/* SPDX-License-Identifier: ISC */
/* What the tests of the entropy protocol share: messages made by hand, and a source that can be told what to do. */
#ifndef XIDS_TESTS_UNIT_RANDOMD_WIRE_H
#define XIDS_TESTS_UNIT_RANDOMD_WIRE_H

#include "tests/unit/suite.h"

#include "randomd/wire.h"

#include <stdlib.h>
#include <string.h>
#include <xids/randomd.h>

#define EPOCH 0x1122334455667788ull
#define S 1000000000ull
#define MS 1000000ull

/* Gives bytes that differ at each call, unless fixed; or fails with rc. */
struct source {
    int rc;
    unsigned int calls;
    bool fixed;
    unsigned int fail_at; /* the call that fails with -XEN_EIO, 0: none */
};

static inline int source_get(void *ctx, uint8_t *buf, size_t len)
{
    struct source *s = ctx;
    if (s->rc != 0)
        return s->rc;
    s->calls++;
    if (s->calls == s->fail_at)
        return -XEN_EIO;
    memset(buf, s->fixed ? 0x5a : (int)(s->calls & 0xff), len);
    if (!s->fixed)
        memcpy(buf, &s->calls, sizeof(s->calls));
    return 0;
}

static inline size_t make_hello(uint8_t *m, uint32_t id, uint8_t nonce_from, uint8_t identity_from)
{
    put_header(m, XIDS_RANDOMD_HELLO, HELLO_LEN, id, 0);
    put16(m + 16, 2);
    put16(m + 18, 2);
    put32(m + 20, 0);
    for (unsigned int i = 0; i < 32; i++)
        m[24 + i] = (uint8_t)(nonce_from + i);
    for (unsigned int i = 0; i < 16; i++)
        m[56 + i] = (uint8_t)(identity_from + i);
    return HELLO_LEN;
}

static inline size_t make_get(uint8_t *m, uint32_t id, uint32_t len)
{
    put_header(m, XIDS_RANDOMD_GET, GET_LEN, id, 0);
    put32(m + 16, len);
    put32(m + 20, 0);
    return GET_LEN;
}

static inline size_t make_client_bye(uint8_t *m)
{
    put_header(m, XIDS_RANDOMD_CLIENT_BYE, CLIENT_BYE_LEN, 0, 0);
    return CLIENT_BYE_LEN;
}

static inline size_t make_seed(uint8_t *m, uint64_t epoch, uint8_t from)
{
    put_header(m, XIDS_RANDOMD_SEED, SEED_LEN, 0, epoch);
    memcpy(m + 16, "xidsrnd2", 8);
    put16(m + 24, 2);
    memset(m + 26, 0, 6);
    m[26] = 2;
    for (unsigned int i = 0; i < 48; i++)
        m[32 + i] = (uint8_t)(from + i);
    return SEED_LEN;
}

static inline size_t make_welcome(uint8_t *m, uint32_t id, uint64_t epoch)
{
    put_header(m, XIDS_RANDOMD_WELCOME, WELCOME_LEN, id, epoch);
    memset(m + 16, 0, WELCOME_LEN - 16);
    put16(m + 16, 2);
    m[18] = epoch != 0 ? 2 : 0;
    put32(m + 20, 1024);
    put32(m + 24, 2);
    put32(m + 28, 60000);
    return WELCOME_LEN;
}

static inline size_t make_data(uint8_t *m, uint32_t id, uint64_t epoch, size_t len, uint8_t what)
{
    put_header(m, XIDS_RANDOMD_DATA, 16 + len, id, epoch);
    memset(m + 16, what, len);
    return 16 + len;
}

static inline size_t make_err(uint8_t *m, uint32_t id, uint64_t epoch, uint32_t code, uint32_t retry_ms)
{
    put_header(m, XIDS_RANDOMD_ERR, ERR_LEN, id, epoch);
    put32(m + 16, code);
    put32(m + 20, retry_ms);
    return ERR_LEN;
}

static inline size_t make_epoch(uint8_t *m, uint64_t epoch, uint8_t reason)
{
    put_header(m, XIDS_RANDOMD_EPOCH, EPOCH_LEN, 0, epoch);
    memset(m + 16, 0, 8);
    m[16] = epoch != 0 ? 2 : 0;
    m[17] = reason;
    return EPOCH_LEN;
}

static inline size_t make_bye(uint8_t *m, uint64_t epoch, uint32_t code, uint32_t retry_ms)
{
    put_header(m, XIDS_RANDOMD_BYE, BYE_LEN, 0, epoch);
    put32(m + 16, code);
    put32(m + 20, retry_ms);
    return BYE_LEN;
}

/* Whether some bytes occur in memory. */
static inline bool found_in(const void *mem, size_t size, const void *bytes, size_t len)
{
    const uint8_t *at = mem;
    for (size_t i = 0; i + len <= size; i++)
        if (memcmp(at + i, bytes, len) == 0)
            return true;
    return false;
}

#endif
