/* SPDX-License-Identifier: ISC */
/* What xids-xenstored gives up once it serves. */
#ifndef XIDS_XENSTORE_SANDBOX_H
#define XIDS_XENSTORE_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

struct sandbox_needs {
    pid_t pid;  /* our own */
    bool files; /* makes and renames files while it serves */
    bool pipes; /* opens what exists for writing: the simulator's libraries do */
    bool exec;  /* becomes another program: live update */
};

/*
 * Drops capabilities and system calls, for good. 0; -ENOTSUP in a build with a sanitizer, which needs more than can be
 * listed; another negative errno, and then some of it may be done.
 */
int sandbox_enter(const struct sandbox_needs *needs);

#endif
