/* SPDX-License-Identifier: ISC */
/*
 * getrandom that does what the first line of the file $FAKE_GETRANDOM says: fail with EAGAIN, EIO or ENOSYS, give
 * "short" answers of 7 bytes, be "stuck", or give "planted" bytes, which can be told from all others wherever they lie
 * and do not repeat; with any other it is the kernel's. Looked at in each call. To be
 * preloaded.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

static void read_mode(char *mode, int size)
{
    const char *path = getenv("FAKE_GETRANDOM");
    FILE *f = path != NULL ? fopen(path, "re") : NULL;
    mode[0] = '\0';
    if (f == NULL)
        return;
    if (fgets(mode, size, f) == NULL)
        mode[0] = '\0';
    mode[strcspn(mode, "\n")] = '\0';
    (void)fclose(f);
}

static ssize_t plant(uint8_t *to, size_t len)
{
    static uint32_t count;
    for (size_t at = 0; at < len; at += 8) {
        uint8_t word[8] = {'P', 'L', 'N', 'T'};
        count++;
        memcpy(word + 4, &count, sizeof(count));
        memcpy(to + at, word, len - at < sizeof(word) ? len - at : sizeof(word));
    }
    return (ssize_t)len;
}

ssize_t getrandom(void *buf, size_t len, unsigned int flags)
{
    static const struct {
        const char *name;
        int error;
    } errors[] = {{"EAGAIN", EAGAIN}, {"EIO", EIO}, {"ENOSYS", ENOSYS}};
    char mode[16];
    read_mode(mode, (int)sizeof(mode));
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (strcmp(mode, errors[i].name) == 0) {
            errno = errors[i].error;
            return -1;
        }
    if (strcmp(mode, "stuck") == 0) {
        memset(buf, 0x5c, len);
        return (ssize_t)len;
    }
    if (strcmp(mode, "planted") == 0)
        return plant(buf, len);
    if (strcmp(mode, "short") == 0 && len > 7)
        len = 7;
    return syscall(SYS_getrandom, buf, len, flags);
}
