"""Asks with httpx: client.py URL VERSION CA. It echoes a body of 1 MiB, ten times at once. Exit status 77: httpx, or h2 for HTTP/2, is not here."""
import asyncio
import os
import sys

try:
    import httpx
    if sys.argv[2] == "2":
        import h2  # noqa: F401
except ImportError:
    sys.exit(77)


async def main(url, second, ca):
    async with httpx.AsyncClient(http1=not second, http2=second, verify=ca or True, trust_env=False, timeout=60) as client:
        sent = os.urandom(1 << 20)
        for r in await asyncio.gather(*(client.post(url + "/echo", content=sent) for _ in range(10))):
            want = "HTTP/2" if second else "HTTP/1.1"
            assert r.status_code == 200 and r.content == sent and r.http_version == want, (r.status_code, len(r.content), r.http_version)
    print("ok")

asyncio.run(main(sys.argv[1], sys.argv[2] == "2", sys.argv[3] if len(sys.argv) > 3 else None))
