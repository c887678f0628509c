package edge

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"sward/policy"
)

// maxQuestion bounds what may be asked about: longer is no address that anybody types.
const maxQuestion = 2048

// Answer is what the owner's rules say of a site.
type Answer struct {
	Host string `json:"host"` // as it was understood
	Port uint16 `json:"port"`
	policy.Explanation
	Now string `json:"now,omitempty"` // why nothing is shared now, whatever the rules say of the site
}

// Ask tells whether a site may be visited through this line, and which rule says so. It takes what people have at hand: a
// name, a name with a port, or the address of a page. Nothing is looked up and nobody is asked: the answer is what the rules
// say of the name, for the purposes and apps that the owner accepts; the addresses behind it are judged at each visit. The
// error is *policy.Denied for what cannot name a site.
func (e *Edge) Ask(text string) (Answer, error) {
	target, err := parseQuestion(text)
	if denied := (*policy.Denied)(nil); errors.As(err, &denied) && strings.HasPrefix(denied.Rule, "dest_") {
		// A name of homes: it names no site, and that is the answer.
		a := Answer{Host: strings.TrimSpace(text)}
		a.Decided = policy.Finding{Rule: denied.Rule, Where: "built in", Text: denied.Detail}
		return a, nil
	}
	if err != nil {
		return Answer{}, err
	}
	t, now := e.terms(), e.cfg.Clock()
	request := policy.Request{Target: target, Time: now}
	if len(t.Policy.Apps) == 0 { // nothing is shared at all, which is the rule that decides
		request.App = policy.AppProxy
	}
	if len(t.Policy.Purposes) == 0 {
		request.Purpose = policy.Purposes()[0]
	}
	a := Answer{Host: target.Host.String(), Port: target.Port, Explanation: t.policy.Explain(request)}
	if addr, ok := target.Host.Addr(); ok && a.Allowed {
		a.judge(e.gate.gate().CheckAll([]netip.Addr{addr}))
	}
	if e.isOpen() {
		if why := e.ready(); why != nil {
			a.Now = why.Code.Meaning()
		}
	}
	return a, nil
}

// judge puts the address gate's refusal before all rules.
func (a *Answer) judge(err error) {
	var denied *policy.Denied
	if errors.As(err, &denied) {
		a.Others = append([]policy.Finding{a.Decided}, a.Others...)
		a.Allowed, a.Decided = false, policy.Finding{Rule: denied.Rule, Where: "built in", Text: denied.Detail}
	}
}

// parseQuestion reads a name, a name with a port, or a URL.
func parseQuestion(text string) (policy.Target, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxQuestion {
		return policy.Target{}, &policy.Denied{Rule: "bad_host", Detail: "that is too long for a name"}
	}
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" {
			return policy.Target{}, &policy.Denied{Rule: "bad_host", Detail: "that is not the address of a web page"}
		}
		return targetOf(u)
	}
	text, _, _ = strings.Cut(text, "/") // shop.example/cart
	target, err := policy.ParseTarget(text)
	if err == nil {
		return target, nil
	}
	host, hostErr := policy.ParseHost(strings.Trim(text, "[]"))
	if hostErr != nil {
		if strings.Contains(text, ":") { // what is wrong is the port, unless the name is
			return policy.Target{}, err
		}
		return policy.Target{}, hostErr
	}
	return policy.Target{Host: host, Port: portTLS}, nil
}
