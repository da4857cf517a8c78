"""Fetch one URL over HTTP/3 only, with curl_cffi (libcurl, ngtcp2, nghttp3, BoringSSL).

    curl_cffi_fetch.py URL CA_FILE OUTPUT [BODY_FILE]

Writes the response body to OUTPUT and prints status and HTTP version; with BODY_FILE it
posts that.  Exit status 0 means a 200 over HTTP/3.  FETCH_TIMEOUT_S in the environment
says when to give up.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from curl_cffi import CurlHttpVersion, requests

HTTP_OK = 200


def main() -> int:
    """Fetch, write, print; the arguments are in the module's docstring."""
    url, ca_file, output, *body_file = sys.argv[1:]
    body = Path(body_file[0]).read_bytes() if body_file else None
    answer = requests.request(
        "GET" if body is None else "POST",
        url,
        data=body,
        verify=ca_file,  # type: ignore[arg-type]  # a path works; the annotation is narrow
        http_version="v3only",
        timeout=float(os.environ["FETCH_TIMEOUT_S"]),
    )
    Path(output).write_bytes(answer.content)
    print(f"{answer.status_code} HTTP/{answer.http_version}")
    over_http3 = answer.http_version == CurlHttpVersion.V3
    return 0 if answer.status_code == HTTP_OK and over_http3 else 1


if __name__ == "__main__":
    sys.exit(main())
