package portmap

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMapperMapsRenewsAndRemoves(t *testing.T) {
	for _, service := range []string{"WANIPConnection:2", "WANIPConnection:1", "WANPPPConnection:1"} {
		t.Run(service, func(t *testing.T) {
			home := newHomeRouter(t, service)
			m := mapper(t, home)
			for range 2 { // the second renews
				if err := once(t, m); err != nil {
					t.Fatal(err)
				}
			}
			want := map[uint16]entry{4433: {Client: "127.0.0.1", Port: 4433, Lease: 3600, Label: "sward edge", Adds: 2}}
			if diff := cmp.Diff(want, home.mapped()); diff != "" {
				t.Errorf("router has, want (-) got (+):\n%s", diff)
			}
			if got, ok := m.External(); !ok || got != netip.MustParseAddrPort("203.0.113.7:4433") {
				t.Errorf("external address is %v, %v", got, ok)
			}
			m.close(t.Context())
			if got := home.mapped(); len(got) != 0 {
				t.Errorf("left on the router: %v", got)
			}
			if got, ok := m.External(); ok {
				t.Errorf("external address is still %v", got)
			}
		})
	}
}

func TestMapperRunRemovesAtItsEnd(t *testing.T) {
	home := newHomeRouter(t, "WANIPConnection:2")
	m := mapper(t, home)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	<-home.added
	cancel()
	if err := <-done; err != nil {
		t.Errorf("got %v, want nil", err)
	}
	if got := home.mapped(); len(got) != 0 {
		t.Errorf("left on the router: %v", got)
	}
}

func TestMapperFallsBackToPermanentLease(t *testing.T) {
	home := newHomeRouter(t, "WANIPConnection:1")
	home.onlyPermanent = true
	m := mapper(t, home)
	if err := once(t, m); err != nil {
		t.Fatal(err)
	}
	if got := home.mapped()[4433]; got.Lease != 0 || got.Port != 4433 {
		t.Errorf("router has %+v, want a permanent entry", got)
	}
	m.close(t.Context())
	if got := home.mapped(); len(got) != 0 {
		t.Errorf("left on the router: %v", got)
	}
}

func TestMapperTakesAnotherPortOnConflict(t *testing.T) {
	home := newHomeRouter(t, "WANIPConnection:2")
	console := entry{Client: "192.168.1.20", Port: 4433}
	home.mappings[4433] = console
	m := mapper(t, home)
	if err := once(t, m); err != nil {
		t.Fatal(err)
	}
	got := home.mapped()
	if got[4433] != console {
		t.Errorf("the neighbour's entry is now %+v", got[4433])
	}
	at, ok := m.External()
	if !ok || at.Port() < 1<<15 || got[at.Port()].Port != 4433 {
		t.Errorf("external %v, %v, router has %v", at, ok, got)
	}
	before := at
	if err := once(t, m); err != nil {
		t.Fatal(err)
	}
	if at, _ := m.External(); at != before {
		t.Errorf("renewal moved from %v to %v", before, at)
	}
}

func TestMapperSkipsRouterWithoutPublicAddress(t *testing.T) {
	for address, want := range map[string]Problem{
		"192.168.178.2": DoubleNAT, "10.1.2.3": DoubleNAT, "172.16.0.9": DoubleNAT, "169.254.3.3": DoubleNAT, "127.0.0.1": DoubleNAT,
		"100.64.7.7": CarrierNAT, "192.0.0.2": CarrierNAT, "0.0.0.0": Offline,
	} {
		home := newHomeRouter(t, "WANIPConnection:2")
		home.address = address
		m := mapper(t, home)
		if err := once(t, m); !errors.Is(err, want) {
			t.Errorf("router at %s: got %v, want %v", address, err, want)
		}
		if got := home.mapped(); len(got) != 0 {
			t.Errorf("router at %s: mapped %v", address, got)
		}
	}
}

func TestMapperFailures(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func(*homeRouter)
		says   string
	}{
		"no port entry":         {func(h *homeRouter) { h.service = "Layer3Forwarding:1" }, "opens ports"},
		"offline":               {func(h *homeRouter) { h.address = "" }, "no address"},
		"refuses all":           {func(h *homeRouter) { h.refuse = 606 }, "606"},
		"always in conflict":    {func(h *homeRouter) { h.refuse = upnpConflict }, "718"},
		"calls sent elsewhere":  {func(h *homeRouter) { h.control = "http://127.0.0.9:1/ctl" }, "elsewhere"},
		"calls to the internet": {func(h *homeRouter) { h.base = "http://203.0.113.1/" }, "elsewhere"},
		"endless description":   {func(h *homeRouter) { h.endless = true }, "description"},
		"gone":                  {func(h *homeRouter) { h.server.Close() }, "description"},
	} {
		t.Run(name, func(t *testing.T) {
			home := newHomeRouter(t, "WANIPConnection:2")
			m := mapper(t, home)
			c.breaks(home)
			err := once(t, m)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an error that says %q", err, c.says)
			}
			if got, ok := m.External(); ok {
				t.Errorf("external address is %v", got)
			}
		})
	}
}

func TestMapperForgetsALostRouter(t *testing.T) {
	home := newHomeRouter(t, "WANIPConnection:2")
	m := mapper(t, home)
	if err := once(t, m); err != nil {
		t.Fatal(err)
	}
	home.refuse = 501
	if err := once(t, m); err == nil {
		t.Error("a failed renewal is no error")
	}
	if got, ok := m.External(); ok {
		t.Errorf("external address is %v after a failed renewal", got)
	}
	home.refuse = 0
	if err := once(t, m); err != nil {
		t.Errorf("after the router came back: %v", err)
	}
}

