/* SPDX-License-Identifier: ISC */
#include "tests/interop/vchan_play.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define SOME 300u     /* bytes that go both ways at the end */
#define STEPPED 200u  /* bytes of the write or the read that is stepped through */
#define ALL_OF_IT 0u  /* as many bytes as there are until the end */
#define LONGEST 8000u /* bytes in one call */

static uint32_t in_unit(const struct vchan_case *c, const struct end *e)
{
    return case_unit(c, end_in_size(e));
}

static uint32_t out_unit(const struct vchan_case *c, const struct end *e)
{
    return case_unit(c, end_out_size(e));
}

/* That many bytes at least, in whole packets. */
static uint32_t whole(uint32_t n, uint32_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static enum implementation implementation(const struct vchan_case *c, bool server)
{
    return server ? c->server : c->client;
}

static unsigned int flags_of(const struct vchan_case *c)
{
    return c->when == UNFLUSHED || c->id % 3 == 0 ? XIDS_VCHAN_BATCH : 0;
}

/* An end, not open yet. again: with a server that is not the first one. */
static void begin(struct end *e, const struct part *p, bool again)
{
    char path[64];
    /* libxenvchan's client cannot tell the numbers of a dead server from those of the next. */
    bool apart = again && p->c->when != AT_CONNECT && (p->c->client == LIBXENVCHAN || p->c->when == AFTER_CLOSE);
    (void)snprintf(path, sizeof(path), "%s/%u%s", p->base, p->c->id, apart ? "b" : "");
    end_begin(e, implementation(p->c, p->server), p->server, p->remote, path);
}

static void open_end(struct end *e, const struct part *p)
{
    unsigned int flags = flags_of(p->c);
    end_open(e, p->c->left, p->c->right, flags);
    if (e->server)
        end_await_client(e);
    /* Of a client that dies while it connects a server may see anything. */
    if (p->c->when != AT_CONNECT)
        end_check_extension(e, implementation(p->c, !p->server));
}

/* Lengths of pieces that go through all kinds of places in the ring. */
static uint32_t piece(uint32_t *state, uint32_t most)
{
    *state = *state * 1103515245u + 12345u;
    return 1 + (*state >> 8) % (most < LONGEST ? most : LONGEST);
}

/* ---- one way ---- */

/* False: the peer has gone before. */
static bool write_some(struct end *e, const struct vchan_case *c, uint32_t n)
{
    uint32_t unit = out_unit(c, e), size = end_out_size(e), state = c->id;
    while (n > 0) {
        uint32_t len = c->packets ? unit : piece(&state, size);
        len = len < n ? len : n;
        int done = end_write(e, len, c->packets);
        if (done == END_GONE)
            return false;
        if (done == END_NOTHING)
            end_sleep(e, 0, c->packets ? len : 1);
        else
            n -= (uint32_t)done;
    }
    end_flush(e);
    return true;
}

/* n bytes, or until the end. Returns how many it were. */
static uint32_t read_some(struct end *e, const struct vchan_case *c, uint32_t n)
{
    uint32_t unit = in_unit(c, e), size = end_in_size(e), state = c->id, sum = 0;
    while (n == ALL_OF_IT || sum < n) {
        uint32_t len = c->packets ? unit : piece(&state, size);
        len = n == ALL_OF_IT || len < n - sum ? len : n - sum;
        int done = end_read(e, len, c->packets);
        if (done == END_GONE)
            break;
        if (done == END_NOTHING)
            end_sleep(e, c->packets ? len : 1, 0);
        else
            sum += (uint32_t)done;
    }
    return sum;
}

static void fill(struct end *e, const struct vchan_case *c)
{
    while (end_write(e, c->packets ? out_unit(c, e) : LONGEST, c->packets) > 0) {
    }
    end_flush(e);
}

/* The most that a ring takes. */
static uint32_t full(uint32_t size, uint32_t unit)
{
    return size / unit * unit;
}

static void until_peer_waits(struct end *e, bool for_bytes)
{
    while (!end_peer_waits(e, for_bytes))
        (void)usleep(100);
}

static void until_there(struct end *e, uint32_t n)
{
    while (end_in_published(e) - end_in(e) < n)
        (void)usleep(100);
}

/* ---- the victim ---- */

/* Between two of these its steps are counted. */
static void mark(const struct vchan_case *c)
{
    if (case_steps(c))
        (void)raise(SIGSTOP);
}

static void end_now(struct end *e, const struct vchan_case *c)
{
    report->doing = "come to its end";
    switch (c->how) {
    case CLOSE:
        end_finish(e);
        break;
    case KILL:
        (void)raise(SIGKILL);
        break;
    case STOP:
        (void)raise(SIGSTOP);
        break;
    case DESTROY:
        (void)printf("at %u\n", c->id);
        (void)fflush(stdout);
        for (;;)
            (void)pause();
    case NOT:
        break;
    }
}

static void victim_writes(struct end *e, const struct vchan_case *c)
{
    uint32_t unit = out_unit(c, e);
    if (c->when == IDLE || c->when == SILENT || c->when == UNFLUSHED || c->when == AT_WRITE)
        MUST(write_some(e, c, unit));
    if (c->when == IDLE || c->when == AT_WRITE)
        until_peer_waits(e, true);
    if (c->when == WROTE)
        MUST(write_some(e, c, whole(c->n, unit)));
    if (c->when == FULL || c->when == BOTH)
        fill(e, c);
    if (c->when == UNFLUSHED)
        MUST(end_write(e, c->n, false) == (int)c->n);
    if (c->when == AT_WRITE) {
        uint32_t n = whole(STEPPED, unit);
        mark(c);
        MUST(end_write(e, n, c->packets) == (int)n);
        mark(c);
    }
    if (c->when == AT_CLOSE) {
        MUST(write_some(e, c, whole(SOME, unit)));
        mark(c);
        end_close(e);
        mark(c);
    }
}

static void victim_reads(struct end *e, const struct vchan_case *c)
{
    uint32_t unit = in_unit(c, e), n = whole(STEPPED, unit);
    if (c->when == BOTH || c->when == BLOCKED) {
        until_there(e, full(end_in_size(e), unit));
        until_peer_waits(e, false);
    }
    if (c->when == HALF_CLOSED) {
        MUST(write_some(e, c, whole(SOME, out_unit(c, e))));
        end_shut(e);
        MUST(read_some(e, c, whole(SOME, unit)) == whole(SOME, unit));
    }
    if (c->when == TOOK)
        MUST(read_some(e, c, whole(c->n, unit)) == whole(c->n, unit));
    if (c->when == AT_READ) {
        until_there(e, n);
        mark(c);
        MUST(end_read(e, n, c->packets) == (int)n);
        mark(c);
    }
}

void play_victim(const struct part *p)
{
    const struct vchan_case *c = p->c;
    struct end e;
    begin(&e, p, false);
    if (c->when == AT_CONNECT) {
        if (!p->server)
            end_await_server(&e);
        mark(c);
        end_open(&e, c->left, c->right, flags_of(c));
        mark(c);
    }
    open_end(&e, p);
    report->doing = "come to the point";
    victim_writes(&e, c);
    victim_reads(&e, c);
    if (c->when == AFTER_CLOSE) {
        MUST(write_some(&e, c, out_unit(c, &e)));
        MUST(read_some(&e, c, ALL_OF_IT) == 0);
    }
    end_now(&e, c);
}

/* ---- the survivor ---- */

static void check_sum(const struct end *e, const struct vchan_case *c, uint32_t sum)
{
    uint32_t unit = in_unit(c, e), least = 0, most;
    bool closed = c->how == CLOSE;
    switch (c->when) {
    case IDLE:
    case SILENT:
    case AFTER_CLOSE:
        least = unit;
        break;
    case WROTE:
        least = whole(c->n, unit);
        break;
    case FULL:
    case BOTH:
        least = full(end_in_size(e), unit);
        break;
    case UNFLUSHED:
        least = closed ? 1 + c->n : 1;
        break;
    case AT_WRITE:
        least = unit;
        break;
    case AT_CLOSE:
    case HALF_CLOSED:
        least = whole(SOME, unit);
        break;
    case BLOCKED:
    case TOOK:
    case AT_CONNECT:
    case AT_READ:
    case WHENS:
        break;
    }
    /* A write is published whole or not at all. */
    most = c->when == AT_WRITE ? unit + whole(STEPPED, unit) : least;
    if (sum != least && sum != most)
        wrong("%u bytes came, not %u or %u", sum, least, most);
}

/* Everything up to the victim's end. */
static void see_the_end(struct end *e, const struct vchan_case *c)
{
    report->doing = "see the other's end";
    if (c->when == AFTER_CLOSE) {
        check_sum(e, c, read_some(e, c, in_unit(c, e)));
        end_close(e);
        return;
    }
    if (c->when == FULL || c->when == UNFLUSHED)
        end_sleep(e, 0, 0);
    if (c->when == SILENT) {
        check_sum(e, c, read_some(e, c, in_unit(c, e)));
        end_await_silence(e);
        end_check_gone(e, true);
        return;
    }
    if (c->when == HALF_CLOSED) {
        check_sum(e, c, read_some(e, c, ALL_OF_IT));
        MUST(xids_vchan_state(e->ours) == XIDS_VCHAN_OPEN && write_some(e, c, whole(SOME, out_unit(c, e))));
        end_sleep(e, 0, 0);
        end_check_gone(e, false);
        return;
    }
    if (c->when == BOTH || c->when == BLOCKED || c->when == TOOK || c->when == AT_READ)
        /* Never so many: until it has gone. */
        MUST(!write_some(e, c, UINT32_MAX / 2 / out_unit(c, e) * out_unit(c, e)));
    check_sum(e, c, read_some(e, c, ALL_OF_IT));
    end_check_gone(e, c->how == DESTROY);
}

/* ---- those who come after ---- */

static bool last_as_server(struct end *e, const struct vchan_case *c)
{
    report->doing = "serve a client to the end";
    uint32_t n = whole(SOME, in_unit(c, e));
    uint32_t got = read_some(e, c, n);
    if (got == 0)
        return false;
    MUST(got == n && write_some(e, c, whole(SOME, out_unit(c, e))) && read_some(e, c, ALL_OF_IT) == 0);
    end_check_gone(e, false);
    return true;
}

static bool last_as_client(struct end *e, const struct vchan_case *c)
{
    report->doing = "be a server's last client";
    /* What the server had written for a client before, and that one left. */
    for (uint32_t left = end_in_published(e) - end_in(e); left > 0;) {
        int n = end_read(e, left, false);
        MUST(n > 0);
        left -= (uint32_t)n;
    }
    uint32_t n = whole(SOME, in_unit(c, e));
    return write_some(e, c, whole(SOME, out_unit(c, e))) && read_some(e, c, n) == n;
}

unsigned int play_successors(const struct vchan_case *c)
{
    return c->how == DESTROY ? 0 : c->server_ends ? 1 : 2;
}

/* A server for so many clients, when it has seen so many ends already. */
static void serve(struct end *e, const struct vchan_case *c, unsigned int clients, unsigned int ends)
{
    /* A client that dies while it connects may be seen to come and go; so may one of libxenvchan that does not get on.
     */
    unsigned int nobody = 0, allowed = c->when == AT_CONNECT || c->client == LIBXENVCHAN ? 50 : 0;
    while (clients > 0) {
        if (last_as_server(e, c)) {
            end_tell(e, ++ends);
            clients--;
        } else if (++nobody > allowed) {
            wrong("a client came and went without a byte");
        }
        if (clients > 0) {
            end_again(e);
            end_await_client(e);
        }
    }
    end_untell(e);
}

void play_successor(const struct part *p)
{
    const struct vchan_case *c = p->c;
    struct end e;
    begin(&e, p, p->server || c->when == AFTER_CLOSE);
    /* An end that was only coming may never be seen, and another server has seen none. */
    if (!p->server)
        end_await_told(&e, p->turn - (c->when == AT_CONNECT || c->when == AFTER_CLOSE ? 1 : 0));
    open_end(&e, p);
    if (p->server)
        serve(&e, c, 1, 0);
    else
        MUST(last_as_client(&e, c));
    end_close(&e);
    if (p->server) {
        /* Its own and those of the one before: a domain may have few nodes. */
        char path[64];
        end_clear(&e, e.path);
        (void)snprintf(path, sizeof(path), "%s/%u", p->base, c->id);
        end_clear(&e, path);
    }
    end_finish(&e);
}

static void survive_as_server(const struct part *p)
{
    const struct vchan_case *c = p->c;
    unsigned int ends = 0;
    struct end e;
    begin(&e, p, false);
    open_end(&e, p);
    if (c->when != AT_CONNECT) {
        see_the_end(&e, c);
        if (c->when == AFTER_CLOSE) {
            end_finish(&e);
            begin(&e, p, true);
            open_end(&e, p);
        } else if (play_successors(c) > 0) {
            end_tell(&e, ++ends);
            end_again(&e);
            end_await_client(&e);
        }
    }
    serve(&e, c, play_successors(c), ends);
    end_finish(&e);
}

static void survive_as_client(const struct part *p)
{
    const struct vchan_case *c = p->c;
    struct end e;
    begin(&e, p, false);
    open_end(&e, p);
    if (c->when != AT_CONNECT) {
        see_the_end(&e, c);
        end_finish(&e);
        if (play_successors(c) == 0)
            return;
        begin(&e, p, true);
        open_end(&e, p);
    }
    while (!last_as_client(&e, c)) {
        MUST(c->when == AT_CONNECT);
        end_close(&e);
        open_end(&e, p);
    }
    end_finish(&e);
}

void play_seen(const struct part *p)
{
    struct end e;
    begin(&e, p, false);
    end_await_told(&e, 1);
    end_finish(&e);
}

void play_survivor(const struct part *p)
{
    if (p->server)
        survive_as_server(p);
    else
        survive_as_client(p);
}

/* ---- nobody ends early ---- */

void play_exchange(const struct part *p)
{
    const struct vchan_case *c = p->c;
    struct end e;
    begin(&e, p, false);
    open_end(&e, p);
    report->doing = "exchange";
    uint32_t in = in_unit(c, &e), out = out_unit(c, &e), state = c->id;
    uint32_t receive = whole(2 * end_in_size(&e) + 1234, in), send = whole(2 * end_out_size(&e) + 1234, out);
    while (receive > 0 || send > 0) {
        uint32_t most = c->packets ? out : piece(&state, end_out_size(&e));
        int sent = send > 0 ? end_write(&e, most < send ? most : send, c->packets) : END_NOTHING;
        most = c->packets ? in : piece(&state, end_in_size(&e));
        int got = receive > 0 ? end_read(&e, most < receive ? most : receive, c->packets) : END_NOTHING;
        MUST(sent != END_GONE && got != END_GONE);
        send -= sent > 0 ? (uint32_t)sent : 0;
        receive -= got > 0 ? (uint32_t)got : 0;
        if (sent == END_NOTHING && got == END_NOTHING && (send > 0 || receive > 0))
            end_sleep(&e, receive > 0 ? in : 0, send > 0 ? out : 0);
    }
    end_flush(&e);
    bool halves = c->server == XIDS && c->client == XIDS;
    if (halves)
        end_shut(&e);
    if (halves || p->server)
        MUST(read_some(&e, c, ALL_OF_IT) == 0);
    if (p->server) {
        if (halves)
            end_sleep(&e, 0, 0);
        end_check_gone(&e, false);
    }
    end_finish(&e);
}
