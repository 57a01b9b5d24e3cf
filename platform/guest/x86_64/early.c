/* SPDX-License-Identifier: ISC */
/*
 * Output without a console: through Xen's debug port into Xen's own log, which takes it a line at a time; where there
 * is no Xen, through the first serial port too, so that whoever boots the kernel on the wrong machine is told.
 */
#include "platform/guest/x86_64/arch.h"

#define PORT_XEN 0xe9
#define PORT_SERIAL 0x3f8
#define SERIAL_STATUS (PORT_SERIAL + 5)
#define SERIAL_EMPTY 0x20
/* How often a serial port that is perhaps not there is asked whether it takes a byte. */
#define SERIAL_TRIES 10000u

static void serial(uint8_t byte)
{
    for (unsigned int i = 0; i < SERIAL_TRIES && (in8(SERIAL_STATUS) & SERIAL_EMPTY) == 0; i++)
        __asm__ __volatile__("pause");
    out8(PORT_SERIAL, byte);
}

void arch_early_write(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out8(PORT_XEN, (uint8_t)text[i]);
        if (arch_on_xen())
            continue;
        if (text[i] == '\n')
            serial('\r');
        serial((uint8_t)text[i]);
    }
}
