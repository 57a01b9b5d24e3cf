/* SPDX-License-Identifier: ISC */
/* The daemons that the xenstore suite compares, and a plain client for all of them. A failure of it ends the program.
 */
#ifndef XIDS_BENCH_XENSTORE_PEER_H
#define XIDS_BENCH_XENSTORE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <xids/xswire.h>

#define PEER_PATH_MAX 104u

struct peer {
    const char *name; /* as in a row: "C xenstored", ...; NULL: it is not there */
    const char *dir;  /* of the simulated machine whose store it is */
    char socket[PEER_PATH_MAX];
    pid_t pid;
};

/* Ends the program with what failed. */
void peer_must_(bool good, const char *what, const char *file, int line);
#define must(good) peer_must_(good, #good, __FILE__, __LINE__)

/* Fills in a peer from the folder of its machine; asks its socket who serves it. */
void peer_open(struct peer *p, const char *name, const char *dir);

/*
 * Where the kernel puts a client and its daemon decides more than their work does: so the client has one processor and
 * all daemons another. A client with one request at a time never runs together with its daemon, and costs least beside
 * it: between client_joins and client_leaves it runs on the daemons' processor. With one processor all run there.
 */
void peer_settle(const struct peer *p);
void client_settle(void);
void client_joins(void);
void client_leaves(void);

/* The CPU time that the daemon has used, in nanoseconds. */
uint64_t peer_cpu(const struct peer *p);

/* Waits until the daemon uses no CPU time any more. Returns what it has used till then. */
uint64_t peer_cpu_settled(const struct peer *p);

/* Bytes of memory resident. */
uint64_t peer_rss(const struct peer *p);

/* ---- messages ---- */

/* Builds a request; returns its length. out has room for any message. */
size_t request(uint8_t *out, uint32_t type, uint32_t tx, const char *payload, size_t len);

/* A connection with what has been received and not looked at. */
struct answers {
    int fd;
    unsigned int events; /* watch events that came along */
    size_t have;
    uint8_t bytes[65536];
};

void dial(struct answers *a, const struct peer *p);
void hang_up(struct answers *a);
void send_all(int fd, const uint8_t *bytes, size_t len);

/* Reads once and counts the whole answers; the last is in *msg, until the next call. */
unsigned int take(struct answers *a, struct xids_xswire_msg *msg);

/* One request, and its answer's type. What number the answer is goes to *number, which may be NULL. */
uint32_t ask(struct answers *a, uint32_t type, uint32_t tx, const char *payload, size_t len, uint32_t *number);

/* The same for one path, with its NUL. */
uint32_t ask_path(struct answers *a, uint32_t type, const char *path);

/*
 * Sends the requests that make(out, i) builds for i from 0 to count - 1, up to WINDOW of them unanswered, and waits for
 * all answers. Each must succeed.
 */
#define WINDOW 64u
void pipeline(struct answers *a, unsigned int count, size_t (*make)(uint8_t *out, unsigned int i));

#endif
