/* SPDX-License-Identifier: ISC */
/* The messages of docs/spec/randomd.md, section 3: lengths, and the header in and out. */
#ifndef XIDS_RANDOMD_WIRE_H
#define XIDS_RANDOMD_WIRE_H

#include <xids/randomd.h>

#include "randomd/bytes.h"

#define HELLO_LEN 72u
#define GET_LEN 24u
#define CLIENT_BYE_LEN 16u
#define SEED_LEN 80u
#define WELCOME_LEN 48u
#define ERR_LEN 24u
#define EPOCH_LEN 24u
#define BYE_LEN 24u

#define SEED_MAGIC "xidsrnd2"

/* What is mixed into a client's generator (7.2 of the specification), and into a session's (our own affair). */
enum randomd_tag {
    TAG_NONCE = 1,
    TAG_IDENTITY = 2,
    TAG_SEED = 3,
    TAG_DATA = 4,
    TAG_LOCAL = 5,
    TAG_EPOCH = 6,
    TAG_POOL = 7,
    TAG_PAGE = 8,
    TAG_SALT = 9,
    TAG_WHO = 0x10,
    TAG_FRESH = 0x11,
    TAG_SERVER = 0x20, /* added to what is of server 1, 2, 3: once, twice, three times */
};

struct randomd_header {
    uint16_t type;
    uint16_t len;
    uint32_t id;
    uint64_t epoch;
};

static inline void put_header(uint8_t *p, unsigned int type, size_t len, uint32_t id, uint64_t epoch)
{
    put16(p, (uint16_t)type);
    put16(p + 2, (uint16_t)len);
    put32(p + 4, id);
    put64(p + 8, epoch);
}

static inline struct randomd_header get_header(const uint8_t *p)
{
    return (struct randomd_header){get16(p), get16(p + 2), get32(p + 4), get64(p + 8)};
}

static inline bool all_zero(const uint8_t *p, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= p[i];
    return any == 0;
}

#endif
