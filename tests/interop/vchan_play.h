/* SPDX-License-Identifier: ISC */
/* What one side does in a case of the vchan matrix: the parts that its processes play. */
#ifndef XIDS_TESTS_VCHAN_PLAY_H
#define XIDS_TESTS_VCHAN_PLAY_H

#include "tests/interop/vchan_case.h"

struct part {
    const struct vchan_case *c;
    bool server;
    domid_t remote;
    const char *base;  /* path of all cases' nodes */
    unsigned int turn; /* of a successor: the first is 1 */
};

/* Comes to its end as the case says. Returns only where that is a proper close. */
void play_victim(const struct part *p);
/* Comes after a victim. */
void play_successor(const struct part *p);
/* Sees the victim's end, and goes on with its successors. */
void play_survivor(const struct part *p);
/* Ends when the server has seen the first client's end. */
void play_seen(const struct part *p);
/* When nobody ends early. */
void play_exchange(const struct part *p);

/* How many come after a victim, one after the other. */
unsigned int play_successors(const struct vchan_case *c);

#endif
