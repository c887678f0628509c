"""Fetches one page through a proxy with Scrapy: scrapy_page.py PROXY URL. The key is part of the proxy's URL."""
import sys

import scrapy
from scrapy.crawler import CrawlerProcess

proxy, url = sys.argv[1:3]


class Page(scrapy.Spider):
    name = "page"
    handle_httpstatus_all = True

    def start_requests(self):
        yield scrapy.Request(url, callback=self.parse, errback=self.failed, meta={"proxy": proxy, "handle_httpstatus_all": True})

    def parse(self, response):
        print(response.status, response.headers.get("Sward-Error"), response.text)

    def failed(self, failure):
        print("refused:", failure.value)


process = CrawlerProcess({"LOG_LEVEL": "ERROR", "RETRY_ENABLED": False, "TELNETCONSOLE_ENABLED": False, "DOWNLOAD_TIMEOUT": 20})
process.crawl(Page)
process.start()
