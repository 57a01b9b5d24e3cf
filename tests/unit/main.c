/* SPDX-License-Identifier: ISC */
/*
 * The main function of every unit test program: runs the suite that the program's own file defines. The test driver
 * sets Check's environment so that the output is TAP, one line a case.
 */
#include "tests/unit/suite.h"

#include <stdlib.h>

int main(void)
{
    SRunner *runner = srunner_create(xids_suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
