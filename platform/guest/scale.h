/* SPDX-License-Identifier: ISC */
/*
 * From cycles of the time stamp counter to nanoseconds, as xen/xen.h says at struct vcpu_time_info.
 */
#ifndef XIDS_PLATFORM_GUEST_SCALE_H
#define XIDS_PLATFORM_GUEST_SCALE_H

#include <stdint.h>

__extension__ typedef unsigned __int128 guest_uint128;

/*
 * ((cycles << shift) * mul) >> 32 with no bit lost on the way: 64 bits of cycles and 32 of mul are 96, so a shift to
 * the left is done last. shift: -31 to 31, as Xen's are; a result beyond 64 bits is UINT64_MAX.
 */
static inline uint64_t guest_scale(uint64_t cycles, uint32_t mul, int shift)
{
    guest_uint128 product = shift < 0 ? (guest_uint128)(cycles >> -shift) * mul : (guest_uint128)cycles * mul << shift;
    product >>= 32;
    return product > UINT64_MAX ? UINT64_MAX : (uint64_t)product;
}

#endif
