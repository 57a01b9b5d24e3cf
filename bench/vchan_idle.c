/* SPDX-License-Identifier: ISC */
/* The suite's side of many idle channels: starts the two processes, asks them, makes rows. */
#include "config.h"

#include "bench/vchan_idle.h"

#include "bench/vchan_idle_end.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANNELS 2000u
#define ROUNDS 5000u

struct process {
    pid_t pid;
    int in, out; /* we write, we read */
};

/* What one run told of a kind. */
struct figures {
    struct idle_cost holder, caller;
    double wake;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static bool start(struct process *p, const struct idle_stage *stage, bool holder, enum idle_kind kind, uint32_t count)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    char texts[3][16];
    *p = (struct process){-1, -1, -1};
    if (pipe(to) == 0 && pipe(from) == 0)
        p->pid = fork();
    if (p->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (dup2(to[0], 0) < 0 || dup2(from[1], 1) < 0)
            _exit(126);
        for (int i = 0; i < 2; i++) {
            close_fd(&to[i]);
            close_fd(&from[i]);
        }
        (void)snprintf(texts[0], sizeof(texts[0]), "%d", (int)kind);
        (void)snprintf(texts[1], sizeof(texts[1]), "%u", count);
        (void)snprintf(texts[2], sizeof(texts[2]), "%d", stage->cpu[holder]);
        (void)execl(stage->sim, stage->sim, "exec", "--domain", stage->domain[holder], "--", stage->self, "idle",
                    holder ? "holder" : "caller", stage->domain[holder], stage->domain[!holder], texts[0], texts[1],
                    texts[2], (char *)NULL);
        _exit(127);
    }
    close_fd(&to[0]);
    close_fd(&from[1]);
    p->in = to[1];
    p->out = from[0];
    return p->pid > 0;
}

static bool hear(const struct process *p, void *answer, size_t size)
{
    return read(p->out, answer, size) == (ssize_t)size;
}

/* Whether it ended well, as it does when its input ends; what it tells meanwhile is of no use. */
static bool finish(struct process *p, bool good)
{
    int status = 0;
    if (p->pid > 0 && !good)
        (void)kill(p->pid, SIGKILL);
    close_fd(&p->in);
    bool ended = p->pid > 0 && waitpid(p->pid, &status, 0) == p->pid && status == 0;
    close_fd(&p->out);
    return ended;
}

static bool ask(const struct process *p, uint32_t question)
{
    return write(p->in, &question, sizeof(question)) == (ssize_t)sizeof(question);
}

static bool measure(struct figures *f, const struct idle_stage *stage, enum idle_kind kind, uint32_t count,
                    uint32_t rounds)
{
    struct process holder, caller = {-1, -1, -1};
    uint32_t listening = 0, done = 0;
    bool good = start(&holder, stage, true, kind, count) && hear(&holder, &listening, sizeof(listening)) &&
                start(&caller, stage, false, kind, count) && hear(&caller, &f->caller, sizeof(f->caller)) &&
                ask(&holder, rounds) && hear(&holder, &f->holder, sizeof(f->holder)) && ask(&caller, rounds) &&
                hear(&holder, &f->wake, sizeof(f->wake)) && hear(&caller, &done, sizeof(done)) && done == rounds;
    if (!good)
        (void)fprintf(stderr, "bench vchan: idle channels of kind %d: failed\n", (int)kind);
    bool ended = finish(&caller, good);
    return finish(&holder, good) && ended && good;
}

static void print(const char *name, const struct idle_cost *c, uint32_t count)
{
    (void)printf("%u idle channels by %s: %.0f bytes each beyond the rings (of these %.0f in the channels themselves), "
                 "%u descriptors\n",
                 count, name, c->bytes / count, c->own / count, c->fds);
}

bool idle_cases(struct bench *bench, const struct idle_stage *stage)
{
    static const char *const names[IDLE_KINDS] = {"xids", "libxenvchan", "libxenvchan"};
    struct figures f[IDLE_KINDS];
    bool wake = bench_wanted(bench, "idle-2000-wake");
    if (!wake && !bench_wanted(bench, "idle-2000-bytes") && !bench_wanted(bench, "idle-2000-fds"))
        return true;
    uint32_t count = bench_quick(bench) ? CHANNELS / 20 : CHANNELS, rounds = bench_quick(bench) ? 100 : ROUNDS;
    for (unsigned int kind = 0; kind < IDLE_KINDS; kind++) {
        if (!measure(&f[kind], stage, (enum idle_kind)kind, count, rounds))
            return false;
        if (kind == IDLE_POLL)
            continue; /* as with epoll */
        print(kind == IDLE_XIDS ? "xids, servers" : "libxenvchan, servers", &f[kind].holder, count);
        print(kind == IDLE_XIDS ? "xids, clients" : "libxenvchan, clients", &f[kind].caller, count);
    }
    const struct figures *ours = &f[IDLE_XIDS], *peers = &f[IDLE_EPOLL];
    bench_row(bench, "idle-2000-bytes", "bytes", BENCH_LOWER, ours->holder.bytes / count, peers->holder.bytes / count,
              names[IDLE_EPOLL]);
    bench_row(bench, "idle-2000-fds", "fds", BENCH_LOWER, ours->holder.fds, peers->holder.fds, names[IDLE_EPOLL]);
    bench_row(bench, "idle-2000-wake", "us", BENCH_LOWER, ours->wake, peers->wake, "libxenvchan");
    bench_row(bench, "idle-2000-wake", "us", BENCH_LOWER, ours->wake, f[IDLE_POLL].wake, "libxenvchan with poll");
    return true;
}
