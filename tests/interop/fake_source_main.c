/* SPDX-License-Identifier: ISC */
/* fake-source KIND PATH MODE: a source of entropy, egd, tpm or pipe, that works or fails in a way of its own. */
#include "tests/unit/fake_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int find(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    fprintf(stderr, "fake-source: %s?\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {"egd", "tpm", "pipe"};
    if (argc != 4) {
        fprintf(stderr, "usage: fake-source egd|tpm|pipe PATH MODE\n");
        return 2;
    }
    int kind = find(kinds, 3, argv[1]), mode = find(fake_mode_names, FAKE_MODES, argv[3]);
    int fd = fake_source_make((enum fake_kind)kind, argv[2]);
    if (fd < 0) {
        perror(argv[2]);
        return 1;
    }
    fake_source_serve((enum fake_kind)kind, fd, argv[2], (enum fake_mode)mode);
}
