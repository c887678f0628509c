package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sward/accounting"
	"sward/edge"
	"sward/edge/diary"
	"sward/edge/sense"
	"sward/internal/identity"
	"sward/policy"
)

// doll is an edge in the test's hands.
type doll struct {
	opened chan struct{}

	mu       sync.Mutex
	status   edge.Status
	traffic  edge.Traffic
	settings edge.Settings
	book     *diary.Diary
	earned   edge.Earnings
	receipts map[accounting.ChannelID]edge.Receipt
	chances  edge.Chances
	line     edge.Line
	home     accounting.HouseholdAnswer
	acts     []string
	paused   []time.Duration
	resumed  int
}

func newDoll() *doll {
	return &doll{
		opened: make(chan struct{}), status: edge.Status{Network: "test", Why: "paused", Paused: true},
		settings: edge.DefaultSettings(), line: edge.Line{Reputation: edge.ReputationUnknown},
	}
}

func (e *doll) Settings() edge.Settings {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.settings
}

func (e *doll) Change(s edge.Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settings = s
	return nil
}

// Ask asks the rules themselves, as the edge does.
func (e *doll) Ask(site string) (edge.Answer, error) {
	host, err := policy.ParseHost(site)
	if err != nil {
		return edge.Answer{}, err
	}
	rules, err := e.Settings().Policy.Compile()
	if err != nil {
		return edge.Answer{}, err
	}
	return edge.Answer{
		Host: host.String(), Port: 443,
		Explanation: rules.Explain(policy.Request{Target: policy.Target{Host: host, Port: 443}, Time: time.Now()}),
	}, nil
}

func (e *doll) Senses() []sense.Fact {
	return []sense.Fact{{Name: "battery", State: sense.No, Text: "This machine is plugged in."}, {Name: "metered", State: sense.Unknown, Text: "This system does not tell whether the connection is metered."}}
}

func (e *doll) Diary() *diary.Diary { return e.book }

func (e *doll) Earnings(context.Context) edge.Earnings { return e.earned }

func (e *doll) Receipt(id accounting.ChannelID) (edge.Receipt, error) {
	if r, ok := e.receipts[id]; ok {
		return r, nil
	}
	return edge.Receipt{}, edge.ErrNoReceipt
}

func (e *doll) Chances() edge.Chances { return e.chances }

func (e *doll) Line() edge.Line { return e.line }

func (e *doll) Reachable() edge.Reachability {
	return edge.Reachability{On: true, Direct: true, Port: 4433, Circuits: 2, Guests: 1, Problem: "a port <b>"}
}

func (e *doll) Household() accounting.HouseholdAnswer { return e.home }

func (e *doll) HouseholdAct(_ context.Context, act string, with identity.ID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.acts = append(e.acts, strings.TrimSpace(act+" "+with.String()))
	return nil
}

func (e *doll) Opened() <-chan struct{} { return e.opened }

func (e *doll) Status(context.Context) edge.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

func (e *doll) Traffic() edge.Traffic {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.traffic
}

func (e *doll) Pause(d time.Duration) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.paused = append(e.paused, d)
	e.status.Paused, e.status.Serving, e.status.Why = true, false, "paused"
	return nil
}

func (e *doll) Resume() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resumed++
	e.status.Paused, e.status.Serving, e.status.Why = false, true, ""
	return nil
}

func (e *doll) set(s edge.Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = s
}

func (e *doll) move(t edge.Traffic) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.traffic = t
}

func (e *doll) orders() (pauses, resumes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.paused), e.resumed
}

// panel is a running dashboard of a doll.
type panel struct {
	Control
	*doll
	*Dashboard
	dir    string
	secret string // of a browser that is signed in
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func startPanel(t *testing.T) *panel {
	t.Helper()
	p := &panel{dir: t.TempDir(), doll: newDoll()}
	var err error
	if p.Dashboard, err = New(Config{Edge: p.doll, Listener: listen(t, "127.0.0.1:0"), Dir: p.dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	close(p.opened)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if p.Control, err = ReadControl(p.dir); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the dashboard does not start: %v", err)
		}
	}
	code, _ := p.sessions.invite()
	if p.secret, err = p.sessions.redeem(code); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the dashboard ended with: %v", err)
		}
		if _, err := ReadControl(p.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after the end the control file gives %v, want %v", err, os.ErrNotExist)
		}
	})
	return p
}