func TestRouterMustBeAtHome(t *testing.T) {
	for _, place := range []string{"http://203.0.113.1/desc.xml", "http://router.example/desc.xml", "http://[2001:db8::1]/desc.xml"} {
		u, err := url.Parse(place)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := describe(t.Context(), u); err == nil || !strings.Contains(err.Error(), "home network") {
			t.Errorf("%s: got %v, want a refusal", place, err)
		}
	}
}

func TestMapperNeedsAPort(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a mapper without a port was made")
	}
}

// once makes one pass, as keep does.
func once(t *testing.T, m *Mapper) error {
	t.Helper()
	err := m.pass(t.Context())
	m.report(err)
	return err
}

func mapper(t *testing.T, home *homeRouter) *Mapper {
	t.Helper()
	root, err := url.Parse(home.server.URL + "/desc.xml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{Port: 4433, On: true, Root: root, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// homeRouter is a small Internet Gateway Device: a description and the SOAP calls
// of one port entry service.
type homeRouter struct {
	server *httptest.Server
	added  chan struct{} // told at each AddPortMapping, when somebody listens

	mu            sync.Mutex
	service       string // "WANIPConnection:2"
	address       string
	onlyPermanent bool
	refuse        int    // answer every AddPortMapping with this error
	control, base string // as in the description
	endless       bool
	mappings      map[uint16]entry
}

type entry struct {
	Client string
	Port   uint16
	Lease  int
	Label  string
	Adds   int
}

func newHomeRouter(t *testing.T, service string) *homeRouter {
	t.Helper()
	h := &homeRouter{service: service, address: "203.0.113.7", control: "/ctl", mappings: map[uint16]entry{}, added: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /desc.xml", h.describe)
	mux.HandleFunc("POST /ctl", h.call)
	h.server = httptest.NewServer(mux)
	t.Cleanup(h.server.Close)
	return h
}

func (h *homeRouter) mapped() map[uint16]entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[uint16]entry{}
	for port, m := range h.mappings {
		all[port] = m
	}
	return all
}

func (h *homeRouter) describe(w http.ResponseWriter, _ *http.Request) {
	if h.endless {
		io.WriteString(w, `<root xmlns="urn:schemas-upnp-org:device-1-0"><device><friendlyName>`)
		line := strings.Repeat("a", 1<<16)
		for {
			if _, err := io.WriteString(w, line); err != nil {
				return
			}
		}
	}
	base := ""
	if h.base != "" {
		base = "<URLBase>" + h.base + "</URLBase>"
	}
	fmt.Fprintf(w, `<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>%s
<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><friendlyName>box</friendlyName>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:%s</serviceType><serviceId>x</serviceId>
<controlURL>%s</controlURL><eventSubURL>/e</eventSubURL><SCPDURL>/s.xml</SCPDURL></service></serviceList>
</device></deviceList></device></deviceList></device></root>`, base, h.service, h.control)
}

func (h *homeRouter) call(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	namespace, action, _ := strings.Cut(strings.Trim(r.Header.Get("SOAPACTION"), `"`), "#")
	if namespace != "urn:schemas-upnp-org:service:"+h.service {
		fault(w, 401)
		return
	}
	in := arguments(r.Body)
	external, _ := strconv.ParseUint(in["NewExternalPort"], 10, 16)
	internal, _ := strconv.ParseUint(in["NewInternalPort"], 10, 16)
	lease, _ := strconv.Atoi(in["NewLeaseDuration"])
	port := uint16(external)
	out := ""
	switch {
	case action == "GetExternalIPAddress":
		out = "<NewExternalIPAddress>" + h.address + "</NewExternalIPAddress>"
	case action == "AddPortMapping" && in["NewProtocol"] == "UDP" && in["NewEnabled"] == "1" && in["NewRemoteHost"] == "":
		old, taken := h.mappings[port]
		switch {
		case h.refuse != 0:
			fault(w, h.refuse)
			return
		case taken && old.Client != in["NewInternalClient"]:
			fault(w, upnpConflict)
			return
		case h.onlyPermanent && lease != 0:
			fault(w, upnpOnlyPermanent)
			return
		}
		h.mappings[port] = entry{Client: in["NewInternalClient"], Port: uint16(internal), Lease: lease, Label: in["NewPortMappingDescription"], Adds: old.Adds + 1}
		select {
		case h.added <- struct{}{}:
		default:
		}
	case action == "DeletePortMapping" && in["NewProtocol"] == "UDP":
		if _, ok := h.mappings[port]; !ok {
			fault(w, upnpNoSuchEntry)
			return
		}
		delete(h.mappings, port)
	default:
		fault(w, 402) // invalid arguments
		return
	}
	envelope(w, fmt.Sprintf(`<u:%sResponse xmlns:u="%s">%s</u:%sResponse>`, action, namespace, out, action))
}

// arguments are the leaves of a SOAP body.
func arguments(r io.Reader) map[string]string {
	all := map[string]string{}
	name := ""
	for d := xml.NewDecoder(r); ; {
		token, err := d.Token()
		if err != nil {
			return all
		}
		switch t := token.(type) {
		case xml.StartElement:
			name = t.Name.Local
		case xml.CharData:
			all[name] += string(t)
		case xml.EndElement:
			name = ""
		}
	}
}

func fault(w http.ResponseWriter, code int) {
	w.WriteHeader(http.StatusInternalServerError)
	envelope(w, fmt.Sprintf(`<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>
<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>%d</errorCode><errorDescription>no</errorDescription></UPnPError>
</detail></s:Fault>`, code))
}

func envelope(w io.Writer, body string) {
	fmt.Fprintf(w, `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>%s</s:Body></s:Envelope>`, body)
}
