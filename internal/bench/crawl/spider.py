"""The same crawl with Scrapy: every .html page of one host, links followed, nothing extracted."""

from urllib.parse import urlsplit, urlunsplit

import scrapy


class Pages(scrapy.Spider):
    name = "pages"
    custom_settings = {
        "CONCURRENT_REQUESTS": 16,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
        "ROBOTSTXT_OBEY": False,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_ENABLED": False,
    }

    def __init__(self, start, out, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [start]
        self.host = urlsplit(start).netloc
        self.seen = open(out, "w", encoding="ascii")

    def parse(self, response):
        self.seen.write(response.url + "\n")
        for link in response.xpath("//a/@href").getall():
            to = urlsplit(response.urljoin(link))
            if to.netloc == self.host and to.path.endswith(".html"):
                yield scrapy.Request(urlunsplit((to.scheme, to.netloc, to.path, "", "")))

    def closed(self, reason):
        self.seen.close()
