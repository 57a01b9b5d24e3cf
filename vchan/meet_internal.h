/* SPDX-License-Identifier: ISC */
/* What the two files of a meeting share: the one that keeps the channel (meet.c), the one that talks to the store. */
#ifndef XIDS_VCHAN_MEET_INTERNAL_H
#define XIDS_VCHAN_MEET_INTERNAL_H

#include "vchan/internal.h"

#include <xids/vchan_meet.h>

/* "/event-channel" and its NUL behind a path. */
#define MEET_LEAF 15u

/* What the store is being asked. */
enum meet_talk {
    MEET_SILENT,
    MEET_FINDING,    /* client: in which domain the server is */
    MEET_READING,    /* client: for the numbers */
    MEET_PREPARING,  /* server: to take the old port away and the ring's reference in */
    MEET_PUBLISHING, /* server: to take the port in */
    MEET_VERIFYING,  /* server: whether the numbers are still there */
    MEET_PERMITTING, /* server: to give the permissions again */
};

/* One request of the talk, and its answer. */
struct meet_answer {
    struct xids_vchan_meet *m;
    xids_xs_reply_fn *fn;
    int rc;
    uint32_t number;
    bool waiting;
};

#define MEET_ANSWERS 4u

struct xids_vchan_meet {
    struct xids_vchan ch;
    struct xids_part part;
    struct xids_platform *platform;
    struct xids_xs_client *xs;
    const struct xids_vchan_meet_user *user;
    const char *drop_reason;
    uint64_t now;        /* of the last step */
    uint64_t not_before; /* no attempt before this */
    uint64_t retry_at;   /* an attempt even if nothing changes, UINT64_MAX: none */
    uint64_t pause;      /* before the next attempt, if this one fails */
    uint64_t opened_at;
    uint64_t serve_at;                /* when serve wants to be called */
    uint64_t look_at;                 /* when to look after the peer's domain */
    uint64_t permit_at, permit_pause; /* server: when to give the permissions again, and how long after the last time */
    uint64_t rest_until;              /* server: no reoffer before this */
    uint64_t linger_until;
    uint64_t drop_delay;
    struct meet_answer answers[MEET_ANSWERS];
    enum meet_talk talk;
    unsigned int left_order, right_order, flags;
    unsigned int held;
    unsigned int quick; /* server: clients that stayed for a short time only, one after the other */
    uint32_t watch;     /* 0: none */
    uint32_t pointer_watch;
    int told; /* the last refusal */
    int drop_rc;
    domid_t remote;
    bool server;
    bool named;     /* the path is made of the domids and given, a name */
    bool anywhere;  /* client: our own tree says where the server is: */
    bool known;     /*   it has, in remote */
    bool suspended; /* or not begun */
    bool stopped;   /* server: too much is held */
    bool have;      /* there is a channel: */
    bool opened;    /*   the owner was told */
    bool dropped;   /*   and wants it closed */
    bool resting;   /*   server: the client has left, and the next has to wait */
    bool leaving;   /*   the peer has time to unmap, until linger_until */
    bool look;      /*   serve is to be called */
    bool changed;   /* the store has news */
    bool sent;      /* requests were made in this step */
    bool published; /* server: nodes of ours are, or may be, in the store */
    bool current;   /* and they are those of this channel */
    bool made;      /* server: the folder at path is ours */
    bool lonely;    /* server: none has come yet; perhaps the domain was not there, and its permissions are void */
    char given[XIDS_VCHAN_MEET_PATH + 1u];
    char path[XIDS_VCHAN_MEET_PATH + 1u];
};

/* Makes the path of what was given. -XEN_EINVAL, -XEN_ENAMETOOLONG. */
int xids_meet_path_(struct xids_vchan_meet *m) XIDS_MUST_CHECK;

/* Begins to ask the store, after the watch is there. Returns 0, or an error: then nothing is under way. */
int xids_meet_ask_(struct xids_vchan_meet *m, enum meet_talk talk) XIDS_MUST_CHECK;
int xids_meet_watch_(struct xids_vchan_meet *m) XIDS_MUST_CHECK;

/* All answers of the talk are there. */
bool xids_meet_answered_(const struct xids_vchan_meet *m);

/* Ends the talk: its answers will not come. */
void xids_meet_hush_(struct xids_vchan_meet *m);

/* Asks to remove the port, so that nobody comes any more; or all that we have in the store. Nobody waits for it. */
void xids_meet_withdraw_(struct xids_vchan_meet *m, bool all);

/* Of the numbers only. */
void xids_meet_unwatch_port_(struct xids_vchan_meet *m);
void xids_meet_unwatch_(struct xids_vchan_meet *m);

#endif
