/* SPDX-License-Identifier: ISC */
/*
 * The libxenvchan suite: one program of libxenvchan, with Xen's library at both ends of a channel and with our
 * libxenvchan.so.4.17, between two domains of the simulator.
 *
 * usage: bench-libxenvchan XIDS-SIM SERVER CLIENT OURS      (domains, and the folder of our library;
 *                                                            bench/libxenvchan.sh makes them)
 *
 * An end is this program again: it is linked with Xen's library, and LD_LIBRARY_PATH alone decides which it gets.
 */
#include "config.h"

#include "bench/bench.h"

#include <fcntl.h>
#include <libxenvchan.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 5u
#define PATH_LENGTH 4096u
#define MESSAGE_MAX 65536u
#define CONNECT_TRIES 500

enum way {
    STREAM,      /* libxenvchan_write, and libxenvchan_read of as much as there is */
    PACKETS,     /* libxenvchan_send and _recv */
    POLLED,      /* as STREAM, but the reader polls the descriptor, as programs with several do */
    PING_BLOCKS, /* packets, each sent back, with calls that block */
    PING_WAITS,  /* the same with calls that do not, and libxenvchan_wait */
};

/* What an end is told on its command line. */
struct load {
    enum way way;
    uint32_t ring, message; /* bytes */
    uint32_t messages;
};

static struct {
    const char *sim, *domain[2]; /* the client's, the server's */
    const char *ours;
    char self[PATH_LENGTH];
    int cpu[2];
} stage;

/* ---- an end ---- */

static void must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "bench libxenvchan: %s\n", what);
    exit(EXIT_FAILURE);
}

static uint8_t buffer[MESSAGE_MAX];

static void send_one(struct libxenvchan *v, const struct load *l, uint32_t number)
{
    int n;
    memcpy(buffer, &number, sizeof(number));
    while ((n = libxenvchan_send(v, buffer, l->message)) == 0)
        must(libxenvchan_wait(v) == 0, "waiting");
    must(n == (int)l->message, "sending");
}

static void receive_one(struct libxenvchan *v, const struct load *l, uint32_t number)
{
    int n;
    while ((n = libxenvchan_recv(v, buffer, l->message)) == 0)
        must(libxenvchan_wait(v) == 0, "waiting");
    must(n == (int)l->message && memcmp(buffer, &number, sizeof(number)) == 0, "receiving what was sent");
}

static void be_client(struct libxenvchan *v, const struct load *l, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (l->way == STREAM || l->way == POLLED) {
            must(libxenvchan_write(v, buffer, l->message) == (int)l->message, "writing");
            continue;
        }
        send_one(v, l, i);
        if (l->way != PACKETS)
            receive_one(v, l, i);
    }
}

static void receive_stream(struct libxenvchan *v, const struct load *l, uint64_t left)
{
    struct pollfd p = {.fd = l->way == POLLED ? libxenvchan_fd_for_select(v) : -1, .events = POLLIN};
    while (left > 0) {
        if (l->way == POLLED && libxenvchan_data_ready(v) == 0) {
            must(poll(&p, 1, -1) == 1 && libxenvchan_wait(v) == 0, "polling");
            continue;
        }
        int n = libxenvchan_read(v, buffer, left < sizeof(buffer) ? (size_t)left : sizeof(buffer));
        must(n > 0, "reading");
        left -= (uint64_t)n;
    }
}

static void be_server(struct libxenvchan *v, const struct load *l, uint32_t count)
{
    if (l->way == STREAM || l->way == POLLED) {
        receive_stream(v, l, (uint64_t)count * l->message);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        receive_one(v, l, i);
        if (l->way != PACKETS)
            send_one(v, l, i);
    }
}

static struct libxenvchan *open_end(bool server, int remote, const char *path, uint32_t ring)
{
    struct libxenvchan *v = NULL;
    for (int i = 0; v == NULL && i < (server ? 1 : CONNECT_TRIES); i++) {
        if (i > 0)
            (void)usleep(10000);
        v = server ? libxenvchan_server_init(NULL, remote, path, ring, ring)
                   : libxenvchan_client_init(NULL, remote, path);
    }
    must(v != NULL, server ? "a server cannot be made" : "there is no server");
    while (libxenvchan_is_open(v) == 2)
        must(libxenvchan_wait(v) == 0, "waiting for the client");
    return v;
}

/* end ROLE REMOTE PATH CPU WAY RING MESSAGE MESSAGES: the server prints the seconds that the messages took. */
static int end_main(char **argv)
{
    bool server = strcmp(argv[0], "server") == 0;
    int number[5];
    for (int i = 0; i < 5; i++)
        number[i] = atoi(argv[3 + i]);
    const struct load l = {(enum way)number[1], (uint32_t)number[2], (uint32_t)number[3], (uint32_t)number[4]};
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned int)number[0], &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
    (void)alarm(120);
    struct libxenvchan *v = open_end(server, atoi(argv[1]), argv[2], l.ring);
    v->blocking = l.way == PING_WAITS ? 0 : -1; /* a signed field of one bit */
    uint32_t warm_up = l.messages / 20 + 1;
    if (server) {
        be_server(v, &l, warm_up);
        uint64_t start = bench_now();
        be_server(v, &l, l.messages);
        (void)printf("%.9f\n", (double)(bench_now() - start) / 1e9);
        (void)fflush(stdout);
        /* The client has its last answer before we go. */
        while (libxenvchan_is_open(v) == 1)
            (void)libxenvchan_wait(v);
    } else {
        be_client(v, &l, warm_up);
        be_client(v, &l, l.messages);
        while (libxenvchan_buffer_space(v) != (int)l.ring && libxenvchan_is_open(v) == 1)
            (void)libxenvchan_wait(v);
    }
    libxenvchan_close(v);
    return EXIT_SUCCESS;
}

