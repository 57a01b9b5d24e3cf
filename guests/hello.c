/* SPDX-License-Identifier: ISC */
/*
 * The smallest guest: says what it finds, and powers off.
 */
#include <xids/guest.h>

int xids_guest_main(struct xids_guest *g)
{
    const struct xids_guest_mark *marks;
    uint64_t total, unused, wall = xids_guest_wall_clock(g);

    xids_guest_memory(g, &total, &unused);
    xids_guest_print("hello from domain %u\n", (unsigned int)xids_guest_platform(g)->domid);
    xids_guest_print("command line: %s\n", xids_guest_command_line(g));
    xids_guest_print("memory: %llu KiB, %llu KiB of them free\n", (unsigned long long)total / 1024,
                     (unsigned long long)unused / 1024);
    xids_guest_print("seconds since 1970: %llu\n", (unsigned long long)wall / 1000000000);
    unsigned int count = xids_guest_marks(g, &marks);
    for (unsigned int i = 0; i < count; i++)
        xids_guest_print("%8llu us  %s\n", (unsigned long long)marks[i].ns / 1000, marks[i].name);
    return 0;
}
