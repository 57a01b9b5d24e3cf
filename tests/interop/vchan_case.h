/* SPDX-License-Identifier: ISC */
/*
 * The cases of the vchan matrix: who serves and who connects, with which rings, and who comes to an end how and when.
 * Both sides make the same list from the same words, so that each knows what the other does.
 */
#ifndef XIDS_TESTS_VCHAN_CASE_H
#define XIDS_TESTS_VCHAN_CASE_H

#include "tests/interop/vchan_end.h"

enum how {
    NOT,     /* nobody ends before all is done: both send more than twice what a ring holds, at the same time */
    CLOSE,   /* closes properly */
    KILL,    /* dies by kill -9 */
    STOP,    /* is stopped, and then dies by kill -9 */
    DESTROY, /* its whole domain is destroyed */
};

/*
 * At which point; n is a number of bytes or packets, or which step. A step is a system call or, of those called
 * ..._INSTRUCTION, an instruction, between two points in the life of the one that dies.
 */
enum when {
    IDLE,        /* after one byte, when the other waits for more */
    WROTE,       /* when it has written n bytes, which the other reads meanwhile */
    FULL,        /* when its ring is full; the other looks only then */
    BOTH,        /* when both rings are full and both wait for room */
    BLOCKED,     /* when the other's ring is full */
    TOOK,        /* when it has read n bytes of one that writes without end */
    UNFLUSHED,   /* when it has written n bytes more than it has published (xids only) */
    HALF_CLOSED, /* when it has said that it writes no more, and has read what the other wrote then (extended) */
    SILENT,      /* while the other asks whether it is alive (extended) */
    AFTER_CLOSE, /* right after it has seen the other close */
    AT_CONNECT,  /* step n of its listening or connecting */
    AT_WRITE,    /* instruction n of a write */
    AT_READ,     /* instruction n of a read */
    AT_CLOSE,    /* step n of closing */
    WHENS,
};

struct vchan_case {
    unsigned int id;
    enum implementation server, client;
    unsigned int left, right; /* orders */
    bool packets;
    bool server_ends; /* or the client does */
    enum how how;
    enum when when;
    uint32_t n;
};

/*
 * The sets: what every make check runs; everything; both for one slow pair of domains; and those in which the domain of
 * all servers, or of all clients, is destroyed.
 */
enum { SET_QUICK, SET_ALL, SET_XEN, SET_XEN_ALL, SET_DESTROY_SERVERS, SET_DESTROY_CLIENTS };
bool case_at_once(int set);
int case_set(const char *name);

/* Calls run for each case of the set. */
void case_each(int set, void (*run)(void *ctx, const struct vchan_case *c), void *ctx);

/* What belongs together, as one line of a report; and what is special about this one. */
void case_group(char *text, size_t size, const struct vchan_case *c);
void case_point(char *text, size_t size, const struct vchan_case *c);

/* A packet's length or, of a stream, 1: what all numbers of bytes are multiples of. */
uint32_t case_unit(const struct vchan_case *c, uint32_t ring_size);

/* Whether the dying side is stepped through. */
bool case_steps(const struct vchan_case *c);

#endif
