/* SPDX-License-Identifier: ISC */
/*
 * The audit log, docs/spec/randomd-audit.md: lines, each of which holds a hash of itself and of the one before it. What
 * is said in a line is the caller's; it never is a secret.
 */
#ifndef XIDS_RANDOMD_AUDIT_H
#define XIDS_RANDOMD_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xids/rng.h>

#define AUDIT_LINE 512u      /* bytes of a line, with its end */
#define AUDIT_PATH 256u      /* of a file's name */
#define AUDIT_HEX 65u        /* of a hash as text, with its end */
#define AUDIT_PENDING 65536u /* bytes of lines that are not written yet */
#define AUDIT_RETRY_NS 1000000000ull
#define AUDIT_FORMAT 1

/* How far the chain has come: the last line's number, 0: none, and its hash. */
struct audit_chain {
    uint64_t number;
    uint8_t hash[XIDS_BLAKE2S_OUT];
};

struct audit_state {
    bool on, failing;
    uint64_t lines, lost, files;
    struct audit_chain last; /* that is in the file */
};

/* ---- audit_chain.c ---- */

/* hash becomes that of itself and the line, whose len bytes end with the space before its own hash. */
void audit_hash(uint8_t hash[XIDS_BLAKE2S_OUT], const char *line, size_t len);
void audit_hex(char text[AUDIT_HEX], const uint8_t hash[XIDS_BLAKE2S_OUT]);

/* A line taken apart; it has len bytes, its end not among them. */
struct audit_parts {
    uint64_t number;
    const char *event;
    size_t event_len;
    size_t hashed; /* bytes before its hash */
    uint8_t hash[XIDS_BLAKE2S_OUT];
    bool begins; /* it is the first of a file, and says what the one before it had: */
    uint8_t before[XIDS_BLAKE2S_OUT];
};
bool audit_parse(struct audit_parts *parts, const char *line, size_t len);

/* Reads files, the oldest first, and says of each whether it is whole. The exit status: 0, or 1 when one is not. */
int audit_verify(int count, char **paths);

/* ---- audit_file.c: one log, one thread ---- */

/*
 * Goes on with the log in path, or begins it; when it has grown to `most` bytes it becomes path.1, path.1 becomes
 * path.2 and so on up to path.`old`, and a new file goes on with the chain. 0 or a negative errno, which was logged:
 * the folder or the file cannot be had, or another program writes it.
 */
int audit_open(const char *path, uint64_t most, unsigned int old);

/* Adds a line. Without an open log nothing happens. It is written at audit_flush; a disk that is full never stops us.
 */
__attribute__((format(printf, 2, 3))) void audit_line(const char *event, const char *fmt, ...);

/* To the file. */
void audit_flush(void);

/* The file may have been moved away: then a new one goes on with the chain. */
void audit_reopen(void);

void audit_state(struct audit_state *state);
bool audit_wanted(void); /* there is a log */
void audit_close(void);

/* ---- audit.c ---- */

struct guest;

/*
 * A line about a guest: who it is, the epoch it is in, how many bytes it has got. why is a word, or NULL. What a guest
 * can cause is limited: a burst, then a line now and then, which says how many were left out.
 */
void audit_guest(const struct guest *g, const char *event, const char *why);
/* It leaves, and its limit with it. */
void audit_guest_gone(const struct guest *g, const char *event);
/* The guest was served: what it has said can be worth a line. */
void audit_served(struct guest *g);
/* Its generator was made anew because of reason (enum xids_randomd_reason), or could not be. */
void audit_renewed(const struct guest *g, unsigned int reason, int rc);
/* A word for a negative errno. */
const char *audit_why(int rc);
bool uuid_from(uint8_t uuid[16], const char *text, size_t len);

#endif
