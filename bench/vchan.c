/* SPDX-License-Identifier: ISC */
/*
 * The vchan suite: xids against the real libxenvchan, between two domains of the simulator, over the same drop-in
 * libraries of Xen, with the same processes, CPUs, rings and messages; pipes, unix sockets and memcpy show where the
 * floor is, and a bare ring what the machine itself gives to two CPUs.
 *
 * usage: bench-vchan XIDS-SIM SERVER CLIENT      (domains; bench/vchan.sh makes them)
 *
 * Before a contender is measured in a case, a short run proves that all bytes arrive as they were sent; each measured
 * run proves that as many arrive.
 */
#include "config.h"

#include "bench/bench.h"
#include "bench/vchan_bare.h"
#include "bench/vchan_end.h"
#include "bench/vchan_idle.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 5u
#define SELF_MAX 4096u

/* Where the ends live. */
static struct {
    const char *sim;
    char self[SELF_MAX];
    const char *domain[2]; /* the client's, the server's: by duty.server */
    int cpu[2];
} stage;

struct process {
    pid_t pid;
    int control, result;
};

/* ---- processes ---- */

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

/* Moves a descriptor out of the way of those that ends are started with. */
static int lift(int fd)
{
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FD_OUT + 1);
    close_fd(fd);
    return high;
}

static bool make_pipe(int fds[2])
{
    if (pipe(fds) != 0)
        return false;
    fds[0] = lift(fds[0]);
    fds[1] = lift(fds[1]);
    return fds[0] >= 0 && fds[1] >= 0;
}

/* In the child. */
_Noreturn static void become_end(const char *domain, const int fds[4])
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0 && dup2(fds[i], FD_CONTROL + i) < 0)
            _exit(126);
    (void)execl(stage.sim, stage.sim, "exec", "--domain", domain, "--", stage.self, "end", (char *)NULL);
    _exit(127);
}

static bool start(struct process *p, const struct duty *duty, int in, int out)
{
    int control[2] = {-1, -1}, result[2] = {-1, -1};
    *p = (struct process){.pid = -1, .control = -1, .result = -1};
    bool good = make_pipe(control) && make_pipe(result);
    if (good) {
        const int fds[4] = {control[0], result[1], in, out};
        p->pid = fork();
        if (p->pid == 0)
            become_end(stage.domain[duty->server], fds);
        good = p->pid > 0 && write(control[1], duty, sizeof(*duty)) == (ssize_t)sizeof(*duty);
    }
    close_fd(control[0]);
    close_fd(result[1]);
    p->control = control[1];
    p->result = result[0];
    return good;
}

static bool outcome_of(struct outcome *outcome, const struct process *p)
{
    return read(p->result, outcome, sizeof(*outcome)) == (ssize_t)sizeof(*outcome);
}

/* Whether it ended well; one whose other end failed might never end. */
static bool finish(struct process *p, bool good)
{
    int status = 0;
    if (p->pid > 0 && !good)
        (void)kill(p->pid, SIGKILL);
    close_fd(p->control);
    close_fd(p->result);
    return p->pid > 0 && waitpid(p->pid, &status, 0) == p->pid && status == 0;
}

/* ---- one measurement ---- */