/* ---- one measurement ---- */

/* In the child. */
_Noreturn static void become_end(const struct load *l, bool server, const char *folder, uint32_t serial)
{
    char path[128], numbers[5][16];
    const int number[5] = {stage.cpu[server], (int)l->way, (int)l->ring, (int)l->message, (int)l->messages};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)snprintf(path, sizeof(path), "/local/domain/%s/data/vchan/bench%u", stage.domain[1], serial);
    for (int i = 0; i < 5; i++)
        (void)snprintf(numbers[i], sizeof(numbers[i]), "%d", number[i]);
    if (setenv("LD_LIBRARY_PATH", folder, 1) != 0)
        _exit(126);
    (void)execl(stage.sim, stage.sim, "exec", "--domain", stage.domain[server], "--", stage.self, "end",
                server ? "server" : "client", stage.domain[!server], path, numbers[0], numbers[1], numbers[2],
                numbers[3], numbers[4], (char *)NULL);
    _exit(127);
}

static pid_t start(const struct load *l, bool server, const char *folder, uint32_t serial, int out)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (out >= 0 && dup2(out, STDOUT_FILENO) < 0)
        _exit(126);
    become_end(l, server, folder, serial);
}

static bool ended_well(pid_t pid, bool good)
{
    int status = 0;
    if (pid > 0 && !good)
        (void)kill(pid, SIGKILL);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static double seconds_of(const struct load *l, const char *folder)
{
    static uint32_t serial;
    int out[2];
    char line[64] = "";
    if (pipe2(out, O_CLOEXEC) != 0)
        return -1;
    serial++;
    pid_t server = start(l, true, folder, serial, out[1]), client = start(l, false, folder, serial, -1);
    (void)close(out[1]);
    ssize_t len = server > 0 && client > 0 ? read(out[0], line, sizeof(line) - 1) : -1;
    (void)close(out[0]);
    bool good = len > 0;
    good = ended_well(client, good) && good;
    good = ended_well(server, good) && good;
    return good ? strtod(line, NULL) : -1;
}

struct contender {
    struct load load;
    const char *folder;
};

static double run(void *ctx)
{
    const struct contender *c = ctx;
    const struct load *l = &c->load;
    double seconds = seconds_of(l, c->folder);
    if (seconds <= 0)
        return -1;
    switch (l->way) {
    case STREAM:
    case POLLED:
        return (double)l->messages * l->message / seconds / 1e9;
    case PACKETS:
        return (double)l->messages / seconds / 1e6;
    case PING_BLOCKS:
    case PING_WAITS:
        break;
    }
    return seconds * 1e6 / l->messages;
}

static void compare(struct bench *b, const char *name, struct load l)
{
    if (bench_quick(b))
        l.messages = l.messages / 50 + 1;
    struct contender contenders[2] = {{l, stage.ours}, {l, ""}};
    const struct bench_side sides[2] = {{"self", run, &contenders[0]}, {"libxenvchan", run, &contenders[1]}};
    bool stream = l.way == STREAM || l.way == POLLED, rate = stream || l.way == PACKETS;
    (void)bench_compare(b, name,
                        stream ? "GB/s"
                        : rate ? "Mmsg/s"
                               : "us",
                        rate ? BENCH_HIGHER : BENCH_LOWER, ROUNDS, sides, 2);
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
    if (argc == 10 && strcmp(argv[1], "end") == 0)
        return end_main(argv + 2);
    ssize_t len = readlink("/proc/self/exe", stage.self, sizeof(stage.self) - 1);
    if (argc != 5 || len <= 0) {
        (void)fputs("usage: bench/libxenvchan.sh\n", stderr);
        return EXIT_FAILURE;
    }
    stage.sim = argv[1];
    stage.domain[1] = argv[2];
    stage.domain[0] = argv[3];
    stage.ours = argv[4];
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    choose_cpus();
    struct bench *b = bench_open("libxenvchan");
    if (b == NULL)
        return EXIT_FAILURE;
    compare(b, "msg16", (struct load){PACKETS, 65536, 16, 500000});
    compare(b, "ring4k-msg4k", (struct load){STREAM, 4096, 4096, 20000});
    compare(b, "ring64k-msg4k", (struct load){STREAM, 65536, 4096, 100000});
    compare(b, "ring64k-msg4k-poll", (struct load){POLLED, 65536, 4096, 100000});
    compare(b, "ring64k-msg64k", (struct load){STREAM, 65536, 65536, 10000});
    compare(b, "ring1m-msg64k", (struct load){STREAM, 1048576, 65536, 20000});
    compare(b, "rtt-blocking", (struct load){PING_BLOCKS, 65536, 64, 10000});
    compare(b, "rtt-wait", (struct load){PING_WAITS, 65536, 64, 10000});
    return bench_close(b);
}
