/* SPDX-License-Identifier: ISC */
/*
 * Entropy for guests: the protocol of docs/spec/randomd.md. Two engines without I/O, one for each end of the channel:
 *
 *     struct xids_randomd_session   the server's end, one per guest (used by xids-randomd)
 *     struct xids_randomd_client    the guest's end, for a unikernel, a kernel or a program
 *
 * Both are given bytes and the time, and give back bytes. The channel is a vchan; any ordered byte stream will do.
 * Whoever carries the bytes keeps the promise about shared memory: a reader copies bytes out, zeroes where they lay,
 * and only then gives the room back.
 *
 * Neither engine allocates: the caller gives memory of xids_randomd_*_size bytes, aligned for uint64_t, and keeps it in
 * place until xids_randomd_*_fini, which wipes it. One thread per engine. Times are nanoseconds of any clock that does
 * not go back.
 *
 * Everything that comes from the other side is checked; what no honest peer sends ends the session with -XEN_EBADMSG,
 * and all later calls say so again.
 */
#ifndef XIDS_RANDOMD_H
#define XIDS_RANDOMD_H

#include <xids/base.h>
#include <xids/entropy.h>
#include <xids/rng.h>

XIDS_BEGIN_DECLS

/* ---- the protocol's numbers (docs/spec/randomd.md) ---- */

#define XIDS_RANDOMD_VERSION 2u
#define XIDS_RANDOMD_HEADER 16u     /* bytes of the header of every message */
#define XIDS_RANDOMD_SEED_BYTES 48u /* of the boot seed, and of a client's own reseed */
#define XIDS_RANDOMD_GET_MAX 1024u  /* bytes that one GET may ask for */
#define XIDS_RANDOMD_MESSAGE_MAX (XIDS_RANDOMD_HEADER + XIDS_RANDOMD_GET_MAX)
#define XIDS_RANDOMD_OUTSTANDING 2u /* answers that a server leaves unread before it stops to answer */
#define XIDS_RANDOMD_LEFT_ORDER 10u /* of the vchan: 1 KiB to the server, 2 KiB to the guest, both in the one page */
#define XIDS_RANDOMD_RIGHT_ORDER 11u
#define XIDS_RANDOMD_RETRY_MAX_MS 60000u

/*
 * What the work that a request makes costs the server, in bytes of output that take as long, besides the bytes that are
 * given out: what a guest's share is counted in.
 */
#define XIDS_RANDOMD_COST_REQUEST 64u /* any answer, and each look at a guest's ring */
#define XIDS_RANDOMD_COST_HELLO 8192u /* hashes, and fresh bytes from the source */

/*
 * What a client asks for at a time in a long pull: two answers of this size go into the 2 KiB ring, and each with the
 * server's next key is 16 blocks of ChaCha20.
 */
#define XIDS_RANDOMD_CHUNK 992u

enum xids_randomd_type {
    XIDS_RANDOMD_HELLO = 0x01,
    XIDS_RANDOMD_GET = 0x02,
    XIDS_RANDOMD_CLIENT_BYE = 0x03,
    XIDS_RANDOMD_SEED = 0x81,
    XIDS_RANDOMD_WELCOME = 0x82,
    XIDS_RANDOMD_DATA = 0x83,
    XIDS_RANDOMD_ERR = 0x84,
    XIDS_RANDOMD_EPOCH = 0x85,
    XIDS_RANDOMD_BYE = 0x86,
};

enum xids_randomd_code {
    XIDS_RANDOMD_CODE_NOT_READY = 1, /* the host's own generator is not seeded yet */
    XIDS_RANDOMD_CODE_BUSY = 2,      /* over the guest's share */
    XIDS_RANDOMD_CODE_LENGTH = 3,    /* a GET of 0 or of more than the limit */
    XIDS_RANDOMD_CODE_STATE = 4,     /* a GET before HELLO */
    XIDS_RANDOMD_CODE_VERSION = 5,   /* no version in common */
    XIDS_RANDOMD_CODE_PROTOCOL = 6,  /* a malformed message; the channel is closed */
    XIDS_RANDOMD_CODE_STOPPING = 7,  /* the server goes away in good order */
    XIDS_RANDOMD_CODE_INTERNAL = 8,
};

/* Why the epoch changed. */
enum xids_randomd_reason {
    XIDS_RANDOMD_REASON_READY = 1,  /* the host has become ready */
    XIDS_RANDOMD_REASON_RESEED = 2, /* the host reseeded everything */
    XIDS_RANDOMD_REASON_RESTORED =
        3, /* the guest's memory may live elsewhere too: its state is worthless until reseeded */
};

