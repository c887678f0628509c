package crawler

import (
	"strings"
	"testing"

	"sward/crawler/crawltest"
)

// onPostgres has config put each directory's database on PostgreSQL.
var onPostgres struct {
	t    *testing.T
	dsns map[string]string // by directory, so that a restart finds its own
}

func databaseOf(dir string) string {
	o := &onPostgres
	if o.t == nil {
		return ""
	}
	if o.dsns[dir] == "" {
		o.dsns[dir] = crawltest.Postgres(o.t)
	}
	return o.dsns[dir]
}

// openStore opens a SQLite file.
func openStore(dir string) (*store, error) { return openDatabase(dir, "") }

// TestPostgresConforms runs what the other tests ask of SQLite over PostgreSQL.
func TestPostgresConforms(t *testing.T) {
	crawltest.Postgres(t) // or skip
	onPostgres.t, onPostgres.dsns = t, map[string]string{}
	defer func() { onPostgres.t = nil }()
	for name, test := range map[string]func(*testing.T){
		"a lease takes each host once":    TestLeaseTakesEachHostOnce,
		"a lease never exceeds the limit": TestLeaseNeverExceedsTheJobsLimit,
		"jobs on one host take turns":     TestJobsOnOneHostTakeTurns,
		"hosts without work are passed":   TestHostsWithoutWorkDoNotHoldUpTheRest,
		"discovery is bounded":            TestDiscoveryIsBounded,
		"expired jobs are forgotten":      TestExpiredJobsAreForgotten,
		"a job ends at its deadline":      TestJobEndsAtItsDeadline,
		"metrics can be gathered":         TestMetricsCanBeGathered,
		"a batch is what is listed":       TestBatchFetchesWhatIsListedAndNothingElse,
		"a batch is extended":             TestBatchIsExtendedWhileItRuns,
		"a map lists addresses":           TestMapListsAddressesAndFetchesNone,
		"remembered pages are served":     TestRememberedPagesAreServedWithoutAskingAnybody,
		"unchanged pages are confirmed":   TestUnchangedPageIsConfirmedByItsSite,
		"gone pages are forgotten":        TestPageThatIsGoneIsForgotten,
		"memory is tidied":                TestMemoryIsTidied,
		"duplicates are marked":           TestDuplicatesAreMarkedOrLeftOut,
		"bands find near duplicates":      TestBandsFindEveryNearDuplicate,
		"a job stops at its bounds":       TestJobStopsAtItsBounds,
		"a stuck job says why":            TestJobWithoutProgressSaysWhy,
		"a used-up cap is waited for":     TestUsedUpCapIsWaitedFor,
		"a page that waits is postponed":  TestPageThatWaitsIsPostponed,
		"pages wait for edges":            TestJobWaitsForEdgesWithoutCountingAttempts,
		"a host is given up":              TestHostIsGivenUpWithAllItsPages,
		"webhooks are called":             TestWebhookTellsOfEveryPageOnce,
		"webhooks are called again":       TestWebhookIsRepeatedUnderTheSameID,
		"webhooks have their turn":        TestWebhooksOfAllJobsHaveTheirTurn,
		"bytes are given back":            TestOnlyDeliveredPagesAreCharged,
		"standings outlive the process":   TestStandingsOutliveTheProcess,
		"cards outlive the process":       TestCardIsKeptOverARestart,
		"hosts share their domain's pace": TestHostsOfOneDomainShareItsPace,
		"addresses come by their worth":   TestAddressesComeInTheOrderOfTheirWorth,
		"traps are bounded":               TestTrapsAreBounded,
		"a crawl survives being killed":   TestCrawlSurvivesBeingKilled,
	} {
		t.Run(name, test)
	}
}

func TestStatementsAreTranslated(t *testing.T) {
	for in, want := range map[string]string{
		"SELECT a FROM b":                           "SELECT a FROM b",
		"SELECT a FROM b WHERE c = ? AND d IN (?)":  "SELECT a FROM b WHERE c = $1 AND d IN ($2)",
		"UPDATE a SET b = ?2, c = ?10 WHERE d = ?1": "UPDATE a SET b = $2, c = $10 WHERE d = $1",
	} {
		if got := dollars(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	if got, want := plainText("a\x00b\xff"), "a\ufffdb\ufffd"; got != want {
		t.Errorf("text: got %q, want %q", got, want)
	}
	files, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"STRICT", "ROWID", "BLOB", "INTEGER"} {
		if strings.Contains(postgresTables(files), word) {
			t.Errorf("the tables of PostgreSQL have the word %s", word)
		}
	}
}

func TestSecondCrawlerIsKeptOutOfPostgres(t *testing.T) {
	dsn := crawltest.Postgres(t)
	first, err := openDatabase(t.TempDir(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer first.close()
	defer func(d int) { claimLooks = d }(claimLooks)
	claimLooks = 2
	if second, err := openDatabase(t.TempDir(), dsn); err == nil {
		second.close()
		t.Error("a second crawler on one database: got no error")
	}
}

func TestStoreSurvivesALostConnection(t *testing.T) {
	s, err := openDatabase(t.TempDir(), crawltest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	put := func(host string) error {
		return s.update(func(tx *tx) error { return tx.wakeHost(host, 1) })
	}
	if err := put("one.test"); err != nil {
		t.Fatal(err)
	}
	// The server ends all other sessions, as it does when it restarts.
	if _, err := s.reader.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"); err != nil {
		t.Fatal(err)
	}
	if err := put("two.test"); err != nil {
		t.Fatalf("an update after the connection was lost: %v", err)
	}
	var hosts int
	if err := s.row(t.Context(), "SELECT count(*) FROM hosts").Scan(&hosts); err != nil || hosts != 2 {
		t.Errorf("hosts: got %d, %v, want 2", hosts, err)
	}
}
