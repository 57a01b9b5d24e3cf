/* SPDX-License-Identifier: ISC */
/*
 * A stand-in for Xen's libraries, linked into a test program before them: it notes what platform/xen asks of them and
 * gives back what the test wants. What the libraries really do is checked on the simulator
 * (tests/interop/platform-sim).
 */
#ifndef TESTS_UNIT_XEN_FAKES_H
#define TESTS_UNIT_XEN_FAKES_H

#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

struct fakes {
    int fail;       /* the errno with which every call from now on fails, but closing ones; 0: none */
    int fail_after; /* calls that still succeed before */
    int open;       /* handles */
    int shares;     /* gntshr handles opened in all */
    int shared_pages, mapped, ports, unmasks, unbinds, notified;
    void *foreign;          /* what mapping one page gives, the test's own; NULL: an empty page */
    uint32_t notify_offset; /* of the last call with a notification */
    evtchn_port_t notify_port;
    int prot, writable;
    int event_pipe[2];       /* a byte in it is a pending port */
    uint32_t status;         /* what xc_evtchn_status says */
    int status_errno;        /* its failure; 0: none */
    int bind_errno;          /* that of binding to another domain; 0: none */
    int16_t copy_status[64]; /* of the segments of the next copies, in order */
    unsigned int copies, copy_calls;
    xengnttab_grant_copy_segment_t last_copy;
};

extern struct fakes fakes;

void fakes_init(void);
void fakes_fini(void);
/* A port fires. */
void fakes_event(uint8_t port);

#endif
