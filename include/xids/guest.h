/* SPDX-License-Identifier: ISC */
/*
 * The bare guest: xids as the whole kernel of a Xen PVH domain, without an operating system or a C library. Link your
 * code with libxids-guest.a and its linker script (pkg-config xids-guest; docs/howto/unikernel.md shows it all), define
 * xids_guest_main, and give the result to xl as kernel="...".
 *
 * When xids_guest_main is called, there are: a stack of XIDS_GUEST_STACK bytes with a guard page below it, all memory
 * mapped at its physical address, SSE, the platform (grants, event channels, clock), the console and a connection to
 * xenstore. One virtual CPU; interrupts do nothing but end a sleep, so your code is never interrupted in a way that it
 * could see.
 *
 * Your code runs until it waits: xids_guest_wait is the main loop's turn. It serves the console and xenstore, and does
 * what the toolstack asks through control/shutdown (poweroff, reboot, halt, suspend) without your help; with
 * xids_guest_life you take part.
 */
#ifndef XIDS_GUEST_H
#define XIDS_GUEST_H

#include <xids/loop.h>
#include <xids/xs_client.h>

XIDS_BEGIN_DECLS

struct xids_guest;

#define XIDS_GUEST_STACK 65536u

/* ---- what you define ---- */

/*
 * Your program. Called once. When it returns 0 the domain powers off; any other value is printed, and the domain
 * shuts down as crashed, which on_crash of the domain's configuration answers.
 */
int xids_guest_main(struct xids_guest *g);

/* ---- what you find ---- */

/* The command line (xl's extra= or cmdline=), never NULL. */
const char *xids_guest_command_line(const struct xids_guest *g);

/*
 * The value of NAME=VALUE in the command line, words being separated by spaces: copied into value, which has room
 * bytes, NUL included. Returns its length; -XEN_ENOENT: no such word; -XEN_ENAMETOOLONG: it does not fit.
 */
int xids_guest_option(const struct xids_guest *g, char *value, size_t room, const char *name) XIDS_MUST_CHECK;

/* The platform, the loop and the xenstore connection. They live as long as the domain. */
struct xids_platform *xids_guest_platform(struct xids_guest *g);
struct xids_loop *xids_guest_loop(struct xids_guest *g);
struct xids_xs_client *xids_guest_xenstore(struct xids_guest *g);

/* How much memory there is for pages of the platform and the program, and how much of it is free, in bytes. */
void xids_guest_memory(const struct xids_guest *g, uint64_t *total, uint64_t *unused);

/*
 * Fills out with len bytes made of the machine's own sources (local.h), which takes some milliseconds. Sets *bits to an
 * honest estimate of the entropy in them: as many as there are, 256 at most; or 0 when the sources do not do, and then
 * out is good for a nonce only. For xids_randomd_client_mix and nonces; a program that wants to know more has a struct
 * xids_local of its own.
 */
void xids_guest_local_entropy(struct xids_guest *g, void *out, size_t len, unsigned int *bits);

/*
 * Tells Xen which page is the reseed page (reseed.h): what xenstore says of that is lost when the domain is restored,
 * what Xen knows is part of the image. The page must have been prepared; its frame number is its address in pages.
 * -XEN_EINVAL: no page; or what Xen says, and then xenstore is all there is.
 */
int xids_guest_reseed_page(struct xids_guest *g, const void *page) XIDS_MUST_CHECK;

/* ---- waiting ---- */

/*
 * One turn of the loop (xids_loop_turn): serves everything that is due and sleeps until something happens or the clock
 * (xids_guest_now) reaches deadline (ns; UINT64_MAX: none). Callbacks of xenstore requests and of your parts come from
 * inside. Returns 1: something happened, look whether it is what you wait for; 0: the deadline has come.
 */
int xids_guest_wait(struct xids_guest *g, uint64_t deadline);

/* Nanoseconds since some moment before boot; never goes back, not even over suspend. */
uint64_t xids_guest_now(struct xids_guest *g);

/* Nanoseconds since 1970 UTC, as Xen tells it. */
uint64_t xids_guest_wall_clock(struct xids_guest *g);

/* ---- console ---- */

/*
 * Prints to the console: %s %c %% %d %u %x %p with l, ll and z, field widths and 0 padding. Never blocks for long: when
 * nobody reads the console, output beyond its ring is kept up to a bound and then dropped, and a note says how much.
 * Works at any time, also before the console is there (Xen's own log takes it then) and in a crash.
 */
void xids_guest_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Takes what was typed, up to len bytes, without waiting. Returns the count, 0 when there is nothing.
 * xids_guest_wait returns when something came, once: it does not return for what a call of this left behind. The ring
 * holds 1024 bytes. The backend can fill it as fast as it is read, so do not read until there is nothing.
 */
int xids_guest_console_read(struct xids_guest *g, void *data, size_t len);

/* ---- life ---- */

/* The toolstack's wishes. Any function may be NULL. */
struct xids_guest_life {
    /* A shutdown (reason: SHUTDOWN_poweroff or SHUTDOWN_reboot) is about to be carried out: say goodbye. */
    void (*shutdown)(void *ctx, unsigned int reason);
    /*
     * Before and after a suspension, around the parts' own: forget secrets in suspend; in resume all parts have begun
     * anew. cancelled: the domain was not saved, or goes on here after a checkpoint; nobody else has its memory then,
     * except the checkpoint.
     */
    void (*suspend)(void *ctx);
    void (*resume)(void *ctx, bool cancelled);
    void *ctx;
};

/* Sets them; NULL for none. life stays the caller's and must stay in place. */
void xids_guest_set_life(struct xids_guest *g, const struct xids_guest_life *life);

/* Ends the domain: SHUTDOWN_poweroff, SHUTDOWN_reboot or SHUTDOWN_crash of xen/sched.h. Flushes the console first. */
__attribute__((noreturn)) void xids_guest_shutdown(struct xids_guest *g, unsigned int reason);

/* Prints what, the caller's address and a stack trace, and shuts down as crashed. For what cannot happen. */
__attribute__((noreturn)) void xids_guest_panic(const char *what);

/* ---- where the time went ---- */

#define XIDS_GUEST_MARKS 32u

struct xids_guest_mark {
    const char *name; /* of the step that ended at this time */
    uint64_t ns;      /* since the domain's first instruction of its own */
};

/* Notes that a step has ended now. name stays the caller's. Beyond XIDS_GUEST_MARKS it does nothing. */
void xids_guest_mark(struct xids_guest *g, const char *name);

/* *marks: all so far, the boot's own steps first. Returns their number. */
unsigned int xids_guest_marks(const struct xids_guest *g, const struct xids_guest_mark **marks);

XIDS_END_DECLS

#endif