/* fds: what the server reads, what the client writes, and the other way. */
static bool make_floor(int fds[4], enum kind kind, const struct load *l)
{
    if (kind == PIPE)
        return make_pipe(fds) && make_pipe(fds + 2);
    if (kind == BARE) {
        for (int i = 0; i < 4; i += 2)
            fds[i] = i == 0 ? lift(bare_make(l->ring_order)) : lift(dup(fds[0]));
        return fds[0] >= 0 && fds[2] >= 0;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return false;
    fds[0] = lift(fds[0]);
    fds[1] = lift(fds[1]);
    fds[2] = dup(fds[1]);
    fds[3] = dup(fds[0]);
    fds[2] = lift(fds[2]);
    fds[3] = lift(fds[3]);
    return fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0 && fds[3] >= 0;
}

/* Whether all that was sent arrived, as it was. */
static bool complete(const struct load *l, const struct outcome *server, const struct outcome *client)
{
    uint64_t bytes = (warm_up(l) + l->messages) * l->message;
    return client->out == bytes && server->in == bytes && client->in == server->out &&
           server->out == (l->pingpong ? bytes : 0) && server->sum_in == client->sum_out &&
           client->sum_in == server->sum_out && (!l->verify || server->sum_in != 0);
}

/* The figure in the unit of the load: messages or bytes a second, microseconds, calls a message. */
static double figure(const struct load *l, double seconds, uint64_t calls)
{
    if (l->calls)
        return (double)calls / (double)(warm_up(l) + l->messages);
    if (l->pingpong)
        return seconds * 1e6 / (double)l->messages;
    if (l->packets)
        return (double)l->messages / seconds / 1e6;
    return (double)l->messages * l->message / seconds / 1e9;
}

static double measure(const struct load *l, enum kind kind)
{
    static uint32_t serial;
    int fds[4] = {-1, -1, -1, -1};
    struct process p[2] = {{.pid = -1}, {.pid = -1}};
    struct outcome outcome[2];
    memset(outcome, 0, sizeof(outcome));
    bool good = kind == OURS || kind == LIBXENVCHAN || make_floor(fds, kind, l);
    serial++;
    for (int i = 1; i >= 0; i--) {
        struct duty duty;
        memset(&duty, 0, sizeof(duty));
        duty.load = *l;
        duty.kind = kind;
        duty.server = i == 1;
        duty.remote = (uint32_t)strtoul(stage.domain[1 - i], NULL, 10);
        duty.serial = serial;
        duty.cpu = stage.cpu[l->one_cpu ? 0 : i];
        good = start(&p[i], &duty, i == 1 ? fds[0] : fds[2], i == 1 ? fds[3] : fds[1]) && good;
    }
    for (int i = 0; i < 4; i++)
        close_fd(fds[i]);
    for (int i = 1; i >= 0; i--)
        good = good && outcome_of(&outcome[i], &p[i]);
    if (good && !complete(l, &outcome[1], &outcome[0])) {
        (void)fprintf(stderr, "bench vchan: what arrived is not what was sent\n");
        good = false;
    }
    /* Each waits for the end of its control pipe, so both are told before either is awaited. */
    close_fd(p[1].control);
    p[1].control = -1;
    for (int i = 0; i < 2; i++)
        good = finish(&p[i], good) && good;
    return good ? figure(l, outcome[1].seconds, outcome[0].calls + outcome[1].calls) : -1;
}

/* ---- cases ---- */

struct contender {
    struct load load;
    enum kind kind;
    uint32_t short_run; /* messages */
    bool proven;
};

static double run(void *ctx)
{
    struct contender *c = ctx;
    if (!c->proven) {
        struct load proof = c->load;
        proof.verify = true;
        proof.messages = c->short_run;
        if (!(measure(&proof, c->kind) >= 0))
            return -1;
        c->proven = true;
    }
    return measure(&c->load, c->kind);
}

/* In and out of a buffer of the ring's size, in one process: no channel that copies can do better. */
static double run_memcpy(void *ctx)
{
    const struct load *l = &((const struct contender *)ctx)->load;
    static uint8_t from[65536], to[65536];
    uint32_t size = 1u << l->ring_order;
    uint8_t *ring = malloc(size);
    if (ring == NULL)
        return -1;
    memset(ring, 1, size);
    uint64_t start = bench_now();
    for (uint64_t i = 0; i < l->messages; i++) {
        uint8_t *at = ring + (i * l->message & (size - 1));
        memcpy(at, from, l->message);
        __asm__ __volatile__("" : : "r"(at) : "memory");
        memcpy(to, at, l->message);
        __asm__ __volatile__("" : : "r"(to) : "memory");
    }
    double seconds = (double)(bench_now() - start) / 1e9;
    free(ring);
    return figure(l, seconds, 0);
}

/* Which further peers a case has. */
enum floors { SLEEPING = 1, MEMCPY = 2, BARE_RING = 4, UNSPUN = 8 };

static void compare(struct bench *bench, const char *name, const char *unit, enum bench_better better, struct load l,
                    unsigned int floors)
{
    static const struct {
        const char *name;
        enum kind kind;
        unsigned int floor; /* 0: always */
    } kinds[] = {
        {"self", OURS, 0},
        {"libxenvchan", LIBXENVCHAN, 0},
        {"pipe", PIPE, SLEEPING},
        {"unix-socket", UNIX_SOCKET, SLEEPING},
        {"bare-ring", BARE, BARE_RING},
        {"self", OURS, UNSPUN}, /* who never spins */
    };
    struct contender contenders[sizeof(kinds) / sizeof(kinds[0])];
    struct bench_side sides[sizeof(kinds) / sizeof(kinds[0]) + 1];
    size_t n = 0;
    uint32_t short_run = (uint32_t)(l.messages / 50 + 1);
    if (bench_quick(bench))
        l.messages = short_run;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].floor != 0 && (floors & kinds[i].floor) == 0)
            continue;
        contenders[n] = (struct contender){.load = l, .kind = kinds[i].kind, .short_run = short_run};
        contenders[n].load.asleep |= kinds[i].floor == UNSPUN;
        sides[n] = (struct bench_side){kinds[i].name, run, &contenders[n]};
        n++;
    }
    if ((floors & MEMCPY) != 0)
        sides[n++] = (struct bench_side){"memcpy", run_memcpy, &contenders[0]};
    (void)bench_compare(bench, name, unit, better, ROUNDS, sides, n);
}

