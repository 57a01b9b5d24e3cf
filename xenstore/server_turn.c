/* SPDX-License-Identifier: ISC */
/*
 * Turns: precedence for the retry of a refused transaction. Transactions that read what they all change would refuse
 * each other without end, and nearly all of their work would be in vain.
 *
 * A connection whose transaction was refused has a turn, one connection at a time: what the next transaction that it
 * starts has read, and what the refused one had read, stays as it is from its start until it ends. Whose transaction
 * would change that has its answer held back, and so has who is refused in the meantime, for whom it is the next turn.
 * A connection whose answer is held back is not read from.
 *
 * Nobody waits for ever, and no two for each other: the connection whose turn it is never waits, and all others wait
 * for it alone. A turn has an end by the clock, and so has each wait. Plain requests do not wait, and may well be what
 * refuses the transaction that has precedence; but if that is a privileged connection's, guests' changes of what it has
 * read wait. Guests get turns against guests alone.
 */
#include "xenstore/server_impl.h"

/* Milliseconds for a turn: until its transaction starts, and until it ends. */
#define TURN_START_MS 10u
#define TURN_MS 50u
/* How long an answer is held back at most. */
#define HOLD_MS 150u
/* After a turn a guest has no other for so many times as long as that one was. */
#define GUEST_REST 9u

static void list_remove(struct xids_xs_conn *conn)
{
    struct turn_list *l = conn->held.list;
    if (conn->held.prev != NULL)
        conn->held.prev->held.next = conn->held.next;
    else
        l->first = conn->held.next;
    if (conn->held.next != NULL)
        conn->held.next->held.prev = conn->held.prev;
    else
        l->last = conn->held.prev;
    conn->held.list = NULL;
    conn->held.next = conn->held.prev = NULL;
}

/* Whose wait ends first stands first; hardly ever does one come that is not the last. */
static void list_insert(struct turn_list *l, struct xids_xs_conn *conn)
{
    struct xids_xs_conn *before = l->last;
    while (before != NULL && before->held.until > conn->held.until)
        before = before->held.prev;
    conn->held.list = l;
    conn->held.prev = before;
    conn->held.next = before != NULL ? before->held.next : l->first;
    if (conn->held.next != NULL)
        conn->held.next->held.prev = conn;
    else
        l->last = conn;
    if (before != NULL)
        before->held.next = conn;
    else
        l->first = conn;
}

/* Whether there is room for an answer: events may have taken what was made for it. */
static bool can_say(struct xids_xs_conn *conn)
{
    return xids_xs_out_reserve(conn, XIDS_XSWIRE_MESSAGE_MAX) == 0;
}

/* Tells whoever waits how its transaction ended. It is read from again. */
static void say(struct xids_xs_conn *conn, int rc)
{
    const struct xids_xswire_msg msg = {
        .type = XS_TRANSACTION_END, .req_id = conn->held.req_id, .tx_id = conn->held.tx_id};
    struct request r = {.conn = conn, .msg = &msg};
    if (rc < 0)
        xids_xs_reply_error(&r, rc);
    else
        xids_xs_reply_ok(&r);
    if (conn->ring)
        xids_xs_look_again(conn);
}

/* What the connection's refused transaction had read is of no account any more. */
static void forget_reads(struct xids_xs_conn *conn)
{
    if (conn->refused_tx != NULL)
        xids_store_tx_abort(conn->server->store, conn->refused_tx);
    conn->refused_tx = NULL;
}

/* ---- turns ---- */

static void give_turn(struct xids_xs_conn *conn)
{
    struct turns *u = &conn->server->turns;
    u->holder = conn;
    u->since = u->now;
    u->start_by = u->now + TURN_START_MS;
}

static uint64_t turn_end(const struct turns *u)
{
    uint64_t end = u->since + TURN_MS;
    return u->reader == NULL && u->start_by < end ? u->start_by : end;
}

static void take_turn(struct turns *u)
{
    struct xids_xs_conn *conn = u->holder;
    if (!conn->who.privileged)
        conn->turn_after = u->now + GUEST_REST * (u->now - u->since + 1);
    forget_reads(conn);
    u->holder = NULL;
    u->reader = NULL;
    /* What was held back for its sake is looked at again. */
    while (u->disturbing.first != NULL) {
        struct xids_xs_conn *c = u->disturbing.first;
        list_remove(c);
        list_insert(&u->again, c);
    }
    while (u->changing.first != NULL) {
        struct xids_xs_conn *c = u->changing.first;
        list_remove(c);
        xids_xs_look_again(c);
    }
}

