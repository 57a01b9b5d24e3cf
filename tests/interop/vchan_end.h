/* SPDX-License-Identifier: ISC */
/*
 * One end of a vchan, by xids or by the real libxenvchan, with the same calls for both. Nothing here returns an error:
 * what must not be ends the process with a sentence on what it was doing.
 *
 * The byte at index i of a ring is a function of i alone, so that whoever reads can check each byte, also one that was
 * meant for a reader before him.
 */
#ifndef XIDS_TESTS_VCHAN_END_H
#define XIDS_TESTS_VCHAN_END_H

#include <stdbool.h>
#include <stdint.h>

#include <libxenvchan.h>
#include <xids/platform_xen.h>
#include <xids/vchan_open.h>

enum implementation { XIDS, XIDS_PLAIN, LIBXENVCHAN, IMPLEMENTATIONS };

struct end {
    struct xids_platform *platform;
    struct xids_xs *xs;
    struct xids_vchan_link *link;
    struct xids_vchan *ours;
    struct libxenvchan *real;
    enum implementation by;
    bool server;
    domid_t remote;
    char path[64]; /* libxenvchan takes no longer ones */
};

/* What an end is at and, when that went wrong, how; in memory that outlives the process. */
struct report {
    const char *volatile doing;
    char text[200];
};
extern struct report *report;
/* Ends the process with that text. */
_Noreturn void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says what failed when it did. */
#define MUST(what) ((what) ? (void)0 : wrong("not so: %s (line %d of %s)", #what, __LINE__, __FILE__))

/* Opens what a channel needs. */
void end_begin(struct end *e, enum implementation by, bool server, domid_t remote, const char *path);
/* Client: until a server has published. */
void end_await_server(struct end *e);
/* Makes the end; a client's waits for a server that is alive. flags: xids' own. */
void end_open(struct end *e, unsigned int left, unsigned int right, unsigned int flags);
/* Server: until a client is there, or was. */
void end_await_client(struct end *e);
/* Server: for the next client on the same pages, after the end of one. */
void end_again(struct end *e);
/*
 * How many clients' ends a server has seen, through the store. In the base protocol a client that comes before the
 * server has looked is taken for the one before.
 */
void end_tell(struct end *e, unsigned int ends);
void end_await_told(struct end *e, unsigned int ends);
void end_untell(struct end *e);
/* Server, closed: removes a folder of the store, in which another one may have left nodes when it was killed. */
void end_clear(struct end *e, const char *path);
/* Closes the channel properly. end_finish also what end_begin opened. */
void end_close(struct end *e);
void end_finish(struct end *e);

/* What reading and writing can give beside a number of bytes. */
enum { END_GONE = 0, END_NOTHING = -1 };

/* Moves bytes of the stream, or one packet of len. What is read is checked. */
int end_read(struct end *e, uint32_t len, bool packet);
int end_write(struct end *e, uint32_t len, bool packet);
void end_flush(struct end *e);
/* Says that we write no more, which the peer reads as an end. Only between extended ends. */
void end_shut(struct end *e);
/* Asks whether the peer is alive until it has not answered for long. Only between extended ends. */
void end_await_silence(struct end *e);
/* Whether it is what it should be, given the implementation of the other side. */
void end_check_extension(struct end *e, enum implementation other);
/* Sleeps until so much can be read or written, or the peer has gone; or, for 0 and 0, until it has gone. */
void end_sleep(struct end *e, uint32_t want_read, uint32_t want_write);
/* Whether the peer waits for bytes (or, otherwise, for room) as far as it has told us. */
bool end_peer_waits(struct end *e, bool for_bytes);

/* Sizes of the two rings, how far we have read, and how far the peer says in the page that it has written. */
uint32_t end_in_size(const struct end *e);
uint32_t end_out_size(const struct end *e);
uint32_t end_in(const struct end *e);
uint32_t end_in_published(const struct end *e);

/* Checks all that can be seen of a peer that is gone, when everything was read; domain: with its domain. */
void end_check_gone(struct end *e, bool domain);

#endif
