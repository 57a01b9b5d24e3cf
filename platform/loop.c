/* SPDX-License-Identifier: ISC */
/* The main loop of engines on one platform. */
#include <xids/loop.h>

/*
 * A walk over the parts. The loop knows of each, so that removing a part moves on those that would come to it next.
 * They lie on the stack of the functions below, one inside the other.
 */
struct xids_loop_walk {
    struct xids_part *at; /* the part that comes next */
    bool backwards;
    struct xids_loop_walk *outer;
};

static void walk_begin(struct xids_loop *loop, struct xids_loop_walk *w, bool backwards)
{
    *w = (struct xids_loop_walk){
        .at = backwards ? loop->last : loop->parts, .backwards = backwards, .outer = loop->walks};
    loop->walks = w;
}

/* The next part; NULL: that was all. */
static struct xids_part *walk_on(struct xids_loop_walk *w)
{
    struct xids_part *part = w->at;
    if (part != NULL)
        w->at = w->backwards ? part->prev : part->next;
    return part;
}

static void walk_end(struct xids_loop *loop, const struct xids_loop_walk *w)
{
    loop->walks = w->outer;
}

void xids_loop_init(struct xids_loop *loop, struct xids_platform *platform)
{
    *loop = (struct xids_loop){.platform = platform};
}

void xids_loop_add(struct xids_loop *loop, struct xids_part *part)
{
    if (part->in)
        return;
    part->in = true;
    part->next = NULL;
    part->prev = loop->last;
    if (loop->last != NULL)
        loop->last->next = part;
    else
        loop->parts = part;
    loop->last = part;
    /* A walk whose last part is adding this one has it still before it. */
    for (struct xids_loop_walk *w = loop->walks; w != NULL; w = w->outer)
        if (w->at == NULL && !w->backwards)
            w->at = part;
}

void xids_loop_remove(struct xids_loop *loop, struct xids_part *part)
{
    if (!part->in)
        return;
    for (struct xids_loop_walk *w = loop->walks; w != NULL; w = w->outer)
        if (w->at == part)
            (void)walk_on(w);
    if (part->prev != NULL)
        part->prev->next = part->next;
    else
        loop->parts = part->next;
    if (part->next != NULL)
        part->next->prev = part->prev;
    else
        loop->last = part->prev;
    part->in = false;
    part->next = part->prev = NULL;
}

/* Looks for the part that owns a port. */
static bool hand_out(struct xids_loop *loop, evtchn_port_t port)
{
    struct xids_loop_walk w;
    struct xids_part *part;
    bool taken = false;
    walk_begin(loop, &w, false);
    while (!taken && !loop->suspended && (part = walk_on(&w)) != NULL)
        taken = part->event != NULL && part->event(part->ctx, port);
    walk_end(loop, &w);
    return taken;
}

/* Takes what is pending, within the turn's bound. Returns how many events there were, or the platform's error. */
static int hand_out_all(struct xids_loop *loop)
{
    const struct xids_platform *p = loop->platform;
    int count = 0;
    while (count < (int)XIDS_LOOP_EVENTS && !loop->suspended) {
        int port = p->ops->evtchn_pending(p->ctx);
        if (port < 0)
            return port;
        if (port == 0)
            break;
        count++;
        if (!hand_out(loop, (evtchn_port_t)port))
            loop->strays++;
    }
    return count;
}

/* Steps every part. Returns the earliest time by which one of them wants to be called. */
static uint64_t step_all(struct xids_loop *loop, uint64_t now)
{
    struct xids_loop_walk w;
    struct xids_part *part;
    uint64_t earliest = UINT64_MAX;
    walk_begin(loop, &w, false);
    while (!loop->suspended && (part = walk_on(&w)) != NULL) {
        uint64_t due = part->step(part->ctx, now);
        if (due < earliest)
            earliest = due;
    }
    walk_end(loop, &w);
    return earliest;
}

int xids_loop_turn(struct xids_loop *loop, uint64_t deadline)
{
    const struct xids_platform *p = loop->platform;
    int events = hand_out_all(loop);
    if (events < 0)
        return events;
    uint64_t now = p->ops->now(p->ctx);
    uint64_t earliest = step_all(loop, now);
    if (now >= deadline)
        return 0;
    if (events != 0 || earliest <= now || loop->suspended)
        return 1;
    int rc = p->ops->wait(p->ctx, earliest < deadline ? earliest : deadline);
    if (rc < 0)
        return rc;
    return p->ops->now(p->ctx) >= deadline ? 0 : 1;
}

void xids_loop_suspend(struct xids_loop *loop)
{
    struct xids_loop_walk w;
    struct xids_part *part;
    if (loop->suspended)
        return;
    loop->suspended = true;
    walk_begin(loop, &w, true);
    while ((part = walk_on(&w)) != NULL)
        if (part->suspend != NULL)
            part->suspend(part->ctx);
    walk_end(loop, &w);
}

void xids_loop_resume(struct xids_loop *loop)
{
    struct xids_loop_walk w;
    struct xids_part *part;
    if (!loop->suspended)
        return;
    loop->suspended = false;
    walk_begin(loop, &w, false);
    while ((part = walk_on(&w)) != NULL)
        if (part->resume != NULL)
            part->resume(part->ctx);
    walk_end(loop, &w);
}
