"""Fetches one page through a proxy with Python's urllib: urllib_page.py PROXY URL CA."""
import ssl, sys, urllib.error, urllib.request

proxy, url, ca = sys.argv[1:4]
opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({"http": proxy, "https": proxy}),
    urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)),
)
try:
    with opener.open(url, timeout=20) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as refused:
    print(refused.code, refused.headers.get("Sward-Error"), refused.read().decode())
except OSError as refused:
    print("refused:", refused)
