/* SPDX-License-Identifier: ISC */
/*
 * One side of the vchan matrix: goes through the cases of a set one after the other, with a process for each end, and
 * says of each how it went. The other side, in the domain REMOTE, does the same.
 *
 * usage: vchan_matrix list SET
 *        vchan_matrix server|client REMOTE PATH SET [SLOT SLOTS]
 *
 * PATH is where their nodes are, in the server's domain. SLOT of SLOTS takes every so-manieth case: pairs of domains
 * can share the work. Prints "ok ID" or "not ok ID REASON" for each. The set "destroy" begins all of them at once; who
 * is to be destroyed prints "at ID" for each when it is time.
 *
 * Environment: XIDS_MATRIX_SECONDS (60), what no end may take longer than; XIDS_MATRIX_ID, a case to run alone.
 */
#include "tests/interop/vchan_play.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* After so many that went wrong the rest is not run: each may last until its time is over. */
#define FAILED_MAX 3u

struct runner {
    struct part part; /* but for the case */
    int set;
    unsigned int slot, slots, seconds, alone;
    unsigned int failed;
};

/* ---- a victim's steps ---- */

/* Lets it go on until it stops again or ends. */
static int go_on(pid_t pid, const struct vchan_case *c, int signal)
{
    bool finely = c->when == AT_WRITE || c->when == AT_READ;
    int status = 0;
    (void)ptrace(finely ? PTRACE_SINGLESTEP : PTRACE_SYSCALL, pid, NULL, (void *)(long)signal);
    (void)waitpid(pid, &status, 0);
    return status;
}

/* Counts its steps after the first stop, and kills it at the one that it is to die at, or at the second stop. */
static int step(pid_t pid, const struct vchan_case *c, int status)
{
    (void)ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD);
    status = go_on(pid, c, 0);
    for (uint32_t n = 0; WIFSTOPPED(status); n++) {
        int signal = WSTOPSIG(status);
        if (signal == SIGSTOP || n >= c->n) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            break;
        }
        status = go_on(pid, c, (signal & 0x7f) == SIGTRAP ? 0 : signal);
    }
    return status;
}

/* Waits for a process, and does to it what the case says. Its status. */
static int wait_for(pid_t pid, const struct part *part)
{
    const struct vchan_case *c = part->c;
    int status = 0;
    (void)waitpid(pid, &status, WUNTRACED);
    if (WIFSTOPPED(status) && case_steps(c)) {
        while (WIFSTOPPED(status) && WSTOPSIG(status) != SIGSTOP) {
            (void)ptrace(PTRACE_CONT, pid, NULL, (void *)(long)WSTOPSIG(status));
            (void)waitpid(pid, &status, 0);
        }
        if (WIFSTOPPED(status))
            status = step(pid, c, status);
    } else if (WIFSTOPPED(status)) {
        if (c->when == SILENT) {
            pid_t seen = fork();
            if (seen == 0) {
                play_seen(part);
                exit(0);
            }
            (void)waitpid(seen, &status, 0);
        }
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
    }
    return status;
}

/* ---- a case ---- */

/* Plays a part in a process of its own. True: it came to the end that it should. */
static bool play(const struct runner *r, const struct vchan_case *c, void (*act)(const struct part *p), bool victim,
                 unsigned int turn)
{
    struct part part = r->part;
    part.c = c;
    part.turn = turn;
    *report = (struct report){.doing = "begin"};
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(r->seconds);
        if (victim && case_steps(c) && ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            wrong("no ptrace");
        act(&part);
        exit(0);
    }
    int status = pid > 0 ? wait_for(pid, &part) : -1;
    if (victim && c->how >= KILL ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : status == 0)
        return true;
    (void)printf("not ok %u %s %s: ", c->id, r->part.server ? "server" : "client",
                 act == play_successor ? "successor"
                 : victim              ? "victim"
                                       : "survivor");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        (void)printf("took too long to %s\n", report->doing);
    else
        (void)printf("%s: %s (status %x)\n", report->doing, report->text, (unsigned int)status);
    return false;
}

static void run_case(struct runner *r, const struct vchan_case *c)
{
    bool good, victim = c->how != NOT && c->server_ends == r->part.server;
    if (c->how == NOT) {
        good = play(r, c, play_exchange, false, 0);
    } else if (!victim) {
        good = play(r, c, play_survivor, false, 0);
    } else {
        good = play(r, c, play_victim, true, 0);
        for (unsigned int i = 1; good && i <= play_successors(c); i++)
            good = play(r, c, play_successor, false, i);
    }
    /* Where the whole domain is destroyed this process may see its victim's end before its own: that says nothing. */
    if (good && !(victim && case_at_once(r->set)))
        (void)printf("ok %u\n", c->id);
    (void)fflush(stdout);
    r->failed += !good;
}

static void *shared(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        exit(2);
    return at;
}

static void on_case(void *ctx, const struct vchan_case *c)
{
    struct runner *r = ctx;
    if (r->failed >= FAILED_MAX || c->id % r->slots != r->slot || (r->alone != UINT32_MAX && c->id != r->alone))
        return;
    if (!case_at_once(r->set)) {
        run_case(r, c);
        return;
    }
    (void)fflush(stdout);
    if (fork() != 0)
        return;
    report = shared(sizeof(*report));
    run_case(r, c);
    exit(r->failed != 0);
}

static void on_list(void *ctx, const struct vchan_case *c)
{
    char group[160], point[160];
    (void)ctx;
    case_group(group, sizeof(group), c);
    case_point(point, sizeof(point), c);
    (void)printf("%u\t%s\t%s\n", c->id, group, point);
}

static unsigned int number(const char *text, unsigned int otherwise)
{
    return text != NULL ? (unsigned int)strtoul(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct runner r = {.slots = 1};
    if (argc == 3 && strcmp(argv[1], "list") == 0 && (r.set = case_set(argv[2])) >= 0) {
        case_each(r.set, on_list, NULL);
        return 0;
    }
    if ((argc != 5 && argc != 7) || (r.set = case_set(argv[4])) < 0) {
        (void)fprintf(stderr, "usage: vchan_matrix server|client REMOTE PATH SET [SLOT SLOTS]\n");
        return 2;
    }
    report = shared(sizeof(*report));
    r.part =
        (struct part){.server = strcmp(argv[1], "server") == 0, .remote = (domid_t)number(argv[2], 0), .base = argv[3]};
    if (argc == 7) {
        r.slot = number(argv[5], 0);
        r.slots = number(argv[6], 1);
    }
    r.seconds = number(getenv("XIDS_MATRIX_SECONDS"), 60);
    r.alone = number(getenv("XIDS_MATRIX_ID"), UINT32_MAX);
    case_each(r.set, on_case, &r);
    for (int status; wait(&status) > 0;)
        r.failed += status != 0;
    return r.failed != 0;
}
