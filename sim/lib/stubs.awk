# SPDX-License-Identifier: ISC
# Makes of a list of exports (see xenctrl.list) the functions that only fail, or with -v map=1 the version script.
/^#/ || NF != 3 { next }
map {
    if ($1 != node) {
        if (node != "")
            close_node()
        before = node
        node = $1
        printf "%s {\nglobal:\n", node
    }
    print "    " $2 ";"
    next
}
!begun { print "#include <errno.h>\n#include <stddef.h>"; begun = 1 }
$3 == "int" { printf "int %s(void);\nint %s(void)\n{\n    errno = ENOSYS;\n    return -1;\n}\n", $2, $2 }
$3 == "pointer" { printf "void *%s(void);\nvoid *%s(void)\n{\n    errno = ENOSYS;\n    return NULL;\n}\n", $2, $2 }
END { if (map) close_node() }
# Everything that no node names stays hidden; the first node says so.
function close_node() {
    if (before == "")
        print "local:\n    *;\n};"
    else
        printf "} %s;\n", before
}
