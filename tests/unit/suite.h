/* SPDX-License-Identifier: ISC */
#ifndef XIDS_TESTS_UNIT_SUITE_H
#define XIDS_TESTS_UNIT_SUITE_H

#include <check.h>

/* Defined once in each test program: its cases, named by the behaviour they check. */
Suite *xids_suite(void);

#endif