/* Two CPUs that we may use, or one for both ends. */
static void choose_cpus(void)
{
    cpu_set_t set;
    int found = 0;
    CPU_ZERO(&set);
    (void)sched_getaffinity(0, sizeof(set), &set);
    for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET((unsigned int)cpu, &set))
            stage.cpu[found++] = cpu;
    if (found == 1)
        stage.cpu[1] = stage.cpu[0];
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "end") == 0)
        return end_main();
    if (argc > 1 && strcmp(argv[1], "idle") == 0)
        return idle_main(argc, argv);
    ssize_t len = readlink("/proc/self/exe", stage.self, sizeof(stage.self) - 1);
    if (argc != 4 || len <= 0) {
        (void)fprintf(stderr, "bench vchan: bench/vchan.sh runs this\n");
        return EXIT_FAILURE;
    }
    stage.sim = argv[1];
    stage.domain[1] = argv[2];
    stage.domain[0] = argv[3];
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)signal(SIGPIPE, SIG_IGN);
    /* A shell's background job begins without it. */
    (void)signal(SIGINT, SIG_DFL);
    choose_cpus();
    struct bench *bench = bench_open("vchan");
    if (bench == NULL)
        return EXIT_FAILURE;
    const unsigned int all = SLEEPING | MEMCPY | BARE_RING;
    const struct load msg16 = {.ring_order = 16, .message = 16, .messages = 200000, .packets = true};
    compare(bench, "msg16", "Mmsg/s", BENCH_HIGHER, msg16, all);
    const struct {
        const char *name;
        struct load load;
        unsigned int floors;
    } streams[] = {
        {"ring4k-msg4k", {.ring_order = 12, .message = 4096, .messages = 10000}, BARE_RING},
        {"ring64k-msg4k", {.ring_order = 16, .message = 4096, .messages = 50000}, all},
        {"ring64k-msg64k", {.ring_order = 16, .message = 65536, .messages = 5000}, BARE_RING},
        {"ring1m-msg4k", {.ring_order = 20, .message = 4096, .messages = 100000}, all},
        {"ring1m-msg64k", {.ring_order = 20, .message = 65536, .messages = 10000}, BARE_RING},
    };
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
        compare(bench, streams[i].name, "GB/s", BENCH_HIGHER, streams[i].load, streams[i].floors);
    /* libxenvchan always sleeps; we where it is said, and else spin first. */
    struct load rtt = {.ring_order = 16, .message = 64, .messages = 5000, .pingpong = true, .asleep = true};
    compare(bench, "rtt-sleep", "us", BENCH_LOWER, rtt, SLEEPING);
    rtt.asleep = false;
    compare(bench, "rtt-spin", "us", BENCH_LOWER, rtt, SLEEPING | BARE_RING);
    /* Where no spin can succeed; the peer "self" is forbidden to. */
    rtt.one_cpu = true;
    compare(bench, "rtt-one-cpu", "us", BENCH_LOWER, rtt, UNSPUN);
    compare(bench, "one-cpu-msg4k", "GB/s", BENCH_HIGHER,
            (struct load){.ring_order = 16, .message = 4096, .messages = 50000, .one_cpu = true}, UNSPUN);
    compare(bench, "syscalls-per-msg", "calls", BENCH_LOWER,
            (struct load){.ring_order = 16, .message = 4096, .messages = 50000, .calls = true}, 0);
    /* In domain 0, which may have as many nodes in the store as it likes. */
    const struct idle_stage idle = {stage.sim, stage.self, {stage.domain[0], "0"}, {stage.cpu[0], stage.cpu[1]}};
    bool good = idle_cases(bench, &idle);
    int status = bench_close(bench);
    return good ? status : EXIT_FAILURE;
}
