/* SPDX-License-Identifier: ISC */
/* xids-vchan: a process for each channel, from its start until it has been collected. */
#include "vchan/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a process may take to end when it has been asked to. */
#define PATIENCE (5000 * MS)

static int spawn(const struct options *o, pid_t *pid, const int *theirs)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t signals;
    if (posix_spawn_file_actions_init(&files) != 0)
        return -XEN_ENOMEM;
    int rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        /* As a program expects them: we ignore one and hold back others. */
        (void)sigemptyset(&signals);
        (void)posix_spawnattr_setsigmask(&attributes, &signals);
        (void)sigfillset(&signals);
        (void)posix_spawnattr_setsigdefault(&attributes, &signals);
        (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        rc = posix_spawn_file_actions_adddup2(&files, theirs[0], STDIN_FILENO);
        if (rc == 0)
            rc = posix_spawn_file_actions_adddup2(&files, theirs[1], STDOUT_FILENO);
        if (rc == 0)
            rc = posix_spawnp(pid, o->command[0], &files, &attributes, o->command, environ);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&files);
    return -rc;
}

static void close_both(const int pair[2])
{
    (void)close(pair[0]);
    (void)close(pair[1]);
}

int process_start(const struct options *o, pid_t *pid, int ways[2])
{
    int input[2], output[2];
    if (pipe2(input, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(output, O_CLOEXEC) < 0) {
        int rc = -errno;
        close_both(input);
        return rc;
    }
    const int theirs[2] = {input[0], output[1]};
    /* Our ends alone never block. */
    int rc = fcntl(input[1], F_SETFL, O_NONBLOCK) < 0 || fcntl(output[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
    if (rc == 0)
        rc = spawn(o, pid, theirs);
    close_both(theirs);
    ways[0] = output[0];
    ways[1] = input[1];
    if (rc < 0)
        close_both(ways);
    return rc;
}

void process_leave(struct tool *t, pid_t pid, unsigned int number)
{
    struct child *children = realloc(t->children, (t->child_count + 1) * sizeof(*children));
    if (children == NULL) {
        /* It cannot be remembered: it is ended now. */
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return;
    }
    t->children = children;
    t->children[t->child_count++] =
        (struct child){.pid = pid, .number = number, .kill_at = UINT64_MAX, .signal = SIGTERM};
}

/* Says how a process ended, if not well. One that wrote to a channel that had gone did no wrong. */
static void ended(struct tool *t, const struct child *c, int status)
{
    const struct flow f = {.number = c->number};
    if ((WIFEXITED(status) && WEXITSTATUS(status) == 0) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE))
        return;
    if (WIFSIGNALED(status))
        tell(t, &f, "%s: killed by signal %d (%s)", t->o->command[0], WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        tell(t, &f, "%s: exit status %d", t->o->command[0], WEXITSTATUS(status));
    if (t->status == EXIT_SUCCESS)
        t->status = STATUS_COMMAND;
}

static void press(struct child *c, uint64_t now)
{
    if (c->signal == SIGKILL && now < c->kill_at)
        return;
    (void)kill(c->pid, c->signal);
    c->signal = SIGKILL;
    c->kill_at = now + PATIENCE;
}

void process_reap(struct tool *t, bool all)
{
    uint64_t now = tool_now(t);
    for (size_t i = 0; i < t->child_count;) {
        struct child *c = &t->children[i];
        int status = 0;
        pid_t pid = waitpid(c->pid, &status, WNOHANG);
        if (pid == 0) {
            if (all)
                press(c, now);
            i++;
            continue;
        }
        if (pid == c->pid && c->signal == SIGTERM)
            ended(t, c, status);
        *c = t->children[--t->child_count];
    }
}
