from bench.access import HOST, OPEN, Access


def test_an_open_request_has_no_password() -> None:
    request = OPEN.request(9100)
    assert request.startswith(b"GET /metrics HTTP/1.1\r\nHost: %s:9100\r\n" % HOST.encode())
    assert request.endswith(b"\r\n\r\n")
    assert b"Authorization" not in request


def test_a_password_stands_in_the_request_and_never_in_a_text() -> None:
    access = Access("Basic c2VjcmV0")
    assert b"\r\nAuthorization: Basic c2VjcmV0\r\n" in access.request(9100)
    assert "c2VjcmV0" not in repr(access)
