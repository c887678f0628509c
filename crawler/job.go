package crawler

import (
	"encoding/hex"
	"strings"
	"sward/crawler/warc"
	"time"
)

// Kind is what a job is for. Numbers are stored.
type Kind int

// The kinds.
const (
	Crawl  Kind = 1 // a site
	Scrape Kind = 2 // one page, with somebody waiting for it
	Batch  Kind = 3 // pages that the partner lists
	Map    Kind = 4 // the addresses of a site, without its pages
)

// discovers tells the kinds that follow links and read sitemaps from those that fetch what they are told.
func (k Kind) discovers() bool { return k == Crawl || k == Map }

// State is where a job stands. Numbers are stored; String is what the API says.
type State int

// The states. A job is never anything but these, and leaves Scraping exactly once.
const (
	Scraping  State = 0
	Completed State = 1
	Failed    State = 2
	Cancelled State = 3
)

func (s State) String() string {
	switch s {
	case Scraping:
		return "scraping"
	case Completed:
		return "completed"
	case Cancelled:
		return "cancelled"
	default:
		return "failed"
	}
}

// job is a row of jobs: what was asked, and where it stands.
type job struct {
	id      int64
	name    string
	kind    Kind
	account Account
	order   Order
	base    string

	state      State
	failure    string
	created    time.Time
	deadline   time.Time
	finished   time.Time
	stalled    time.Time // zero: an edge was to be had
	resume     time.Time // nothing is fetched before
	progress   time.Time
	waiting    string
	stopped    string
	bytes      int64
	quota      int
	completed  int
	remembered int
	failed     int
	discovered int
	pages      int
	seeds      int
}

// wireID is the job as edges know it: the bits of its UUID.
func (j *job) wireID() (id [16]byte) {
	b, _ := hex.DecodeString(strings.ReplaceAll(j.name, "-", "")) // newJobName wrote it
	copy(id[:], b)
	return id
}

// total is how many documents the job will come to as far as is known: what Firecrawl calls total.
func (j *job) total() int {
	if j.state != Scraping {
		return j.completed
	}
	return min(j.completed+j.pages, j.quota)
}

// newJobName returns a random UUID, the form that partners know job names by.
func newJobName() string { return strings.TrimPrefix(warc.NewRecordID(), "urn:uuid:") }
