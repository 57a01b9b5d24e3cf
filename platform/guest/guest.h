/* SPDX-License-Identifier: ISC */
/*
 * What the files of the guest platform share. Nothing outside platform/guest includes it. Names that other files use
 * begin with guest_; what each architecture and mode provides, with arch_. None of them is seen outside the archive.
 *
 * There is one guest and one virtual CPU, so state is static in the file whose duty it is. Files and duties:
 *
 *     x86_64/     first instruction, long mode, page tables, exceptions, hypercalls, upcall, idle, CPU generator
 *     hypercall.h the calls to Xen, with types; the same for every architecture
 *     start.c     brings everything up in order, calls xids_guest_main
 *     guest.c     the one guest, its domid and its end
 *     command_line.c, marks.c, entropy.c  what they say
 *     ranges.c    lists of address ranges
 *     memory.c    pages; space.c: addresses without memory, for what Xen maps (shared info, grants)
 *     console.c   output and input; print.c: formatting
 *     time.c      clocks and the timer
 *     event.c     event channels; grant.c: our own grants; map.c: others' grants; platform.c: the table of them all
 *     area.c      records of what is shared and mapped
 *     store.c     the xenstore connection; life.c: shutdown and suspension
 */
#ifndef XIDS_PLATFORM_GUEST_H
#define XIDS_PLATFORM_GUEST_H

#include <stdarg.h>

#include <xids/guest.h>
#include "platform/guest/hypercall.h"
#include "platform/guest/ranges.h"

/* ---- start.c ---- */

/* What the boot protocol told, in terms of no architecture. */
struct guest_boot {
    const char *command_line;
    uint64_t first_tsc;              /* the time stamp counter at the first instruction */
    struct guest_ranges ranges;      /* usable memory, without what the image and the boot protocol's data take */
    uint64_t space_start, space_end; /* mapped addresses without memory, of 64 MiB or more, for space.c */
};

/* Called by the architecture on the final stack, with page tables, exceptions and hypercalls in place. */
__attribute__((noreturn)) void guest_start(const struct guest_boot *boot);

/* The steps of a start, and the same again after a resume with again = true. Each 0 or a negative errno. */
int guest_memory_init(const struct guest_boot *boot);
int guest_space_init(const struct guest_boot *boot);
int guest_shared_info_init(void); /* in event.c: maps shared info; events come after guest_events_init */
int guest_time_init(const struct guest_boot *boot, bool again);
int guest_events_init(bool again);
int guest_grants_init(bool again);
int guest_console_init(bool again);
int guest_store_init(bool again);
int guest_life_init(void);

/* ---- guest.c ---- */

/* Asks Xen for our own domid, which a resume may have changed. 0 or a negative errno. */
int guest_domid(domid_t *domid);

/* The one guest. */
extern struct xids_guest guest_the;

struct xids_guest {
    struct xids_platform platform;
    struct xids_loop loop;
    struct xids_xs_client *xenstore;
    const char *command_line;
    const struct xids_guest_life *life;
};

/* ---- memory.c ---- */

/* count contiguous zeroed pages, NULL when there are none; gives them back. */
void *guest_pages_get(unsigned int count);
void guest_pages_put(void *pages, unsigned int count);

/* ---- space.c ---- */

/* count contiguous page addresses behind which is nothing yet, 0 when there are none; gives them back. */
uintptr_t guest_space_get(unsigned int count);
void guest_space_put(uintptr_t at, unsigned int count);

/* ---- event.c ---- */

/* Xen's page of shared info. */
struct shared_info *guest_shared_info(void);

/* The interrupt's only work, called by the architecture with interrupts off: takes note, so that the sleep ends. */
void guest_upcall(void);

/* Operations of the table (xids/platform.h); ctx is not used. */
int guest_evtchn_alloc(void *ctx, domid_t remote);
int guest_evtchn_bind(void *ctx, domid_t remote, evtchn_port_t remote_port);
int guest_evtchn_bind_virq(void *ctx, unsigned int virq);
int guest_evtchn_notify(void *ctx, evtchn_port_t port);
int guest_evtchn_mask(void *ctx, evtchn_port_t port);
int guest_evtchn_unmask(void *ctx, evtchn_port_t port);
int guest_evtchn_close(void *ctx, evtchn_port_t port);
int guest_evtchn_status(void *ctx, evtchn_port_t port);
int guest_evtchn_pending(void *ctx);
int guest_wait(void *ctx, uint64_t deadline);

