/* SPDX-License-Identifier: ISC */
/*
 * A program that is linked with libxenstore, Xen's or ours, against whatever xenstored serves this domain:
 * libxenstore_check BASE CHILDREN [new] uses the nodes below BASE, an absolute path that may be there already, and
 * removes them; one of them gets so many children. new: the library has what came after Xen 4.17. Exits with 0, or
 * names the first thing that went wrong.
 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xenstore.h>

#define THREADS 4
#define ROUNDS 100u

#define EXPECT(what)                                                        \
    do {                                                                    \
        if (!(what)) {                                                      \
            printf("line %d: %s (%s)\n", __LINE__, #what, strerror(errno)); \
            return EXIT_FAILURE;                                            \
        }                                                                   \
    } while (0)

static const char *base;
static struct xs_handle *h, *other;

/* A node below the base, in a thread's own buffer. */
static const char *at(const char *name)
{
    static _Thread_local char path[256];
    snprintf(path, sizeof(path), "%s/%s", base, name);
    return path;
}

static bool put(struct xs_handle *to, xs_transaction_t t, const char *name, const char *value)
{
    return xs_write(to, t, at(name), value, (unsigned int)strlen(value));
}

static bool holds(struct xs_handle *from, xs_transaction_t t, const char *name, const char *value)
{
    unsigned int len;
    char *got = xs_read(from, t, at(name), &len);
    bool same = got != NULL && len == strlen(value) && strcmp(got, value) == 0;
    free(got);
    return same;
}

/* ---- the tree ---- */

static int check_values(void)
{
    static char big[1900];
    unsigned int num;
    memset(big, 'b', sizeof(big) - 1);
    EXPECT(put(h, XBT_NULL, "big", big) && holds(other, XBT_NULL, "big", big));
    EXPECT(put(h, XBT_NULL, "empty", "") && holds(other, XBT_NULL, "empty", ""));
    EXPECT(!holds(h, XBT_NULL, "none", "") && errno == ENOENT);
    struct xs_permissions *perms = xs_get_permissions(h, XBT_NULL, at("big"), &num);
    EXPECT(perms != NULL && num >= 1);
    EXPECT(xs_set_permissions(h, XBT_NULL, at("big"), perms, num));
    free(perms);
    EXPECT(xs_mkdir(h, XBT_NULL, at("empty")));
    char **names = xs_directory(h, XBT_NULL, at("empty"), &num);
    EXPECT(names != NULL && num == 0);
    free(names);
    return 0;
}

static int check_directory(unsigned int children)
{
    char name[64];
    unsigned int num;
    for (unsigned int i = 0; i < children; i++) {
        snprintf(name, sizeof(name), "dir/a-name-of-some-length-%u", i);
        EXPECT(xs_mkdir(h, XBT_NULL, at(name)));
    }
    char **names = xs_directory(h, XBT_NULL, at("dir"), &num);
    EXPECT(names != NULL);
    EXPECT(num == children);
    free(names);
    return 0;
}

static int check_transaction(void)
{
    xs_transaction_t t = xs_transaction_start(h);
    EXPECT(t != XBT_NULL);
    EXPECT(put(other, XBT_NULL, "counter", "1"));
    EXPECT(xs_transaction_end(h, t, true));
    t = xs_transaction_start(h);
    EXPECT(holds(h, t, "counter", "1"));
    EXPECT(put(other, XBT_NULL, "counter", "2"));
    EXPECT(put(h, t, "counter", "3"));
    EXPECT(!xs_transaction_end(h, t, false) && errno == EAGAIN);
    t = xs_transaction_start(h);
    EXPECT(put(h, t, "counter", "4"));
    EXPECT(xs_transaction_end(h, t, false));
    EXPECT(holds(other, XBT_NULL, "counter", "4"));
    EXPECT(!xs_transaction_end(h, 999999, false) && errno != 0);
    return 0;
}

/* ---- watches ---- */

