package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"sward/edge"
	"sward/edge/dashboard"
)

const (
	callTimeout = 5 * time.Second
	maxStatus   = 4 << 20 // bytes of a status
)

// errNoAnswer: the control file is there and nobody answers.
var errNoAnswer = errors.New("the edge does not answer; it may have been killed. Start it again with run")

// call asks the running edge on dir, and returns its status where it answers with one.
func call(ctx context.Context, dir, method, path string, form url.Values) (edge.Status, dashboard.Control, error) {
	control, err := dashboard.ReadControl(dir)
	if errors.Is(err, os.ErrNotExist) {
		return edge.Status{}, control, fmt.Errorf("no edge is running on %s: %w", dir, os.ErrNotExist)
	}
	if err != nil {
		return edge.Status{}, control, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	target := url.URL{Scheme: "http", Host: control.Addr, Path: path}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return edge.Status{}, control, err
	}
	request.Header.Set("Authorization", "Bearer "+control.Token)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy from the environment
	answer, err := client.Do(request)
	if err != nil {
		return edge.Status{}, control, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxStatus))
	if err != nil {
		return edge.Status{}, control, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	if answer.StatusCode != http.StatusOK {
		return edge.Status{}, control, fmt.Errorf("the edge answers: %s", strings.TrimSpace(string(body)))
	}
	var s edge.Status
	if err := json.Unmarshal(body, &s); err != nil {
		return edge.Status{}, control, fmt.Errorf("read status: %w", err)
	}
	return s, control, nil
}
