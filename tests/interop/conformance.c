/* SPDX-License-Identifier: ISC */
/*
 * usage: conformance --machine DIR --state FILE [--known FILE] [--only NAME]
 *
 * Runs the cases on the xenstored of a simulated machine and prints TAP. FILE with known differences has a line for
 * each: the case's name, then why that xenstored differs. Such a case has to fail.
 *
 * When the store hangs or dies the program ends with status 3, having noted in the state file where it stands: start
 * the store again, and then this program. Otherwise it ends with 0 when all is as expected, else 1.
 */
#include "tests/interop/conformance.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_SECONDS 60u
#define STORE_DIED 3

static const struct rule *const groups[] = {node_rules,   reply_rules, watch_rules, removal_rules, tx_rules,
                                            domain_rules, perm_rules,  ring_rules,  limit_rules};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static struct {
    unsigned int next, held, known, failed;
} state;

static const char *state_file, *known_file, *only;

static void state_load(void)
{
    FILE *f = fopen(state_file, "re");
    if (f == NULL)
        return;
    if (fscanf(f, "%u %u %u %u", &state.next, &state.held, &state.known, &state.failed) != 4)
        state.next = 0;
    (void)fclose(f);
}

static void state_save(void)
{
    FILE *f = fopen(state_file, "we");
    if (f == NULL) {
        perror(state_file);
        exit(1);
    }
    (void)fprintf(f, "%u %u %u %u\n", state.next, state.held, state.known, state.failed);
    (void)fclose(f);
}

/* ---- known differences ---- */

static bool exists(const char *name)
{
    for (size_t i = 0; i < GROUPS; i++) {
        for (const struct rule *r = groups[i]; r->name != NULL; r++) {
            if (strcmp(r->name, name) == 0)
                return true;
        }
    }
    return false;
}

/* Finds the case's line; true with the reason. A line for no case is a mistake, told once. */
static bool difference(char *why, size_t room, const char *name)
{
    char line[512];
    bool found = false;
    FILE *f = known_file != NULL ? fopen(known_file, "re") : NULL;
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        size_t len = strcspn(line, " \t\n");
        size_t gap = strspn(line + len, " \t");
        if (len == 0 || line[0] == '#' || strlen(name) != len || strncmp(line, name, len) != 0)
            continue;
        (void)snprintf(why, room, "%s", line + len + gap);
        why[strcspn(why, "\n")] = '\0';
        found = true;
    }
    if (f != NULL)
        (void)fclose(f);
    return found;
}

static bool list_is_true(void)
{
    char line[512];
    bool good = true;
    FILE *f = known_file != NULL ? fopen(known_file, "re") : NULL;
    if (known_file != NULL && f == NULL)
        good = false;
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        size_t len = strcspn(line, " \t\n");
        if (len == 0 || line[0] == '#')
            continue;
        line[len] = '\0';
        if (!exists(line)) {
            (void)printf("# %s is no case\n", line);
            good = false;
        }
    }
    if (f != NULL)
        (void)fclose(f);
    return good;
}

/* ---- a case ---- */

static bool holds(const struct rule *r)
{
    int status;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    if (pid == 0) {
        (void)alarm(CASE_SECONDS);
        r->holds();
        (void)fflush(stdout);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) < 0)
        return false;
    if (WIFSIGNALED(status))
        (void)printf("# ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void forget(uint16_t domid)
{
    struct client *c = socket_client();
    (void)ask(c, XS_RELEASE, 0, "%u|", domid);
    wait_until_unknown(c, &(const struct client){.domid = domid});
    (void)ask(c, XS_RM, 0, "/local/domain/%u|", domid);
    (void)close(c->fd);
    free(c);
}

/* Takes away what the case has left, as another one, which fails when the store does not answer any more. */
static void tidy(void)
{
    machine_tidy(forget);
    struct client *c = socket_client();
    (void)ask(c, XS_RM, 0, "/c|");
}

static bool store_lives(void)
{
    const struct rule r = {.holds = tidy};
    return holds(&r);
}

static void run(const struct rule *r, unsigned int number)
{
    char why[512];
    bool known = difference(why, sizeof(why), r->name);
    first_domid = 1 + number * DOMAINS;
    bool good = holds(r);
    bool lives = store_lives();
    if (!lives)
        (void)printf("# the store does not answer any more\n");
    good = good && lives;
    if (good && !known) {
        state.held++;
        (void)printf("ok %u - %s: %s\n", number, r->name, r->says);
    } else if (!good && known) {
        state.known++;
        (void)printf("not ok %u - %s: %s # TODO known difference: %s\n", number, r->name, r->says, why);
    } else {
        state.failed++;
        (void)printf("not ok %u - %s: %s%s\n", number, r->name, r->says,
                     known ? " (it is listed as a known difference, and holds)" : "");
    }
    state.next = number;
    state_save();
    if (!lives) {
        (void)fflush(stdout);
        exit(STORE_DIED);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"machine", required_argument, NULL, 'm'},
                                            {"state", required_argument, NULL, 's'},
                                            {"known", required_argument, NULL, 'k'},
                                            {"only", required_argument, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    const char *dir = NULL;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'm')
            dir = optarg;
        else if (option == 's')
            state_file = optarg;
        else if (option == 'k')
            known_file = optarg;
        else if (option == 'o')
            only = optarg;
        else
            return 2;
    }
    if (dir == NULL || state_file == NULL || xids_sim_machine_attach(&machine, dir) < 0) {
        (void)fprintf(stderr, "conformance: which machine?\n");
        return 2;
    }
    state_load();
    (void)signal(SIGPIPE, SIG_IGN);
    if (!list_is_true())
        return 1;
    unsigned int number = 0;
    for (size_t i = 0; i < GROUPS; i++) {
        for (const struct rule *r = groups[i]; r->name != NULL; r++) {
            number++;
            if (number > state.next && (only == NULL || strcmp(only, r->name) == 0))
                run(r, number);
        }
    }
    (void)printf("1..%u\n# %u rules hold, %u known differences, %u failed\n", number, state.held, state.known,
                 state.failed);
    return state.failed == 0 ? 0 : 1;
}
