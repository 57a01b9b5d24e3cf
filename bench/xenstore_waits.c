/* SPDX-License-Identifier: ISC */
/* How long others wait for something large: a removal of many children, a live update. */
#include "config.h"

#include "bench/xenstore_suite.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- a large store ---- */

#define STORE 100000u
#define PER_DIRECTORY 1000u

static size_t make_other(uint8_t *out, unsigned int i)
{
    char payload[64];
    int n = snprintf(payload, sizeof(payload), "/bench/others/%u/%u%cvalue", i / PER_DIRECTORY, i % PER_DIRECTORY, 0);
    must(n > 0);
    return request(out, XS_WRITE, 0, payload, (size_t)n);
}

void others_make(const struct suite *s, const struct peer *p)
{
    static struct answers a;
    dial(&a, p);
    pipeline(&a, few(s, STORE, 2000), make_other);
    hang_up(&a);
}

void others_remove(const struct peer *p)
{
    static struct answers a;
    dial(&a, p);
    must(ask_path(&a, XS_RM, "/bench/others") == XS_RM);
    hang_up(&a);
}

/* ---- waiting ---- */

/* Whatever a daemon puts off is over by then. */
#define AFTER_NS 50000000u

/*
 * Asks for something, and meanwhile, and for a while after, has another client read in turns: its longest wait in
 * milliseconds. The answer to the request is in *msg.
 */
static double longest_wait(struct answers *asking, struct xids_xswire_msg *msg, uint32_t type, const char *payload,
                           size_t len, const struct peer *p)
{
    static struct answers reader;
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    uint64_t worst = 0, answered = 0, now;
    dial(&reader, p);
    must(ask(&reader, XS_WRITE, 0, bench_path, strlen(bench_path) + 1, NULL) == XS_WRITE);
    (void)peer_cpu_settled(p);
    send_all(asking->fd, out, request(out, type, 0, payload, len));
    do {
        struct pollfd ready = {.fd = asking->fd, .events = POLLIN};
        uint64_t asked = bench_now();
        must(ask_path(&reader, XS_READ, bench_path) == XS_READ);
        now = bench_now();
        if (now - asked > worst)
            worst = now - asked;
        if (answered == 0 && poll(&ready, 1, 0) > 0)
            answered = now;
    } while (answered == 0 || now - answered < AFTER_NS);
    must(take(asking, msg) == 1);
    hang_up(&reader);
    return (double)worst / 1e6;
}

/* ---- a removal ---- */

#define CHILDREN 20000u

static size_t make_child(uint8_t *out, unsigned int i)
{
    char payload[64];
    int n = snprintf(payload, sizeof(payload), "/bench/stall/%u", i);
    must(n > 0);
    return request(out, XS_MKDIR, 0, payload, (size_t)n + 1);
}

static double run_stall(void *ctx)
{
    static struct answers remover;
    static const char path[] = "/bench/stall";
    const struct load *l = ctx;
    struct xids_xswire_msg msg;
    dial(&remover, l->peer);
    pipeline(&remover, l->count, make_child);
    double worst = longest_wait(&remover, &msg, XS_RM, path, sizeof(path), l->peer);
    must(msg.type == XS_RM);
    hang_up(&remover);
    return worst;
}

void case_stall(struct suite *s)
{
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    size_t n = all_sides(s, loads, sides, run_stall, CHILDREN, 200);
    (void)bench_compare(s->b, "rm-20k-stall", "ms", BENCH_LOWER, ROUNDS, sides, n);
}

/* ---- a live update ---- */

static bool said(const struct xids_xswire_msg *msg, const char *word)
{
    return msg->type == XS_CONTROL && msg->len == strlen(word) + 1 && memcmp(msg->payload, word, msg->len) == 0;
}

/* The daemon's own program takes its place. */
static double run_live_update(void *ctx)
{
    static struct answers control;
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    static const char start[] = "live-update\0-s";
    const struct load *l = ctx;
    char link[40], file[512], payload[600];
    struct xids_xswire_msg msg;
    (void)snprintf(link, sizeof(link), "/proc/%ld/exe", (long)l->peer->pid);
    ssize_t len = readlink(link, file, sizeof(file) - 1);
    must(len > 0);
    int n = snprintf(payload, sizeof(payload), "live-update%c-f%c%.*s", 0, 0, (int)len, file);
    dial(&control, l->peer);
    send_all(control.fd, out, request(out, XS_CONTROL, 0, payload, (size_t)n + 1));
    while (take(&control, &msg) == 0) {
    }
    must(said(&msg, "OK"));
    double worst = longest_wait(&control, &msg, XS_CONTROL, start, sizeof(start), l->peer);
    must(said(&msg, "OK"));
    hang_up(&control);
    return worst;
}

void case_live_update(struct suite *s)
{
    static const char name[] = "live-update-100k";
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    size_t n = 0;
    if (!bench_wanted(s->b, name))
        return;
    others_make(s, &s->ours);
    add_side(s, loads, sides, &n, &s->ours, "ours", run_live_update, 1);
    (void)bench_compare(s->b, name, "ms", BENCH_LOWER, ROUNDS, sides, n);
    others_remove(&s->ours);
}
