/* SPDX-License-Identifier: ISC */
/*
 * The libxenstore suite: our libxenstore.so.4 and Xen's, both loaded into this program, with the same xids-xenstored.
 * Started by bench/libxenstore.sh with the paths of the two.
 */
#include "config.h"

#include "bench/bench.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#define ROUNDS 7u
#define THREADS_MAX 8u
#define PATH_READ "/bench/value"

struct library {
    struct xs_handle *(*open)(unsigned long flags);
    void (*close)(struct xs_handle *h);
    void *(*read)(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len);
    bool (*write)(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned int len);
    bool (*watch)(struct xs_handle *h, const char *path, const char *token);
    char **(*read_watch)(struct xs_handle *h, unsigned int *num);
};

/* One case with one library. */
struct load {
    const struct library *lib;
    unsigned int count, threads;
    bool watched; /* one more thread waits for events */
};

struct worker {
    const struct load *load;
    struct xs_handle *h;
    pthread_t thread;
};

static void must(bool good)
{
    if (!good)
        abort();
}

/* ISO C has no cast from an object's address to a function's; POSIX has dlsym. */
static void find(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    must(found != NULL);
    memcpy(function, &found, sizeof(found));
}

static bool load_library(struct library *lib, const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        (void)fprintf(stderr, "%s\n", dlerror());
        return false;
    }
    find(handle, "xs_open", &lib->open);
    find(handle, "xs_close", &lib->close);
    find(handle, "xs_read", &lib->read);
    find(handle, "xs_write", &lib->write);
    find(handle, "xs_watch", &lib->watch);
    find(handle, "xs_read_watch", &lib->read_watch);
    return true;
}

static void *read_all(void *arg)
{
    const struct worker *w = arg;
    const struct library *lib = w->load->lib;
    for (unsigned int i = 0; i < w->load->count / w->load->threads; i++) {
        unsigned int len;
        void *value = lib->read(w->h, XBT_NULL, PATH_READ, &len);
        must(value != NULL);
        free(value);
    }
    return NULL;
}

/* Until the event that ends it, the second at its path. */
static void *wait_for_end(void *arg)
{
    const struct worker *w = arg;
    for (int i = 0; i < 2; i++) {
        unsigned int num;
        char **event = w->load->lib->read_watch(w->h, &num);
        must(event != NULL);
        free(event);
    }
    return NULL;
}

/* Reads a second, of all threads on one handle. */
static double run_reads(void *ctx)
{
    const struct load *l = ctx;
    struct worker workers[THREADS_MAX], watcher;
    struct xs_handle *h = l->lib->open(0);
    must(h != NULL);
    if (l->watched) {
        watcher = (struct worker){.load = l, .h = h};
        must(l->lib->watch(h, "/bench/end", "end"));
        must(pthread_create(&watcher.thread, NULL, wait_for_end, &watcher) == 0);
    }
    uint64_t start = bench_now();
    for (unsigned int i = 0; i < l->threads; i++) {
        workers[i] = (struct worker){.load = l, .h = h};
        must(pthread_create(&workers[i].thread, NULL, read_all, &workers[i]) == 0);
    }
    for (unsigned int i = 0; i < l->threads; i++)
        must(pthread_join(workers[i].thread, NULL) == 0);
    double rate = (double)l->count * 1e9 / (double)(bench_now() - start);
    if (l->watched) {
        must(l->lib->write(h, XBT_NULL, "/bench/end", "1", 1));
        must(pthread_join(watcher.thread, NULL) == 0);
    }
    l->lib->close(h);
    return rate;
}

static struct library ours, theirs;

static void compare(struct bench *b, const char *name, unsigned int threads, bool watched)
{
    unsigned int count = bench_quick(b) ? 800 : 40000;
    struct load loads[2] = {{.lib = &ours, .count = count, .threads = threads, .watched = watched},
                            {.lib = &theirs, .count = count, .threads = threads, .watched = watched}};
    const struct bench_side sides[2] = {{.name = "self", .run = run_reads, .ctx = &loads[0]},
                                        {.name = "libxenstore", .run = run_reads, .ctx = &loads[1]}};
    (void)bench_compare(b, name, "reads/s", BENCH_HIGHER, ROUNDS, sides, 2);
}

int main(int argc, char **argv)
{
    if (argc != 3 || !load_library(&ours, argv[1]) || !load_library(&theirs, argv[2])) {
        (void)fputs("usage: bench/libxenstore.sh\n", stderr);
        return EXIT_FAILURE;
    }
    struct bench *b = bench_open("libxenstore");
    must(b != NULL);
    struct xs_handle *h = ours.open(0);
    must(h != NULL && ours.write(h, XBT_NULL, PATH_READ, "sixteen bytes...", 16));
    ours.close(h);
    compare(b, "read-1-thread", 1, false);
    compare(b, "read-8-threads", 8, false);
    compare(b, "read-1-thread-watched", 1, true);
    compare(b, "read-8-threads-watched", 8, true);
    return bench_close(b);
}
