/* SPDX-License-Identifier: ISC */
/*
 * What every platform promises, checked on platform/xen: each side in a process of its own, as on Xen.
 *
 *     platform_sim A B COMMAND...   runs the cases in domain A; COMMAND... starts this program in domain B, as
 *     platform_sim --peer B         the other side, which does what it is told through its standard input and output
 *
 * Speaks TAP.
 */
#include "tests/unit/platform_remote.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xids/platform_xen.h>

/* ---- calls between the two processes ---- */

static bool transfer(int fd, void *data, size_t len, bool out)
{
    uint8_t *at = data;
    while (len > 0) {
        ssize_t n = out ? write(fd, at, len) : read(fd, at, len);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* ---- the peer ---- */

static int peer_main(domid_t domid)
{
    struct xids_platform *p;
    struct platform_message m;
    int rc = xids_platform_xen_open_as(&p, domid, 0);
    if (rc < 0) {
        fprintf(stderr, "peer: cannot open the platform: %s\n", strerror(-rc));
        return 1;
    }
    while (transfer(STDIN_FILENO, &m, sizeof(m), false)) {
        platform_serve(p, &m);
        if (!transfer(STDOUT_FILENO, &m, sizeof(m), true))
            break;
    }
    xids_platform_xen_close(p);
    return 0;
}

/* ---- the peer as a platform ---- */

struct remote {
    int to, from;
    pid_t pid;
};

static void ask(void *ctx, struct platform_message *m)
{
    struct remote *r = ctx;
    if (transfer(r->to, m, sizeof(*m), true) && transfer(r->from, m, sizeof(*m), false))
        return;
    printf("Bail out! the peer is gone\n");
    exit(1);
}

static void kill_b(struct platform_pair *p)
{
    struct remote *r = p->ctx;
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    r->pid = 0;
}

static bool start_peer(struct remote *r, char **command)
{
    int in[2], out[2];
    if (pipe(in) < 0 || pipe(out) < 0)
        return false;
    r->pid = fork();
    if (r->pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        execvp(command[0], command);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    r->to = in[1];
    r->from = out[0];
    return r->pid > 0;
}

static void stop_peer(struct remote *r)
{
    close(r->to);
    close(r->from);
    if (r->pid > 0)
        waitpid(r->pid, NULL, 0);
}

static int run_cases(domid_t a, domid_t b, char **command)
{
    bool fine = true;
    printf("1..%u\n", platform_case_count);
    for (unsigned int i = 0; i < platform_case_count; i++) {
        struct remote remote;
        struct platform_remote there;
        struct xids_platform *here;
        int rc = xids_platform_xen_open_as(&here, a, 0);
        if (rc < 0 || !start_peer(&remote, command)) {
            printf("Bail out! cannot start: %s\n", strerror(-rc));
            return 1;
        }
        platform_remote_init(&there, b, ask, &remote);
        struct platform_pair pair = {here,   &there.platform, platform_remote_peek, platform_remote_poke,
                                     kill_b, &remote};
        const char *wrong = platform_cases[i].run(&pair);
        printf("%sok %u - %s\n", wrong == NULL ? "" : "not ", i + 1, platform_cases[i].name);
        if (wrong != NULL)
            printf("# %s\n", wrong);
        fflush(stdout);
        fine = fine && wrong == NULL;
        stop_peer(&remote);
        xids_platform_xen_close(here);
    }
    return fine ? 0 : 1;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "--peer") == 0)
        return peer_main((domid_t)atoi(argv[2]));
    if (argc < 4) {
        fprintf(stderr, "usage: platform_sim A B COMMAND... | --peer B\n");
        return 2;
    }
    return run_cases((domid_t)atoi(argv[1]), (domid_t)atoi(argv[2]), argv + 3);
}
