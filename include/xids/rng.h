/* SPDX-License-Identifier: ISC */
/*
 * The cryptographic floor of randomd: ChaCha20 (RFC 8439), BLAKE2s (RFC 7693) and a generator made of the two. All of
 * it is freestanding, allocates nothing, and takes a time that does not depend on secret bytes.
 *
 * The generator's whole state is a 32-byte key. Each span of output is the ChaCha20 stream of that key, of which the
 * first 32 bytes become the next key before any byte is given out ("fast key erasure"): who reads the state later
 * cannot compute earlier output. Fresh bytes come in by hashing them with the key: they can only add to it.
 *
 * Everything here belongs to the caller and to one thread.
 */
#ifndef XIDS_RNG_H
#define XIDS_RNG_H

#include <xids/base.h>

XIDS_BEGIN_DECLS

#define XIDS_CHACHA20_KEY 32u
#define XIDS_CHACHA20_NONCE 12u
#define XIDS_BLAKE2S_OUT 32u
#define XIDS_BLAKE2S_KEY 32u
#define XIDS_RNG_KEY 32u

/* The longest stretch of output under one key, in bytes: 256 ChaCha20 blocks less the next key. */
#define XIDS_RNG_SPAN (256u * 64u - XIDS_RNG_KEY)

/*
 * Writes len bytes of the ChaCha20 key stream from block counter on (RFC 8439, 2.4 with a zero plaintext).
 * len may be at most 64 * (2^32 - counter) bytes: beyond that the stream would repeat.
 */
void xids_chacha20_stream(uint8_t *out, size_t len, const uint8_t key[XIDS_CHACHA20_KEY],
                          const uint8_t nonce[XIDS_CHACHA20_NONCE], uint32_t counter);

/* A BLAKE2s computation under way. Its fields are the implementation's. */
struct xids_blake2s {
    uint32_t h[8];
    uint64_t count;
    uint8_t buf[64];
    uint8_t fill;
    uint8_t out_len;
};

/* Begins a hash of out_len (1 to 32) bytes, keyed when key_len (0 to 32) is not 0. -XEN_EINVAL: a length beyond that.
 */
int xids_blake2s_init(struct xids_blake2s *b, size_t out_len, const uint8_t *key, size_t key_len) XIDS_MUST_CHECK;
void xids_blake2s_update(struct xids_blake2s *b, const void *data, size_t len);

/* Writes the hash, out_len bytes as said at init, and wipes b. */
void xids_blake2s_final(struct xids_blake2s *b, uint8_t *out);

/* The generator. Its state is a secret: xids_rng_wipe it when done. */
struct xids_rng {
    uint8_t key[XIDS_RNG_KEY];
};

/* Starts from a key that everybody knows (zeros). Mix at least 32 unpredictable bytes in before the first fill. */
void xids_rng_init(struct xids_rng *rng);

/*
 * Mixes len bytes in: key = BLAKE2s-256(key: key, data: "xids-rng-1" | tag | len as 8 bytes little-endian | data).
 * tag says what the bytes are, so that the same bytes in another role give another key.
 */
void xids_rng_mix(struct xids_rng *rng, uint8_t tag, const void *data, size_t len);

/* Fills out. The key that made it is gone when this returns. */
void xids_rng_fill(struct xids_rng *rng, void *out, size_t len);

void xids_rng_wipe(struct xids_rng *rng);

XIDS_END_DECLS

#endif
