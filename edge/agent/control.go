package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sward/edge"
	"sward/edge/dashboard"
)

const (
	callTimeout = 5 * time.Second
	maxAnswered = 4 << 20 // bytes of an answer
)

// errNoAnswer: the control file is there and nobody answers.
var errNoAnswer = errors.New("the edge does not answer; it may have been killed. Start it again with run")

// call asks the running edge on dir for something that it answers with its status.
func call(ctx context.Context, dir, method, path string, form url.Values) (edge.Status, dashboard.Control, error) {
	var s edge.Status
	control, err := ask(ctx, dir, method, path, form, &s)
	return s, control, err
}

// ask asks the running edge on dir, and reads its answer into what into points to.
func ask(ctx context.Context, dir, method, path string, form url.Values, into any) (dashboard.Control, error) {
	control, err := dashboard.ReadControl(dir)
	if err != nil {
		return control, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	target := url.URL{Scheme: "http", Host: control.Addr, Path: path}
	if method == http.MethodGet {
		target.RawQuery, form = form.Encode(), nil
	}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return control, err
	}
	request.Header.Set("Authorization", "Bearer "+control.Token)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy from the environment
	answer, err := client.Do(request)
	if err != nil {
		return control, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswered))
	if err != nil {
		return control, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	if answer.StatusCode != http.StatusOK {
		return control, fmt.Errorf("the edge answers: %s", strings.TrimSpace(string(body)))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return control, fmt.Errorf("read the edge's answer: %w", err)
	}
	return control, nil
}
