/* SPDX-License-Identifier: ISC */
/* Paths taken apart, each name with its keyed hash. */
#include "xenstore/store_impl.h"

#define ROTL(v, n) (((v) << (n)) | ((v) >> (64 - (n))))

/* Inlined, the state stays in registers. */
static inline __attribute__((always_inline)) void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = ROTL(v[1], 13) ^ v[0];
    v[3] = ROTL(v[3], 16) ^ v[2];
    v[0] = ROTL(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = ROTL(v[1], 17) ^ v[2];
    v[3] = ROTL(v[3], 21) ^ v[0];
    v[2] = ROTL(v[2], 32);
}

/* Up to seven bytes as a number: in two loads that overlap, or three. */
static inline uint64_t load_rest(const char *s, size_t len)
{
    if (len >= 4) {
        uint32_t a, b;
        __builtin_memcpy(&a, s, 4);
        __builtin_memcpy(&b, s + len - 4, 4);
        return a | (uint64_t)b << (8 * (len - 4));
    }
    if (len == 0)
        return 0;
    return (uint8_t)s[0] | (uint64_t)(uint8_t)s[len / 2] << (8 * (len / 2)) |
           (uint64_t)(uint8_t)s[len - 1] << (8 * (len - 1));
}

/* SipHash-1-3 folded to 32 bits: enough to keep whoever picks the names from unbalancing a tree. */
uint32_t xids_store_hash(const uint64_t key[2], const char *s, size_t len)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)len << 56;
    size_t whole = len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t w;
        __builtin_memcpy(&w, s + i, 8);
        v[3] ^= w;
        sip_round(v);
        v[0] ^= w;
    }
    last |= load_rest(s + whole, len - whole);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    uint64_t h = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(h ^ (h >> 32));
}

struct xids_store_path *xids_store_path_new(struct xids_store *s)
{
    struct xids_store_path *p = xids_store_get(s, sizeof(*p));
    if (p != NULL)
        p->depth = p->len = 0;
    return p;
}

void xids_store_path_free(struct xids_store *s, struct xids_store_path *p)
{
    if (p != NULL)
        xids_store_put(s, p, sizeof(*p));
}

/* Finds the parts of p->bytes[0..len), which has been checked. */
static void take_apart(struct xids_store *s, struct xids_store_path *p, size_t len)
{
    uint32_t n = 0, start = 0;
    p->len = (uint32_t)len;
    p->bytes[len] = '\0';
    for (uint32_t i = 0; i <= len; i++) {
        if (i < len && p->bytes[i] != '/')
            continue;
        p->parts[n].at = (uint16_t)start;
        p->parts[n].len = (uint16_t)(i - start);
        p->parts[n].hash = i > start ? xids_store_hash(s->key, p->bytes + start, i - start) : s->nameless;
        n++;
        start = i + 1;
        if (len == 1 && i == 0)
            break; /* "/" alone is the one empty name */
    }
    p->depth = n;
}

int xids_store_path_set(struct xids_store *s, struct xids_store_path *p, const char *path, size_t len)
{
    int kind = xids_xswire_path_check(path, len);
    if (len > XIDS_STORE_PATH_MAX || (kind != XIDS_XS_PATH_ABSOLUTE && kind != XIDS_XS_PATH_SPECIAL))
        return -XEN_EINVAL;
    __builtin_memmove(p->bytes, path, len);
    take_apart(s, p, len);
    return 0;
}

int xids_store_path_join(struct xids_store *s, struct xids_store_path *p, const char *prefix, size_t prefix_len,
                         const char *path, size_t len)
{
    if (len > XIDS_STORE_PATH_MAX || prefix_len > XIDS_STORE_PATH_MAX || prefix_len + 1 + len > XIDS_STORE_PATH_MAX ||
        xids_xswire_path_check(path, len) != XIDS_XS_PATH_RELATIVE)
        return -XEN_EINVAL;
    __builtin_memmove(p->bytes, prefix, prefix_len);
    p->bytes[prefix_len] = '/';
    __builtin_memmove(p->bytes + prefix_len + 1, path, len);
    take_apart(s, p, prefix_len + 1 + len);
    return 0;
}

const char *xids_store_path_bytes(const struct xids_store_path *p, size_t *len)
{
    *len = p->len;
    return p->bytes;
}

void xids_store_path_from_chain(struct xids_store *s, struct xids_store_path *p, uint32_t depth)
{
    size_t len = 0;
    for (uint32_t i = 1; i <= depth; i++) {
        const struct xids_store_node *n = s->chain[i];
        if (i > 1)
            p->bytes[len++] = '/';
        __builtin_memcpy(p->bytes + len, n->bytes, n->name_len);
        len += n->name_len;
    }
    if (len == 0)
        p->bytes[len++] = '/';
    take_apart(s, p, len);
}
