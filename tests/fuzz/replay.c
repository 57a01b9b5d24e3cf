/* SPDX-License-Identifier: ISC */
/*
 * What a fuzz target is linked with when the fuzzer itself is not: runs it on each file of its corpus,
 * tests/fuzz/corpus/NAME/ for fuzz_NAME, and on a fixed series of damaged copies of them. Speaks TAP: a line a file,
 * one for the damaged copies. With file names as arguments it runs those alone, to look into a finding.
 */
/* asprintf */
#define _GNU_SOURCE

#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX (1u << 20)
#define DAMAGED_COPIES 2000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t input[INPUT_MAX];
static char doing[512];

/* A target says "wrong" by dying: then at least say on what. Only calls that a signal handler may make. */
static void died(int sig)
{
    ssize_t ignored = write(STDOUT_FILENO, "Bail out! died on ", 18);

    ignored = write(STDOUT_FILENO, doing, strlen(doing));
    ignored = write(STDOUT_FILENO, "\n", 1);
    (void)ignored;
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

/* Reads a file into input. Returns its length, or -1. */
static long load(const char *path)
{
    FILE *file = fopen(path, "rb");

    if (!file) {
        return -1;
    }

    size_t len = fread(input, 1, sizeof(input), file);
    int bad = ferror(file);

    (void)fclose(file);
    return bad ? -1 : (long)len;
}

static int run_file(const char *path)
{
    long len = load(path);

    (void)snprintf(doing, sizeof(doing), "%s", path);
    (void)fflush(stdout);
    if (len < 0) {
        return -1;
    }

    /* A copy of exactly this size, so that the sanitizers see a read beyond its end. */
    uint8_t *copy = malloc(len > 0 ? (size_t)len : 1);

    if (!copy) {
        return -1;
    }
    memcpy(copy, input, (size_t)len);
    (void)LLVMFuzzerTestOneInput(copy, (size_t)len);
    free(copy);
    return 0;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int run_damaged(char *const *paths, size_t n)
{
    uint64_t state = 0x9e3779b97f4a7c15u;

    for (unsigned int i = 0; i < DAMAGED_COPIES; i++) {
        const char *path = paths[next_random(&state) % n];
        long loaded = load(path);

        if (loaded < 0) {
            return -1;
        }

        size_t len = (size_t)loaded;
        uint64_t edits = 1 + next_random(&state) % 8;

        if (len > 0 && next_random(&state) % 4 == 0) {
            len = (size_t)(next_random(&state) % len);
        }
        for (uint64_t j = 0; j < edits && len > 0; j++) {
            input[next_random(&state) % len] = (uint8_t)next_random(&state);
        }
        (void)snprintf(doing, sizeof(doing), "damaged copy %u, of %s", i, path);

        uint8_t *copy = malloc(len > 0 ? len : 1);

        if (!copy) {
            return -1;
        }
        memcpy(copy, input, len);
        (void)LLVMFuzzerTestOneInput(copy, len);
        free(copy);
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The files of a folder, sorted. Sets *paths; returns how many. */
static size_t list(char ***paths, const char *dir_path)
{
    DIR *dir = opendir(dir_path);
    size_t n = 0;
    struct dirent *entry;

    *paths = NULL;
    while (dir && (entry = readdir(dir))) {
        char *path = NULL;
        char **more = NULL;

        if (entry->d_name[0] == '.') {
            continue;
        }
        more = realloc(*paths, (n + 1) * sizeof(*more));
        if (!more) {
            abort();
        }
        *paths = more;
        if (asprintf(&path, "%s/%s", dir_path, entry->d_name) < 0) {
            abort();
        }
        (*paths)[n++] = path;
    }
    if (dir) {
        (void)closedir(dir);
    }
    if (n > 0) {
        qsort(*paths, n, sizeof(**paths), by_name);
    }
    return n;
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/');
    const char *src = getenv("XIDS_SRCDIR");
    char *dir = NULL;
    char **paths = NULL;
    unsigned int failed = 0;
    size_t n;

    (void)signal(SIGABRT, died);
    (void)signal(SIGSEGV, died);
    for (int i = 1; i < argc; i++) {
        failed += run_file(argv[i]) != 0;
    }
    if (argc > 1) {
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
    }

    name = name ? name + 1 : argv[0];
    if (strncmp(name, "lt-", 3) == 0) {
        name += 3;
    }
    if (strncmp(name, "fuzz_", 5) == 0) {
        name += 5;
    }
    if (asprintf(&dir, "%s/tests/fuzz/corpus/%s", src ? src : ".", name) < 0) {
        return EXIT_FAILURE;
    }
    n = list(&paths, dir);
    (void)printf("1..%zu\n", n + 1);
    for (size_t i = 0; i < n; i++) {
        int bad = run_file(paths[i]);

        failed += bad != 0;
        (void)printf("%s %zu - %s\n", bad ? "not ok" : "ok", i + 1, strrchr(paths[i], '/') + 1);
    }
    if (n == 0) {
        (void)printf("# no corpus in %s\n", dir);
    }
    (void)fflush(stdout);
    if (n == 0 || run_damaged(paths, n) != 0) {
        failed++;
        (void)printf("not ");
    }
    (void)printf("ok %zu - %u damaged copies\n", n + 1, DAMAGED_COPIES);
    for (size_t i = 0; i < n; i++) {
        free(paths[i]);
    }
    free(paths);
    free(dir);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
