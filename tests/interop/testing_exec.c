/* SPDX-License-Identifier: ISC */
/*
 * testing_exec MODE DOMID COMMAND...: runs a command that finds a test store by XENSTORED_PATH, and acts as that
 * domain. MODE is thread or forked. Then prints what the command has left below /left and the last line of the log.
 * Exits as the command did, or with 99 when the harness failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xids/store-testing.h>

static int run(char **argv)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], argv);
        _exit(98);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 99;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 97;
}

static int show(struct xids_test_store *store)
{
    char *text = NULL, *log = NULL;
    int rc = xids_test_store_settle(store);
    if (rc == 0)
        rc = xids_test_store_log(store, &log);
    if (rc == 0 && xids_test_store_dump(store, &text, "/left", 0) == 0)
        (void)fputs(text, stdout);
    if (rc == 0 && log[0] != '\0') {
        const char *at = log + strlen(log) - 1;
        while (at > log && at[-1] != '\n')
            at--;
        (void)fputs(at, stdout);
    }
    free(text);
    free(log);
    return rc;
}

int main(int argc, char **argv)
{
    struct xids_test_store_config config = {.mode = XIDS_TEST_STORE_THREAD};
    struct xids_test_store *store;
    if (argc < 4)
        return 99;
    if (strcmp(argv[1], "forked") == 0)
        config.mode = XIDS_TEST_STORE_FORKED;
    domid_t domid = (domid_t)atoi(argv[2]);
    if (xids_test_store_new(&store, &config) < 0)
        return 99;
    int status = 99;
    if ((domid == 0 || xids_test_store_introduce(store, domid, true) == 0) && xids_test_store_use(store, domid) == 0)
        status = run(argv + 3);
    if (show(store) != 0)
        status = 99;
    xids_test_store_free(store);
    return status;
}
