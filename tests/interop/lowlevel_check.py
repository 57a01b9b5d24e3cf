# SPDX-License-Identifier: ISC
"""Xen's python module for libxenstore, whichever library and xenstored are there."""
import threading
import xen.lowlevel.xs as xs
h = xs.xs()
assert h.write("0", "/py/a", "1") is None
assert h.read("0", "/py/a") == b"1"
assert h.ls("0", "/py") == ["a"]
assert h.read("0", "/py/none") is None
h.mkdir("0", "/py/dir")
h.set_permissions("0", "/py/dir", [{"dom": 0, "read": False, "write": False}, {"dom": 5, "read": True, "write": False}])
got = h.get_permissions("0", "/py/dir")
assert [(p["dom"], bool(p["read"]), bool(p["write"])) for p in got] == [(0, False, False), (5, True, False)], got
t = h.transaction_start()
assert h.read(t, "/py/a") == b"1"
h.write(t, "/py/a", "2")
assert h.read("0", "/py/a") == b"1"
assert h.transaction_end(t)
assert h.read("0", "/py/a") == b"2"
h.watch("/py/a", "token")
assert h.read_watch() == ("/py/a", "token")
seen = []
waiter = threading.Thread(target=lambda: seen.append(h.read_watch()))
waiter.start()
h.write("0", "/py/a", "3")
waiter.join()
assert seen == [("/py/a", "token")], seen
h.unwatch("/py/a", "token")
assert h.get_domain_path(7) == "/local/domain/7"
h.rm("0", "/py")
assert h.read("0", "/py/a") is None
h.close()
