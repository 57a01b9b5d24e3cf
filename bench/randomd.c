/* SPDX-License-Identifier: ISC */
/*
 * The randomd suite: a guest's entropy from xids-randomd, over a simulated machine, against what a guest would have
 * otherwise.
 *
 * usage: bench-randomd XIDS-SIM PID GUEST...      (of xids-randomd, and domains; bench/randomd.sh makes them)
 *        bench-randomd fair-case CASE XIDS-SIM PID GUEST...     (likewise, by bench/randomd_fair.sh)
 *
 * "virtio-rng" is a pull as that device does it, over the same simulator: one request in flight, a buffer of 64 bytes
 * in shared memory, and one event each way for each request; its backend is a process in domain 0 that fills the buffer
 * with getrandom. "getrandom" is the kernel's own generator, asked by the guest's process.
 */
#include "config.h"

#include "bench/randomd_suite.h"

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE 4096u
#define ARGUMENTS 16u

/* ---- actors ---- */

static bool pin(pid_t pid, int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned int)cpu, &set);
    return sched_setaffinity(pid, sizeof(set), &set) == 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* Runs argv with pipes, on a processor unless that is below 0. */
static bool spawn(struct actor *a, const char *const *argv, int cpu)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    *a = (struct actor){.pid = -1, .in = -1, .out = -1};
    if (pipe(in) == 0 && pipe(out) == 0) {
        a->pid = fork();
        if (a->pid == 0) {
            if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0)
                _exit(126);
            for (int i = 0; i < 2; i++) {
                close_fd(&in[i]);
                close_fd(&out[i]);
            }
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (cpu < 0 || pin(0, cpu))
                (void)execvp(argv[0], (char **)(void *)(uintptr_t)argv);
            _exit(127);
        }
    }
    a->in = in[1];
    a->out = out[0];
    close_fd(&in[0]);
    close_fd(&out[1]);
    return a->pid > 0;
}

bool actor_start(const struct suite *s, struct actor *a, const char *domain, int cpu, const char *const *arguments)
{
    const char *argv[ARGUMENTS + 7] = {s->sim, "exec", "--domain", domain, "--", s->self};
    for (unsigned int i = 0; i < ARGUMENTS && arguments[i] != NULL; i++)
        argv[6 + i] = arguments[i];
    return spawn(a, argv, cpu);
}

bool actor_spawn(struct actor *a, const char *const *command)
{
    return spawn(a, command, -1);
}

bool actor_says(struct actor *a, double *numbers, size_t n)
{
    char line[LINE];
    size_t len = 0;
    while (len + 1 < sizeof(line) && read(a->out, line + len, 1) == 1 && line[len] != '\n')
        len++;
    line[len] = '\0';
    char *at = line;
    for (size_t i = 0; i < n; i++) {
        char *end;
        numbers[i] = strtod(at, &end);
        if (end == at)
            return false;
        at = end;
    }
    return true;
}

bool actor_end(struct actor *a, bool good)
{
    int status = 0;
    if (a->pid > 0 && !good)
        (void)kill(a->pid, SIGKILL);
    close_fd(&a->in);
    close_fd(&a->out);
    return a->pid > 0 && waitpid(a->pid, &status, 0) == a->pid && status == 0;
}

bool actor_run(const struct suite *s, const char *domain, int cpu, const char *const *arguments, double *numbers,
               size_t n)
{
    struct actor a;
    bool good = actor_start(s, &a, domain, cpu, arguments) && actor_says(&a, numbers, n);
    return actor_end(&a, good) && good;
}

/* ---- the suite ---- */

static void choose_cpus(struct suite *s)
{
    cpu_set_t set;
    int found = 0;
    CPU_ZERO(&set);
    (void)sched_getaffinity(0, sizeof(set), &set);
    for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET((unsigned int)cpu, &set))
            s->cpu[found++] = cpu;
    if (found == 1)
        s->cpu[1] = s->cpu[0];
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*play)(int argc, char **argv);
    } parts[] = {
        {"guest", guest_main},          {"fair", fair_main},   {"virtio-backend", virtio_backend},
        {"virtio-guest", virtio_guest}, {"crowd", crowd_main},
    };
    for (size_t i = 0; argc > 1 && i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strcmp(argv[1], parts[i].name) == 0)
            return parts[i].play(argc - 1, argv + 1);
    struct suite s = {.b = NULL};
    const char *fair_case = NULL;
    if (argc > 2 && strcmp(argv[1], "fair-case") == 0) {
        fair_case = argv[2];
        argc -= 2;
        argv += 2;
    }
    ssize_t len = readlink("/proc/self/exe", s.self, sizeof(s.self) - 1);
    if (argc < 4 || len <= 0) {
        (void)fprintf(stderr, "bench randomd: bench/randomd.sh runs this\n");
        return EXIT_FAILURE;
    }
    s.sim = argv[1];
    s.randomd = (pid_t)strtol(argv[2], NULL, 10);
    s.guests = (const char **)(void *)(argv + 3);
    s.n_guests = (unsigned int)argc - 3;
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)signal(SIGPIPE, SIG_IGN);
    /* A shell's background job begins without it. */
    (void)signal(SIGINT, SIG_DFL);
    choose_cpus(&s);
    s.b = bench_open("randomd");
    if (s.b == NULL || !pin(s.randomd, s.cpu[0]))
        return EXIT_FAILURE;
    if (fair_case != NULL)
        return fair_cases(&s, fair_case);
    bool good = case_seed(&s);
    case_pull(&s);
    case_ring(&s);
    good = case_fair(&s) && good;
    good = case_crowd(&s) && good;
    int status = bench_close(s.b);
    return good ? status : EXIT_FAILURE;
}
