// Package docs holds the manual. The programs carry it: the sandbox serves it as the web site that its crawl works on.
package docs

import "embed"

// Manual is every page, Markdown files by their path.
//
//go:embed *.md design/*.md
var Manual embed.FS
