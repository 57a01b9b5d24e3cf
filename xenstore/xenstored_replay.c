/* SPDX-License-Identifier: ISC */
/* xids-xenstored --replay: a trace's file, and what is said of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "xenstore/replay.h"
#include "xenstore/xenstored.h"

static int fails(const char *path, const char *why)
{
    (void)fprintf(stderr, "xids-xenstored: %s: %s\n", path, why);
    return EXIT_USAGE;
}

/* A copy of the file: a daemon may be writing to it. NULL: says why. */
static void *read_all(const char *path, size_t *len)
{
    struct stat st;
    uint8_t *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        (void)fails(path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        (void)fails(path, "that is something else than a file");
    } else if ((bytes = malloc((size_t)st.st_size + 1)) == NULL) {
        (void)fails(path, "out of memory");
    } else {
        ssize_t n = 1;
        *len = 0;
        while (*len < (size_t)st.st_size && (n = read(fd, bytes + *len, (size_t)st.st_size - *len)) > 0)
            *len += (size_t)n;
        if (n < 0) {
            (void)fails(path, strerror(errno));
            free(bytes);
            bytes = NULL;
        }
    }
    if (fd >= 0)
        (void)close(fd);
    return bytes;
}

static int print_all(const char *path, const void *bytes, size_t len)
{
    struct trace_reader t;
    struct trace_record rec;
    const uint8_t *payload;
    const char *error = trace_read(&t, bytes, len);
    if (error != NULL)
        return fails(path, error);
    if (t.header->tail > 0)
        (void)printf("# %llu bytes from before have been overwritten\n", (unsigned long long)t.header->tail);
    int rc;
    while ((rc = trace_next(&t, &rec, &payload)) > 0)
        trace_print(stdout, &rec, payload);
    return rc < 0 ? fails(path, t.error) : EXIT_SUCCESS;
}

static int replay_all(const char *path, const void *bytes, size_t len)
{
    struct replay_result r;
    if (!replay_trace(&r, stdout, bytes, len))
        return fails(path, r.error);
    (void)printf("%zu requests replayed, %zu answers compared, %zu differ\n", r.requests, r.answers, r.differ);
    if (!r.whole)
        (void)puts("The trace does not begin with the server: answers can differ for what is missing.");
    if (r.error != NULL)
        return fails(path, r.error);
    return r.differ > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int replay_file(const char *path, bool print_only)
{
    size_t len = 0;
    void *bytes = read_all(path, &len);
    if (bytes == NULL)
        return EXIT_USAGE;
    int status = print_only ? print_all(path, bytes, len) : replay_all(path, bytes, len);
    free(bytes);
    if (fflush(stdout) != 0 && status == EXIT_SUCCESS)
        status = fails("standard output", strerror(errno));
    return status;
}
