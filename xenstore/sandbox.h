/* SPDX-License-Identifier: ISC */
/* What a daemon gives up once it serves: xids-xenstored, xids-randomd. */
#ifndef XIDS_XENSTORE_SANDBOX_H
#define XIDS_XENSTORE_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

struct sandbox_needs {
    pid_t pid;    /* our own */
    bool files;   /* makes and renames files while it serves */
    bool pipes;   /* opens what exists for writing: devices, when they are needed; the simulator's libraries */
    bool exec;    /* becomes another program: live update */
    bool streams; /* connects to others' sockets */
    bool threads; /* makes more of them */
    bool areas;   /* makes memory with a name, as the simulator's libraries do for what a kernel would remember */
};

/*
 * Drops capabilities and system calls, for good. 0; -ENOTSUP in a build with a sanitizer, which needs more than can be
 * listed; another negative errno, and then some of it may be done.
 */
int sandbox_enter(const struct sandbox_needs *needs);

#endif
