/* SPDX-License-Identifier: ISC */
/* The parts of xids-entropy-agent, each in a file of its name. One thread. */
#ifndef XIDS_RANDOMD_AGENT_H
#define XIDS_RANDOMD_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FEED_BYTES 64u /* what the kernel's generator is given at a time */
#define FEED_BITS 256u /* and credited with: what it needs to be ready */

/* ---- agent_feed.c: the kernel's generator. 0 or a negative errno ---- */

/* Opens the device. *fd is the caller's to close. */
int feed_open(int *fd);
/* Gives it bytes, credits bits of them, and has all generators of the kernel begin anew from its pool. */
int feed_kernel(int fd, const uint8_t bytes[FEED_BYTES], unsigned int bits);

/* ---- agent_resume.c: whether this machine was suspended, and may be a copy by now ---- */

/* A descriptor that becomes readable when the machine has been resumed, and when somebody sets the clock. */
int resume_open(int *fd);
/* After it was readable. */
void resume_take(int fd);

#endif