/* Whoever has waited longest is next; guests when nobody else is there. */
static void next_turn(struct turns *u)
{
    struct xids_xs_conn *next = u->refused.first != NULL ? u->refused.first : u->refused_guests.first;
    if (u->holder != NULL || next == NULL || !can_say(next))
        return;
    list_remove(next);
    give_turn(next);
    say(next, -XEN_EAGAIN);
}

void xids_xs_turn_started(struct xids_xs_conn *conn, struct transaction *t)
{
    struct turns *u = &conn->server->turns;
    if (u->holder == conn && u->reader == NULL)
        u->reader = t;
}

void xids_xs_turn_ended(struct xids_xs_conn *conn, const struct transaction *t)
{
    struct turns *u = &conn->server->turns;
    if (u->reader != t)
        return;
    take_turn(u);
    next_turn(u);
}

/* Else a guest that writes without end what a toolstack reads would refuse it for ever. */
bool xids_xs_turn_waits(const struct request *r, const struct xids_store_path *p, bool below)
{
    struct xids_xs_conn *conn = r->conn;
    struct xids_store *store = conn->server->store;
    struct turns *u = &conn->server->turns;
    const struct xids_store_node *n;
    if (r->tx != NULL || conn->who.privileged || u->reader == NULL || !u->holder->who.privileged)
        return false;
    /* It changes nothing; and by waiting it would learn what is there, and who reads it. */
    if ((xids_store_access_at(store->top, &conn->who, p, &n) & XIDS_XS_WRITE) == 0)
        return false;
    const struct xids_store_tx *before = u->holder->refused_tx;
    if (!xids_store_tx_minds(store, u->reader->tx, p, below) &&
        (before == NULL || !xids_store_tx_minds(store, before, p, below)))
        return false;
    if (!conn->repeat)
        conn->held.until = u->now + HOLD_MS;
    if (conn->held.until <= u->now)
        return false;
    list_insert(&u->changing, conn);
    return true;
}

void xids_xs_turn_drop(struct xids_xs_conn *conn)
{
    struct turns *u = &conn->server->turns;
    if (conn->held.list != NULL)
        list_remove(conn);
    forget_reads(conn);
    if (u->holder == conn) {
        take_turn(u);
        next_turn(u);
    }
}

/* ---- ends of transactions ---- */

static int hold(struct turn_list *list, struct xids_xs_conn *conn, const struct transaction *t, uint32_t req_id,
                uint32_t tx_id)
{
    conn->held.transaction = t != NULL ? t->id : 0;
    conn->held.req_id = req_id;
    conn->held.tx_id = tx_id;
    list_insert(list, conn);
    return XIDS_XS_HELD;
}

/* Whether the turn of another connection makes this one wait. */
static bool yields(const struct turns *u, const struct xids_xs_conn *conn)
{
    return u->holder != NULL && u->holder != conn && (u->holder->who.privileged || !conn->who.privileged);
}

/* Has a transaction of the connection been refused; whether that is said now, or later with its turn. */
static int refused(struct xids_xs_conn *conn, uint32_t req_id, uint32_t tx_id)
{
    struct turns *u = &conn->server->turns;
    struct turn_list *list = conn->who.privileged ? &u->refused : &u->refused_guests;
    if (u->holder == conn)
        return -XEN_EAGAIN;
    if (!u->timed || u->now < conn->turn_after || (yields(u, conn) && conn->held.until <= u->now)) {
        forget_reads(conn);
        return -XEN_EAGAIN;
    }
    if (yields(u, conn))
        return hold(list, conn, NULL, req_id, tx_id);
    if (u->holder != NULL)
        take_turn(u);
    give_turn(conn);
    return -XEN_EAGAIN;
}

/* Puts the transaction into force or not; then whose turn it is. */
static int finish(struct xids_xs_conn *conn, struct transaction *t, uint32_t req_id)
{
    struct xids_xs_server *s = conn->server;
    struct turns *u = &s->turns;
    bool own = u->reader == t;
    uint32_t tx_id = t->id;
    struct xids_store_tx *tx = t->tx;
    int rc = xids_store_tx_commit(s->store, tx, &conn->who);
    if (rc == XIDS_STORE_LATER)
        return rc;
    (void)xids_xs_take_transaction(conn, t);
    s->stats.commits += rc == 0;
    s->stats.conflicts += rc == -XEN_EAGAIN;
    conn->done.commits += rc == 0;
    conn->done.conflicts += rc == -XEN_EAGAIN;
    if (rc == -XEN_EAGAIN) {
        xids_store_tx_keep_reads(s->store, tx);
        forget_reads(conn);
        conn->refused_tx = tx;
        if (own) {
            /* In spite of its turn: it has what is left of it. */
            u->reader = NULL;
            u->start_by = u->now + TURN_START_MS;
        }
        return refused(conn, req_id, tx_id);
    }
    if (own) {
        take_turn(u);
        next_turn(u);
    }
    return rc;
}