static bool readable(int ms)
{
    struct pollfd p = {.fd = xs_fileno(h), .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

/* Waits for an event at this path; others, which stores may repeat, are passed over. */
static bool sees(const char *name, const char *token)
{
    for (;;) {
        unsigned int num;
        char **event = xs_read_watch(h, &num);
        if (event == NULL)
            return false;
        bool same = strcmp(event[XS_WATCH_PATH], at(name)) == 0 && strcmp(event[XS_WATCH_TOKEN], token) == 0;
        free(event);
        if (same)
            return true;
    }
}

static int check_watch(void)
{
    char **event;
    EXPECT(xs_fileno(h) >= 0 && !readable(0));
    EXPECT(xs_watch(h, at("watched"), "a token"));
    EXPECT(readable(20000) && sees("watched", "a token"));
    EXPECT(put(other, XBT_NULL, "watched/x", "1") && sees("watched/x", "a token"));
    EXPECT(!xs_watch(h, at("watched"), "a token") && errno == EEXIST);
    /* The event comes with the answer, and waits none the less. */
    EXPECT(put(h, XBT_NULL, "watched/y", "1") && holds(h, XBT_NULL, "watched/y", "1"));
    EXPECT(readable(20000) && sees("watched/y", "a token"));
    while ((event = xs_check_watch(h)) != NULL)
        free(event);
    EXPECT(errno == EAGAIN && !readable(0));
    EXPECT(xs_unwatch(h, at("watched"), "a token"));
    EXPECT(!xs_unwatch(h, at("watched"), "a token") && errno == ENOENT);
    return 0;
}

/* ---- threads ---- */

static void *write_and_read(void *arg)
{
    char name[32], value[32];
    snprintf(name, sizeof(name), "threads/%u", *(unsigned int *)arg);
    for (unsigned int i = 0; i < ROUNDS; i++) {
        snprintf(value, sizeof(value), "%u", i);
        if (!put(h, XBT_NULL, name, value) || !holds(h, XBT_NULL, name, value))
            return arg;
    }
    return NULL;
}

static void *watch_to_the_end(void *arg)
{
    return sees("threads/end", "threads") ? NULL : arg;
}

static int check_threads(void)
{
    pthread_t threads[THREADS], watcher;
    unsigned int ids[THREADS];
    void *bad;
    EXPECT(xs_watch(h, at("threads"), "threads"));
    EXPECT(pthread_create(&watcher, NULL, watch_to_the_end, h) == 0);
    for (unsigned int i = 0; i < THREADS; i++) {
        ids[i] = i;
        EXPECT(pthread_create(&threads[i], NULL, write_and_read, &ids[i]) == 0);
    }
    for (unsigned int i = 0; i < THREADS; i++)
        EXPECT(pthread_join(threads[i], &bad) == 0 && bad == NULL);
    EXPECT(put(h, XBT_NULL, "threads/end", "1"));
    EXPECT(pthread_join(watcher, &bad) == 0 && bad == NULL);
    EXPECT(xs_unwatch(h, at("threads"), "threads"));
    return 0;
}

/* ---- the rest ---- */

static int check_fork(void)
{
    int status;
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        xs_daemon_destroy_postfork(h);
        h = xs_open(0);
        _exit(h != NULL && put(h, XBT_NULL, "child", "was here") ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT(holds(h, XBT_NULL, "child", "was here"));
    return 0;
}

static int check_domains(void)
{
    char *path = xs_get_domain_path(h, 7);
    EXPECT(path != NULL && strcmp(path, "/local/domain/7") == 0);
    free(path);
    EXPECT(!xs_is_domain_introduced(h, 31000));
    return 0;
}

/* A function that the header does not have. */
#define FIND(pointer, name)                            \
    void *found_##pointer = dlsym(RTLD_DEFAULT, name); \
    EXPECT(found_##pointer != NULL);                   \
    memcpy(&(pointer), &found_##pointer, sizeof(found_##pointer))

/* Whether the store knows of them or not, they answer. */
static int check_new(void)
{
    bool (*get_features)(struct xs_handle *, unsigned int *);
    bool (*watch_depth)(struct xs_handle *, const char *, const char *, unsigned int);
    const char **(*get_quota_names)(struct xs_handle *, unsigned int *);
    unsigned int features = 0, num = 0;
    FIND(get_features, "xs_get_features_supported");
    FIND(watch_depth, "xs_watch_try_depth");
    FIND(get_quota_names, "xs_get_quota_names");
    bool known = get_features(h, &features);
    EXPECT(known || errno == ENOSYS || errno == EINVAL);
    EXPECT(watch_depth(h, at("deep"), "deep", 1) && sees("deep", "deep"));
    EXPECT(put(h, XBT_NULL, "deep/er", "1") && sees("deep/er", "deep"));
    const char **names = get_quota_names(h, &num);
    EXPECT(names == NULL || num > 0);
    free(names);
    EXPECT(xs_unwatch(h, at("deep"), "deep"));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3 || (h = xs_open(0)) == NULL || (other = xs_open(XS_UNWATCH_FILTER)) == NULL) {
        printf("no argument or no xenstore\n");
        return EXIT_FAILURE;
    }
    base = argv[1];
    int rc = check_values();
    rc = rc != 0 ? rc : check_directory((unsigned int)atoi(argv[2]));
    rc = rc != 0 ? rc : check_transaction();
    rc = rc != 0 ? rc : check_watch();
    rc = rc != 0 ? rc : check_threads();
    rc = rc != 0 ? rc : check_fork();
    rc = rc != 0 ? rc : check_domains();
    rc = rc != 0 || argc == 3 ? rc : check_new();
    if (rc == 0 && !xs_rm(h, XBT_NULL, base))
        rc = EXIT_FAILURE;
    xs_close(h);
    xs_close(other);
    return rc;
}
