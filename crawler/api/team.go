package api

import (
	"fmt"
	"net/http"
	"time"

	"sward/crawler"
)

// tokensPerCredit is Firecrawl's own rate between its two units. Nothing here is counted in tokens; clients that ask for
// them learn the same balance in another unit.
const tokensPerCredit = 15

// Credits is what an account can still buy. A credit is a page: as many bytes of traffic as a page takes on the whole.
type Credits struct {
	Remaining, Plan int64
	Start, End      time.Time // of the period
	Bytes           uint64    // ours: the balance as it is kept
}

// Period is what an account bought in one calendar month, UTC.
type Period struct {
	Start, End time.Time
	Credits    int64
	Bytes      uint64
}

// affords answers 402 and reports false where an account cannot pay for what it starts.
func (s *API) affords(w http.ResponseWriter, r *http.Request, a crawler.Account, pages int) bool {
	if s.cfg.Credits == nil {
		return true
	}
	have, err := s.cfg.Credits(r.Context(), a)
	if err != nil {
		s.broken(w, r, err)
		return false
	}
	if have.Remaining >= int64(pages) {
		return true
	}
	answer(w, http.StatusPaymentRequired, failure{
		Code: apiNoCredit, Error: fmt.Sprintf("Insufficient credits: this may take %d and the account has %d", pages, have.Remaining),
		Details: map[string]int64{"needed": int64(pages), "remaining": have.Remaining},
	})
	return false
}

func (s *API) getCredits(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	s.credits(w, r, a, "Credits", "credits", 1)
}

func (s *API) getTokens(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	s.credits(w, r, a, "Tokens", "tokens", tokensPerCredit)
}

// credits writes a balance in a unit. Version 1 writes names with underscores.
func (s *API) credits(w http.ResponseWriter, r *http.Request, a crawler.Account, unit, unit1 string, rate int64) {
	if s.cfg.Credits == nil {
		refuse(w, http.StatusNotFound, apiNotOffered, "this network keeps no accounts")
		return
	}
	have, err := s.cfg.Credits(r.Context(), a)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	start, end := have.Start.UTC().Format(time.RFC3339), have.End.UTC().Format(time.RFC3339)
	data := map[string]any{
		"remaining" + unit: have.Remaining * rate, "plan" + unit: have.Plan * rate,
		"billingPeriodStart": start, "billingPeriodEnd": end, "remainingBytes": have.Bytes,
	}
	if isV1(r) {
		data = map[string]any{
			"remaining_" + unit1: have.Remaining * rate, "plan_" + unit1: have.Plan * rate,
			"billing_period_start": start, "billing_period_end": end, "remaining_bytes": have.Bytes,
		}
	}
	answer(w, http.StatusOK, map[string]any{"success": true, "data": data})
}

func (s *API) getSpent(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	s.spent(w, r, a, 1, "totalCredits", "creditsUsed") // the SDK's name and the assistants' server's
}

func (s *API) getSpentTokens(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	s.spent(w, r, a, tokensPerCredit, "totalTokens", "tokensUsed")
}

func (s *API) spent(w http.ResponseWriter, r *http.Request, a crawler.Account, rate int64, names ...string) {
	if s.cfg.Spent == nil {
		refuse(w, http.StatusNotFound, apiNotOffered, "this network keeps no accounts")
		return
	}
	list, err := s.cfg.Spent(r.Context(), a)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	byKey := r.URL.Query().Get("byApiKey") == "true"
	periods := make([]map[string]any, 0, len(list))
	for _, p := range list {
		period := map[string]any{"startDate": p.Start.UTC().Format(time.RFC3339), "endDate": p.End.UTC().Format(time.RFC3339)}
		for _, name := range names {
			period[name] = p.Credits * rate
		}
		period["totalBytes"] = p.Bytes
		if byKey {
			period["apiKey"] = a.Name // an account has one key, and its name may be shown
		}
		periods = append(periods, period)
	}
	answer(w, http.StatusOK, map[string]any{"success": true, "periods": periods})
}

func (s *API) getConcurrency(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	running, err := s.c.Jobs(r.Context(), a, true, crawler.MaxActive)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"success": true, "concurrency": len(running), "maxConcurrency": crawler.MaxActive})
}

// getQueue counts running jobs: those that wait for an edge, and the others.
func (s *API) getQueue(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	running, err := s.c.Jobs(r.Context(), a, true, crawler.MaxActive)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	waiting := 0
	for _, j := range running {
		if !j.Stalled.IsZero() {
			waiting++
		}
	}
	recent, err := s.c.Jobs(r.Context(), a, false, maxListed)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	var success any // null: none yet
	for _, j := range recent {
		if j.State == crawler.Completed {
			success = j.Finished.UTC()
			break
		}
	}
	answer(w, http.StatusOK, map[string]any{
		"success": true, "jobsInQueue": len(running), "activeJobsInQueue": len(running) - waiting, "waitingJobsInQueue": waiting,
		"maxConcurrency": crawler.MaxActive, "mostRecentSuccess": success,
	})
}