/* Whether the transaction could refuse the one that has precedence. That one will read what it read before. */
static bool disturbs(struct xids_xs_conn *conn, const struct transaction *t)
{
    const struct turns *u = &conn->server->turns;
    return xids_store_tx_disturbs(conn->server->store, t->tx, &conn->who, u->reader->tx, &u->holder->who,
                                  u->holder->refused_tx);
}

static int end(struct xids_xs_conn *conn, struct transaction *t, uint32_t req_id)
{
    const struct turns *u = &conn->server->turns;
    if (u->reader != NULL && yields(u, conn) && conn->held.until > u->now && disturbs(conn, t))
        return hold(&conn->server->turns.disturbing, conn, t, req_id, t->id);
    return finish(conn, t, req_id);
}

int xids_xs_turn_commit(struct xids_xs_conn *conn, struct transaction *t, uint32_t req_id)
{
    conn->held.until = conn->server->turns.now + HOLD_MS;
    return end(conn, t, req_id);
}

/* Goes on with an end that was held back. */
static void resume(struct xids_xs_conn *conn)
{
    uint64_t before = xids_xs_cost(conn->server);
    if (!can_say(conn))
        return;
    list_remove(conn);
    struct transaction *t = conn->held.transaction != 0 ? xids_xs_find_transaction(conn, conn->held.transaction) : NULL;
    int rc = t != NULL ? end(conn, t, conn->held.req_id) : -XEN_EAGAIN;
    if (rc == -XEN_ENOSPC)
        xids_xs_denied(conn, QUOTAS, NULL);
    if (t == NULL)
        forget_reads(conn);
    if (rc == XIDS_STORE_LATER)
        list_insert(&conn->server->turns.counting, conn);
    else if (rc <= 0)
        say(conn, rc);
    xids_xs_pay(conn, before);
}

void xids_xs_turn_held(struct xids_xs_conn *conn, uint32_t transaction, uint32_t req_id, uint32_t tx_id)
{
    conn->held.transaction = transaction;
    conn->held.req_id = req_id;
    conn->held.tx_id = tx_id;
    list_insert(&conn->server->turns.again, conn);
}

/* ---- the clock ---- */

static struct xids_xs_conn *overdue(const struct turns *u)
{
    const struct turn_list *const lists[] = {&u->refused, &u->refused_guests, &u->disturbing};
    for (unsigned int i = 0; i < 3; i++) {
        if (lists[i]->first != NULL && lists[i]->first->held.until <= u->now)
            return lists[i]->first;
    }
    return NULL;
}

/* Who knows by now whether there is room for it: nobody waits behind one who does not. */
static struct xids_xs_conn *counted(const struct xids_xs_server *s)
{
    struct xids_xs_conn *conn = s->turns.counting.first;
    return conn != NULL && !xids_store_uncounted(s->store, &conn->who) ? conn : NULL;
}

bool xids_xs_turn_busy(const struct xids_xs_server *s)
{
    return s->turns.again.first != NULL || overdue(&s->turns) != NULL || counted(s) != NULL;
}

void xids_xs_turn_idle(struct xids_xs_server *s)
{
    struct turns *u = &s->turns;
    struct xids_xs_conn *conn = u->again.first != NULL ? u->again.first : overdue(u);
    if (conn == NULL)
        conn = counted(s);
    if (conn != NULL)
        resume(conn);
}

void xids_xs_server_time(struct xids_xs_server *s, uint64_t ms)
{
    struct turns *u = &s->turns;
    u->timed = true;
    u->now = ms;
    if (u->holder != NULL && ms >= turn_end(u)) {
        take_turn(u);
        next_turn(u);
    }
}

uint64_t xids_xs_server_deadline(const struct xids_xs_server *s)
{
    const struct turns *u = &s->turns;
    const struct turn_list *const lists[] = {&u->refused, &u->refused_guests, &u->disturbing};
    uint64_t at = u->holder != NULL ? turn_end(u) : UINT64_MAX;
    for (unsigned int i = 0; i < 3; i++) {
        if (lists[i]->first != NULL && lists[i]->first->held.until < at)
            at = lists[i]->first->held.until;
    }
    return at;
}