/*
 * One step's bytes. in: received and not yet taken; the engine takes in_used of in_len, the caller keeps the rest and
 * offers it again. out: where the engine may write, out_room bytes; it writes out_len, always whole messages.
 * unread (server): bytes given before that the peer has not consumed yet. out holds secrets: send, then wipe it.
 * wait is set to how many bytes the peer must consume before the engine can go on; 0: it waits for input, or time.
 * limit (server): once the answers have cost so much, no further request is taken; 0: no limit. cost is set to what
 * they did cost, which exceeds the limit by at most one request. busy_ms (server): when not 0, the guest is over its
 * share: GETs are answered by BUSY with this time, and a HELLO waits.
 */
struct xids_randomd_io {
    const uint8_t *in;
    size_t in_len;
    size_t in_used;
    uint8_t *out;
    size_t out_room;
    size_t out_len;
    size_t unread;
    size_t wait;
    uint32_t limit;
    uint32_t cost;
    uint32_t busy_ms;
};

/* ---- the server's end ---- */

struct xids_randomd_session;

struct xids_randomd_session_config {
    /*
     * Fills buf with len (at most 64) fresh, unpredictable bytes. Returns 0; -XEN_EAGAIN: not seeded yet, the
     * client is told to come again; another error: likewise, as an internal one.
     */
    int (*source)(void *ctx, uint8_t *buf, size_t len);
    void *source_ctx;
    const void *who; /* what tells this guest from all others, mixed into its generator; copied by init */
    size_t who_len;
    uint64_t reseed_ns;    /* fresh bytes from the source after this time, 0: 60 s */
    uint64_t reseed_bytes; /* and after this much output, 0: 1 MiB; at most 2 GiB */
    /*
     * Is shown each boot seed and each answer's bytes before they are given out; first: they are the first after fresh
     * bytes from the source. False when they were given out before: then they never leave the session, its generator
     * is made anew, and the client is told to ask again. From within init, prefill and step. NULL: nobody looks.
     */
    bool (*unseen)(void *ctx, const uint8_t *bytes, size_t len, bool first);
    void *unseen_ctx;
};

struct xids_randomd_session_stats {
    uint64_t hellos, gets, bytes, errors, reseeds;
    uint64_t busy; /* of the errors: over the guest's share */
};

size_t xids_randomd_session_size(void);

/* Makes a session in mem. -XEN_EINVAL: mem is too small or not aligned, or there is no source. */
int xids_randomd_session_init(struct xids_randomd_session **s, void *mem, size_t size,
                              const struct xids_randomd_session_config *config, uint64_t now) XIDS_MUST_CHECK;

/* Wipes the session, all of it. NULL does nothing. */
void xids_randomd_session_fini(struct xids_randomd_session *s);

/*
 * Writes the boot seed record, to be put into the channel before the guest runs. To be called once, before the first
 * step. Returns its length (80); 0: the source is not ready, go on without; -XEN_EINVAL: room is below 80 or it is too
 * late.
 */
int xids_randomd_session_prefill(struct xids_randomd_session *s, uint8_t *out, size_t room, uint64_t now)
    XIDS_MUST_CHECK;

/*
 * Takes requests and answers them, in order, as far as out_room and the bound on unread answers allow.
 * Returns 0; 1: the session is over in good order; -XEN_EBADMSG: the guest broke the protocol. In the last two cases
 * out can still hold a farewell; send it if that is easy, and close the channel.
 */
int xids_randomd_session_step(struct xids_randomd_session *s, struct xids_randomd_io *io, uint64_t now) XIDS_MUST_CHECK;

/*
 * Replaces the session's key and epoch by fresh ones; the next step announces it. -XEN_EAGAIN: the source is not ready;
 * then the old key is gone all the same, and the guest is told NOT_READY until it is.
 */
int xids_randomd_session_renew(struct xids_randomd_session *s, enum xids_randomd_reason reason, uint64_t now)
    XIDS_MUST_CHECK;

/* Makes the next step say BYE and be the last. code from enum xids_randomd_code; retry_ms: when to come back. */
void xids_randomd_session_bye(struct xids_randomd_session *s, uint32_t code, uint32_t retry_ms);

/* The seed in the channel, or the session's bytes, came from a seeded generator. */
bool xids_randomd_session_ready(const struct xids_randomd_session *s);
uint64_t xids_randomd_session_epoch(const struct xids_randomd_session *s);
void xids_randomd_session_stats(const struct xids_randomd_session *s, struct xids_randomd_session_stats *stats);

/* ---- the guest's end ---- */

struct xids_randomd_client;

struct xids_randomd_client_config {
    uint8_t nonce[32];    /* anything that differs from boot to boot: RDSEED, time stamps; need not be secret */
    uint8_t identity[16]; /* the guest's idea of who it is (uuid, incarnation), zeros when it has none */
    uint64_t reseed_ns;   /* ask the host for fresh seed bytes at least so often; 0: what the server advises */
    /*
     * The generator that the client feeds, which must outlive it; several clients, each with a server number of its
     * own, can feed one. NULL: the client has one inside, made with nonce and identity, and server is 0.
     */
    struct xids_entropy *entropy;
    unsigned int server; /* below XIDS_ENTROPY_SERVERS */
};