/* Takes over a port that the toolstack made for us (the console's, xenstore's): it is ours now, and unmasked. */
int guest_port_adopt(evtchn_port_t port);

/*
 * A notification names a port: until it is unpinned, closing the port lets its number not come back. -XEN_EINVAL: not
 * ours. Sending works on a port that is closed but pinned.
 */
int guest_port_pin(evtchn_port_t port);
void guest_port_unpin(evtchn_port_t port);
void guest_port_send(evtchn_port_t port);

/* ---- marks.c ---- */

/* The clock stands: marks noted so far, by the time stamp counter, become nanoseconds. */
void guest_marks_init(const struct guest_boot *boot);

/* ---- time.c ---- */

/* Nanoseconds between two values of the time stamp counter, by the scale that Xen tells at this moment. */
uint64_t guest_cycles_to_ns(uint64_t cycles);
uint64_t guest_now(void);
/* Makes VIRQ_TIMER fire at the time given (ns of guest_now); UINT64_MAX: not at all. */
void guest_timer_set(uint64_t deadline);
/* Sleeps for about ns without serving anything. */
void guest_nap(uint64_t ns);
/* The port of VIRQ_TIMER. */
evtchn_port_t guest_timer_port(void);

/* ---- print.c ---- */

/*
 * Formats as xids_guest_print does, and gives the text to put in pieces of any length. A conversion that it does not
 * know ends the text with a note.
 */
void guest_format(void (*put)(void *ctx, const char *text, size_t len), void *ctx, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
/* Prints past the console, by arch_early_write. */
void guest_early_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- console.c ---- */

void guest_console_write(const char *text, size_t len);
/* Waits, within reason, until the backend has taken everything. */
void guest_console_flush(void);

/* ---- grant.c ---- */

int guest_grant(void *ctx, grant_ref_t *ref, domid_t domid, void *page, unsigned int flags);
int guest_grant_end(void *ctx, grant_ref_t ref);
int guest_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                const struct xids_unmap_notify *notify);
int guest_unshare(void *ctx, void *pages, unsigned int count);

/* Looks whether peers have let go what they had mapped when it was unshared; a bounded look. */
void guest_grants_retry(void);

/* ---- map.c ---- */

int guest_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
              unsigned int flags, const struct xids_unmap_notify *notify);
int guest_unmap(void *ctx, void XIDS_PEER *area, unsigned int count);
int guest_copy(void *ctx, struct xids_grant_copy *copies, unsigned int count);

/* After a resume elsewhere: what was mapped is not there any more. */
void guest_maps_lose(void);

/* ---- store.c ---- */

/*
 * Before each turn of the loop: makes the store's part the last, so that what the other parts ask for in their step is
 * sent before the loop sleeps.
 */
void guest_store_turn(void);

/* ---- life.c ---- */

/* Carries out what the toolstack has asked for, between the loop's turns. */
void guest_life_turn(void);

/* ---- platform.c ---- */

extern const struct xids_platform_ops guest_platform_ops;

/* ---- the architecture; hypercall.h has arch_hypercall ---- */

/* Whether Xen is below us, so that it can be called. */
bool arch_on_xen(void);
/*
 * The page with a number that Xen told (xenstore's, the console's): mapped, and it stays so. NULL when the number is
 * none that this machine can have.
 */
void XIDS_PEER *arch_xen_page(uint64_t number);

uint64_t arch_cycles(void);
/* Has Xen call guest_upcall for event channel events. */
int arch_upcall_init(void);
/* Sleeps until an interrupt, unless guest_upcall was called since arch_idle_begin: so nothing is missed between. */
void arch_idle_begin(void);
void arch_idle(void);
/* Early output, to Xen's own log, of a guest that has no console yet or has crashed; the serial port without Xen. */
void arch_early_write(const char *text, size_t len);
/* Prints the calls that led here. */
void arch_backtrace(void);
/* Stops for good, with the reason; falls back to halting when Xen does not take it. */
__attribute__((noreturn)) void arch_shutdown(unsigned int reason);

#endif
