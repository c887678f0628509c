"""Fetches one page through a proxy with requests: requests_page.py PROXY URL CA."""
import sys

import requests

proxy, url, ca = sys.argv[1:4]
try:
    answer = requests.get(url, proxies={"http": proxy, "https": proxy}, verify=ca, timeout=20)
    print(answer.status_code, answer.headers.get("Sward-Error"), answer.text)
except requests.RequestException as refused:
    print("refused:", refused)
