/* SPDX-License-Identifier: ISC */
/*
 * A guest's random generator: one key, made of everything that is worth mixing in (docs/spec/randomd.md, 7.2), and the
 * knowledge of how good it is. Its inputs are
 *
 *     up to four entropy servers, each of which has a number and a struct xids_randomd_client (randomd.h);
 *     sources of the guest's own, credited with what they honestly give (local.h);
 *     salt: what tells this guest from others and need not be secret.
 *
 * Nothing that comes in can take away from what is there: the key is as unpredictable as its best input, and a server
 * that lies, repeats itself or chooses its bytes after it has seen all others does no harm as long as one input is
 * honest. What an input does is add to the grade, which never says more than is true:
 *
 *     HOST   a server's bytes have come since the guest began, or forgot
 *     LOCAL  256 bits of the guest's own sources have
 *     NONE   neither; no output is given
 *
 * Memory is the caller's, freestanding, nothing is allocated. Whoever calls from more than one thread locks. Times are
 * nanoseconds of a clock that does not go back; calls without one take the last that was told.
 */
#ifndef XIDS_ENTROPY_H
#define XIDS_ENTROPY_H

#include <xids/base.h>
#include <xids/reseed.h>
#include <xids/rng.h>

XIDS_BEGIN_DECLS

#define XIDS_ENTROPY_SERVERS 4u     /* numbers 0 to 3: ~/device/randomd/N */
#define XIDS_ENTROPY_FULL_BITS 256u /* credited bits of local sources that make the grade LOCAL */

enum xids_randomd_grade {
    XIDS_RANDOMD_GRADE_NONE = 0,  /* not seeded: no output is given */
    XIDS_RANDOMD_GRADE_LOCAL = 1, /* seeded by sources of the guest's own */
    XIDS_RANDOMD_GRADE_HOST = 2,  /* the host's bytes are in it too */
};

struct xids_entropy_config {
    uint8_t nonce[32];    /* anything that differs from boot to boot: RDSEED, time stamps; need not be secret */
    uint8_t identity[16]; /* the guest's idea of who it is (uuid, incarnation), zeros when it has none */
};

/* Its fields are the implementation's. It is a secret: keep it where it is, and wipe it with xids_entropy_wipe. */
struct xids_entropy {
    struct xids_rng rng;
    struct xids_rng pool; /* local sources, until they are enough to be worth a new key */
    struct xids_entropy_config config;
    uint64_t now;
    struct xids_reseed reseed;
    uint64_t host_at[XIDS_ENTROPY_SERVERS]; /* when a server's bytes came last */
    uint64_t page_at;                       /* when the reseed page's did */
    uint64_t local_at;
    uint64_t patience;   /* until then HOST waits for the servers that are expected */
    uint64_t doubted_at; /* UINT64_MAX: never */
    uint32_t copies, doubts;
    uint16_t pool_bits;
    uint8_t given;    /* servers whose bytes came since the last forget or doubt, a bit each; and the page, one more */
    uint8_t expected; /* servers whose bytes are on their way */
    bool gathered;    /* there is something in the pool */
    bool local;       /* the local sources have been enough, since then */
    enum xids_randomd_grade grade;
};

/* Begins with grade NONE. */
void xids_entropy_init(struct xids_entropy *e, const struct xids_entropy_config *config, uint64_t now);

/* Wipes all of it. */
void xids_entropy_wipe(struct xids_entropy *e);

/* ---- output ---- */

/*
 * Fills out with len random bytes. The key that made them is gone when this returns. -XEN_EAGAIN: the grade is NONE;
 * out is zeroed.
 */
int xids_entropy_random(struct xids_entropy *e, void *out, size_t len) XIDS_MUST_CHECK;

enum xids_randomd_grade xids_entropy_grade(const struct xids_entropy *e);

/*
 * How long ago the bytes came that stand behind the grade, in ns: for HOST the last of any server, for LOCAL the last
 * 256 credited bits. UINT64_MAX: the grade is NONE.
 */
uint64_t xids_entropy_age(const struct xids_entropy *e, uint64_t now);

/*
 * The same for one server (a number below XIDS_ENTROPY_SERVERS), and for all local sources together. UINT64_MAX: what
 * they gave, if anything, does not count, or not any more.
 */