/*
 * A pull of host bytes, owned by the caller, which must leave it and its buffer in place until it is done.
 * to receives len bytes; done is called (when not NULL) from within a step or from cancel; or poll status.
 * The bytes are the host's own, meant for feeding another generator: for random numbers use xids_randomd_client_random,
 * which does not depend on the host alone.
 */
struct xids_randomd_pull {
    uint8_t *to;
    size_t len;
    void (*done)(void *ctx, struct xids_randomd_pull *pull);
    void *ctx;
    /* set by the engine */
    int status;   /* -XEN_EBUSY while under way, then 0, or -XEN_EINTR: taken back */
    size_t asked; /* bytes for which a GET is under way or answered */
    size_t got;   /* bytes answered in whole messages */
    struct xids_randomd_pull *next;
};

size_t xids_randomd_client_size(void);

/* Makes a client in mem, not connected. -XEN_EINVAL: mem is too small or not aligned, or there is no such server. */
int xids_randomd_client_init(struct xids_randomd_client **c, void *mem, size_t size,
                             const struct xids_randomd_client_config *config, uint64_t now) XIDS_MUST_CHECK;

/* Cancels what is under way and wipes the client, all of it, but no entropy that it was given. NULL does nothing. */
void xids_randomd_client_fini(struct xids_randomd_client *c);

/* The generator that it feeds, its own or the one it was given; for all that follows about output see entropy.h. */
struct xids_entropy *xids_randomd_client_entropy(struct xids_randomd_client *c);

/*
 * Mixes in bytes from a source of the guest's own: RDSEED, jitter, a saved seed. bits is what the caller honestly
 * credits them with; from 256 bits in sum on the grade is at least LOCAL. As xids_entropy_local.
 */
void xids_randomd_client_mix(struct xids_randomd_client *c, const void *data, size_t len, unsigned int bits,
                             uint64_t now);

/* A channel is there: the next step sends HELLO. What is left of an earlier channel's session is dropped. */
void xids_randomd_client_connected(struct xids_randomd_client *c, uint64_t now);

/* The channel is gone. Pulls stay queued for the next one; the key, its grade and its age stay as they are. */
void xids_randomd_client_disconnected(struct xids_randomd_client *c);

/*
 * Takes what the server sent and asks for what is wanted. Returns 0; 1: the server said BYE, close the channel and come
 * back after xids_randomd_client_retry_ms; -XEN_EBADMSG: it broke the protocol; -XEN_EPERM: no version in common.
 * Call it again when bytes or room have come, after pull, and at the deadline.
 */
int xids_randomd_client_step(struct xids_randomd_client *c, struct xids_randomd_io *io, uint64_t now) XIDS_MUST_CHECK;

/* When step wants to be called even if nothing comes, UINT64_MAX: never. */
uint64_t xids_randomd_client_deadline(const struct xids_randomd_client *c);
uint32_t xids_randomd_client_retry_ms(const struct xids_randomd_client *c);

/* Queues a pull. Works before a channel is there. -XEN_EINVAL: no buffer or no length. */
int xids_randomd_client_pull(struct xids_randomd_client *c, struct xids_randomd_pull *pull) XIDS_MUST_CHECK;

/* Takes a pull back; what came of it is wiped. Answers still under way are thrown away when they come. */
void xids_randomd_client_cancel(struct xids_randomd_client *c, struct xids_randomd_pull *pull);

/*
 * Fills out with random bytes from the client's generator, into which everything has been mixed: the host's seed
 * and answers, the nonce, local sources. Makes no request. -XEN_EAGAIN: the grade is NONE; out is zeroed.
 */
int xids_randomd_client_random(struct xids_randomd_client *c, void *out, size_t len) XIDS_MUST_CHECK;

/* How well the generator is seeded, and how long ago, in ns, that was last so (UINT64_MAX: never). */
enum xids_randomd_grade xids_randomd_client_grade(const struct xids_randomd_client *c);
uint64_t xids_randomd_client_age(const struct xids_randomd_client *c, uint64_t now);

/* The epoch of the server's session, 0: none. */
uint64_t xids_randomd_client_epoch(const struct xids_randomd_client *c);

/*
 * Wipes the generator: grade NONE until fresh bytes come. Pulls under way are wiped too, and begin again. For the
 * moment before suspend, so that the saved image holds no key and nothing that two guests restored from it would share,
 * and after a clone. When connected, the next step says HELLO anew. Of several clients that feed one generator each
 * has bytes of its own to wipe: call it for all of them before suspend. A client whose generator was forgotten through
 * another one does the same in its next step.
 */
void xids_randomd_client_forget(struct xids_randomd_client *c);

XIDS_END_DECLS

#endif
