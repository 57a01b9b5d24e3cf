/* SPDX-License-Identifier: ISC */
#include "config.h"

#include "bench/xenstore_script.h"

#include "bench/bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- scripts ---- */

static struct step *add(struct script *s, uint32_t type)
{
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 64 : s->cap * 2;
        s->steps = realloc(s->steps, s->cap * sizeof(*s->steps));
        must(s->steps != NULL);
    }
    struct step *step = &s->steps[s->count++];
    *step = (struct step){.type = type};
    return step;
}

void script_add(struct script *s, uint32_t type, const char *more, size_t more_len, const char *fmt, ...)
{
    char path[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(path, sizeof(path), fmt, args);
    va_end(args);
    must(n >= 0 && (size_t)n < sizeof(path));
    struct step *step = add(s, type);
    size_t len = (size_t)n + 1;
    step->len = len + (more != NULL ? more_len : 0);
    step->payload = malloc(step->len);
    must(step->payload != NULL);
    memcpy(step->payload, path, len);
    if (more != NULL)
        memcpy(step->payload + len, more, more_len);
}

void script_begin(struct script *s)
{
    script_add(s, XS_TRANSACTION_START, NULL, 0, "%s", "");
}

void script_end(struct script *s)
{
    script_add(s, XS_TRANSACTION_END, NULL, 0, "T");
}

void script_may_fail(struct script *s)
{
    s->steps[s->count - 1].may_fail = true;
}

void script_free(struct script *s)
{
    for (unsigned int i = 0; i < s->count; i++)
        free(s->steps[i].payload);
    free(s->steps);
    *s = (struct script){0};
}

/* ---- running ---- */

struct job {
    const struct script *script;
    unsigned int at;    /* the step under way */
    unsigned int began; /* where its transaction begins */
    uint32_t tx;
    uint64_t since; /* the transaction's first try; 0: in none */
    bool done;
    struct answers a;
};

static void send_step(struct job *j)
{
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    const struct step *step = &j->script->steps[j->at];
    bool start = step->type == XS_TRANSACTION_START;
    if (start && j->since == 0)
        j->since = bench_now();
    send_all(j->a.fd, out, request(out, step->type, start ? 0 : j->tx, step->payload, step->len));
}

static void worse(struct outcome *o, const struct job *j, uint64_t now)
{
    double ms = j->since != 0 ? (double)(now - j->since) / 1e6 : 0;
    if (ms > o->worst_ms)
        o->worst_ms = ms;
}

static void ended(struct job *j, struct outcome *o, const struct xids_xswire_msg *msg)
{
    j->tx = 0;
    if (msg->type == XS_ERROR) {
        must(strncmp(msg->payload, "EAGAIN", msg->len) == 0);
        o->refused++;
        j->at = j->began;
        return;
    }
    o->commits++;
    worse(o, j, bench_now());
    j->since = 0;
    j->at++;
}

/* The answer to the step under way; sends the next. False: that was the last. */
static bool advance(struct job *j, struct outcome *o, const struct xids_xswire_msg *msg, bool repeat)
{
    const struct step *step = &j->script->steps[j->at];
    if (step->type == XS_TRANSACTION_END) {
        ended(j, o, msg);
    } else {
        if (msg->type == XS_ERROR && !step->may_fail) {
            (void)fprintf(stderr, "%s: %.*s\n", step->payload, (int)msg->len, msg->payload);
            must(msg->type != XS_ERROR);
        }
        if (step->type == XS_TRANSACTION_START) {
            must(xids_xswire_decimal(&j->tx, msg->payload, msg->len - 1, UINT32_MAX) == 0);
            j->began = j->at;
        }
        j->at++;
    }
    if (j->at == j->script->count) {
        if (!repeat)
            return false;
        j->at = 0;
    }
    send_step(j);
    return true;
}

void scripts_run(const struct peer *p, const struct script *scripts, unsigned int count, bool repeat, double seconds,
                 struct outcome *outcome)
{
    struct job *jobs = calloc(count, sizeof(*jobs));
    struct epoll_event events[64];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    unsigned int left = count;
    must(jobs != NULL && epoll >= 0);
    *outcome = (struct outcome){0};
    for (unsigned int i = 0; i < count; i++) {
        jobs[i].script = &scripts[i];
        dial(&jobs[i].a, p);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &jobs[i]};
        must(epoll_ctl(epoll, EPOLL_CTL_ADD, jobs[i].a.fd, &e) == 0);
    }
    uint64_t start = bench_now(), now = start, end = start + (uint64_t)(seconds * 1e9);
    for (unsigned int i = 0; i < count; i++)
        send_step(&jobs[i]);
    while (left > 0 && now < end) {
        int n = epoll_wait(epoll, events, 64, 100);
        for (int i = 0; i < n; i++) {
            struct job *j = events[i].data.ptr;
            struct xids_xswire_msg msg;
            if (take(&j->a, &msg) > 0 && !advance(j, outcome, &msg, repeat)) {
                j->done = true;
                left--;
            }
        }
        now = bench_now();
    }
    outcome->whole = left == 0;
    outcome->seconds = (double)(now - start) / 1e9;
    for (unsigned int i = 0; i < count; i++) {
        if (!jobs[i].done)
            worse(outcome, &jobs[i], now);
        hang_up(&jobs[i].a);
    }
    (void)close(epoll);
    free(jobs);
}
