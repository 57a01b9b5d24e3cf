/* SPDX-License-Identifier: ISC */
/* Hashes of answers, by SipHash-2-4 with 128 bits of output under a key of this process. */
#include "randomd/canary.h"

#include "randomd/bytes.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t turned(uint64_t v, unsigned int by)
{
    return v << by | v >> (64 - by);
}

static void rounds(struct sip *s, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        s->v0 += s->v1;
        s->v1 = turned(s->v1, 13) ^ s->v0;
        s->v0 = turned(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = turned(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = turned(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = turned(s->v1, 17) ^ s->v2;
        s->v2 = turned(s->v2, 32);
    }
}

static void take_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

/* Of CANARY_LEAST to CANARY_BYTES bytes. */
static void hash(uint64_t out[2], const uint64_t key[2], const uint8_t *bytes, size_t len)
{
    struct sip s = {
        .v0 = 0x736f6d6570736575u ^ key[0],
        .v1 = 0x646f72616e646f6du ^ key[1] ^ 0xee,
        .v2 = 0x6c7967656e657261u ^ key[0],
        .v3 = 0x7465646279746573u ^ key[1],
    };
    uint64_t last = (uint64_t)len << 56;
    take_word(&s, get64(bytes));
    if (len == CANARY_BYTES)
        take_word(&s, get64(bytes + 8));
    else
        for (size_t i = 8; i < len; i++)
            last |= (uint64_t)bytes[i] << (i - 8) * 8;
    take_word(&s, last);
    s.v2 ^= 0xee;
    rounds(&s, 4);
    out[0] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    s.v1 ^= 0xdd;
    rounds(&s, 4);
    out[1] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

void canary_key(struct canary *c, const uint8_t key[16])
{
    c->key[0] = get64(key);
    c->key[1] = get64(key + 8);
    c->keyed = true;
}

static bool in_set(const uint64_t set[CANARY_WAYS], uint64_t what)
{
    uint64_t hit = 0;
    for (unsigned int i = 0; i < CANARY_WAYS; i++)
        hit |= set[i] == what;
    return hit != 0;
}

bool canary_unseen(struct canary *c, const uint8_t *bytes, size_t len, bool first)
{
    uint64_t h[2];
    if (len < CANARY_LEAST)
        return true;
    hash(h, c->key, bytes, len < CANARY_BYTES ? len : CANARY_BYTES);
    const uint64_t what = h[0] != 0 ? h[0] : 1;
    const size_t in_first = h[1] % CANARY_FIRST_SETS, in_other = CANARY_FIRST_SETS + h[1] % CANARY_OTHER_SETS;
    c->checked++;
    if (in_set(c->sets[in_first], what) || in_set(c->sets[in_other], what)) {
        c->alarms++;
        return false;
    }
    const size_t at = first ? in_first : in_other;
    c->sets[at][c->oldest[at]] = what;
    c->oldest[at] = (uint8_t)((c->oldest[at] + 1u) % CANARY_WAYS);
    return true;
}
