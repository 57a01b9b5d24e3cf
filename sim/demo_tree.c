/* SPDX-License-Identifier: ISC */
/* xids-demo-tree [PATH]: prints a part of the xenstore tree, a node a line, indented. For the demo and for looking. */
/* asprintf */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xids/xs.h>

/* Values are bytes: what is not printable is shown as an escape. */
static void print_value(const char *value, size_t len)
{
    (void)printf(" = \"");
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)value[i];

        if (byte < ' ' || byte > '~' || byte == '"' || byte == '\\')
            (void)printf("\\x%02x", byte);
        else
            (void)putchar(byte);
    }
    (void)printf("\"");
}

/* One node and what is below it. What vanishes while we look, or is not ours to read, is left out. */
static int print_node(struct xids_xs *xs, const char *path, const char *name, int depth)
{
    char **children = NULL, *value = NULL;
    unsigned int count = 0;
    size_t len = 0;
    int rc = xids_xs_read(xs, &value, &len, XIDS_XS_NO_TX, path);

    if (rc == -XEN_ENOENT || rc == -XEN_EACCES)
        return 0;
    if (rc < 0)
        return rc;
    (void)printf("%*s%s", 2 * depth, "", name);
    if (len > 0)
        print_value(value, len);
    (void)printf("\n");
    free(value);

    rc = xids_xs_directory(xs, &children, &count, XIDS_XS_NO_TX, path);
    if (rc == -XEN_ENOENT || rc == -XEN_EACCES)
        return 0;
    for (unsigned int i = 0; rc >= 0 && i < count; i++) {
        char *below = NULL;

        if (asprintf(&below, "%s/%s", strcmp(path, "/") == 0 ? "" : path, children[i]) < 0)
            rc = -XEN_ENOMEM;
        else
            rc = print_node(xs, below, children[i], depth + 1);
        free(below);
    }
    free(children);
    return rc < 0 ? rc : 0;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "/";
    struct xids_xs *xs = NULL;
    int rc = xids_xs_open(&xs, NULL);

    if (rc == 0)
        rc = print_node(xs, path, path, 0);
    if (rc < 0)
        (void)fprintf(stderr, "xids-demo-tree: %s: %s\n", path, strerror(-rc));
    xids_xs_close(xs);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