func TestASecondEdgeLeavesTheFirstOnesControlFileAlone(t *testing.T) {
	p := startPanel(t)
	second, err := New(Config{Edge: newDoll(), Listener: listen(t, "127.0.0.1:0"), Dir: p.dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // its edge has found the directory locked
	if err := second.Run(ctx); err != nil {
		t.Error(err)
	}
	if c, err := ReadControl(p.dir); err != nil || c != p.Control {
		t.Errorf("the control file says %v, %v; want that of the first edge", c, err)
	}
}

// do sends a request; change alters it first.
func (p *panel) do(t *testing.T, method, path, form string, change ...func(*http.Request)) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.Addr+path, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range change {
		c(r)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (p *panel) bearer(r *http.Request) { r.Header.Set("Authorization", "Bearer "+p.Token) }

func (p *panel) cookie(r *http.Request) {
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: p.secret})
}

func TestDashboardAnswersToItsOwnNameOnly(t *testing.T) { // L01, L08
	p := startPanel(t)
	_, port, _ := net.SplitHostPort(p.Addr)
	for host, want := range map[string]int{
		p.Addr: 200, "localhost:" + port: 421, "evil.example": 421, "evil.example:" + port: 421, "localhost.:" + port: 421,
		"0.0.0.0:" + port: 421, "[::1]:" + port: 421, "127.0.0.1": 421, "127.0.0.1:1": 421,
	} {
		resp := p.do(t, "GET", "/status", "", p.bearer, func(r *http.Request) { r.Host = host })
		if resp.StatusCode != want {
			t.Errorf("Host %s: got %d, want %d", host, resp.StatusCode, want)
		}
	}
}

func TestDashboardRefusesOtherOriginsAndMissingTokens(t *testing.T) { // L02
	p := startPanel(t)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, c := range map[string]struct {
		want   int
		change []func(*http.Request)
	}{
		"no token":            {401, nil},
		"wrong token":         {401, []func(*http.Request){header("Authorization", "Bearer x")}},
		"empty token":         {401, []func(*http.Request){header("Authorization", "Bearer ")}},
		"cross-site fetch":    {403, []func(*http.Request){p.cookie, header("Sec-Fetch-Site", "cross-site")}},
		"same-site fetch":     {403, []func(*http.Request){p.cookie, header("Sec-Fetch-Site", "same-site")}},
		"null origin":         {403, []func(*http.Request){p.cookie, header("Origin", "null")}},
		"foreign origin":      {403, []func(*http.Request){p.cookie, header("Origin", "http://evil.example")}},
		"foreign with bearer": {403, []func(*http.Request){p.bearer, header("Origin", "http://evil.example")}},
		"own origin":          {303, []func(*http.Request){p.cookie, header("Origin", "http://"+p.Addr)}},
		"program":             {200, []func(*http.Request){p.bearer}},
	} {
		before, _ := p.orders()
		resp := p.do(t, "POST", "/pause", "for=1h", c.change...)
		if resp.StatusCode != c.want {
			t.Errorf("%s: got %d, want %d", name, resp.StatusCode, c.want)
		}
		after, _ := p.orders()
		if acted := after > before; acted != (c.want < 400) {
			t.Errorf("%s: answered %d and paused = %v", name, resp.StatusCode, acted)
		}
	}
}

func TestDashboardChangesNothingByGet(t *testing.T) {
	p := startPanel(t)
	for _, path := range []string{"/", "/status", "/pause", "/pause?for=1h", "/resume", "/login?token=" + p.Token} {
		p.do(t, "GET", path, "", p.bearer)
		p.do(t, "GET", path, "", p.cookie)
	}
	if pauses, resumes := p.orders(); pauses != 0 || resumes != 0 {
		t.Errorf("GET paused %d times and resumed %d times", pauses, resumes)
	}
	for path, want := range map[string]int{"/pause": 405, "/../control.json": 307, "/control.json": 404, "/page/style.css": 404, "/page/%2e%2e/dashboard.json": 404, "/metrics": 404, "/debug/pprof/": 404} { // L07
		if got := p.do(t, "GET", path, "", p.bearer).StatusCode; got != want {
			t.Errorf("GET %s: got %d, want %d", path, got, want)
		}
	}
}

func TestNoSecretIsEverShown(t *testing.T) { // L05
	p := startPanel(t)
	var invited Invitation
	if err := json.NewDecoder(p.do(t, "POST", "/code", "", p.bearer).Body).Decode(&invited); err != nil || invited.URL != p.URL()+"#code="+invited.Code {
		t.Fatalf("invitation: got %+v, %v", invited, err)
	}
	login := p.do(t, "POST", "/login", url.Values{"code": {" " + invited.Code[:4] + " " + invited.Code[4:] + "\n"}}.Encode())
	if login.StatusCode != 303 || login.Header.Get("Location") != "/" {
		t.Fatalf("login: got %d to %q, want 303 to /", login.StatusCode, login.Header.Get("Location"))
	}
	cookies := login.Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode {
		t.Fatalf("cookies: got %v, want one that is HttpOnly and SameSite=Strict", cookies)
	}
	disk, err := os.ReadFile(filepath.Join(p.dir, sessionsFile))
	if err != nil || strings.Contains(string(disk), cookies[0].Value) {
		t.Errorf("the disk has the cookie itself (%v)", err)
	}
	for _, change := range []func(*http.Request){p.cookie, p.bearer, func(*http.Request) {}} {
		for _, path := range []string{"/", "/status", "/style.css", "/app.js"} {
			resp := p.do(t, "GET", path, "", change)
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{p.Token, p.secret, invited.Code} {
				if strings.Contains(string(body), secret) {
					t.Errorf("GET %s shows a secret", path)
				}
			}
			for name, want := range map[string]string{
				"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("GET %s: %s is %q, want %q", path, name, got, want)
				}
			}
			if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("GET %s: policy %q", path, csp)
			}
		}
	}
	if bad := p.do(t, "POST", "/login", "code=guess"); bad.StatusCode != 401 || len(bad.Cookies()) != 0 {
		t.Errorf("login with a guess: got %d and %d cookies, want 401 and none", bad.StatusCode, len(bad.Cookies()))
	}
}

