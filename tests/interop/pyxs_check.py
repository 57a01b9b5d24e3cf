# SPDX-License-Identifier: ISC
"""pyxs, which speaks xenstore's protocol itself, with the xenstored at XENSTORED_PATH."""
from pyxs import Client, PyXSError
with Client() as c:
    c[b"/py/a"] = b"1"
    assert c[b"/py/a"] == b"1"
    c.mkdir(b"/py/dir")
    assert c.list(b"/py") == [b"a", b"dir"]
    assert c.exists(b"/py/a") and not c.exists(b"/py/none")
    c.set_perms(b"/py/dir", [b"n0", b"r5"])
    assert c.get_perms(b"/py/dir") == [b"n0", b"r5"]
    assert [names for names in c.walk(b"/py")][0] == (b"/py", b"", [b"a", b"dir"])
    c.transaction()
    c[b"/py/a"] = b"2"
    assert c.commit()
    assert c[b"/py/a"] == b"2"
    with Client() as other:
        c.transaction()
        assert c[b"/py/a"] == b"2"
        other[b"/py/a"] = b"3"
        c[b"/py/a"] = b"4"
        assert not c.commit()
        assert c[b"/py/a"] == b"3"
    with c.monitor() as m:
        m.watch(b"/py/a", b"token")
        events = m.wait()
        assert next(events) == (b"/py/a", b"token")
        with Client() as other:
            other[b"/py/a"] = b"5"
        assert next(events) == (b"/py/a", b"token")
        m.unwatch(b"/py/a", b"token")
    assert c.get_domain_path(7) == b"/local/domain/7"
    assert not c.is_domain_introduced(7)
    try:
        c.read(b"/py/none")
        raise AssertionError("read what is not there")
    except PyXSError as e:
        assert e.args[0] == 2, e
    c.delete(b"/py")
    assert not c.exists(b"/py/a")
