/* SPDX-License-Identifier: ISC */
/* Single requests: one client in turns, one client with many unanswered, many clients in turns. */
#include "config.h"

#include "bench/xenstore_echo.h"
#include "bench/xenstore_suite.h"

#include <poll.h>
#include <string.h>

#define CLIENTS 64u
/* Short rounds, many of them: then what else the machine does hits all sides alike. */
#define SHORT_ROUNDS 25u

const char bench_path[] = "/bench/value";
static const char write_payload[] = "/bench/value\0" BENCH_VALUE;

static size_t load_request(const struct load *l, uint8_t *out)
{
    return l->write ? request(out, XS_WRITE, 0, write_payload, sizeof(write_payload) - 1)
                    : request(out, XS_READ, 0, bench_path, strlen(bench_path) + 1);
}

static double rate(unsigned int count, uint64_t start)
{
    return (double)count * 1e9 / (double)(bench_now() - start);
}

static double run_sync(void *ctx)
{
    const struct load *l = ctx;
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    static struct answers a;
    struct xids_xswire_msg msg;
    dial(&a, l->peer);
    size_t len = load_request(l, out);
    client_joins();
    uint64_t start = bench_now();
    for (unsigned int i = 0; i < l->count; i++) {
        send_all(a.fd, out, len);
        while (take(&a, &msg) == 0) {
        }
    }
    double r = rate(l->count, start);
    client_leaves();
    hang_up(&a);
    return r;
}

static double run_pipelined(void *ctx)
{
    const struct load *l = ctx;
    static uint8_t out[WINDOW * 64];
    static struct answers a;
    struct xids_xswire_msg msg;
    size_t len = load_request(l, out);
    for (unsigned int i = 1; i < WINDOW; i++)
        memcpy(out + i * len, out, len);
    dial(&a, l->peer);
    unsigned int sent = WINDOW, done = 0;
    uint64_t start = bench_now();
    send_all(a.fd, out, WINDOW * len);
    while (done < l->count) {
        unsigned int n = take(&a, &msg);
        done += n;
        if (n > 0 && sent < l->count) {
            send_all(a.fd, out, n * len);
            sent += n;
        }
    }
    double r = rate(done, start);
    hang_up(&a);
    return r;
}

static double run_clients(void *ctx)
{
    const struct load *l = ctx;
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    static struct answers a[CLIENTS];
    struct pollfd fds[CLIENTS];
    size_t len = load_request(l, out);
    for (unsigned int i = 0; i < CLIENTS; i++) {
        dial(&a[i], l->peer);
        fds[i] = (struct pollfd){.fd = a[i].fd, .events = POLLIN};
    }
    unsigned int done = 0;
    uint64_t start = bench_now();
    for (unsigned int i = 0; i < CLIENTS; i++)
        send_all(a[i].fd, out, len);
    while (done < l->count) {
        must(poll(fds, CLIENTS, -1) > 0);
        for (unsigned int i = 0; i < CLIENTS; i++) {
            struct xids_xswire_msg msg;
            if (fds[i].revents != 0 && take(&a[i], &msg) > 0) {
                done++;
                send_all(a[i].fd, out, len);
            }
        }
    }
    double r = rate(done, start);
    for (unsigned int i = 0; i < CLIENTS; i++)
        hang_up(&a[i]);
    return r;
}

static void compare(struct suite *s, const char *name, double (*run)(void *ctx), bool write, unsigned int count,
                    unsigned int rounds, const struct peer *echo)
{
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    size_t n = all_sides(s, loads, sides, run, count, 1000);
    if (echo != NULL)
        add_side(s, loads, sides, &n, echo, echo->name, run, loads[0].count);
    for (size_t i = 0; i < n; i++)
        loads[i].write = write;
    (void)bench_compare(s->b, name, "requests/s", BENCH_HIGHER, rounds, sides, n);
}

static void prepare(const struct peer *p)
{
    static struct answers a;
    if (p->name == NULL)
        return;
    dial(&a, p);
    must(ask(&a, XS_WRITE, 0, write_payload, sizeof(write_payload) - 1, NULL) == XS_WRITE);
    hang_up(&a);
}

/* What a journal costs: writes with one, against writes without. */
static void compare_journal(struct suite *s)
{
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    size_t n = 0;
    if (s->ours_journal.name == NULL)
        return;
    prepare(&s->ours_journal);
    add_side(s, loads, sides, &n, &s->ours_journal, "ours", run_pipelined, few(s, 100000, 1000));
    add_side(s, loads, sides, &n, &s->ours, "self", run_pipelined, loads[0].count);
    loads[0].write = loads[1].write = true;
    (void)bench_compare(s->b, "journal-write", "requests/s", BENCH_HIGHER, ROUNDS, sides, n);
}

/* What a server costs that does nothing but answer: nobody is faster than that. */
static void compare_with_echo(struct suite *s)
{
    static const char *const names[] = {"read-sync", "write-sync", "read-64-clients"};
    static struct peer echo;
    bool any = false;
    for (size_t i = 0; i < 3; i++)
        any = any || bench_wanted(s->b, names[i]);
    if (!any)
        return;
    echo_start(&echo, s->ours.dir, BENCH_VALUE);
    peer_settle(&echo);
    compare(s, names[0], run_sync, false, 4000, SHORT_ROUNDS, &echo);
    compare(s, names[1], run_sync, true, 4000, SHORT_ROUNDS, &echo);
    compare(s, names[2], run_clients, false, 10000, SHORT_ROUNDS, &echo);
    echo_stop(&echo);
}

void case_requests(struct suite *s)
{
    prepare(&s->ours);
    prepare(&s->c);
    prepare(&s->oxenstored);
    compare_with_echo(s);
    compare(s, "read-pipelined", run_pipelined, false, 100000, ROUNDS, NULL);
    compare(s, "write-pipelined", run_pipelined, true, 100000, ROUNDS, NULL);
    compare_journal(s);
}