uint64_t xids_entropy_server_age(const struct xids_entropy *e, unsigned int server, uint64_t now);
uint64_t xids_entropy_local_age(const struct xids_entropy *e, uint64_t now);

/* ---- input: servers (xids_randomd_client does this) ---- */

/*
 * A server's 48 bytes: asked says whether they answer a GET (tag 4) or were put into the channel beforehand (tag 3).
 * Nothing happens when server is not below XIDS_ENTROPY_SERVERS, in this and the calls below.
 */
void xids_entropy_host(struct xids_entropy *e, unsigned int server, bool asked, const uint8_t bytes[48], uint64_t now);

/* The name of a session with a server has become known. */
void xids_entropy_session(struct xids_entropy *e, unsigned int server, uint64_t epoch);

/*
 * Bytes of this server are on their way. HOST waits for them, but not after until (the greatest that was said counts),
 * and not after xids_entropy_lost: so that a server which answers first does not stand alone when another is about to,
 * and one which does not answer holds nobody up.
 */
void xids_entropy_expect(struct xids_entropy *e, unsigned int server, uint64_t until);
void xids_entropy_lost(struct xids_entropy *e, unsigned int server);

/*
 * A server says that the key may be known elsewhere (EPOCH RESTORED): the grade is NONE until fresh bytes come, of all
 * servers that gave any before if they come soon. The key is not given up, for the server may lie.
 */
void xids_entropy_doubt(struct xids_entropy *e, unsigned int server, uint64_t now);

/* ---- input: the guest's own ---- */

/*
 * Bytes of a local source, credited with bits (more than 256 count as 256). They gather in a pool, which goes into the
 * key in one piece when it holds 256 credited bits, or with the first server's bytes: who knew the key cannot follow it
 * by guessing a few bits at a time.
 */
void xids_entropy_local(struct xids_entropy *e, const void *data, size_t len, unsigned int bits, uint64_t now);

/*
 * A local source was found broken: what the pool was credited with counts no more. enough: the other sources alone gave
 * 256 bits; else LOCAL becomes NONE.
 */
void xids_entropy_discredit(struct xids_entropy *e, bool enough);

/* Bytes that make a difference and no secret: a name, a time. Never credited; forgotten with the rest. */
void xids_entropy_salt(struct xids_entropy *e, const void *data, size_t len);

/* ---- time, and copies of memory ---- */

/* To be called at the deadline (UINT64_MAX: none). The clients and the link do. */
void xids_entropy_tick(struct xids_entropy *e, uint64_t now);
uint64_t xids_entropy_deadline(const struct xids_entropy *e);

/*
 * Wipes key and pool: grade NONE until fresh bytes come. For the moment before suspend, so that the saved image holds
 * no key and nothing that two guests restored from it would share, and after a clone. Clients have secrets of their
 * own: xids_randomd_client_forget does this too, xids_randomd_link does it by itself when its loop is suspended.
 */
void xids_entropy_forget(struct xids_entropy *e);

/*
 * Uses page (XIDS_PAGE_SIZE bytes, at a multiple of it, for nothing else; it stays the caller's) as the reseed page
 * (reseed.h) from now on; NULL: none. To be called before the page's frame is advertised, as xids_randomd_link does.
 * Then every output is made after the last copying of memory that the host has told of, and so differs from all other
 * copies'. What was handed out before the copy was copied too: use values that must be unique at once.
 */
void xids_entropy_reseed_page(struct xids_entropy *e, void *page);

/*
 * Looks whether the host has told of a copy, and if so forgets everything and begins with what the host left: grade
 * HOST, or NONE when there was nothing to rely on. All calls with output or input look by themselves, but
 * xids_entropy_grade only says NONE meanwhile. True: it was so.
 */
bool xids_entropy_look(struct xids_entropy *e);

/*
 * How often the key was forgotten, and doubted. Who gives bytes compares: after the first all that was received before
 * is worthless, and a session of before is not to be gone on with; after the second fresh bytes are wanted.
 */
uint32_t xids_entropy_copies(const struct xids_entropy *e);
uint32_t xids_entropy_doubts(const struct xids_entropy *e);

XIDS_END_DECLS

#endif
