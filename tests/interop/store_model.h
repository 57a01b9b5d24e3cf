/* SPDX-License-Identifier: ISC */
/*
 * A xenstore so simple that it is right: an array of nodes in the order of their creation, rights, watches, and
 * transactions as a list of requests that is done again at the end. store_random.c compares a daemon with it.
 *
 * It knows what docs/spec/xenstore.md says, and nothing of how that is done. Limits are not its business: its trees
 * are far too small to reach any.
 */
#ifndef XIDS_TESTS_INTEROP_STORE_MODEL_H
#define XIDS_TESTS_INTEROP_STORE_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <xids/xswire.h>

#define MODEL_NODES 160
#define MODEL_PERMS 4
#define MODEL_PATH 48
#define MODEL_VALUE 12
#define MODEL_EVENTS 400
#define MODEL_WATCHES 64
#define MODEL_STEPS 16
#define MODEL_ANSWER 512

struct model_perms {
    unsigned int n;
    struct xids_xs_perm v[MODEL_PERMS];
};

struct model_node {
    char path[MODEL_PATH];
    char value[MODEL_VALUE];
    struct model_perms perms;
};

/* The nodes in the order of creation, "/" first. */
struct model_tree {
    unsigned int n;
    struct model_node v[MODEL_NODES];
};

struct model_who {
    uint16_t domid;
    int target; /* or -1 */
    bool privileged;
};

/* One request; path is absolute, arg the value or the permissions as text with '|' for each NUL. */
struct model_step {
    uint32_t type;
    char path[MODEL_PATH];
    char arg[40];
    char answer[MODEL_ANSWER];
};

/* What a change fires: for all who watch the path or above it, or those alone who watch exactly it. */
struct model_event {
    char path[MODEL_PATH];
    bool exact;
    bool has_before, has_node, has_parent;
    struct model_perms before, node, parent;
};

struct model_events {
    unsigned int n;
    struct model_event v[MODEL_EVENTS];
};

struct model_watch {
    bool used;
    unsigned int conn;
    unsigned long seq;
    char path[MODEL_PATH];
    char token[11];
    int depth;
    unsigned int prefix; /* bytes that a relative watch does not see */
};

void model_init(struct model_tree *t);

struct model_node *model_find(struct model_tree *t, const char *path);

/*
 * Does a request: READ, DIRECTORY, GET_PERMS, WRITE, MKDIR, RM, SET_PERMS. The answer, as in "read 5" or "error
 * ENOENT|", goes to answer; what it fires to events, which may be NULL.
 */
void model_do(struct model_tree *t, struct model_events *events, const struct model_step *s,
              const struct model_who *who, char answer[MODEL_ANSWER]);

/*
 * Does the requests of a transaction on the tree, in which nobody else changes anything meanwhile. True when each has
 * the same answer as it had; else why says which has not. events: those of the commit, in their order.
 */
bool model_replay(struct model_tree *t, struct model_events *events, char why[MODEL_ANSWER * 3],
                  const struct model_step *steps, unsigned int n, const struct model_who *who);

/* Whether a watch of who's is to be told of an event. */
bool model_told(const struct model_watch *w, const struct model_event *e, const struct model_who *who);

/* Whether a request changes the tree. */
bool model_changes(const struct model_step *s);

#endif