func TestDashboardShowsStatusAndTakesDurations(t *testing.T) {
	p := startPanel(t)
	var s edge.Status
	if err := json.NewDecoder(p.do(t, "GET", "/status", "", p.bearer).Body).Decode(&s); err != nil || s.Network != "test" || !s.Paused {
		t.Errorf("status: got %+v, %v", s, err)
	}
	page, err := io.ReadAll(p.do(t, "GET", "/", "", p.cookie).Body)
	if err != nil || !strings.Contains(string(page), "Resume") || strings.Contains(string(page), "http://") {
		t.Errorf("page (%v) lacks its switch or has what it must not:\n%s", err, page)
	}
	for form, want := range map[string]int{"": 200, "for=90m": 200, "for=-1h": 400, "for=soon": 400, "for=0s": 400, "for=9000h": 400, "for=" + strings.Repeat("1", maxForm): 400} {
		if got := p.do(t, "POST", "/pause", form, p.bearer).StatusCode; got != want {
			t.Errorf("pause with %.20q: got %d, want %d", form, got, want)
		}
	}
	got := p.do(t, "POST", "/resume", "", p.bearer).StatusCode
	if _, resumes := p.orders(); got != 200 || resumes != 1 {
		t.Errorf("resume: got %d, resumed %d times; want 200, once", got, resumes)
	}
}

func TestDashboardIsForThisMachineAlone(t *testing.T) { // L04, L12
	if _, err := New(Config{Edge: newDoll(), Listener: listen(t, "0.0.0.0:0"), Dir: t.TempDir()}); err == nil {
		t.Error("a dashboard on all interfaces was made")
	}
	c := edge.DefaultFileConfig()
	c.Hub.ID, c.Hub.Addr = mustID(t), "hub.example:1"
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.Dashboard = "0.0.0.0:7411"
	if err := c.Validate(); err == nil {
		t.Error("the config file may bind the dashboard to all interfaces")
	}
}

func TestControlFileIsTheOwnersAlone(t *testing.T) { // L09
	if runtime.GOOS == "windows" {
		t.Skip("file modes are a unix matter")
	}
	p := startPanel(t)
	info, err := os.Stat(filepath.Join(p.dir, controlFile))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %o, want 600", got)
	}
}

func TestOnlyTheOwnersProgramsGetACode(t *testing.T) {
	p := startPanel(t)
	for name, change := range map[string]func(*http.Request){"a browser": p.cookie, "a stranger": func(*http.Request) {}} {
		if got := p.do(t, "POST", "/code", "", change).StatusCode; got != 401 {
			t.Errorf("%s asks for a code: got %d, want 401", name, got)
		}
	}
	if got := p.do(t, "GET", "/", "", p.bearer).StatusCode; got != 401 {
		t.Errorf("a program asks for a page: got %d, want 401", got)
	}
}
