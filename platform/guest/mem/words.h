/* SPDX-License-Identifier: ISC */
/* For the four memory functions: eight bytes at any address, whatever type they have. */
#ifndef XIDS_PLATFORM_GUEST_MEM_WORDS_H
#define XIDS_PLATFORM_GUEST_MEM_WORDS_H

#include <stddef.h>
#include <stdint.h>

struct word {
    uint64_t v;
} __attribute__((packed, may_alias));

void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *at, int value, size_t len);
int memcmp(const void *a, const void *b, size_t len);

#endif
